//! The shim: one small process per replica, which owns the replica's output, watches it and tells how it ended.
//!
//! Owns what happens inside that process. It knows no stack and no daemon: it is told what to run by the file `spec` and
//! talks to whoever connects to `shim.sock`. It has one thread, no runtime and no buffers of size, because there is one
//! for each replica; `docs/design/0020-shim.md` has the figures and the reasons.

mod child;
mod clients;
mod screen;
mod stream;
mod watch;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketType;
use tend_base::{Clock as _, SystemClock};

use crate::cgroup;
use crate::spec::{SPEC_FILE, Spec};
use crate::state::{
    Attempt, EXIT_FILE, Evidence, ExitRecord, Outcome, OutputCounters, STATE_FILE, State, boot_id, replace_file,
};
use crate::{fifo, host};
use watch::{Replica, Watch};

/// Ended well: the replica's end is on record.
const CODE_OK: i32 = 0;
/// Another shim holds the folder.
const CODE_TAKEN: i32 = 3;
/// The arguments are not a folder.
const CODE_USAGE: i32 = 64;
/// The folder cannot be used.
const CODE_FOLDER: i32 = 74;

/// Runs a shim until its replica has ended, and returns the code to exit with.
///
/// `args` is what follows `tend shim`: a replica's folder, or `--takeover` and the folder of a replica whose shim was
/// killed. Call it first thing in `main`, before there is a second thread or much memory in use.
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> i32 {
    let args: Vec<OsString> = args.into_iter().collect();
    match &args[..] {
        [flag, folder] if flag == "--takeover" => run(folder.into(), true),
        [folder] => run(folder.into(), false),
        _ => CODE_USAGE,
    }
}

fn run(folder: PathBuf, takeover: bool) -> i32 {
    child::block_signals();
    child::close_inherited();
    // Fails for the leader of a process group, which whoever runs a shim by hand in a terminal is.
    let _ = rustix::process::setsid();
    let umask = rustix::process::umask(Mode::from_raw_mode(0o077)).as_raw_mode();
    // Orphans of the replica's tree come to the shim, so that they can be found and are collected.
    let _ = rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1));
    let Ok(inherited) = Inherited::take() else {
        return CODE_FOLDER;
    };
    // Everything in the folder is used by relative name, for which a socket's path has room.
    if rustix::process::chdir(&folder).is_err() {
        return CODE_FOLDER;
    }
    let folder = std::env::current_dir().unwrap_or(folder);
    let Ok(_lock) = lock() else {
        return CODE_TAKEN;
    };
    let mut watch = match Watch::new(folder, inherited.control) {
        Ok(watch) => watch,
        Err(_) => return CODE_FOLDER,
    };
    // Before anything is read from the replica: it must not reach the disk before it is known for what to look.
    watch.hear_first();
    let begun = if takeover {
        take_over(&mut watch)
    } else {
        start(&mut watch, inherited.null, inherited.listen, umask)
    };
    if let Err(outcome) = begun {
        watch.end(outcome);
    }
    watch.run();
    CODE_OK
}

/// The descriptors `spawn_shim` hands over: 0 is one end of a socket pair to the daemon, 1 the replica's listening socket.
struct Inherited {
    control: Option<OwnedFd>,
    listen: Option<OwnedFd>,
    null: OwnedFd,
}

impl Inherited {
    fn take() -> io::Result<Self> {
        let stdin = rustix::stdio::stdin();
        let stdout = rustix::stdio::stdout();
        let kind = |fd| rustix::net::sockopt::socket_type(fd).ok();
        let copy = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
        let control = match kind(stdin) {
            Some(SocketType::SEQPACKET) => Some(copy(stdin)?),
            _ => None,
        };
        let listen = match kind(stdout) {
            Some(_) => Some(copy(stdout)?),
            None => None,
        };
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let null = rustix::io::fcntl_dupfd_cloexec(&null, 3)?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        Ok(Self { control, listen, null })
    }
}

/// Two shims for one replica would tear its output apart.
fn lock() -> Result<OwnedFd, Errno> {
    let file = rustix::fs::open(
        host::LOCK_FILE,
        OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o600),
    )?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Starts what `spec` says and leaves it to `watch`.
fn start(watch: &mut Watch, null: OwnedFd, listen: Option<OwnedFd>, umask: u32) -> Result<(), Outcome> {
    let not_started = |failure| Outcome::NotStarted(failure);
    let prepare =
        |what: &str, error: io::Error| child::failed(Attempt::Prepare, what, error.raw_os_error().unwrap_or(0));
    let text = fs::read(SPEC_FILE).map_err(|error| not_started(prepare(SPEC_FILE, error)))?;
    // It holds the replica's secrets and is needed no more, whatever comes of the start.
    let _ = fs::remove_file(SPEC_FILE);
    let spec =
        Spec::decode(&text).map_err(|why| not_started(child::failed(Attempt::Prepare, &format!("spec: {why}"), 0)))?;
    drop(text);
    watch.incarnation.clone_from(&spec.incarnation);
    let fifos = [fifo::STDOUT, fifo::STDERR].map(|name| {
        fifo::make(Path::new(name), spec.user.as_ref())?;
        // Two open files each: the replica's blocks, the shim's does not.
        Ok::<_, io::Error>((fifo::open(Path::new(name), true)?, fifo::open(Path::new(name), false)?))
    });
    let [stdout, stderr] = fifos;
    let (stdout, replica_stdout) = stdout.map_err(|error| not_started(prepare(fifo::STDOUT, error)))?;
    let (stderr, replica_stderr) = stderr.map_err(|error| not_started(prepare(fifo::STDERR, error)))?;
    watch.log_to(stdout, stderr, &spec.logs);

    let shim_pid = own_pid();
    let oom_kills_before = spec.cgroup.as_deref().map_or(0, cgroup::oom_kills);
    let state_of = |pid| {
        Ok::<_, io::Error>(State {
            incarnation: spec.incarnation.clone(),
            release: spec.release.clone(),
            quiesce: spec.quiesce.clone(),
            shim_pid,
            replica: Evidence::of(pid)?,
            cgroup: spec.cgroup.clone(),
            oom_kills_before,
            logs: spec.logs.clone(),
        })
    };
    let pid = child::start(
        &spec,
        &child::Descriptors {
            null: null.as_fd(),
            stdout: replica_stdout.as_fd(),
            stderr: replica_stderr.as_fd(),
            listen: listen.as_ref().map(AsFd::as_fd),
        },
        umask,
        || {
            let mut state = state_of(own_pid())?;
            // Until it executes, its executable is the shim's.
            state.replica.executable = None;
            replace_file(Path::new(STATE_FILE), &state.encode())
        },
    )
    .map_err(not_started)?;
    let state = state_of(pid).map_err(|error| not_started(prepare("/proc", error)))?;
    // Without the executable the state on disk still names the process by pid, start time and boot.
    let _ = replace_file(Path::new(STATE_FILE), &state.encode());
    watch.watch(Replica::Child, state);
    Ok(())
}

/// Goes on where a killed shim was.
fn take_over(watch: &mut Watch) -> Result<(), Outcome> {
    let unknown = |why: &str| Outcome::Ended(crate::Exit::Unknown(why.to_owned()));
    if let Ok(record) = fs::read(EXIT_FILE)
        .map_err(|_| ())
        .and_then(|text| ExitRecord::decode(&text).map_err(|_| ()))
    {
        watch.already_ended(record);
        return Ok(());
    }
    let mut state = fs::read(STATE_FILE)
        .ok()
        .and_then(|text| State::decode(&text).ok())
        .ok_or_else(|| unknown("its shim was killed before it had started it"))?;
    watch.incarnation.clone_from(&state.incarnation);
    for name in [fifo::STDOUT, fifo::STDERR] {
        fifo::make(Path::new(name), None).map_err(|error| unknown(&error.to_string()))?;
    }
    let open = |name| fifo::open(Path::new(name), true).map_err(|error| unknown(&error.to_string()));
    watch.log_to(open(fifo::STDOUT)?, open(fifo::STDERR)?, &state.logs);
    state.shim_pid = own_pid();
    if boot_id().ok().as_ref() != Some(&state.replica.boot_id) {
        return Err(unknown("the machine was restarted meanwhile"));
    }
    let recognised = host::recognise(&state.replica, Path::new(".")).map_err(|why| unknown(&why.to_string()))?;
    state.replica.executable = recognised.executable;
    let _ = replace_file(Path::new(STATE_FILE), &state.encode());
    watch.watch(Replica::Adopted(recognised.pidfd), state);
    Ok(())
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

/// What the shim writes down when the replica is over.
fn record(incarnation: &str, replica: Option<&Evidence>, outcome: Outcome, output: OutputCounters) -> ExitRecord {
    ExitRecord {
        incarnation: incarnation.to_owned(),
        replica_pid: replica.map_or(0, |replica| replica.pid),
        outcome,
        started: replica.map(Evidence::started),
        at: SystemClock.now().mono,
        output,
    }
}
