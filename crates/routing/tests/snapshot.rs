//! The format of the snapshot: samples of every version are read, what cannot be served is refused.

use tend_routing::{EjectionPolicy, ReplicaState, RetryPolicy, Snapshot, SnapshotError};

const SAMPLE: &str = include_str!("samples/snapshot-1.json");

#[test]
fn the_sample_of_version_1_is_read() {
    let snapshot = Snapshot::parse(SAMPLE.as_bytes()).unwrap();
    assert_eq!(snapshot.generation, 42);
    assert_eq!(snapshot.routes[0].retry, RetryPolicy::UnsentOnly);
    assert_eq!(snapshot.routes[1].host, None);
    let api = &snapshot.services[0];
    assert_eq!(api.ejection.max_fails, 5);
    assert_eq!(api.replicas[1].state, ReplicaState::Draining);
    assert_eq!(api.replicas[1].weight, 1);
    assert_eq!(snapshot.services[1].ejection, EjectionPolicy::default());
    assert_eq!(snapshot.addresses().count(), 3);
}

#[test]
fn a_snapshot_is_read_as_it_was_written() {
    let snapshot = Snapshot::parse(SAMPLE.as_bytes()).unwrap();
    assert_eq!(Snapshot::parse(&snapshot.to_json()).unwrap(), snapshot);
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
fn no_text_makes_it_panic() {
    for end in 0..SAMPLE.len() {
        assert!(matches!(
            Snapshot::parse(&SAMPLE.as_bytes()[..end]),
            Err(SnapshotError::Read { .. }) | Ok(_)
        ));
    }
}
