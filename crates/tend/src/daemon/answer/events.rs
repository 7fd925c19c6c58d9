//! Answers questions to the journal. Reads by a connection of its own, so that a long answer holds up no writer.

use std::sync::Arc;
use std::time::Duration;

use tend_api::{ApiError, Class, EventsQuery, Reply, lines};
use tend_core::journal::{Event, Filter};
use tend_core::model::ServiceId;
use tend_store::Reader;

use crate::daemon::Shared;

/// Events read from the database at once.
const PAGE: usize = 500;

/// A follower that was not woken looks by itself this often.
const FOLLOW_AGAIN: Duration = Duration::from_secs(5);

/// Events shown in a description.
const RECENT: usize = 10;

/// Answers with the events a query asks for, and follows if it says so.
pub(crate) async fn events(shared: &Arc<Shared>, query: EventsQuery) -> Result<Reply, ApiError> {
    let EventsQuery { filter, tail, follow } = query;
    if follow && filter.newest_first {
        return Err(ApiError::new(
            Class::Usage,
            "newest first and following do not go together",
        ));
    }
    let first = match tail {
        Some(tail) => {
            let newest = Filter {
                limit: Some(tail as usize),
                newest_first: true,
                ..filter.clone()
            };
            let mut events = read(shared, newest).await?;
            events.reverse();
            events
        }
        None => {
            read(
                shared,
                Filter {
                    limit: Some(filter.limit.unwrap_or(PAGE).min(PAGE)),
                    ..filter.clone()
                },
            )
            .await?
        }
    };
    let paged = tail.is_none() && !filter.newest_first;
    let (sender, lines) = lines(64);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let mut commits = shared.commits.clone();
        let mut sent = 0usize;
        let mut after = filter.after;
        let mut page = first;
        loop {
            let full = page.len() == PAGE;
            for event in page {
                if filter.limit.is_some_and(|limit| sent >= limit) || sender.send(&event).await.is_err() {
                    return;
                }
                sent += 1;
                after = Some(event.id);
            }
            if !(full && paged) {
                if !follow {
                    return;
                }
                tokio::select! {
                    _ = commits.changed() => {}
                    () = tokio::time::sleep(FOLLOW_AGAIN) => {}
                    () = sender.gone() => return,
                }
            }
            let next = Filter {
                after,
                limit: Some(PAGE),
                newest_first: false,
                ..filter.clone()
            };
            page = match read(&shared, next).await {
                Ok(page) => page,
                Err(error) => return sender.refuse(error).await,
            };
        }
    });
    Ok(Reply::Lines(lines))
}

/// Returns the latest events about a service, oldest first, each in one line.
pub(crate) async fn recent(shared: &Arc<Shared>, id: &ServiceId) -> Vec<String> {
    let filter = Filter {
        stack: Some(id.stack.clone()),
        service: Some(id.service.clone()),
        limit: Some(RECENT),
        newest_first: true,
        ..Filter::default()
    };
    let mut events = read(shared, filter).await.unwrap_or_default();
    events.reverse();
    events
        .iter()
        .map(|event| format!("{} {} {}", event.at, event.kind.as_str(), event.subject))
        .collect()
}

/// Reads events of the journal.
pub(super) async fn read(shared: &Arc<Shared>, filter: Filter) -> Result<Vec<Event>, ApiError> {
    let files = shared.files.clone();
    let read = tokio::task::spawn_blocking(move || Reader::open(&files.database)?.events(&filter)).await;
    read.map_err(|error| ApiError::new(Class::Bug, format!("reading the journal ended early: {error}")))?
        .map_err(|error| ApiError::from_error(Class::Unavailable, &error))
}
