//! What all parts of the daemon share: who and where it is, its store, its sockets, and the processes it looks after.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tend_api::Paths;
use tend_api::messages::LimitsReport;
use tend_base::{Mono, Secret};
use tend_core::model::ReplicaId;
use tend_linux::Hierarchy;
use tend_store::{Files, Store};
use tokio::sync::watch;

use super::ban_files::BanFiles;
use super::certificates::Shelf;
use super::configuration::Deliveries;
use super::edge_counts::EdgeCounts;
use super::known_secrets::KnownSecrets;
use super::listeners::Listeners;
use super::replicas::Replicas;
use super::rotation::Rotations;
use super::secrets::Secrets;
use super::vault::Vaults;

/// A daemon has at least so many ports to give, wherever it begins.
const PORTS_MIN: u16 = 1000;

/// Shared by all parts; lives as long as the process.
pub(crate) struct Shared {
    /// Its folders.
    pub(crate) paths: Paths,
    /// Its database files.
    pub(crate) files: Files,
    /// The copy of its program from which roles are started.
    pub(crate) program: PathBuf,
    /// Names that program.
    pub(crate) build: String,
    /// The user it runs as.
    pub(crate) uid: u32,
    /// Processors of the machine.
    pub(crate) cores: u32,
    /// Ports for replicas and services.
    pub(crate) ports: Range<u16>,
    /// When it started.
    pub(crate) started: Mono,
    /// What the machine can enforce.
    pub(crate) limits: LimitsReport,
    /// The control groups of replicas, where the machine has any to give.
    pub(crate) cgroups: Option<Hierarchy>,
    /// Names this daemon among others of the machine: the hash of its state folder.
    pub(crate) name: String,
    /// Journal and state.
    pub(crate) store: Store,
    /// Woken by each commit, with the number of the newest event.
    pub(crate) commits: watch::Receiver<u64>,
    /// The listening sockets.
    pub(crate) listeners: Listeners,
    /// The replicas' shims.
    pub(crate) replicas: Replicas,
    /// The secret values that must not reach a log, the journal or an answer.
    pub(crate) known_secrets: KnownSecrets,
    /// Asks the edge for a replica of a release that gets no requests of clients yet; another one in each life of the daemon.
    pub(crate) candidate_token: Secret,
    /// The certificates that clients can be shown.
    pub(crate) certificates: Shelf,
    /// The store of secrets.
    pub(crate) secrets: Secrets,
    /// What replicas are given of configurations.
    pub(crate) deliveries: Deliveries,
    /// The rotations of secrets under way.
    pub(crate) rotations: Rotations,
    /// What is told of the Vaults that secrets come from.
    pub(crate) vaults: Vaults,
    /// Who is let in nowhere, as the edge is told.
    pub(crate) ban_files: BanFiles,
    edge_counts: Mutex<EdgeCounts>,
    edge_pid: AtomicU32,
    looked_at: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        paths: Paths,
        files: Files,
        program: PathBuf,
        build: String,
        store: Store,
        commits: watch::Receiver<u64>,
        secrets: Secrets,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let ports = tend_linux::replica_ports();
        let (cgroups, limits) = super::identity::limits();
        let hash = tend_base::fnv32(paths.state.as_os_str().as_encoded_bytes());
        // Daemons of one machine begin at different ports, so that they rarely meet; where they do, the later one moves on.
        let spread = u32::from(ports.end().saturating_sub(*ports.start()).saturating_sub(PORTS_MIN)).max(1);
        let first = ports.start() + u16::try_from(hash % spread).unwrap_or(0);
        Self {
            uid: rustix::process::geteuid().as_raw(),
            cores,
            ports: first..*ports.end(),
            started: super::now().mono,
            limits,
            cgroups,
            name: format!("{hash:08x}"),
            store,
            commits,
            listeners: Listeners::new(cores as usize),
            replicas: Replicas::default(),
            known_secrets: KnownSecrets::default(),
            candidate_token: random_token(),
            certificates: Shelf::new(paths.state.join("certificates")),
            secrets,
            deliveries: Deliveries::default(),
            rotations: Rotations::default(),
            vaults: Vaults::default(),
            ban_files: BanFiles::new(paths.state.join("bans")),
            edge_counts: Mutex::default(),
            edge_pid: AtomicU32::new(0),
            looked_at: AtomicU64::new(0),
            paths,
            files,
            program,
            build,
        }
    }

    /// Returns the folder of all replicas' logs.
    pub(crate) fn logs_folder(&self) -> PathBuf {
        self.paths.state.join("logs")
    }

    /// Returns the process of the edge.
    pub(crate) fn edge_pid(&self) -> Option<u32> {
        Some(self.edge_pid.load(Ordering::Relaxed)).filter(|pid| *pid > 0)
    }

    /// Notes the process of the edge.
    pub(crate) fn set_edge_pid(&self, pid: u32) {
        self.edge_pid.store(pid, Ordering::Relaxed);
    }

    /// Notes what an edge said it counted of a life of a replica: requests and failures, in all.
    pub(crate) fn note_edge_counts(&self, edge: u32, replica: &ReplicaId, incarnation: u64, sums: (u64, u64)) {
        self.counts().note(edge, replica, incarnation, sums);
    }

    /// Returns the requests that a life of a replica answered or failed to, and the failures among them, as the edge last said; none
    /// when it said nothing, as while the service is not split and the replica has not answered yet.
    pub(crate) fn edge_counts(&self, replica: &ReplicaId, incarnation: u64) -> Option<(u64, u64)> {
        self.counts().of(replica, incarnation)
    }

    /// Returns the same, as long as an edge said so after a moment of [`Self::edge_counts_said`].
    pub(crate) fn edge_counts_after(&self, replica: &ReplicaId, incarnation: u64, moment: u64) -> Option<(u64, u64)> {
        self.counts().of_after(replica, incarnation, moment)
    }

    /// Returns how often an edge said what it counted so far: a moment to ask [`Self::edge_counts_after`] about.
    pub(crate) fn edge_counts_said(&self) -> u64 {
        self.counts().said()
    }

    fn counts(&self) -> MutexGuard<'_, EdgeCounts> {
        // Plain sums, valid after any prefix of a change.
        self.edge_counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the proportional set size of a process in bytes.
    pub(crate) fn memory_of(&self, pid: u32) -> Option<u64> {
        let pid = i32::try_from(pid).ok()?;
        Some(tend_linux::memory_pss(&[pid])).filter(|bytes| *bytes > 0)
    }

    /// Notes that somebody looks at figures, so that they are measured for a while.
    pub(crate) fn look(&self) {
        self.looked_at.store(super::now().mono.0, Ordering::Relaxed);
    }

    /// Returns when somebody last looked at figures.
    pub(crate) fn looked_at(&self) -> Mono {
        Mono(self.looked_at.load(Ordering::Relaxed))
    }
}

/// Returns 128 bits that nobody can guess, in hexadecimal.
fn random_token() -> Secret {
    Secret::new(tend_base::to_hex(&random_bytes::<16>()))
}

/// Returns bytes that nobody can guess; at most 256.
pub(crate) fn random_bytes<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    // So few are given whole or not at all, and not given only by a kernel older than any that tend starts on.
    assert_eq!(filled, Ok(COUNT), "invariant: the kernel gives random bytes");
    bytes
}
