//! A MariaDB server of one's own: a private folder, a unix socket only, ended with whoever started it.
//!
//! Knows no client library: questions are asked with `mariadb`, and addresses given to whatever client is tested.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Folder, wait_until};

/// How long a server may take to accept connections. Far above what it takes even on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(90);

/// A server that runs. Its administrator is `boss`.
#[derive(Debug)]
pub struct Mariadb {
    process: Child,
    password: String,
    // Dropped last: the server still writes into it.
    folder: Folder,
}

impl Mariadb {
    /// Starts one. `password` is that of `boss`, and must need no escaping.
    ///
    /// # Panics
    /// When Debian's package `mariadb-server` is not installed, or the server does not start.
    #[must_use]
    pub fn start(password: &str) -> Self {
        let folder = Folder::new();
        // The server refuses to run as root, so its own user must be able to write here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("own folder");
        let mut install = as_its_user(folder.path(), "/usr/bin/mariadb-install-db");
        install.args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-log-file-size=8M",
        ]);
        install.arg(format!("--datadir={}/data", folder.path().display()));
        succeed(install, "mariadb-install-db");
        let server = Self {
            process: run(folder.path()),
            password: password.to_owned(),
            folder,
        };
        server.wait_until_up("root", "");
        let boss = format!(
            "CREATE USER boss@localhost IDENTIFIED BY '{password}'; GRANT ALL ON *.* TO boss@localhost WITH GRANT OPTION"
        );
        succeed(server.client("root", "", &boss), "make the administrator");
        server
    }

    /// Returns its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// Returns its address for a user.
    #[must_use]
    pub fn url(&self, user: &str, password: &str) -> String {
        format!(
            "mysql://{user}:{password}@localhost/?socket={}",
            self.socket().display()
        )
    }

    /// Runs statements as `boss` and returns what they print.
    ///
    /// # Panics
    /// When one of them fails.
    pub fn sql(&self, sql: &str) -> String {
        succeed(self.client("boss", &self.password, sql), sql)
    }

    /// Ends it as a crash would; its data stay.
    pub fn stop(&mut self) {
        end(&mut self.process);
    }

    /// Starts it again after [`Self::stop`].
    pub fn start_again(&mut self) {
        self.process = run(self.folder.path());
        self.wait_until_up("boss", &self.password);
    }

    fn client(&self, user: &str, password: &str, sql: &str) -> Command {
        let mut client = Command::new("mariadb");
        client
            .args(["--no-defaults", "--batch", "--skip-column-names", "-u", user, "-e", sql])
            .arg(format!("--socket={}", self.socket().display()))
            .env("MYSQL_PWD", password);
        client
    }

    fn wait_until_up(&self, user: &str, password: &str) {
        wait_until(UP_WITHIN, "MariaDB accepts connections", || {
            let tried = self.client(user, password, "SELECT 1").output();
            tried.is_ok_and(|tried| tried.status.success())
        });
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut Child) {
    // Both fail only when it has ended by itself.
    let _ = process.kill();
    let _ = process.wait();
}

fn run(folder: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log"));
    let path = folder.display();
    let mut mariadbd = as_its_user(folder, "/usr/sbin/mariadbd");
    mariadbd
        .args(["--no-defaults", "--skip-networking", "--innodb-log-file-size=8M"])
        .args(["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=2"])
        .args([
            format!("--datadir={path}/data"),
            format!("--socket={path}/sock"),
            format!("--pid-file={path}/pid"),
        ])
        .stdout(Stdio::null())
        .stderr(log.expect("own folder"));
    mariadbd.spawn().expect("setpriv runs")
}

/// A program of the server, as its own user where we are root, and ended by the kernel should this process end without doing so.
fn as_its_user(folder: &Path, program: &str) -> Command {
    assert!(
        Path::new(program).exists(),
        "MariaDB is missing: install Debian's package mariadb-server"
    );
    let mut command = Command::new("setpriv");
    if fs::metadata(folder).expect("own folder").uid() == 0 {
        command.args(["--reuid=mysql", "--regid=mysql", "--clear-groups"]);
    }
    command
        .args(["--pdeathsig=KILL", "--"])
        .arg(program)
        // A server that starts removes every temporary table it finds, those of the servers beside it too.
        .env("TMPDIR", folder)
        .current_dir(folder);
    command
}

fn succeed(mut command: Command, what: &str) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{what}: {told}{said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
