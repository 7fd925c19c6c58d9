//! Configuration: read, taken and made known to the controller, for each stack that has a chapter `config`.
//!
//! Map: `reading` watches files and tables, `kept` is one stack's, `parts` what its services are given, `delivery` how that reaches replicas and
//! who holds what, `coming` what a deployment brings, `ask` what people and `tend up` ask for. What is valid, what is taken and
//! what that asks of whom is decided in `tend-config`; how replicas are started anew, by supervision.
//!
//! One task owns it all, so two changes of one stack are never decided at once.

mod ask;
mod coming;
mod delivery;
mod kept;
mod parts;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ring::hmac;
use serde_json::json;
use tend_api::{ApiError, Class};
use tend_base::{Clock, SystemClock};
use tend_config::{Holding, Liveness, News, Record, Stand, Taker, TakingReplica, Telling, liveness};
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::{DeliveryForm, Stack, StackName};
use tend_linux::{Command, Scope};
use tend_watch::{Endpoint, EndpointSettings, Notice};
use tokio::sync::mpsc;

pub(crate) use ask::{Ask, Change, View, before, change, check, deploy, look};
pub(crate) use delivery::{Deliveries, StartedFor, give};
pub(crate) use reading::read_for;

use super::hub::Hub;
use super::identity;
use super::shared::{Shared, random_bytes};
use coming::Coming;
use kept::{Kept, is_written};
use reading::{Read, Told, Whose};

/// Questions of people that wait; more are refused.
const ASKS_MAX: usize = 64;

/// What was read and waits to be looked at; who reads waits then, and tells the newest.
const READS_MAX: usize = 64;

/// What replicas said and waits to be looked at; the rest comes after.
const NOTICES_MAX: usize = 256;

/// How often it is looked whether a change that nobody confirmed is due, and whether replicas are late.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The key by whose marks values of secrets are told apart that are not in the store, in the folder of the state.
const KEY_FILE: &str = "configuration.key";

/// Its length.
const KEY_BYTES: usize = 32;

/// The one who owns the configurations of all stacks.
struct Keeper {
    shared: Arc<Shared>,
    hub: Hub,
    /// As which changes without a person are recorded.
    daemon: Principal,
    told: Told,
    stacks: BTreeMap<StackName, Kept>,
    /// What deployments under way bring.
    coming: BTreeMap<StackName, Coming>,
    /// What was taken of stacks that are not up.
    left: BTreeMap<StackName, Stand>,
    /// The same with what comes with a deployment that an earlier daemon began.
    left_coming: BTreeMap<StackName, Stand>,
    /// Tells values apart that stand outside of the store of secrets.
    key: hmac::Key,
    /// Where replicas watch, once one does.
    endpoint: Option<Endpoint>,
    notices: mpsc::Receiver<Notice>,
}

/// Starts to look after configurations, with what earlier daemons took of them; returns where questions go. What is known of replicas must
/// be known by then, and nothing is to be started before.
///
/// # Errors
/// When what was kept cannot be read, which only another version of tend can have written.
pub(crate) async fn start(
    shared: Arc<Shared>,
    hub: Hub,
    revisions: Vec<(String, serde_json::Value)>,
    daemon: Principal,
) -> Result<mpsc::Sender<Ask>, ApiError> {
    let mut records: BTreeMap<StackName, Vec<Record>> = BTreeMap::new();
    for (id, record) in revisions {
        let record = serde_json::from_value(record).map_err(|error| {
            ApiError::new(
                Class::Unavailable,
                format!("the kept revision `{id}` cannot be read: {error}"),
            )
            .hint("it was written by a newer tend: start that one")
        })?;
        // A name that is none was never written.
        let name = id.split('/').next().and_then(|name| name.parse().ok());
        if let Some(name) = name {
            records.entry(name).or_default().push(record);
        }
    }
    let coming = hub.ask(|controller, _| {
        let world = controller.world();
        let coming = world.stacks.keys().filter_map(|name| {
            let coming = world.deployment(name)?.configuration.as_ref()?;
            Some((name.clone(), coming.revision))
        });
        coming.collect::<BTreeMap<_, _>>()
    });
    let coming = coming.await;
    let (mut left, mut left_coming) = (BTreeMap::new(), BTreeMap::new());
    for (name, mut records) in records {
        records.sort_by_key(|record| record.revision.number);
        if let Some(revision) = coming.get(&name) {
            left_coming.insert(name.clone(), Stand::of(records.iter().cloned()));
            records.retain(|record| record.revision.number != *revision);
        }
        left.insert(name, Stand::of(records));
    }
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let (told, reads) = mpsc::channel(READS_MAX);
    let (_, notices) = mpsc::channel(1);
    let mut keeper = Keeper {
        key: key(&shared).map_err(|error| {
            let file = shared.paths.state.join(KEY_FILE);
            ApiError::new(
                Class::Unavailable,
                format!("`{}` cannot be used: {error}", file.display()),
            )
            .hint("look at its owner, its mode and the free space there")
        })?,
        shared,
        hub,
        daemon,
        told,
        stacks: BTreeMap::new(),
        coming: BTreeMap::new(),
        left,
        left_coming,
        endpoint: None,
        notices,
    };
    keeper.follow().await;
    tokio::spawn(keeper.keep(asked, reads));
    Ok(asks)
}

/// Returns the key of the marks, made when there is none.
fn key(shared: &Shared) -> std::io::Result<hmac::Key> {
    let file = shared.paths.state.join(KEY_FILE);
    let bytes = match std::fs::read(&file) {
        Ok(bytes) if bytes.len() >= KEY_BYTES => bytes,
        Ok(_) => return Err(std::io::Error::other("it is no key: it is too short")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes = random_bytes::<KEY_BYTES>();
            tend_base::write_atomically(&file, &bytes, 0o600)?;
            bytes.to_vec()
        }
        Err(error) => return Err(error),
    };
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

impl Keeper {
    async fn keep(mut self, mut asked: mpsc::Receiver<Ask>, mut reads: mpsc::Receiver<(Whose, Read)>) {
        let mut changes = self.hub.changes();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        loop {
            let (is_idle, is_heard) = (self.stacks.is_empty(), self.endpoint.is_some());
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => self.answer(ask).await,
                    None => return,
                },
                Some(read) = reads.recv() => {
                    // Of what was read meanwhile only the newest counts.
                    let more = std::iter::from_fn(|| reads.try_recv().ok());
                    let all: Vec<_> = std::iter::once(read).chain(more).take(READS_MAX).collect();
                    self.read(all).await;
                }
                Some(notice) = self.notices.recv(), if is_heard => {
                    // Replicas answer all at once; what follows from it is looked at once.
                    let more = std::iter::from_fn(|| self.notices.try_recv().ok());
                    let all: Vec<Notice> = std::iter::once(notice).chain(more).take(NOTICES_MAX).collect();
                    self.hear(&all).await;
                }
                stale = shared.deliveries.stale() => {
                    for stack in stale {
                        self.offer(&stack).await;
                    }
                }
                Ok(()) = changes.changed() => self.follow().await,
                _ = look.tick(), if !is_idle => self.look().await,
            }
        }
    }

    /// Takes up stacks that came by other ways than `up`, such as with the daemon itself, leaves those that went, and sees who holds what.
    async fn follow(&mut self) {
        self.end_coming().await;
        let wanted = self.hub.ask(|controller, _| {
            let world = controller.world();
            let stacks = world.stacks.values().filter(|wanted| !wanted.removing);
            // What a deployment brings is looked after apart from what is in force.
            let configured = stacks
                .map(|wanted| &wanted.stack)
                .filter(|stack| stack.config.is_some());
            configured
                .map(|stack| (stack.clone(), world.deployment(&stack.name).is_some()))
                .collect::<Vec<_>>()
        });
        let wanted: Vec<(Stack, bool)> = wanted.await;
        for (target, revision) in self.left_behind().await {
            self.resume_coming(&target, revision).await;
        }
        let stays =
            |name: &StackName, kept: &Kept| kept.is_expected() || wanted.iter().any(|(stack, _)| stack.name == *name);
        let gone: Vec<StackName> = self
            .stacks
            .iter()
            .filter(|(name, kept)| !stays(name, kept))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(kept) = self.stacks.remove(&name) {
                self.shared.deliveries.forget(&name);
                // Who takes it up again finds the same history.
                self.left.insert(name, kept.into_stand());
            }
        }
        for (stack, is_deployed) in wanted {
            // One that is about to be another is read as it will be.
            let is_new = self
                .stacks
                .get(&stack.name)
                .is_none_or(|kept| !kept.is_of(&stack) && !kept.is_expected());
            // While one is under way the stack is read as it is only where nobody does yet: by a daemon that was just started.
            let is_unknown = !self.stacks.contains_key(&stack.name);
            if is_new
                && (!is_deployed || is_unknown)
                && let Err(error) = self.prepare(&stack).await
            {
                self.say(&stack.name, Kind::ConfigRefused, &error);
            }
            let retry = self
                .stacks
                .get(&stack.name)
                .is_some_and(|kept| kept.waits && !is_deployed);
            if (is_new && !is_deployed) || retry {
                self.offer(&stack.name).await;
            }
            self.settle(&stack.name).await;
        }
    }

    /// Makes sure that a stack's configuration is read as its file says, and given to those that run already.
    async fn prepare(&mut self, stack: &Stack) -> Result<(), ApiError> {
        if self.stacks.get(&stack.name).is_some_and(|kept| kept.is_of(stack)) {
            return Ok(());
        }
        self.prepare_anew(stack).await
    }

    /// Reads a stack's configuration anew: what was changed a moment ago counts, and is not waited for.
    async fn prepare_anew(&mut self, stack: &Stack) -> Result<(), ApiError> {
        let stand = match self.stacks.remove(&stack.name) {
            Some(kept) => kept.into_stand(),
            None => self.left.remove(&stack.name).unwrap_or_default(),
        };
        self.left.insert(stack.name.clone(), stand.clone());
        let kept = Kept::start(stack, stand, &self.told, &self.shared, self.key.clone()).await?;
        self.left.remove(&stack.name);
        self.open_endpoint(&kept)?;
        kept.deliver(&self.shared).await;
        self.stacks.insert(stack.name.clone(), kept);
        self.adopt(&stack.name).await;
        Ok(())
    }

    /// Returns what deployments bring that an earlier daemon began, with the numbers of the revisions.
    async fn left_behind(&self) -> Vec<(Stack, u64)> {
        if self.left_coming.is_empty() {
            return Vec::new();
        }
        let names: Vec<StackName> = self.left_coming.keys().cloned().collect();
        let left = self.hub.ask(move |controller, _| {
            let world = controller.world();
            let left = names.iter().filter_map(|name| {
                let deployment = world.deployment(name)?;
                let target = world.release(name, deployment.target)?;
                Some((target.stack.clone(), deployment.configuration.as_ref()?.revision))
            });
            left.collect()
        });
        left.await
    }

    /// Makes sure that there is a place for sockets where replicas watch.
    fn open_endpoint(&mut self, kept: &Kept) -> Result<(), ApiError> {
        let watches = |taker: &Taker| taker.delivery == DeliveryForm::Watch;
        if self.endpoint.is_none() && kept.takers().iter().any(watches) {
            let (endpoint, notices) = Endpoint::start(EndpointSettings::default()).map_err(|error| {
                ApiError::from_error(Class::Unavailable, &error).hint("there are too many processes or threads")
            })?;
            self.shared.deliveries.publish_by(endpoint.publisher());
            (self.endpoint, self.notices) = (Some(endpoint), notices);
        }
        Ok(())
    }

    /// Takes up the replicas that run already.
    async fn adopt(&self, stack: &StackName) {
        for known in self.known(stack).await {
            if !known.is_up || self.shared.deliveries.is_known(&known.id, known.incarnation) {
                continue;
            }
            let Some(life) = self.shared.replicas.folder(&known.id, known.incarnation) else {
                continue;
            };
            let id = known.id.clone();
            let launch = self
                .hub
                .ask(move |controller, _| super::answer::environment::launch_of(controller.world(), &id));
            let Some(launch) = launch.await else { continue };
            let who = identity::who(&self.shared, &launch, stack.as_str()).ok().flatten();
            let begun = (known.incarnation, known.since);
            let adopted = delivery::adopt(&self.shared, &known.id, begun, &life, who.as_ref());
            if let Err(error) = adopted {
                let entry = Entry::new(self.daemon.clone(), Kind::ConfigLate).on(Subject::from(known.id));
                let data = json!({ "error": error.to_string(), "hint": error.hint() });
                self.shared.store.record(vec![entry.with(data)]);
            }
        }
        delivery::write_files(&self.shared, stack).await;
    }

    async fn read(&mut self, reads: Vec<(Whose, Read)>) {
        let mut changed = BTreeSet::new();
        for ((stack, number), read) in reads {
            let kept = self.stacks.get_mut(&stack).into_iter();
            let coming = self.coming.get_mut(&stack).map(|coming| &mut coming.kept);
            let Some(kept) = kept.chain(coming).find(|kept| kept.reads(number)) else {
                continue;
            };
            let (said, is_new) = kept.hear(read);
            if let Some((kind, data)) = said {
                let entry = Entry::new(self.daemon.clone(), kind).on(stack.clone());
                self.shared.store.record(vec![entry.with(data)]);
            }
            if is_new {
                changed.insert(stack);
            }
        }
        for stack in changed {
            self.offer(&stack).await;
        }
    }

    async fn hear(&mut self, notices: &[Notice]) {
        let heard = notices.iter().filter_map(|notice| self.shared.deliveries.hear(notice));
        let stacks: BTreeSet<StackName> = heard.collect();
        for stack in stacks {
            self.settle(&stack).await;
        }
    }

    /// Offers what a stack's layers give now; what is wrong with it is told once.
    async fn offer(&mut self, stack: &StackName) {
        let Some(kept) = self.stacks.get_mut(stack) else {
            return;
        };
        let who = kept.author();
        let offered = kept.offer(&self.shared, &self.hub, &who, &self.daemon, None).await;
        match offered {
            Ok(_) => self.settle(stack).await,
            // It is offered again when that is over.
            Err(error) if error.class == Class::Conflict => {}
            Err(error) => self.say(stack, Kind::ConfigRefused, &error),
        }
    }

    /// Takes back what nobody confirmed in time, and sees who is late.
    async fn look(&mut self) {
        let now = SystemClock.now();
        let names: Vec<StackName> = self.stacks.keys().cloned().collect();
        for name in names {
            let Some(kept) = self.stacks.get_mut(&name) else {
                continue;
            };
            match kept.take_back(&self.shared, &self.hub, &self.daemon, now).await {
                Ok(()) => {}
                Err(error) if error.class == Class::Conflict => {}
                Err(error) => self.say(&name, Kind::ConfigRefused, &error),
            }
            self.settle(&name).await;
        }
    }

    /// Returns the replicas of a stack that take configuration and are there.
    async fn known(&self, stack: &StackName) -> Vec<TakingReplica> {
        let Some(kept) = self.stacks.get(stack) else {
            return Vec::new();
        };
        let mut takers = kept.takers().to_vec();
        // What a deployment brings may be taken by others.
        for taker in self.coming.get(stack).iter().flat_map(|coming| coming.kept.takers()) {
            if !takers.iter().any(|known| known.service == taker.service) {
                takers.push(taker.clone());
            }
        }
        let stack = stack.clone();
        let known = self
            .hub
            .ask(move |controller, _| TakingReplica::all(controller.world(), &stack, &takers));
        known.await
    }

    /// Tells those of their new file who are ready to hear it, and tells the journal who holds what.
    async fn settle(&mut self, stack: &StackName) {
        let known = self.known(stack).await;
        self.shared.deliveries.retain(stack, |id, incarnation| {
            known
                .iter()
                .any(|known| known.id == *id && known.incarnation == incarnation && known.is_up)
        });
        for (telling, signal) in self.shared.deliveries.untold(stack) {
            if telling.hears(&known) {
                self.tell(&telling, signal);
            }
        }
        let Some(kept) = self.stacks.get(stack) else { return };
        let Some(revision) = kept.stand().history().current().map(|current| current.number) else {
            return;
        };
        let holders = self.shared.deliveries.holders(&known, revision);
        let now = SystemClock.now().mono;
        let liveness = liveness(revision, kept.since, &holders, now);
        let after_ms = u64::try_from(now.since(kept.since).as_millis()).unwrap_or(u64::MAX);
        let lines = lines(kept, revision, &liveness, &holders);
        self.shared.deliveries.note(stack, lines);
        let Some(kept) = self.stacks.get_mut(stack) else { return };
        let (kind, data) = match (kept.told.news(revision, &liveness, &known), &liveness) {
            (Some(News::Live), _) => (
                Kind::ConfigLive,
                json!({ "revision": revision, "replicas": holders.keys().collect::<Vec<_>>(), "after_ms": after_ms }),
            ),
            (Some(News::Late), Liveness::Late(late)) => (
                Kind::ConfigLate,
                json!({ "revision": revision, "replicas": late.iter().map(|name| (name, &holders[name])).collect::<BTreeMap<_, _>>() }),
            ),
            _ => return,
        };
        let entry = Entry::new(self.daemon.clone(), kind).on(stack.clone());
        self.shared.store.record(vec![entry.with(data)]);
    }

    fn tell(&self, telling: &Telling, signal: i32) {
        let connection = self.shared.replicas.connection(&telling.replica, telling.incarnation);
        let command = Command::Signal {
            number: signal,
            scope: Scope::Replica,
        };
        // One without a shim is told when it has one again.
        if connection.is_some_and(|connection| connection.send(command).is_ok()) {
            delivery::told(&self.shared, &telling.replica, telling.incarnation, telling.revision);
        }
    }

    /// Returns how a stack's configuration stands; nothing when it has none.
    async fn view(&self, stack: &StackName) -> Option<View> {
        let kept = self.stacks.get(stack)?;
        let revision = kept.stand().history().current().map_or(0, |current| current.number);
        let holders = self.shared.deliveries.holders(&self.known(stack).await, revision);
        Some(View {
            stand: kept.stand().clone(),
            refused: kept.refused().cloned(),
            away: kept.away().cloned(),
            liveness: liveness(revision, kept.since, &holders, SystemClock.now().mono),
            holders,
            takers: kept.takers().to_vec(),
            waits: kept.waits,
        })
    }

    fn say(&self, stack: &StackName, kind: Kind, error: &ApiError) {
        let entry = Entry::new(self.daemon.clone(), kind).on(stack.clone());
        let data = json!({ "error": error.message, "details": error.details });
        self.shared.store.record(vec![entry.with(data)]);
    }
}

/// Returns what the status of a stack says of its configuration.
fn lines(kept: &Kept, revision: u64, liveness: &Liveness, holders: &BTreeMap<String, Holding>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Liveness::Late(late) = liveness {
        for name in late {
            let holding = &holders[name];
            let held = match (&holding.refused, holding.revision) {
                (Some(why), _) => format!("it does not take it: {why}"),
                (None, Some(held)) => format!("it holds revision {held}"),
                (None, None) => "it did not say what it holds".to_owned(),
            };
            lines.push(format!(
                "{name} does not have revision {revision} of the configuration: {held}"
            ));
        }
    }
    if let Some((since, why)) = kept.away() {
        lines.push(format!(
            "the table of the configuration cannot be read since {}: {why}; what was last known of it stays in force",
            since.to_rfc3339()
        ));
    }
    if let Some(text) = kept.refused() {
        // What, and where.
        let first: Vec<&str> = text.lines().take(2).map(str::trim).collect();
        lines.push(format!(
            "the configuration as it lies there is not taken, revision {revision} stays in force: {}; `tend config check` says it all",
            first.join(" ")
        ));
    }
    if let Some(waiting) = kept.stand().waiting() {
        lines.push(format!(
            "revision {} of the configuration is taken back at {} unless somebody confirms it: `tend config confirm`",
            waiting.revision,
            waiting.until.to_rfc3339()
        ));
    }
    lines
}
