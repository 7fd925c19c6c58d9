//! What replicas are given of their stack's configuration, and what each of them holds of it.
//!
//! ```text
//!  keeper ── deliver(parts) ─┬─► sockets of replicas that watch ── ack ──► held
//!                            └─► files of the others ── ready ── signal ──► held
//!  start ─── give ──► variables, a socket or a file, before its process is there
//! ```
//! Owns sockets and files; what is in a part is decided by who makes it, when a replica is started anew by the controller, and who is given
//! what next, and holds what, by [`tend_config::Deliveries`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tend_base::Secret;
use tend_config::{Holding, Publication, TakingReplica, Telling};
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
    pub(super) outside: Vec<Outside>,
    /// The same of the part before: who was decided to be started for that one is given the values that go with its other variables.
    pub(super) outside_before: Vec<Outside>,
    /// Secrets whose values are not at hand, and why; nothing is started without them.
    pub(super) missing: Vec<String>,
}

/// A variable with a secret that is not in the store.
#[derive(Clone)]
pub(super) struct Outside {
    pub(super) variable: String,
    /// Tells this value from others.
    pub(super) mark: String,
    pub(super) value: Secret,
}

/// What the controller decided that a replica is started for.
pub(crate) struct StartedFor {
    /// The revision that was in force then.
    pub(crate) revision: u64,
    /// Variables with secrets that are not in the store, and the marks of their values.
    pub(crate) outside: BTreeMap<String, String>,
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

impl Part {
    /// Returns the values that go with the other variables of a replica, by their marks: those of this revision or of the one before.
    fn values_of(&self, marks: &BTreeMap<String, String>) -> Result<Vec<(OsString, Secret)>, StartFailure> {
        let value = |(variable, mark): (&String, &String)| {
            let known = self.outside.iter().chain(&self.outside_before);
            let found = known
                .filter(|one| one.variable == *variable)
                .find(|one| one.mark == *mark);
            let found = found.map(|found| (variable.into(), found.value.clone()));
            found.ok_or_else(|| {
                secrets::passing(
                    format!("the value that `{variable}` was taken with is not at hand any more"),
                    "`tend config check` says what is wrong with the files".to_owned(),
                )
            })
        };
        marks.iter().map(value).collect()
    }
}

impl tend_config::Part for Part {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn way(&self) -> tend_config::Way {
        match &self.way {
            Way::Environment => tend_config::Way::Environment,
            Way::Watch(_) => tend_config::Way::Watch,
            Way::File { signal, .. } => tend_config::Way::File {
                is_signalled: signal.is_some(),
            },
        }
    }
}

/// Where one life of a replica is given what it takes.
struct Place {
    incarnation: u64,
    /// Where its socket or file is.
    place: PathBuf,
    /// The folder of its life, where it is written down what it was given.
    folder: PathBuf,
    owner: Option<Owner>,
}

#[derive(Default)]
struct Inner {
    publisher: Option<Publisher>,
    deliveries: tend_config::Deliveries<Part>,
    places: BTreeMap<ReplicaId, Place>,
    lines: BTreeMap<StackName, Vec<String>>,
    /// Stacks that have other secrets than when they were last looked at.
    stale: BTreeSet<StackName>,
}

impl Inner {
    fn part(&self, replica: &ReplicaId) -> Option<Arc<Part>> {
        self.deliveries.part(replica).cloned()
    }

    /// Writes down what a life holds, for a daemon that comes after this one; without it the replica is told once more.
    fn keep(&self, replica: &ReplicaId, held: Option<u64>) {
        if let (Some(place), Some(held)) = (self.places.get(replica), held) {
            let _ = std::fs::write(place.place.join(HELD_FILE), held.to_string());
        }
    }

    /// Notes which values go with the variables of the part before.
    fn with_those_before(&self, stack: &StackName, parts: &mut BTreeMap<ServiceName, Part>) {
        for (service, part) in parts {
            let before = self.deliveries.part_of(stack, service);
            part.outside_before = before.map(|before| before.outside.clone()).unwrap_or_default();
        }
    }

    /// Publishes to those that watch.
    fn publish(&mut self, publications: Vec<Publication<Part>>) {
        let Some(publisher) = self.publisher.clone() else {
            return;
        };
        for (replica, incarnation, part) in publications {
            if let Way::Watch(revision) = &part.way
                && let Err(error) = publisher.publish(&socket_name(&replica, incarnation), revision)
            {
                let why = error.to_string();
                self.deliveries.refused(&replica, incarnation, part.revision, why);
            }
        }
    }

    /// Closes the sockets of lives that are over.
    fn close(&mut self, over: Vec<(ReplicaId, u64)>) {
        for (replica, incarnation) in over {
            self.places.remove(&replica);
            if let Some(publisher) = &self.publisher {
                publisher.remove(&socket_name(&replica, incarnation));
            }
        }
    }
}

/// Returns the name of a life's socket: what was said on that of a life that is over does not count for the next.
fn socket_name(replica: &ReplicaId, incarnation: u64) -> String {
    format!("{replica}#{incarnation}")
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
        self.lock().deliveries.is_known(replica, incarnation)
    }

    /// Notes what the status of a stack is to say.
    pub(super) fn note(&self, stack: &StackName, lines: Vec<String>) {
        self.lock().lines.insert(stack.clone(), lines);
    }

    /// Returns what the status of a stack says of its configuration.
    pub(crate) fn lines(&self, stack: &StackName) -> Vec<String> {
        self.lock().lines.get(stack).cloned().unwrap_or_default()
    }

    /// Takes what the services of a stack are given from now on, and publishes it where replicas watch; files are written by
    /// [`write_files`].
    pub(super) fn deliver(&self, stack: &StackName, mut parts: BTreeMap<ServiceName, Part>) {
        let mut inner = self.lock();
        inner.with_those_before(stack, &mut parts);
        let publications = inner.deliveries.deliver(stack, parts);
        inner.publish(publications);
    }

    /// Takes what the services of a stack are given of a revision that is about to be in force: who is started for it is given that, and
    /// nobody else.
    pub(super) fn expect(&self, stack: &StackName, revision: u64, mut parts: BTreeMap<ServiceName, Part>) {
        let mut inner = self.lock();
        inner.with_those_before(stack, &mut parts);
        let publications = inner.deliveries.expect(stack, revision, parts);
        inner.publish(publications);
    }

    /// Puts what was about to be in force there, and publishes it where replicas watch; files are written by [`write_files`].
    pub(super) fn fulfil(&self, stack: &StackName) {
        let mut inner = self.lock();
        let publications = inner.deliveries.fulfil(stack);
        inner.publish(publications);
    }

    /// Forgets what was about to be in force: it will not be, and who was started for it is given nothing any more.
    pub(super) fn unexpect(&self, stack: &StackName) {
        self.lock().deliveries.unexpect(stack);
    }

    /// Returns what a replica is given that is started for a revision.
    fn part_since(&self, replica: &ReplicaId, revision: u64) -> Option<Arc<Part>> {
        self.lock().deliveries.part_since(replica, revision).cloned()
    }

    /// Returns whose file differs from what it is to hold, or was not looked at yet.
    fn unwritten(&self, stack: &StackName) -> Vec<ReplicaId> {
        self.lock().deliveries.unwritten(stack)
    }

    /// Returns who is to be told of a new file, and by which signal.
    pub(super) fn untold(&self, stack: &StackName) -> Vec<(Telling, i32)> {
        let inner = self.lock();
        let untold = inner.deliveries.untold(stack).into_iter();
        let untold = untold.filter_map(|telling| match inner.part(&telling.replica)?.way {
            Way::File { signal, .. } => Some((telling, signal?)),
            Way::Environment | Way::Watch(_) => None,
        });
        untold.collect()
    }

    /// Notes that a replica holds a revision.
    fn held(&self, replica: &ReplicaId, incarnation: u64, revision: u64) {
        let mut inner = self.lock();
        let held = inner.deliveries.held(replica, incarnation, revision);
        inner.keep(replica, held);
    }

    /// Takes in what was heard on a socket; returns of which stack.
    pub(super) fn hear(&self, notice: &Notice) -> Option<StackName> {
        let Notice::Ack(ack) = notice else { return None };
        let (replica, incarnation) = ack.replica.rsplit_once('#')?;
        let (replica, incarnation): (ReplicaId, u64) = (replica.parse().ok()?, incarnation.parse().ok()?);
        match &ack.outcome {
            Outcome::Taken => self.held(&replica, incarnation, ack.revision),
            Outcome::Refused(why) => {
                let mut inner = self.lock();
                inner
                    .deliveries
                    .refused(&replica, incarnation, ack.revision, why.clone());
            }
        }
        Some(replica.stack)
    }

    /// Forgets the lives of a stack that are over.
    pub(super) fn retain(&self, stack: &StackName, is_alive: impl Fn(&ReplicaId, u64) -> bool) {
        let mut inner = self.lock();
        let over = inner.deliveries.retain(stack, is_alive);
        inner.close(over);
    }

    /// Forgets what a stack's services are given.
    pub(super) fn forget(&self, stack: &StackName) {
        let mut inner = self.lock();
        let over = inner.deliveries.forget(stack);
        inner.close(over);
        inner.lines.remove(stack);
    }

    /// Returns what each of these replicas that counts holds, while `revision` is in force.
    pub(super) fn holders(&self, known: &[TakingReplica], revision: u64) -> BTreeMap<String, Holding> {
        self.lock().deliveries.holders(known, revision)
    }

    /// Returns the variables of a service whose secrets stand outside of the store.
    pub(crate) fn outside(&self, stack: &StackName, service: &ServiceName) -> Vec<(String, Secret)> {
        let inner = self.lock();
        let outside = inner.deliveries.part_of(stack, service).into_iter();
        let outside = outside.flat_map(|part| &part.outside);
        outside.map(|one| (one.variable.clone(), one.value.clone())).collect()
    }
}

/// Gives a life of a replica that is about to start what it takes of its stack's configuration: returns the variables. Writes files, so it
/// is not for a thread that others wait for.
pub(crate) fn give(
    shared: &Shared,
    replica: &ReplicaId,
    incarnation: u64,
    started_for: &StartedFor,
    life: &Path,
    who: Option<&Credentials>,
) -> Result<Vec<(OsString, Secret)>, StartFailure> {
    let place = secrets::configuration_of(shared, life);
    let deliveries = &shared.deliveries;
    let part = deliveries.part_since(replica, started_for.revision).ok_or_else(|| {
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
    let mut variables = part.values_of(&started_for.outside)?;
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
    let begun = (incarnation, started_for.revision);
    take_in(shared, replica, begun, life, who, None).map_err(|error| failed(&error))?;
    match part.way {
        Way::File { .. } => {
            let written = write(shared, replica).map_err(|error| failed(&error))?;
            // What it reads when it starts is what it holds.
            if let Some(written) = written {
                told(shared, replica, incarnation, written);
            }
        }
        // It is started with what the controller had, and says itself what it made of what it watches.
        Way::Environment => deliveries.held(replica, incarnation, part.revision),
        Way::Watch(_) => {}
    }
    Ok(variables)
}

/// Takes up a life that an earlier daemon started for a revision.
pub(super) fn adopt(
    shared: &Shared,
    replica: &ReplicaId,
    begun: (u64, u64),
    life: &Path,
    who: Option<&Credentials>,
) -> Result<(), tend_watch::Error> {
    let place = secrets::configuration_of(shared, life);
    let held = std::fs::read_to_string(place.join(HELD_FILE)).ok();
    let held = held.and_then(|text| text.trim().parse().ok());
    take_in(shared, replica, begun, life, who, Some(held))
}

/// Begins to look after a life, which was started for the revision `since`: from now on it is given what is newest. Of one that is `adopted`
/// it is said what it is known to hold.
fn take_in(
    shared: &Shared,
    replica: &ReplicaId,
    (incarnation, since): (u64, u64),
    folder: &Path,
    who: Option<&Credentials>,
    adopted: Option<Option<u64>>,
) -> Result<(), tend_watch::Error> {
    let place = secrets::configuration_of(shared, folder);
    let owner = who.map(|who| Owner {
        uid: who.uid,
        gid: who.gid,
    });
    let mut inner = shared.deliveries.lock();
    // One step: nothing can be published between the opening and the noting.
    let part = inner.deliveries.part_since(replica, since).cloned();
    if let (Some(part), Some(publisher)) = (part, inner.publisher.clone())
        && let Way::Watch(revision) = &part.way
    {
        let name = socket_name(replica, incarnation);
        publisher.open(&name, &place.join(SOCKET), owner)?;
        publisher.publish(&name, revision)?;
    }
    // Of an earlier life that nobody has missed yet.
    let before = inner.deliveries.incarnation(replica);
    inner.close(
        before
            .filter(|before| *before != incarnation)
            .map(|before| (replica.clone(), before))
            .into_iter()
            .collect(),
    );
    match adopted {
        Some(held) => inner.deliveries.adopt(replica, (incarnation, since), held),
        None => inner.deliveries.begin(replica, (incarnation, since)),
    }
    let place = Place {
        incarnation,
        place,
        folder: folder.to_owned(),
        owner,
    };
    inner.places.insert(replica.clone(), place);
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

/// Notes that a replica knows of what its file holds: that is what it holds from now on.
pub(super) fn told(shared: &Shared, replica: &ReplicaId, incarnation: u64, revision: u64) {
    let mut inner = shared.deliveries.lock();
    let held = inner.deliveries.told(replica, incarnation, revision);
    inner.keep(replica, held);
    // Who rotates a secret asks who holds which version.
    if let (Some(_), Some(part), Some(place)) = (held, inner.part(replica), inner.places.get(replica))
        && let Way::File { secrets: versions, .. } = &part.way
    {
        secrets::also_given(&place.folder, versions);
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
            let mut inner = shared.deliveries.lock();
            let incarnation = inner.deliveries.incarnation(&replica);
            if let (Some(incarnation), Some(part)) = (incarnation, inner.part(&replica)) {
                let why = error.to_string();
                inner.deliveries.refused(&replica, incarnation, part.revision, why);
            }
        }
    }
}

/// Writes the file of a replica as it is to be now; returns the revision that is in it.
fn write(shared: &Shared, replica: &ReplicaId) -> Result<Option<u64>, tend_watch::Error> {
    let deliveries = &shared.deliveries;
    let _writing = deliveries.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let newest = {
        let inner = deliveries.lock();
        let place = inner.places.get(replica);
        let place = place.map(|place| (place.place.clone(), place.owner, place.incarnation));
        inner.part(replica).zip(place)
    };
    let Some((part, (place, owner, incarnation))) = newest else {
        return Ok(None);
    };
    let Way::File { format, text, .. } = &part.way else {
        return Ok(None);
    };
    let file = Rendered {
        path: place.join(file_name(*format)),
        owner,
        mode: 0o400,
    };
    let written = write_rendered(&file, text.expose().as_bytes())?;
    let is_to_be_told = {
        let mut inner = deliveries.lock();
        let changed = written == Written::Changed;
        inner.deliveries.written(replica, incarnation, part.revision, changed)
    };
    if !is_to_be_told {
        told(shared, replica, incarnation, part.revision);
    }
    Ok(Some(part.revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica() -> ReplicaId {
        "shop/api/1".parse().unwrap()
    }

    fn outside(mark: &str) -> Outside {
        Outside {
            variable: "TOKEN".to_owned(),
            mark: mark.to_owned(),
            value: Secret::new(format!("the value of {mark}")),
        }
    }

    fn deliver(deliveries: &Deliveries, revision: u64) {
        let part = Part {
            revision,
            way: Way::Environment,
            outside: vec![outside(&format!("mark {revision}"))],
            outside_before: Vec::new(),
            missing: Vec::new(),
        };
        let replica = replica();
        deliveries.deliver(&replica.stack, BTreeMap::from([(replica.service, part)]));
    }

    #[test]
    fn a_value_goes_with_the_variables_that_it_was_taken_with() {
        let deliveries = Deliveries::default();
        for revision in 1..=3 {
            deliver(&deliveries, revision);
        }
        let part = deliveries.part_since(&replica(), 3).unwrap();
        let value = |mark: &str| {
            let marks = BTreeMap::from([("TOKEN".to_owned(), mark.to_owned())]);
            let values = part.values_of(&marks).ok()?;
            Some(values[0].1.expose().to_owned())
        };
        assert_eq!(value("mark 3").as_deref(), Some("the value of mark 3"));
        assert_eq!(value("mark 2").as_deref(), Some("the value of mark 2"));
        assert_eq!(value("mark 1"), None, "it is said, and nobody is started with another");
    }
}
