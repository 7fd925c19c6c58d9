//! The format of the snapshot: samples of every version are read, what cannot be served is refused.

use tend_core::model::{AllowPlace, Balance, RoutePolicy};
use tend_routing::{ReplicaState, Snapshot, SnapshotError};

const SAMPLE: &str = include_str!("samples/snapshot-1.json");

/// What the format has had since there are deploys.
const SPLIT: &str = include_str!("samples/snapshot-1-split.json");

#[test]
fn the_sample_of_version_1_is_read() {
    let snapshot = Snapshot::parse(SAMPLE.as_bytes()).unwrap();
    assert_eq!(snapshot.generation, 42);
    assert_eq!(snapshot.routes[0].policy, RoutePolicy::default());
    assert_eq!(snapshot.routes[1].host, None);
    let api = &snapshot.services[0];
    assert_eq!(api.replicas[1].state, ReplicaState::Draining);
    assert_eq!(api.replicas[1].weight, 1);
    assert_eq!(snapshot.services[1].balance, Balance::default());
    assert_eq!(snapshot.addresses().count(), 3);
}

#[test]
fn the_sample_with_a_split_is_read() {
    let snapshot = Snapshot::parse(SPLIT.as_bytes()).unwrap();
    let api = &snapshot.services[0];
    let split = api.split.as_ref().unwrap();
    assert_eq!(split.share_permille, 50);
    assert_eq!(split.allow[0].place, AllowPlace::Header);
    assert_eq!((&*split.allow[1].name, &*split.allow[1].value), ("Beta", "1"));
    assert_eq!(split.token.expose(), "5f0c6f6a3b0d4b0e");
    assert_eq!(
        api.replicas.iter().map(|one| one.candidate).collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn a_snapshot_from_before_there_were_splits_has_none() {
    let snapshot = Snapshot::parse(SAMPLE.as_bytes()).unwrap();
    for service in &snapshot.services {
        assert_eq!(service.split, None);
        assert!(service.replicas.iter().all(|replica| !replica.candidate));
    }
    // And what has none is written as it always was.
    let text = String::from_utf8(snapshot.to_json()).unwrap();
    assert!(!text.contains("split") && !text.contains("candidate"), "{text}");
}

#[test]
fn a_snapshot_is_read_as_it_was_written() {
    for sample in [SAMPLE, SPLIT] {
        let snapshot = Snapshot::parse(sample.as_bytes()).unwrap();
        assert_eq!(Snapshot::parse(&snapshot.to_json()).unwrap(), snapshot);
    }
}

#[test]
fn what_a_later_version_adds_is_ignored() {
    let text = SAMPLE
        .replace("\"generation\"", "\"colour\": \"blue\", \"generation\"")
        .replace("\"weight\": 3", "\"weight\": 3, \"zone\": \"a\"");
    assert_eq!(
        Snapshot::parse(text.as_bytes()).unwrap(),
        Snapshot::parse(SAMPLE.as_bytes()).unwrap()
    );
}

#[test]
fn what_cannot_be_served_is_refused_with_its_place() {
    for (from, to, wanted) in [
        ("\"format\": 1", "\"format\": 2", "format 2"),
        ("\"generation\": 42,", "", "could not read"),
        ("\"weight\": 3", "\"weight\": 0", "mps/api/1 has weight 0"),
        ("\"weight\": 3", "\"weight\": 1001", "weight 1001"),
        ("\"mps/api/2\"", "\"mps/web/2\"", "mps/web/2 does not belong"),
        ("\"incarnation\": 6", "\"incarnation\": 7", "is there twice"),
        (
            "\"[::1]:8081\"",
            "\"127.0.0.1:21001\"",
            "127.0.0.1:21001 is listed twice",
        ),
        ("[\"0.0.0.0:8080\"]", "[\"0.0.0.0:81\"]", "listener 0.0.0.0:81"),
        (
            "\"path_prefix\": \"/api\"",
            "\"path_prefix\": \"api\"",
            "`api` is not a path prefix",
        ),
        ("pay.example.com", "Pay.example.com", "`Pay.example.com` is not a host"),
        ("pay.example.com", "pay.example.com:80", "is not a host"),
        ("pay.example.com", "*.", "`*.` is not a host"),
        ("pay.example.com", "a.*.com", "is not a host"),
        (
            "\"service\": { \"stack\": \"mps\", \"service\": \"web\" }",
            "\"service\": { \"stack\": \"mps\", \"service\": \"wep\" }",
            "service `mps/wep`",
        ),
        (
            "\"id\": { \"stack\": \"mps\", \"service\": \"web\" }",
            "\"id\": { \"stack\": \"mps\", \"service\": \"api\" }",
            "service mps/api is described twice",
        ),
    ] {
        assert!(SAMPLE.contains(from), "{from}");
        let error = Snapshot::parse(SAMPLE.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(wanted), "{to}: {error}");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn a_split_that_cannot_be_served_is_refused_with_its_place() {
    for (from, to, wanted) in [
        (
            "\"share_permille\": 50",
            "\"share_permille\": 1000",
            "1000 of 1000 requests",
        ),
        (
            "5f0c6f6a3b0d4b0e",
            "",
            "the token of the split of service mps/api is empty",
        ),
        ("5f0c6f6a3b0d4b0e", "two words", "a character that a header cannot hold"),
        (
            "\"x-canary\"",
            "\"X-Canary\"",
            "`X-Canary` in the split of service mps/api",
        ),
        ("\"x-canary\"", "\"\"", "`` in the split"),
        ("\"Beta\"", "\"a;b\"", "`a;b` in the split"),
        ("\"cookie\"", "\"query\"", "could not read"),
        ("\"split\"", "\"later\"", "mps/api/2 is a candidate"),
    ] {
        assert!(SPLIT.contains(from), "{from}");
        let error = Snapshot::parse(SPLIT.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(wanted), "{to}: {error}");
        assert!(!error.hint().is_empty() && !error.to_string().contains("two words"));
    }
}

#[test]
fn no_text_makes_it_panic() {
    for sample in [SAMPLE, SPLIT] {
        for end in 0..sample.len() {
            assert!(matches!(
                Snapshot::parse(&sample.as_bytes()[..end]),
                Err(SnapshotError::Read { .. }) | Ok(_)
            ));
        }
    }
}
