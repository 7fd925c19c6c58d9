//! Frames that edges of earlier versions sent are read by this one, and what this one sends is what was written down.

use serde_json::Value;
use tend_edge::FromEdge;

/// What edges sent before there were deploys: one frame of each type, one on a line.
const FIRST: &str = include_str!("samples/from-edge-1.jsonl");

/// What they have sent since: the counts of a replica.
const COUNTS: &str = include_str!("samples/from-edge-1-counts.jsonl");

/// What they have sent since there is TLS.
const TLS: &str = include_str!("samples/from-edge-1-tls.jsonl");

fn read(line: &str) -> FromEdge {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Returns the frame as this version writes it, but for the number of the protocol.
fn written(frame: &FromEdge) -> Value {
    let mut value = serde_json::to_value(frame).unwrap();
    value["v"] = tend_edge::PROTOCOL_VERSION.into();
    value
}

#[test]
fn every_recorded_frame_is_read_and_loses_nothing() {
    for line in FIRST.lines().chain(COUNTS.lines()).chain(TLS.lines()) {
        let (now, then) = (written(&read(line)), serde_json::from_str::<Value>(line).unwrap());
        for (field, value) in then.as_object().unwrap() {
            assert_eq!(&now[field], value, "{field} of {line}");
        }
    }
}

#[test]
fn an_answer_of_before_there_were_counts_has_none() {
    let line = FIRST
        .lines()
        .find(|line| line.contains("answered\",\"service"))
        .unwrap();
    assert!(matches!(
        read(line),
        FromEdge::Answered {
            status: 200,
            requests: 0,
            failed: 0,
            ..
        }
    ));
}

#[test]
fn counts_are_written_as_recorded() {
    let line = COUNTS.lines().next().unwrap();
    assert_eq!(written(&read(line)), serde_json::from_str::<Value>(line).unwrap());
    assert!(matches!(
        read(line),
        FromEdge::Answered {
            requests: 1204,
            failed: 3,
            ..
        }
    ));
}

#[test]
fn an_edge_of_before_there_was_tls_leaves_nothing_unread() {
    let before = FIRST.lines().find(|line| line.contains("\"serving\"")).unwrap();
    assert!(matches!(read(before), FromEdge::Serving { unreadable, .. } if unreadable.is_empty()));
}
