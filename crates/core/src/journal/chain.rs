//! How an event is put into bytes, hashed, and tied to the event before it. Knows nothing of where rows are kept.
//!
//! The bytes are described for other tools in `docs/reference/format-journal.md`.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tend_base::{Mono, Now, Wall, from_hex, to_hex};

use super::{Entry, Event, EventId, canonical_json};

/// First field of what is hashed: which encoding this is, so that a later one can never collide with it.
const ENCODING: &str = "tend-event-1";

/// The hash before the first event: 32 zero bytes.
pub const GENESIS: Hash = Hash([0; 32]);

/// A SHA-256 value, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

/// Says that a text is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash of 64 hexadecimal digits")]
pub struct HashError(pub String);

impl FromStr for Hash {
    type Err = HashError;
    fn from_str(text: &str) -> Result<Self, HashError> {
        let bytes = from_hex(text).ok_or_else(|| HashError(text.to_owned()))?;
        Ok(Self(bytes.try_into().map_err(|_| HashError(text.to_owned()))?))
    }
}

impl TryFrom<String> for Hash {
    type Error = HashError;
    fn try_from(text: String) -> Result<Self, HashError> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hash.to_string()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An event as it is kept: the texts exactly as they were hashed.
///
/// Checking works on rows, so that a tend that does not know a newer field can still check it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// Number of the event.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// Nanoseconds since the machine started.
    pub mono: u64,
    /// The principal as canonical JSON.
    pub principal: String,
    /// The subject as canonical JSON.
    pub subject: String,
    /// Name of the kind.
    pub kind: String,
    /// The particulars as canonical JSON.
    pub data: String,
    /// Number of the event that led to this one.
    pub cause: Option<u64>,
    /// Hash of the row before.
    pub prev_hash: Hash,
    /// Hash of this row.
    pub hash: Hash,
}

/// Says why a row is not an event.
#[derive(Debug, thiserror::Error)]
#[error("the {field} of event {seq} cannot be read")]
pub struct RowError {
    /// Number of the row.
    pub seq: u64,
    /// The field: `principal`, `subject` or `data`.
    pub field: &'static str,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

impl Row {
    /// Returns the hash this row ought to have, were its number `seq`.
    ///
    /// Each field goes in as its length in 4 bytes, big end first, and its bytes; numbers are 8 bytes, big end first.
    #[must_use]
    pub fn digest_as(&self, seq: u64) -> Hash {
        let mut context = Context::new(&SHA256);
        let mut field = |bytes: &[u8]| {
            // SQLite keeps no value longer than 2^31 - 1 bytes, so four bytes always hold the length.
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            context.update(&length.to_be_bytes());
            context.update(bytes);
        };
        field(ENCODING.as_bytes());
        field(&self.prev_hash.0);
        field(&seq.to_be_bytes());
        field(&self.at.to_be_bytes());
        field(&self.mono.to_be_bytes());
        field(self.principal.as_bytes());
        field(self.subject.as_bytes());
        field(self.kind.as_bytes());
        field(self.data.as_bytes());
        match self.cause {
            Some(cause) => field(&cause.to_be_bytes()),
            None => field(&[]),
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Hash(hash)
    }

    /// Returns the hash this row ought to have.
    #[must_use]
    pub fn digest(&self) -> Hash {
        self.digest_as(self.seq)
    }

    /// Puts an entry after the row whose hash is `prev_hash`.
    #[must_use]
    pub fn chained(prev_hash: Hash, entry: &Entry, seq: EventId, at: Now) -> Self {
        let mut row = Self {
            seq: seq.0,
            at: at.wall.0,
            mono: at.mono.0,
            principal: canonical_of(&entry.principal),
            subject: canonical_of(&entry.subject),
            kind: entry.kind.as_str().to_owned(),
            data: canonical_json(&entry.data),
            cause: entry.cause.map(|cause| cause.0),
            prev_hash,
            hash: GENESIS,
        };
        row.hash = row.digest();
        row
    }

    /// Reads the row as an event. Does not check its hash.
    ///
    /// # Errors
    /// When a text is not what that field must be, which only a change from outside can bring about.
    pub fn to_event(&self) -> Result<Event, RowError> {
        let wrong = |field| {
            move |source| RowError {
                seq: self.seq,
                field,
                source,
            }
        };
        Ok(Event {
            id: EventId(self.seq),
            at: Wall(self.at),
            mono: Mono(self.mono),
            principal: serde_json::from_str(&self.principal).map_err(wrong("principal"))?,
            subject: serde_json::from_str(&self.subject).map_err(wrong("subject"))?,
            kind: self.kind.as_str().into(),
            data: serde_json::from_str(&self.data).map_err(wrong("data"))?,
            cause: self.cause.map(EventId),
            prev_hash: self.prev_hash,
            hash: self.hash,
        })
    }
}

/// Writes a principal or a subject, which are plain values: texts and whole numbers under text keys.
fn canonical_of(value: &impl Serialize) -> String {
    // Invariant: a value of ours always has a JSON form, for none has a key that is not a text or a number that is not finite.
    let value = serde_json::to_value(value).expect("a principal or subject has a JSON form");
    canonical_json(&value)
}

/// Makes an entry the event number `seq`, after the event whose hash is `prev_hash` ([`GENESIS`] for the first).
#[must_use]
pub fn chain(prev_hash: Hash, entry: Entry, seq: EventId, at: Now) -> Event {
    let row = Row::chained(prev_hash, &entry, seq, at);
    Event {
        id: seq,
        at: at.wall,
        mono: at.mono,
        principal: entry.principal,
        subject: entry.subject,
        kind: entry.kind,
        data: entry.data,
        cause: entry.cause,
        prev_hash,
        hash: row.hash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Kind, Principal, Subject, Via};
    use serde_json::json;

    fn entry() -> Entry {
        Entry::new(
            Principal::Person {
                uid: Some(1000),
                name: "ana".to_owned(),
                via: Via::Socket,
            },
            Kind::ServiceScaled,
        )
        .on(Subject {
            stack: Some("mps".parse().unwrap()),
            service: Some("api".parse().unwrap()),
            ..Subject::default()
        })
        .with(json!({"to": 5, "from": 3}))
        .caused_by(EventId(6))
    }

    fn now() -> Now {
        Now {
            mono: Mono(5_000_000_000),
            wall: Wall(1_795_265_075_123),
        }
    }

    #[test]
    fn the_encoding_of_a_known_event_stays_what_it_is() {
        let row = Row::chained(GENESIS, &entry(), EventId(7), now());
        assert_eq!(
            row.principal,
            r#"{"name":"ana","type":"person","uid":1000,"via":"socket"}"#
        );
        assert_eq!(row.subject, r#"{"service":"api","stack":"mps"}"#);
        assert_eq!(row.data, r#"{"from":3,"to":5}"#);
        // Computed with a few lines of Python as well; a change here makes every journal in the field unreadable.
        assert_eq!(
            row.hash.to_string(),
            "2631b1ee8df93c84c0eadd207b9c793d7430027ad313fd2ba060b28022de0006"
        );
    }

    #[test]
    fn changing_any_field_changes_the_hash() {
        let row = Row::chained(GENESIS, &entry(), EventId(7), now());
        type Edit = fn(&mut Row);
        let changes: [(&str, Edit); 9] = [
            ("seq", |row| row.seq += 1),
            ("at", |row| row.at += 1),
            ("mono", |row| row.mono += 1),
            ("principal", |row| row.principal.push(' ')),
            ("subject", |row| row.subject.push(' ')),
            ("kind", |row| row.kind.push('d')),
            ("data", |row| row.data.push(' ')),
            ("cause", |row| row.cause = None),
            ("prev_hash", |row| row.prev_hash.0[31] ^= 1),
        ];
        for (field, change) in changes {
            let mut changed = row.clone();
            change(&mut changed);
            assert_ne!(changed.digest(), row.hash, "{field}");
        }
    }

    #[test]
    fn moving_bytes_from_one_field_to_the_next_changes_the_hash() {
        let row = Row::chained(GENESIS, &entry(), EventId(7), now());
        let mut moved = row.clone();
        moved.data = format!("{}{}", &row.kind[row.kind.len() - 1..], row.data);
        moved.kind.pop();
        assert_ne!(moved.digest(), row.hash);
    }

    #[test]
    fn an_event_comes_back_from_its_row() {
        let event = chain(GENESIS, entry(), EventId(7), now());
        let row = Row::chained(GENESIS, &entry(), EventId(7), now());
        assert_eq!(row.to_event().unwrap(), event);
        assert_eq!(row.digest(), event.hash);
    }

    #[test]
    fn hashes_are_read_as_they_are_written_and_nothing_else_is() {
        let hash = Hash(std::array::from_fn(|i| u8::try_from(i * 7).unwrap()));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for text in ["", "00", &"g".repeat(64), &"0".repeat(63), &"A".repeat(64)] {
            assert!(text.parse::<Hash>().is_err(), "{text}");
        }
    }
}
