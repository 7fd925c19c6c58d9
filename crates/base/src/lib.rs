//! Ground that knows nothing of tend: clock values, back-off, atomic files, files of an owner, secret strings, durations, sizes, the hash of kept values, numbers
//! that look random, hexadecimal digits and the wording of errors.
//!
//! Everything above stands on this crate; it stands on nothing of ours.

mod atomic_file;
mod backoff;
mod causes;
mod clock;
mod exposed;
mod fnv;
mod hex;
mod os_number;
mod owned_file;
mod quantity;
mod random;
mod secret;

pub use atomic_file::write_atomically;
pub use backoff::Backoff;
pub use causes::with_causes;
pub use clock::{Clock, Mono, Now, SystemClock, Wall};
pub use exposed::Exposed;
pub use fnv::{Fnv64, fnv32, fnv64};
pub use hex::{from_hex, to_hex};
pub use os_number::without_os_numbers;
pub use owned_file::read_owned;
pub use quantity::{ParseQuantityError, format_bytes, format_duration, parse_bytes, parse_duration};
pub use random::{Random, mix64};
pub use secret::Secret;
