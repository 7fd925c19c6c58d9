//! The texts of the watch endpoint, `docs/reference/config-watch.md`: queries and acknowledgements in, sets and events out. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::revision::{Revision, Selection, Update};

/// Longest reason of a negative acknowledgement that is kept, in bytes; the rest is cut off.
const REASON_BYTES_MAX: usize = 2000;

/// What `GET` asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Query {
    /// Answer when the revision is another one.
    pub(crate) after: Option<u64>,
    /// How long to wait for it.
    pub(crate) wait: Option<Duration>,
    pub(crate) chosen: Selection,
}

impl Query {
    /// Reads what stands behind `?`.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub(crate) fn parse(text: &str) -> Result<Query, String> {
        let mut query = Query::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let number = || {
                let number = value.parse::<u64>();
                number.map_err(|_| format!("`{name}={value}` is not a whole number"))
            };
            match &*name {
                "after" => query.after = Some(number()?),
                "wait" => query.wait = Some(Duration::from_secs(number()?)),
                "keys" => {
                    query.chosen = Selection::parse(&value).map_err(|pattern| {
                        format!("`keys` has `{pattern}`; a pattern is a key, `prefix.*` or `*`, separated by commas")
                    })?;
                }
                other => return Err(format!("`{other}` is unknown; there are `after`, `wait` and `keys`")),
            }
        }
        Ok(query)
    }
}

/// What a replica says of a revision.
#[derive(Debug, Deserialize, PartialEq)]
pub(crate) struct Said {
    pub(crate) revision: u64,
    /// Why it does not take it.
    #[serde(default)]
    pub(crate) error: Option<String>,
}

impl Said {
    /// Reads the body of an acknowledgement; fields of later versions are left alone.
    pub(crate) fn parse(body: &[u8]) -> Result<Said, String> {
        let mut said: Said = serde_json::from_slice(body).map_err(|error| {
            format!("the body is not {{\"revision\": N}} or {{\"revision\": N, \"error\": \"why\"}}: {error}")
        })?;
        if let Some(reason) = &mut said.error {
            let end = (0..=REASON_BYTES_MAX.min(reason.len()))
                .rev()
                .find(|at| reason.is_char_boundary(*at));
            reason.truncate(end.unwrap_or(0));
        }
        Ok(said)
    }
}

#[derive(Serialize)]
struct Set<'a> {
    revision: u64,
    values: BTreeMap<&'a str, &'a Value>,
}

/// The answer to `GET /v1/config`, with a line end for who asks with curl.
pub(crate) fn set(revision: &Revision, chosen: &Selection) -> Vec<u8> {
    let values = revision.update_from(None, chosen).changed;
    let set = Set {
        revision: revision.number,
        values,
    };
    let mut text = serde_json::to_vec(&set).expect("invariant: texts and JSON values become JSON");
    text.push(b'\n');
    text
}

#[derive(Serialize)]
struct Event<'a> {
    revision: u64,
    whole: bool,
    changed: &'a BTreeMap<&'a str, &'a Value>,
    removed: &'a [&'a str],
}

/// One `config` event. JSON has no bare line end, so its data is one line.
pub(crate) fn event(update: &Update<'_>) -> Bytes {
    let event = Event {
        revision: update.number,
        whole: update.whole,
        changed: &update.changed,
        removed: &update.removed,
    };
    let data = serde_json::to_string(&event).expect("invariant: texts and JSON values become JSON");
    Bytes::from(format!("event: config\nid: {}\ndata: {data}\n\n", update.number))
}

/// The beginning of a stream: shows at once that it works.
pub(crate) const GREETING: &[u8] = b": tend config watch 1\n\n";

/// Says that both ends are still there.
pub(crate) const HEARTBEAT: &[u8] = b": here\n\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_mean_what_they_say_or_nothing() {
        let query = Query::parse("after=7&wait=3&keys=a.b%2Cc.*").expect("valid");
        assert_eq!((query.after, query.wait), (Some(7), Some(Duration::from_secs(3))));
        assert!(query.chosen.has("c.d") && !query.chosen.has("d"));
        for (wrong, named) in [
            ("after=x", "after=x"),
            ("since=1", "since"),
            ("keys=a*", "a*"),
            ("after=-1", "-1"),
        ] {
            assert!(Query::parse(wrong).expect_err(wrong).contains(named), "{wrong}");
        }
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let said =
            Said::parse(format!("{{\"revision\":1,\"error\":\"{}\"}}", "é".repeat(1500)).as_bytes()).expect("valid");
        assert_eq!(said.error.map(|reason| reason.len()), Some(2000));
        let said = Said::parse(b"{\"revision\":1,\"later\":true,\"error\":\"x\"}").expect("valid");
        assert_eq!(said.error.as_deref(), Some("x"));
        for wrong in ["", "{}", "{\"revision\":-1}", "7", "{\"revision\":1,\"error\":4}"] {
            assert!(Said::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_is_three_lines_and_an_empty_one_whatever_is_in_the_values() {
        let values = [("greeting".to_owned(), Value::from("a\nb\r\n\u{2028}"))].into();
        let revision = Revision { number: 3, values };
        let text = event(&revision.update_from(None, &Selection::default()));
        let text = std::str::from_utf8(&text).expect("UTF-8");
        assert_eq!(text.matches('\n').count(), 4);
        assert!(
            text.starts_with("event: config\nid: 3\ndata: {\"revision\":3,\"whole\":true,"),
            "{text}"
        );
    }
}
