//! One replica's folders for a test, its shim, and waiting for things to come true. Leaves no process and no file behind.

use std::cell::RefCell;
use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions};
use tend_linux::{
    Adoption, Command, Exit, ExitRecord, Hello, LogSettings, Outcome, Report, Secrets, ShimConnection, ShimHandle,
    Spec, Tree, WhenBehind, adopt, become_subreaper, pidfd_open, pidfd_send_signal, spawn_shim, spawn_takeover,
};
use tend_redact::Value;

/// Longer than anything takes on a busy machine, short enough that a hang is found.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) home: PathBuf,
    /// What a shim is told to look for.
    pub(crate) secrets: Vec<Value>,
    /// Shims it started, to be collected.
    shims: RefCell<Vec<i32>>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let home = std::env::temp_dir().join(format!(
            "tend-linux-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir_all(&home).unwrap();
        // So that replicas whose shim is killed come here and are collected, as they come to the daemon.
        become_subreaper().unwrap();
        Self {
            home,
            secrets: Vec::new(),
            shims: RefCell::default(),
        }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.home.join("replica")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }

    /// A spec that runs a line of shell.
    pub(crate) fn shell(&self, line: &str) -> Spec {
        self.spec(&["/bin/sh", "-c", line])
    }

    pub(crate) fn spec(&self, argv: &[&str]) -> Spec {
        Spec {
            incarnation: "test/1".to_owned(),
            release: None,
            quiesce: None,
            argv: argv.iter().map(Into::into).collect(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            directory: self.home.clone(),
            user: None,
            cgroup: None,
            open_files_max: None,
            listen_descriptor: None,
            secrets: 0,
            logs: LogSettings {
                directory: self.logs(),
                file_bytes_max: 10 << 20,
                files_max: 5,
                when_behind: WhenBehind::Drop,
                redact: false,
            },
        }
    }

    pub(crate) fn spawn(&self, spec: &Spec) -> ShimHandle {
        self.spawn_with(spec, None)
    }

    pub(crate) fn spawn_with(&self, spec: &Spec, listen: Option<BorrowedFd<'_>>) -> ShimHandle {
        self.spawn_given(spec, &Secrets::default(), listen)
    }

    pub(crate) fn spawn_given(&self, spec: &Spec, secrets: &Secrets, listen: Option<BorrowedFd<'_>>) -> ShimHandle {
        let shim = spawn_shim(probe(), &self.folder(), spec, secrets, listen, &self.secrets).unwrap();
        self.shims.borrow_mut().push(shim.pid);
        shim
    }

    pub(crate) fn take_over(&self) -> ShimHandle {
        let shim = spawn_takeover(probe(), &self.folder(), &self.secrets).unwrap();
        self.shims.borrow_mut().push(shim.pid);
        shim
    }

    /// Standard output of the replica, all files in order.
    pub(crate) fn stdout(&self) -> String {
        self.stream(tend_linux::StreamKind::Stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        self.stream(tend_linux::StreamKind::Stderr)
    }

    fn stream(&self, stream: tend_linux::StreamKind) -> String {
        // Files that are renamed between listing and reading would be missed or read twice.
        loop {
            let files = tend_linux::log_files(&self.logs(), stream).unwrap();
            let inodes = || -> Option<Vec<u64>> {
                let found = files
                    .iter()
                    .map(|file| fs::metadata(&file.path).map(|found| found.ino()));
                found.collect::<Result<_, _>>().ok()
            };
            let before = inodes();
            let texts: Result<String, _> = files.iter().map(|file| fs::read_to_string(&file.path)).collect();
            let count = tend_linux::log_files(&self.logs(), stream).unwrap().len();
            if let Ok(text) = texts
                && before.is_some()
                && before == inodes()
                && count == files.len()
            {
                return text;
            }
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let folder = self.folder();
        if let Ok(Adoption::Running(adopted)) = adopt(&folder) {
            let replica = adopted.evidence.pid;
            let tree = Tree {
                replica: adopted.evidence,
                shim_pid: None,
                folder,
                cgroup: adopted.cgroup,
            };
            tree.kill().unwrap();
            self.shims.borrow_mut().push(replica);
        }
        // A shim ends by itself once its replica has and nobody is connected.
        for pid in self.shims.take() {
            if std::thread::panicking() {
                // A test that failed may leave a shim that hangs. The number is still its own: nobody collected it.
                let _ = pidfd_open(pid).map(|shim| pidfd_send_signal(shim, 9));
            }
            let ended = |pid| rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
            if !std::thread::panicking() {
                until("a shim ended", || !matches!(ended(pid), Ok(None)));
            }
        }
        let _ = fs::remove_dir_all(&self.home);
    }
}

pub(crate) fn probe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tend-shim-probe"))
}

/// Waits for the next report of a kind that `pick` wants.
pub(crate) fn report<T>(connection: &ShimConnection, mut pick: impl FnMut(Report) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(report) = connection.try_receive().unwrap() {
            if let Some(wanted) = pick(report) {
                return wanted;
            }
        }
        assert!(Instant::now() < deadline, "the shim said nothing");
        let wait = Timespec { tv_sec: 1, tv_nsec: 0 };
        poll(
            &mut [PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::IN)],
            Some(&wait),
        )
        .unwrap();
    }
}

/// Waits for the greeting that says that the replica runs, or is over.
pub(crate) fn hello(connection: &ShimConnection) -> Hello {
    report(connection, |report| match report {
        Report::Hello(hello) => Some(hello),
        _ => None,
    })
}

pub(crate) fn exited(connection: &ShimConnection) -> ExitRecord {
    report(connection, |report| match report {
        Report::Exited(record) => Some(record),
        _ => None,
    })
}

pub(crate) fn exit(connection: &ShimConnection) -> Exit {
    match exited(connection).outcome {
        Outcome::Ended(exit) => exit,
        Outcome::NotStarted(failure) => panic!("{failure}"),
    }
}

/// Sends a command and waits until it was carried out.
pub(crate) fn obey(connection: &ShimConnection, command: Command) {
    connection.send(command).unwrap();
    report(connection, |report| match report {
        Report::Done(_) => Some(()),
        Report::Failed { command, why } => panic!("{command}: {why}"),
        Report::Unsupported(word) => panic!("{word} is not supported"),
        _ => None,
    });
}

/// Waits until something is true.
#[track_caller]
pub(crate) fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// SIGKILL, and waits until the process is gone or a zombie.
pub(crate) fn kill(pid: i32) {
    let pidfd = pidfd_open(pid).unwrap();
    pidfd_send_signal(&pidfd, 9).unwrap();
    until("a process died of SIGKILL", || !is_alive(pid));
}

pub(crate) fn is_alive(pid: i32) -> bool {
    tend_linux::ProcStat::read(pid).is_ok_and(|stat| !stat.is_zombie())
}
