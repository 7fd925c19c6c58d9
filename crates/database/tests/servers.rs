//! Servers of a test's own, on unix sockets in its folder, and waiting for what a source tells.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tend_base::Secret;
use tend_database::{Address, Event, Rows, Source};
use tend_testkit::{Folder, wait_until};

/// How long anything is waited for before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// The password of the administrators; with what must be written otherwise in a URL and in SQL.
pub(crate) const PASSWORD: &str = "s/ecret@%'\\";

pub(crate) fn address(text: &str) -> Address {
    Address::parse(&Secret::new(text.to_owned()), Path::new("/")).unwrap()
}

/// Returns a text as it is written in a URL.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Returns a command that runs as another user where we are root, and is ended by the kernel should this test end without doing so.
fn as_user(folder: &Path, user: &str, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if fs::metadata(folder).unwrap().uid() == 0 {
        command.args([
            format!("--reuid={user}"),
            format!("--regid={user}"),
            "--clear-groups".to_owned(),
        ]);
    }
    command
        .args(["--pdeathsig=KILL", "--"])
        .arg(program)
        .current_dir(folder)
        // MariaDB removes the temporary tables it finds when it starts, which in a shared folder are those of others.
        .env("TMPDIR", folder);
    command
}

/// Returns a folder that the user of a server may write to.
pub(crate) fn open_folder() -> Folder {
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// Puts a file that only a server's user may read into a folder.
pub(crate) fn write_as(folder: &Folder, user: &str, name: &str, content: &str) -> PathBuf {
    let (written, wanted) = (folder.write("written", content), folder.path().join(name));
    fs::set_permissions(&written, fs::Permissions::from_mode(0o644)).unwrap();
    let mut install = as_user(folder.path(), user, Path::new("/usr/bin/install"));
    install.args(["-m", "600"]).arg(written).arg(&wanted);
    succeed(install, "install");
    wanted
}

fn end(process: &mut Child, signal: rustix::process::Signal) {
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(process), signal);
    let _ = process.wait();
}

fn succeed(mut command: Command, what: &str) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        output.status.success(),
        "{what}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A PostgreSQL server that asks for passwords. Its superuser is `boss`.
pub(crate) struct Postgres {
    process: Child,
    pub(crate) folder: Folder,
    more: Vec<String>,
}

impl Postgres {
    fn bin(name: &str) -> PathBuf {
        let versions =
            fs::read_dir("/usr/lib/postgresql").expect("install Debian's package postgresql to run this test");
        let newest = versions
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .max()
            .expect("a version of PostgreSQL");
        newest.join(name)
    }

    pub(crate) fn start() -> Self {
        Self::start_with(open_folder(), &[])
    }

    /// Starts one with more settings, whose files lie in the folder.
    pub(crate) fn start_with(folder: Folder, more: &[String]) -> Self {
        let password = folder.write("password", PASSWORD);
        let mut init = as_user(folder.path(), "postgres", &Self::bin("initdb"));
        init.args([
            "--auth=scram-sha-256",
            "--username=boss",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "-D",
        ]);
        init.arg(folder.path().join("data")).arg("--pwfile").arg(password);
        succeed(init, "initdb");
        let server = Self {
            process: Self::run(&folder, more),
            folder,
            more: more.to_vec(),
        };
        server.wait();
        server
    }

    fn run(folder: &Folder, more: &[String]) -> Child {
        let mut postgres = as_user(folder.path(), "postgres", &Self::bin("postgres"));
        postgres
            .arg("-D")
            .arg(folder.path().join("data"))
            .arg("-k")
            .arg(folder.path());
        postgres.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "log_statement=all"]);
        postgres.args(more.iter().flat_map(|setting| ["-c", setting.as_str()]));
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(folder.path().join("log"))
            .unwrap();
        postgres.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn wait(&self) {
        wait_until(DEADLINE, "PostgreSQL accepts connections", || {
            self.psql("postgres", "SELECT 1").output().unwrap().status.success()
        });
    }

    pub(crate) fn kill(&mut self) {
        end(&mut self.process, rustix::process::Signal::QUIT);
    }

    pub(crate) fn start_again(&mut self) {
        self.process = Self::run(&self.folder, &self.more);
        self.wait();
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "-At",
            "--set",
            "ON_ERROR_STOP=1",
            "-U",
            "boss",
            "-c",
            sql,
            "-d",
            database,
            "-h",
        ]);
        psql.arg(self.folder.path()).env("PGPASSWORD", PASSWORD);
        // The port is part of the socket's name.
        if let Some(port) = self.more.iter().find_map(|setting| setting.strip_prefix("port=")) {
            psql.args(["-p", port]);
        }
        psql
    }

    /// Runs SQL as the superuser, each statement for itself.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        succeed(self.psql(database, sql), sql)
    }

    /// Starts SQL as the superuser, in a file, each statement a transaction of its own.
    pub(crate) fn script(&self, database: &str, sql: &str) -> Child {
        let file = self.folder.write("script.sql", sql);
        let mut psql = self.psql(database, "SELECT 1");
        psql.arg("-f").arg(file).stdout(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn url(&self, user: &str, password: &str, database: &str) -> Address {
        let folder = self.folder.path().display();
        address(&format!(
            "postgresql://{user}:{}@/{database}?host={folder}",
            encoded(password)
        ))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A MariaDB server. Its administrator is `boss`.
pub(crate) struct Mariadb {
    process: Child,
    pub(crate) folder: Folder,
    more: Vec<String>,
}

impl Mariadb {
    pub(crate) fn start() -> Self {
        Self::start_with(open_folder(), &["--skip-networking".to_owned()])
    }

    /// Starts one with other settings, whose files lie in the folder.
    pub(crate) fn start_with(folder: Folder, more: &[String]) -> Self {
        let installer = Path::new("/usr/bin/mariadb-install-db");
        assert!(
            installer.exists(),
            "install Debian's package mariadb-server to run this test"
        );
        let mut install = as_user(folder.path(), "mysql", installer);
        install.args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-log-file-size=8M",
        ]);
        install.arg(format!("--datadir={}", folder.path().join("data").display()));
        succeed(install, "mariadb-install-db");
        let server = Self {
            process: Self::run(&folder, more),
            folder,
            more: more.to_vec(),
        };
        server.wait("root", "");
        let password = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
        let boss = format!(
            "CREATE USER boss@localhost IDENTIFIED BY '{password}'; GRANT ALL ON *.* TO boss@localhost WITH GRANT OPTION"
        );
        succeed(server.client("root", "", &boss), "make the administrator");
        server
    }

    fn run(folder: &Folder, more: &[String]) -> Child {
        let mut mariadbd = as_user(folder.path(), "mysql", Path::new("/usr/sbin/mariadbd"));
        let path = folder.path().display();
        mariadbd.args([
            "--no-defaults",
            "--innodb-log-file-size=8M",
            "--innodb-buffer-pool-size=16M",
        ]);
        mariadbd.args(["--innodb-flush-log-at-trx-commit=2", "--general-log=1"]);
        mariadbd.args([
            format!("--datadir={path}/data"),
            format!("--socket={path}/sock"),
            format!("--pid-file={path}/pid"),
        ]);
        mariadbd.args(more);
        mariadbd.arg(format!("--general-log-file={path}/general.log"));
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(folder.path().join("log"))
            .unwrap();
        mariadbd.stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn wait(&self, user: &str, password: &str) {
        wait_until(DEADLINE, "MariaDB accepts connections", || {
            self.client(user, password, "SELECT 1")
                .output()
                .unwrap()
                .status
                .success()
        });
    }

    pub(crate) fn kill(&mut self) {
        end(&mut self.process, rustix::process::Signal::KILL);
    }

    pub(crate) fn start_again(&mut self) {
        self.process = Self::run(&self.folder, &self.more);
        self.wait("boss", PASSWORD);
    }

    fn client(&self, user: &str, password: &str, sql: &str) -> Command {
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--batch", "--skip-column-names", "-u", user, "-e", sql]);
        client
            .arg(format!("--socket={}/sock", self.folder.path().display()))
            .env("MYSQL_PWD", password);
        client
    }

    /// Runs SQL as the administrator.
    pub(crate) fn sql(&self, sql: &str) -> String {
        succeed(self.client("boss", PASSWORD, sql), sql)
    }

    pub(crate) fn url(&self, user: &str, password: &str, database: &str) -> Address {
        let folder = self.folder.path().display();
        address(&format!(
            "mysql://{user}:{}@localhost/{database}?socket={folder}/sock",
            encoded(password)
        ))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("general.log")).unwrap()
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for an event for which `wanted` returns something.
pub(crate) async fn wait_for<T>(source: &mut Source, what: &str, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    let mut met = Vec::new();
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            let event = source.next().await;
            if let Some(found) = wanted(&event) {
                return found;
            }
            met.push(event);
        }
    });
    let waited = waited.await;
    waited.unwrap_or_else(|_| panic!("waited {DEADLINE:?} for {what}; told were {met:?}"))
}

/// Waits until the value of a key is told to be this; none for a key that is not there.
pub(crate) async fn wait_for_value(source: &mut Source, key: &str, value: Option<Value>) -> Rows {
    let what = format!("{key} = {value:?}");
    wait_for(source, &what, |event| match event {
        Event::Rows { rows, .. } if value_of(rows, key) == value => Some(rows.clone()),
        _ => None,
    })
    .await
}

pub(crate) fn value_of(rows: &Rows, key: &str) -> Option<Value> {
    rows.rows.iter().find(|row| row.key == key).map(|row| row.value.clone())
}

/// Waits until it is told that the rows cannot be read, for a reason in which this stands.
pub(crate) async fn wait_for_away(source: &mut Source, reason: &str) -> String {
    let away = |event: &Event| match event {
        Event::Away { why, .. } if why.contains(reason) => Some(why.clone()),
        _ => None,
    };
    let why = wait_for(source, reason, away).await;
    assert!(!why.contains(PASSWORD), "{why}");
    why
}

pub(crate) async fn wait_for_back(source: &mut Source) {
    wait_for(source, "the database is back", |event| {
        (*event == Event::Back).then_some(())
    })
    .await;
}
