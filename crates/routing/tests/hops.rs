//! Runs `cases/hops.txt`, lets clients write whatever they like, and replays the corpus of the fuzz target `client_address`.

use std::net::IpAddr;
use std::path::Path;

use tend_base::Random;
use tend_core::model::{LimitKey, Prefix};
use tend_routing::{HOPS_MAX, Hops, trusts};

use crate::lines;

fn walk(peer: &str, trusted: &[Prefix], fields: &[(&str, &[u8])]) -> Vec<IpAddr> {
    let get = |name: &str, see: &mut dyn FnMut(&[u8]) -> bool| {
        let mut values = fields.iter().filter(|(field, _)| *field == name);
        values.any(|(_, value)| see(value))
    };
    let hops = Hops::walk(peer.parse().unwrap(), trusted, &get);
    let all: Vec<IpAddr> = hops.client_first().collect();
    assert_eq!(hops.client(), all[0]);
    all
}

#[test]
fn the_client_is_who_the_cases_say() {
    let mut trusted: Vec<Prefix> = Vec::new();
    for (number, line) in lines(include_str!("cases/hops.txt")) {
        if let Some(prefixes) = line.strip_prefix("trusted ") {
            trusted = prefixes.split(' ').map(|prefix| prefix.parse().unwrap()).collect();
            continue;
        }
        let (request, wanted) = line.split_once("-> ").expect(line);
        let mut parts = request.split(" | ").map(str::trim);
        let peer = parts.next().unwrap();
        let fields: Vec<(&str, &[u8])> = parts
            .map(|field| field.split_once(':').unwrap())
            .map(|(name, value)| (name, value.trim().as_bytes()))
            .collect();
        let wanted: Vec<IpAddr> = wanted.split(' ').map(|address| address.parse().unwrap()).collect();
        assert_eq!(walk(peer, &trusted, &fields), wanted, "line {number}: {line}");
    }
}

#[test]
fn a_client_cannot_become_somebody_else() {
    let trusted: Vec<Prefix> = vec!["10.0.0.0/8".parse().unwrap()];
    let client: IpAddr = "198.51.100.1".parse().unwrap();
    let pieces = [
        "1.1.1.1",
        "for=1.1.1.1",
        "for=\"",
        "\"",
        "\\",
        ",",
        ";",
        "=",
        " ",
        "10.0.0.9",
        "for=10.0.0.9",
        "unknown",
        "[",
        "]:1",
        "for=\"[2001:db8::9]\"",
        "proto=https",
        "\u{fc}",
    ];
    for seed in 0..30_000 {
        let mut random = Random::new(seed);
        let mut own = || {
            let count = random.below(8);
            (0..count)
                .map(|_| pieces[random.below(pieces.len() as u64) as usize])
                .collect::<String>()
        };
        let (list, forwarded, line) = (own(), own(), own());
        // The hop before us appends where the header is, on the same line.
        let by_list = format!("{list}, {client}, 10.0.0.2");
        let fields = [
            ("x-forwarded-for", line.as_bytes()),
            ("x-forwarded-for", by_list.as_bytes()),
        ];
        assert_eq!(walk("10.0.0.1", &trusted, &fields)[0], client, "seed {seed}: {by_list}");
        let by_forwarded = format!("{forwarded}, for={client}, for=10.0.0.2");
        for fields in [
            vec![("forwarded", by_forwarded.as_bytes())],
            vec![
                ("x-forwarded-for", by_list.as_bytes()),
                ("forwarded", forwarded.as_bytes()),
            ],
            vec![
                ("x-forwarded-for", list.as_bytes()),
                ("forwarded", by_forwarded.as_bytes()),
            ],
        ] {
            let found = walk("10.0.0.1", &trusted, &fields)[0];
            assert!(
                found == client || trusts(&trusted, found),
                "seed {seed}: {fields:?} gave {found}"
            );
        }
    }
}

#[test]
fn a_long_list_costs_no_more_than_its_end() {
    let trusted: Vec<Prefix> = vec!["10.0.0.0/8".parse().unwrap()];
    let list = format!("198.51.100.1{}", ", 10.0.0.2".repeat(2000));
    let path = walk("10.0.0.1", &trusted, &[("x-forwarded-for", list.as_bytes())]);
    assert_eq!(path.len(), HOPS_MAX + 1);
    assert!(path.iter().all(|hop| trusts(&trusted, *hop)));
}

/// What the target `fuzz/fuzz_targets/client_address.rs` does with its input: lines as fields of all three headers.
fn judge(bytes: &[u8]) {
    let trusted: Vec<Prefix> = vec!["10.0.0.0/8".parse().unwrap()];
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let get = |name: &str, see: &mut dyn FnMut(&[u8]) -> bool| {
        let nth = ["x-forwarded-for", "forwarded", "authorization"]
            .iter()
            .position(|known| *known == name);
        lines.iter().skip(nth.unwrap_or(0)).step_by(3).any(|line| see(line))
    };
    let peer = "10.0.0.1".parse().unwrap();
    let hops = Hops::walk(peer, &trusted, &get);
    let path: Vec<IpAddr> = hops.client_first().collect();
    assert!(path.len() <= HOPS_MAX + 1 && path.last() == Some(&peer));
    assert!(
        path[1..].iter().all(|hop| trusts(&trusted, *hop)),
        "went on behind {path:?}"
    );
    let hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
    assert!(tend_routing::limit_key(&LimitKey::Claim("sub".to_owned()), peer, &get, &hasher).is_some());
}

#[test]
fn fuzz_corpus_client_address() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/client_address");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).expect("fuzz/corpus/client_address") {
        judge(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}
