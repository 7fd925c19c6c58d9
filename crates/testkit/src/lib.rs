//! What tests share: private folders, waiting for a condition with a deadline, running the real programs.
//!
//! Knows nothing of what is tested. Everything here fails the test that uses it, loudly, instead of returning errors.
//!
//! Map: `folder` a place of one's own, `wait` until something is so, `programs` where the real programs are, `pebble` a certificate authority of one's own, `postgres` a database server of one's own, `processes` finding and ending
//! what was started, `run` running programs and leaving nothing behind.

mod folder;
mod pebble;
mod postgres;
mod processes;
mod programs;
mod run;
mod wait;

pub use folder::Folder;
pub use pebble::Pebble;
pub use postgres::Postgres;
pub use processes::{is_alive, kill, kill_all_of, processes_of};
pub use programs::program;
pub use run::{Background, Finished, Tend};
pub use wait::wait_until;
