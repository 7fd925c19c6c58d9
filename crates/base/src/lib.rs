//! Ground that knows nothing of tend: clock values, back-off, atomic files, secret strings, durations and sizes.
//!
//! Everything above stands on this crate; it stands on nothing of ours.

mod atomic_file;
mod backoff;
mod clock;
mod quantity;
mod secret;

pub use atomic_file::write_atomically;
pub use backoff::Backoff;
pub use clock::{Clock, Mono, Now, SystemClock, Wall};
pub use quantity::{ParseQuantityError, format_bytes, format_duration, parse_bytes, parse_duration};
pub use secret::Secret;
