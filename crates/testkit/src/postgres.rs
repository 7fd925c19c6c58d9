//! A PostgreSQL server of one's own: a private folder, a unix socket only, ended with whoever started it.
//!
//! Knows no client library: questions are asked with `psql`, and addresses given to whatever client is tested.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Folder, wait_until};

/// How long a server may take to accept connections. Far above what it takes even on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(90);

/// A server that runs.
#[derive(Debug)]
pub struct Postgres {
    process: Child,
    user: String,
    password: Option<String>,
    more: Vec<String>,
    // Dropped last: the server still writes into it.
    folder: Folder,
}

impl Postgres {
    /// Starts one of the newest version that is installed. `user` is its superuser, who needs `password` where there is one; `more` are
    /// settings, `name=value`.
    ///
    /// # Panics
    /// When Debian's package `postgresql` is not installed, or the server does not start.
    #[must_use]
    pub fn start(user: &str, password: Option<&str>, more: &[&str]) -> Self {
        let folder = Folder::new();
        // The server refuses to run as root, so its own user must be able to write here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("own folder");
        let auth = if password.is_some() { "scram-sha-256" } else { "trust" };
        let mut init = as_its_user(folder.path(), "initdb");
        init.args(["--encoding=UTF8", "--no-locale", "--no-sync"])
            .arg(format!("--auth={auth}"))
            .arg(format!("--username={user}"))
            .arg("-D")
            .arg(folder.path().join("data"));
        if let Some(password) = password {
            let file = folder.write("password", password);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("own file");
            init.arg("--pwfile").arg(file);
        }
        succeed(init, "initdb");
        let more: Vec<String> = more.iter().map(|setting| (*setting).to_owned()).collect();
        let server = Self {
            process: run(folder.path(), &more),
            user: user.to_owned(),
            password: password.map(str::to_owned),
            more,
            folder,
        };
        server.wait_until_up();
        server
    }

    /// Returns the folder with its socket, its data and its log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the address of one of its databases, `postgres` being there from the beginning. A password must need no escaping.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let password = self
            .password
            .as_ref()
            .map(|password| format!(":{password}"))
            .unwrap_or_default();
        let folder = self.folder.path().display();
        format!("postgresql://{}{password}@/{database}?host={folder}", self.user)
    }

    /// Runs statements and returns what they print, unadorned.
    ///
    /// # Panics
    /// When one of them fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        succeed(self.psql(database, sql), sql)
    }

    /// Returns a `psql` that runs statements.
    #[must_use]
    pub fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args([
                "--set",
                "ON_ERROR_STOP=1",
                "-U",
                &self.user,
                "-d",
                database,
                "-c",
                sql,
                "-h",
            ])
            .arg(self.folder.path());
        if let Some(password) = &self.password {
            psql.env("PGPASSWORD", password);
        }
        psql
    }

    /// Ends it as a crash would; its data stay.
    pub fn stop(&mut self) {
        end(&mut self.process);
    }

    /// Starts it again after [`Self::stop`].
    pub fn start_again(&mut self) {
        self.process = run(self.folder.path(), &self.more);
        self.wait_until_up();
    }

    fn wait_until_up(&self) {
        wait_until(UP_WITHIN, "PostgreSQL accepts connections", || {
            let tried = self.psql("postgres", "SELECT 1").output();
            tried.is_ok_and(|tried| tried.status.success())
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut Child) {
    // Both fail only when it has ended by itself.
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(process), rustix::process::Signal::QUIT);
    let _ = process.wait();
}

fn run(folder: &Path, more: &[String]) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log"));
    let mut postgres = as_its_user(folder, "postgres");
    postgres
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "timezone=UTC"])
        .args(more.iter().flat_map(|setting| ["-c", setting.as_str()]))
        .stdout(Stdio::null())
        .stderr(log.expect("own folder"));
    postgres.spawn().expect("setpriv runs")
}

/// A program of the server, as its own user where we are root, and ended by the kernel should this process end without doing so.
fn as_its_user(folder: &Path, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    if fs::metadata(folder).expect("own folder").uid() == 0 {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command
        .args(["--pdeathsig=QUIT", "--"])
        .arg(programs().join(program))
        .current_dir(folder);
    command
}

/// Returns where the programs of the newest installed version are.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let newest = versions.filter(|(_, path)| path.join("initdb").exists()).max();
    let newest = newest.expect("PostgreSQL is missing: install Debian's package postgresql");
    newest.1
}

fn succeed(mut command: Command, what: &str) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
