//! Runs a command in an environment the daemon resolved, with this terminal, as a child of this process.
//!
//! Knows nothing of stacks. The daemon is not between the command and the terminal, so it may end meanwhile.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Gid, Pid, Signal, Uid};
use tend_api::messages::EnvironmentReport;
use tend_api::{Client, EnvironmentQuery, RunEnding, RunReport};
use tend_core::observed::Exit;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::context::Context;
use crate::error::{Error, Result};

/// Added to a signal's number, as shells report it.
const SIGNALLED: i32 = 128;

/// How long the daemon may take to write down how the command ended: its exit code is not held up for longer.
const REPORT_MAX: Duration = Duration::from_secs(5);

/// Asks for an environment, runs the command in it to its end, has that written down, and returns its exit code.
pub(super) async fn run(
    context: &mut Context<'_>,
    client: &Client,
    query: EnvironmentQuery,
    command: Vec<OsString>,
) -> Result<u8> {
    let environment = client.environment(query.clone()).await?;
    let begun = context.now().mono;
    let ended = run_in(context, environment, command).await;
    let ending = match &ended {
        Ok(status) => RunEnding::Ended(exit(*status)),
        Err(error) => RunEnding::NotStarted(text::not_started(error)),
    };
    let ran = context.now().mono.since(begun);
    let report = RunReport {
        query,
        ending,
        after_ms: u64::try_from(ran.as_millis()).unwrap_or(u64::MAX),
    };
    // The daemon may have ended meanwhile, or be older than this report; the command has run all the same.
    let why = match tokio::time::timeout(REPORT_MAX, client.run_finished(report)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(text::NO_ANSWER.to_owned()),
    };
    if let Some(why) = why {
        context.note(&text::not_written_down(&why))?;
    }
    Ok(exit_code(ended?))
}

async fn run_in(
    context: &mut Context<'_>,
    environment: EnvironmentReport,
    command: Vec<OsString>,
) -> Result<ExitStatus> {
    if let Some(cgroup) = &environment.cgroup
        && let Err(error) = join(cgroup)
    {
        context.note(&text::without_limits(&cgroup.display().to_string(), &error))?;
    }
    // A terminal's name is the terminal's, not the service's.
    let terminal = context.surroundings.environment.get("TERM").cloned();
    context.flush()?;

    // A terminal sends these to the command as well: this process only has to outlive them. Handled, not ignored, because an ignored
    // signal would be ignored by the command too.
    let mut swallowed = [SignalKind::interrupt(), SignalKind::quit()]
        .map(signal)
        .into_iter()
        .collect::<io::Result<Vec<_>>>()
        .map_err(Error::Begin)?;
    // These come from elsewhere, to this process alone.
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::Begin)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(Error::Begin)?;

    let (started, mut pid) = oneshot::channel();
    let (ended, mut outcome) = oneshot::channel();
    // A thread of its own: it takes on the service's user, for good, while the rest of this process keeps its own.
    std::thread::spawn(move || {
        // Both receivers live until the end of this function.
        let _ = ended.send(run_here(&environment, terminal, &command, started));
    });
    let mut child = None;
    let mut told = false;
    let status = loop {
        let (interrupts, quits) = swallowed.split_at_mut(1);
        tokio::select! {
            status = &mut outcome => break status,
            started = &mut pid, if !told => {
                told = true;
                // None: it could not be started, as the outcome will say.
                child = started.ok();
            }
            _ = interrupts[0].recv() => {}
            _ = quits[0].recv() => {}
            _ = terminated.recv() => pass_on(child, Signal::TERM),
            _ = hung_up.recv() => pass_on(child, Signal::HUP),
        }
    };
    match status {
        Ok(status) => status,
        Err(_) => Err(Error::Begin(io::Error::other(text::THREAD_ENDED))),
    }
}

/// Moves this process into a cgroup, so that the command is in it from its first instruction.
fn join(cgroup: &Path) -> io::Result<()> {
    std::fs::write(cgroup.join("cgroup.procs"), "0")
}

fn run_here(
    environment: &EnvironmentReport,
    terminal: Option<String>,
    command: &[OsString],
    started: oneshot::Sender<Pid>,
) -> Result<ExitStatus> {
    become_user(environment)?;
    let mut program = Command::new(&command[0]);
    program
        .args(&command[1..])
        .current_dir(&environment.directory)
        .env_clear();
    if let Some(terminal) = terminal {
        program.env("TERM", terminal);
    }
    program.envs(
        environment
            .environment
            .iter()
            .map(|(name, value)| (name, value.expose())),
    );
    let failed = |source| Error::Program {
        program: command[0].to_string_lossy().into_owned(),
        source,
    };
    let mut child = program.spawn().map_err(failed)?;
    // The receiver is gone when nobody passes signals on any more.
    let _ = started.send(Pid::from_child(&child));
    child.wait().map_err(failed)
}

/// Takes the service's user, group and supplementary groups on, in this thread and what it starts.
fn become_user(environment: &EnvironmentReport) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(environment.uid), Gid::from_raw(environment.gid));
    if !rustix::process::geteuid().is_root() {
        if (uid, gid) == (rustix::process::geteuid(), rustix::process::getegid()) {
            return Ok(());
        }
        return Err(Error::Identity {
            uid: environment.uid,
            gid: environment.gid,
            source: io::ErrorKind::PermissionDenied.into(),
        });
    }
    let groups: Vec<Gid> = environment.groups.iter().copied().map(Gid::from_raw).collect();
    rustix::thread::set_thread_groups(&groups)
        .and_then(|()| rustix::thread::set_thread_gid(gid))
        .and_then(|()| rustix::thread::set_thread_uid(uid))
        .map_err(|source| Error::Identity {
            uid: environment.uid,
            gid: environment.gid,
            source: source.into(),
        })
}

fn pass_on(child: Option<Pid>, signal: Signal) {
    if let Some(child) = child {
        // A child that has just ended needs no signal; its exit code is on its way.
        let _ = rustix::process::kill_process(child, signal);
    }
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Exited(code),
        (None, Some(signal)) => Exit::Signalled {
            signal,
            core_dumped: status.core_dumped(),
        },
        (None, None) => Exit::Unknown(text::NO_STATUS.to_owned()),
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

mod text {
    pub(super) const NO_ANSWER: &str = "the daemon did not answer in time";
    pub(super) const NO_STATUS: &str = "the system does not say";
    pub(super) const THREAD_ENDED: &str = "the thread that runs the command ended early";

    pub(super) fn not_started(error: &crate::error::Error) -> String {
        let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
        tend_base::without_os_numbers(&format!("{error}{cause}"))
    }

    pub(super) fn not_written_down(why: &str) -> String {
        format!("how the command ended is not in the journal: {why}")
    }

    pub(super) fn without_limits(cgroup: &str, error: &std::io::Error) -> String {
        format!("the service's limits do not apply to the command: could not join `{cgroup}`: {error}")
    }
}
