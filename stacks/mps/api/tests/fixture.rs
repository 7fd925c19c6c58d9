//! What the tests stand on: own folders, a PostgreSQL server of their own, a replica of the service, a plain HTTP request.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mps_api::{Config, DatabaseUrl};
use serde_json::Value as Json;

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

/// A folder of one test, removed with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "mps-api-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a fresh folder can be made");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0);
        // A second panic would hide the first.
        assert!(
            removed.is_ok() || std::thread::panicking(),
            "{} is left behind: {removed:?}",
            self.0.display()
        );
    }
}

/// Returns the settings of a replica on `database`, without demo data.
pub(crate) fn config(database: DatabaseUrl) -> Config {
    let config = Config::read(|_| None).expect("the defaults are valid");
    Config {
        database,
        pool_size: 8,
        replica: "test/api/1".to_owned(),
        ..config
    }
}

/// A PostgreSQL server on a unix socket in a folder of its own, stopped with the test.
pub(crate) struct PostgresServer {
    process: Child,
    folder: Folder,
    databases: u32,
}

const POSTGRES_BIN: &str = "/usr/lib/postgresql/15/bin";

impl PostgresServer {
    pub(crate) fn start() -> PostgresServer {
        assert!(
            Path::new(POSTGRES_BIN).join("initdb").exists(),
            "{POSTGRES_BIN} is missing: install Debian's package postgresql-15 to run this test"
        );
        let folder = Folder::new();
        // The server refuses to run as root, so its own user must be able to write here.
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).expect("own folder");
        let data = folder.0.join("data");
        let made = server_command(&folder.0, "initdb")
            .args([
                "--auth=trust",
                "--username=mps",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .expect("setpriv runs");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let process = run_server(&folder.0);
        let server = PostgresServer {
            process,
            folder,
            databases: 0,
        };
        server.wait_until_up();
        server
    }

    /// Stops the server as a crash would; its data stay.
    pub(crate) fn stop(&mut self) {
        signal(self.process.id(), "QUIT");
        self.process.wait().expect("own child");
    }

    /// Starts the server again after [`PostgresServer::stop`].
    pub(crate) fn start_again(&mut self) {
        self.process = run_server(&self.folder.0);
        self.wait_until_up();
    }

    fn wait_until_up(&self) {
        let url = self.url("postgres");
        wait_for("PostgreSQL to accept connections", || {
            postgres::Client::connect(&url, postgres::NoTls).ok()
        });
    }

    /// Makes an empty database and returns its URL.
    pub(crate) fn new_database(&mut self) -> String {
        self.databases += 1;
        let name = format!("mps_{}", self.databases);
        let mut client = postgres::Client::connect(&self.url("postgres"), postgres::NoTls).expect("the server accepts");
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .expect("a database can be made");
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=mps", self.folder.0.display())
    }
}

fn run_server(folder: &Path) -> Child {
    let mut command = server_command(folder, "postgres");
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args([
        "-c",
        "listen_addresses=",
        "-c",
        "fsync=off",
    ]);
    let log = fs::File::create(folder.join("log")).expect("own folder");
    command.stdout(Stdio::null()).stderr(log).spawn().expect("setpriv runs")
}

/// A program of PostgreSQL, as its own user where we are root, and ended by the kernel should this test end without doing so.
fn server_command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    if fs::metadata(folder).expect("own folder").uid() == 0 {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command
        .args(["--pdeathsig=QUIT", "--"])
        .arg(Path::new(POSTGRES_BIN).join(program))
        .current_dir(folder);
    command
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if self.process.try_wait().expect("own child").is_none() {
            self.stop();
        }
    }
}

/// Runs the program in an environment of its own, with its data in `folder`, to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Output {
    program(folder, arguments, environment)
        .output()
        .expect("the program runs")
}

/// Returns the program in an environment of its own, with its data in `folder`.
pub(crate) fn program(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mps-api"));
    command
        .args(arguments)
        .env_clear()
        .env("TEND_DATA_DIR", folder)
        .envs(environment.iter().copied());
    command
}

fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -s {signal} {pid}");
}

/// A replica of the service in a process of its own, killed with the test.
pub(crate) struct Replica {
    process: Child,
    /// Its port on loopback.
    pub(crate) port: u16,
    /// Its output, read to keep the pipe open.
    _output: BufReader<std::process::ChildStdout>,
}

impl Replica {
    /// Starts a replica on `port` (0: any) with demo data in `folder`, and waits until it listens.
    pub(crate) fn start(folder: &Path, port: u16, environment: &[(&str, &str)]) -> Replica {
        let mut process = Command::new(env!("CARGO_BIN_EXE_mps-api"))
            .env_clear()
            .envs([
                ("PORT", port.to_string().as_str()),
                ("MPS_SEED", "demo"),
                ("LOG_LEVEL", "info"),
                ("TEND_REPLICA", "mps/api/7"),
            ])
            .env("TEND_DATA_DIR", folder)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let mut output = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("its output can be read");
        let line: Json = serde_json::from_str(&line).expect("a line of its log is JSON");
        let address = line["address"].as_str().expect("its first line says where it listens");
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("an address has a port");
        Replica {
            process,
            port,
            _output: output,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn terminate(&self) {
        signal(self.process.id(), "TERM");
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("own child");
        self.process.wait().expect("own child");
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the replica to end", || self.process.try_wait().expect("own child"))
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Response {
        self.request("POST", path, &[], body)
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the replica listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline above zero");
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: mps\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).expect("the replica reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the replica answers");
        Response::parse(&answer)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It may have ended already, which is what some tests are about.
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}

/// An answer of the service.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Response {
    fn parse(text: &str) -> Response {
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .expect("an answer has a status");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Response {
            status,
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }
}
