//! Feeds the reading of chunked bodies whatever libFuzzer makes up: it must hold the same in one piece and byte by byte.
//!
//! `crates/http1/tests/replay.rs` replays `fuzz/corpus/http1_chunked` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_http1::{Chunked, Fields, Http1Error, Piece};

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(read(bytes, bytes.len()), read(bytes, 1));
});

/// Returns the data and how many bytes lie behind the end.
fn read(bytes: &[u8], piece_bytes: usize) -> Result<Option<(Vec<u8>, usize)>, Http1Error> {
    let mut chunked = Chunked::default();
    let mut trailers = Fields::default();
    let mut data = Vec::new();
    let (mut begin, mut end) = (0, 0);
    loop {
        match chunked.next(&bytes[begin..end], &mut trailers)? {
            Piece::Data { skip, length } => {
                data.extend_from_slice(&bytes[begin + skip..begin + skip + length]);
                begin += skip + length;
            }
            Piece::More { .. } if end == bytes.len() => return Ok(None),
            Piece::More { skip } => {
                begin += skip;
                end = (end + piece_bytes.max(1)).min(bytes.len());
            }
            Piece::End { skip } => return Ok(Some((data, bytes.len() - begin - skip))),
        }
    }
}
