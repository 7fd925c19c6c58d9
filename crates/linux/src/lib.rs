//! Processes, cgroups, pidfds, FIFOs and sockets of one Linux host, and the shim that owns a replica.
//!
//! The only crate with unsafe code. It knows no stack and no service: the daemon tells it what to run, in which group, with
//! which numbers, and gets back facts. No runtime: descriptors are handed out non-blocking, to be waited on elsewhere.
//!
//! - `shim` runs in a process of its own, one for each replica; `host` is the daemon's side of it.
//! - `spec`, `state`, `wire`, `replica_log` are the formats between the two (docs/reference/format-shim-protocol.md and
//!   format-replica-log.md).
//! - `secrets` is what a replica is given beside its spec: it is never in a file.
//! - `redaction` hands a shim the secret values that must not reach the disk.
//! - `attest` is what really runs as a replica, said by its shim or looked at from here.
//! - `process`, `tree`, `reaper`, `cgroup` are the kernel's view of what runs; `clock_state` is its clock, `heap` its memory.
//!
//! Invariant: a replica is recognised by boot, pid, start time and executable, never by pid alone (test
//! `a_process_with_another_start_time_is_foreign`).

mod addresses;
mod attest;
mod cgroup;
mod clock_state;
mod error;
mod exit;
mod fifo;
mod frames;
mod heap;
mod host;
mod instance;
mod listen;
mod process;
mod reaper;
mod redaction;
mod replica_log;
mod secrets;
mod shim;
mod spec;
mod state;
mod tree;
mod users;
mod wire;

pub use addresses::own_addresses;
pub use attest::{Attestation, AttestedBy, RELEASE_VARIABLE, attest};
pub use cgroup::{GroupLimits, GroupUsage, Hierarchy, Limits, Means, remove_group, set_limits, usage as group_usage};
pub use clock_state::{ClockState, clock_state};
pub use error::Error;
pub use exit::{Exit, signal_name};
pub use frames::{
    FRAME_DESCRIPTORS_MAX, Peer, ReceivedFrame, frame_pair, listen_frames, peer_of, recv_frame, send_frame,
};
pub use heap::use_one_heap;
pub use host::{
    Adopted, Adoption, Command, Hello, OutputHold, Report, Scope, ShimConnection, ShimHandle, adopt, connect_shim,
    has_shim, is_replica_folder, spawn_shim, spawn_takeover,
};
pub use instance::SingleInstance;
pub use listen::{PortHolder, free_port, listen_group, port_holder, replica_ports};
pub use process::{ProcStat, all_processes, cpu_time, memory_pss, memory_rss, pidfd_open, pidfd_send_signal};
pub use reaper::{become_subreaper, reap_orphans};
pub use replica_log::{LogFile, StreamKind, TimeIndex, log_files};
pub use secrets::Secrets;
pub use shim::shim_main;
pub use spec::{Credentials, LogSettings, Spec, WhenBehind};
pub use state::{Attempt, Evidence, ExitRecord, Outcome, OutputCounters, StartFailure};
pub use tree::{Tree, kill_tree, process_tree};
pub use users::{User, may_switch_user, owner_of, resolve_user, user_of_uid};
