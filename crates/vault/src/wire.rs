//! Requests and answers of the HTTP API as values. Opens no connection and reads no clock.
//!
//! The forms are those that OpenBao 2.7 was seen to use (`tests/openbao.rs`) and that the documentation of both programs has.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tend_base::{Exposed, Secret};
use zeroize::Zeroizing;

use crate::path::escaped;
use crate::{Fields, KvPath, VaultError};

/// Bytes of an answer. A secret of KV v2 has at most 1 MiB in either program, and JSON at most doubles what it holds in practice.
pub(crate) const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Maps and lists within one another. The deepest answer that is asked for has four.
const ANSWER_DEPTH_MAX: usize = 32;

/// Letters of a server's own words that are passed on.
const WORDS_MAX: usize = 300;

/// The longest life of a token that is believed: 10 years. What is longer is as good, and sums of times stay far from their ends.
const LIFE_MAX: u64 = 10 * 365 * 24 * 60 * 60;

/// A request, without where it goes and who asks.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Below `/v1/`.
    pub(crate) path: String,
    /// JSON, overwritten when it goes.
    pub(crate) body: Option<Bytes>,
    pub(crate) content_type: &'static str,
    /// What is asked, for a person: `read kv/data/mps`.
    pub(crate) what: String,
    /// The secret it is about, and upon which version it writes.
    writes: Option<(KvPath, u64)>,
}

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// From now on; for ever when none.
    pub life: Option<Duration>,
    /// It may be made longer.
    pub renewable: bool,
}

/// A token, and how long it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Itself.
    pub secret: Secret,
    /// How long it lives.
    pub lease: Lease,
}

/// What reading a secret came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is there.
    Found {
        /// Which version.
        version: Version,
        /// What it holds.
        fields: Fields,
    },
    /// Its newest version was deleted; it may be undeleted unless it was destroyed.
    Deleted {
        /// Which version.
        version: Version,
    },
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Its number, from 1. It begins anew when the secret is made anew.
    #[serde(rename = "version")]
    pub number: u64,
    /// When it was written, as the server says it.
    pub created_time: String,
    /// When it was deleted; empty when it was not.
    #[serde(default)]
    pub deletion_time: String,
    /// Its value is gone for good.
    #[serde(default)]
    pub destroyed: bool,
}

/// What is known of all versions of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// The newest version.
    pub current_version: u64,
    /// The oldest that is kept; 0 when none was dropped.
    #[serde(default)]
    pub oldest_version: u64,
    /// Every write has to say upon which version it writes.
    #[serde(default)]
    pub cas_required: bool,
    /// Remarks of people.
    #[serde(default)]
    pub custom_metadata: Option<BTreeMap<String, String>>,
    /// The versions that are kept, by number.
    #[serde(default)]
    pub versions: BTreeMap<u64, VersionTimes>,
}

/// What became of one version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VersionTimes {
    /// When it was written.
    pub created_time: String,
    /// When it was deleted; empty when it was not.
    #[serde(default)]
    pub deletion_time: String,
    /// Its value is gone for good.
    #[serde(default)]
    pub destroyed: bool,
}

impl Request {
    fn new(method: &'static str, path: String, what: String) -> Self {
        Self {
            method,
            path,
            body: None,
            content_type: "application/json",
            what,
            writes: None,
        }
    }

    pub(crate) fn log_in(mount: &str, role_id: &Secret, secret_id: Option<&Secret>) -> Self {
        let mut body = BTreeMap::from([("role_id", Exposed(role_id.clone()))]);
        body.extend(secret_id.map(|id| ("secret_id", Exposed(id.clone()))));
        let path = format!("auth/{}/login", escaped(mount.trim_matches('/')));
        let mut request = Self::new("POST", path, format!("log in at auth/{mount}"));
        request.body = Some(text_of(&body));
        request
    }

    pub(crate) fn look_up() -> Self {
        Self::new("GET", "auth/token/lookup-self".to_owned(), "look itself up".to_owned())
    }

    pub(crate) fn renew() -> Self {
        let mut request = Self::new("POST", "auth/token/renew-self".to_owned(), "renew itself".to_owned());
        request.body = Some(Bytes::from_static(b"{}"));
        request
    }

    pub(crate) fn read(path: &KvPath, version: Option<u64>) -> Self {
        let query = version.map_or_else(String::new, |version| format!("?version={version}"));
        Self::new("GET", path.data() + &query, format!("read {path}"))
    }

    pub(crate) fn metadata(path: &KvPath) -> Self {
        Self::new("GET", path.metadata(), format!("read the versions of {path}"))
    }

    /// All fields at once; what is not among them is not in the new version.
    pub(crate) fn write(path: &KvPath, fields: &BTreeMap<String, Secret>, upon: u64) -> Self {
        let mut request = Self::new("POST", path.data(), format!("write {path}"));
        request.body = Some(written(fields, upon));
        request.writes = Some((path.clone(), upon));
        request
    }

    /// These fields; the others stay as they are.
    pub(crate) fn patch(path: &KvPath, fields: &BTreeMap<String, Secret>, upon: u64) -> Self {
        let mut request = Self::write(path, fields, upon);
        request.method = "PATCH";
        request.content_type = "application/merge-patch+json";
        request
    }

    pub(crate) fn list(mount: &str, folder: &str) -> Self {
        let (mount, folder) = (mount.trim_matches('/'), folder.trim_matches('/'));
        let slash = if folder.is_empty() { "" } else { "/" };
        // The word `LIST` as a method is not let through by every proxy; this means the same.
        let path = format!("{}/metadata/{}{slash}?list=true", escaped(mount), escaped(folder));
        Self::new("GET", path, format!("list {mount}/metadata/{folder}"))
    }
}

fn written(fields: &BTreeMap<String, Secret>, upon: u64) -> Bytes {
    #[derive(Serialize)]
    struct Body {
        data: BTreeMap<String, Exposed>,
        options: Options,
    }
    #[derive(Serialize)]
    struct Options {
        cas: u64,
    }
    let data = fields
        .iter()
        .map(|(name, value)| (name.clone(), Exposed(value.clone())));
    text_of(&Body {
        data: data.collect(),
        options: Options { cas: upon },
    })
}

/// Returns a body in memory that never moves and is overwritten.
fn text_of(body: &impl Serialize) -> Bytes {
    struct Length(usize);
    impl std::io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length(0);
    let told = "invariant: maps of texts are written to memory";
    serde_json::to_writer(&mut length, body).expect(told);
    let mut text = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *text, body).expect(told);
    Bytes::from_owner(text)
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<Duration>,
    /// `Location`.
    pub(crate) location: Option<String>,
    /// Overwritten when it goes.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// What is around every answer.
#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default = "none")]
    data: Option<T>,
    #[serde(default)]
    auth: Option<Auth>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Deserialize)]
struct Auth {
    client_token: Exposed,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct LookedUp {
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct KvData {
    data: Option<Fields>,
    metadata: Version,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// Reads answers to one request; knows what must not be in an error.
pub(crate) struct Reader<'a> {
    /// The server.
    pub(crate) at: &'a str,
    pub(crate) request: &'a Request,
    /// Values that went there and may come back in its words.
    pub(crate) hidden: &'a [&'a Secret],
}

impl Reader<'_> {
    pub(crate) fn logged_in(&self, received: &Received) -> Result<Token, VaultError> {
        self.succeeded(received)?;
        let auth = self.parse::<serde::de::IgnoredAny>(received)?.auth;
        let auth = auth.ok_or_else(|| self.not_vault("there is no token in it"))?;
        Ok(Token {
            lease: lease(auth.lease_duration, auth.renewable),
            secret: auth.client_token.0,
        })
    }

    pub(crate) fn looked_up(&self, received: &Received) -> Result<Lease, VaultError> {
        self.succeeded(received)?;
        let data = self.data::<LookedUp>(received)?;
        Ok(lease(data.ttl, data.renewable))
    }

    pub(crate) fn reading(&self, received: &Received) -> Result<Reading, VaultError> {
        // A version that was deleted is told as missing, with its metadata.
        let KvData { data, metadata } = match received.status {
            404 => match self.parse::<KvData>(received) {
                Ok(Envelope { data: Some(data), .. }) => data,
                _ => return Err(self.failure(received)),
            },
            _ => {
                self.succeeded(received)?;
                self.data(received)?
            }
        };
        Ok(match data {
            Some(fields) => Reading::Found {
                version: metadata,
                fields,
            },
            None => Reading::Deleted { version: metadata },
        })
    }

    pub(crate) fn metadata(&self, received: &Received) -> Result<Metadata, VaultError> {
        self.succeeded(received)?;
        self.data(received)
    }

    pub(crate) fn written(&self, received: &Received) -> Result<Version, VaultError> {
        self.succeeded(received)?;
        self.data(received)
    }

    pub(crate) fn keys(&self, received: &Received) -> Result<Vec<String>, VaultError> {
        self.succeeded(received)?;
        Ok(self.data::<Keys>(received)?.keys)
    }

    fn data<T: DeserializeOwned>(&self, received: &Received) -> Result<T, VaultError> {
        self.parse(received)?
            .data
            .ok_or_else(|| self.not_vault("there is no `data` in it"))
    }

    fn parse<T: DeserializeOwned>(&self, received: &Received) -> Result<Envelope<T>, VaultError> {
        if depth(&received.body) > ANSWER_DEPTH_MAX {
            return Err(self.not_vault("it is nested deeper than any answer of Vault"));
        }
        serde_json::from_slice(&received.body).map_err(|error| {
            // Its own words may quote a value.
            self.not_vault(&format!(
                "line {} column {} is not as it should be",
                error.line(),
                error.column()
            ))
        })
    }

    fn not_vault(&self, why: &str) -> VaultError {
        VaultError::NotVault {
            at: self.at.to_owned(),
            what: self.request.what.clone(),
            why: why.to_owned(),
        }
    }

    fn succeeded(&self, received: &Received) -> Result<(), VaultError> {
        match received.status {
            200 | 204 => Ok(()),
            _ => Err(self.failure(received)),
        }
    }

    fn failure(&self, received: &Received) -> VaultError {
        let (at, what, status) = (self.at.to_owned(), self.request.what.clone(), received.status);
        let said = self.words(received);
        let lower = said.as_ref().map(|said| said.to_ascii_lowercase()).unwrap_or_default();
        let has = |word: &str| lower.contains(word);
        let spoken = said.is_some();
        let said = said.unwrap_or_default();
        match status {
            503 if has("sealed") => VaultError::Sealed { at },
            // What is active elsewhere, or nowhere at the moment.
            300..=399 => VaultError::Standby {
                at,
                active: received.location.as_deref().map(|location| shown(location, &[])),
            },
            472 | 473 => VaultError::Standby { at, active: None },
            _ if status >= 500 && (has("standby") || has("not active")) => VaultError::Standby { at, active: None },
            429 => VaultError::Throttled {
                at,
                retry_after: received.retry_after,
            },
            // A state that this server has yet to hear of.
            412 | 500.. => VaultError::Failing { at, what, status, said },
            // Any proxy says these as well; then it is not the server's word.
            _ if !spoken => self.not_vault(&format!("{status}, without the errors that Vault would name")),
            400 if has("check-and-set") && self.request.writes.is_some() => match &self.request.writes {
                Some((path, upon)) => VaultError::Conflict {
                    path: path.clone(),
                    expected: *upon,
                },
                None => VaultError::Refused { at, what, status, said },
            },
            403 => VaultError::Denied { at, what, said },
            404 => VaultError::NotThere { at, what, said },
            _ => VaultError::Refused { at, what, status, said },
        }
    }

    /// Returns the server's own words on one line; none when it did not speak as Vault does.
    fn words(&self, received: &Received) -> Option<String> {
        let told: Errors = match depth(&received.body) > ANSWER_DEPTH_MAX {
            true => return None,
            false => serde_json::from_slice(&received.body).ok()?,
        };
        let all = told.errors.iter().chain(told.warnings.iter().flatten());
        let all: Vec<&str> = all.map(String::as_str).collect();
        Some(shown(&all.join("; "), self.hidden))
    }
}

fn lease(seconds: u64, renewable: bool) -> Lease {
    Lease {
        life: (seconds > 0).then(|| Duration::from_secs(seconds.min(LIFE_MAX))),
        renewable,
    }
}

/// Returns somebody's words as one line without control characters, of bounded length, without what must not be seen.
fn shown(text: &str, hidden: &[&Secret]) -> String {
    let mut text = text.to_owned();
    for secret in hidden {
        // What is shorter is found in every text.
        if secret.expose().len() >= 4 {
            text = text.replace(secret.expose(), "***");
        }
    }
    let plain = text.replace(|letter: char| letter.is_control(), " ");
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    // What the library that collects errors puts around a single one.
    let line = line.strip_prefix("1 error occurred: * ").unwrap_or(&line);
    match line.char_indices().nth(WORDS_MAX) {
        None => line.to_owned(),
        Some((at, _)) => format!("{}…", &line[..at]),
    }
}

/// Returns how deep maps and lists lie within one another, without reading what they hold.
fn depth(json: &[u8]) -> usize {
    let (mut now, mut deepest, mut text, mut escape) = (0usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escape => escape = false,
            b'\\' if text => escape = true,
            b'"' => text = !text,
            b'{' | b'[' if !text => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' if !text => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
