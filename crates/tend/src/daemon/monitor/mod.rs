//! The daemon's connection to the monitor: starting one where a stack wants something measured or told, finding one that runs, handing it its
//! snapshot, and writing into the journal what it noted.
//!
//! Knows nothing of metrics and alerts. What is wanted is put together in `compose`.
//!
//! A daemon that ends, or is killed, leaves the monitor be: it goes on measuring and paging.

mod compose;
mod goings_on;

use std::collections::BTreeMap;
use std::process::{Command as Program, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tend_api::messages::MonitorAnswer;
use tend_api::{ApiError, Class, MonitorAsk};
use tend_base::{Secret, Wall, with_causes};
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::StackName;
use tend_fetch::{Address, Client, Request, TlsSettings};
use tend_monitor::{Hello, Note, Snapshot};
use tend_store::{Batch, DocumentKind};

use super::hub::Hub;
use super::record::commit;
use super::shared::Shared;

/// The monitor's socket, in the run folder.
const SOCKET: &str = "monitor.sock";

/// Between two looks at what is wanted: while replicas start, much changes many times a second.
const LOOK_AFTER: Duration = Duration::from_millis(200);

/// How often files that stacks name are read again, and a monitor that is gone is missed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a monitor that was just started may take until its socket answers; it may have much to read from its disk.
const START_MAX: Duration = Duration::from_secs(30);

/// The longest that the monitor holds a question for notes.
const NOTES_WITHIN: Duration = Duration::from_secs(60);

/// The largest answer to a question.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The longest that a question may take: a query has two minutes.
const ASK_WITHIN: Duration = Duration::from_secs(130);

/// Between a start that failed and the next.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Keeps the monitor as stacks want it, from now on.
pub(crate) fn start(shared: Arc<Shared>, hub: Hub, principal: Principal, taken: u64) {
    let keeper = Keeper {
        shared: Arc::clone(&shared),
        hub,
        principal: principal.clone(),
        client: Client::new(TlsSettings::default(), 1),
        pid: None,
        generation: 0,
        told: None,
        missing: BTreeMap::new(),
        failed: None,
        goings_on: None,
    };
    tokio::spawn(keeper.keep());
    tokio::spawn(hear(shared, principal, taken));
}

/// Returns the number of the last note that is in the journal, as it was kept.
pub(crate) fn last_taken(kept: &[(String, serde_json::Value)]) -> u64 {
    kept.iter()
        .find(|(id, _)| id == TAKEN)
        .and_then(|(_, value)| value.as_u64())
        .unwrap_or(0)
}

/// The document with the number of the last note that is in the journal.
const TAKEN: &str = "notes";

struct Keeper {
    shared: Arc<Shared>,
    hub: Hub,
    principal: Principal,
    client: Client,
    /// The process that was told.
    pid: Option<u32>,
    generation: u64,
    /// What it was told last.
    told: Option<Snapshot>,
    missing: BTreeMap<String, Vec<String>>,
    /// Why it could not be had, so that the journal says it once.
    failed: Option<String>,
    goings_on: Option<goings_on::Reading>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut changes = self.hub.changes();
        loop {
            let wanted = self.hub.ask(|controller, _| compose::wanted(controller.world())).await;
            if wanted.is_empty() {
                self.dismiss().await;
            } else if let Err(error) = self.hand_over(wanted).await {
                self.failing(&error);
                tokio::time::sleep(RETRY_AFTER).await;
            } else {
                self.failed = None;
            }
            tokio::time::sleep(LOOK_AFTER).await;
            // Fails only when the daemon ends.
            if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, changes.changed()).await {
                return;
            }
        }
    }

    /// Makes sure that a monitor runs and does what is wanted.
    async fn hand_over(&mut self, wanted: Vec<compose::Wanted>) -> Result<(), String> {
        let hello = match hello(&self.client, &self.shared).await {
            Ok(hello) => hello,
            Err(_) => self.start().await?,
        };
        if self.pid != Some(hello.pid) {
            // Another one than was told.
            self.pid = Some(hello.pid);
            self.told = None;
            self.generation = self.generation.max(hello.generation);
        }
        let shared = Arc::clone(&self.shared);
        let mut reading = self.goings_on.take().unwrap_or_default();
        let composed = tokio::task::spawn_blocking(move || {
            let secret = |stack: &str, name: &str| value_of(&shared, stack, name);
            let (mut snapshot, missing) = compose::compose(&wanted, &secret);
            snapshot.goings_on = reading.read(&shared.files.database, &wanted);
            (snapshot, missing, reading)
        });
        let (mut snapshot, missing, reading) = composed.await.map_err(|error| error.to_string())?;
        self.goings_on = Some(reading);
        if missing != self.missing {
            for (stack, missing) in &missing {
                if self.missing.get(stack) != Some(missing) {
                    self.say_of(
                        stack,
                        json!({ "missing": missing, "hint": "mend it; the file is read again by itself" }),
                    );
                }
            }
            self.missing = missing;
        }
        if let Some(told) = &self.told {
            snapshot.generation = told.generation;
            if *told == snapshot && hello.generation == told.generation {
                return Ok(());
            }
        }
        self.generation += 1;
        snapshot.generation = self.generation;
        let body = serde_json::to_vec(&snapshot).map_err(|error| error.to_string())?;
        let mut request = request(&self.shared, "PUT", "/tend/v1/snapshot")?;
        request.body = body.into();
        let answer = self.client.send(&request).await.map_err(|error| with_causes(&error))?;
        match answer.status {
            200 => {
                #[derive(Deserialize)]
                struct Took {
                    refused: BTreeMap<String, Vec<String>>,
                }
                let took: Took = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
                for (stack, refused) in took.refused {
                    self.say_of(
                        &stack,
                        json!({ "missing": refused, "hint": "`tend rules check` says more" }),
                    );
                }
                self.told = Some(snapshot);
                Ok(())
            }
            status => Err(format!(
                "it refused its snapshot with {status}: {}",
                answer.text().trim()
            )),
        }
    }

    async fn start(&mut self) -> Result<Hello, String> {
        let folder = self.shared.paths.state.join("monitor");
        std::fs::create_dir_all(&folder).map_err(|error| format!("`{}` cannot be made: {error}", folder.display()))?;
        let log = folder.join("monitor.log");
        let log = (std::fs::OpenOptions::new().create(true).append(true).open(&log))
            .map_err(|error| format!("its log `{}` could not be opened: {error}", log.display()))?;
        let mut program = Program::new(&self.shared.program);
        program
            .arg("monitor")
            .env("TEND_STATE", &self.shared.paths.state)
            .env("TEND_RUN", &self.shared.paths.run)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log));
        let mut child = self
            .shared
            .replicas
            .start_child(&mut program)
            .map_err(|error| error.to_string())?;
        let pid = child.id();
        let begun = super::now().mono;
        loop {
            // The socket may be that of one that was killed; only the new one counts.
            if let Ok(hello) = hello(&self.client, &self.shared).await
                && hello.pid == pid
            {
                let entry = Entry::new(self.principal.clone(), Kind::MonitorStarted);
                self.shared.store.record(vec![entry.with(json!({ "pid": pid }))]);
                // From now on it is collected as what an earlier daemon started is, whenever it ends.
                self.shared.replicas.end_child(&child);
                return Ok(hello);
            }
            let ended = child.try_wait();
            if let Ok(Some(status)) = ended {
                self.shared.replicas.end_child(&child);
                return Err(format!(
                    "it ended at once with {status}; see {}/monitor.log",
                    folder.display()
                ));
            }
            if super::now().mono.since(begun) > START_MAX {
                let _ = child.kill();
                let _ = child.wait();
                self.shared.replicas.end_child(&child);
                return Err("its socket did not answer in time".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends a monitor that nobody needs any more, whoever started it.
    async fn dismiss(&mut self) {
        (self.told, self.pid) = (None, None);
        // The one that answers now: a number of before may be somebody else's.
        let Ok(hello) = hello(&self.client, &self.shared).await else {
            return;
        };
        if let Some(pid) = i32::try_from(hello.pid).ok().and_then(rustix::process::Pid::from_raw) {
            // It may be gone already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    fn failing(&mut self, why: &str) {
        if self.failed.as_deref() == Some(why) {
            return;
        }
        self.failed = Some(why.to_owned());
        let entry = Entry::new(self.principal.clone(), Kind::MonitorFailed);
        let hint = format!(
            "see `{}`; it is tried again",
            self.shared.paths.state.join("monitor/monitor.log").display()
        );
        self.shared
            .store
            .record(vec![entry.with(json!({ "error": why, "hint": hint }))]);
    }

    fn say_of(&self, stack: &str, data: serde_json::Value) {
        let mut entry = Entry::new(self.principal.clone(), Kind::MonitorFailed).with(data);
        if let Ok(stack) = stack.parse::<StackName>() {
            entry = entry.on(Subject::from(stack));
        }
        self.shared.store.record(vec![entry]);
    }
}

/// Returns the value of a secret of a stack's store.
fn value_of(shared: &Shared, stack: &str, name: &str) -> Result<Secret, String> {
    let book = shared.secrets.book(stack).map_err(|error| with_causes(&error))?;
    let book = book
        .ok_or_else(|| format!("the secret `{name}` has no value: `tend secret set {name} -s {stack}` gives it one"))?;
    book.shown(name, None)
        .map(|(_, value)| value.clone())
        .map_err(|error| with_causes(&error))
}

fn request(shared: &Shared, method: &'static str, target: &str) -> Result<Request, String> {
    let socket = shared.paths.run.join(SOCKET);
    let address =
        Address::parse(&format!("unix:{}:{target}", socket.display())).map_err(|error| with_causes(&error))?;
    let mut request = Request::new(method, address);
    request.gzip = false;
    Ok(request)
}

async fn hello(client: &Client, shared: &Shared) -> Result<Hello, String> {
    let request = request(shared, "GET", "/tend/v1/hello")?;
    let answer = client.send(&request).await.map_err(|error| with_causes(&error))?;
    serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
}

/// Asks the monitor something on behalf of a stack, in somebody's name.
///
/// # Errors
/// When there is no monitor, or it does not answer.
pub(crate) async fn ask(shared: &Shared, ask: MonitorAsk, by: &str) -> Result<MonitorAnswer, ApiError> {
    let refused = |why: String| {
        ApiError::new(Class::Unavailable, format!("the monitor cannot be asked: {why}"))
            .hint("a stack without `metrics:` and `alerts:` has none; `tend events --kind 'monitor.*'` says how it is")
    };
    let target = format!("/stacks/{}{}", ask.stack, ask.target);
    let mut request = request(shared, ask.method.as_str(), &target).map_err(refused)?;
    request.answer_bytes_max = ANSWER_BYTES_MAX;
    request.within = ASK_WITHIN;
    request.header("Tend-Caller", by);
    if let Some(body) = &ask.body {
        request.header("Content-Type", "application/json");
        request.body = body.to_string().into();
    }
    let client = Client::new(TlsSettings::default(), 0);
    let answer = client
        .send(&request)
        .await
        .map_err(|error| refused(with_causes(&error)))?;
    if answer.cut {
        return Err(ApiError::new(
            Class::Usage,
            format!(
                "the answer has more than {}",
                tend_base::format_bytes(ANSWER_BYTES_MAX as u64)
            ),
        )
        .hint("ask for less: fewer series, a shorter time"));
    }
    let text = answer.text();
    Ok(MonitorAnswer {
        status: answer.status,
        body: serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)),
    })
}

/// Takes what the monitor noted into the journal, each note once.
async fn hear(shared: Arc<Shared>, principal: Principal, mut taken: u64) {
    let client = Client::new(TlsSettings::default(), 1);
    loop {
        match notes_after(&client, &shared, taken).await {
            Ok(notes) if notes.is_empty() => {}
            Ok(notes) => {
                let last = notes.iter().map(|note| note.number).max().unwrap_or(taken);
                let entries: Vec<Entry> = notes.into_iter().flat_map(|note| entries(&principal, note)).collect();
                // In one write: neither is a note lost nor is it there twice, whenever this process is killed.
                let batch = Batch::from(entries)
                    .put(DocumentKind::Monitor, TAKEN, &last)
                    .expect("invariant: a number has a form in JSON");
                match commit(&shared.store, batch).await {
                    Ok(()) => taken = last,
                    // A full disk: they wait where they are.
                    Err(_) => tokio::time::sleep(RETRY_AFTER).await,
                }
            }
            // There is none, or it was just replaced.
            Err(_) => tokio::time::sleep(RETRY_AFTER / 5).await,
        }
    }
}

async fn notes_after(client: &Client, shared: &Shared, taken: u64) -> Result<Vec<Note>, String> {
    let mut request = request(shared, "GET", &format!("/tend/v1/notes?after={taken}"))?;
    request.within = NOTES_WITHIN;
    request.answer_bytes_max = 64 << 20;
    let answer = client.send(&request).await.map_err(|error| with_causes(&error))?;
    serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
}

/// Returns what the journal is told of a note.
fn entries(principal: &Principal, note: Note) -> Vec<Entry> {
    let mut entries = Vec::new();
    if note.lost > 0 {
        entries.push(Entry::new(principal.clone(), Kind::MonitorNotesLost).with(json!({ "lost": note.lost })));
    }
    let mut data = note.data;
    if let Some(data) = data.as_object_mut() {
        let at = Wall(note.at.unsigned_abs()).to_rfc3339();
        data.insert("at".to_owned(), at.into());
    }
    let mut entry = Entry::new(principal.clone(), Kind::from(note.kind.as_str())).with(data);
    if let Ok(stack) = note.stack.parse::<StackName>() {
        entry = entry.on(Subject::from(stack));
    }
    entries.push(entry);
    entries
}
