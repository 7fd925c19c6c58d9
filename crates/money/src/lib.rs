//! What must be durable before money moves: idempotency keys with their answers, and callbacks that wait for their service.
//!
//! Map: `key` what a key is and which request it stands for; `decide` what becomes of a request whose key was seen, pure; `window` the
//! keys on disk and `spool` the callbacks; `store` what an edge holds, with one `writer` thread that commits for everybody at once;
//! `books` what a person looks at and decides; `instance` which edge lives. Knows no HTTP beyond status and fields, and no socket.
//!
//! Invariant: what was told to the caller is on disk. Invariant: a request whose outcome is not known is given to nobody again
//! unless the service honours the key itself (test `what_an_edge_that_died_had_begun_is_in_doubt`).

mod books;
mod decide;
mod error;
mod instance;
mod key;
mod schema;
mod spool;
mod store;
mod window;
mod writer;

pub use books::{Books, Resolution, SpoolLine};
pub use decide::{Decision, State, decide};
pub use error::Error;
pub use key::{Key, KeyFault, KeyId, RequestHash, read_key};
pub use spool::{Callback, Delivery, Kept, Refused, new_delivery_id};
pub use store::{Begun, Claim, ReplayLock, Store};
pub use window::{Answer, Fields, Line, LineState};
