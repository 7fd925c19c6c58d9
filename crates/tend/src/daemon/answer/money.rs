//! Answers about money that moves: keys, doubts, callbacks that wait. Reads the files of the edge beside it, whether it runs or not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tend_api::messages::{Accepted, MoneyKey, MoneyList, RefusedCallback, SpoolReport, SpoolRoute};
use tend_api::{ApiError, Class, DropCallback, MoneyQuery, Resolve};
use tend_base::{Clock, SystemClock};
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::ReplicaId;
use tend_money::{Answer, Books, Error, Line, LineState, Resolution};

use crate::daemon::Shared;

/// An answer a person gave is given again for as long as any.
const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the folder of the edge's keys.
pub(crate) fn folder(state: &Path) -> PathBuf {
    state.join("edge/money")
}

fn refused(error: &Error) -> ApiError {
    let class = match error {
        Error::Unknown { .. } | Error::UnknownCallback { .. } => Class::NotFound,
        Error::Ambiguous { .. }
        | Error::NotInDoubt { .. }
        | Error::AmbiguousCallback { .. }
        | Error::StillWaits { .. } => Class::Conflict,
        _ => Class::Unavailable,
    };
    let mut refused = ApiError::new(class, error.to_string()).hint(error.hint());
    if let Some(cause) = std::error::Error::source(error) {
        refused = refused.detail(cause.to_string());
    }
    refused
}

/// Asks the books on a thread where waiting for a disk holds nobody up; nothing where no edge ever kept any.
async fn ask<T: Default + Send + 'static>(
    shared: &Shared,
    question: impl FnOnce(Books) -> Result<T, Error> + Send + 'static,
) -> Result<T, ApiError> {
    let folder = folder(&shared.paths.state);
    let asked = tokio::task::spawn_blocking(move || match Books::open(&folder)? {
        Some(books) => question(books),
        None => Ok(T::default()),
    });
    match asked.await {
        Ok(answer) => answer.map_err(|error| refused(&error)),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

pub(crate) async fn list(shared: &Shared, query: MoneyQuery) -> Result<MoneyList, ApiError> {
    let named = query.key.is_some();
    let name = query.key.clone();
    let lines = ask(shared, move |books| match query {
        MoneyQuery { key: Some(key), .. } => books.find(&key).map(|line| vec![line]),
        MoneyQuery { all: true, .. } => books.latest(),
        MoneyQuery { .. } => books.in_doubt(),
    })
    .await?;
    if let (Some(name), true) = (name, lines.is_empty()) {
        return Err(refused(&Error::Unknown { name }));
    }
    Ok(MoneyList {
        keys: lines.into_iter().map(|line| key(line, named)).collect(),
    })
}

fn key(line: Line, whole: bool) -> MoneyKey {
    let state = line.state.as_str().to_owned();
    let mut key = MoneyKey {
        id: line.id,
        key: line.key,
        service: line.scope,
        method: line.method,
        path: line.path,
        request_id: line.request_id,
        state,
        begun_at: line.begun_at,
        why: None,
        status: None,
        body: None,
        expires_at: None,
        replica: None,
    };
    match line.state {
        LineState::Begun => {}
        LineState::InDoubt { why, .. } => key.why = Some(why),
        LineState::Answered { answer, expires_at } => {
            (key.status, key.expires_at, key.replica) = (Some(answer.status), Some(expires_at), answer.replica);
            key.body = answer
                .body
                .filter(|_| whole)
                .and_then(|body| String::from_utf8(body).ok());
        }
    }
    key
}

pub(crate) async fn resolve(shared: &Shared, resolve: Resolve, by: Principal) -> Result<Accepted, ApiError> {
    let happened = resolve.happened.clone();
    if let Some(happened) = &happened
        && !(200..600).contains(&happened.status)
    {
        return Err(
            ApiError::new(Class::Usage, format!("{} is no status of an answer", happened.status))
                .hint("write the status the service gave, 200 to 599"),
        );
    }
    let resolution = match resolve.happened {
        None => Resolution::DidNotHappen,
        Some(happened) => Resolution::Happened(Answer {
            status: happened.status,
            fields: vec![("content-type".to_owned(), happened.content_type.into_bytes())],
            body: Some(happened.body.into_bytes()),
            replica: None,
        }),
    };
    let name = resolve.key.clone();
    let line = ask(shared, move |mut books| {
        let now = SystemClock.now().wall;
        books.resolve(&name, &resolution, now, WINDOW).map(Some)
    })
    .await?;
    let Some(line) = line else {
        return Err(refused(&Error::Unknown { name: resolve.key }));
    };
    let (what, status) = match &happened {
        Some(happened) => ("it is answered from now on", Some(happened.status)),
        None => ("it may be sent again", None),
    };
    let data = json!({ "id": line.id, "key": line.key, "happened": happened.is_some(), "status": status });
    let entry = Entry::new(by, Kind::MoneyResolved).with(data);
    let done = format!("{} is in doubt no more: {what}", line.id);
    tell(shared, on(entry, &line.scope), done).await
}

/// Puts what a person did into the journal, since who did it has to be known afterwards, and returns what the person is told.
async fn tell(shared: &Shared, entry: Entry, done: String) -> Result<Accepted, ApiError> {
    let written = shared.store.append(vec![entry]);
    match tokio::task::spawn_blocking(move || written.wait()).await {
        Ok(Ok(_)) => Ok(Accepted { message: done }),
        Ok(Err(error)) => Err(ApiError::new(
            Class::Unavailable,
            format!("{done}; that could not be put into the journal"),
        )
        .detail(error.to_string())
        .hint("free some space where tend keeps its state (`tend info` names the folder)")),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Removes a callback that its service refused.
pub(crate) async fn drop_callback(shared: &Shared, drop: DropCallback, by: Principal) -> Result<Accepted, ApiError> {
    let why = drop.why.trim().to_owned();
    if why.is_empty() {
        return Err(
            ApiError::new(Class::Usage, "a callback is not dropped without a reason")
                .hint("say why it is not needed; it stands in the journal"),
        );
    }
    let id = drop.id.clone();
    let Some(refused) = ask(shared, move |mut books| books.drop_refused(&id).map(Some)).await? else {
        return Err(refused(&Error::UnknownCallback { id: drop.id }));
    };
    let data = json!({
        "id": refused.delivery_id, "route": refused.route, "method": refused.method, "target": refused.target,
        "received_at": refused.received_at, "tries": refused.tries, "refused": refused.why, "why": why,
    });
    let scope = refused.route.split(' ').next().unwrap_or_default();
    let entry = on(Entry::new(by, Kind::CallbackDropped).with(data), scope);
    let done = format!("{} is dropped; it is not delivered", refused.delivery_id);
    tell(shared, entry, done).await
}

pub(crate) async fn spool(shared: &Shared) -> Result<SpoolReport, ApiError> {
    let (lines, refused) = ask(shared, |books| Ok((books.spool()?, books.refused()?))).await?;
    let routes = lines.into_iter().map(|line| SpoolRoute {
        route: line.route,
        waiting: line.waiting,
        oldest_at: line.oldest_at,
        tries: line.tries,
        last: line.last,
        refused: line.refused,
    });
    let refused = refused.into_iter().map(|one| RefusedCallback {
        id: one.delivery_id,
        route: one.route,
        method: one.method,
        target: one.target,
        received_at: one.received_at,
        tries: one.tries,
        why: one.why,
    });
    Ok(SpoolReport {
        routes: routes.collect(),
        refused: refused.collect(),
    })
}

/// Returns what the status of a stack says of money; nothing where it cannot be read, which `tend money` says.
pub(crate) async fn warnings(shared: &Shared, stack: &str) -> Vec<String> {
    let prefix = format!("{stack}/");
    let of = prefix.clone();
    let read = ask(shared, move |books| {
        let doubts = books
            .in_doubt()?
            .iter()
            .filter(|line| line.scope.starts_with(&of))
            .count();
        Ok((doubts, books.spool()?))
    });
    let (doubts, spool) = read.await.unwrap_or_default();
    let mut warnings = Vec::new();
    if doubts > 0 {
        warnings.push(format!(
            "payments of which the outcome is not known: {doubts}; `tend money list` shows them"
        ));
    }
    for line in spool.iter().filter(|line| line.route.starts_with(&prefix)) {
        if line.waiting > 0 {
            warnings.push(format!("callbacks of {} that wait: {}", line.route, line.waiting));
        }
        if line.refused > 0 {
            warnings.push(format!(
                "callbacks of {} that the service refused: {}; `tend money spool` shows them",
                line.route, line.refused
            ));
        }
    }
    warnings
}

/// Puts into the journal what came to be in doubt and is not there yet.
pub(crate) async fn record_doubts(shared: &Shared) {
    let daemon = Principal::Daemon {
        pid: std::process::id(),
        build: shared.build.clone(),
    };
    let store = shared.store.clone();
    let told = ask(shared, move |books| {
        books.tell(|line| {
            let why = match &line.state {
                LineState::InDoubt { why, .. } => why.as_str(),
                _ => "",
            };
            let data = json!({
                "id": line.id, "key": line.key, "method": line.method, "path": line.path,
                "request_id": line.request_id, "why": why, "begun_at": line.begun_at,
            });
            let entry = on(Entry::new(daemon.clone(), Kind::MoneyInDoubt).with(data), &line.scope);
            store.append(vec![entry]).wait().is_ok()
        })
    });
    // What cannot be read now is found when the edge speaks of it again, or is connected to again.
    let _ = told.await;
}

/// Puts the service, as `mps/api`, to an entry.
fn on(entry: Entry, scope: &str) -> Entry {
    match format!("{scope}/1").parse::<ReplicaId>() {
        Ok(replica) => entry.on(Subject::from(replica.service_id())),
        Err(_) => entry,
    }
}
