//! Connections, before anything is said on them.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use crate::FetchError;

/// A connection of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects to the first address of a name that takes a connection.
///
/// Each address has its share of what is left of the time, so that one that is away does not use up that of the next. Dropping the future
/// gives up.
///
/// # Errors
/// When the name is not known, or no address takes a connection in time.
pub async fn dial(host: &str, port: u16, within: Duration) -> Result<TcpStream, FetchError> {
    let at = || match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let unconnected = || FetchError::Unconnected { at: at(), within };
    let lookup = |source| FetchError::Lookup {
        host: host.to_owned(),
        source,
    };
    let until = Instant::now() + within;
    let addresses: Vec<_> = timeout_at(until, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| unconnected())?
        .map_err(lookup)?
        .collect();
    let mut failed = None;
    for (index, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is written at once, and nothing is gained by waiting for more.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(source)) => failed = failed.or(Some(FetchError::Unreachable { at: at(), source })),
            Err(_) => failed = failed.or_else(|| Some(unconnected())),
        }
    }
    Err(failed.unwrap_or_else(|| lookup(io::Error::new(io::ErrorKind::NotFound, "it has no address"))))
}

/// Connects to a socket.
///
/// # Errors
/// When nobody listens there, or it may not be opened.
pub async fn dial_unix(path: &Path, within: Duration) -> Result<UnixStream, FetchError> {
    let at = || path.display().to_string();
    match tokio::time::timeout(within, UnixStream::connect(path)).await {
        Ok(connected) => connected.map_err(|source| FetchError::Unreachable { at: at(), source }),
        // A socket whose backlog is full makes one wait.
        Err(_) => Err(FetchError::Unconnected { at: at(), within }),
    }
}
