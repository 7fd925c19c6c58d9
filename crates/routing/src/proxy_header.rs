//! The header that a proxy before us writes on a connection before anything else: PROXY protocol, versions 1 and 2.
//!
//! Strict and bounded: what is not exactly a header ends the connection, so a client that reaches such a listener past the proxy is not
//! taken for somebody else. Says how many bytes may be read without taking any that follow; reads nothing itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::ProxyHeaderError;

/// The longest header of version 1, its CRLF included.
const V1_BYTES_MAX: usize = 107;

/// The shortest: `PROXY UNKNOWN` and CRLF.
const V1_BYTES_MIN: usize = 15;

/// The shortest of version 1 that names addresses.
const V1_NAMED_BYTES_MIN: usize = 32;

/// What version 2 begins with.
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;

/// The longest header taken, in bytes: addresses and about 2 KiB of whatever a proxy adds; the protocol would allow 64 KiB.
pub const PROXY_HEADER_BYTES_MAX: usize = 2048;

/// What the beginning of a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// More has to be read; so many bytes certainly belong to the header.
    Incomplete {
        /// At least 1.
        more: usize,
    },
    /// The whole header.
    Complete {
        /// So many bytes are the header.
        bytes: usize,
        /// Who connected to the proxy; none when it says that it does not know, or asks on its own behalf.
        source: Option<SocketAddr>,
    },
}

/// Reads the first bytes of a connection.
///
/// # Errors
/// When they are not the beginning of a header.
pub fn proxy_header(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let begins = |signature: &[u8]| {
        let shared = bytes.len().min(signature.len());
        bytes[..shared] == signature[..shared]
    };
    if begins(b"PROXY ") {
        v1(bytes)
    } else if begins(&V2_SIGNATURE) {
        v2(bytes)
    } else {
        Err(ProxyHeaderError::NoHeader)
    }
}

fn v1(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        if bytes.len() >= V1_BYTES_MAX {
            return Err(ProxyHeaderError::TooLong);
        }
        let named = bytes.starts_with(b"PROXY TCP");
        let known = [
            V1_BYTES_MIN.saturating_sub(bytes.len()),
            if named {
                V1_NAMED_BYTES_MIN.saturating_sub(bytes.len())
            } else {
                0
            },
            if bytes.ends_with(b"\r") { 1 } else { 2 },
        ];
        let more = known.into_iter().max().unwrap_or(1);
        // Two bytes before the end there is room for a CR and no more.
        return Ok(ProxyHeader::Incomplete {
            more: more.min(V1_BYTES_MAX - bytes.len()),
        });
    };
    let malformed = || ProxyHeaderError::Malformed;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| malformed())?;
    let mut words = line.split(' ').skip(1);
    let source = match words.next() {
        // What follows is to be ignored.
        Some("UNKNOWN") => None,
        Some(family @ ("TCP4" | "TCP6")) => {
            let mut address = || {
                words
                    .next()
                    .and_then(|word| word.parse::<IpAddr>().ok())
                    .ok_or_else(malformed)
            };
            let (source, destination) = (address()?, address()?);
            let mut port = || words.next().and_then(v1_port).ok_or_else(malformed);
            let (source_port, _) = (port()?, port()?);
            let four = family == "TCP4";
            if words.next().is_some() || source.is_ipv4() != four || destination.is_ipv4() != four {
                return Err(malformed());
            }
            Some(SocketAddr::new(source, source_port))
        }
        _ => return Err(malformed()),
    };
    Ok(ProxyHeader::Complete { bytes: end + 2, source })
}

/// Decimal digits without leading zeros.
fn v1_port(word: &str) -> Option<u16> {
    let port: u16 = word.parse().ok()?;
    (word == "0" || !word.starts_with(['0', '+'])).then_some(port)
}

fn v2(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else {
        return Ok(ProxyHeader::Incomplete {
            more: V2_FIXED_BYTES - bytes.len(),
        });
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = V2_FIXED_BYTES + length;
    if whole > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyHeaderError::TooLong);
    }
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError::Malformed),
    };
    let addresses = match family {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        // Datagrams do not come over TCP, and a Unix socket has no address that rules could name.
        _ => return Err(ProxyHeaderError::Malformed),
    };
    if !local && length < addresses {
        return Err(ProxyHeaderError::Malformed);
    }
    if rest.len() < length {
        return Ok(ProxyHeader::Incomplete {
            more: length - rest.len(),
        });
    }
    let source = match (local, addresses) {
        (true, _) | (_, 0) => None,
        (_, 12) => {
            let address: [u8; 4] = rest[..4].try_into().expect("four bytes");
            let port = u16::from_be_bytes([rest[8], rest[9]]);
            Some(SocketAddr::new(Ipv4Addr::from(address).into(), port))
        }
        _ => {
            let address: [u8; 16] = rest[..16].try_into().expect("sixteen bytes");
            let port = u16::from_be_bytes([rest[32], rest[33]]);
            Some(SocketAddr::new(
                IpAddr::V6(Ipv6Addr::from(address)).to_canonical(),
                port,
            ))
        }
    };
    Ok(ProxyHeader::Complete { bytes: whole, source })
}
