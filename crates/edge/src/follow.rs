//! What an edge that drains still hears: the snapshots of the edge that took its place, while requests wait here for the end of a pause.
//!
//! The other edge writes each snapshot where this one did before it serves it, so nobody has to tell. Nothing is looked at while no
//! request waits: what is under way goes on with what it began with.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tend_routing::Snapshot;
use tokio::sync::{mpsc, oneshot};

use crate::live::Live;
use crate::worker::{Command, Shared};

/// How often it is looked for a snapshot: a request that waited for seconds does not feel it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Has the serving threads go over to newer snapshots, for ever.
pub(crate) async fn follow(
    path: PathBuf,
    shared: Arc<Shared>,
    mut live: Arc<Live>,
    workers: Vec<mpsc::Sender<Command>>,
) {
    let mut looked_at = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if shared.pauses.waiting() == 0 {
            continue;
        }
        let Some(next) = newer(&path, &live, &mut looked_at) else {
            continue;
        };
        live = Arc::new(next);
        live.fill();
        for worker in &workers {
            let (tell, told) = oneshot::channel();
            // A thread that has ended has nothing that waits.
            if worker.send(Command::Serve(live.clone(), tell)).await.is_ok() {
                let _ = told.await;
            }
        }
        live.empty().into_iter().for_each(|event| shared.tell(event));
    }
}

/// What tells one version of a file from another: it is replaced, never written in place.
fn version(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

/// Reads the snapshot where there is a newer one than is served; what cannot be read or used is as good as none.
fn newer(path: &Path, live: &Live, looked_at: &mut Option<(u64, i64, i64)>) -> Option<Live> {
    let found = version(&std::fs::metadata(path).ok()?);
    if looked_at.replace(found) == Some(found) {
        return None;
    }
    let snapshot = Snapshot::parse(&std::fs::read(path).ok()?).ok()?;
    if snapshot.generation <= live.snapshot.generation {
        return None;
    }
    let mut next = Live::after(live, snapshot).ok()?;
    // Who is banned is refused by the edge that accepts.
    let _ = next.take_bans(live);
    Some(next)
}
