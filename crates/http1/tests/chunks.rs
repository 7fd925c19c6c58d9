//! Chunked bodies: what they hold, however they are cut, and what is refused.

use tend_http1::Http1Error::{self, *};
use tend_http1::{CHUNK_SIZE_BYTES_MAX, Chunked, Fields, LAST_CHUNK, Piece, TRAILER_BYTES_MAX, write_chunk_size};

/// What a body held: its data, its trailer fields, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) rest: Vec<u8>,
}

/// Takes a body apart that comes in pieces of so many bytes; none when it does not end.
pub(crate) fn read(input: &[u8], piece_bytes: usize) -> Result<Option<Held>, Http1Error> {
    let mut chunked = Chunked::default();
    let mut trailers = Fields::default();
    let mut buffer = Vec::new();
    let mut data = Vec::new();
    let mut pieces = input.chunks(piece_bytes.max(1));
    loop {
        match chunked.next(&buffer, &mut trailers)? {
            Piece::Data { skip, length } => {
                assert!(length > 0, "a piece of nothing");
                data.extend_from_slice(&buffer[skip..skip + length]);
                buffer.drain(..skip + length);
            }
            Piece::More { skip } => {
                buffer.drain(..skip);
                match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => return Ok(None),
                }
            }
            Piece::End { skip } => {
                buffer.drain(..skip);
                assert!(chunked.is_over());
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                return Ok(Some(Held {
                    data,
                    trailers: trailers
                        .iter()
                        .map(|field| (text(field.name), text(field.value)))
                        .collect(),
                    rest: buffer.into_iter().chain(pieces.flatten().copied()).collect(),
                }));
            }
        }
    }
}

#[test]
fn chunks_are_taken_apart_however_they_are_cut() {
    for (text, data, trailers, rest) in [
        ("0||", "", 0, ""),
        ("5|hello|0||", "hello", 0, ""),
        ("5|hello|0||GET / HTTP/1.1", "hello", 0, "GET / HTTP/1.1"),
        ("2|he|3|llo|0||", "hello", 0, ""),
        ("a|0123456789|0||", "0123456789", 0, ""),
        ("A|0123456789|000||", "0123456789", 0, ""),
        ("0005|hello|0||", "hello", 0, ""),
        ("5;ext|hello|0||", "hello", 0, ""),
        ("5;ext=\"a b\";c = d|hello|0;last||", "hello", 0, ""),
        ("5|hello|0|X-Sum: 1|Y:||rest", "hello", 2, "rest"),
        ("2|\r\n|0||", "\r\n", 0, ""),
    ] {
        let input = text.replace('|', "\r\n").into_bytes();
        for piece_bytes in [1, 2, 3, 5, 7, 1000] {
            let held = read(&input, piece_bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
            let held = held.unwrap_or_else(|| panic!("{text}: no end"));
            assert_eq!(held.data, data.as_bytes(), "{text}");
            assert_eq!(held.trailers.len(), trailers, "{text}");
            assert_eq!(held.rest, rest.as_bytes(), "{text}");
        }
        // Cut short it is never taken for whole.
        let end = input.len() - rest.len();
        for length in 0..end {
            assert_eq!(read(&input[..length], 4), Ok(None), "{text} cut at {length}");
        }
    }
}

#[test]
fn what_is_not_chunks_is_refused() {
    for (text, why) in [
        ("|", Chunk),
        ("x|", Chunk),
        ("-5|hello|0||", Chunk),
        ("+5|hello|0||", Chunk),
        (" 5|hello|0||", Chunk),
        ("5 |hello|0||", Chunk),
        ("5\t;a|hello|0||", Chunk),
        ("0x5|hello|0||", Chunk),
        ("5h|hello|0||", Chunk),
        ("5,5|hello|0||", Chunk),
        ("10000000000000000|", Chunk),
        ("00000000000000005|hello|0||", Chunk),
        ("ffffffffffffffffff|hello|0||", Chunk),
        ("5\nhello\n0\n\n", Chunk),
        ("5\rhello|0||", Chunk),
        ("5;a\nhello|0||", Chunk),
        ("5;a\rb|hello|0||", Chunk),
        ("5;a\0|hello|0||", Chunk),
        ("5;ü|hello|0||", Chunk),
        ("5|helloworld|0||", Chunk),
        ("5|hello\n0||", Chunk),
        ("5|hello0||", Chunk),
        ("5|hell|0||", Chunk),
        ("0|\n", Trailers),
        ("0|X: y\n|", Trailers),
        ("0|X : y||", Trailers),
        ("0|X: y| z||", Trailers),
        ("0|no field||", Trailers),
        ("0|Content_Length: 5||", Trailers),
    ] {
        let input = text.replace('|', "\r\n").into_bytes();
        for piece_bytes in [1, 2, 1000] {
            assert_eq!(read(&input, piece_bytes), Err(why), "{text}");
        }
    }
}

#[test]
fn extensions_and_trailers_have_bounds() {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(600));
    assert_eq!(read(long.as_bytes(), 100), Err(ChunkOverhead));
    let heavy = format!("1;{}\r\nx\r\n", "y".repeat(400)).repeat(100);
    assert_eq!(read(heavy.as_bytes(), 1000), Err(ChunkOverhead));
    // In proportion to the data they are nobody's attack.
    let signed =
        format!("400;chunk-signature={}\r\n{}\r\n", "5".repeat(64), "x".repeat(1024)).repeat(1000) + "0\r\n\r\n";
    assert_eq!(read(signed.as_bytes(), 5000).unwrap().unwrap().data.len(), 1_024_000);
    let trailers = format!(
        "0\r\n{}\r\n",
        "X: yyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(TRAILER_BYTES_MAX / 20)
    );
    assert_eq!(read(trailers.as_bytes(), 64), Err(Trailers));
    assert_eq!(read(trailers.as_bytes(), usize::MAX), Err(Trailers));
    let many = format!("0\r\n{}\r\n", "X:\r\n".repeat(101));
    assert_eq!(read(many.as_bytes(), 64), Err(Trailers));
}

#[test]
fn what_is_written_reads_the_same() {
    for length in [1usize, 9, 15, 16, 255, 256, 4095, 65_536] {
        let mut out = Vec::new();
        write_chunk_size(&mut out, length);
        assert!(out.len() <= CHUNK_SIZE_BYTES_MAX);
        out.resize(out.len() + length, b'z');
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(LAST_CHUNK);
        assert_eq!(read(&out, 1024).unwrap().unwrap().data, vec![b'z'; length]);
    }
    let mut out = Vec::new();
    write_chunk_size(&mut out, usize::MAX);
    assert_eq!(out.len(), CHUNK_SIZE_BYTES_MAX);
}
