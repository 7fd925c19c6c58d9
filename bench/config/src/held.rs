//! What a replica holds while there are edits: judged by the replica itself, whole or not at all, and told to the ear.
//!
//! In three ways, as services are given their configuration: on the socket, in a file with a signal, as variables. The keys that change
//! are two pairs, and each pair is only ever changed together; the others stay.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tend_base::{Clock, Mono, SystemClock};
use tend_config_client::Client;
use tokio::signal::unix::{SignalKind, signal};

use crate::ear::Mouth;
use crate::error::Error;
use crate::stack::{MAX, PAIRS, keys};

/// From one look at the file to the next, of the checker beside a replica.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a replica says that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) replica: String,
    /// Where the replica is told.
    pub(crate) revision: Option<u64>,
    /// The number that the file had, and that of the rows.
    pub(crate) numbers: (u64, u64),
    pub(crate) moment: Mono,
}

impl Held {
    /// Reads what [`say`] said.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let replica = words.next()?.to_owned();
        if words.next()? != "holds" {
            return None;
        }
        let revision = words.next()?;
        Some(Self {
            replica,
            revision: (revision != "-").then(|| revision.parse()).transpose().ok()?,
            numbers: (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            moment: Mono(words.next()?.parse().ok()?),
        })
    }
}

fn say(mouth: &Mouth, revision: Option<u64>, (file, rows): (u64, u64)) -> io::Result<()> {
    let revision = revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string());
    let now = SystemClock.now().mono.0;
    mouth.tell(&format!("holds {revision} {file} {rows} {now}"))
}

/// Returns the two numbers of a set that is whole.
///
/// # Errors
/// What is wrong with it: a key that is missing, a pair with two values, a number that is not valid.
fn numbers(get: impl Fn(&str) -> Option<Value>) -> Result<(u64, u64), String> {
    if let Some(missing) = keys().find(|key| get(key).is_none()) {
        return Err(format!("`{missing}` is missing"));
    }
    let number = |[one, other]: [&str; 2]| {
        let (first, second) = (get(one), get(other));
        let number = first.as_ref().and_then(Value::as_u64).filter(|number| *number <= MAX);
        number
            .filter(|_| first == second)
            .ok_or_else(|| format!("`{one}` is {first:?} and `{other}` is {second:?}"))
    };
    Ok((number(PAIRS[0])?, number(PAIRS[1])?))
}

/// Holds configuration until it is killed, in the way that its service is given it.
pub(crate) fn hold() -> Result<(), Error> {
    let mouth = Mouth::of_replica()?;
    if let Some(file) = std::env::var_os("TEND_CONFIG_FILE") {
        return hold_file(&mouth, Path::new(&file));
    }
    if let Some(client) = Client::from_environment() {
        let check = move |set: &tend_config_client::Set| match numbers(|key| set.get(key).cloned()) {
            Ok(numbers) => Ok(say(&mouth, Some(set.revision), numbers)?),
            Err(why) => {
                mouth.accuse(&format!("revision {}: {why}", set.revision))?;
                Err(why.into())
            }
        };
        let client = client.check(check).start();
        let _client = client.map_err(|source| Error::Client { source })?;
        park();
    }
    let variable = |key: &str| std::env::var(key.to_uppercase().replace('.', "_")).ok();
    let given = numbers(|key| {
        let text = variable(key)?;
        Some(text.parse::<u64>().map_or(Value::String(text), Value::from))
    });
    tell(&mouth, given)?;
    park()
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

fn tell(mouth: &Mouth, given: Result<(u64, u64), String>) -> Result<(), Error> {
    let told = match given {
        Ok(numbers) => say(mouth, None, numbers),
        Err(why) => mouth.accuse(&why),
    };
    told.map_err(|source| Error::Say { source })
}

/// Reads its file when it starts and at each signal, as services do; and a checker looks at the file all the while.
fn hold_file(mouth: &Mouth, path: &Path) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::StartReplica { source })?;
    runtime.block_on(async {
        let mut hangup = signal(SignalKind::hangup()).map_err(|source| Error::StartReplica { source })?;
        tell(mouth, file_numbers(path))?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut known = None;
        loop {
            tokio::select! {
                _ = hangup.recv() => tell(mouth, file_numbers(path))?,
                _ = look.tick() => {
                    let found = std::fs::metadata(path);
                    let found = found.map(|found| (found.ino(), found.mtime(), found.mtime_nsec(), found.len())).ok();
                    if known != found || found.is_none() {
                        known = found;
                        if let Err(why) = file_numbers(path) {
                            mouth.accuse(&why).map_err(|source| Error::Say { source })?;
                        }
                    }
                }
            }
        }
    })
}

fn file_numbers(path: &Path) -> Result<(u64, u64), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("its file cannot be read: {error}"))?;
    let tree: Value = serde_json::from_str(&text).map_err(|error| format!("its file is no JSON: {error}: {text}"))?;
    let mut values = BTreeMap::new();
    flatten(String::new(), &tree, &mut values);
    numbers(|key| values.get(key).cloned())
}

fn flatten(prefix: String, tree: &Value, values: &mut BTreeMap<String, Value>) {
    match tree {
        Value::Object(map) => {
            for (name, value) in map {
                let key = match prefix.is_empty() {
                    true => name.clone(),
                    false => format!("{prefix}.{name}"),
                };
                flatten(key, value, values);
            }
        }
        value => drop(values.insert(prefix, value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(file: [u64; 2], rows: [u64; 2]) -> BTreeMap<String, Value> {
        let mut values: BTreeMap<String, Value> = keys().map(|key| (key, Value::from("x"))).collect();
        for (key, number) in PAIRS.iter().flatten().zip([file, rows].into_iter().flatten()) {
            values.insert((*key).to_owned(), number.into());
        }
        values
    }

    #[test]
    fn a_set_is_whole_or_it_is_said_what_is_wrong_with_it() {
        let judge = |values: &BTreeMap<String, Value>| numbers(|key| values.get(key).cloned());
        let good = whole([7, 7], [8, 8]);
        assert_eq!(judge(&good), Ok((7, 8)));
        for broken in [
            whole([7, 6], [8, 8]),
            whole([7, 7], [8, 9]),
            whole([MAX + 1; 2], [8, 8]),
        ] {
            assert!(judge(&broken).is_err(), "{broken:?}");
        }
        for key in keys() {
            let mut without = good.clone();
            without.remove(&key);
            assert!(judge(&without).is_err(), "{key}");
        }
    }

    #[test]
    fn what_is_said_is_read() {
        let held = Held::read("file/2 holds - 3 500004 12");
        let expected = Held {
            replica: "file/2".to_owned(),
            revision: None,
            numbers: (3, 500_004),
            moment: Mono(12),
        };
        assert_eq!(held, Some(expected));
        assert_eq!(
            Held::read("watch/1 holds 9 3 5 12").and_then(|held| held.revision),
            Some(9)
        );
        assert_eq!(Held::read("0 3 12"), None);
    }
}
