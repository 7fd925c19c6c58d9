//! What is asked, and how long and how much may come back. Opens nothing.

use std::time::Duration;

use bytes::Bytes;
use tend_base::Secret;

use crate::Address;

/// Bytes of an answer where nobody says otherwise: 1 MiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// One request. Fields are open: what is not set here is what most want.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// Where to.
    pub address: Address,
    /// Who asks.
    pub auth: Option<Auth>,
    /// Headers beside `Host`, `Content-Length` and the like.
    pub(crate) headers: Vec<Header>,
    /// What is sent along; nothing when empty.
    pub body: Bytes,
    /// For the whole, redirects included. 10 s.
    pub within: Duration,
    /// For a connection: name, TCP and TLS. 5 s.
    pub connect_within: Duration,
    /// Bytes of an answer's body, unpacked; what is longer is cut. 1 MiB.
    pub answer_bytes_max: usize,
    /// Whether an answer may be packed on the way. It is unpacked here.
    pub gzip: bool,
    /// How many redirects are followed; none by default. `GET` and `HEAD` follow each kind, other methods those alone that keep them (307, 308):
    /// another redirect comes back as the answer.
    pub redirects: u8,
    /// Whether the memory of the answer's body is overwritten when it goes: for secrets.
    pub overwrite_answer: bool,
}

/// A header.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: Secret,
    /// Whether it goes to another origin, too.
    pub(crate) carried: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A name and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token behind the word `Bearer`.
    Bearer(Secret),
    /// Whole as it stands in `Authorization`.
    Custom(Secret),
}

impl Request {
    /// Asks an address.
    #[must_use]
    pub fn new(method: &'static str, address: Address) -> Self {
        Self {
            method,
            address,
            auth: None,
            headers: Vec::new(),
            body: Bytes::new(),
            within: Duration::from_secs(10),
            connect_within: Duration::from_secs(5),
            answer_bytes_max: ANSWER_BYTES_MAX,
            gzip: true,
            redirects: 0,
            overwrite_answer: false,
        }
    }

    /// `GET` of an address.
    #[must_use]
    pub fn get(address: Address) -> Self {
        Self::new("GET", address)
    }

    /// `POST` of a body of this media type.
    #[must_use]
    pub fn post(address: Address, media_type: &str, body: impl Into<Bytes>) -> Self {
        let mut request = Self::new("POST", address);
        request.body = body.into();
        request.header("Content-Type", media_type);
        request
    }

    /// Adds a header that anybody may see.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        self.headers.push(Header {
            name: name.to_owned(),
            value: Secret::new(value.to_owned()),
            carried: true,
        });
        self
    }

    /// Adds a header that is for this origin alone: no redirect carries it to another one.
    pub fn secret_header(&mut self, name: &str, value: &Secret) -> &mut Self {
        self.headers.push(Header {
            name: name.to_owned(),
            value: value.clone(),
            carried: false,
        });
        self
    }

    /// Returns whether asking twice does no more than asking once.
    pub(crate) fn is_idempotent(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
    }
}
