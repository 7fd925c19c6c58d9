//! What tests share: private folders, waiting for a condition with a deadline, running the real programs.
//!
//! Knows nothing of what is tested. Everything here fails the test that uses it, loudly, instead of returning errors.
//!
//! Map: `folder` a place of one's own, `wait` until something is so, `programs` where the real programs are, `authority` certificates of one's own, `pebble` an authority with ACME, `postfix` a mail server of one's own, `receiver` somebody who is told of alerts, `scripted` a server that does what a script says, `postgres`, `mariadb` and `redis` database servers of one's own, `processes` finding and ending
//! what was started, `run` running programs and leaving nothing behind.

mod authority;
mod folder;
mod mariadb;
mod pebble;
mod postfix;
mod postgres;
mod processes;
mod programs;
mod receiver;
mod redis;
mod run;
mod scripted;
mod wait;

pub use authority::Authority;
pub use folder::Folder;
pub use mariadb::Mariadb;
pub use pebble::Pebble;
pub use postfix::{MAIL_USER, Postfix};
pub use postgres::Postgres;
pub use processes::{is_alive, kill, kill_all_of, processes_of};
pub use programs::program;
pub use receiver::Receiver;
pub use redis::Redis;
pub use run::{Background, Finished, Tend};
pub use scripted::{Act, Scripted, scripted_socket};
pub use wait::wait_until;
