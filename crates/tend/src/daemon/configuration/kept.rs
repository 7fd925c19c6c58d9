//! One stack's configuration: what it is read from, what was taken of it, and the handing of what is taken to the controller.
//!
//! What is valid and what is taken is decided by `tend-config`; here is what the world says, and the order in which things are made so:
//! first the record is durable together with what replicas are started with, then it is in force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};
use tend_api::{ApiError, Class};
use tend_base::{Clock, Now, Secret, SystemClock, Wall};
use tend_config::{
    Offer, Record, Report, Row, Schema, Selection, SetLayer, Source, Sources, Stand, Step, StoredSecret, Taken, Taker,
    started_with,
};
use tend_core::configuration::{Configuration, ConfigureWish};
use tend_core::controller::Input;
use tend_core::journal::{Entry, Kind, Principal};
use tend_core::model::{ConfigSources, Stack, StackName};
use tend_database::{Event, Rows};
use tend_store::{Batch, DocumentKind};
use tend_watch::Content;
use tokio::sync::{mpsc, oneshot};

use super::ask::Looked;
use super::reading::{Read, Reading};
use crate::daemon::hub::Hub;
use crate::daemon::shared::Shared;

/// A stack that is about to come up is waited for so long; after that its configuration is read for nobody.
const EXPECTED: Duration = Duration::from_secs(60);

/// One stack's configuration.
pub(super) struct Kept {
    name: StackName,
    folder: PathBuf,
    environment: String,
    takers: Vec<Taker>,
    reading: Reading,
    stand: Stand,
    /// Why the table cannot be read, and since when.
    away: Option<(Wall, String)>,
    /// What changed last, for the author of the next revision.
    author: String,
    /// Something was read that could not be taken, because a deployment is under way.
    pub(super) waits: bool,
    /// What was wrong with what was offered last; the same is not told twice.
    refused: Option<String>,
    expected_until: Now,
    key: hmac::Key,
    /// As the kernel names it.
    boot: String,
}

impl Kept {
    /// Begins to read what a stack's configuration is made from.
    pub(super) async fn start(
        stack: &Stack,
        stand: Stand,
        told: &mpsc::Sender<(StackName, Read)>,
        shared: &Shared,
    ) -> Result<Self, ApiError> {
        let Some(sources) = &stack.config else {
            return Err(ApiError::new(
                Class::Bug,
                format!("{} has no chapter `config`", stack.name),
            ));
        };
        let started = Reading::start(stack, sources, told);
        let (reading, contents) = started.map_err(|why| ApiError::new(Class::Config, why))?;
        let mut now = SystemClock.now();
        now.mono = now.mono + EXPECTED;
        let mut kept = Self {
            name: stack.name.clone(),
            folder: stack.source.directory.clone(),
            environment: environment_of(stack),
            takers: takers(stack),
            reading,
            stand,
            away: None,
            author: "the stack file".to_owned(),
            waits: false,
            refused: None,
            expected_until: now,
            key: hmac::Key::new(hmac::HMAC_SHA256, shared.name.as_bytes()),
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
        };
        kept.stand.sources = kept.sources_of(sources, &contents);
        kept.stand.sources.secrets = secrets_of(shared, &stack.name);
        Ok(kept)
    }

    /// Says whether it is read as this stack wants it.
    pub(super) fn is_of(&self, stack: &Stack) -> bool {
        stack.config.as_ref().is_some_and(|sources| self.reading.is_of(sources))
            && self.takers == takers(stack)
            && self.environment == environment_of(stack)
            && self.folder == stack.source.directory
    }

    /// Says whether its stack may still be about to come up.
    pub(super) fn is_expected(&self) -> bool {
        SystemClock.now().mono < self.expected_until.mono
    }

    pub(super) fn into_stand(self) -> Stand {
        self.stand
    }

    pub(super) fn stand(&self) -> &Stand {
        &self.stand
    }

    pub(super) fn author(&self) -> String {
        self.author.clone()
    }

    /// Returns why the table cannot be read, and since when.
    pub(super) fn away(&self) -> Option<&(Wall, String)> {
        self.away.as_ref()
    }

    /// Takes in what was read; returns what is to be told of it, and whether there may be something new to take.
    pub(super) fn hear(&mut self, read: Read) -> (Option<(Kind, Value)>, bool) {
        match read {
            Read::Files(contents) => {
                let before = self.texts();
                put(&mut self.stand.sources, &self.folder, &contents);
                let changed: Vec<String> = self
                    .texts()
                    .into_iter()
                    .filter(|text| !before.contains(text))
                    .map(|(path, _)| path)
                    .collect();
                self.author = changed.join(", ");
                (None, !changed.is_empty())
            }
            Read::Table(Event::Rows { rows, .. }) => {
                self.away = None;
                let (rows, author) = rows_of(rows);
                let changed = self.stand.rows != rows;
                self.stand.rows = rows;
                self.author = author.unwrap_or_else(|| self.table());
                (None, changed)
            }
            Read::Table(Event::Away { since, why }) => {
                let first = self.away.is_none();
                self.away = Some((since.wall, why.clone()));
                let data = json!({ "table": self.table(), "error": why });
                (first.then_some((Kind::ConfigAway, data)), false)
            }
            Read::Table(Event::Back) => {
                let since = self.away.take().map(|(since, _)| since.0);
                (
                    Some((Kind::ConfigBack, json!({ "table": self.table(), "since": since }))),
                    false,
                )
            }
        }
    }

    fn table(&self) -> String {
        self.stand.sources.table.clone().unwrap_or_default()
    }

    fn texts(&self) -> Vec<(String, Option<String>)> {
        let sources = &self.stand.sources;
        let all = sources.schema.iter().chain(&sources.files).chain(&sources.dotenv);
        all.map(|source| (source.path.clone(), source.text.clone())).collect()
    }

    fn sources_of(&self, config: &ConfigSources, contents: &BTreeMap<PathBuf, Content>) -> Sources {
        let source = |path: &PathBuf| Source {
            path: shown(path, &self.folder),
            text: None,
        };
        let mut sources = Sources {
            environment: self.environment.clone(),
            schema: Some(source(&config.schema)),
            files: config.files.iter().map(source).collect(),
            dotenv: config.dotenv.iter().map(source).collect(),
            table: config.table.as_ref().map(|table| table.name.clone()),
            ..Sources::default()
        };
        put(&mut sources, &self.folder, contents);
        sources
    }

    /// Offers what the layers give now, with another layer of what was set by command where one is given.
    ///
    /// # Errors
    /// Everything that is wrong with it; the first time it is.
    pub(super) async fn offer(
        &mut self,
        shared: &Shared,
        hub: &Hub,
        who: &str,
        by: &Principal,
        change: Option<(SetLayer, Option<Duration>)>,
    ) -> Result<Option<u64>, ApiError> {
        self.stand.sources.secrets = secrets_of(shared, &self.name);
        let asked = change.is_some();
        let (set, confirm) = change.unwrap_or_else(|| (self.stand.set_layer().clone(), None));
        let now = SystemClock.now();
        let taken = self.stand.schema().map(|schema| {
            let mark = self.mark();
            let offer = self.offered(who, confirm, &mark);
            let taken = self.stand.offer(&schema, &set, &offer, now);
            (schema, taken)
        });
        match taken {
            Err(report) | Ok((_, Taken::Refused(report))) => self.refuse(&report, asked),
            Ok((_, Taken::Same)) => {
                self.refused = None;
                Ok(None)
            }
            Ok((schema, Taken::Taken(step))) => {
                self.refused = None;
                self.take(hub, &schema, &step, &set, by).await
            }
        }
    }

    fn refuse(&mut self, report: &Report, asked: bool) -> Result<Option<u64>, ApiError> {
        let text = report.to_string();
        if !asked && self.refused.as_ref() == Some(&text) {
            return Ok(None);
        }
        self.refused = (!asked).then(|| text.clone());
        let error = ApiError::new(
            Class::Config,
            format!(
                "the configuration of {} is not taken, and nothing was changed",
                self.name
            ),
        );
        // One text: each violation has several lines.
        Err(error
            .detail(text)
            .hint("mend what is listed; what was in force stays in force until then"))
    }

    fn offered<'a>(
        &'a self,
        who: &'a str,
        confirm: Option<Duration>,
        mark: &'a dyn Fn(&Secret) -> String,
    ) -> Offer<'a> {
        Offer {
            who,
            confirm,
            running: &self.takers,
            boot: &self.boot,
            mark,
        }
    }

    /// Returns what tells values of secrets apart that stand outside of the store: a keyed digest.
    fn mark(&self) -> impl Fn(&Secret) -> String + use<> {
        let key = self.key.clone();
        move |value| {
            let tag = hmac::sign(&key, value.expose().as_bytes());
            tag.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
        }
    }

    /// Makes a step durable together with what follows from it, and takes it for what is in force.
    async fn take(
        &mut self,
        hub: &Hub,
        schema: &Schema,
        step: &Step,
        set: &SetLayer,
        by: &Principal,
    ) -> Result<Option<u64>, ApiError> {
        let name = self.name.clone();
        let asked = hub.ask(move |controller, _| {
            let world = controller.world();
            let before = world.configurations.get(&name).cloned();
            (before.unwrap_or_default(), world.deployment(&name).is_some())
        });
        let (before, is_deployed): (Configuration, bool) = asked.await;
        if is_deployed {
            self.waits = true;
            return Err(ApiError::new(
                Class::Conflict,
                format!(
                    "{} is being deployed; its configuration is taken when that is over",
                    self.name
                ),
            ));
        }
        self.waits = false;
        let number = step.revision.number;
        let configuration = started_with(schema, &step.revision, &self.takers, &step.asks, &before)
            .map_err(|error| ApiError::from_error(Class::Config, &error).hint(error.hint()))?;
        let record = self.stand.record(step, set);
        let mut stand = self.stand.clone();
        let forgotten = stand.keep(record.clone());
        let wish = ConfigureWish {
            stack: self.name.clone(),
            configuration,
            record: as_json(&record),
            changes: changes_of(step),
            forgotten: forgotten.into_iter().collect(),
            by: by.clone(),
        };
        hub.input_durable(Input::Configure(Box::new(wish)))
            .await
            .map_err(|why| {
                ApiError::new(
                    Class::Unavailable,
                    format!("it was not written down, so it was not accepted: {why}"),
                )
                .hint("free some space where tend keeps its state (`tend info` names the folder), then try again")
            })?;
        self.stand = stand;
        Ok(Some(number))
    }

    /// Offers an earlier revision again.
    ///
    /// # Errors
    /// When that is not kept, is in force, or may not be taken now.
    pub(super) async fn go_back(
        &mut self,
        hub: &Hub,
        number: u64,
        confirm: Option<Duration>,
        by: &Principal,
    ) -> Result<Option<u64>, ApiError> {
        let schema = self
            .stand
            .schema()
            .map_err(|report| report_error(&self.name, &report))?;
        let taken = {
            let (mark, who) = (self.mark(), by.to_string());
            let offer = self.offered(&who, confirm, &mark);
            self.stand.offer_back(&schema, number, &offer, SystemClock.now())
        };
        let taken = taken.map_err(|error| ApiError::from_error(Class::Usage, &error).hint(error.hint()))?;
        match taken {
            Taken::Taken(step) => {
                let set = self.stand.set_layer().clone();
                self.take(hub, &schema, &step, &set, by).await
            }
            Taken::Refused(report) => Err(report_error(&self.name, &report)),
            Taken::Same => Ok(None),
        }
    }

    /// Takes back what nobody confirmed in time.
    ///
    /// # Errors
    /// Why it cannot be, the first time; it is tried again until it is done.
    pub(super) async fn take_back(
        &mut self,
        shared: &Shared,
        hub: &Hub,
        by: &Principal,
        now: Now,
    ) -> Result<(), ApiError> {
        let taken = self.taken_back(shared, hub, by, now).await;
        let Err(error) = taken else { return Ok(()) };
        let text = format!("{error}\n{}", error.details.join("\n"));
        if self.refused.as_ref() == Some(&text) {
            return Ok(());
        }
        self.refused = Some(text);
        Err(error)
    }

    async fn taken_back(&mut self, shared: &Shared, hub: &Hub, by: &Principal, now: Now) -> Result<(), ApiError> {
        if !self.stand.is_over(now, &self.boot) {
            return Ok(());
        }
        let schema = self
            .stand
            .schema()
            .map_err(|report| report_error(&self.name, &report))?;
        let step = {
            let mark = self.mark();
            self.stand.step_back(&schema, &self.offered("tend", None, &mark), now)
        };
        let Some(step) = step else {
            // Somebody went back by hand: what is in force is what was before.
            return self.confirm(shared, None, by).await.map(drop);
        };
        let set = self.stand.set_layer().clone();
        match self.take(hub, &schema, &step, &set, by).await {
            // It is tried again; a deployment ends.
            Err(error) if error.class == Class::Conflict => Ok(()),
            taken => taken.map(drop),
        }
    }

    /// Has nothing wait to be confirmed any more; returns the number of the revision that is kept.
    ///
    /// # Errors
    /// When that is not the one that waits, or it cannot be written down.
    pub(super) async fn confirm(
        &mut self,
        shared: &Shared,
        number: Option<u64>,
        by: &Principal,
    ) -> Result<u64, ApiError> {
        let record = self
            .stand
            .confirmed(number)
            .map_err(|error| ApiError::from_error(Class::Conflict, &error).hint(error.hint()))?;
        let number = record.revision.number;
        let unwritten = |why: String| {
            ApiError::new(
                Class::Unavailable,
                format!("it was not written down, so it is not confirmed: {why}"),
            )
            .hint("free some space where tend keeps its state (`tend info` names the folder), then try again")
        };
        let entry = Entry::new(by.clone(), Kind::ConfigConfirmed).on(self.name.clone());
        let batch = Batch::new()
            .put(DocumentKind::Revision, format!("{}/{number}", self.name), &record)
            .map_err(|error| unwritten(error.to_string()))?
            .entry(entry.with(json!({ "revision": number })));
        let (written, when_written) = oneshot::channel();
        shared.store.commit_then(batch, move |result| {
            // Waited for below.
            let _ = written.send(result.map(drop).map_err(|error| error.to_string()));
        });
        let written = when_written
            .await
            .unwrap_or_else(|_| Err("the store is gone".to_owned()));
        written.map_err(unwritten)?;
        self.stand.settle();
        Ok(number)
    }

    /// Returns what there is to see.
    pub(super) fn look(&self, shared: &Shared) -> Looked {
        let mut stand = self.stand.clone();
        stand.sources.secrets = secrets_of(shared, &self.name);
        let mark = self.mark();
        let found = stand
            .schema()
            .and_then(|schema| stand.build(&schema, stand.set_layer(), &mark));
        Looked {
            found,
            takers: self.takers.clone(),
            holders: BTreeMap::new(),
            away: self.away().cloned(),
            waits: self.waits,
            stand,
        }
    }
}

pub(super) fn report_error(stack: &StackName, report: &Report) -> ApiError {
    let error = ApiError::new(Class::Config, format!("the configuration of {stack} is not taken"));
    error.detail(report.to_string())
}

/// Returns what the journal is to say of a step: keys with what they held and hold, secrets masked.
fn changes_of(step: &Step) -> Value {
    let changes = step.diff.0.iter();
    let changes = changes.map(|change| {
        let after = change.after.as_ref().map(|entry| entry.held.to_string());
        json!({ "key": change.key, "from": change.before.as_ref().map(ToString::to_string), "to": after })
    });
    changes.collect()
}

fn as_json(record: &Record) -> Value {
    serde_json::to_value(record).unwrap_or_default()
}

/// Returns the environment a stack is for.
fn environment_of(stack: &Stack) -> String {
    let named = stack.deploy.environment.clone();
    named.unwrap_or_else(|| "development".to_owned())
}

/// Returns who takes configuration, and how.
fn takers(stack: &Stack) -> Vec<Taker> {
    let services = stack.services.values().filter(|service| service.is_process());
    services
        .filter_map(|service| {
            let delivery = service.config.as_ref()?;
            let keys = match delivery.keys.is_empty() {
                true => vec!["*".to_owned()],
                false => delivery.keys.clone(),
            };
            Some(Taker {
                service: service.name.to_string(),
                delivery: delivery.form.clone(),
                keys: Selection(keys),
            })
        })
        .collect()
}

/// Puts the texts of files where they belong. What cannot be read stays as it was last known.
fn put(sources: &mut Sources, folder: &Path, contents: &BTreeMap<PathBuf, Content>) {
    let all = sources
        .schema
        .iter_mut()
        .chain(&mut sources.files)
        .chain(&mut sources.dotenv);
    for source in all {
        let content = contents.iter().find(|(path, _)| shown(path, folder) == source.path);
        match content.map(|(_, content)| content) {
            Some(Content::Text(text)) => source.text = Some(text.to_string()),
            Some(Content::Absent) => source.text = None,
            Some(Content::Unreadable(_)) | None => {}
        }
    }
}

/// Returns a path as messages show it: within the stack's folder without that.
fn shown(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// Returns rows as layers take them, and who wrote the newest of them.
fn rows_of(rows: Rows) -> (Vec<Row>, Option<String>) {
    let newest = rows.rows.iter().max_by_key(|row| row.updated_at.map(|at| at.0));
    let author = newest.and_then(|row| row.updated_by.clone());
    let rows = rows.rows.into_iter().map(|row| Row {
        key: row.key,
        value: row.value.to_string(),
        is_active: true,
        updated_at: row.updated_at.map(|at| at.to_string()),
        updated_by: row.updated_by,
    });
    (rows.collect(), author)
}

/// Returns what the store of secrets has for a stack; nothing where it cannot be read, which is told by whoever needs one.
fn secrets_of(shared: &Shared, stack: &StackName) -> Vec<StoredSecret> {
    let Ok(Some(book)) = shared.secrets.book(stack.as_str()) else {
        return Vec::new();
    };
    let current = book.current_versions().into_iter();
    current
        .map(|(name, version)| StoredSecret {
            value: book.given(&name, version).ok().cloned(),
            name,
            version,
        })
        .collect()
}
