//! What tests share: private folders, waiting for a condition with a deadline, running the real programs.
//!
//! Knows nothing of what is tested. Everything here fails the test that uses it, loudly, instead of returning errors.
//!
//! Map: `folder` a place of one's own, `wait` until something is so, `programs` where the real programs are, `run` running them and leaving
//! nothing behind.

mod folder;
mod programs;
mod run;
mod wait;

pub use folder::Folder;
pub use programs::program;
pub use run::{Background, Finished, Tend};
pub use wait::wait_until;
