//! One way of learning of changes, measured: replicas in processes of their own, a file renamed into place, what each says.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use tend_base::{Clock, Mono, SystemClock};

use crate::error::Error;
use crate::push::Push;

/// The key that changes. Around it stand as many others as a service of the guides has.
pub(crate) const KEY: &str = "features.qr_rotation.default_ttl";
const OTHER_KEYS: usize = 60;

/// How long a change may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a replica learns of a change.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    Push(&'a Push),
    Poll(Duration),
}

/// Times over all replicas and changes.
pub(crate) struct Figures {
    pub(crate) changes: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

/// A folder of our own with the file, removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Folder, Error> {
        let path = std::env::temp_dir().join(format!("bench-config-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(Error::file("make", &path))?;
        let folder = Folder(path);
        folder.change(0)?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("production.json")
    }

    /// Renames a file with another value into place; returns the moment before.
    fn change(&self, number: u64) -> Result<Mono, Error> {
        let mut values = serde_json::Map::new();
        for other in 0..OTHER_KEYS {
            values.insert(format!("section.key_{other}"), format!("value {other}").into());
        }
        values.insert(KEY.to_owned(), number.into());
        let beside = self.0.join("beside");
        std::fs::write(&beside, serde_json::Value::from(values).to_string()).map_err(Error::file("write", &beside))?;
        let now = SystemClock.now().mono;
        std::fs::rename(&beside, self.file()).map_err(Error::file("replace", self.file()))?;
        Ok(now)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is temporary in any case.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A replica that runs; ended by its id.
struct Replica(Child);

impl Drop for Replica {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Which replica has which number in use since when; nothing when it has ended.
type Said = (usize, Option<(u64, Mono)>);

/// Makes changes one after the other, each when all replicas have the one before, and returns how long they took.
pub(crate) fn measure(folder: &Folder, way: Way<'_>, count: usize, changes: usize) -> Result<Figures, Error> {
    let (says, said) = sync_channel::<Said>(count * 4);
    let mut replicas = Vec::new();
    let program = std::env::current_exe().map_err(|source| Error::StartReplica { source })?;
    let mut number = 1;
    folder.change(number)?;
    for replica in 0..count {
        let mut command = Command::new(&program);
        match way {
            Way::Push(push) => command.arg("watching").arg(push.socket(replica)),
            Way::Poll(every) => {
                let offset = every * u32::try_from(replica).unwrap_or(0) / u32::try_from(count).unwrap_or(1);
                let every = every.as_millis().to_string();
                command
                    .arg("polling")
                    .arg(folder.file())
                    .arg(every)
                    .arg(offset.as_millis().to_string())
            }
        };
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| Error::StartReplica { source })?;
        let output = child.stdout.take().map(BufReader::new);
        replicas.push(Replica(child));
        let says = says.clone();
        let read = move || {
            let lines = output.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
            // Nobody listens any more once enough was measured.
            let heard = lines
                .filter_map(|line| parse(&line))
                .try_for_each(|line| says.send((replica, Some(line))));
            let _ = heard.and_then(|()| says.send((replica, None)));
        };
        std::thread::Builder::new()
            .spawn(read)
            .map_err(|source| Error::StartThread { source })?;
    }
    // The first value is how replicas say that they are there.
    collect(&said, count, number)?;
    let mut times = Vec::new();
    for change in 0..changes {
        // Changes fall anywhere between two looks of those that look.
        if let Way::Poll(every) = way {
            std::thread::sleep(every.mul_f64(change as f64 * 0.618 % 1.0));
        }
        number += 1;
        let begun = folder.change(number)?;
        times.extend(
            collect(&said, count, number)?
                .into_iter()
                .map(|moment| moment.since(begun)),
        );
    }
    // Replicas go first, so that their readers end.
    drop(replicas);
    times.sort_unstable();
    let at = |share: f64| {
        let rank = (times.len() as f64 * share).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    Ok(Figures {
        changes,
        p50: at(0.5),
        p99: at(0.99),
        max: at(1.0),
    })
}

fn parse(line: &str) -> Option<(u64, Mono)> {
    let (number, moment) = line.split_once(' ')?;
    Some((number.parse().ok()?, Mono(moment.parse().ok()?)))
}

/// Waits until each replica has a change in use; returns since when.
fn collect(said: &Receiver<Said>, count: usize, number: u64) -> Result<Vec<Mono>, Error> {
    let end = Instant::now() + PATIENCE;
    let mut moments = vec![None; count];
    while let Some(missing) = moments.iter().position(Option::is_none) {
        match said.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((replica, Some((said, moment)))) if said == number => moments[replica] = Some(moment),
            Ok((_, Some(_))) => {}
            Ok((replica, None)) => return Err(Error::ReplicaEnded { replica }),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let seconds = PATIENCE.as_secs();
                return Err(Error::NotInUse {
                    replica: missing,
                    number,
                    seconds,
                });
            }
        }
    }
    Ok(moments.into_iter().flatten().collect())
}
