//! A tend of its own on the small disk, with one stack that measures the exporters and tells the receiver. Knows no promise.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::now_ms;
use super::verdict::Victim;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The machine.
pub(super) struct Machine {
    /// Programs, sockets and texts. Not on the small disk, as `/run` is not.
    folder: PathBuf,
    disk: PathBuf,
    listen: u16,
}

/// A disk that is being kept full.
pub(super) struct Fill {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    ballast: PathBuf,
}

const RULES: &str = "
groups:
  - name: kills
    rules:
      - record: kills:raised
        expr: sum(kills_raised)
      - alert: Raised
        expr: kills_raised == 1
        labels: { severity: critical }
";

impl Machine {
    pub(super) fn up(programs: &Path, disk: PathBuf, exporters: &[u16], receiver: u16) -> Result<Self> {
        let folder = beside(&disk);
        std::fs::create_dir_all(folder.join("stack"))?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
        std::fs::copy(programs.join("tend"), folder.join("tend"))?;
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let machine = Self { folder, disk, listen };
        let targets: Vec<String> = exporters.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
        machine.write(
            "stack.yml",
            &format!(
                "name: kills\nservices:\n  idle:\n    command: sleep 100000\n\
                 metrics: {{ interval: 1s, timeout: 900ms, listen: '127.0.0.1:{listen}', config: prometheus.yml, collect: {{ node: false, processes: false }} }}\n\
                 alerts: {{ rules: rules.yml, alertmanager: alertmanager.yml, absent: false }}\n"
            ),
        )?;
        machine.write(
            "prometheus.yml",
            &format!(
                "global: {{ scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s }}\n\
                 scrape_configs: [ {{ job_name: kills, static_configs: [ {{ targets: [{}] }} ] }} ]\n",
                targets.join(", ")
            ),
        )?;
        machine.write("rules.yml", RULES)?;
        machine.write(
            "alertmanager.yml",
            &format!(
                "route: {{ receiver: hook, group_by: [number], group_wait: 0s, group_interval: 500ms, repeat_interval: 4h }}\n\
                 receivers: [ {{ name: hook, webhook_configs: [ {{ url: 'http://127.0.0.1:{receiver}/' }} ] }} ]\n"
            ),
        )?;
        machine.tend(&["up", "stack"])?;
        machine.wait("the monitor answers", || machine.answers())?;
        Ok(machine)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.folder.join("stack").join(name), text)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.folder.join("tend"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("TEND_STATE", self.disk.join("state"))
            .env("TEND_RUN", self.folder.join("run"))
            .env("TEND_SECRETS_RUN", self.folder.join("memory"))
            .env("HOME", &self.folder)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    fn tend(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Err(Error::other(format!("`tend {}` failed: {said}", arguments.join(" "))))
    }

    fn wait(&self, what: &str, mut look: impl FnMut() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !look() {
            if begun.elapsed() > DEADLINE {
                return Err(Error::other(format!("{what}: not within {} s", DEADLINE.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Processes of a role of this machine's tend.
    fn roles(&self, role: &str) -> Vec<i32> {
        // Of this machine are the programs of its folder, and copies beside its state.
        let ours = self.disk.display().to_string();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let command = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
                let mut words = command.split('\0');
                let is_ours = words.next().is_some_and(|program| program.starts_with(&ours));
                (is_ours && words.next() == Some(role)).then_some(pid)
            })
            .collect()
    }

    /// Kills; returns when.
    pub(super) fn kill(&self, victim: Victim) -> Result<u64> {
        let role = match victim {
            Victim::Monitor => "monitor",
            Victim::Daemon => "daemon",
        };
        self.wait(&format!("there is a {role} to kill"), || !self.roles(role).is_empty())?;
        let pids = self.roles(role);
        let at = now_ms();
        for pid in &pids {
            if let Some(pid) = Pid::from_raw(*pid) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        self.wait(&format!("the {role} is gone"), || {
            let left = self.roles(role);
            pids.iter().all(|pid| !left.contains(pid))
        })?;
        if victim == Victim::Daemon {
            self.start_daemon()?;
        }
        Ok(at)
    }

    fn start_daemon(&self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("daemon.log"))?;
        let mut child = self.command(&["daemon"]).stdout(Stdio::null()).stderr(log).spawn()?;
        // Collected beside, so that one that is killed is gone.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Waits until what was killed is there again.
    pub(super) fn wait_back(&self, victim: Victim) -> Result<()> {
        match victim {
            Victim::Monitor => self.wait("a monitor opened the store after a kill and answers", || self.answers()),
            Victim::Daemon => self.wait("a daemon answers after a kill", || {
                // One that dies has no command line any more and its lock still: the next one may have found it there.
                if self.roles("daemon").is_empty() {
                    let _ = self.start_daemon();
                }
                self.tend(&["status"]).is_ok()
            }),
        }
    }

    fn answers(&self) -> bool {
        self.get("/-/ready").is_ok()
    }

    fn get(&self, path: &str) -> Result<String> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.listen));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(Error::other(format!("{path}: {answer}"))),
        }
    }

    /// Returns port and serial of each scrape whose first and last series are in the store.
    pub(super) fn serials(&self) -> Result<BTreeSet<(u16, u64)>> {
        let mut found: BTreeMap<(u16, u64), usize> = BTreeMap::new();
        for name in ["kills_first", "kills_last"] {
            let answer: Value = serde_json::from_str(&self.get(&format!("/api/v1/query?query={name}%5B2h%5D"))?)?;
            for series in answer["data"]["result"].as_array().into_iter().flatten() {
                let instance = series["metric"]["instance"].as_str().unwrap_or_default();
                let port = instance
                    .rsplit(':')
                    .next()
                    .and_then(|port| port.parse().ok())
                    .unwrap_or(0);
                for sample in series["values"].as_array().into_iter().flatten() {
                    if let Some(serial) = sample[1].as_str().and_then(|serial| serial.parse().ok()) {
                        *found.entry((port, serial)).or_default() += 1;
                    }
                }
            }
        }
        Ok(found
            .into_iter()
            .filter(|(_, count)| *count == 2)
            .map(|(serial, _)| serial)
            .collect())
    }

    /// Returns the alerts that the journal has.
    pub(super) fn alerts_in_journal(&self) -> Result<BTreeSet<u64>> {
        let events = self.tend(&["events", "--kind", "alert.fired", "--tail", "100000", "--json"])?;
        let mut found = BTreeSet::new();
        for line in events.lines() {
            let event: Value = serde_json::from_str(line)?;
            found.extend(
                event["data"]["labels"]["number"]
                    .as_str()
                    .and_then(|number| number.parse::<u64>().ok()),
            );
        }
        Ok(found)
    }

    pub(super) fn verify(&self) -> Result<()> {
        self.tend(&["events", "verify"]).map(drop)
    }

    /// Fills the disk to the last byte and keeps it so: what others free is taken, too.
    pub(super) fn fill(&self) -> Result<Fill> {
        let ballast = self.disk.join("ballast");
        let mut file = File::create(&ballast)?;
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        fill_up(&mut file);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                fill_up(&mut file);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Ok(Fill { over, thread, ballast })
    }

    /// Takes it all down. What is left ends with the name space.
    pub(super) fn down(&self) {
        let _ = self.tend(&["down", "kills"]);
        let _ = self.tend(&["shutdown"]);
    }
}

/// The folder of what is not on the disk. Its name begins as that of the disk.
pub(super) fn beside(disk: &Path) -> PathBuf {
    disk.with_extension("d")
}

fn fill_up(file: &mut File) {
    while file.write_all(&[0; 65_536]).is_ok() {}
    while file.write_all(&[0; 512]).is_ok() {}
}

impl Fill {
    /// Makes room again.
    pub(super) fn end(self) -> Result<()> {
        self.over.store(true, Ordering::SeqCst);
        self.thread
            .join()
            .map_err(|_| Error::other("the thread that fills the disk broke"))?;
        std::fs::remove_file(self.ballast)
    }
}
