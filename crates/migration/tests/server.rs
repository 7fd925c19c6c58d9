//! A PostgreSQL server of the tests' own: private folder, unix socket only, ended with the test.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};

/// How long anything here is waited for before the test fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `condition` gives something.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begin.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A server.
pub(crate) struct Server {
    process: Child,
    folder: PathBuf,
}

impl Server {
    /// Starts one of the newest version that is installed; `name` tells the tests of one program apart.
    pub(crate) fn start(name: &str) -> Server {
        let folder = std::env::temp_dir().join(format!("tend-migration-{}-{name}", std::process::id()));
        fs::create_dir(&folder).expect("a fresh folder can be made");
        // The server refuses to run as root, so its own user must be able to write here.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("own folder");
        let made = command(&folder, "initdb")
            .args([
                "--auth=trust",
                "--username=tend",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "-D",
            ])
            .arg(folder.join("data"))
            .output()
            .expect("setpriv runs");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let log = fs::File::create(folder.join("log")).expect("own folder");
        let process = command(&folder, "postgres")
            .arg("-D")
            .arg(folder.join("data"))
            .arg("-k")
            .arg(&folder)
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "timezone=UTC",
                "-c",
                "wal_level=minimal",
            ])
            .args(["-c", "max_wal_senders=0"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("setpriv runs");
        let server = Server { process, folder };
        wait_for("PostgreSQL to accept connections", || {
            server.config().connect(NoTls).ok()
        });
        server
    }

    /// Returns how to connect; a statement that waits for a lock gives up in time.
    pub(crate) fn config(&self) -> postgres::Config {
        let mut config = Client::configure();
        config
            .host_path(&self.folder)
            .user("tend")
            .dbname("postgres")
            .options("-c lock_timeout=30s -c statement_timeout=60s");
        config
    }

    /// Connects.
    pub(crate) fn connect(&self) -> Client {
        self.config().connect(NoTls).expect("the server accepts")
    }
}

/// A program of PostgreSQL, as its own user where we are root, and ended by the kernel should this test end without doing so.
fn command(folder: &Path, program: &str) -> Command {
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

/// Where the programs of the newest installed version are.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(_, path)| path.join("initdb").exists())
        .max();
    newest
        .expect("PostgreSQL is missing: install Debian's package postgresql to run this test")
        .1
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", "QUIT", &pid]).status();
        let ended = sent.is_ok_and(|status| status.success()) && self.process.wait().is_ok();
        let removed = fs::remove_dir_all(&self.folder);
        // A second panic would hide the first.
        assert!(
            (ended && removed.is_ok()) || std::thread::panicking(),
            "PostgreSQL in {} was left behind: {removed:?}",
            self.folder.display()
        );
    }
}
