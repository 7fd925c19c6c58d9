//! A Redis or Valkey, as Debian's `prometheus-redis-exporter` gives it by default. Owns the connection and the round; `resp` is the protocol,
//! `info` what the answers mean.

mod address;
mod info;
mod names;
mod resp;

use std::io;
use std::time::Duration;

use tend_base::{Clock, Secret, SystemClock};
use tend_exposition::parse_value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use self::address::Place;
pub use self::address::RedisAddress;
use self::resp::Reply;
use crate::CollectError;
use crate::collector::{Collecting, Collector, ROUND_WITHIN};
use crate::families::Families;

/// One server.
pub struct Redis {
    address: RedisAddress,
    connection: Option<Connection>,
    within: Duration,
    trouble: Option<String>,
}

impl Redis {
    /// Makes the collector of a server; connects at its first round.
    ///
    /// The user needs `INFO`, and should have `CONFIG GET`, `SLOWLOG`, `LATENCY` and `CLUSTER INFO`: what it may not is left out.
    #[must_use]
    pub fn new(address: RedisAddress) -> Self {
        Self {
            address,
            connection: None,
            within: ROUND_WITHIN,
            trouble: None,
        }
    }

    /// Has a round take so long at most, with connecting; eight seconds otherwise.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    async fn round(&mut self) -> Result<String, CollectError> {
        // A round that is given up must not leave its half-asked connection to the next.
        let kept = self.connection.take();
        let asked = timeout(self.within, round(&self.address, kept)).await;
        let asked = asked.unwrap_or_else(|_| {
            Err(CollectError::Silent {
                what: format!("asking {}", self.address),
                within: self.within,
            })
        });
        let mut out = match asked {
            Ok((connection, out)) => {
                self.connection = Some(connection);
                self.trouble = None;
                out
            }
            Err(error) => {
                self.trouble = Some(error.with_causes());
                Families::new()
            }
        };
        let is_up = f64::from(u8::from(self.trouble.is_none()));
        out.gauge("redis_up", "Information about the Redis instance", &[], is_up);
        let why = self.trouble.as_deref().unwrap_or_default();
        let help = "The last scrape error status.";
        out.gauge("redis_exporter_last_scrape_error", help, &[("err", why)], 1.0 - is_up);
        Ok(out.text())
    }
}

impl Collector for Redis {
    fn collect(&mut self) -> Collecting<'_> {
        Box::pin(self.round())
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

async fn round(address: &RedisAddress, kept: Option<Connection>) -> Result<(Connection, Families), CollectError> {
    let (mut connection, info) = open(address, kept).await?;
    let mut out = Families::new();
    let mut databases = 0;
    // One by one instead of `CONFIG GET *`, which answers with the passwords of the server too.
    for setting in ["databases", "io-threads", "maxclients", "maxmemory"] {
        let Reply::List(pair) = connection.ask("CONFIG", &["GET", setting]).await? else {
            continue;
        };
        let [_, Reply::Text(text)] = pair.as_slice() else {
            continue;
        };
        let Some(value) = parse_value(text.as_bytes()) else {
            continue;
        };
        if setting == "databases" {
            databases = text.parse().unwrap_or_default();
        } else {
            let name = format!("config_{}", setting.replace('-', "_"));
            let help = format!("{name} metric");
            out.gauge(format!("redis_{name}"), help, &[], value);
        }
    }
    if info.lines().any(|line| line.trim() == "cluster_enabled:1") {
        // A cluster has one database only.
        databases = 1;
        if let Reply::Text(cluster) = connection.ask("CLUSTER", &["INFO"]).await? {
            for (field, value) in cluster.lines().filter_map(|line| line.trim().split_once(':')) {
                info::plain(field, value, &mut out);
            }
        }
    } else if databases == 0 {
        databases = info::DATABASES;
    }
    let now = SystemClock.now().wall.0 as f64 / 1000.0;
    info::info(&info, databases, now, &mut out);
    if let Reply::List(events) = connection.ask("LATENCY", &["LATEST"]).await? {
        latency_spikes(&events, &mut out);
    }
    if let Reply::Number(length) = connection.ask("SLOWLOG", &["LEN"]).await? {
        out.gauge("redis_slowlog_length", "Total slowlog", &[], length as f64);
    }
    if let Reply::List(entries) = connection.ask("SLOWLOG", &["GET", "1"]).await? {
        slow_log(&entries, &mut out);
    }
    Ok((connection, out))
}

/// Returns a connection that answers, and its INFO: the kept one where it still does.
async fn open(address: &RedisAddress, kept: Option<Connection>) -> Result<(Connection, String), CollectError> {
    if let Some(mut connection) = kept
        && let Ok(info) = connection.info().await
    {
        return Ok((connection, info));
    }
    let mut connection = Connection::open(address).await?;
    let info = connection.info().await?;
    Ok((connection, info))
}

/// Entries of an event, when it was last, how long then and how long at most, in milliseconds.
fn latency_spikes(events: &[Reply], out: &mut Families) {
    for event in events {
        let Reply::List(event) = event else {
            continue;
        };
        if let [Reply::Text(name), Reply::Number(last), Reply::Number(milliseconds), ..] = event.as_slice() {
            let labels = [("event_name", name.as_str())];
            let help = "When the latency spike last occurred";
            out.gauge("redis_latency_spike_last", help, &labels, *last as f64);
            let help = "Length of the last latency spike in seconds";
            out.gauge(
                "redis_latency_spike_duration_seconds",
                help,
                &labels,
                *milliseconds as f64 / 1e3,
            );
        }
    }
}

/// An entry of its number, when it was, and how long it took in microseconds; nothing where nothing was slow yet.
fn slow_log(entries: &[Reply], out: &mut Families) {
    let (mut last, mut seconds) = (0.0, 0.0);
    if let Some(Reply::List(entry)) = entries.first()
        && let [Reply::Number(number), _, Reply::Number(microseconds), ..] = entry.as_slice()
    {
        last = *number as f64;
        seconds = *microseconds as f64 / 1e6;
    }
    out.gauge("redis_slowlog_last_id", "Last id of slowlog", &[], last);
    let help = "The amount of time needed for last slow execution, in seconds";
    out.gauge("redis_last_slow_execution_duration_seconds", help, &[], seconds);
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection, logged in.
struct Connection {
    wire: Box<dyn Wire>,
    at: String,
    /// What came and was not read yet.
    bytes: Vec<u8>,
}

impl Connection {
    async fn open(address: &RedisAddress) -> Result<Self, CollectError> {
        let at = address.to_string();
        let wire = match &address.place {
            Place::Tcp(host, port) => TcpStream::connect((host.as_str(), *port))
                .await
                .map(|stream| Box::new(stream) as Box<dyn Wire>),
            Place::Unix(path) => UnixStream::connect(path)
                .await
                .map(|stream| Box::new(stream) as Box<dyn Wire>),
        };
        let wire = wire.map_err(|source| CollectError::RedisUnreachable { at: at.clone(), source })?;
        let mut connection = Self {
            wire,
            at,
            bytes: Vec::new(),
        };
        if let Some(password) = &address.password {
            let words: Vec<&str> = address
                .user
                .iter()
                .map(String::as_str)
                .chain([password.expose()])
                .collect();
            if let Reply::Refused(why) = connection.ask("AUTH", &words).await? {
                return Err(connection.refused("AUTH", &why, Some(password)));
            }
        }
        Ok(connection)
    }

    /// Returns everything that INFO knows. Servers that know no `ALL` are asked for the rest.
    async fn info(&mut self) -> Result<String, CollectError> {
        for words in [&["ALL"][..], &[]] {
            match self.ask("INFO", words).await? {
                Reply::Text(text) if !text.is_empty() => return Ok(text),
                Reply::Refused(why) if words.is_empty() || !why.starts_with("ERR") => {
                    return Err(self.refused("INFO", &why, None));
                }
                _ => {}
            }
        }
        Err(CollectError::RedisGarbled { at: self.at.clone() })
    }

    fn refused(&self, command: &'static str, why: &str, secret: Option<&Secret>) -> CollectError {
        // No server repeats it today; none should be able to.
        let why = match secret {
            Some(secret) if !secret.expose().is_empty() => why.replace(secret.expose(), "…"),
            _ => why.to_owned(),
        };
        CollectError::RedisRefused {
            at: self.at.clone(),
            command,
            why,
        }
    }

    /// Sends one command and returns its reply.
    async fn ask(&mut self, command: &str, words: &[&str]) -> Result<Reply, CollectError> {
        let mut request = Vec::new();
        resp::write_command(&mut request, &[&[command], words].concat());
        self.exchange(&request).await.map_err(|source| {
            let at = self.at.clone();
            if source.kind() == io::ErrorKind::InvalidData {
                CollectError::RedisGarbled { at }
            } else {
                CollectError::RedisUnreachable { at, source }
            }
        })
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.wire.write_all(request).await?;
        loop {
            match resp::read_reply(&self.bytes) {
                Ok(Some((reply, length))) => {
                    self.bytes.drain(..length);
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(resp::Garbled) => return Err(io::ErrorKind::InvalidData.into()),
            }
            self.bytes.reserve(16 << 10);
            if self.wire.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
