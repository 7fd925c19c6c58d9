//! What a command has around it: streams, terminal, environment, folder, time. Tests bring their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use anstream::ColorChoice;
use jiff::tz::TimeZone;
use tend_base::{Clock, SystemClock};

/// What the streams are connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Colour is wanted on standard output.
    pub colour: bool,
    /// Colour is wanted on standard error.
    pub colour_of_errors: bool,
    /// Standard output is a terminal whose lines can be drawn again.
    pub live: bool,
    /// Its width when it is not asked for anew; a terminal is asked each time.
    pub columns: Option<u16>,
    /// Its height, likewise.
    pub rows: Option<u16>,
}

/// What a command has around it.
pub struct Surroundings {
    /// Standard output.
    pub stdout: Box<dyn Write>,
    /// Standard error.
    pub stderr: Box<dyn Write>,
    /// Standard input.
    pub stdin: Box<dyn Read>,
    /// Standard input is a terminal at which a person can be asked.
    pub stdin_is_terminal: bool,
    /// What they are connected to.
    pub terminal: Terminal,
    /// Environment variables; those that are no UTF-8 are left out.
    pub environment: BTreeMap<String, String>,
    /// Working folder, absolute.
    pub directory: PathBuf,
    /// Whether the user is root.
    pub is_root: bool,
    /// Tells the time.
    pub clock: Box<dyn Clock>,
    /// In which times are shown and read.
    pub time_zone: TimeZone,
}

impl Surroundings {
    /// Returns those of this process. Colour follows `NO_COLOR`, `CLICOLOR_FORCE` and `TERM`.
    ///
    /// # Errors
    /// When the working folder is gone.
    pub fn of_this_process() -> io::Result<Self> {
        let colour = |choice: ColorChoice| choice != ColorChoice::Never;
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| {
                let text = |text: OsString| text.into_string().ok();
                Some((text(name)?, text(value)?))
            })
            .collect();
        Ok(Self {
            terminal: Terminal {
                colour: colour(anstream::AutoStream::choice(&io::stdout())),
                colour_of_errors: colour(anstream::AutoStream::choice(&io::stderr())),
                live: io::stdout().is_terminal() && !dumb,
                columns: None,
                rows: None,
            },
            stdout: Box::new(io::BufWriter::with_capacity(64 << 10, io::stdout())),
            stderr: Box::new(io::stderr()),
            stdin: Box::new(io::stdin()),
            stdin_is_terminal: io::stdin().is_terminal(),
            environment,
            directory: std::env::current_dir()?,
            is_root: rustix::process::geteuid().is_root(),
            clock: Box::new(SystemClock),
            time_zone: TimeZone::system(),
        })
    }
}
