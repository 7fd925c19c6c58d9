//! Judges a run of edits: by what replicas said that they hold, and by what the journal says was taken and was live.
//!
//! Every replica must always hold one revision that was taken, as a whole, and never go back; one that is told to be live must be held by
//! all that are told to have it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::Error;
use crate::held::Held;
use crate::stack::{DEADLINE, PAIRS, ROWS_FROM, Stack};

/// Newest events that a failed run shows.
const EVENTS_SHOWN: usize = 12;

/// What the file and the rows had.
pub(crate) type Numbers = (u64, u64);

/// All that was said.
pub(crate) struct Judge<'a> {
    stack: &'a Stack,
    last: BTreeMap<String, Held>,
    /// Of those that say which revision they hold: since when.
    revisions: BTreeMap<String, Vec<(u64, tend_base::Mono)>>,
    /// What each revision has, as whoever held it first said.
    contents: BTreeMap<u64, Numbers>,
    /// All that anybody ever held, with whoever held it first.
    ever: BTreeMap<Numbers, String>,
    /// How often anybody held something else than before.
    pub(crate) changes: usize,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(stack: &'a Stack) -> Self {
        Self {
            stack,
            last: BTreeMap::new(),
            revisions: BTreeMap::new(),
            contents: BTreeMap::new(),
            ever: BTreeMap::new(),
            changes: 0,
        }
    }

    /// Listens for a while.
    pub(crate) fn listen(&mut self, patience: Duration) -> Result<(), Error> {
        let end = Instant::now() + patience;
        while let Some(held) = self.next(end)? {
            self.note(held)?;
        }
        Ok(())
    }

    fn next(&self, end: Instant) -> Result<Option<Held>, Error> {
        let patience = end.saturating_duration_since(Instant::now());
        self.stack
            .ear
            .hear(patience, Held::read)
            .map_err(|error| self.explained(&error))
    }

    /// Takes in what a replica said.
    ///
    /// # Errors
    /// When it holds what it must not.
    fn note(&mut self, held: Held) -> Result<(), Error> {
        let broken = |said: String| Error::Broken { said };
        if let Some(revision) = held.revision {
            let first = *self.contents.entry(revision).or_insert(held.numbers);
            if first != held.numbers {
                return Err(self.explained(&broken(format!(
                    "{} holds {:?} as revision {revision}, and another holds {first:?} as the same",
                    held.replica, held.numbers
                ))));
            }
            let revisions = self.revisions.entry(held.replica.clone()).or_default();
            revisions.push((revision, held.moment));
        }
        if let Some(before) = self.last.get(&held.replica)
            && (held.numbers.0 < before.numbers.0 || held.numbers.1 < before.numbers.1)
        {
            return Err(self.explained(&broken(format!("a replica went back: {before:?}, then {held:?}"))));
        }
        self.changes += 1;
        self.ever.entry(held.numbers).or_insert_with(|| held.replica.clone());
        self.last.insert(held.replica.clone(), held);
        Ok(())
    }

    /// Waits until a daemon answers.
    pub(crate) fn until_answered(&mut self) -> Result<(), Error> {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.stack.tend(&["status"]) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > end => return Err(self.explained(&error)),
                Err(_) => self.listen(Duration::from_millis(10))?,
            }
        }
    }

    /// Waits until all replicas of the services for which `counts` have these numbers.
    pub(crate) fn agree(&mut self, numbers: Numbers, counts: impl Fn(&str) -> bool) -> Result<(), Error> {
        let end = Instant::now() + DEADLINE;
        let replicas: Vec<String> = self.stack.names().filter(|name| counts(name)).collect();
        loop {
            let has = |name: &&String| self.last.get(*name).is_some_and(|held| held.numbers == numbers);
            let Some(behind) = replicas.iter().find(|name| !has(name)).cloned() else {
                return Ok(());
            };
            match self.next(end)? {
                Some(held) => self.note(held)?,
                None => {
                    let last = self.last.get(&behind);
                    let said = format!("{behind} has {last:?} and not {numbers:?} after {DEADLINE:?}");
                    return Err(self.explained(&Error::Broken { said }));
                }
            }
        }
    }

    /// Compares all that was said with the journal; returns how many revisions were taken, and how many were live.
    ///
    /// # Errors
    /// When somebody held what was never taken, or a revision was told to be live that somebody did not have.
    pub(crate) fn compare(&self) -> Result<(usize, usize), Error> {
        let broken = |said: String| Error::Broken { said };
        let (taken, live) = history(&self.stack.tend(&[
            "events",
            "--json",
            "--since",
            "1000h",
            "-k",
            "config.taken",
            "-k",
            "config.live",
        ])?);
        for (revision, numbers) in &self.contents {
            if taken.get(revision) != Some(numbers) {
                let taken = taken.get(revision);
                return Err(broken(format!(
                    "revision {revision} was held as {numbers:?}, and taken as {taken:?}"
                )));
            }
        }
        let all: BTreeSet<&Numbers> = taken.values().collect();
        if let Some((numbers, replica)) = self.ever.iter().find(|(numbers, _)| !all.contains(numbers)) {
            return Err(broken(format!("{replica} held {numbers:?}, which was never taken")));
        }
        for Live { revision, replicas, at } in &live {
            for replica in replicas {
                let name = replica.trim_start_matches("bench/");
                let Some(held) = self.revisions.get(name) else { continue };
                if !held.iter().any(|(held, since)| held >= revision && since <= at) {
                    return Err(broken(format!(
                        "revision {revision} was told to be live, and {name} did not have it"
                    )));
                }
            }
        }
        Ok((taken.len(), live.len()))
    }

    /// Adds to an error what the machine says of itself.
    fn explained(&self, error: &Error) -> Error {
        let status = self.stack.tend(&["status"]).unwrap_or_default();
        let events = self.stack.tend(&["events", "--json"]).unwrap_or_default();
        let events: Vec<&str> = events.lines().rev().take(EVENTS_SHOWN).collect();
        Error::Broken {
            said: format!(
                "{error}\n{status}\n{}\n{}",
                events.join("\n"),
                self.stack.said_by_daemons()
            ),
        }
    }
}

/// That a revision was told to be live.
struct Live {
    revision: u64,
    replicas: Vec<String>,
    at: tend_base::Mono,
}

/// Reads from the journal what each revision had, and which were live.
fn history(events: &str) -> (BTreeMap<u64, Numbers>, Vec<Live>) {
    let (mut taken, mut live) = (BTreeMap::new(), Vec::new());
    let mut now = (0, ROWS_FROM);
    for event in events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        let Some(revision) = event["data"]["revision"].as_u64() else {
            continue;
        };
        if event["kind"] == "config.live" {
            let replicas = event["data"]["replicas"].as_array().into_iter().flatten();
            live.push(Live {
                revision,
                replicas: replicas.filter_map(Value::as_str).map(str::to_owned).collect(),
                at: tend_base::Mono(event["mono"].as_u64().unwrap_or_default()),
            });
            continue;
        }
        for change in event["data"]["changes"].as_array().into_iter().flatten() {
            let to = change["to"].as_str().and_then(|text| text.parse().ok());
            match to {
                Some(number) if change["key"] == PAIRS[0][0] => now.0 = number,
                Some(number) if change["key"] == PAIRS[1][0] => now.1 = number,
                _ => {}
            }
        }
        taken.insert(revision, now);
    }
    (taken, live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_tells_what_each_revision_had() {
        let [file, rows] = PAIRS.map(|pair| pair[0]);
        let events = [
            format!(r#"{{"kind":"config.taken","data":{{"revision":1,"changes":[{{"key":"{file}","to":"4"}}]}}}}"#),
            format!(
                r#"{{"kind":"config.taken","data":{{"revision":2,"changes":[{{"key":"{rows}","to":"500009"}}]}}}}"#
            ),
            r#"{"kind":"config.live","mono":7,"data":{"revision":2,"replicas":["bench/watch/1"]}}"#.to_owned(),
        ];
        let (taken, live) = history(&events.join("\n"));
        assert_eq!(taken, BTreeMap::from([(1, (4, ROWS_FROM)), (2, (4, 500_009))]));
        assert_eq!((live.len(), live[0].revision, live[0].at.0), (1, 2, 7));
    }
}
