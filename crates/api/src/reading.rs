//! What is asked when the journal or the output of replicas is read: which part of it, and how that is written in an address.

use std::fmt;
use std::str::FromStr;

use tend_base::Wall;
use tend_core::journal::{EventId, Filter, KindPattern, PrincipalFilter};

use crate::call::{Target, checked};
use crate::query::{Address, Query};
use crate::{ApiError, Class};

/// Which events of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsQuery {
    /// Which.
    pub filter: Filter,
    /// Only the last so many of them, still oldest first. `filter.newest_first` is for paging back and does not go with `follow`.
    pub tail: Option<u32>,
    /// Go on with new ones.
    pub follow: bool,
}

/// Which lines of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsQuery {
    /// Of whom.
    pub target: Target,
    /// Written at this moment or later.
    pub since: Option<Wall>,
    /// Only the last so many of each replica.
    pub tail: Option<u32>,
    /// Of which streams.
    pub streams: LogStreams,
    /// Go on with new ones.
    pub follow: bool,
}

/// Which of a replica's two streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStreams {
    /// Standard output only.
    Stdout,
    /// Standard error only.
    Stderr,
    /// Both, in the order of time.
    #[default]
    Both,
}

impl fmt::Display for LogStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogStreams::Stdout => "stdout",
            LogStreams::Stderr => "stderr",
            LogStreams::Both => "both",
        })
    }
}

impl FromStr for LogStreams {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdout" => Ok(LogStreams::Stdout),
            "stderr" => Ok(LogStreams::Stderr),
            "both" => Ok(LogStreams::Both),
            _ => Err("write stdout, stderr or both".to_owned()),
        }
    }
}

impl EventsQuery {
    pub(crate) fn address(&self, path: String) -> String {
        let filter = &self.filter;
        let mut address = Address::new(path)
            .with("stack", filter.stack.as_ref())
            .with("service", filter.service.as_ref())
            .with("slot", filter.slot);
        for kind in &filter.kinds {
            address = address.with("kind", Some(String::from(kind.clone())));
        }
        address
            .with("since", filter.since.map(|wall| wall.0))
            .with("until", filter.until.map(|wall| wall.0))
            .with("story_of", filter.story_of)
            .with("principal", filter.principal.as_ref().map(principal_text))
            .with("after", filter.after)
            .with("before", filter.before)
            .with("limit", filter.limit)
            .with("newest_first", filter.newest_first.then_some(true))
            .with("tail", self.tail)
            .with("follow", self.follow.then_some(true))
            .finish()
    }

    pub(crate) fn from_query(query: &Query) -> Result<Self, ApiError> {
        let parsed = Self {
            filter: Filter {
                since: query.get("since")?.map(Wall),
                until: query.get("until")?.map(Wall),
                kinds: query.all("kind").into_iter().map(KindPattern::from).collect(),
                stack: query.get("stack")?,
                service: query.get("service")?,
                slot: query.get("slot")?,
                story_of: query.get("story_of")?.map(EventId),
                principal: query.get::<String>("principal")?.map(|text| principal(&text)),
                after: query.get("after")?.map(EventId),
                before: query.get("before")?.map(EventId),
                limit: query.get("limit")?,
                newest_first: query.get("newest_first")?.unwrap_or(false),
            },
            tail: query.get("tail")?,
            follow: query.get("follow")?.unwrap_or(false),
        };
        if parsed.follow && parsed.filter.newest_first {
            return Err(ApiError::new(Class::Usage, "`newest_first` does not go with `follow`"));
        }
        Ok(parsed)
    }
}

/// Writes `person`, `daemon` or `rule` for a type, and `name:ana` for a name.
fn principal_text(filter: &PrincipalFilter) -> String {
    match filter {
        PrincipalFilter::Type(name) => name.clone(),
        PrincipalFilter::Named(name) => format!("name:{name}"),
    }
}

fn principal(text: &str) -> PrincipalFilter {
    match text.strip_prefix("name:") {
        Some(name) => PrincipalFilter::Named(name.to_owned()),
        None => PrincipalFilter::Type(text.to_owned()),
    }
}

impl LogsQuery {
    pub(crate) fn address(&self, path: String) -> String {
        Address::new(path)
            .with("stack", Some(&self.target.stack))
            .with("service", self.target.service.as_ref())
            .with("slot", self.target.slot)
            .with("since", self.since.map(|wall| wall.0))
            .with("tail", self.tail)
            .with("stream", Some(self.streams))
            .with("follow", self.follow.then_some(true))
            .finish()
    }

    pub(crate) fn from_query(query: &Query) -> Result<Self, ApiError> {
        let Some(stack) = query.get("stack")? else {
            return Err(ApiError::new(Class::Usage, "`stack` is missing"));
        };
        Ok(Self {
            target: checked(Target {
                stack,
                service: query.get("service")?,
                slot: query.get("slot")?,
            })?,
            since: query.get("since")?.map(Wall),
            tail: query.get("tail")?,
            streams: query.get("stream")?.unwrap_or_default(),
            follow: query.get("follow")?.unwrap_or(false),
        })
    }
}
