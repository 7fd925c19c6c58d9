//! One virtual machine: boot, wait, cut its power.
//!
//! Owns the processes of user-mode Linux and that none of them outlives its time. Knows nothing of what runs inside.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::Error;

/// Debian's kernel as a program.
const KERNEL: &str = "linux.uml";

/// The second disk of a scenario that asks for one, in its run folder; `/dev/ubdb` inside.
pub(super) const DISK: &str = "disk.img";

/// What the machine may have of this one's memory.
const MEMORY: &str = "mem=512M";

/// From the start of the kernel to that of the scenario, on a busy host.
const BOOT_MAX: Duration = Duration::from_secs(45);

/// How often the state of the machine is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running machine. Dropped, it is gone.
pub(super) struct Machine {
    /// Leader of a group in which all processes of the machine are: the guest's processes are processes of this host.
    child: Child,
    until: Instant,
}

impl Machine {
    /// Boots from `base`, which is only read, with what is written kept in `run` beside it. `round` is what the guest is told.
    ///
    /// No network device is given. The console goes to `run/console`.
    pub(super) fn boot(base: &Path, run: &Path, scenario: &str, round: u32, time_max: Duration) -> Result<Self, Error> {
        let started = |source| Error::Start {
            command: KERNEL.to_owned(),
            source,
        };
        let console = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(run.join("console"))
            .map_err(started)?;
        let complaints = console.try_clone().map_err(started)?;
        let mut command = Command::new(KERNEL);
        command
            .arg(MEMORY)
            .arg(format!("ubd0={},{}", run.join("cow").display(), base.display()))
            .arg(format!("hostfs={}", run.join("host").display()))
            .arg(format!("uml_dir={}/", run.display()))
            .args([
                "root=/dev/ubda",
                "ro",
                "quiet",
                "selinux=0",
                "con=null",
                "con0=null,fd:1",
                "ssl=null",
            ])
            .args(["systemd.show_status=false"])
            .arg(format!("tend.scenario={scenario}"))
            .arg(format!("tend.round={round}"))
            // Should this program be killed before it could end the machine, the guest ends itself.
            .arg(format!("tend.seconds={}", time_max.as_secs()))
            .env_remove("TMPDIR")
            .env("HOME", run)
            .current_dir(run)
            .stdin(Stdio::null())
            .stdout(Stdio::from(console))
            .stderr(Stdio::from(complaints))
            // The kernel makes a session of its own unless it leads a group already; then all its processes stay in this one.
            .process_group(0);
        if run.join(DISK).exists() {
            command.arg(format!("ubd1={}", run.join(DISK).display()));
        }
        let child = command.spawn().map_err(started)?;
        Ok(Self {
            child,
            until: Instant::now() + time_max + BOOT_MAX,
        })
    }

    /// Waits until a file is there. Returns how the machine ended when it did so first.
    pub(super) fn wait_for_file(&mut self, path: &Path) -> Result<Option<String>, Error> {
        while !path.exists() {
            if let Some(ended) = self.ended()? {
                return Ok(Some(ended));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(None)
    }

    /// Waits until the machine has ended, or ends it when its time is over; returns how it ended, for a person.
    pub(super) fn wait(mut self) -> Result<String, Error> {
        loop {
            if let Some(ended) = self.ended()? {
                return Ok(ended);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Kills every process of the machine at once, as when its power goes. What it had not handed to its disk is lost.
    pub(super) fn cut_power(mut self) -> Result<(), Error> {
        self.kill();
        self.child.wait().map(drop).map_err(waited)
    }

    fn ended(&mut self) -> Result<Option<String>, Error> {
        if let Some(status) = self.child.try_wait().map_err(waited)? {
            // Nothing of it may be left: its disk is opened again.
            self.kill();
            return Ok(Some(told(status)));
        }
        if Instant::now() >= self.until {
            self.kill();
            self.child.wait().map_err(waited)?;
            return Ok(Some("its time was over, and it was killed".to_owned()));
        }
        Ok(None)
    }

    fn kill(&self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // A group that is gone already is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

fn waited(source: std::io::Error) -> Error {
    Error::Start {
        command: KERNEL.to_owned(),
        source,
    }
}

fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "it powered off".to_owned(),
        (Some(code), _) => format!("its kernel ended with {code}"),
        (None, Some(signal)) => format!("its kernel was killed by signal {signal}"),
        (None, None) => "its kernel ended".to_owned(),
    }
}
