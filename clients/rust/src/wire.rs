//! HTTP on the unix socket: the stream of events, and acknowledgements.
//!
//! Asks with HTTP/1.0, which tend answers without chunks and ends by closing: then a stream is just lines.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

/// tend says something every ten seconds; after three times that it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long an acknowledgement may take: tend itself gives up after five.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest line that is read; a set of four megabytes fits, escaped.
const LINE_BYTES_MAX: u64 = 32 << 20;

/// The stream of events.
pub(crate) struct Events(BufReader<UnixStream>);

/// What was made of a revision, as it is said to tend.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) revision: u64,
    pub(crate) error: Option<String>,
}

impl Events {
    /// Asks for what is newer than `last`; a handle on the connection is given to `opened`, so that reading can be ended from outside.
    pub(crate) fn ask(socket: &Path, keys: &str, last: u64, opened: impl FnOnce(UnixStream)) -> io::Result<Events> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(ACK_TIMEOUT))?;
        opened(stream.try_clone()?);
        let query = if keys.is_empty() {
            String::new()
        } else {
            format!("?keys={keys}")
        };
        let last = if last == 0 {
            String::new()
        } else {
            format!("Last-Event-ID: {last}\r\n")
        };
        let head =
            format!("GET /v1/config/events{query} HTTP/1.0\r\nHost: tend\r\nAccept: text/event-stream\r\n{last}\r\n");
        stream.write_all(head.as_bytes())?;
        let mut events = Events(BufReader::new(stream));
        let status = status(&mut events.0)?;
        if status != 200 {
            return Err(io::Error::other(format!("tend answered {status}")));
        }
        while !events.line()?.is_empty() {}
        Ok(events)
    }

    /// Waits for the data of the next event; kinds of later versions are passed over.
    pub(crate) fn next(&mut self) -> io::Result<String> {
        let (mut kind, mut data) = (String::new(), String::new());
        loop {
            let line = self.line()?;
            if line.is_empty() {
                if kind == "config" {
                    return Ok(data);
                }
                (kind, data) = (String::new(), String::new());
            } else if let Some(named) = line.strip_prefix("event:") {
                kind = named.trim().to_owned();
            } else if let Some(more) = line.strip_prefix("data:") {
                data.push_str(more.trim_start());
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        read_line(&mut self.0)
    }
}

/// Tells tend what was made of a revision; an error when it was not heard.
pub(crate) fn say(socket: &Path, said: &Said) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ACK_TIMEOUT))?;
    stream.set_write_timeout(Some(ACK_TIMEOUT))?;
    let body = match &said.error {
        None => json!({ "revision": said.revision }),
        Some(error) => json!({ "revision": said.revision, "error": error }),
    }
    .to_string();
    let length = body.len();
    let request = format!(
        "POST /v1/config/ack HTTP/1.0\r\nHost: tend\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    match status(&mut BufReader::new(stream))? {
        // Refused for what it says: saying it again would not help.
        200..=499 => Ok(()),
        status => Err(io::Error::other(format!("tend answered {status}"))),
    }
}

/// Reads the first line of an answer.
fn status(reader: &mut impl BufRead) -> io::Result<u16> {
    let line = read_line(reader)?;
    let mut words = line.split(' ');
    let status = match words.next() {
        Some(version) if version.starts_with("HTTP/1.") => words.next().and_then(|status| status.parse().ok()),
        _ => None,
    };
    status.ok_or_else(|| io::Error::other("what answered does not speak HTTP"))
}

/// Reads one line without its end; an error where there is no end.
fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
    let Some(text) = line.strip_suffix('\n') else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_its_end_is_not_a_line() {
        let mut reader = io::Cursor::new(b"HTTP/1.0 200 OK\r\ncut off".to_vec());
        assert_eq!(status(&mut reader).expect("a status"), 200);
        assert!(read_line(&mut reader).is_err());
        assert!(status(&mut io::Cursor::new(b"SSH-2.0-x\r\n".to_vec())).is_err());
    }
}
