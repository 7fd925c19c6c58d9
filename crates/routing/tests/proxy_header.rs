//! The header of the PROXY protocol: what is one, what is none, and that never a byte behind it is asked for.

use std::path::Path;

use tend_base::Random;
use tend_routing::{PROXY_HEADER_BYTES_MAX, ProxyHeader, ProxyHeaderError, proxy_header};

/// Builds a header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend_from_slice(&[command, family]);
    bytes.extend_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

const FOUR: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0, 80];

fn six() -> Vec<u8> {
    let mut rest = vec![0; 36];
    (rest[0], rest[1], rest[2], rest[3], rest[15], rest[33]) = (0x20, 0x01, 0x0d, 0xb8, 1, 7);
    rest
}

fn good() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let with_more = [&FOUR[..], &[0x20, 0, 3, 1, 2, 3]].concat();
    vec![
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4660 80\r\n".to_vec(), Some("192.0.2.1:4660")),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(), Some("1.1.1.1:1")),
        (b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n".to_vec(), Some("[2001:db8::1]:65535")),
        (
            b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n".to_vec(),
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
        (v2(0x21, 0x11, &FOUR), Some("192.0.2.1:4660")),
        (v2(0x21, 0x11, &with_more), Some("192.0.2.1:4660")),
        (v2(0x21, 0x21, &six()), Some("[2001:db8::1]:7")),
        (v2(0x21, 0x00, b""), None),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0x11, &FOUR), None),
    ]
}

/// Reads as a connection does: only as much as is certainly header.
fn read(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let mut taken = 0;
    loop {
        match proxy_header(&bytes[..taken])? {
            ProxyHeader::Incomplete { more } => {
                assert!(more > 0);
                if taken + more > bytes.len() {
                    return Ok(ProxyHeader::Incomplete { more });
                }
                taken += more;
            }
            complete => return Ok(complete),
        }
    }
}

#[test]
fn headers_are_read_and_nothing_behind_them() {
    for (header, source) in good() {
        let mut bytes = header.clone();
        bytes.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        let wanted = ProxyHeader::Complete {
            bytes: header.len(),
            source: source.map(|source| source.parse().unwrap()),
        };
        assert_eq!(read(&bytes), Ok(wanted), "{}", header.escape_ascii());
        for cut in 0..header.len() {
            let found = proxy_header(&header[..cut]);
            let Ok(ProxyHeader::Incomplete { more }) = found else {
                panic!("{found:?} for {}", header[..cut].escape_ascii());
            };
            assert!(cut + more <= header.len(), "reads behind {}", header.escape_ascii());
        }
    }
}

#[test]
fn what_is_no_header_is_refused() {
    use ProxyHeaderError::{Malformed, NoHeader, TooLong};
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    let cases: Vec<(Vec<u8>, ProxyHeaderError)> = vec![
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), NoHeader),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(), NoHeader),
        (b"proxy TCP4 192.0.2.1 192.0.2.2 4660 80\r\n".to_vec(), NoHeader),
        (b"\r\n\r\n\0\r\nQUIT\r0123456".to_vec(), NoHeader),
        (b"PROXY TCP4  192.0.2.1 192.0.2.2 4660 80\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4660 80 \r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4660\r\n\r\n\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 04660 80\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 +4660 80\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.01 192.0.2.2 4660 80\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 2001:db8::1 2001:db8::2 4660 80\r\n".to_vec(), Malformed),
        (b"PROXY TCP6 192.0.2.1 192.0.2.2 4660 80\r\n".to_vec(), Malformed),
        (b"PROXY UDP4 192.0.2.1 192.0.2.2 4660 80\r\n".to_vec(), Malformed),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4660 80\n\r\n".to_vec(), Malformed),
        (long.into_bytes(), TooLong),
        (v2(0x11, 0x11, &FOUR), Malformed),
        (v2(0x22, 0x11, &FOUR), Malformed),
        (v2(0x21, 0x12, &FOUR), Malformed),
        (v2(0x21, 0x31, &[0; 216]), Malformed),
        (v2(0x21, 0x41, &FOUR), Malformed),
        (v2(0x21, 0x11, &FOUR[..11]), Malformed),
        (v2(0x21, 0x21, &FOUR), Malformed),
        (v2(0x21, 0x11, &[0; PROXY_HEADER_BYTES_MAX]), TooLong),
    ];
    for (mut bytes, error) in cases {
        bytes.extend_from_slice(&[b' '; 200]);
        assert_eq!(read(&bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

/// What the target `fuzz/fuzz_targets/proxy_header.rs` does with its input.
fn judge(bytes: &[u8]) {
    if let Ok(ProxyHeader::Complete { bytes: length, .. }) = read(bytes) {
        assert!(length <= bytes.len() && length <= PROXY_HEADER_BYTES_MAX);
        // Whatever follows, the header is the same.
        assert_eq!(proxy_header(bytes), proxy_header(&bytes[..length]));
    }
}

#[test]
fn no_bytes_make_it_panic_or_read_too_far() {
    for seed in 0..50_000 {
        let mut random = Random::new(seed);
        let all = good();
        let mut bytes = all[random.below(all.len() as u64) as usize].0.clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.below(256) as u8;
        }
        bytes.truncate(bytes.len() - random.below(3) as usize);
        judge(&bytes);
    }
}

#[test]
fn fuzz_corpus_proxy_header() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/proxy_header");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).expect("fuzz/corpus/proxy_header") {
        judge(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}
