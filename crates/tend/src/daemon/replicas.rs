//! Watching shims: every replica has one, and what it reports becomes an input.
//!
//! ```text
//!  spawn ─► hello (not started) ─► hello (process) ─► exited ─► release ─► folder removed
//!                        └─► exited (never started)     ▲
//!            connection lost: shim killed ─► takeover ──┘
//! ```

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tend_base::Mono;
use tend_core::controller::Input;
use tend_core::model::{Quiesce, ReplicaId};
use tend_core::observed::{Exit, Lived, StartFailure};
use tend_linux::{Adoption, Command, ExitRecord, Outcome, OutputHold, Report, ShimConnection, ShimHandle};
use tokio::signal::unix::Signal;
use tokio::sync::oneshot;

use super::answer::logs;
use super::identity;
use super::readiness::Readiness;
use super::record;
use super::secrets;
use super::shared::Shared;
use super::steps::Performer;

/// Lines kept in a crash card: what fits a screen beside the rest.
const LAST_LINES: u32 = 20;

/// What one life of a replica is called in its folder: enough to recognise all of it without the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) replica: ReplicaId,
    pub(crate) incarnation: u64,
    pub(crate) fingerprint: u64,
    pub(crate) port: Option<u16>,
}

impl Life {
    /// Writes it as the text the shim keeps.
    pub(crate) fn text(&self) -> String {
        format!(
            "{} {} {} {}",
            self.replica,
            self.incarnation,
            self.fingerprint,
            self.port.unwrap_or(0)
        )
    }

    /// Reads what [`Life::text`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        Some(Self {
            replica: parts.next()?.parse().ok()?,
            incarnation: parts.next()?.parse().ok()?,
            fingerprint: parts.next()?.parse().ok()?,
            port: parts.next()?.parse().ok().filter(|port| *port > 0),
        })
    }
}

/// Writes how a replica is emptied before it is stopped as the text its shim keeps.
pub(crate) fn quiesce_text(quiesce: &Quiesce) -> String {
    serde_json::json!(quiesce).to_string()
}

/// Reads what [`quiesce_text`] wrote; none where another version wrote what cannot be read, which is then not known.
fn parse_quiesce(text: &str) -> Option<Quiesce> {
    serde_json::from_str(text).ok()
}

/// The shims by replica.
#[derive(Default)]
pub(crate) struct Replicas {
    live: Mutex<BTreeMap<ReplicaId, Live>>,
    /// Children somebody waits for by himself; held while one is started, so that it is not collected before it is named.
    waited_for: Mutex<Vec<i32>>,
    /// How orphans ended that were collected: the only trace of a replica whose shim was killed first.
    collected: Mutex<BTreeMap<i32, tend_linux::Exit>>,
    /// How many are at work who start children of their own and wait for them.
    employers: AtomicUsize,
}

struct Live {
    incarnation: u64,
    folder: PathBuf,
    /// Absent while there is no shim.
    connection: Option<Arc<ShimConnection>>,
    /// Keeps what is in the FIFOs while no shim does.
    _output: OutputHold,
}

impl Replicas {
    /// Returns the way to a replica's shim, if it is that life's.
    pub(crate) fn connection(&self, replica: &ReplicaId, incarnation: u64) -> Option<Arc<ShimConnection>> {
        let live = lock(&self.live);
        live.get(replica)
            .filter(|live| live.incarnation == incarnation)?
            .connection
            .clone()
    }

    /// Returns the folder of a replica's life.
    pub(crate) fn folder(&self, replica: &ReplicaId, incarnation: u64) -> Option<PathBuf> {
        let live = lock(&self.live);
        live.get(replica)
            .filter(|live| live.incarnation == incarnation)
            .map(|live| live.folder.clone())
    }

    /// Starts a child that the caller waits for himself.
    pub(crate) fn start_child(&self, command: &mut std::process::Command) -> std::io::Result<std::process::Child> {
        let mut waited_for = lock(&self.waited_for);
        let child = command.spawn()?;
        waited_for.push(pid_of(&child));
        Ok(child)
    }

    /// Says that a child was waited for.
    pub(crate) fn end_child(&self, child: &std::process::Child) {
        lock(&self.waited_for).retain(|pid| *pid != pid_of(child));
    }

    /// Says that somebody is at work who starts children of their own and waits for them, for as long as the value lives.
    pub(crate) fn employ(&self) -> Employer<'_> {
        self.employers.fetch_add(1, Ordering::SeqCst);
        Employer(self)
    }

    fn collect(&self) {
        let waited_for = lock(&self.waited_for);
        let employing = self.employers.load(Ordering::SeqCst) > 0;
        // Shims and replicas are in sessions of their own; who is in this one's was started here.
        let own = |pid: i32| waited_for.contains(&pid) || (employing && is_of_this_session(pid));
        let ended = tend_linux::reap_orphans(own).unwrap_or_default();
        let mut collected = lock(&self.collected);
        collected.extend(ended);
        while collected.len() > COLLECTED_MAX {
            collected.pop_first();
        }
    }

    fn take_collected(&self, pid: i32) -> Option<tend_linux::Exit> {
        lock(&self.collected).remove(&pid)
    }
}

/// Somebody who starts children of their own and waits for them.
pub(crate) struct Employer<'a>(&'a Replicas);

impl Drop for Employer<'_> {
    fn drop(&mut self) {
        self.0.employers.fetch_sub(1, Ordering::SeqCst);
        // What they left behind is nobody else's to collect.
        self.0.collect();
    }
}

fn is_of_this_session(pid: i32) -> bool {
    let own = rustix::process::getsid(None).map(|session| session.as_raw_nonzero().get());
    tend_linux::ProcStat::read(pid).is_ok_and(|stat| own == Ok(stat.session))
}

fn pid_of(child: &std::process::Child) -> i32 {
    i32::try_from(child.id()).unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Orphans remembered; only those of the last moments can still be asked for.
const COLLECTED_MAX: usize = 1024;

/// Collects children that ended and that nobody waits for: shims, and replicas whose shim was killed.
pub(crate) fn reap(shared: Arc<Shared>, mut children: Signal) {
    // Without it such a replica is handed to init, and how it ended is known only where the kernel tells through a pidfd.
    let _ = tend_linux::become_subreaper();
    tokio::spawn(async move {
        loop {
            shared.replicas.collect();
            if children.recv().await.is_none() {
                return;
            }
        }
    });
}

/// Returns the folder of one life of a replica. Short, because a socket in it has a short path; its state file says whose it is.
pub(crate) fn folder_of(shared: &Shared, life: &Life) -> PathBuf {
    let hash = tend_base::fnv64(life.replica.to_string().as_bytes());
    shared
        .paths
        .run
        .join("r")
        .join(format!("{hash:016x}.{}", life.incarnation))
}

/// Looks at every replica's folder and reports what runs and what ended, before anything is decided.
pub(crate) async fn adopt_all(performer: &Arc<Performer>) {
    let shared = &performer.shared;
    let entries = std::fs::read_dir(shared.paths.run.join("r"))
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<(Life, PathBuf, Adoption)> = Vec::new();
    for folder in entries.map(|entry| entry.path()) {
        let Ok(adoption) = tend_linux::adopt(&folder) else {
            continue;
        };
        let name = match &adoption {
            Adoption::Running(adopted) => adopted.incarnation.clone(),
            Adoption::Gone(record) => record.incarnation.clone(),
            Adoption::Foreign(_) => String::new(),
        };
        match Life::parse(&name) {
            Some(life) => found.push((life, folder, adoption)),
            // Nothing ever ran here, or it cannot be told what: there is nothing to take over.
            None => remove(shared, &folder),
        }
    }
    // Earlier lives first, so that the last word is that of the latest.
    found.sort_by_key(|(life, ..)| (life.replica.clone(), life.incarnation));
    for (life, folder, adoption) in found {
        let adopted = |pid: u32, since: Mono, quiesce: Option<Quiesce>, shim_alive: bool| Input::Adopted {
            replica: life.replica.clone(),
            incarnation: life.incarnation,
            pid,
            since,
            port: life.port,
            fingerprint: life.fingerprint,
            quiesce,
            shim_alive,
        };
        match adoption {
            Adoption::Running(running) => {
                // Before its shim is connected to, or another takes over.
                let of = life.replica.clone();
                let launch = performer
                    .hub
                    .ask(move |controller, _| super::answer::environment::launch_of(controller.world(), &of));
                if let Some(launch) = launch.await {
                    performer.learn(life.replica.stack.as_str(), &launch.environment);
                }
                let pid = u32::try_from(running.evidence.pid).unwrap_or(0);
                let quiesce = running.quiesce.as_deref().and_then(parse_quiesce);
                let since = running.evidence.started();
                performer
                    .hub
                    .input(adopted(pid, since, quiesce, running.shim.is_some()))
                    .await;
                match running.shim {
                    Some(connection) => {
                        watch(performer, life, folder, Arc::new(connection), running.output, None);
                    }
                    None => hold(performer, &life, folder, running.output),
                }
            }
            Adoption::Gone(record) => {
                let last = performer.hub.ask({
                    let replica = life.replica.clone();
                    move |controller, _| {
                        controller
                            .world()
                            .replicas
                            .get(&replica)
                            .map(|replica| replica.incarnation)
                    }
                });
                // Also of a life so short that nobody had time to write it down.
                if last.await.is_none_or(|last| life.incarnation >= last) {
                    let pid = u32::try_from(record.replica_pid).unwrap_or(0);
                    performer.hub.input(adopted(pid, record.at, None, true)).await;
                    report_exit(performer, &life, record).await;
                }
                remove_when_written(performer, &folder).await;
            }
            Adoption::Foreign(_) => remove(shared, &folder),
        }
    }
    secrets::sweep(shared, &shared.paths.run.join("r"));
    remove_empty_groups(shared);
}

/// Removes the control groups that lives of an earlier daemon left behind; one with a process in it stays.
fn remove_empty_groups(shared: &Shared) {
    let Some(hierarchy) = &shared.cgroups else { return };
    let own = format!("{}.", shared.name);
    for group in hierarchy.groups().unwrap_or_default() {
        let name = group
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.starts_with(&own) {
            let _ = tend_linux::remove_group(&group);
        }
    }
}

/// Tells every shim of a stack for which secrets to look.
pub(crate) fn tell_secrets(shared: &Shared, stack: &str) {
    let Some(values) = shared.known_secrets.to_tell(stack) else {
        return;
    };
    for (replica, live) in lock(&shared.replicas.live).iter() {
        if replica.stack.as_str() == stack
            && let Some(connection) = &live.connection
        {
            // A shim that is gone is replaced, and its successor told.
            let _ = connection.redact(&values);
        }
    }
}

/// Keeps a replica without shim on the list until a shim takes over.
fn hold(performer: &Arc<Performer>, life: &Life, folder: PathBuf, output: OutputHold) {
    let live = Live {
        incarnation: life.incarnation,
        folder,
        connection: None,
        _output: output,
    };
    lock(&performer.shared.replicas.live).insert(life.replica.clone(), live);
}

/// The answer to a start: the process id, or why there is none.
pub(crate) type Started = oneshot::Sender<Result<u32, StartFailure>>;

/// Watches a shim that was just started.
pub(crate) fn watch_new(
    performer: &Arc<Performer>,
    life: Life,
    folder: PathBuf,
    shim: ShimHandle,
    started: Option<Started>,
) {
    watch(performer, life, folder, Arc::new(shim.connection), shim.output, started);
}

fn watch(
    performer: &Arc<Performer>,
    life: Life,
    folder: PathBuf,
    connection: Arc<ShimConnection>,
    output: OutputHold,
    started: Option<Started>,
) {
    let live = Live {
        incarnation: life.incarnation,
        folder: folder.clone(),
        connection: Some(Arc::clone(&connection)),
        _output: output,
    };
    lock(&performer.shared.replicas.live).insert(life.replica.clone(), live);
    // Also to one that was told at its start: more may have become known since. One that cannot be told was lost, which shows below.
    if let Some(values) = performer.shared.known_secrets.to_tell(life.replica.stack.as_str()) {
        let _ = connection.redact(&values);
    }
    let performer = Arc::clone(performer);
    tokio::spawn(async move {
        let over = listen(&performer, &life, &connection, started).await;
        if !over {
            lost(&performer, &life, &folder).await;
            return;
        }
        // What it left behind in its group goes with it; then its shim writes out what the FIFOs still hold and ends.
        let _ = connection.send(Command::KillTree);
        let _ = connection.send(Command::Release);
        let _ = tokio::time::timeout(RELEASE_MAX, until_closed(&connection)).await;
        forget(&performer.shared, &life);
        remove_when_written(&performer, &folder).await;
        remove_group(&performer.shared, &life);
    });
}

/// A shim that was released and did not end by then is left alone.
const RELEASE_MAX: Duration = Duration::from_secs(30);

/// Hands on what a shim reports. Returns true once the replica is over, false when the shim is gone before.
async fn listen(
    performer: &Arc<Performer>,
    life: &Life,
    connection: &ShimConnection,
    mut started: Option<Started>,
) -> bool {
    let Ok(readable) = Readiness::of(connection.as_fd()) else {
        return false;
    };
    loop {
        let report = readable
            .read(|| match connection.try_receive() {
                Ok(Some(report)) => Ok(Some(report)),
                Ok(None) => Err(std::io::ErrorKind::WouldBlock.into()),
                Err(_) => Ok(None),
            })
            .await;
        match report {
            Ok(Some(Report::Hello(hello))) => {
                if let (Some(evidence), Some(started)) = (&hello.replica, started.take_if(|_| hello.replica.is_some()))
                {
                    // The step may have been given up meanwhile.
                    let _ = started.send(Ok(u32::try_from(evidence.pid).unwrap_or(0)));
                    tokio::task::yield_now().await;
                }
            }
            Ok(Some(Report::Exited(record))) => {
                match (started.take(), &record.outcome) {
                    (Some(started), Outcome::NotStarted(failure)) => {
                        let _ = started.send(Err(start_failure(failure)));
                    }
                    (Some(started), Outcome::Ended(_)) => {
                        // It ran, however short: first that it started, then that it ended.
                        let pid = u32::try_from(record.replica_pid).unwrap_or(0);
                        let _ = started.send(Ok(pid));
                        tokio::task::yield_now().await;
                        report_exit(performer, life, record).await;
                    }
                    (None, _) => report_exit(performer, life, record).await,
                }
                return true;
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return false,
        }
    }
}

async fn until_closed(connection: &ShimConnection) {
    let Ok(readable) = Readiness::of(connection.as_fd()) else {
        return;
    };
    let closed = readable.read(|| match connection.try_receive() {
        Ok(None) => Err(std::io::ErrorKind::WouldBlock.into()),
        Ok(Some(_)) => Err(std::io::ErrorKind::WouldBlock.into()),
        Err(_) => Ok(()),
    });
    let _ = closed.await;
}

/// A shim is gone before its replica was over: finds out which of the two it was.
async fn lost(performer: &Arc<Performer>, life: &Life, folder: &Path) {
    let input = |exit: Exit, lines: Vec<String>| Input::Exited {
        replica: life.replica.clone(),
        incarnation: life.incarnation,
        exit,
        lived: None,
        last_lines: lines,
    };
    match tend_linux::adopt(folder) {
        Ok(Adoption::Running(_)) => {
            let (replica, incarnation) = (life.replica.clone(), life.incarnation);
            performer.hub.input(Input::ShimLost { replica, incarnation }).await;
        }
        Ok(Adoption::Gone(mut record)) => {
            if let Some(exit) = performer.shared.replicas.take_collected(record.replica_pid) {
                record.outcome = Outcome::Ended(exit);
            }
            report_exit(performer, life, record).await;
            forget(&performer.shared, life);
            remove_when_written(performer, folder).await;
        }
        Ok(Adoption::Foreign(why)) => {
            performer.hub.input(input(Exit::Unknown(why), Vec::new())).await;
            forget(&performer.shared, life);
            remove(&performer.shared, folder);
        }
        Err(error) => {
            performer
                .hub
                .input(input(Exit::Unknown(error.to_string()), Vec::new()))
                .await;
            forget(&performer.shared, life);
        }
    }
}

async fn report_exit(performer: &Arc<Performer>, life: &Life, record: ExitRecord) {
    let lived = record.started.map(|from| Lived { from, to: record.at });
    let exit = match record.outcome {
        Outcome::Ended(exit) => observed_exit(exit),
        Outcome::NotStarted(failure) => Exit::Unknown(failure.to_string()),
    };
    // Its shim may be older than redaction.
    let patterns = performer.shared.known_secrets.patterns(life.replica.stack.as_str());
    let last_lines = logs::last_lines_in(&performer.shared.logs_folder(), &life.replica, LAST_LINES);
    let last_lines = last_lines.iter().map(|line| patterns.redact(line)).collect();
    let (replica, incarnation) = (life.replica.clone(), life.incarnation);
    performer
        .hub
        .input(Input::Exited {
            replica,
            incarnation,
            exit,
            lived,
            last_lines,
        })
        .await;
    let dropped = record.output.stdout_dropped + record.output.stderr_dropped;
    if dropped > 0 {
        performer.record_dropped(life, dropped);
    }
}

/// Takes a life off the list, unless a later one stands there already.
fn forget(shared: &Shared, life: &Life) {
    let mut live = lock(&shared.replicas.live);
    if live
        .get(&life.replica)
        .is_some_and(|live| live.incarnation == life.incarnation)
    {
        live.remove(&life.replica);
    }
}

/// Removes the folder of a life that is over, once its end stands in the journal: until then the folder is what tells of it.
/// Where the end cannot be written, the folder stays for the next daemon.
async fn remove_when_written(performer: &Arc<Performer>, folder: &Path) {
    // The hub takes things in order, and so does the store: what was reported before is written before.
    performer.hub.ask(|_, _| ()).await;
    let written = record::commit(&performer.shared.store, tend_store::Batch::new()).await;
    if written.is_ok() {
        remove(&performer.shared, folder);
    }
}

fn remove(shared: &Shared, folder: &Path) {
    secrets::forget(shared, folder);
    // What cannot be removed is looked at again when the daemon next starts.
    let _ = std::fs::remove_dir_all(folder);
}

/// Removes the control group of a life that is over; one that still has a process in it stays, and says so by being there.
fn remove_group(shared: &Shared, life: &Life) {
    if let Some(hierarchy) = &shared.cgroups {
        let group = hierarchy.group(&identity::group_name(shared, &life.replica, life.incarnation));
        let _ = tend_linux::remove_group(&group);
    }
}

fn observed_exit(exit: tend_linux::Exit) -> Exit {
    match exit {
        tend_linux::Exit::Exited(code) => Exit::Exited(code),
        tend_linux::Exit::Signalled { signal, core } => Exit::Signalled {
            signal,
            core_dumped: core,
        },
        tend_linux::Exit::OomKilled => Exit::OomKilled,
        tend_linux::Exit::Unknown(why) => Exit::Unknown(why),
    }
}

fn start_failure(failure: &tend_linux::StartFailure) -> StartFailure {
    StartFailure {
        why: failure.to_string(),
        hint: failure.hint(),
        permanent: is_permanent(failure),
        port_taken: false,
    }
}

/// Returns whether trying again without a change is pointless.
fn is_permanent(failure: &tend_linux::StartFailure) -> bool {
    use tend_linux::Attempt;
    matches!(
        failure.attempt,
        Attempt::User | Attempt::OpenFiles | Attempt::Directory | Attempt::Execute
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_read_as_it_is_written() {
        for port in [None, Some(24_000)] {
            let life = Life {
                replica: "mps/api/2".parse().unwrap(),
                incarnation: 7,
                fingerprint: u64::MAX,
                port,
            };
            assert_eq!(Life::parse(&life.text()), Some(life));
        }
        assert_eq!(Life::parse("something else"), None);
    }

    #[test]
    fn how_a_replica_is_emptied_is_read_as_it_is_written() {
        let quiesce = Quiesce {
            path: "/stop claiming".to_owned(),
            in_flight_path: "/metrics".to_owned(),
            in_flight_metric: Some("in_flight{queue=\"payouts\"}".to_owned()),
            deadline: Duration::from_millis(1500),
        };
        assert_eq!(parse_quiesce(&quiesce_text(&quiesce)), Some(quiesce));
        assert_eq!(parse_quiesce("something else"), None);
    }
}
