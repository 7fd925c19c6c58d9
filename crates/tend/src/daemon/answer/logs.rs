//! Answers with the output of replicas: the lines of all streams asked for, in the order of time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tend_api::messages::{LogLine, LogSource};
use tend_api::{ApiError, Class, LineSender, LogStreams, LogsQuery, Reply, Target, lines};
use tend_core::model::{ReplicaId, StackName};
use tend_redact::Patterns;

use super::log_files::{Line, Stream};
use crate::daemon::Shared;
use crate::daemon::handler::no_stack;
use crate::daemon::hub::Hub;

/// How often a follower looks for more. Short enough to feel live, long enough to cost nothing.
const FOLLOW_AGAIN: Duration = Duration::from_millis(200);

/// Lines read before others get their turn.
const AT_ONCE: usize = 256;

/// One stream with the line that is its next.
struct Source {
    replica: ReplicaId,
    source: LogSource,
    stream: Stream,
    next: Option<Line>,
}

/// Answers with the lines a query asks for, and follows if it says so.
pub(crate) async fn logs(shared: &Arc<Shared>, hub: &Hub, query: LogsQuery) -> Result<Reply, ApiError> {
    let stack = query.target.stack.clone();
    let known = hub
        .ask(move |controller, _| controller.world().stacks.contains_key(&stack))
        .await;
    let replicas = replicas_with_logs(&shared.logs_folder(), &query.target);
    if replicas.is_empty() && !known {
        return Err(no_stack(&query.target.stack));
    }
    let mut sources = open(&shared.logs_folder(), &replicas, &query)?;
    let (sender, lines) = lines(AT_ONCE);
    let folder = shared.logs_folder();
    // What was written before a value became known, or by a shim older than redaction.
    let patterns = shared.secrets.patterns(query.target.stack.as_str());
    tokio::spawn(async move {
        let mut known: BTreeSet<ReplicaId> = replicas.into_iter().collect();
        loop {
            match drain(&mut sources, &sender, &patterns).await {
                Ok(()) => {}
                Err(Stopped::ClientGone) => return,
                Err(Stopped::Failed(error)) => return sender.refuse(error).await,
            }
            if !query.follow {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(FOLLOW_AGAIN) => {}
                () = sender.gone() => return,
            }
            // A replica that was started meanwhile is followed from its first line.
            let new: Vec<ReplicaId> = replicas_with_logs(&folder, &query.target)
                .into_iter()
                .filter(|id| known.insert(id.clone()))
                .collect();
            let whole = LogsQuery {
                since: None,
                tail: None,
                ..query.clone()
            };
            sources.extend(open(&folder, &new, &whole).unwrap_or_default());
        }
    });
    Ok(Reply::Lines(lines))
}

/// Returns the last lines a replica wrote, both streams in the order of time.
pub(crate) fn last_lines_in(folder: &Path, replica: &ReplicaId, count: u32) -> Vec<String> {
    last_lines_since(folder, replica, None, count)
}

/// As [`last_lines_in`], of what it wrote at a moment or later.
pub(crate) fn last_lines_since(
    folder: &Path,
    replica: &ReplicaId,
    since: Option<tend_base::Wall>,
    count: u32,
) -> Vec<String> {
    let query = LogsQuery {
        target: Target {
            stack: replica.stack.clone(),
            service: None,
            slot: None,
        },
        since,
        tail: Some(count),
        streams: LogStreams::Both,
        follow: false,
    };
    let mut sources = open(folder, std::slice::from_ref(replica), &query).unwrap_or_default();
    let mut lines = Vec::new();
    while let Ok(Some(line)) = earliest(&mut sources) {
        lines.push(line.text);
    }
    let surplus = lines.len().saturating_sub(count as usize);
    lines.split_off(surplus)
}

enum Stopped {
    ClientGone,
    Failed(ApiError),
}

async fn drain(sources: &mut [Source], sender: &LineSender<LogLine>, patterns: &Arc<Patterns>) -> Result<(), Stopped> {
    let unreadable = |error: std::io::Error| {
        Stopped::Failed(ApiError::new(
            Class::Unavailable,
            format!("a log could not be read: {error}"),
        ))
    };
    while let Some(mut line) = earliest(sources).map_err(unreadable)? {
        line.text = patterns.redact(&line.text);
        sender.send(&line).await.map_err(|_| Stopped::ClientGone)?;
    }
    Ok(())
}

/// Takes the earliest line that is there.
fn earliest(sources: &mut [Source]) -> std::io::Result<Option<LogLine>> {
    for source in sources.iter_mut() {
        if source.next.is_none() {
            source.next = source.stream.next()?;
        }
    }
    let with_line = sources.iter_mut().filter(|source| source.next.is_some());
    let Some(first) = with_line.min_by_key(|source| source.next.as_ref().and_then(|line| line.at)) else {
        return Ok(None);
    };
    let Some(Line { at, text }) = first.next.take() else {
        return Ok(None);
    };
    let own = text.starts_with("[tend] ");
    let source = if own { LogSource::Tend } else { first.source };
    Ok(Some(LogLine {
        at,
        replica: first.replica.clone(),
        source,
        text,
    }))
}

fn open(folder: &Path, replicas: &[ReplicaId], query: &LogsQuery) -> Result<Vec<Source>, ApiError> {
    let mut sources = Vec::new();
    for replica in replicas {
        let streams: &[(&'static str, LogSource)] = match query.streams {
            LogStreams::Stdout => &[("stdout", LogSource::Stdout)],
            LogStreams::Stderr => &[("stderr", LogSource::Stderr)],
            LogStreams::Both => &[("stdout", LogSource::Stdout), ("stderr", LogSource::Stderr)],
        };
        for (name, source) in streams {
            let stream = Stream::open(&folder_of(folder, replica), name, query.since, query.tail).map_err(|error| {
                ApiError::new(
                    Class::Unavailable,
                    format!("the {name} of {replica} could not be read: {error}"),
                )
            })?;
            sources.push(Source {
                replica: replica.clone(),
                source: *source,
                stream,
                next: None,
            });
        }
    }
    Ok(sources)
}

/// Returns the folder of a replica's logs.
pub(crate) fn folder_of(folder: &Path, replica: &ReplicaId) -> PathBuf {
    folder
        .join(replica.stack.as_str())
        .join(replica.service.as_str())
        .join(replica.slot.to_string())
}

/// Returns the replicas of a target that have logs, by name and slot.
fn replicas_with_logs(folder: &Path, target: &Target) -> Vec<ReplicaId> {
    let names = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    };
    let stack: &StackName = &target.stack;
    let path = folder.join(stack.as_str());
    let mut replicas: Vec<ReplicaId> = Vec::new();
    for service in names(&path) {
        for slot in names(&path.join(&service)) {
            let Ok(id) = format!("{stack}/{service}/{slot}").parse::<ReplicaId>() else {
                continue;
            };
            let of_service = target.service.as_ref().is_none_or(|service| *service == id.service);
            if of_service && target.slot.is_none_or(|slot| slot == id.slot) {
                replicas.push(id);
            }
        }
    }
    replicas.sort();
    replicas
}
