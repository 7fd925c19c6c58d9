//! HTTP/1 as bytes (RFC 9112): strict heads, chunked bodies, and heads written anew. Knows no socket, no route and no policy.
//!
//! Map: [`Scan`] finds the end of a head while it arrives, [`RequestHead`] and [`ResponseHead`] read one and say how its body is
//! framed, [`Chunked`] takes a chunked body apart, [`HeadWriter`] and [`write_chunk_size`] write. [`Http1Error`] says what was wrong
//! and which status tells a client so.
//!
//! One strict reader stands against request smuggling: what two readers could take in two ways is refused, and nothing is passed on as
//! it came. Invariants: no input makes it panic (tests `fuzz_corpus_*`, `no_bytes_make_it_panic`); a head that was accepted, written
//! anew and read again says the same (`what_is_written_reads_the_same`); no value can end its line
//! (`no_value_can_end_its_line`); a request costs no allocation once its head's vectors have grown.

mod chunked;
mod error;
mod fields;
mod framing;
mod request;
mod response;
mod scan;
mod target;
mod write;

pub use chunked::{CHUNK_SIZE_BYTES_MAX, Chunked, LAST_CHUNK, Piece, TRAILER_BYTES_MAX, write_chunk_size};
pub use error::Http1Error;
pub use fields::{Connection, FIELDS_MAX, FieldRef, Fields, Kind};
pub use framing::Length;
pub use request::{METHOD_BYTES_MAX, RequestHead, Version};
pub use response::ResponseHead;
pub use scan::{Limits, Scan};
pub use write::HeadWriter;
