//! A test of the way to receivers: whom it goes to, what it goes past, and that nobody takes it for the real one.

use std::collections::BTreeMap;
use std::path::Path;

use tend_alert::{Kept, Pace, Pipeline, Posted, Silence, TEST_LABEL, Trial, read_config};

const TEXT: &str = "
route:
  receiver: nobody
  group_by: [alertname]
  routes:
    - {receiver: duty, matchers: ['severity=\"critical\"'], continue: true, group_wait: 5m}
    - {receiver: mail, matchers: ['severity=\"critical\"'], mute_time_intervals: [always]}
receivers:
- name: nobody
- {name: duty, pagerduty_configs: [{routing_key: k}], webhook_configs: [{url: http://a, send_resolved: false}]}
- {name: mail, webhook_configs: [{url: http://b}]}
inhibit_rules: [{source_matchers: ['alertname=\"Down\"'], target_matchers: ['alertname=\"Slow\"']}]
time_intervals: [{name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]
";

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn pipeline() -> Pipeline {
    let config = read_config(Path::new("am.yml"), TEXT).unwrap_or_else(|report| panic!("{report}"));
    Pipeline::new(config, Kept::default(), Pace::default(), 0)
}

fn trial(pipeline: &Pipeline, severity: &str, now: i64) -> Trial {
    let labels = labels(&[("alertname", "Slow"), ("severity", severity)]);
    let texts = BTreeMap::from([("summary".to_owned(), "a test".to_owned())]);
    pipeline.trial(labels, texts, now, &|_, _| Some(0)).unwrap()
}

#[test]
fn it_goes_at_once_to_all_whom_the_alert_would_go_to_and_is_marked() {
    let pipeline = pipeline();
    let trial = trial(&pipeline, "critical", 1000);
    let receivers: Vec<_> = trial
        .routes
        .iter()
        .map(|route| (&route.receiver[..], route.muted))
        .collect();
    assert_eq!(receivers, [("duty", false), ("mail", true)]);
    let duty = &trial.routes[0];
    assert_eq!(
        (duty.firing.len(), duty.resolved.len()),
        (2, 1),
        "ends are told to whom ends are told"
    );
    for (deliveries, over) in [(&duty.firing, false), (&duty.resolved, true)] {
        for delivery in deliveries {
            let alert = &delivery.alerts[0];
            assert_eq!(alert.labels[TEST_LABEL], "true");
            assert_eq!(alert.resolved(delivery.at), over);
            assert_eq!(
                delivery.group_labels,
                labels(&[("alertname", "Slow"), (TEST_LABEL, "true")])
            );
        }
    }
}

#[test]
fn nobody_takes_it_for_the_real_one_nor_for_the_test_before() {
    let mut pipeline = pipeline();
    let real = Posted {
        labels: labels(&[("alertname", "Slow"), ("severity", "critical")]),
        starts_at: Some(0),
        ends_at: Some(1_000_000),
        ..Posted::default()
    };
    pipeline.receive(vec![real], 0);
    let real = pipeline.tick(400_000, &|_, _| Some(12 * 3600)).deliveries;
    let (one, other) = (trial(&pipeline, "critical", 1000), trial(&pipeline, "critical", 2000));
    let of = |trial: &Trial| -> Vec<_> {
        let routes = trial.routes.iter();
        routes
            .flat_map(|route| route.firing.iter().chain(&route.resolved))
            .cloned()
            .collect()
    };
    assert!(!real.is_empty());
    // What PagerDuty knows an incident by is made of the group's key.
    for test in of(&one) {
        assert!(real.iter().all(|real| real.group_key != test.group_key), "{test:?}");
    }
    let mut ids: Vec<u64> = real
        .iter()
        .chain(&of(&one))
        .chain(&of(&other))
        .map(|one| one.id)
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert_eq!(pipeline.known().count(), 1, "nothing of a test is kept");
}

#[test]
fn what_would_have_kept_it_quiet_is_said_and_does_not() {
    let mut pipeline = pipeline();
    let down = Posted {
        labels: labels(&[("alertname", "Down")]),
        ..Posted::default()
    };
    pipeline.receive(vec![down], 0);
    let silence = Silence {
        id: "s1".to_owned(),
        matchers: vec!["alertname=\"Slow\"".to_owned()],
        starts_at: 0,
        ends_at: 10_000,
        created_by: "ana".to_owned(),
        reason: "a test".to_owned(),
        reminded: false,
        updated_at: 0,
    };
    pipeline.silence(silence, 0).unwrap();
    let trial = trial(&pipeline, "critical", 1000);
    assert_eq!(trial.hushed.silenced_by, ["s1"]);
    assert_eq!(trial.hushed.inhibited_by.len(), 1);
    assert_eq!(trial.routes.len(), 2);
}

#[test]
fn a_rule_that_nobody_is_told_of_shows() {
    let trial = trial(&pipeline(), "info", 1000);
    assert_eq!(trial.routes.len(), 1);
    assert_eq!(trial.routes[0].receiver, "nobody");
    assert!(trial.routes[0].firing.is_empty());
}
