//! Where replicas say what they have in use: datagrams on a socket, `REPLICA NUMBER TIME`, or `REPLICA ! WHAT` for what must not be; in words
//! of its own what they hold while there are edits, which is `held`'s.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tend_base::{Clock, Mono, SystemClock};

use crate::error::Error;

/// Tells a replica where to say it.
pub(crate) const VARIABLE: &str = "BENCH_CONFIG_EAR";

/// Longest datagram.
const BYTES_MAX: usize = 4096;

/// What one replica said.
pub(crate) struct Said {
    pub(crate) replica: usize,
    pub(crate) number: u64,
    pub(crate) moment: Mono,
}

/// The socket.
pub(crate) struct Ear {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Ear {
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("ear");
        let socket = UnixDatagram::bind(&path).map_err(Error::file("listen at", &path))?;
        // Replicas run as a user of their own.
        let everybody = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&path, everybody).map_err(Error::file("open", &path))?;
        Ok(Self { socket, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number that is said next; nothing when that takes longer than `patience`.
    ///
    /// # Errors
    /// [`Error::Broken`] when a replica says that something must not be.
    pub(crate) fn next(&self, patience: Duration) -> Result<Option<Said>, Error> {
        self.hear(patience, parse)
    }

    /// Returns the next of what is said that can be read; nothing when that takes longer than `patience`.
    ///
    /// # Errors
    /// [`Error::Broken`] when a replica says that something must not be.
    pub(crate) fn hear<T>(&self, patience: Duration, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Error> {
        let end = Instant::now() + patience;
        let mut bytes = [0; BYTES_MAX];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let heard = self
                .socket
                .set_read_timeout(Some(left))
                .and_then(|()| self.socket.recv(&mut bytes));
            let count = match heard {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(source) => return Err(Error::file("hear at", &self.path)(source)),
            };
            let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned();
            if let Some((replica, what)) = text.split_once(" ! ") {
                let said = format!("replica {replica} was given what it must not be: {what}");
                return Err(Error::Broken { said });
            }
            if let Some(said) = read(&text) {
                return Ok(Some(said));
            }
        }
    }

    /// Waits until each of `count` replicas says `number`; returns since when.
    pub(crate) fn all(&self, count: usize, number: u64, patience: Duration) -> Result<Vec<Mono>, Error> {
        let end = Instant::now() + patience;
        let mut moments = vec![None; count];
        while let Some(missing) = moments.iter().position(Option::is_none) {
            match self.next(end.saturating_duration_since(Instant::now()))? {
                Some(said) if said.number == number => {
                    if let Some(moment) = moments.get_mut(said.replica) {
                        *moment = Some(said.moment);
                    }
                }
                Some(_) => {}
                None => {
                    return Err(Error::NotInUse {
                        replica: missing,
                        number,
                        seconds: patience.as_secs(),
                    });
                }
            }
        }
        Ok(moments.into_iter().flatten().collect())
    }
}

fn parse(text: &str) -> Option<Said> {
    let mut words = text.split(' ');
    Some(Said {
        replica: words.next()?.parse().ok()?,
        number: words.next()?.parse().ok()?,
        moment: Mono(words.next()?.parse().ok()?),
    })
}

/// The other end: what a replica says by.
pub(crate) struct Mouth {
    socket: UnixDatagram,
    /// Counted from 0; as the replica of a service, such as `file/1`, where that is asked for.
    replica: String,
}

impl Mouth {
    /// Finds the ear by the environment; `replica` is counted from 0.
    pub(crate) fn of_environment() -> Result<Self, Error> {
        let missing = |name| move || Error::NoVariable { name };
        let path = std::env::var_os(VARIABLE).ok_or_else(missing(VARIABLE))?;
        let slot = std::env::var("TEND_SLOT")
            .ok()
            .and_then(|slot| slot.parse::<usize>().ok());
        let slot = slot.ok_or_else(missing("TEND_SLOT"))?;
        let socket = UnixDatagram::unbound().and_then(|socket| socket.connect(&path).map(|()| socket));
        Ok(Self {
            socket: socket.map_err(Error::file("speak to", path))?,
            replica: slot.saturating_sub(1).to_string(),
        })
    }

    /// Finds the ear by the environment, for a replica that is known by its service and slot.
    pub(crate) fn of_replica() -> Result<Self, Error> {
        let service = std::env::var("TEND_SERVICE").map_err(|_| Error::NoVariable { name: "TEND_SERVICE" })?;
        let slot = std::env::var("TEND_SLOT").map_err(|_| Error::NoVariable { name: "TEND_SLOT" })?;
        Ok(Self {
            replica: format!("{service}/{slot}"),
            ..Self::of_environment()?
        })
    }

    /// Says anything.
    pub(crate) fn tell(&self, what: &str) -> io::Result<()> {
        let text = format!("{} {what}", self.replica);
        self.socket.send(text.as_bytes()).map(drop)
    }

    /// Says that a number is in use now.
    pub(crate) fn say(&self, number: u64) -> io::Result<()> {
        let now = SystemClock.now().mono.0;
        let text = format!("{} {number} {now}", self.replica);
        self.socket.send(text.as_bytes()).map(drop)
    }

    /// Says what must not be.
    pub(crate) fn accuse(&self, what: &str) -> io::Result<()> {
        let text = format!("{} ! {what}", self.replica);
        self.socket.send(text.as_bytes()).map(drop)
    }
}
