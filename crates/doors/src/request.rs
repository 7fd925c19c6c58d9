//! A request and its answer, as values. Knows no API.

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST` and so on.
    pub method: &'a str,
    /// The path, still with `%` escapes, without the query.
    pub path: &'a str,
    /// What stands behind `?`; empty when nothing does.
    pub query: &'a str,
    /// Names and values of header fields.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; who hands it over bounds it.
    pub body: &'a [u8],
    /// Who asks: in whose name an alert is acknowledged or assigned.
    pub caller: &'a str,
}

impl Request<'_> {
    /// Returns the value of a header field; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let mut found = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value)
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// `Content-Type`; empty when there is no body.
    pub content_type: &'static str,
    /// Further header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// `Content-Type` of JSON.
pub(crate) const JSON: &str = "application/json";
/// `Content-Type` of what a person reads.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

impl Response {
    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Response {
        Response {
            status,
            content_type: "",
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            content_type,
            body: body.into(),
            ..Response::empty(status)
        }
    }

    /// A text that ends its line, as Go's `http.Error` writes it.
    pub(crate) fn text(status: u16, text: &str) -> Response {
        Response::new(status, TEXT, format!("{text}\n"))
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }
}
