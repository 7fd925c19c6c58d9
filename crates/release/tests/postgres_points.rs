//! A restore point of a PostgreSQL database is a dump whose tables and rows were read back, and it shows no password.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tend_core::model::Database;
use tend_release::{Error, restore_point};
use tend_testkit::{Folder, wait_until};

use crate::fixture::mode;

const OPTIONS: restore_point::Options = restore_point::Options {
    keep: 2,
    timeout: Duration::from_secs(60),
    owner: None,
};

const PASSWORD: &str = "s/ecret@%";

/// A server on a unix socket in a folder of its own, which asks for a password; stopped with the test.
struct Server {
    process: Child,
    folder: Folder,
}

const BIN: &str = "/usr/lib/postgresql/15/bin";

impl Server {
    fn start() -> Self {
        assert!(
            Path::new(BIN).join("initdb").exists(),
            "{BIN} is missing: install Debian's package postgresql-15 to run this test"
        );
        let folder = Folder::new();
        // The server refuses to run as root, so its own user must be able to write here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let password = folder.write("password", PASSWORD);
        let made = program(folder.path(), "initdb")
            .args([
                "--auth=scram-sha-256",
                "--username=mps",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "-D",
            ])
            .arg(folder.path().join("data"))
            .arg("--pwfile")
            .arg(password)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut postgres = program(folder.path(), "postgres");
        postgres
            .arg("-D")
            .arg(folder.path().join("data"))
            .arg("-k")
            .arg(folder.path());
        postgres.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = postgres.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Self { process, folder };
        wait_until(Duration::from_secs(60), "PostgreSQL accepts connections", || {
            server.psql("postgres", "SELECT 1").output().unwrap().status.success()
        });
        server
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--set",
            "ON_ERROR_STOP=1",
            "-U",
            "mps",
            "-c",
            sql,
            "-d",
            database,
            "-h",
        ]);
        psql.arg(self.folder.path()).env("PGPASSWORD", PASSWORD);
        psql
    }

    fn run(&self, database: &str, sql: &str) {
        let output = self.psql(database, sql).output().unwrap();
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn url(&self, database: &str, password: &str) -> Database {
        let password = password.replace('%', "%25").replace('/', "%2F").replace('@', "%40");
        let folder = self.folder.path().display();
        Database::Postgres(format!("postgresql://mps:{password}@/{database}?host={folder}"))
    }

    fn points(&self) -> PathBuf {
        self.folder.path().join("points")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.process.wait();
    }
}

/// A program of PostgreSQL, as its own user where we are root, and ended by the kernel should this test end without doing so.
fn program(folder: &Path, name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if fs::metadata(folder).unwrap().uid() == 0 {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command
        .args(["--pdeathsig=QUIT", "--"])
        .arg(Path::new(BIN).join(name))
        .current_dir(folder);
    command
}

#[test]
fn a_dump_is_read_back_and_every_row_of_it_counted() {
    let server = Server::start();
    server.run("postgres", "CREATE DATABASE books");
    server.run(
        "books",
        "CREATE SCHEMA app;
         CREATE TABLE app.debits (id bigserial PRIMARY KEY, text text);
         CREATE TABLE app.credits (id bigserial PRIMARY KEY, text text);
         CREATE TABLE app.\"odd \"\" name\" (a text);
         CREATE TABLE app.parts (a int) PARTITION BY RANGE (a);
         CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (0) TO (100);
         CREATE VIEW app.both AS SELECT * FROM app.debits;
         CREATE MATERIALIZED VIEW app.kept AS SELECT count(*) FROM app.credits;
         INSERT INTO app.parts SELECT generate_series(0, 41);
         INSERT INTO app.\"odd \"\" name\" VALUES (E'a\\nCOPY b FROM stdin;\\n\\\\.\\n'), (NULL), ('');
         INSERT INTO app.debits (text) SELECT repeat('x', 1000) FROM generate_series(1, 2000);
         INSERT INTO app.credits (text) SELECT repeat('x', 1000) FROM generate_series(1, 2000);",
    );
    let stop = AtomicBool::new(false);
    let point = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                server.run(
                    "books",
                    "BEGIN; INSERT INTO app.debits (text) VALUES ('new'); INSERT INTO app.credits (text) VALUES ('new'); COMMIT",
                );
            }
        });
        let point = restore_point::take(&server.url("books", PASSWORD), &server.points(), &OPTIONS);
        stop.store(true, Ordering::Relaxed);
        point.unwrap_or_else(|error| panic!("{error:?}"))
    });
    assert_eq!(point.tables["app.debits"], point.tables["app.credits"], "one moment");
    assert!(point.tables["app.debits"] >= 2000);
    assert_eq!(point.tables["app.odd \" name"], 3);
    assert_eq!(point.tables["app.parts_1"], 42);
    assert_eq!(point.tables.len(), 4, "{:?}", point.tables);
    assert_eq!(
        point.of,
        format!("postgresql://mps@/books?host={}", server.folder.path().display())
    );
    assert_eq!(
        restore_point::list(&server.points()).unwrap(),
        std::slice::from_ref(&point)
    );
    let path = point.path.unwrap();
    assert_eq!((mode(&path), mode(&server.points())), (0o600, 0o700));

    // What PostgreSQL's own program makes of it.
    server.run("postgres", "CREATE DATABASE again");
    let restored = Command::new("pg_restore")
        .args(["--exit-on-error", "-U", "mps", "-d", "again", "-h"])
        .arg(server.folder.path())
        .arg(&path)
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(
        restored.status.success(),
        "{}",
        String::from_utf8_lossy(&restored.stderr)
    );
    let counted = server
        .psql("again", "SELECT count(*) FROM app.credits")
        .args(["-A", "-t"])
        .output()
        .unwrap();
    let counted: u64 = String::from_utf8(counted.stdout).unwrap().trim().parse().unwrap();
    assert_eq!(counted, point.tables["app.credits"]);
}

#[test]
fn a_dump_that_fails_says_why_without_the_password_and_leaves_nothing() {
    let server = Server::start();
    for (database, password, says) in [
        ("postgres", "wr0ng", "password authentication failed"),
        ("none", PASSWORD, "database \"none\" does not exist"),
    ] {
        let error = restore_point::take(&server.url(database, password), &server.points(), &OPTIONS).unwrap_err();
        let text = format!("{error} {error:?} {:?}", error.hint());
        assert!(text.contains(says), "{text}");
        assert!(!text.contains(password), "{text}");
        assert_eq!(fs::read_dir(server.points()).unwrap().count(), 0);
    }
    // A database with nothing in it is one.
    server.run("postgres", "CREATE DATABASE empty");
    let point = restore_point::take(&server.url("empty", PASSWORD), &server.points(), &OPTIONS).unwrap();
    assert!(point.tables.is_empty() && point.bytes > 0);
}

#[test]
fn a_table_that_stays_locked_is_given_up_in_time() {
    let server = Server::start();
    server.run("postgres", "CREATE DATABASE books");
    server.run("books", "CREATE TABLE debits (id int)");
    let mut holder = server
        .psql(
            "books",
            "BEGIN; LOCK TABLE debits IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)",
        )
        .spawn()
        .unwrap();
    let locked = "SELECT 1 / count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
    wait_until(Duration::from_secs(60), "the table is locked", || {
        server
            .psql("books", locked)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    });
    let options = restore_point::Options {
        timeout: Duration::from_secs(2),
        ..OPTIONS
    };
    let taken = restore_point::take(&server.url("books", PASSWORD), &server.points(), &options);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let error = taken.unwrap_err();
    assert!(
        matches!(&error, Error::ProgramTimeout { program, .. } if program == "pg_dump"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("pg_stat_activity"));
    assert_eq!(fs::read_dir(server.points()).unwrap().count(), 0);
}
