//! Types a command line as a person would, in surroundings of the test's own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::tz::TimeZone;
use tend_api::{ApiError, Class, Paths};
use tend_base::{Clock, Mono, Now, Wall};
use tend_cli::{DaemonStart, Roles, Surroundings, Terminal, Verification, Version, run_in};
use tend_core::model::ConfigTable;

/// What came of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: u8,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Where and how something is typed.
#[derive(Clone)]
pub(crate) struct Typist {
    /// Run folder of the daemon.
    pub(crate) run: PathBuf,
    /// Working folder.
    pub(crate) directory: PathBuf,
    /// A terminal with colour, 90 columns wide and 20 high.
    pub(crate) terminal: bool,
    /// Environment beside `TEND_STATE` and `TEND_RUN`.
    pub(crate) environment: BTreeMap<String, String>,
}

/// 2026-11-21T12:44:35.123Z, for ever.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Now {
        Now {
            mono: Mono(1_000_000_000_000),
            wall: Wall(1_795_265_075_123),
        }
    }
}

#[derive(Clone, Default)]
struct Captured(Rc<RefCell<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

/// Roles of a program that cannot start a daemon; its journal is whole, or damaged where a file `damaged` lies in the state folder.
pub(crate) const ROLES: Roles = Roles {
    version: Version {
        number: "0.1.0",
        build: "test",
    },
    daemon: |arguments| u8::try_from(arguments.len()).unwrap_or(u8::MAX),
    edge: |_| 9,
    ensure_daemon: cannot_start,
    verify_journal: verify,
    install_table,
};

fn install_table(table: &ConfigTable, folder: &Path, run: bool) -> Result<String, ApiError> {
    match run {
        true => Ok(format!("SQLite at {}", folder.join("shop.db").display())),
        false => Ok(format!("CREATE TABLE {};\n", table.name)),
    }
}

fn cannot_start(paths: &Paths) -> Result<DaemonStart, ApiError> {
    Err(ApiError::new(Class::Unavailable, "the daemon could not be started")
        .detail(format!("`{}` cannot be written", paths.state.display()))
        .hint("set TEND_STATE to a folder this user may write"))
}

fn verify(paths: &Paths) -> Result<Verification, ApiError> {
    let findings = if paths.state.join("damaged").exists() {
        vec!["event 41 was changed after it was written".to_owned()]
    } else {
        Vec::new()
    };
    Ok(Verification {
        events: 1234,
        head: Some(1234),
        anchored: Some(1200),
        findings,
    })
}

impl Typist {
    pub(crate) fn at(run: &Path, directory: &Path) -> Self {
        Self {
            run: run.to_owned(),
            directory: directory.to_owned(),
            terminal: false,
            environment: BTreeMap::new(),
        }
    }

    /// Types the words behind `tend`.
    pub(crate) fn types(&self, words: &[&str]) -> Outcome {
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let mut environment = self.environment.clone();
        for name in ["TEND_STATE", "TEND_RUN"] {
            environment.insert(name.to_owned(), self.run.to_str().unwrap().to_owned());
        }
        let mut surroundings = Surroundings {
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
            stdin: Box::new("pl4nted\n".as_bytes()),
            stdin_is_terminal: false,
            terminal: Terminal {
                colour: self.terminal,
                colour_of_errors: self.terminal,
                live: self.terminal,
                columns: self.terminal.then_some(90),
                rows: self.terminal.then_some(20),
            },
            environment,
            directory: self.directory.clone(),
            is_root: false,
            clock: Box::new(Stopped),
            time_zone: TimeZone::UTC,
        };
        let words = std::iter::once("tend").chain(words.iter().copied());
        let code = run_in(words.map(OsString::from), &ROLES, &mut surroundings);
        Outcome {
            code,
            stdout: stdout.text(),
            stderr: stderr.text(),
        }
    }
}
