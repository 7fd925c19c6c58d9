//! Just enough HTTP/1.1 for a client and a service that trust each other's framing. Written by hand, so that what is proven of the edge
//! does not pass through its own parser.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer is waited for longer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A request or an answer.
#[derive(Debug)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) first: String,
    fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Message {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the status of an answer; 0 where it has none.
    pub(crate) fn status(&self) -> u16 {
        let status = self.first.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or(0)
    }

    pub(crate) fn path(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }
}

/// Reads a message; none at a clean end.
pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let first = line.trim_end().to_owned();
    let mut fields = Vec::new();
    let mut length = 0;
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if name == "content-length" {
            length = value.parse().map_err(io::Error::other)?;
        }
        fields.push((name, value));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok(Some(Message { first, fields, body }))
}

/// A client that keeps its connection as long as it lasts.
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connection: None,
        }
    }

    /// Posts, and returns the answer. After an error nobody knows what became of it.
    pub(crate) fn post(&mut self, path: &str, fields: &str, body: &str) -> io::Result<Message> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_read_timeout(Some(ANSWER_MAX))?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        let length = body.len();
        let text =
            format!("POST {path} HTTP/1.1\r\nHost: bench.test\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
        connection.get_mut().write_all(text.as_bytes())?;
        let answer = read(&mut connection)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if answer.field("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}
