//! Handing a shim the values it must not let through, and taking them there.
//!
//! The record travels in a memory file whose descriptor goes with the frame `redact`: it has no name, no disk is behind it, and its
//! length is not bounded by that of a frame. Nothing of it is ever written into the replica's folder.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;
use tend_redact::Value;

use crate::wire::{Pairs, decode_record, encode_record};

const WORD: &str = "tend-redact";
const VERSION: u32 = 1;
/// Far more than a stack's secrets are: a record beyond it is refused.
const RECORD_BYTES_MAX: u64 = 16 << 20;

/// Writes values as the record that a shim reads.
pub(crate) fn encode(values: &[Value]) -> Vec<u8> {
    let mut pairs = Pairs::default();
    for value in values {
        let mut both = value.name().as_bytes().to_vec();
        both.push(b'=');
        both.extend_from_slice(value.expose());
        pairs.push("secret", both);
    }
    encode_record(WORD, VERSION, &pairs)
}

/// Reads a record; the error says in a few words why it is none.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Value>, &'static str> {
    let pairs = decode_record(WORD, bytes)?;
    pairs
        .all("secret")
        .map(|both| {
            let equals = both.iter().position(|&byte| byte == b'=')?;
            Some(Value::new(
                &String::from_utf8_lossy(&both[..equals]),
                &both[equals + 1..],
            ))
        })
        .collect::<Option<_>>()
        .ok_or("a `secret` has no `=`")
}

/// Returns a memory file that holds bytes, ready to be read from its begin.
pub(crate) fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("tend-redact", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// Reads such a file.
pub(crate) fn read(memory: OwnedFd) -> Result<Vec<Value>, String> {
    let mut bytes = Vec::new();
    let mut file = File::from(memory);
    file.rewind()
        .and_then(|()| file.take(RECORD_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| format!("what came with it cannot be read: {error}"))?;
    decode(&bytes).map_err(|why| format!("what came with it is no record of secrets: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_bytes_arrive_and_what_is_no_record_is_refused() {
        let values = vec![
            Value::new("A", "x=y\n%\0"),
            Value::new("B", vec![0xff, 0xfe]),
            Value::new("", ""),
        ];
        assert_eq!(read(memory_file(&encode(&values)).unwrap()), Ok(values));
        assert!(decode(b"tend-redact 1\nsecret=A\n").is_err());
        assert!(decode(b"tend-redact 1\nsecret=A=b").is_err());
    }
}
