//! What the edge does to what passes through it, and what it answers by itself: headers, compression, files, redirects.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Headers of the responses of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponseHeaders {
    /// `X-Content-Type-Options: nosniff`, `X-Frame-Options: SAMEORIGIN` and `Referrer-Policy: strict-origin-when-cross-origin`, where the
    /// service does not say otherwise.
    pub security: bool,
    /// `Strict-Transport-Security`, over TLS only: its value, as `max-age=31536000; includeSubDomains; preload`.
    pub hsts: Option<String>,
    /// Set, whatever the service says; names in lower case.
    pub set: BTreeMap<String, String>,
    /// Taken out; names in lower case.
    pub remove: Vec<String>,
}

impl Default for ResponseHeaders {
    fn default() -> Self {
        Self {
            security: true,
            hsts: None,
            set: BTreeMap::new(),
            remove: Vec::new(),
        }
    }
}

/// Cross-origin requests (the Fetch standard).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// `https://shop.example.com`, `https://*.example.com` for one label, or `*` for everybody, then without credentials.
    pub origins: Vec<String>,
    /// Beside GET, HEAD and POST.
    pub methods: Vec<String>,
    /// Request headers beside the safe ones.
    pub headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose: Vec<String>,
    /// Cookies and `Authorization` are allowed.
    pub credentials: bool,
    /// A preflight's answer may be kept so long.
    pub max_age: Option<Duration>,
}

/// Compression of responses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compress {
    /// Whether at all.
    pub enabled: bool,
    /// Bodies known to be shorter are left as they are, in bytes. 1024: the guides' `gzip_min_length`.
    pub bytes_min: u64,
    /// Media types, without parameters; `text/*` for all of a kind.
    pub types: Vec<String>,
    /// Answers carry secrets beside what a client may choose, so that their compressed length would tell of them (BREACH): never.
    pub secret_bearing: bool,
}

impl Default for Compress {
    fn default() -> Self {
        Self {
            enabled: false,
            bytes_min: 1024,
            types: [
                "text/*",
                "application/json",
                "application/javascript",
                "application/xml",
                "application/manifest+json",
                "image/svg+xml",
            ]
            .map(str::to_owned)
            .to_vec(),
            secret_bearing: false,
        }
    }
}

/// A folder of files that the edge serves by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The folder; what is asked for behind the route's prefix is looked up in it.
    pub root: PathBuf,
    /// What a folder is answered with; `index.html` by default.
    #[serde(default = "index_default")]
    pub index: String,
    /// What is answered with 200 where there is no such file, as for an application of one page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Where there is no such file the route's service is asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub or_service: bool,
    /// `Cache-Control: max-age`; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Names with a hash in them, such as `app.3f9a1c2b.js`, never change: `immutable`, for a year.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
    /// `app.js.br`, `.zst` or `.gz` beside `app.js` are answered to clients that take them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub precompressed: bool,
}

fn index_default() -> String {
    "index.html".to_owned()
}

/// Another path for the service, before it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rewrite {
    /// The route's prefix is taken away: `/api/pay` becomes `/pay`.
    StripPrefix,
    /// The route's prefix becomes another.
    ReplacePrefix(String),
}

/// Another place for the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// A URL or a path. `{host}`, `{path}` (with the query), `{rest}` (what follows the route's prefix) stand for those of the request.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// What is answered in place of the edge's own texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorPage {
    /// For these statuses.
    pub statuses: Vec<u16>,
    /// The file, read when the snapshot is taken up.
    pub file: PathBuf,
    /// Also in place of what the service answers with such a status.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub intercept: bool,
}
