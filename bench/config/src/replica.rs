//! A replica: says which value it has in use, and since when by the clock that all processes share; and that what it is given is whole.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tend_config_client::{Client, Set};

use crate::ear::Mouth;
use crate::error::Error;
use crate::stack::{KEY, PAIRS, ROW};

/// Says the number that is in use.
fn say(mouth: &Mouth, value: Option<&Value>) -> std::io::Result<()> {
    match value.and_then(Value::as_u64) {
        Some(number) => mouth.say(number),
        None => Ok(()),
    }
}

/// Returns what is wrong with a set: the two of each pair are always changed together, and stay in their range.
fn fault(set: &Set) -> Option<String> {
    PAIRS.iter().find_map(|[one, other]| {
        let (one, other) = (set.get(one), set.get(other));
        let in_range = one
            .and_then(Value::as_u64)
            .is_some_and(|number| number <= crate::stack::MAX);
        (one != other || !in_range).then(|| format!("revision {} has {one:?} and {other:?}", set.revision))
    })
}

/// Takes values from the endpoint until it is killed.
pub(crate) fn watch() -> Result<(), Error> {
    let [mouth, of_rows, judge] = [
        Mouth::of_environment()?,
        Mouth::of_environment()?,
        Mouth::of_environment()?,
    ];
    let variable = "TEND_CONFIG_SOCKET";
    let builder = Client::from_environment().ok_or(Error::NoVariable { name: variable })?;
    let client = builder
        .check(move |set| match fault(set) {
            Some(what) => {
                judge.accuse(&what)?;
                Err(what.into())
            }
            None => Ok(()),
        })
        .on(KEY, move |change| Ok(say(&mouth, change.new)?))
        .on(ROW, move |change| Ok(say(&of_rows, change.new)?))
        .start();
    let _client = client.map_err(|source| Error::Client { source })?;
    loop {
        std::thread::park();
    }
}

/// Looks at the file until it is killed.
pub(crate) fn poll(file: &Path, every: Duration, offset: Duration) -> Result<(), Error> {
    let mouth = Mouth::of_environment()?;
    let mut known = String::new();
    sleep(offset);
    loop {
        let text = std::fs::read_to_string(file).map_err(Error::file("read", file))?;
        if text != known {
            let values: Option<Value> = serde_json::from_str(&text).ok();
            say(&mouth, values.as_ref().and_then(|values| values.get(KEY))).map_err(|source| Error::Say { source })?;
            known = text;
        }
        sleep(every);
    }
}
