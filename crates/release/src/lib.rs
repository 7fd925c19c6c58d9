//! What a release is made of on this host: artifacts built from sources, restore points of databases, facts for preflight.
//!
//! Decides nothing about deploys, and not who runs a command: the caller's callback does. It writes below one folder, the state
//! folder, and into the folder of restore points it is given; it restores nothing.
//!
//! Map: `source` what a build is made from, `git` asking git, `ignore` what a folder without git leaves out, `lock` one at a time, `tree` files as a list with a
//! digest, `build` from source to artifact, `artifacts` looking after what was built, `executable` whether a program can run here,
//! `restore_point` copies of databases that were read back, `program` running git and PostgreSQL's tools, `disk` free space.
//!
//! Invariant: a folder under `artifacts` is complete, whatever was killed (test `a_build_killed_at_any_moment_leaves_no_half_artifact`).
//! Invariant: nothing outside the folders it was given is written or removed (test `removing_never_follows_a_link`).

mod artifacts;
mod build;
mod disk;
mod error;
mod executable;
mod git;
mod ignore;
mod lock;
mod program;
pub mod restore_point;
mod source;
mod tree;

pub use artifacts::{Removed, remove, verify};
pub use build::{Built, Prepare, Request, build, find};
pub use disk::free_bytes;
pub use error::Error;
pub use executable::{Executable, ExecutableKind, executable};
pub use source::{Owner, Source, source};
