//! The way through a proxy: `CONNECT` for what is encrypted. Knows nothing of what is asked.

use tend_base::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Address, FetchError};

/// Bytes of a proxy's answer, which has no body that matters.
const HEAD_MAX: usize = 16 * 1024;

/// Characters of a status line that are passed on.
const SAID_MAX: usize = 100;

/// Asks a proxy for a way to a host; what follows on the connection is between us and that host.
pub(crate) async fn tunnel(stream: &mut TcpStream, proxy: &Address, at: &str) -> Result<(), FetchError> {
    let refused = |said: &str| FetchError::Proxy {
        proxy: proxy.at(),
        at: at.to_owned(),
        said: said
            .chars()
            .filter(|letter| !letter.is_control())
            .take(SAID_MAX)
            .collect(),
    };
    let broken = |source: std::io::Error| FetchError::Broken {
        at: proxy.at(),
        source: source.into(),
    };
    let credentials = proxy.credentials.as_ref().map_or_else(String::new, |credentials| {
        format!("Proxy-Authorization: {}\r\n", credentials.expose())
    });
    let request = Secret::new(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{credentials}\r\n"));
    stream.write_all(request.expose().as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    // One by one: what comes behind the head is the other side's.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_MAX {
            return Err(refused("it answers without an end"));
        }
        head.push(stream.read_u8().await.map_err(broken)?);
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    match status {
        Some(status) if status.len() == 3 && status.starts_with('2') => Ok(()),
        Some(_) => Err(refused(line)),
        None => Err(refused("it answers nothing of HTTP")),
    }
}
