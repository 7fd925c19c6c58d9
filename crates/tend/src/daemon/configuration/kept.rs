//! One stack's configuration: what it is read from, what was taken of it, and the handing of what is taken to the controller.
//!
//! What is valid and what is taken is decided by `tend-config`; here is what the world says, and the order in which things are made so:
//! first the record is durable together with what replicas are started with, then it is in force.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};
use tend_api::{ApiError, Class};
use tend_base::{Clock, Mono, Now, Secret, SystemClock, Wall};
use tend_config::{
    Offer, Record, Report, Revision, Row, Schema, Selection, SetLayer, Source, Sources, Stand, Step, StoredSecret,
    Taken, Taker, started_with,
};
use tend_core::configuration::{Beside, Configuration, ConfigureWish};
use tend_core::controller::Input;
use tend_core::journal::{Kind, Principal};
use tend_core::model::{ConfigSources, ServiceId, ServiceName, Stack, StackName};
use tend_database::{Event, Rows};
use tend_watch::Content;

use super::delivery::{self, Part};
use super::parts::{SecretValues, named, parts};
use super::reading::{Read, Reading, Told};
use crate::daemon::hub::Hub;
use crate::daemon::record::Durable;
use crate::daemon::shared::Shared;

/// A stack that is about to come up is waited for so long; after that its configuration is read for nobody.
const EXPECTED: Duration = Duration::from_secs(60);

/// What a revision is read by: its schema, and the values of secrets that stand in files of variables.
type ByWhat<'a> = (&'a Schema, &'a BTreeMap<String, Secret>);

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
    /// What goes into force with the next revision, in one change.
    pub(super) beside: Beside,
    /// It is what a deployment brings: given to who is started for it, and in force with the deployment's end.
    pub(super) is_coming: bool,
    /// Others take it, or in other ways, than what is in force: it is another revision even where it holds the same.
    pub(super) is_given_otherwise: bool,
    /// Something was read that could not be taken, because a deployment is under way.
    pub(super) waits: bool,
    /// What was wrong with what was offered last; the same is not told twice.
    refused: Option<String>,
    /// Files that are there and cannot be read, and why.
    unreadable: BTreeMap<String, String>,
    /// The schema of what is in force.
    schema: Option<Schema>,
    /// The schema that was read last, and its text.
    parsed: Option<(String, Schema)>,
    /// The values of secrets that stand in files of variables, by key, of what is in force.
    outside: BTreeMap<String, Secret>,
    /// When what is in force was taken, or the daemon started.
    pub(super) since: Mono,
    /// The newest revision that was told to be live, and to be late.
    pub(super) told: tend_config::Told,
    /// It is read as its stack will be until then, whatever that is now.
    expected_until: Option<Mono>,
    key: hmac::Key,
    /// As the kernel names it.
    boot: String,
}

impl Kept {
    /// Begins to read what a stack's configuration is made from.
    pub(super) async fn start(
        stack: &Stack,
        stand: Stand,
        told: &Told,
        shared: &Shared,
        key: hmac::Key,
    ) -> Result<Self, ApiError> {
        let Some(sources) = &stack.config else {
            return Err(ApiError::new(
                Class::Bug,
                format!("{} has no chapter `config`", stack.name),
            ));
        };
        let started = Reading::start(stack, sources, told).await;
        let (reading, contents) = started.map_err(|why| ApiError::new(Class::Config, why))?;
        let mut kept = Self {
            name: stack.name.clone(),
            folder: stack.source.directory.clone(),
            environment: environment_of(stack),
            takers: takers(stack),
            reading,
            stand,
            away: None,
            author: "the stack file".to_owned(),
            beside: Beside::Nothing,
            is_coming: false,
            is_given_otherwise: false,
            waits: false,
            refused: None,
            unreadable: unreadable(&contents, &stack.source.directory),
            schema: None,
            parsed: None,
            outside: BTreeMap::new(),
            since: SystemClock.now().mono,
            told: tend_config::Told::default(),
            expected_until: None,
            key,
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
        };
        kept.stand.sources = kept.sources_of(sources, &contents);
        kept.stand.sources.secrets = secrets_of(shared, &stack.name);
        // What an earlier daemon took may still lie there; if not, the marks say so.
        let built = {
            let set = kept.stand.set_layer();
            let schema = kept.stand.schema();
            schema.and_then(|schema| Ok((kept.stand.build(&schema, set, &kept.mark())?, schema)))
        };
        if let Ok((built, schema)) = built {
            let outside = built.outside_secrets();
            kept.outside = outside.map(|(key, value)| (key.to_owned(), value.clone())).collect();
            learn(shared, &stack.name, &schema, &kept.outside);
        }
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
        self.expected_until.is_some_and(|until| SystemClock.now().mono < until)
    }

    /// Its stack is about to come up as this was made for.
    pub(super) fn expect(&mut self) {
        self.expected_until = Some(SystemClock.now().mono + EXPECTED);
    }

    /// What came with a deployment is in force from now on.
    pub(super) fn is_in_force(&mut self) {
        (self.is_coming, self.is_given_otherwise) = (false, false);
        self.since = SystemClock.now().mono;
    }

    /// Says whether something was read for it.
    pub(super) fn reads(&self, number: u64) -> bool {
        self.reading.number == number
    }

    pub(super) fn into_stand(mut self) -> Stand {
        self.stand.sources = Sources::default();
        self.stand
    }

    pub(super) fn stand(&self) -> &Stand {
        &self.stand
    }

    /// Returns why what lies in the files is not taken.
    pub(super) fn refused(&self) -> Option<&String> {
        self.refused.as_ref()
    }

    /// Returns who takes configuration, and how.
    pub(super) fn takers(&self) -> &[Taker] {
        &self.takers
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
                let unreadable = unreadable(&contents, &self.folder);
                let readable_again = unreadable != self.unreadable;
                self.unreadable = unreadable;
                let changed: Vec<String> = self
                    .texts()
                    .into_iter()
                    .filter(|text| !before.contains(text))
                    .map(|(path, _)| path)
                    .collect();
                self.author = changed.join(", ");
                (None, !changed.is_empty() || readable_again)
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

    /// Says whether what the layers give now would be taken; changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) async fn check(&mut self, shared: &Shared, hub: &Hub) -> Result<(), ApiError> {
        let set = self.stand.set_layer().clone();
        match self.look(shared, hub, "tend", None, &set).await {
            Ok(_) => Ok(()),
            Err(text) => self.refuse(&text, true).map(drop),
        }
    }

    /// Returns the schema as it lies there. Reading it takes longer than all else that is done for a change, and it is another one rarely.
    fn read_schema(&mut self) -> Result<Schema, Report> {
        let source = self.stand.sources.schema.as_ref();
        let text = source.and_then(|source| source.text.clone());
        let known = self.parsed.take().filter(|(of, _)| text.as_ref() == Some(of));
        let schema = match known {
            Some((_, schema)) => schema,
            None => self.stand.schema()?,
        };
        self.parsed = text.map(|text| (text, schema.clone()));
        Ok(schema)
    }

    /// Decides about what the layers give now; returns the schema, the values of secrets in files of variables, and the step where there is one.
    ///
    /// # Errors
    /// Everything that is wrong with it, as a text.
    async fn look(
        &mut self,
        shared: &Shared,
        hub: &Hub,
        who: &str,
        confirm: Option<Duration>,
        set: &SetLayer,
    ) -> Result<(Schema, BTreeMap<String, Secret>, Option<Box<Step>>), String> {
        self.stand.sources.secrets = secrets_of(shared, &self.name);
        if !self.unreadable.is_empty() {
            let lines = self.unreadable.iter();
            let lines: Vec<String> = lines
                .map(|(path, why)| format!("{path} cannot be read: {why}"))
                .collect();
            return Err(lines.join("\n"));
        }
        let schema = self.read_schema().map_err(|report| report.to_string())?;
        let now = SystemClock.now();
        let running = self.running(hub).await;
        let mark = self.mark();
        let offer = self.offered(who, confirm, &running, &mark);
        let built = self.stand.build(&schema, set, &mark);
        let step = match self.stand.decide(&schema, set, built.as_ref(), &offer, now) {
            Taken::Refused(report) => return Err(report.to_string()),
            Taken::Same => None,
            Taken::Taken(step) => Some(step),
        };
        let outside = built.iter().flat_map(|built| built.outside_secrets());
        let outside = outside.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        Ok((schema, outside, step))
    }

    /// Offers what the layers give now, with another layer of what was set by command where one is given.
    ///
    /// # Errors
    /// Everything that is wrong with it; the first time it is.
    pub(super) async fn offer(
        &mut self,
        shared: &Arc<Shared>,
        hub: &Hub,
        who: &str,
        by: &Principal,
        change: Option<(SetLayer, Option<Duration>)>,
    ) -> Result<Option<u64>, ApiError> {
        let asked = change.is_some();
        let (set, confirm) = change.unwrap_or_else(|| (self.stand.set_layer().clone(), None));
        let looked = self.look(shared, hub, who, confirm, &set).await;
        let (schema, outside, step) = match looked {
            Ok(looked) => looked,
            Err(text) => return self.refuse(&text, asked),
        };
        self.refused = None;
        learn(shared, &self.name, &schema, &outside);
        let number = match step {
            Some(step) => Some(self.take(shared, hub, (&schema, &outside), *step, &set, by).await?),
            // Nothing new is in it, and yet somebody may be given it in another way.
            None => self.renew(shared, hub, (&schema, &outside), who, by).await?,
        };
        self.schema = Some(schema);
        self.outside = outside;
        match number {
            // It was given with the taking.
            Some(_) => delivery::write_files(shared, &self.name).await,
            // Nothing comes: what is in force is given by whoever has it.
            None if self.is_coming => {}
            None => self.deliver(shared).await,
        }
        Ok(number)
    }

    /// Hands what is in force to the controller again, where services take it in other ways than before.
    async fn renew(
        &mut self,
        shared: &Shared,
        hub: &Hub,
        by_what: ByWhat<'_>,
        who: &str,
        by: &Principal,
    ) -> Result<Option<u64>, ApiError> {
        let Some(step) = self.stand.renew(who, SystemClock.now()) else {
            return Ok(None);
        };
        let before = self.before(hub).await.0;
        let again = self.configuration(by_what.0, &step, &before)?;
        if again.services == before.services && before.revision + 1 == again.revision && !self.is_given_otherwise {
            return Ok(None);
        }
        let set = self.stand.set_layer().clone();
        self.take(shared, hub, by_what, step, &set, by).await.map(Some)
    }

    /// Gives the services what is in force now.
    pub(super) async fn deliver(&self, shared: &Arc<Shared>) {
        let Some(current) = self.stand.history().current() else {
            return;
        };
        let schema = match &self.schema {
            Some(schema) => schema.clone(),
            // What is in force was taken by an earlier daemon, and the files are not as they were.
            None => match self.stand.schema() {
                Ok(schema) => schema,
                Err(_) => return,
            },
        };
        let parts = self.parts(shared, (&schema, &self.outside), current);
        match self.is_coming {
            true => shared.deliveries.expect(&self.name, current.number, parts),
            false => shared.deliveries.deliver(&self.name, parts),
        }
        delivery::write_files(shared, &self.name).await;
    }

    /// Returns what the services are given of a revision.
    fn parts(
        &self,
        shared: &Shared,
        (schema, outside): ByWhat<'_>,
        revision: &Revision,
    ) -> BTreeMap<ServiceName, Part> {
        let mark = self.mark();
        let values = SecretValues {
            book: shared.secrets.book(self.name.as_str()).ok().flatten(),
            outside,
            mark: &mark,
        };
        parts(schema, revision, &self.takers, &values)
    }

    async fn before(&self, hub: &Hub) -> (Configuration, bool) {
        let name = self.name.clone();
        let asked = hub.ask(move |controller, _| {
            let world = controller.world();
            let before = world.configurations.get(&name).cloned();
            (before.unwrap_or_default(), world.deployment(&name).is_some())
        });
        asked.await
    }

    fn configuration(&self, schema: &Schema, step: &Step, before: &Configuration) -> Result<Configuration, ApiError> {
        started_with(schema, &step.revision, &self.takers, &step.asks, before)
            .map_err(|error| ApiError::from_error(Class::Config, &error).hint(error.hint()))
    }

    fn refuse(&mut self, text: &str, asked: bool) -> Result<Option<u64>, ApiError> {
        if !asked {
            if self.refused.as_deref() == Some(text) {
                return Ok(None);
            }
            self.refused = Some(text.to_owned());
        }
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
        running: &'a [Taker],
        mark: &'a dyn Fn(&Secret) -> String,
    ) -> Offer<'a> {
        Offer {
            who,
            confirm,
            running,
            boot: &self.boot,
            mark,
        }
    }

    /// Returns those who take it and run, or are to: a key that may not change while its service runs may while it is stopped, and before its
    /// stack comes up.
    async fn running(&self, hub: &Hub) -> Vec<Taker> {
        let (stack, takers) = (self.name.clone(), self.takers.clone());
        let running = hub.ask(move |controller, _| {
            let world = controller.world();
            let runs = |taker: &Taker| {
                let Ok(service) = taker.service.parse() else {
                    return false;
                };
                let mut replicas = world.replicas.iter();
                let is_up = replicas.any(|(id, replica)| id.stack == stack && id.service == service && replica.is_up());
                let id = ServiceId {
                    stack: stack.clone(),
                    service,
                };
                is_up || world.replicas_wanted(&id) > 0
            };
            takers.into_iter().filter(runs).collect::<Vec<_>>()
        });
        running.await
    }

    /// Returns what tells values of secrets apart that stand outside of the store: a keyed digest.
    fn mark(&self) -> impl Fn(&Secret) -> String + use<> {
        let key = self.key.clone();
        move |value| {
            let tag = hmac::sign(&key, value.expose().as_bytes());
            tend_base::to_hex(&tag.as_ref()[..16])
        }
    }

    /// Makes a step durable together with what follows from it, and takes it for what is in force, or will be with the end of a deployment.
    async fn take(
        &mut self,
        shared: &Shared,
        hub: &Hub,
        by_what: ByWhat<'_>,
        step: Step,
        set: &SetLayer,
        by: &Principal,
    ) -> Result<u64, ApiError> {
        let (before, is_deployed) = self.before(hub).await;
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
        let step = step.numbered(before.next());
        let number = step.revision.number;
        let configuration = self.configuration(by_what.0, &step, &before)?;
        let record = self.stand.record(&step, set);
        let wish = ConfigureWish {
            stack: self.name.clone(),
            configuration,
            record: as_json(&record),
            changes: changes_of(&step),
            forgotten: self.stand.forgets().into_iter().collect(),
            beside: std::mem::take(&mut self.beside),
            by: by.clone(),
        };
        // Who is started for it, which may be at once, finds it.
        let parts = self.parts(shared, by_what, &step.revision);
        shared.deliveries.expect(&self.name, number, parts);
        if let Err(error) = hand_in(hub, wish).await {
            shared.deliveries.unexpect(&self.name);
            return Err(error);
        }
        // Nothing is waited for between the two.
        if !self.is_coming {
            shared.deliveries.fulfil(&self.name);
        }
        self.stand.keep(record);
        self.since = SystemClock.now().mono;
        Ok(number)
    }

    /// Has what waits to be confirmed stay.
    ///
    /// # Errors
    /// When something else waits, or nothing.
    pub(super) async fn confirm(&mut self, hub: &Hub, number: Option<u64>, by: &Principal) -> Result<u64, ApiError> {
        let waiting = self.stand.waiting().map(|waiting| waiting.revision);
        let number = number.or(waiting).unwrap_or_default();
        let record = self.stand.confirm(number);
        let record = record.map_err(|error| ApiError::from_error(Class::Conflict, &error).hint(error.hint()))?;
        let wish = ConfigureWish {
            stack: self.name.clone(),
            configuration: self.before(hub).await.0,
            record: as_json(&record),
            changes: Value::Null,
            forgotten: Vec::new(),
            beside: Beside::Nothing,
            by: by.clone(),
        };
        hand_in(hub, wish).await?;
        self.stand.keep(record);
        Ok(number)
    }

    /// Offers an earlier revision again.
    ///
    /// # Errors
    /// When that is not kept, is in force, or may not be taken now.
    pub(super) async fn go_back(
        &mut self,
        shared: &Arc<Shared>,
        hub: &Hub,
        number: u64,
        confirm: Option<Duration>,
        by: &Principal,
    ) -> Result<Option<u64>, ApiError> {
        let schema = self
            .stand
            .schema()
            .map_err(|report| report_error(&self.name, &report))?;
        let running = self.running(hub).await;
        let taken = {
            let (mark, who) = (self.mark(), by.to_string());
            let offer = self.offered(&who, confirm, &running, &mark);
            self.stand.offer_back(&schema, number, &offer, SystemClock.now())
        };
        let taken = taken.map_err(|error| ApiError::from_error(Class::Usage, &error).hint(error.hint()))?;
        match taken {
            Taken::Taken(step) => {
                let set = self.stand.set_layer().clone();
                let outside = self.outside.clone();
                let taken = self.take(shared, hub, (&schema, &outside), *step, &set, by).await?;
                delivery::write_files(shared, &self.name).await;
                Ok(Some(taken))
            }
            Taken::Refused(report) => Err(report_error(&self.name, &report)),
            Taken::Same => Ok(None),
        }
    }

    /// Takes back what nobody confirmed in time.
    pub(super) async fn take_back(
        &mut self,
        shared: &Arc<Shared>,
        hub: &Hub,
        by: &Principal,
        now: Now,
    ) -> Result<(), ApiError> {
        if !self.stand.is_due(now, &self.boot) {
            return Ok(());
        }
        let schema = match self.stand.schema().or_else(|report| self.schema.clone().ok_or(report)) {
            Ok(schema) => schema,
            Err(report) => return self.refuse(&report.to_string(), false).map(drop),
        };
        let running = self.running(hub).await;
        let due = {
            let mark = self.mark();
            self.stand
                .due(&schema, &self.offered("tend", None, &running, &mark), now)
        };
        match due {
            Some(Taken::Taken(step)) => {
                let set = self.stand.set_layer().clone();
                let outside = self.outside.clone();
                self.take(shared, hub, (&schema, &outside), *step, &set, by).await?;
                delivery::write_files(shared, &self.name).await;
                Ok(())
            }
            Some(Taken::Refused(report)) => self.refuse(&report.to_string(), false).map(drop),
            // What is in force is what it would go back to: it has only to stay so.
            Some(Taken::Same) | None => {
                let number = self.stand.waiting().map(|waiting| waiting.revision);
                self.confirm(hub, number, by).await.map(drop)
            }
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

async fn hand_in(hub: &Hub, wish: ConfigureWish) -> Result<(), ApiError> {
    is_written(hub.input_durable(Input::Configure(Box::new(wish))).await)
}

/// Refuses what could not be made durable.
pub(super) fn is_written(written: Durable) -> Result<(), ApiError> {
    written.map_err(|why| {
        ApiError::new(
            Class::Unavailable,
            format!("it was not written down, so it was not accepted: {why}"),
        )
        .hint("free some space where tend keeps its state (`tend info` names the folder), then try again")
    })
}

/// Takes secrets that stand in files for known, and tells the stack's shims when that is new: they must not let them through.
fn learn(shared: &Shared, stack: &StackName, schema: &Schema, outside: &BTreeMap<String, Secret>) {
    if shared
        .known_secrets
        .learn_values(stack.as_str(), named(schema, outside))
    {
        crate::daemon::replicas::tell_secrets(shared, stack.as_str());
    }
}

/// Returns the files that are there and cannot be read.
fn unreadable(contents: &BTreeMap<PathBuf, Content>, folder: &Path) -> BTreeMap<String, String> {
    let unreadable = contents.iter().filter_map(|(path, content)| match content {
        Content::Unreadable(why) => Some((shown(path, folder), why.to_string())),
        Content::Text(_) | Content::Absent => None,
    });
    unreadable.collect()
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
pub(super) fn takers(stack: &Stack) -> Vec<Taker> {
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
