//! Bodies that the fuzzer found, and what must hold of any: nothing panics, and what was read is written and read the same.

use std::path::Path;

use tend_doors::{decode_write, encode_write};

use crate::world::{Clock, World};

#[test]
fn fuzz_corpus_remote_write() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/remote_write");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a body");
        if let Ok(read) = decode_write(&bytes) {
            let written = encode_write(&read.series, &read.metadata);
            let again = decode_write(&written).expect("what we wrote");
            // Not by `==`: a value may be none that is a number.
            assert_eq!(
                format!("{:?}{:?}", read.series, read.metadata),
                format!("{:?}{:?}", again.series, again.metadata)
            );
        }
        seen += 1;
    }
    assert!(seen >= 5, "{seen} bodies");
}

/// Pieces that requests are made of; each pair and triple of a method, a path and parameters is asked.
#[test]
fn no_request_makes_it_panic() {
    let world = World::new(Clock::Stands(1_700_000_000_000));
    let paths = [
        "",
        "/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/query",
        "/api/v1/query_range",
        "/api/v1/query_exemplars",
        "/api/v1/labels",
        "/api/v1/label/%/values",
        "/api/v1/label/é/values",
        "/api/v1/label/values",
        "/api/v1/label//values",
        "/api/v1/series",
        "/api/v1/rules",
        "/api/v1/targets",
        "/api/v1/targets/metadata",
        "/api/v1/metadata",
        "/api/v1/status/tsdb",
        "/api/v1/write",
        "/api/v1/format_query",
        "/api/v1/parse_query",
        "/federate",
        "/api/v2/",
        "/api/v2/alerts",
        "/api/v2/alerts/groups",
        "/api/v2/alerts/x/assign",
        "/api/v2/alerts/ffffffffffffffff/acknowledge",
        "/api/v2/silences",
        "/api/v2/silence/é",
    ];
    let params = [
        "",
        "query=up&time=9e99&start=-9e99&end=9e99&step=9e18",
        "query=up[1y]&time=-9e99&step=1e-9&start=0&end=1",
        "query=time()&time=9e18&timeout=1e300&lookback_delta=1e300",
        "query=up%20offset%20-200y&time=9e99",
        "query=up&start=-9e99&end=9e99&step=9223372036&timeout=-1",
        "query=%00%ff&match[]=%ff",
        "match[]=%7B%7D&limit=-1",
        "match[]=up&limit=99999999999999999999&start=9e99&end=-9e99",
        "group_limit=1&group_next_token=x&type=alert",
        "limit=9223372036854775807&limit_per_metric=-5",
        "query=day_of_month(up)&time=8e15",
        "filter=%3D%22%22&receiver=%5B",
        "query=year(vector(9e99))%20%40%209e15&time=-8e15",
        "active=&silenced=x&filter=%22",
        "&&==&;=%",
    ];
    let bodies: [&[u8]; 7] = [
        b"",
        b"{}",
        b"[]",
        b"[{}]",
        b"null",
        b"\xff\xff\xff\xff\x0f",
        b"query=up&match[]=up&start=1&end=2&step=1",
    ];
    for method in ["GET", "POST", "DELETE", "OPTIONS", "HEAD", "\u{e9}"] {
        for path in paths {
            for query in params {
                for body in bodies {
                    for media in ["", "application/x-www-form-urlencoded"] {
                        let response = world.ask(method, path, query, &[("content-type", media)], body);
                        assert!((200..600).contains(&response.status));
                    }
                }
            }
        }
    }
}
