//! Alerts on their way to receivers, step by step.

use std::collections::BTreeMap;
use std::path::Path;

use tend_alert::{
    Answer, Config, Delivery, Kept, Pace, Pipeline, Posted, Silence, What, Why, fingerprint, read_config,
};

pub(crate) const SECOND: i64 = 1000;
pub(crate) const MINUTE: i64 = 60 * SECOND;

pub(crate) fn config(text: &str) -> Config {
    read_config(Path::new("am.yml"), text).unwrap_or_else(|report| panic!("{report}"))
}

pub(crate) const PLAIN: &str = "
route:
  receiver: team
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1h
receivers:
- name: team
  webhook_configs: [{url: http://hook}]
";

fn posted(labels: &[(&str, &str)], ends_at: Option<i64>) -> Posted {
    let labels = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Posted {
        labels,
        ends_at,
        ..Posted::default()
    }
}

pub(crate) fn nowhere(_: &str, _: i64) -> Option<i32> {
    None
}

pub(crate) struct Bench {
    pub(crate) pipeline: Pipeline,
    pub(crate) now: i64,
}

impl Bench {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            pipeline: Pipeline::new(config(text), Kept::default(), Pace::default(), 0),
            now: 0,
        }
    }

    pub(crate) fn fire(&mut self, labels: &[(&str, &str)]) {
        // Somebody who keeps it alive for a day.
        let mut alert = posted(labels, Some(self.now + 24 * 60 * MINUTE));
        alert.starts_at = Some(self.now);
        let refused = self.pipeline.receive(vec![alert], self.now);
        assert!(refused.is_empty(), "{refused:?}");
    }

    pub(crate) fn resolve(&mut self, labels: &[(&str, &str)]) {
        let refused = self.pipeline.receive(vec![posted(labels, Some(self.now))], self.now);
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// Goes on to a moment and returns what was handed out on the way, by jumping to what comes next.
    pub(crate) fn until(&mut self, to: i64, answer: impl Fn(&Delivery) -> Option<Answer>) -> Vec<(i64, Delivery)> {
        let mut out = Vec::new();
        loop {
            let due = self.pipeline.tick(self.now, &nowhere);
            for delivery in due.deliveries {
                if let Some(answer) = answer(&delivery) {
                    self.pipeline.answered(delivery.id, answer, self.now);
                }
                out.push((self.now, delivery));
            }
            match self.pipeline.next(self.now) {
                Some(next) if next <= to => self.now = next.max(self.now + 1),
                _ => break,
            }
        }
        self.now = to;
        out
    }

    pub(crate) fn told(&mut self, to: i64) -> Vec<String> {
        let all = self.until(to, |_| Some(Answer::Confirmed));
        all.iter()
            .map(|(at, delivery)| format!("{}s {}", at / SECOND, said(delivery, *at)))
            .collect()
    }
}

/// What a delivery says: the instance of each alert, in brackets when it resolved.
pub(crate) fn said(delivery: &Delivery, now: i64) -> String {
    let one = |alert: &tend_alert::Alert| {
        let name = alert.labels.get("i").map_or("-", String::as_str);
        if alert.resolved(now) {
            format!("({name})")
        } else {
            name.to_owned()
        }
    };
    let mut names: Vec<String> = delivery.alerts.iter().map(one).collect();
    names.sort();
    let again = if delivery.why == Why::Repeat { " again" } else { "" };
    format!("{}{again}", names.join(" "))
}

#[test]
fn a_group_waits_then_tells_what_is_new_then_repeats() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    assert_eq!(bench.told(10 * SECOND), [""; 0]);
    bench.fire(&[("alertname", "A"), ("i", "2")]);
    assert_eq!(bench.told(2 * MINUTE), ["30s 1 2"]);
    bench.fire(&[("alertname", "A"), ("i", "3")]);
    assert_eq!(bench.told(6 * MINUTE), ["330s 1 2 3"]);
    bench.resolve(&[("alertname", "A"), ("i", "2")]);
    assert_eq!(bench.told(11 * MINUTE), ["630s (2) 1 3"]);
    assert_eq!(bench.told(71 * MINUTE), [""; 0]);
    // The first flush after an hour.
    assert_eq!(bench.told(76 * MINUTE), ["4530s 1 3 again"]);
    bench.resolve(&[("alertname", "A"), ("i", "1")]);
    bench.resolve(&[("alertname", "A"), ("i", "3")]);
    assert_eq!(bench.told(100 * MINUTE), ["4830s (1) (3)"]);
    assert_eq!(bench.told(300 * MINUTE), [""; 0], "it is over");
    assert_eq!(bench.pipeline.alerts(bench.now).count(), 0);
}

#[test]
fn an_alert_that_nothing_is_heard_of_resolves_by_itself() {
    let mut bench = Bench::new(PLAIN);
    bench
        .pipeline
        .receive(vec![posted(&[("alertname", "A"), ("i", "1")], None)], 0);
    assert_eq!(bench.told(5 * MINUTE), ["30s 1"]);
    assert_eq!(bench.told(11 * MINUTE), ["330s (1)"]);
}

#[test]
fn what_fails_is_tried_again_with_growing_pauses_and_told_anew() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    let failing = |_: &Delivery| {
        Some(Answer::Failed {
            said: "503".to_owned(),
            after: None,
        })
    };
    let tries = bench.until(4 * MINUTE, failing);
    assert!((6..=12).contains(&tries.len()), "{} tries in 4 minutes", tries.len());
    assert!(
        tries.iter().all(|(_, delivery)| delivery.id == tries[0].1.id),
        "every try has the same name"
    );
    let pauses: Vec<i64> = tries.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(
        pauses[0] <= SECOND && *pauses.last().expect("a pause") >= 20 * SECOND,
        "{pauses:?}"
    );
    assert!(
        bench
            .pipeline
            .dead_letters()
            .any(|letter| letter.tries == 4 && letter.said == "503")
    );
    bench.fire(&[("alertname", "A"), ("i", "2")]);
    // The try of before says what it said; the next flush writes it anew.
    let told = bench.told(6 * MINUTE);
    assert!(
        told.first().is_some_and(|one| one.ends_with(" 1")) && told.last() == Some(&"330s 1 2".to_owned()),
        "{told:?}"
    );
}

#[test]
fn what_is_refused_waits_for_the_next_flush() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    let tries = bench.until(14 * MINUTE, |_| Some(Answer::Refused { said: "404".to_owned() }));
    let times: Vec<i64> = tries.iter().map(|(at, _)| at / SECOND).collect();
    assert_eq!(times, [30, 330, 630]);
    assert_eq!(bench.pipeline.dead_letters().count(), 3);
    assert_eq!(bench.told(16 * MINUTE), ["930s 1"]);
}

#[test]
fn no_receiver_is_sent_more_than_it_takes() {
    let each = PLAIN.replace("group_by: [alertname]", "group_by: ['...']");
    let robot = each.replace("webhook_configs", "dingtalk_configs");
    let told = |text: &str| {
        let mut bench = Bench::new(text);
        for number in 0..50 {
            bench.fire(&[("alertname", "A"), ("i", &number.to_string())]);
        }
        let all = bench.until(4 * MINUTE, |_| Some(Answer::Confirmed));
        assert_eq!(all.len(), 50);
        let minute = |at: &i64| (all.iter().filter(|(other, _)| (at - MINUTE + 1..=*at).contains(other))).count();
        all.iter().map(|(at, _)| minute(at)).max()
    };
    assert_eq!(told(&robot), Some(20));
    assert_eq!(told(&each), Some(50), "the user's own program takes what there is");
}

#[test]
fn routes_go_on_where_they_say_so() {
    let text = "
route:
  receiver: all
  routes:
  - {matchers: [severity=critical], receiver: pager, continue: true}
  - {matchers: [team=db], receiver: db}
  - {matchers: [team=~db|api], receiver: never}
receivers:
- {name: all, webhook_configs: [{url: http://a}]}
- {name: pager, webhook_configs: [{url: http://b}]}
- {name: db, webhook_configs: [{url: http://c}]}
- {name: never, webhook_configs: [{url: http://d}]}
";
    let mut bench = Bench::new(text);
    bench.fire(&[("severity", "critical"), ("team", "db"), ("i", "1")]);
    bench.fire(&[("severity", "critical"), ("i", "2")]);
    bench.fire(&[("severity", "warning"), ("i", "3")]);
    let mut told: Vec<String> = bench
        .until(MINUTE, |_| Some(Answer::Confirmed))
        .iter()
        .map(|(at, delivery)| format!("{} {} {}", delivery.receiver, delivery.group_key, said(delivery, *at)))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "all {}:{} 3",
            "db {}/{team=\"db\"}:{} 1",
            "pager {}/{severity=\"critical\"}:{} 1 2"
        ]
    );
}

#[test]
fn one_alert_keeps_others_quiet_while_it_fires() {
    let text = format!(
        "{PLAIN}inhibit_rules:\n- {{source_matchers: [severity=critical], target_matchers: [severity=~warning|critical], equal: [job]}}\n"
    );
    let mut bench = Bench::new(&text);
    bench.fire(&[("alertname", "C"), ("severity", "critical"), ("job", "a"), ("i", "c")]);
    bench.fire(&[("alertname", "W"), ("severity", "warning"), ("job", "a"), ("i", "w")]);
    bench.fire(&[("alertname", "W"), ("severity", "warning"), ("job", "b"), ("i", "o")]);
    assert_eq!(bench.told(MINUTE), ["30s c", "30s o"]);
    bench.resolve(&[("alertname", "C"), ("severity", "critical"), ("job", "a"), ("i", "c")]);
    assert_eq!(bench.told(6 * MINUTE), ["330s (c)", "330s o w"]);
}

#[test]
fn a_silence_needs_a_reason_and_an_end_and_says_when_it_lapses() {
    let mut bench = Bench::new(PLAIN);
    let silence = |reason: &str, ends_at| Silence {
        id: "s1".to_owned(),
        matchers: vec!["job=\"a\"".to_owned()],
        starts_at: 0,
        ends_at,
        created_by: "ann".to_owned(),
        reason: reason.to_owned(),
        reminded: false,
        updated_at: 0,
    };
    for (reason, ends_at, expected) in [
        (
            " ",
            10 * MINUTE,
            "silence: it has no reason; say why, for who finds it in a month",
        ),
        ("x", 0, "silence: it ends before it starts"),
    ] {
        let error = bench
            .pipeline
            .silence(silence(reason, ends_at), 0)
            .expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }
    let mut all = silence("x", MINUTE);
    all.matchers = vec!["job=~\".*\"".to_owned()];
    bench.pipeline.silence(all, 0).expect_err("it would silence everything");
    bench
        .pipeline
        .silence(silence("disk is being replaced", 20 * MINUTE), 0)
        .expect("a silence");
    bench.fire(&[("alertname", "A"), ("job", "a"), ("i", "1")]);
    assert_eq!(bench.told(17 * MINUTE), [""; 0]);
    assert!(bench.pipeline.tick(18 * MINUTE - 1, &nowhere).lapsing.is_empty());
    assert_eq!(bench.pipeline.next(17 * MINUTE), Some(18 * MINUTE));
    assert_eq!(bench.pipeline.tick(18 * MINUTE, &nowhere).lapsing[0].id, "s1");
    assert!(bench.pipeline.tick(18 * MINUTE, &nowhere).lapsing.is_empty(), "once");
    bench.now = 18 * MINUTE;
    assert_eq!(bench.told(24 * MINUTE), ["1230s 1"]);
}

#[test]
fn what_keeps_an_alert_quiet_and_who_is_told_of_it_can_be_seen() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    bench.fire(&[("alertname", "A"), ("i", "2")]);
    for (id, at) in [("one", 0), ("two", 5 * SECOND)] {
        let silence = Silence {
            id: id.to_owned(),
            // A tab, and a name in quotes: both are read back as they were.
            matchers: vec!["i=1".to_owned(), "\"a b\"!=\"x\ty\"".to_owned()],
            starts_at: at,
            ends_at: 20 * MINUTE,
            created_by: "ann".to_owned(),
            reason: "deploy".to_owned(),
            reminded: false,
            updated_at: 0,
        };
        bench.pipeline.silence(silence, at).expect("a silence");
    }
    // Kept and given back, they still are what they were.
    let kept = bench.pipeline.kept();
    let pipeline = Pipeline::new(config(PLAIN), kept, Pace::default(), 5 * SECOND);
    let updated: Vec<i64> = pipeline.silences().map(|silence| silence.updated_at).collect();
    assert_eq!(updated, [0, 5 * SECOND]);
    for alert in pipeline.known() {
        assert_eq!(pipeline.receivers_of(&alert.labels), ["team"]);
        let quiet = pipeline.hushed(alert, 6 * SECOND);
        assert!(quiet.inhibited_by.is_empty());
        let expected: &[&str] = if alert.label("i") == "1" { &["one", "two"] } else { &[] };
        assert_eq!(quiet.silenced_by, expected);
    }
    let groups: Vec<(&str, usize)> = pipeline
        .groups()
        .map(|group| (group.receiver, group.alerts.len()))
        .collect();
    assert_eq!(groups, [("team", 2)]);
}

#[test]
fn who_was_told_and_then_silenced_is_told_that_it_resolved() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    assert_eq!(bench.told(MINUTE), ["30s 1"]);
    let silence = Silence {
        id: "s".to_owned(),
        matchers: vec!["alertname=A".to_owned()],
        starts_at: MINUTE,
        ends_at: 20 * MINUTE,
        created_by: "ann".to_owned(),
        reason: "deploy".to_owned(),
        reminded: false,
        updated_at: 0,
    };
    bench.pipeline.silence(silence, bench.now).expect("a silence");
    bench.now = 2 * MINUTE;
    bench.resolve(&[("alertname", "A"), ("i", "1")]);
    assert_eq!(bench.told(20 * MINUTE), [""; 0]);
    assert_eq!(bench.told(26 * MINUTE), ["1230s (1)"]);
}

#[test]
fn time_intervals_keep_a_route_quiet() {
    let text = "
route:
  receiver: a
  routes:
  - {matchers: [i=m], receiver: a, mute_time_intervals: [first]}
  - {matchers: [i=o], receiver: a, active_time_intervals: [first]}
receivers: [{name: a, webhook_configs: [{url: http://a}]}]
time_intervals: [{name: first, time_intervals: [{times: [{start_time: '00:00', end_time: '00:10'}]}]}]
";
    let mut bench = Bench::new(text);
    bench.fire(&[("i", "m")]);
    bench.fire(&[("i", "o")]);
    assert_eq!(bench.told(20 * MINUTE), ["30s o", "630s m"]);
}

#[test]
fn who_has_it_in_hand_is_not_reminded_but_told_what_is_new() {
    let mut bench = Bench::new(PLAIN);
    let labels = [("alertname", "A"), ("i", "1")];
    bench.fire(&labels);
    assert_eq!(bench.told(2 * MINUTE), ["30s 1"]);
    let key = fingerprint(labels.into_iter());
    bench
        .pipeline
        .acknowledge(key, "ann", "looking", bench.now)
        .expect("it fires");
    bench.pipeline.assign(key, "ann", "bob", bench.now).expect("it fires");
    assert_eq!(bench.told(180 * MINUTE), [""; 0]);
    bench.fire(&[("alertname", "A"), ("i", "2")]);
    assert_eq!(bench.told(186 * MINUTE), ["10830s 1 2"]);
    bench.resolve(&labels);
    assert_eq!(bench.told(191 * MINUTE), ["11430s (1) 2"]);
    let past = &bench.pipeline.care().past[0];
    assert_eq!(
        (past.time_to_tell(), past.time_to_acknowledge()),
        (Some(30 * SECOND), Some(2 * MINUTE))
    );
    assert_eq!(past.time_to_resolve(), Some(186 * MINUTE));
    assert_eq!(past.owner.as_deref(), Some("bob"));
    let told = |over: bool| {
        let mut marks = past.marks.iter();
        marks.any(
            |mark| matches!(&mark.what, What::Told { receiver, ended, .. } if receiver == "team" && *ended == over),
        )
    };
    assert!(told(false) && told(true), "{:?}", past.marks);
    bench
        .pipeline
        .acknowledge(key, "ann", "", bench.now)
        .expect_err("it is over");
}

#[test]
fn a_restart_tells_nothing_twice_and_forgets_nothing() {
    let mut bench = Bench::new(PLAIN);
    bench.fire(&[("alertname", "A"), ("i", "1")]);
    assert_eq!(bench.told(MINUTE), ["30s 1"]);
    bench.fire(&[("alertname", "B"), ("i", "2")]);
    bench.resolve(&[("alertname", "A"), ("i", "1")]);
    let text = serde_json::to_string(&bench.pipeline.kept()).expect("it is data");
    let kept: Kept = serde_json::from_str(&text).expect("it reads back");
    bench.now = 2 * MINUTE;
    bench.pipeline = Pipeline::new(config(PLAIN), kept, Pace::default(), bench.now);
    assert_eq!(bench.told(30 * MINUTE), ["120s (1)", "120s 2"]);
}

#[test]
fn alerts_that_are_none_are_refused_by_name() {
    let mut bench = Bench::new(PLAIN);
    let mut backwards = posted(&[("a", "b")], Some(5));
    backwards.starts_at = Some(6);
    let none = posted(&[("a", "")], None);
    let refused = bench.pipeline.receive(
        vec![
            backwards,
            none,
            posted(&[("1a", "b")], None),
            posted(&[("ok", "1")], None),
        ],
        0,
    );
    let texts: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "alert {a=\"b\"}: it ends before it starts",
            "alert {}: it has no labels",
            "alert {1a=\"b\"}: `1a` is not a name of a label"
        ]
    );
    assert_eq!(bench.pipeline.alerts(0).count(), 1);
}

#[test]
fn a_fingerprint_is_that_of_prometheus() {
    // What Prometheus' own library gives for these labels.
    assert_eq!(fingerprint([].into_iter()), 0xcbf2_9ce4_8422_2325);
    let labels: BTreeMap<&str, &str> = [("instance", "b"), ("job", "a")].into();
    assert_eq!(fingerprint(labels.into_iter()), EXPECTED);
}

/// Of `{instance="b", job="a"}`, computed with `model.LabelSet.Fingerprint`.
const EXPECTED: u64 = 0xbcd01867beedf810;
