//! What stands in for the daemon: watches the file, takes its JSON for a set, publishes it to each replica.
//!
//! The real daemon takes its place by offering the same: a file, and a socket for each replica.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tend_watch::{Endpoint, EndpointSettings, FileWatch, FileWatchSettings, Revision, Seen, Values, Waker};

use crate::error::Error;
use crate::round::Folder;

/// The stand-in, until it is ended.
pub(crate) struct Push {
    sockets: Vec<PathBuf>,
    waker: Waker,
    thread: JoinHandle<Result<(), tend_watch::Error>>,
}

impl Push {
    pub(crate) fn start(folder: &Folder, replicas: usize) -> Result<Push, Error> {
        let failed = |source| Error::Watch { source };
        let (endpoint, mut notices) = Endpoint::start(EndpointSettings::default()).map_err(failed)?;
        let publisher = endpoint.publisher();
        let sockets: Vec<PathBuf> = (0..replicas)
            .map(|replica| folder.path().join(format!("{replica}.sock")))
            .collect();
        for (replica, socket) in sockets.iter().enumerate() {
            publisher.open(&replica.to_string(), socket, None).map_err(failed)?;
        }
        let mut watch = FileWatch::new([folder.file()], FileWatchSettings::default()).map_err(failed)?;
        let waker = watch.waker();
        let run = move || {
            let mut number = 0;
            loop {
                let contents = watch.contents();
                // A text that is no set changes nothing, as in the daemon.
                if let Some(values) = contents.values().next().and_then(|content| values(content.text()?)) {
                    number += 1;
                    let revision = Arc::new(Revision { number, values });
                    for replica in 0..replicas {
                        publisher.publish(&replica.to_string(), &revision)?;
                    }
                }
                // What the replicas said is read, so that they are not held up.
                while notices.try_recv().is_ok() {}
                if watch.next(None)? == Seen::Woken {
                    drop(endpoint);
                    return Ok(());
                }
            }
        };
        let builder = std::thread::Builder::new().name("file-watch".to_owned());
        let thread = builder.spawn(run).map_err(|source| Error::StartThread { source })?;
        Ok(Push { sockets, waker, thread })
    }

    pub(crate) fn socket(&self, replica: usize) -> &Path {
        &self.sockets[replica]
    }

    pub(crate) fn end(self) -> Result<(), Error> {
        self.waker.wake();
        let ended = self.thread.join().map_err(|_| Error::ThreadFailed)?;
        ended.map_err(|source| Error::Watch { source })
    }
}

fn values(text: &str) -> Option<Values> {
    serde_json::from_str(text).ok()
}
