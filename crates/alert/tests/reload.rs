//! What is told when the configuration changes, the clock is set back, or an alert ends while it is kept quiet.

use tend_alert::{Answer, Kept, Pace, Pipeline, Silence};

use crate::pipeline::{Bench, MINUTE, PLAIN, SECOND, config, nowhere, said};

const BY_INSTANCE: &str = "
route:
  receiver: team
  group_by: [alertname, i]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1h
receivers:
- name: team
  webhook_configs: [{url: http://hook}]
";

const NOBODY: &str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";

fn silence(matcher: &str, ends_at: i64) -> Silence {
    Silence {
        id: "quiet".to_owned(),
        matchers: vec![matcher.to_owned()],
        starts_at: 0,
        ends_at,
        created_by: "ann".to_owned(),
        reason: "it is being mended".to_owned(),
        reminded: false,
        updated_at: 0,
    }
}

#[test]
fn the_end_of_a_silenced_alert_is_told_though_others_of_its_group_were_meanwhile() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    bench.fire(&[("alertname", "A"), ("i", "2")]);
    assert_eq!(bench.told(MINUTE), ["30s 1 2"]);
    (bench.pipeline.silence(silence("i=1", 20 * MINUTE), bench.now)).expect("a silence");
    bench.resolve(&[("alertname", "A"), ("i", "1")]);
    bench.fire(&[("alertname", "A"), ("i", "3")]);
    assert_eq!(bench.told(6 * MINUTE), ["330s 2 3"]);
    bench.resolve(&[("alertname", "A"), ("i", "2")]);
    bench.resolve(&[("alertname", "A"), ("i", "3")]);
    assert_eq!(
        bench.told(19 * MINUTE),
        ["630s (2) (3)"],
        "and no more while it is silenced"
    );
    assert_eq!(bench.told(40 * MINUTE), ["1230s (1)"]);
}

#[test]
fn a_reload_right_after_an_end_tells_it_by_the_group_it_is_in_now() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    bench.fire(&[("alertname", "A"), ("i", "2")]);
    assert_eq!(bench.told(MINUTE), ["30s 1 2"]);
    bench.resolve(&[("alertname", "A"), ("i", "1")]);
    bench.pipeline.reconfigure(config(BY_INSTANCE), bench.now);
    let mut told = bench.told(10 * MINUTE);
    told.sort();
    assert_eq!(told, ["60s (1)", "60s 2"]);
    // What was told under the old group counts for nothing when that comes back.
    bench.resolve(&[("alertname", "A"), ("i", "2")]);
    assert_eq!(bench.told(20 * MINUTE), ["660s (2)"]);
    bench.fire(&[("alertname", "A"), ("i", "2")]);
    bench.pipeline.reconfigure(config(PLAIN), bench.now);
    assert_eq!(bench.told(30 * MINUTE), ["1230s 2"]);
}

#[test]
fn a_configuration_that_is_gone_for_a_moment_loses_no_end() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    assert_eq!(bench.told(MINUTE), ["30s 1"]);
    bench.resolve(&[("alertname", "A"), ("i", "1")]);
    bench.pipeline.reconfigure(config(NOBODY), bench.now);
    assert_eq!(bench.told(20 * MINUTE), [""; 0]);
    bench.pipeline.reconfigure(config(PLAIN), bench.now);
    assert_eq!(bench.told(30 * MINUTE), ["1200s (1)"]);
}

#[test]
fn a_reload_while_a_message_is_in_hand_sends_no_other_before_it_ended() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    let first = bench.until(30 * SECOND, |_| None);
    assert_eq!(first.len(), 1);
    bench.pipeline.reconfigure(config(BY_INSTANCE), bench.now);
    assert!(bench.until(40 * SECOND, |_| None).is_empty(), "one is in hand");
    let failed = Answer::Failed {
        said: "503".to_owned(),
        after: None,
    };
    bench.pipeline.answered(first[0].1.id, failed, bench.now);
    let told = bench.until(10 * MINUTE, |_| Some(Answer::Confirmed));
    let told: Vec<(String, String)> = told
        .iter()
        .map(|(at, delivery)| (said(delivery, *at), delivery.group_key.clone()))
        .collect();
    // The old group is no more, and its message is not tried again beside that of the new one.
    assert_eq!(told, [("1".to_owned(), r#"{}:{alertname="A", i="1"}"#.to_owned())]);
}

#[test]
fn a_message_in_hand_counts_when_it_is_confirmed_after_a_reload() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    let first = bench.until(30 * SECOND, |_| None);
    bench.pipeline.reconfigure(config(PLAIN), bench.now);
    bench.pipeline.answered(first[0].1.id, Answer::Confirmed, bench.now);
    assert_eq!(bench.told(20 * MINUTE), [""; 0]);
}

#[test]
fn a_reload_keeps_the_time_of_groups_that_stay() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    assert_eq!(bench.told(MINUTE), ["30s 1"]);
    bench.fire(&[("alertname", "A"), ("i", "2")]);
    bench.now = 2 * MINUTE;
    bench.pipeline.reconfigure(config(PLAIN), bench.now);
    assert_eq!(bench.told(6 * MINUTE), ["330s 1 2"]);
}

#[test]
fn a_clock_that_is_set_back_puts_nothing_off() {
    let mut bench = Bench::new(PLAIN);
    bench.now = 24 * 60 * MINUTE;
    bench.pipeline = Pipeline::new(config(PLAIN), Kept::default(), Pace::default(), bench.now);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    bench.now += 10 * SECOND;
    bench.pipeline.tick(bench.now, &nowhere);
    bench.now = 0;
    assert_eq!(bench.told(MINUTE), ["20s 1"]);
    // Nor repetitions of what it was told by the clock of before.
    bench.now = 24 * 60 * MINUTE;
    bench.fire(&[("alertname", "B"), ("i", "2")]);
    assert!(!bench.told(24 * 60 * MINUTE + 10 * MINUTE).is_empty());
    bench.now = 0;
    let told = bench.told(100 * MINUTE);
    assert!(told.iter().any(|one| one.ends_with(" 2 again")), "{told:?}");
}

#[test]
fn what_was_over_stays_over_when_the_clock_is_set_back() {
    let mut bench = Bench::new(PLAIN);
    bench.now = 60 * MINUTE;
    bench.pipeline = Pipeline::new(config(PLAIN), Kept::default(), Pace::default(), bench.now);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    assert_eq!(bench.told(61 * MINUTE), ["3630s 1"]);
    bench.resolve(&[("alertname", "A"), ("i", "1")]);
    bench.pipeline.tick(bench.now, &nowhere);
    bench.now = 10 * MINUTE;
    // A restart knows it as well: when it was last heard of is ahead of the clock.
    let kept = bench.pipeline.kept();
    let again = Pipeline::new(config(PLAIN), kept, Pace::default(), bench.now);
    assert!(again.alerts(bench.now).all(|(alert, _)| alert.resolved(bench.now)));
    let told = bench.told(20 * MINUTE);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with(" (1)"), "{told:?}");
}

#[test]
fn a_failure_of_an_earlier_try_says_nothing_of_the_one_under_way() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    let first = bench.until(30 * SECOND, |_| None);
    // Nothing is heard of it in time, so it is tried again, and nothing is heard of that yet.
    let second = bench.until(MINUTE + 2 * SECOND, |_| None);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!((first[0].1.id, second[0].1.attempt), (second[0].1.id, 1));
    let failed = Answer::Failed {
        said: "503".to_owned(),
        after: None,
    };
    bench.pipeline.heard(&first[0].1, failed, "webhook", "", bench.now);
    assert!(bench.until(MINUTE + 20 * SECOND, |_| None).is_empty(), "one is in hand");
}
