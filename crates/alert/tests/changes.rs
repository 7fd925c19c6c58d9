//! What changed before an alert, and what a deployment holds back.

use std::collections::BTreeSet;

use tend_alert::{Change, Deploying, Language, Quiet};

use crate::pipeline::{Bench, MINUTE, PLAIN, SECOND};

fn change(at: i64, of: &str) -> Change {
    Change {
        at,
        kind: "deploy.started".to_owned(),
        of: of.to_owned(),
        by: "mei".to_owned(),
    }
}

#[test]
fn an_alert_has_what_changed_in_the_half_hour_before_it_and_no_more_than_five() {
    let mut bench = Bench::new(PLAIN);
    bench.now = 60 * MINUTE;
    let changes: Vec<Change> = (0..8)
        .map(|number| change((26 + 5 * number) * MINUTE, &format!("r{number}")))
        .collect();
    bench.pipeline.changed(changes.clone());
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    let changed = |bench: &Bench| -> Vec<String> {
        let episode = bench.pipeline.care().open.values().next().expect("it fires");
        episode.changes.iter().map(|change| change.of.clone()).collect()
    };
    // That of minute 26 is too old, that of minute 61 is after it, and of the six others the five latest are kept.
    assert_eq!(changed(&bench), ["r2", "r3", "r4", "r5", "r6"]);
    bench.pipeline.changed(vec![change(59 * MINUTE, "late")]);
    assert_eq!(
        changed(&bench),
        ["r3", "r4", "r5", "r6", "late"],
        "heard of after it had begun"
    );
    let told = bench.until(62 * MINUTE, |_| None);
    assert_eq!(told[0].1.changes.values().next().map(Vec::len), Some(5));
}

#[test]
fn a_change_is_one_line_in_both_languages() {
    let mut change = change(45_296_000, "release r7\nsecond line");
    assert_eq!(
        change.told(Language::English),
        "12:34:56 UTC deployment: release r7second line, by mei"
    );
    assert_eq!(
        change.told(Language::Chinese),
        "12:34:56 UTC 部署：release r7second line，操作者 mei"
    );
    change.kind = "new.kind".to_owned();
    change.by.clear();
    change.of.clear();
    assert_eq!(change.told(Language::English), "12:34:56 UTC new.kind");
}

fn deploying(ended: Option<i64>) -> Deploying {
    Deploying {
        name: "d1".to_owned(),
        since: 10 * MINUTE,
        ended,
        services: BTreeSet::from(["api".to_owned()]),
    }
}

/// Each alert in a group of its own, told at once.
fn at_once() -> Bench {
    let text = PLAIN
        .replace("group_by: [alertname]", "group_by: ['...']")
        .replace("group_wait: 30s", "group_wait: 0s");
    Bench::new(&text)
}

#[test]
fn a_deployment_holds_back_what_begins_in_it_until_it_settled() {
    let mut bench = at_once();
    bench.fire(&[("alertname", "Before"), ("i", "0")]);
    assert_eq!(bench.told(10 * MINUTE), ["0s 0"]);
    bench.pipeline.deploys(&[deploying(None)], Some(10 * MINUTE));
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    bench.fire(&[("alertname", "A"), ("i", "2"), ("service", "api")]);
    bench.fire(&[("alertname", "A"), ("i", "3"), ("service", "other")]);
    bench.fire(&[("alertname", "A"), ("i", "4"), ("severity", "critical")]);
    bench.fire(&[("alertname", "Gone"), ("i", "5")]);
    let due = bench.pipeline.tick(bench.now, &crate::pipeline::nowhere);
    let mut held: Vec<&str> = due.held.iter().map(|episode| episode.labels["i"].as_str()).collect();
    held.sort_unstable();
    assert_eq!(held, ["1", "2", "5"]);
    let mut told: Vec<&str> = due
        .deliveries
        .iter()
        .map(|delivery| delivery.alerts[0].label("i"))
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["3", "4"]);
    for delivery in due.deliveries {
        bench
            .pipeline
            .answered(delivery.id, tend_alert::Answer::Confirmed, bench.now);
    }
    let is_held = |bench: &Bench, i: &str| {
        let mut alerts = bench.pipeline.alerts(bench.now);
        alerts.any(|(alert, quiet)| alert.label("i") == i && matches!(quiet, Some(Quiet::Held(_))))
    };
    assert!(is_held(&bench, "1") && !is_held(&bench, "0") && !is_held(&bench, "4"));
    assert_eq!(bench.told(12 * MINUTE), [""; 0]);
    bench.resolve(&[("alertname", "Gone"), ("i", "5")]);
    // It ends in minute 13, and what it disturbed has a minute; what is over by then is not told at all.
    bench
        .pipeline
        .deploys(&[deploying(Some(13 * MINUTE))], Some(10 * MINUTE));
    let mut told = bench.told(20 * MINUTE);
    told.sort();
    assert_eq!(told, ["840s 1", "840s 2"]);
    let due = bench.pipeline.tick(bench.now, &crate::pipeline::nowhere);
    assert!(due.held.is_empty());
}

#[test]
fn a_deployment_that_does_not_end_holds_nothing_back_for_longer_than_its_bound() {
    let mut bench = at_once();
    bench.now = 10 * MINUTE;
    bench.pipeline.deploys(&[deploying(None)], Some(5 * MINUTE));
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    assert_eq!(bench.told(20 * MINUTE), ["900s 1"]);
    bench.fire(&[("alertname", "A"), ("i", "2")]);
    assert_eq!(
        bench.told(21 * MINUTE),
        ["1200s 2"],
        "what begins later is not its doing"
    );
    // A stack that holds nothing back.
    let mut bench = at_once();
    bench.now = 10 * MINUTE + SECOND;
    bench.pipeline.deploys(&[deploying(None)], None);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    assert_eq!(bench.told(11 * MINUTE), ["601s 1"]);
}
