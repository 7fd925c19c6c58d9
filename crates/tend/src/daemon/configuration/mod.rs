//! Configuration: read, taken and made known to the controller, for each stack that has a chapter `config`.
//!
//! Map: `reading` watches files and tables, `kept` is one stack's, `ask` what people and `tend up` ask for. What is valid, what is taken and
//! what that asks of whom is decided in `tend-config`; how replicas are started anew, by supervision.
//!
//! One task owns it all, so two changes of one stack are never decided at once.

mod ask;
mod kept;
mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tend_api::{ApiError, Class};
use tend_base::{Clock, SystemClock};
use tend_config::{Record, Stand};
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::{Stack, StackName};
use tend_store::{DocumentKind, Reader};
use tokio::sync::mpsc;

pub(crate) use ask::{Ask, Change, Holding, Looked, before, change, confirm, look};

use super::hub::Hub;
use super::shared::Shared;
use kept::Kept;
use reading::Read;

/// Questions of people that wait; more are refused.
const ASKS_MAX: usize = 64;

/// What was read and waits to be looked at; who reads waits then, and tells the newest.
const READS_MAX: usize = 64;

/// How often it is looked whether a change that nobody confirmed is due, and whether replicas are late.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The one who owns the configurations of all stacks.
struct Keeper {
    shared: Arc<Shared>,
    hub: Hub,
    /// As which changes without a person are recorded.
    daemon: Principal,
    told: mpsc::Sender<(StackName, Read)>,
    stacks: BTreeMap<StackName, Kept>,
    /// What earlier daemons took, of stacks that were not asked about yet.
    records: BTreeMap<StackName, Vec<Record>>,
}

/// Starts to look after configurations, with what earlier daemons took of them; returns where questions go.
///
/// # Errors
/// When what was kept cannot be read, which only another version of tend can have written.
pub(crate) fn start(
    shared: Arc<Shared>,
    hub: Hub,
    reader: &Reader,
    daemon: Principal,
) -> Result<mpsc::Sender<Ask>, ApiError> {
    let kept: Vec<(String, Record)> = reader
        .documents(DocumentKind::Revision)
        .map_err(|error| ApiError::from_error(Class::Unavailable, &error))?;
    let mut records: BTreeMap<StackName, Vec<Record>> = BTreeMap::new();
    for (id, record) in kept {
        // A name that is none was never written.
        let name = id.split('/').next().and_then(|name| name.parse().ok());
        if let Some(name) = name {
            records.entry(name).or_default().push(record);
        }
    }
    for records in records.values_mut() {
        records.sort_by_key(|record| record.revision.number);
    }
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let (told, reads) = mpsc::channel(READS_MAX);
    let keeper = Keeper {
        shared,
        hub,
        daemon,
        told,
        stacks: BTreeMap::new(),
        records,
    };
    tokio::spawn(keeper.keep(asked, reads));
    Ok(asks)
}

impl Keeper {
    async fn keep(mut self, mut asked: mpsc::Receiver<Ask>, mut reads: mpsc::Receiver<(StackName, Read)>) {
        let mut changes = self.hub.changes();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => self.answer(ask).await,
                    None => return,
                },
                Some((stack, read)) = reads.recv() => self.read(&stack, read).await,
                Ok(()) = changes.changed() => self.follow().await,
                _ = look.tick() => self.look().await,
            }
        }
    }

    /// Takes up stacks that came by other ways than `up`, such as with the daemon itself, and leaves those that went.
    async fn follow(&mut self) {
        let wanted = self.hub.ask(|controller, _| {
            let world = controller.world();
            let stacks = world.stacks.iter().filter(|(_, wanted)| !wanted.removing);
            let wanted = stacks.filter_map(|(name, _)| world.stack_wanted(name));
            let configured = wanted.filter(|stack| stack.config.is_some());
            configured
                .map(|stack| (stack.clone(), world.deployment(&stack.name).is_some()))
                .collect::<Vec<_>>()
        });
        let wanted: Vec<(Stack, bool)> = wanted.await;
        self.stacks
            .retain(|name, kept| kept.is_expected() || wanted.iter().any(|(stack, _)| stack.name == *name));
        for (stack, is_deployed) in wanted {
            let is_new = self.stacks.get(&stack.name).is_none_or(|kept| !kept.is_of(&stack));
            if is_new && !is_deployed {
                if let Err(error) = self.prepare(&stack).await {
                    self.say(&stack.name, Kind::ConfigRefused, &error);
                }
            }
            let retry = self
                .stacks
                .get(&stack.name)
                .is_some_and(|kept| kept.waits && !is_deployed);
            if is_new || retry {
                self.offer(&stack.name).await;
            }
        }
    }

    /// Makes sure that a stack's configuration is read as its file says.
    async fn prepare(&mut self, stack: &Stack) -> Result<(), ApiError> {
        if self.stacks.get(&stack.name).is_some_and(|kept| kept.is_of(stack)) {
            return Ok(());
        }
        let stand = match self.stacks.remove(&stack.name) {
            Some(kept) => kept.into_stand(),
            None => Stand::of(self.records.remove(&stack.name).unwrap_or_default()),
        };
        let kept = Kept::start(stack, stand, &self.told, &self.shared).await?;
        self.stacks.insert(stack.name.clone(), kept);
        Ok(())
    }

    async fn read(&mut self, stack: &StackName, read: Read) {
        let Some(kept) = self.stacks.get_mut(stack) else {
            return;
        };
        let (said, changed) = kept.hear(read);
        if let Some((kind, data)) = said {
            let entry = Entry::new(self.daemon.clone(), kind).on(stack.clone());
            self.shared.store.record(vec![entry.with(data)]);
        }
        if changed {
            self.offer(stack).await;
        }
    }

    /// Offers what a stack's layers give now; what is wrong with it is told once.
    async fn offer(&mut self, stack: &StackName) {
        let Some(kept) = self.stacks.get_mut(stack) else {
            return;
        };
        let who = kept.author();
        let offered = kept.offer(&self.shared, &self.hub, &who, &self.daemon, None).await;
        if let Err(error) = offered {
            self.say(stack, Kind::ConfigRefused, &error);
        }
    }

    /// Takes back what nobody confirmed in time.
    async fn look(&mut self) {
        let now = SystemClock.now();
        for (name, kept) in &mut self.stacks {
            if let Err(error) = kept.take_back(&self.shared, &self.hub, &self.daemon, now).await {
                let entry = Entry::new(self.daemon.clone(), Kind::ConfigRefused).on(Subject::from(name.clone()));
                let data = json!({ "error": error.message, "details": error.details });
                self.shared.store.record(vec![entry.with(data)]);
            }
        }
    }

    fn say(&self, stack: &StackName, kind: Kind, error: &ApiError) {
        let entry = Entry::new(self.daemon.clone(), kind).on(stack.clone());
        let data = json!({ "error": error.message, "details": error.details });
        self.shared.store.record(vec![entry.with(data)]);
    }
}
