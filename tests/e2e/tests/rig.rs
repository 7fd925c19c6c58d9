//! A tend of its own for each test: private folders, private ports, the real programs, and nothing left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take before the test gives up. Far above what it takes even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// Asserts that it succeeded and returns what it printed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Returns all it said.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// A machine with a tend of its own.
pub(crate) struct Machine {
    pub(crate) folder: PathBuf,
    /// Whom commands and daemon run as, when not as this test.
    user: Option<u32>,
}

impl Machine {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tend-e2e-{}-{number}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // Replicas run as users of their own and must get here.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Self { folder, user: None };
        // The checkout may stand in a private folder; the programs have to be where every user can run them.
        for program in ["tend", "mps-api", "e2e-service"] {
            let copy = machine.folder.join(program);
            // By a process of its own: a test beside this one that starts a program at the very moment would inherit the file while it is
            // open for writing, and until that program runs nobody may run this one (ETXTBSY).
            let copied = Command::new("cp")
                .arg(tend_testkit::program(program))
                .arg(&copy)
                .status()
                .unwrap();
            assert!(copied.success(), "{program} could not be copied");
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        machine
    }

    /// Has all commands, and so the daemon, run as another user; the folder becomes theirs.
    pub(crate) fn run_by(mut self, uid: u32) -> Self {
        for entry in std::fs::read_dir(&self.folder).unwrap() {
            std::os::unix::fs::chown(entry.unwrap().path(), Some(uid), Some(uid)).unwrap();
        }
        std::os::unix::fs::chown(&self.folder, Some(uid), Some(uid)).unwrap();
        self.user = Some(uid);
        self
    }

    /// Returns a command in this machine's environment.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let path = self.folder.join(program);
        let mut command = match self.user {
            Some(uid) => {
                let mut command = Command::new("setpriv");
                let uid = uid.to_string();
                command
                    .args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
                    .arg(path);
                command
            }
            None => Command::new(path),
        };
        command.args(arguments);
        self.in_its_environment(command)
    }

    /// Puts a command into this machine's environment.
    pub(crate) fn in_its_environment(&self, mut command: Command) -> Command {
        command
            .current_dir(&self.folder)
            .env("TEND_STATE", self.folder.join("state"))
            .env("TEND_RUN", self.folder.join("run"))
            .env("TEND_SECRETS_RUN", self.memory())
            .env("HOME", &self.folder)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Returns the folder in memory where replicas find what must not be on a disk.
    pub(crate) fn memory(&self) -> PathBuf {
        Path::new("/dev/shm").join(self.folder.file_name().unwrap_or_default())
    }

    /// Runs `tend` with arguments to its end.
    pub(crate) fn tend(&self, arguments: &[&str]) -> Done {
        let output = self.command("tend", arguments).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `tend` and reads what it prints as JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let printed = self.tend(&arguments).ok();
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Writes a stack file into a folder of its own and returns the folder.
    pub(crate) fn stack(&self, name: &str, text: &str) -> String {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("stack.yml");
        std::fs::write(&file, format!("name: {name}\n{text}")).unwrap();
        if let Some(uid) = self.user {
            std::os::unix::fs::chown(&folder, Some(uid), Some(uid)).unwrap();
            std::os::unix::fs::chown(&file, Some(uid), Some(uid)).unwrap();
        }
        folder.display().to_string()
    }

    /// Puts the reference system beside the programs, listening at `port`, and returns its folder.
    pub(crate) fn mps(&self, port: u16) -> String {
        self.mps_as("mps", port, |text| text)
    }

    /// Does the same under another name, with its stack file changed.
    pub(crate) fn mps_as(&self, name: &str, port: u16, change: impl FnOnce(String) -> String) -> String {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks/mps/stack.yml");
        let text = std::fs::read_to_string(source).unwrap();
        let text = text
            .replace(
                "${MPS_API:-../../target/release/mps-api}",
                &self.folder.join("mps-api").display().to_string(),
            )
            .replace("${MPS_LISTEN:-127.0.0.1:8080}", &format!("127.0.0.1:{port}"));
        let folder = self.stack(name, &change(text.replace("name: mps\n", "")));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks/mps");
        let beside = [source.join("config"), source.join("rules")];
        let copied = Command::new("cp").arg("-r").args(beside).arg(&folder).status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "no configuration and no rules of mps"
        );
        folder
    }

    /// Returns the daemon's process id.
    pub(crate) fn daemon(&self) -> i32 {
        let text = std::fs::read_to_string(self.folder.join("run/daemon.lock")).unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Returns the edge's process id.
    pub(crate) fn edge(&self) -> i32 {
        self.roles("edge").first().copied().expect("an edge runs")
    }

    /// Returns the process ids of a role of this machine's tend.
    pub(crate) fn roles(&self, role: &str) -> Vec<i32> {
        let folder = self.folder.display().to_string();
        processes()
            .filter(|(_, command)| {
                let mut words = command.split('\0');
                words.next().is_some_and(|program| program.starts_with(&folder)) && words.next() == Some(role)
            })
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Returns the process ids of a service's replicas that have one, by slot.
    pub(crate) fn pids(&self, stack: &str, service: &str) -> Vec<i32> {
        let status = self.json(&["status", stack]);
        let services = status["services"].as_array().unwrap();
        let service = services
            .iter()
            .find(|candidate| candidate["name"] == service)
            .expect("the service is known");
        let replicas = service["replicas"].as_array().unwrap();
        replicas
            .iter()
            .filter_map(|replica| replica["pid"].as_i64())
            .map(|pid| i32::try_from(pid).unwrap())
            .collect()
    }

    /// Returns the states of a service's replicas, by slot.
    pub(crate) fn states(&self, stack: &str, service: &str) -> Vec<String> {
        let status = self.json(&["status", stack]);
        let services = status["services"].as_array().unwrap();
        let service = services
            .iter()
            .find(|candidate| candidate["name"] == service)
            .expect("the service is known");
        let replicas = service["replicas"].as_array().unwrap();
        replicas
            .iter()
            .map(|replica| replica["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until all of so many replicas are ready.
    #[track_caller]
    pub(crate) fn wait_ready(&self, stack: &str, service: &str, count: usize) {
        wait_until(&format!("{count} replicas of {stack}/{service} are ready"), || {
            self.states(stack, service) == vec!["ready"; count]
        });
    }

    /// Returns the events of a kind, oldest first.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let printed = self.tend(&["events", "--kind", kind, "--json"]).ok();
        printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Starts the daemon in place of one that was killed, and waits until it answers.
    pub(crate) fn start_daemon(&self) {
        let start = || {
            let log = std::fs::File::create(self.folder.join("daemon-again.log")).unwrap();
            self.command("tend", &["daemon"]).stderr(log).spawn().unwrap()
        };
        let mut child = start();
        wait_until("the daemon answers", || {
            // What the killed one was just starting may hold its lock for a moment more; then whoever restarts daemons tries again.
            if child.try_wait().unwrap().is_some() {
                child = start();
            }
            self.tend(&["ls"]).code == 0
        });
        // Collected beside, so that a killed daemon is gone and not a zombie of this test.
        std::thread::spawn(move || child.wait());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Whatever was started here carries this folder in its program's path or in its environment.
        tend_testkit::kill_all_of(&self.folder);
        let _ = std::fs::remove_dir_all(self.memory());
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Returns all processes with their command lines, words separated by NUL.
fn processes() -> impl Iterator<Item = (i32, String)> {
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&command).into_owned()))
    })
}

/// Sends SIGKILL.
pub(crate) fn kill(pid: i32) {
    tend_testkit::kill(pid.unsigned_abs());
}

/// Returns whether a process is there and no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    tend_testkit::is_alive(pid.unsigned_abs())
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    tend_testkit::wait_until(DEADLINE, what, condition);
}

/// Readiness of the service the tests run.
pub(crate) const READY: &str = "readiness: { http: /ready }";

/// Returns a stack file of one service, `web`, with these keys beside its command and its port.
pub(crate) fn web(keys: &[&str]) -> String {
    let mut text = "services:\n  web:\n    command: ../e2e-service\n    port: PORT\n".to_owned();
    for key in keys {
        text.push_str(&format!("    {key}\n"));
    }
    text
}

/// Returns the same stack with a route to the service.
pub(crate) fn routed_web(port: u16, path: &str, keys: &[&str]) -> String {
    format!(
        "{}edge:\n  listen: ['127.0.0.1:{port}']\n  routes:\n    - {{ path: {path}, service: web }}\n",
        web(keys)
    )
}

/// Returns a port nobody listens on. Below the kernel's ephemeral range, so that no client takes it meanwhile.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() % 97 * 20;
        let port = 10_240 + u16::try_from(number % 9000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) replica: Option<String>,
    pub(crate) body: String,
}

/// Asks `GET path` on a connection of its own.
pub(crate) fn get(port: u16, path: &str) -> std::io::Result<Answer> {
    get_with(port, path, "")
}

/// Asks the same with further header lines, each ended by CRLF.
pub(crate) fn get_with(port: u16, path: &str, headers: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // At once: a head written piece by piece is several packets.
    let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut replica = None;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("x-tend-replica")
        {
            replica = Some(value.trim().to_owned());
        }
    }
    let mut body = String::new();
    reader.read_to_string(&mut body)?;
    let status = status.ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(Answer { status, replica, body })
}
