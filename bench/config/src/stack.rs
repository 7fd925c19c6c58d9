//! A tend of its own with replicas that take their configuration: a schema as large as those of the guides, a file, and a table of
//! PostgreSQL.
//!
//! Invariant: when it is dropped, no process that was started in it is left; each is ended by its pid.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tend_base::{Clock, Mono, SystemClock};
use tend_testkit::{Folder, Postgres, is_alive, kill, kill_all_of};

use crate::ear::{Ear, VARIABLE};
use crate::error::Error;

/// The key that changes.
pub(crate) const KEY: &str = "features.qr_rotation.default_ttl";

/// Keys that are changed together: the first two in the file, the others in the table.
pub(crate) const PAIRS: [[&str; 2]; 2] = [[KEY, "features.qr_rotation.copy"], [ROW, "row.copy"]];

/// The key that changes in the table.
pub(crate) const ROW: &str = "row.number";

/// Numbers of the table begin here, so that what a replica says tells where it is from.
pub(crate) const ROWS_FROM: u64 = 500_000;

/// The largest value that is valid.
pub(crate) const MAX: u64 = 1_000_000;

/// Around the keys that change stand as many others as a service of the guides has.
const OTHER_KEYS: usize = 60;

/// How long anything may take before the run is given up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// Who runs in it.
#[derive(Clone, Copy)]
pub(crate) enum Runs {
    /// One service of so many replicas that watch, and say each number.
    Watching(usize),
    /// So many replicas that say what they hold, in a service for each way in which configuration is given.
    Holding(usize),
}

impl Runs {
    /// Returns the services: name, replicas, arguments, and how they are given their configuration.
    fn services(self) -> Vec<(&'static str, usize, &'static str, &'static str)> {
        match self {
            Self::Watching(count) => vec![("api", count, "watching", "{ as: watch }")],
            Self::Holding(count) => vec![
                ("watch", count - 2 * (count / 3), "holding", "{ as: watch }"),
                (
                    "file",
                    count / 3,
                    "holding",
                    "{ as: file, format: json, signal: SIGHUP }",
                ),
                ("environment", count / 3, "holding", "{ as: environment }"),
            ],
        }
    }
}

/// The stack, and what it is made from.
pub(crate) struct Stack {
    pub(crate) ear: Ear,
    pub(crate) server: Postgres,
    pub(crate) replicas: usize,
    runs: Runs,
    // Dropped last: processes still write into it.
    folder: Folder,
}

impl Stack {
    /// Makes all of it, starts nothing but the database server.
    pub(crate) fn make(runs: Runs) -> Result<Self, Error> {
        let folder = Folder::new();
        let path = folder.path().to_owned();
        let everybody = || std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, everybody()).map_err(Error::file("open", &path))?;
        let own = std::env::current_exe().map_err(|source| Error::StartReplica { source })?;
        let programs = own.parent().unwrap_or(Path::new("."));
        for name in ["tend", "bench-config"] {
            let (from, to) = (programs.join(name), path.join(name));
            std::fs::copy(&from, &to).map_err(Error::file("copy", from))?;
        }
        let stack = Self {
            ear: Ear::open(&path)?,
            server: Postgres::start("boss", None, &[]),
            replicas: runs.services().iter().map(|(_, count, ..)| count).sum(),
            runs,
            folder,
        };
        stack.server.sql("postgres", &table());
        let [file, stack_file] = ["config/schema.yaml", "stack.yml"];
        stack.folder.write(file, schema());
        stack.folder.write(stack_file, stack.text());
        std::fs::create_dir_all(path.join("config/environments")).map_err(Error::file("make", &path))?;
        stack.rename(0)?;
        Ok(stack)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "name: bench\nconfig:\n  files: [{FILE}]\n  table: {{ url: \"{}\" }}\nservices:\n",
            self.server.url("postgres"),
        );
        for (name, count, role, config) in self.runs.services() {
            text.push_str(&format!(
                "  {name}:\n    command: [./bench-config, {role}]\n    start_period: 100ms\n    replicas: {count}\n    \
                 environment: {{ {VARIABLE}: {} }}\n    config: {config}\n",
                self.ear.path().display()
            ));
        }
        text
    }

    /// Returns the replicas, as `SERVICE/SLOT`.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let services = self.runs.services().into_iter();
        services.flat_map(|(name, count, ..)| (1..=count).map(move |slot| format!("{name}/{slot}")))
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Returns a command that sees this machine.
    pub(crate) fn command(&self, program: &str) -> Command {
        let path = self.folder.path();
        let mut command = Command::new(path.join(program));
        command
            .current_dir(path)
            .env("TEND_STATE", path.join("state"))
            .env("TEND_RUN", path.join("run"))
            .env(VARIABLE, self.ear.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs `tend` to its end.
    pub(crate) fn tend(&self, arguments: &[&str]) -> Result<String, Error> {
        let done = self.command("tend").args(arguments).output();
        let done = done.map_err(|source| Error::StartReplica { source })?;
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
            false => Err(Error::Tend {
                command: arguments.join(" "),
                said: String::from_utf8_lossy(&done.stderr).into_owned(),
            }),
        }
    }

    /// Connects to its database.
    pub(crate) fn client(&self) -> Result<postgres::Client, Error> {
        Ok(postgres::Client::connect(
            &self.server.url("postgres"),
            postgres::NoTls,
        )?)
    }

    /// Brings it up.
    pub(crate) fn up(&self) -> Result<(), Error> {
        self.tend(&["up", "stack.yml"]).map(drop)
    }

    /// Kills the daemon and starts another; what runs goes on.
    pub(crate) fn kill_daemon(&self) -> Result<(), Error> {
        let path = self.folder.path().join("run/daemon.lock");
        let pid = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let pid = pid.split_whitespace().next().and_then(|pid| pid.parse::<u32>().ok());
        let pid = pid.ok_or_else(|| Error::Broken {
            said: format!("`{}` names no process", path.display()),
        })?;
        kill(pid);
        let begun = Instant::now();
        while is_alive(pid) && begun.elapsed() < DEADLINE {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut command = self.command("tend");
        let log = self.folder.path().join("daemon.log");
        let opened = std::fs::File::options().create(true).append(true).open(&log);
        let opened = opened.map_err(Error::file("write", log))?;
        command.arg("daemon").stdout(Stdio::null()).stderr(opened);
        // What the killed one was just starting may hold its lock for a moment more; then whoever restarts daemons tries again.
        let started = move || {
            let begun = Instant::now();
            while begun.elapsed() < DEADLINE {
                match command.spawn().and_then(|mut daemon| daemon.wait()) {
                    // It was killed again, and another is started by whoever did that.
                    Ok(status) if status.signal().is_some() => return,
                    _ => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        };
        std::thread::spawn(started);
        Ok(())
    }

    /// Returns what the daemons wrote that were started after kills; where they only found another at work, nothing.
    pub(crate) fn said_by_daemons(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("daemon.log")).unwrap_or_default();
        let lines = text
            .lines()
            .filter(|line| !line.contains("already running") && !line.contains("tend status"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Renames a file with another value into place; returns the moment before.
    pub(crate) fn rename(&self, number: u64) -> Result<Mono, Error> {
        self.replace(&content(&number.to_string(), &number.to_string()))
    }

    /// Renames a file with this text into place; returns the moment before.
    pub(crate) fn replace(&self, text: &str) -> Result<Mono, Error> {
        let beside = self.folder.path().join("beside");
        std::fs::write(&beside, text).map_err(Error::file("write", &beside))?;
        let now = SystemClock.now().mono;
        std::fs::rename(&beside, self.file()).map_err(Error::file("replace", self.file()))?;
        Ok(now)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        kill_all_of(self.folder.path());
    }
}

/// Where the values are.
const FILE: &str = "config/environments/development.yml";

/// Returns all keys.
pub(crate) fn keys() -> impl Iterator<Item = String> {
    let changing = PAIRS.iter().flatten().map(|key| (*key).to_owned());
    changing.chain((0..OTHER_KEYS).map(|number| format!("section.key_{number}")))
}

/// Returns a file with these two values for the keys that change together; JSON is YAML too.
pub(crate) fn content(one: &str, other: &str) -> String {
    let mut text = String::from("{\n");
    for number in 0..OTHER_KEYS {
        text.push_str(&format!("  \"section.key_{number}\": \"value {number}\",\n"));
    }
    let [one_key, other_key] = PAIRS[0];
    text.push_str(&format!("  \"{one_key}\": {one},\n  \"{other_key}\": {other}\n}}\n"));
    text
}

fn schema() -> String {
    let mut text = String::from("keys:\n");
    for key in PAIRS.iter().flatten() {
        text.push_str(&format!(
            "  {key}: {{ type: integer, minimum: 0, maximum: {MAX}, default: 0, reload: live, description: It changes. }}\n"
        ));
    }
    for number in 0..OTHER_KEYS {
        text.push_str(&format!(
            "  section.key_{number}: {{ type: string, default: none, reload: live, description: It stays. }}\n"
        ));
    }
    text
}

/// The table and its trigger, as `tend config table install` prints them, with the rows that change.
fn table() -> String {
    let rows: Vec<String> = PAIRS[1].iter().map(|key| format!("('{key}', '{ROWS_FROM}')")).collect();
    format!(
        "CREATE TABLE system_config (key text PRIMARY KEY, value jsonb NOT NULL, is_active boolean NOT NULL DEFAULT true, \
         updated_at timestamptz NOT NULL DEFAULT now(), updated_by text);\n\
         CREATE FUNCTION tend_config_changed() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_notify('tend_config', TG_TABLE_NAME); RETURN NULL; END $$;\n\
         CREATE TRIGGER tend_config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON system_config \
         FOR EACH STATEMENT EXECUTE FUNCTION tend_config_changed();\n\
         INSERT INTO system_config (key, value) VALUES {};",
        rows.join(", ")
    )
}
