//! What can be wrong with a message, and which status says so to whoever sent a request. Repeats nothing of what was sent.

/// Says why a message was refused. A message that was refused leaves the place where the next one begins in doubt: the connection
/// it came on is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Http1Error {
    /// The first line of a request is not one.
    #[error("the request line is malformed")]
    RequestLine,
    /// The first line of a response is not one.
    #[error("the status line is malformed")]
    StatusLine,
    /// A major version other than 1.
    #[error("the version of HTTP is not 1.0 or 1.1")]
    Version,
    /// A method that no application has.
    #[error("the method is longer than any that is known")]
    MethodTooLong,
    /// CONNECT, which is for forward proxies.
    #[error("CONNECT is not for this server")]
    Connect,
    /// The request's target is longer than allowed.
    #[error("the target of the request is too long")]
    TargetTooLong,
    /// Not a path, not an absolute `http` address, or `*` without OPTIONS; or with a fragment, a control or a byte that is not ASCII.
    #[error("the target of the request is malformed")]
    Target,
    /// The head has more bytes than allowed.
    #[error("the head is too large")]
    HeadTooLarge,
    /// The head has more fields than allowed.
    #[error("the head has too many fields")]
    TooManyFields,
    /// A line ends with LF alone, or has a CR that is not at its end.
    #[error("a line does not end with CR LF")]
    LineEnd,
    /// A line begins with a space or tab: the folding of RFC 822.
    #[error("a field goes over several lines")]
    Folded,
    /// Empty, with a space before the colon or a byte that no name has; or alike one that frames the body, as `content_length`.
    #[error("the name of a field is malformed")]
    FieldName,
    /// A control or NUL in a value.
    #[error("the value of a field is malformed")]
    FieldValue,
    /// None, several, or one that is not the name of a host.
    #[error("the head does not name exactly one valid host")]
    Host,
    /// Several, or one that is not a number of digits alone.
    #[error("the length of the body is not one plain number")]
    ContentLength,
    /// Any but `chunked` alone, or in HTTP/1.0.
    #[error("the coding of the body is not `chunked` alone")]
    TransferEncoding,
    /// `Content-Length` beside `Transfer-Encoding`.
    #[error("the body has a length beside a coding")]
    LengthBesideCoding,
    /// A size that is not hexadecimal or too large, data that does not end where the size says, or an odd extension.
    #[error("the chunks of the body are malformed")]
    Chunk,
    /// The extensions of chunks outweigh what they carry.
    #[error("the chunks of the body have too much beside their data")]
    ChunkOverhead,
    /// The fields after the last chunk are malformed or too large.
    #[error("the trailer fields are malformed or too large")]
    Trailers,
}

impl Http1Error {
    /// Returns the status that says so to a client.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Connect => 405,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::MethodTooLong => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}
