//! What replicas are given of their stack's configuration, and what each of them holds of it.
//!
//! ```text
//!  keeper ── deliver(parts) ─┬─► sockets of replicas that watch ── ack ──► held
//!                            └─► files of the others ── ready ── signal ──► held
//!  start ─── give ──► variables, a socket or a file, before its process is there
//! ```
//! Owns sockets and files; what is in a part is decided by who makes it, and when a replica is started anew by the controller.
//!
//! What is about to be in force is told before it is written down ([`Deliveries::expect`]): a replica that is started for it right after finds
//! it. Replicas of the release that a deployment brings hold that from their start, all others what was in force before, until it is decided
//! which of the two stays.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tend_base::Secret;
use tend_core::model::{FileFormat, ReplicaId, ServiceName, StackName};
use tend_core::observed::StartFailure;
use tend_linux::Credentials;
use tend_watch::{Notice, Outcome, Owner, Publisher, Rendered, Written, write_rendered};
use tokio::sync::Notify;

use crate::daemon::secrets;
use crate::daemon::shared::Shared;

/// Tells a replica where it asks for its configuration.
const SOCKET_VARIABLE: &str = "TEND_CONFIG_SOCKET";

/// Tells a replica which file its configuration is in.
const FILE_VARIABLE: &str = "TEND_CONFIG_FILE";

/// In the folder of a life: the number of the revision that its process is known to have.
const HELD_FILE: &str = "held";

/// What the replicas of a service are given of the revision in force.
pub(super) struct Part {
    /// Its number.
    pub(super) revision: u64,
    /// In which way.
    pub(super) way: Way,
    /// Variables with secrets that are not in the store.
    pub(super) outside: Vec<(String, Secret)>,
    /// Secrets whose values are not at hand, and why; nothing is started without them.
    pub(super) missing: Vec<String>,
}

/// In which way a part is given.
pub(super) enum Way {
    /// As variables, which the controller has.
    Environment,
    /// On a socket.
    Watch(Arc<tend_watch::Revision>),
    /// In a file.
    File {
        format: FileFormat,
        text: Secret,
        /// Name and version of the secrets of the store that are in it.
        secrets: BTreeMap<String, u64>,
        /// Any secret is in it.
        is_secret: bool,
        /// Sent when it was written anew.
        signal: Option<i32>,
    },
}

/// What is known of one life of a replica.
struct Life {
    incarnation: u64,
    /// Where its socket or file is.
    place: PathBuf,
    /// The folder of its life, where it is written down what it was given.
    folder: PathBuf,
    owner: Option<Owner>,
    /// The revision it holds, as far as that was observed.
    held: Option<u64>,
    /// The revision its file holds.
    written: Option<u64>,
    /// Its file was written anew, and it was not told yet.
    is_to_be_told: bool,
    /// Why it does not have the newest.
    refused: Option<(u64, String)>,
    /// The revision that it was started for.
    since: u64,
    /// It was started for a revision that is gone: it is given nothing any more.
    is_left: bool,
}

/// Somebody whose file was written anew, and who is to be told.
pub(super) struct Telling {
    pub(super) replica: ReplicaId,
    pub(super) incarnation: u64,
    pub(super) revision: u64,
    pub(super) signal: i32,
}

/// What each service is given.
type Parts = BTreeMap<ServiceName, Arc<Part>>;

#[derive(Default)]
struct Inner {
    publisher: Option<Publisher>,
    parts: BTreeMap<StackName, Parts>,
    /// What is about to be in force.
    coming: BTreeMap<StackName, (u64, Parts)>,
    lives: BTreeMap<ReplicaId, Life>,
    lines: BTreeMap<StackName, Vec<String>>,
    /// Stacks that have other secrets than when they were last looked at.
    stale: BTreeSet<StackName>,
}

impl Inner {
    /// Returns what a replica is to be given that is started for a revision.
    fn part_since(&self, replica: &ReplicaId, revision: u64) -> Option<Arc<Part>> {
        let coming = self.coming.get(&replica.stack).filter(|(of, _)| *of <= revision);
        let parts = coming
            .map(|(_, parts)| parts)
            .or_else(|| self.parts.get(&replica.stack))?;
        parts
            .get(&replica.service)
            .filter(|part| part.revision >= revision)
            .cloned()
    }

    /// Returns what a replica that runs is to be given now.
    fn part(&self, replica: &ReplicaId) -> Option<Arc<Part>> {
        let life = self.lives.get(replica)?;
        match life.is_left {
            true => None,
            false => self.part_since(replica, life.since),
        }
    }

    /// Publishes what is newest where replicas of a stack watch.
    fn publish(&mut self, stack: &StackName) {
        let watching: Vec<ReplicaId> = self.lives.keys().filter(|id| id.stack == *stack).cloned().collect();
        for replica in watching {
            if let (Some(part), Some(publisher)) = (self.part(&replica), self.publisher.clone())
                && let Way::Watch(revision) = &part.way
                && let Err(error) = publisher.publish(&replica.to_string(), revision)
                && let Some(life) = self.lives.get_mut(&replica)
            {
                life.refused = Some((part.revision, error.to_string()));
            }
        }
    }
}

/// All that is given to replicas.
#[derive(Default)]
pub(crate) struct Deliveries {
    inner: Mutex<Inner>,
    /// Woken when something is stale.
    woken: Notify,
    /// Held by who writes files: of two texts the newer is written last.
    writing: Mutex<()>,
}

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Maps of facts, valid after any prefix of a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that other versions of a stack's secrets are current.
    pub(crate) fn secrets_changed(&self, stack: &StackName) {
        self.lock().stale.insert(stack.clone());
        self.woken.notify_one();
    }

    /// Waits until a stack has other secrets, and returns which.
    pub(super) async fn stale(&self) -> BTreeSet<StackName> {
        loop {
            let stale = std::mem::take(&mut self.lock().stale);
            if !stale.is_empty() {
                return stale;
            }
            self.woken.notified().await;
        }
    }

    /// Takes where sockets are opened.
    pub(super) fn publish_by(&self, publisher: Publisher) {
        self.lock().publisher = Some(publisher);
    }

    /// Returns whether a life is looked after.
    pub(super) fn is_known(&self, replica: &ReplicaId, incarnation: u64) -> bool {
        let inner = self.lock();
        inner
            .lives
            .get(replica)
            .is_some_and(|life| life.incarnation == incarnation)
    }

    /// Notes what the status of a stack is to say.
    pub(super) fn note(&self, stack: &StackName, lines: Vec<String>) {
        self.lock().lines.insert(stack.clone(), lines);
    }

    /// Returns what the status of a stack says of its configuration.
    pub(crate) fn lines(&self, stack: &StackName) -> Vec<String> {
        self.lock().lines.get(stack).cloned().unwrap_or_default()
    }

    /// Returns the number of the revision that a replica is to hold.
    fn newest(&self, replica: &ReplicaId) -> Option<u64> {
        self.lock().part(replica).map(|part| part.revision)
    }

    /// Takes what the services of a stack are given of a revision that is about to be in force: who is started for it is given that, and
    /// nobody else.
    pub(super) fn expect(&self, stack: &StackName, revision: u64, parts: BTreeMap<ServiceName, Part>) {
        let mut inner = self.lock();
        inner.coming.insert(stack.clone(), (revision, shared(parts)));
        inner.publish(stack);
    }

    /// Puts what was about to be in force there, and publishes it where replicas watch; files are written by [`write_files`].
    pub(super) fn fulfil(&self, stack: &StackName) {
        let mut inner = self.lock();
        if let Some((_, parts)) = inner.coming.remove(stack) {
            inner.parts.insert(stack.clone(), parts);
            inner.publish(stack);
        }
    }

    /// Forgets what was about to be in force: it will not be, and who was started for it is given nothing any more.
    pub(super) fn unexpect(&self, stack: &StackName) {
        let mut inner = self.lock();
        if let Some((revision, _)) = inner.coming.remove(stack) {
            let lives = inner.lives.iter_mut().filter(|(id, _)| id.stack == *stack);
            for (_, life) in lives.filter(|(_, life)| life.since >= revision) {
                life.is_left = true;
            }
        }
    }

    /// Takes what the services of a stack are given from now on, and publishes it where replicas watch; files are written by
    /// [`write_files`].
    pub(super) fn deliver(&self, stack: &StackName, revision: u64, parts: BTreeMap<ServiceName, Part>) {
        let mut inner = self.lock();
        inner.parts.insert(stack.clone(), shared(parts));
        if inner.coming.get(stack).is_some_and(|(coming, _)| *coming <= revision) {
            inner.coming.remove(stack);
        }
        inner.publish(stack);
    }

    /// Returns whose file differs from what it is to hold, or was not looked at yet.
    fn unwritten(&self, stack: &StackName) -> Vec<ReplicaId> {
        let inner = self.lock();
        let lives = inner.lives.iter().filter(|(id, _)| id.stack == *stack);
        let behind = lives.filter(|(id, life)| {
            let part = inner.part(id);
            part.is_some_and(|part| matches!(part.way, Way::File { .. }) && life.written != Some(part.revision))
        });
        behind.map(|(id, _)| id.clone()).collect()
    }

    /// Returns who is to be told of a new file.
    pub(super) fn untold(&self, stack: &StackName) -> Vec<Telling> {
        let inner = self.lock();
        let lives = inner
            .lives
            .iter()
            .filter(|(id, life)| id.stack == *stack && life.is_to_be_told);
        let untold = lives.filter_map(|(id, life)| match inner.part(id)?.way {
            Way::File {
                signal: Some(signal), ..
            } => Some(Telling {
                replica: id.clone(),
                incarnation: life.incarnation,
                revision: life.written?,
                signal,
            }),
            _ => None,
        });
        untold.collect()
    }

    /// Notes that a replica holds a revision.
    pub(super) fn held(&self, replica: &ReplicaId, incarnation: u64, revision: u64) {
        let mut inner = self.lock();
        let life = inner.lives.get_mut(replica);
        if let Some(life) = life.filter(|life| life.incarnation == incarnation) {
            life.hold(revision);
        }
    }

    /// Takes in what was heard on a socket; returns of which stack.
    pub(super) fn hear(&self, notice: &Notice) -> Option<StackName> {
        let Notice::Ack(ack) = notice else { return None };
        let replica: ReplicaId = ack.replica.parse().ok()?;
        let mut inner = self.lock();
        let life = inner.lives.get_mut(&replica)?;
        match &ack.outcome {
            Outcome::Taken => life.hold(ack.revision),
            Outcome::Refused(why) => life.refused = Some((ack.revision, why.clone())),
        }
        Some(replica.stack)
    }

    /// Forgets the lives of a stack that are over.
    pub(super) fn retain(&self, stack: &StackName, is_alive: impl Fn(&ReplicaId, u64) -> bool) {
        let mut inner = self.lock();
        let over = inner
            .lives
            .iter()
            .filter(|(id, life)| id.stack == *stack && !is_alive(id, life.incarnation));
        let over: Vec<ReplicaId> = over.map(|(id, _)| id.clone()).collect();
        for replica in over {
            inner.lives.remove(&replica);
            if let Some(publisher) = &inner.publisher {
                publisher.remove(&replica.to_string());
            }
        }
    }

    /// Forgets what a stack's services are given.
    pub(super) fn forget(&self, stack: &StackName) {
        self.retain(stack, |_, _| false);
        let mut inner = self.lock();
        inner.parts.remove(stack);
        inner.coming.remove(stack);
        inner.lines.remove(stack);
    }

    /// Returns the revision a replica is known to hold, and why not a newer one.
    pub(super) fn holding(&self, replica: &ReplicaId, incarnation: u64) -> (Option<u64>, Option<String>) {
        let inner = self.lock();
        let life = inner.lives.get(replica).filter(|life| life.incarnation == incarnation);
        let newest = inner.part(replica).map(|part| part.revision);
        let refused = life
            .and_then(|life| life.refused.clone())
            .filter(|(of, _)| Some(*of) == newest);
        (life.and_then(|life| life.held), refused.map(|(_, why)| why))
    }

    /// Returns the variables of a service whose secrets stand outside of the store.
    pub(crate) fn outside(&self, stack: &StackName, service: &ServiceName) -> Vec<(String, Secret)> {
        let inner = self.lock();
        let part = inner.parts.get(stack).and_then(|parts| parts.get(service));
        part.map(|part| part.outside.clone()).unwrap_or_default()
    }
}

fn shared(parts: BTreeMap<ServiceName, Part>) -> Parts {
    parts.into_iter().map(|(name, part)| (name, Arc::new(part))).collect()
}

impl Life {
    fn hold(&mut self, revision: u64) {
        self.held = Some(self.held.map_or(revision, |before| before.max(revision)));
        if self.refused.as_ref().is_some_and(|(of, _)| *of <= revision) {
            self.refused = None;
        }
        // For a daemon that comes after this one; without it the replica is told once more.
        let _ = std::fs::write(self.place.join(HELD_FILE), revision.to_string());
    }
}

/// Gives a life of a replica that is about to start what it takes of its stack's configuration, which is `revision` or a later one: returns the
/// variables. Writes files, so it is not for a thread that others wait for.
pub(crate) fn give(
    shared: &Shared,
    replica: &ReplicaId,
    incarnation: u64,
    revision: u64,
    life: &Path,
    who: Option<&Credentials>,
) -> Result<Vec<(OsString, Secret)>, StartFailure> {
    let place = secrets::configuration_of(shared, life);
    let deliveries = &shared.deliveries;
    let part = deliveries.lock().part_since(replica, revision).ok_or_else(|| {
        secrets::passing(
            format!("nothing of the configuration of {} could be taken yet", replica.stack),
            format!(
                "`tend config check` says what is wrong with it; `tend events -s {}` when that was",
                replica.stack
            ),
        )
    })?;
    if let Some(missing) = part.missing.first() {
        return Err(secrets::passing(
            missing.clone(),
            "`tend config check` says what is wrong with the files".to_owned(),
        ));
    }
    let secret = matches!(part.way, Way::File { is_secret: true, .. });
    // Left by a life of this number that never ran.
    let _ = std::fs::remove_dir_all(&place);
    secrets::make_passage(shared, &place, secret)?;
    let mut variables: Vec<(OsString, Secret)> = part
        .outside
        .iter()
        .map(|(name, value)| (name.into(), value.clone()))
        .collect();
    if let Some((variable, path)) = door(&part, &place) {
        variables.push((variable.into(), Secret::new(path.display().to_string())));
    }
    let failed = |error: &tend_watch::Error| {
        secrets::passing(
            format!("its configuration could not be given to it: {error}"),
            error
                .hint()
                .unwrap_or("look at the folder's owner and free space")
                .to_owned(),
        )
    };
    let begun = (incarnation, revision);
    take_in(shared, replica, begun, life, who).map_err(|error| failed(&error))?;
    match part.way {
        Way::File { .. } => write(shared, replica).map_err(|error| failed(&error))?,
        // It is started with what the controller had, and says itself what it made of what it watches.
        Way::Environment => deliveries.held(replica, incarnation, part.revision),
        Way::Watch(_) => {}
    }
    // What it reads when it starts is what it holds.
    if let (Way::File { .. }, Some(written)) = (&part.way, deliveries.written(replica)) {
        told(shared, replica, incarnation, written);
    }
    Ok(variables)
}

/// Takes up a life that an earlier daemon started for a revision.
pub(super) fn adopt(
    shared: &Shared,
    replica: &ReplicaId,
    (incarnation, revision): (u64, u64),
    life: &Path,
    who: Option<&Credentials>,
) -> Result<(), tend_watch::Error> {
    take_in(shared, replica, (incarnation, revision), life, who)?;
    let place = secrets::configuration_of(shared, life);
    let held = std::fs::read_to_string(place.join(HELD_FILE)).ok();
    let held = held.and_then(|text| text.trim().parse().ok());
    let newest = shared.deliveries.newest(replica);
    if let Some(life) = shared.deliveries.lock().lives.get_mut(replica) {
        life.held = held;
        // Whether it was told of what its file holds is not known.
        life.is_to_be_told = held != newest;
    }
    Ok(())
}

/// Begins to look after a life: from now on it is given what is newest.
fn take_in(
    shared: &Shared,
    replica: &ReplicaId,
    (incarnation, since): (u64, u64),
    folder: &Path,
    who: Option<&Credentials>,
) -> Result<(), tend_watch::Error> {
    let place = secrets::configuration_of(shared, folder);
    let owner = who.map(|who| Owner {
        uid: who.uid,
        gid: who.gid,
    });
    let mut inner = shared.deliveries.lock();
    // One step: nothing can be published between the opening and the noting.
    if let (Some(part), Some(publisher)) = (inner.part_since(replica, since), inner.publisher.clone())
        && let Way::Watch(revision) = &part.way
    {
        let name = replica.to_string();
        publisher.open(&name, &place.join(SOCKET), owner)?;
        publisher.publish(&name, revision)?;
    }
    let life = Life {
        incarnation,
        place,
        folder: folder.to_owned(),
        owner,
        held: None,
        written: None,
        is_to_be_told: false,
        refused: None,
        since,
        is_left: false,
    };
    inner.lives.insert(replica.clone(), life);
    Ok(())
}

/// The name of a replica's socket.
const SOCKET: &str = "config.sock";

/// Returns where a replica finds its configuration, and the variable that says so.
fn door(part: &Part, place: &Path) -> Option<(&'static str, PathBuf)> {
    match &part.way {
        Way::Environment => None,
        Way::Watch(_) => Some((SOCKET_VARIABLE, place.join(SOCKET))),
        Way::File { format, .. } => Some((FILE_VARIABLE, place.join(file_name(*format)))),
    }
}

fn file_name(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Dotenv => "config.env",
        FileFormat::Json => "config.json",
        FileFormat::Yaml => "config.yaml",
        FileFormat::Toml => "config.toml",
    }
}

impl Deliveries {
    fn written(&self, replica: &ReplicaId) -> Option<u64> {
        self.lock().lives.get(replica)?.written
    }
}

/// Notes that a replica knows of what its file holds: that is what it holds from now on.
pub(super) fn told(shared: &Shared, replica: &ReplicaId, incarnation: u64, revision: u64) {
    let mut inner = shared.deliveries.lock();
    let part = inner.part(replica);
    let life = inner.lives.get_mut(replica);
    let Some(life) = life.filter(|life| life.incarnation == incarnation && life.written == Some(revision)) else {
        return;
    };
    life.is_to_be_told = false;
    life.hold(revision);
    // Who rotates a secret asks who holds which version.
    if let Some(Way::File { secrets: versions, .. }) = part.as_ref().map(|part| &part.way) {
        secrets::also_given(&life.folder, versions);
    }
}

/// Writes the files of a stack's replicas that are behind, on a thread of its own.
pub(super) async fn write_files(shared: &Arc<Shared>, stack: &StackName) {
    let (own, stack) = (Arc::clone(shared), stack.clone());
    // It fails by a bug alone, and then the replicas are named as late.
    let _ = tokio::task::spawn_blocking(move || write_behind(&own, &stack)).await;
}

fn write_behind(shared: &Shared, stack: &StackName) {
    for replica in shared.deliveries.unwritten(stack) {
        if let Err(error) = write(shared, &replica) {
            let newest = shared.deliveries.newest(&replica);
            let mut inner = shared.deliveries.lock();
            if let (Some(life), Some(newest)) = (inner.lives.get_mut(&replica), newest) {
                life.refused = Some((newest, error.to_string()));
            }
        }
    }
}

/// Writes the file of a replica as it is to be now.
fn write(shared: &Shared, replica: &ReplicaId) -> Result<(), tend_watch::Error> {
    let deliveries = &shared.deliveries;
    let _writing = deliveries.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let newest = {
        let inner = deliveries.lock();
        let life = inner.lives.get(replica);
        let life = life.map(|life| (life.place.clone(), life.owner, life.incarnation));
        inner.part(replica).zip(life)
    };
    let Some((part, (place, owner, incarnation))) = newest else {
        return Ok(());
    };
    let Way::File {
        format, text, signal, ..
    } = &part.way
    else {
        return Ok(());
    };
    let file = Rendered {
        path: place.join(file_name(*format)),
        owner,
        mode: 0o400,
    };
    let written = write_rendered(&file, text.expose().as_bytes())?;
    let is_to_be_told = {
        let mut inner = deliveries.lock();
        let Some(life) = inner.lives.get_mut(replica) else {
            return Ok(());
        };
        life.written = Some(part.revision);
        life.is_to_be_told |= written == Written::Changed;
        life.is_to_be_told && signal.is_some()
    };
    if !is_to_be_told {
        told(shared, replica, incarnation, part.revision);
    }
    Ok(())
}
