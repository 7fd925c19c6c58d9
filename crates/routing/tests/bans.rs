//! Bans: read as they were written, compared with a plain search, and small with a million of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use tend_base::{Random, Wall, fnv64};
use tend_core::model::Prefix;
use tend_routing::{Ban, BanFileError, BanSet, ban_file};

fn ban(prefix: &str, until: Option<u64>) -> Ban {
    Ban {
        prefix: prefix.parse().unwrap(),
        until: until.map(|seconds| Wall(seconds * 1000)),
    }
}

fn is_banned(set: &BanSet, address: &str, seconds: u64) -> bool {
    set.is_banned(address.parse().unwrap(), Wall(seconds * 1000))
}

#[test]
fn who_is_allowed_is_let_in_whatever_is_banned() {
    let allowed = [ban("192.0.2.7", None), ban("2001:db8:1::/48", Some(500))];
    let banned = [
        ban("192.0.2.0/24", None),
        ban("198.51.100.1", Some(100)),
        ban("2001:db8::/32", None),
        ban("203.0.113.0/24", Some(100)),
        ban("203.0.113.9", Some(200)),
    ];
    let set = BanSet::read(&ban_file(&allowed, &banned), 1).unwrap();
    assert_eq!(set.len(), 5);
    for (address, at, wanted) in [
        ("192.0.2.6", 0, true),
        ("192.0.2.7", 0, false),
        ("::ffff:192.0.2.6", 0, true),
        ("192.0.3.0", 0, false),
        ("198.51.100.1", 99, true),
        ("198.51.100.1", 100, false),
        ("198.51.100.2", 0, false),
        ("203.0.113.9", 150, true),
        ("203.0.113.8", 150, false),
        ("203.0.113.9", 200, false),
        ("2001:db8:2::1", 0, true),
        ("2001:db8:1::1", 499, false),
        ("2001:db8:1::1", 500, true),
        ("2001:db9::1", 0, false),
        ("::1", 0, false),
    ] {
        assert_eq!(is_banned(&set, address, at), wanted, "{address} at {at}");
    }
}

#[test]
fn an_empty_file_bans_nobody_and_the_whole_world_can_be_banned() {
    let nobody = BanSet::read(&ban_file(&[], &[]), 1).unwrap();
    assert!(nobody.is_empty() && !is_banned(&nobody, "192.0.2.1", 0));
    let world = [ban("0.0.0.0/0", None), ban("::/0", None)];
    let set = BanSet::read(&ban_file(&[ban("127.0.0.0/8", None)], &world), 1).unwrap();
    assert!(is_banned(&set, "192.0.2.1", 0) && is_banned(&set, "::1", 0));
    assert!(!is_banned(&set, "127.0.0.1", 0));
}

/// An address near others, so that ranges are hit.
fn address(random: &mut Random) -> IpAddr {
    if random.below(2) == 0 {
        Ipv4Addr::from_bits((10 << 24) | random.below(1 << 12) as u32).into()
    } else {
        Ipv6Addr::from_bits((0x2001_0db8 << 96) | (u128::from(random.below(64)) << 64) | u128::from(random.below(64)))
            .into()
    }
}

/// The range of so many bits that an address is in.
fn around(address: IpAddr, bits: u8) -> Prefix {
    let cut = |all: u128, width: u8| all >> (width - bits) << (width - bits);
    let first: IpAddr = match address {
        IpAddr::V4(address) if bits > 0 => Ipv4Addr::from_bits(cut(address.to_bits().into(), 32) as u32).into(),
        IpAddr::V6(address) if bits > 0 => Ipv6Addr::from_bits(cut(address.to_bits(), 128)).into(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    format!("{first}/{bits}").parse().unwrap()
}

#[test]
fn a_look_up_says_what_a_plain_search_says() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let list = |random: &mut Random| -> Vec<Ban> {
            (0..random.below(60))
                .map(|_| {
                    let address = address(random);
                    let width: u8 = if address.is_ipv4() { 32 } else { 128 };
                    let bits = width - random.below(if width == 32 { 12 } else { 80 }) as u8;
                    Ban {
                        prefix: around(address, bits),
                        until: (random.below(2) == 0).then(|| Wall(1000 * (1 + random.below(100)))),
                    }
                })
                .collect()
        };
        let (allowed, banned) = (list(&mut random), list(&mut random));
        let set = BanSet::read(&ban_file(&allowed, &banned), random.below(u64::MAX)).unwrap();
        for _ in 0..200 {
            let (who, now) = (address(&mut random), Wall(1000 * random.below(120)));
            let among = |list: &[Ban]| {
                list.iter()
                    .any(|ban| ban.prefix.contains(who) && ban.until.is_none_or(|until| until > now))
            };
            let wanted = !among(&allowed) && among(&banned);
            assert_eq!(set.is_banned(who, now), wanted, "seed {seed}: {who} at {now:?}");
        }
    }
}

#[test]
fn a_million_bans_take_few_bytes_each() {
    let mut random = Random::new(1);
    let list = |four: bool, random: &mut Random| -> Vec<Ban> {
        (0..1_000_000)
            .map(|_| Ban {
                prefix: Prefix::of(if four {
                    Ipv4Addr::from_bits(random.below(1 << 32) as u32).into()
                } else {
                    Ipv6Addr::from_bits((u128::from(random.below(u64::MAX)) << 64) | 1).into()
                }),
                until: None,
            })
            .collect()
    };
    for (four, bytes_each_max) in [(true, 11), (false, 27)] {
        let banned = list(four, &mut random);
        let file = ban_file(&[], &banned);
        let set = BanSet::read(&file, 42).unwrap();
        assert!(
            set.bytes() / set.len() <= bytes_each_max,
            "{} bytes for {}",
            set.bytes(),
            set.len()
        );
        assert!(banned.iter().all(|ban| set.is_banned(ban.prefix.address(), Wall(0))));
        let strangers = (0..100_000).filter(|_| {
            let stranger = match four {
                true => Ipv4Addr::from_bits(random.below(1 << 32) as u32).into(),
                false => Ipv6Addr::from_bits(u128::from(random.below(u64::MAX))).into(),
            };
            set.is_banned(stranger, Wall(0))
        });
        // One in 4295 addresses of IPv4 is among a million of them by chance.
        assert!(strangers.count() < 200);
    }
}

#[test]
fn a_file_that_is_not_whole_is_refused() {
    let file = ban_file(
        &[ban("10.0.0.0/8", None)],
        &[ban("192.0.2.1", None), ban("::1", Some(7))],
    );
    let read = |bytes: &[u8]| BanSet::read(bytes, 1).map(|_| ()).unwrap_err();
    let sealed = |mut bytes: Vec<u8>| {
        let end = bytes.len() - 8;
        let sum = fnv64(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
        bytes
    };
    let changed = |at: usize, to: u8| {
        let mut bytes = file.clone();
        bytes[at] = to;
        bytes
    };
    assert_eq!(read(b""), BanFileError::NoBans);
    assert_eq!(read(&changed(0, b'x')), BanFileError::NoBans);
    assert_eq!(read(&changed(8, 2)), BanFileError::Format { found: 2, known: 1 });
    assert!(matches!(read(&file[..file.len() - 1]), BanFileError::Length { .. }));
    assert!(matches!(read(&[&file[..], b"x"].concat()), BanFileError::Length { .. }));
    assert!(matches!(read(&sealed(changed(15, 0xff))), BanFileError::Length { .. }));
    assert_eq!(read(&changed(30, 9)), BanFileError::Sum);
    assert_eq!(read(&sealed(changed(32, 33))), BanFileError::Record { offset: 28 });
    assert!(BanSet::read(&sealed(file.clone()), 1).is_ok());
}

/// What the target `fuzz/fuzz_targets/ban_file.rs` does with its input.
fn judge(bytes: &[u8]) {
    if let Ok(set) = BanSet::read(bytes, 1) {
        assert!(set.len() <= bytes.len());
        let _ = set.is_banned(Ipv4Addr::LOCALHOST.into(), Wall(0));
        let _ = set.is_banned(Ipv6Addr::LOCALHOST.into(), Wall(0));
    }
}

#[test]
fn fuzz_corpus_ban_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/ban_file");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).expect("fuzz/corpus/ban_file") {
        judge(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}
