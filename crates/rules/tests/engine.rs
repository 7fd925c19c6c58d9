//! The engine over time: when groups are due, restarts, changes of the rules, twins.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tend_alert::{RuleState, read_rules};
use tend_promql::{Labels, MemoryStore, Store, Timestamp};
use tend_rules::{Around, Engine, Evaluated, Health, Kept, Options, Phase, Source, TWIN_LABEL};
use tend_template::Still;

use crate::timelines::Written;

const MINUTE: i64 = 60_000;

fn source(text: &str) -> Vec<Source> {
    let file = read_rules(Path::new("rules.yml"), text).unwrap_or_else(|report| panic!("{report}"));
    vec![Source {
        file: "rules.yml".to_owned(),
        groups: file.groups,
    }]
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn without_twins() -> Options {
    Options {
        twins: false,
        ..Options::default()
    }
}

/// An engine and its store.
struct Bench {
    engine: Engine,
    store: MemoryStore,
}

impl Bench {
    fn new(options: Options, text: &str, kept: Option<Kept>, now: Timestamp) -> Self {
        Self {
            engine: Engine::new(options, source(text), kept, now).expect("rules that were read"),
            store: MemoryStore::default(),
        }
    }

    fn sample(&mut self, pairs: &[(&str, &str)], time: Timestamp, value: f64) {
        self.store.append(&labels(pairs), time, value);
    }

    fn evaluate(&mut self, group: usize, at: Timestamp) -> Evaluated {
        let mut world = Still::default();
        let mut watch = Duration::ZERO;
        let mut around = Around {
            store: &self.store,
            world: &mut world,
            watch: &mut || {
                watch += Duration::from_millis(1);
                watch
            },
        };
        let evaluated = self.engine.evaluate(group, at, &mut around).expect("a group");
        self.store.evaluated(group, &evaluated);
        evaluated
    }

    /// Evaluates whatever is due at a moment.
    fn round(&mut self, now: Timestamp) -> Vec<Evaluated> {
        let due = self.engine.due(now);
        due.into_iter().map(|due| self.evaluate(due.group, due.at)).collect()
    }

    fn states(&self, group: usize, rule: usize) -> Vec<RuleState> {
        let active = &self.engine.groups()[group].rules()[rule].alerting().active;
        active.values().map(|alert| alert.state).collect()
    }
}

#[test]
fn a_group_is_due_once_in_each_interval_and_what_is_skipped_is_counted() {
    let text = "groups: [{name: g, interval: 15s, rules: [{record: r, expr: vector(1)}]}, {name: h, rules: [{record: s, expr: vector(1)}]}]";
    let mut bench = Bench::new(without_twins(), text, None, 7000);
    assert_eq!(bench.engine.next_due(), Some(15_000));
    assert!(bench.engine.due(14_999).is_empty());
    let due = bench.engine.due(16_000);
    assert_eq!((due.len(), due[0].group, due[0].at), (1, 0, 15_000));
    assert_eq!(bench.round(16_000)[0].missed, 0);
    assert!(bench.engine.due(29_999).is_empty());
    assert_eq!(bench.round(31_000)[0].missed, 0);
    // Two intervals go by unseen.
    let rounds = bench.round(77_000);
    assert_eq!((rounds.len(), rounds[0].missed, rounds[1].missed), (2, 2, 0));
    assert_eq!((rounds[0].time, rounds[1].time), (75_000, MINUTE));
    let group = &bench.engine.groups()[0];
    assert_eq!(
        (group.missed(), group.evaluations(), group.last_at()),
        (2, 3, Some(75_000))
    );
    // A clock that was set back makes nobody wait until it has caught up.
    assert_eq!(bench.engine.due(20_000).len(), 2);
    assert_eq!(bench.round(20_000)[0].missed, 0);
    // Who waits for the scrapes of an interval evaluates later in it.
    assert_eq!(bench.evaluate(0, 33_333).time, 33_333);
    assert!(bench.engine.due(44_999).iter().all(|due| due.group != 0));
}

#[test]
fn phases_are_aligned_or_spread() {
    let text = "groups: [{name: a, rules: []}, {name: b, rules: []}, {name: c, rules: []}, {name: d, rules: []}]";
    let starts = |phase| {
        let options = Options {
            phase,
            ..Options::default()
        };
        let engine = Engine::new(options, source(text), None, 0).expect("rules that were read");
        let mut starts: Vec<i64> = engine.due(10 * MINUTE).iter().map(|due| due.at % MINUTE).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    };
    assert_eq!(starts(Phase::Aligned), [0]);
    assert_eq!(starts(Phase::Spread).len(), 4);
}

#[test]
fn health_and_errors_are_told_for_each_rule() {
    let text = "groups: [{name: g, rules: [{record: r, expr: 'a / on () b'}, {record: s, expr: vector(1)}]}]";
    let mut bench = Bench::new(without_twins(), text, None, -1);
    let rule = |bench: &Bench, at: usize| {
        let rule = &bench.engine.groups()[0].rules()[at];
        (rule.health(), rule.last_error().map(str::to_owned), rule.took())
    };
    assert_eq!(rule(&bench, 0), (Health::Unknown, None, Duration::ZERO));
    for number in ["1", "2"] {
        bench.sample(&[("__name__", "a"), ("n", number)], 0, 1.0);
        bench.sample(&[("__name__", "b"), ("n", number)], 0, 1.0);
    }
    let evaluated = bench.evaluate(0, 0);
    let (health, error, took) = rule(&bench, 0);
    assert_eq!((health, health.as_str()), (Health::Bad, "err"));
    assert!(error.expect("an error").contains("could not be evaluated: "));
    assert!(took > Duration::ZERO && evaluated.fared[0].hint.is_some());
    assert_eq!((rule(&bench, 1).0, evaluated.series.len()), (Health::Good, 1));
    assert!(bench.engine.groups()[0].took() > took);
}

const SLOW: &str = "groups: [{name: g, rules: [{alert: Down, expr: up == 0, for: 30m}, {record: sum, expr: sum(up)}]}]";

#[test]
fn kept_data_brings_everything_back() {
    let mut bench = Bench::new(Options::default(), SLOW, None, -1);
    for minute in 0..20 {
        bench.sample(&[("__name__", "up"), ("job", "a")], minute * MINUTE, 0.0);
        bench.round(minute * MINUTE);
    }
    let text = serde_json::to_string(&bench.engine.kept()).expect("it is data");
    let kept: Kept = serde_json::from_str(&text).expect("it reads back");
    assert_eq!(kept, bench.engine.kept());
    // Down for five minutes.
    let store = std::mem::take(&mut bench.store);
    let mut bench = Bench::new(Options::default(), SLOW, Some(kept), 25 * MINUTE + 7);
    bench.store = store;
    assert_eq!(bench.engine.due(25 * MINUTE + 7).len(), 1, "what is due is due at once");
    for minute in 25..32 {
        bench.sample(&[("__name__", "up"), ("job", "a")], minute * MINUTE, 0.0);
        let evaluated = bench.round(minute * MINUTE + 7).remove(0);
        assert_eq!(evaluated.missed, 0);
        // The series go on from the first evaluation.
        assert!(
            evaluated
                .series
                .iter()
                .any(|one| one.labels.metric_name() == "ALERTS_FOR_STATE")
        );
        let firing = minute >= 30;
        assert_eq!(!evaluated.posted.is_empty(), minute == 30 || minute == 32, "{minute}");
        assert_eq!(bench.states(0, 0) == [RuleState::Firing], firing, "{minute}");
    }
}

#[test]
fn what_a_kill_took_on_its_way_is_sent_on_again() {
    const QUICK: &str = "groups: [{name: g, interval: 5s, rules: [{alert: Down, expr: up == 0}]}]";
    let mut bench = Bench::new(Options::default(), QUICK, None, -1);
    let mut sent = Vec::new();
    for (second, up, is_killed) in [
        (0, 0.0, true),
        (5, 0.0, false),
        (10, 0.0, false),
        (15, 1.0, true),
        (20, 1.0, false),
        (25, 1.0, false),
    ] {
        let now = second * 1000;
        bench.sample(&[("__name__", "up"), ("job", "a")], now, up);
        let posted = bench.round(now).remove(0).posted;
        sent.extend(
            posted
                .iter()
                .map(|one| (second, one.ends_at.is_some_and(|ends| ends <= now))),
        );
        if is_killed {
            // What is sent on is lost: the process ends once its rules are kept.
            let store = std::mem::take(&mut bench.store);
            bench = Bench::new(Options::default(), QUICK, Some(bench.engine.kept()), now + 1);
            bench.store = store;
        }
    }
    assert_eq!(sent, [(0, false), (5, false), (15, true), (20, true)]);
}

#[test]
fn without_kept_data_the_series_say_since_when() {
    let mut bench = Bench::new(Options::default(), SLOW, None, -1);
    for minute in 0..20 {
        bench.sample(&[("__name__", "up"), ("job", "a")], minute * MINUTE, 0.0);
        bench.round(minute * MINUTE);
    }
    let store = std::mem::take(&mut bench.store);
    let mut bench = Bench::new(Options::default(), SLOW, None, 22 * MINUTE - 1);
    bench.store = store;
    for minute in 22..36 {
        bench.sample(&[("__name__", "up"), ("job", "a")], minute * MINUTE, 0.0);
        let evaluated = bench.round(minute * MINUTE).remove(0);
        let written = evaluated
            .series
            .iter()
            .any(|one| one.labels.metric_name() == "ALERTS_FOR_STATE");
        // Not before the second evaluation has looked, or it would find what it wrote itself.
        assert_eq!(written, minute >= 24, "{minute}");
        // Down from 19 to 23 of the clock, when the series were looked at: four minutes count for nothing.
        assert_eq!(bench.states(0, 0) == [RuleState::Firing], minute >= 34, "{minute}");
    }
}

#[test]
fn a_rule_goes_on_over_a_change_of_its_file() {
    let mut bench = Bench::new(without_twins(), SLOW, None, -1);
    for minute in 0..20 {
        bench.sample(&[("__name__", "up"), ("job", "a")], minute * MINUTE, 0.0);
        bench.round(minute * MINUTE);
    }
    let set = |bench: &mut Bench, text: &str, now| {
        bench
            .engine
            .set(without_twins(), source(text), now)
            .expect("rules that were read");
    };
    // Another expression, another place in the group, a rule that records is gone: the alert goes on.
    let changed =
        "groups: [{name: g, rules: [{record: other, expr: vector(1)}, {alert: Down, expr: up < 1, for: 25m}]}]";
    set(&mut bench, changed, 19 * MINUTE + 1);
    assert!(bench.engine.due(19 * MINUTE + 2).is_empty());
    bench.sample(&[("__name__", "up"), ("job", "a")], 20 * MINUTE, 0.0);
    let evaluated = bench.round(20 * MINUTE).remove(0);
    assert_eq!(
        evaluated.ended,
        [labels(&[("__name__", "sum")])],
        "what the rule gave ends"
    );
    let since: Vec<i64> = bench.engine.groups()[0].rules()[1]
        .alerting()
        .active
        .values()
        .map(|alert| alert.active_at)
        .collect();
    assert_eq!(since, [0]);
    // Other labels make another rule: its alert begins anew, and the series of the old one end.
    let labelled = "groups: [{name: g, rules: [{alert: Down, expr: up < 1, for: 25m, labels: {a: b}}]}]";
    set(&mut bench, labelled, 20 * MINUTE + 1);
    bench.sample(&[("__name__", "up"), ("job", "a")], 21 * MINUTE, 0.0);
    let evaluated = bench.round(21 * MINUTE).remove(0);
    let ended: Vec<&str> = evaluated.ended.iter().map(Labels::metric_name).collect();
    assert_eq!(ended.len(), 3, "{ended:?}");
    assert_eq!(bench.states(0, 0), [RuleState::Pending]);
    // A text that cannot be read changes nothing. (There is none: files are read before.)
    assert_eq!(bench.engine.groups().len(), 1);
}

#[test]
fn what_a_group_gave_ends_after_it_and_not_while_another_gives_it() {
    let text = "groups: [{name: g, rules: [{record: a, expr: vector(1)}, {record: b, expr: vector(2)}]}]";
    let mut bench = Bench::new(without_twins(), text, None, -1);
    bench.round(0);
    bench.round(MINUTE);
    let renamed = "groups: [{name: h, rules: [{record: a, expr: vector(1)}]}]";
    bench
        .engine
        .set(without_twins(), source(renamed), MINUTE + 5)
        .expect("rules that were read");
    assert!(bench.engine.take_ended(MINUTE + 6).is_empty());
    bench.round(2 * MINUTE);
    assert!(bench.engine.take_ended(3 * MINUTE).is_empty());
    let ended = bench.engine.take_ended(3 * MINUTE + 5);
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0].time, &ended[0].series[..]),
        (MINUTE + 5, &[labels(&[("__name__", "b")])][..])
    );
    assert!(bench.engine.take_ended(9 * MINUTE).is_empty(), "once");
}

#[test]
fn results_in_common_are_worked_out_once() {
    let text = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'rate(x[5m]) > 1'}\n  - {record: y, expr: 'sum(rate(x[5m]))'}\n- name: h\n  rules:\n  - {alert: B, expr: 'rate(x[5m])  >  2'}\n  - {alert: C, expr: 'abs(y) > 1'}\n  - {alert: D, expr: 'abs(y) > 2'}\n";
    let mut bench = Bench::new(without_twins(), text, None, -1);
    for at in 0..20 {
        bench.sample(&[("__name__", "x")], at * 15_000, (at * 100) as f64);
    }
    bench.round(5 * MINUTE);
    // `rate(x[5m])` twice; `y` is made by a rule, so it is asked each time.
    assert_eq!(bench.engine.shared(), 2);
    bench.round(6 * MINUTE);
    assert_eq!(bench.engine.shared(), 4, "each moment has its own");
}

/// Rules and series for twins: `requests_total` of two jobs.
fn twins(rule: &str) -> Bench {
    let text = format!("groups: [{{name: g, rules: [{rule}]}}]");
    Bench::new(Options::default(), &text, None, -1)
}

fn firing_twins(bench: &Bench) -> Vec<BTreeMap<String, String>> {
    let rules = bench.engine.groups().iter().flat_map(|group| group.rules());
    rules
        .filter_map(|rule| rule.twin())
        .flat_map(|twin| twin.alerting().active.values())
        .filter(|alert| alert.state == RuleState::Firing)
        .map(|alert| alert.labels.clone())
        .collect()
}

#[test]
fn what_never_was_is_not_missed() {
    let mut bench = twins("{alert: A, expr: 'rate(errors_total[5m]) > 1'}");
    for minute in 0..60 {
        let evaluated = bench.round(minute * MINUTE).remove(0);
        assert_eq!(evaluated.series, []);
        assert_eq!(evaluated.posted, []);
    }
}

#[test]
fn one_alert_tells_of_a_job_and_is_forgotten_after_a_day() {
    let mut bench =
        twins("{alert: A, expr: 'rate(requests_total{code=\"500\"}[5m]) > 1', labels: {severity: critical, team: t}}");
    for minute in 0..30 {
        for instance in ["1", "2", "3"] {
            let series = [("__name__", "requests_total"), ("job", "a"), ("instance", instance)];
            // Two instances go early: instances come and go.
            if minute < 20 && (instance == "3" || minute < 5) {
                bench.sample(&series, minute * MINUTE, 1.0);
            }
        }
        bench.round(minute * MINUTE);
        assert!(firing_twins(&bench).is_empty(), "{minute}");
    }
    let mut first = None;
    let mut posts = 0;
    for minute in 30..26 * 60 {
        let evaluated = bench.round(minute * MINUTE).remove(0);
        posts += evaluated.posted.len();
        let firing = firing_twins(&bench);
        if let [only] = &firing[..] {
            first.get_or_insert(minute);
            assert_eq!(only["alertname"], "absent:A");
            assert_eq!(only[TWIN_LABEL.0], TWIN_LABEL.1);
            assert_eq!(
                (&*only["severity"], &*only["team"], &*only["job"]),
                ("warning", "t", "a")
            );
            let posted = evaluated.posted.first().map(|posted| &posted.annotations);
            assert!(
                posted.is_none_or(|texts| texts["gone"] == "requests_total"),
                "{posted:?}"
            );
        } else {
            assert!(firing.is_empty());
        }
    }
    // Seen last at 19, five minutes of look-back, ten to be sure.
    assert_eq!(first, Some(34));
    assert!(posts > 100);
    assert!(firing_twins(&bench).is_empty(), "after a day it counts as meant");
}

#[test]
fn a_twin_can_be_switched_off_and_some_rules_need_none() {
    let has = |rule: &str| twins(rule).engine.groups()[0].rules()[0].twin().is_some();
    assert!(has("{alert: A, expr: up == 0}"));
    assert!(!has("{alert: A, expr: up == 0, annotations: {tend_absent: 'off'}}"));
    assert!(!has("{alert: A, expr: absent(up)}"));
    assert!(!has("{alert: A, expr: vector(1) > 0}"));
    assert!(!has("{alert: A, expr: 'sum(errors_total) or vector(0) > 1'}"));
    assert!(!has("{record: a, expr: up}"));
    assert!(!has("{alert: A, expr: '{job=\"a\"} > 0'}"));
    let off = Engine::new(
        without_twins(),
        source("groups: [{name: g, rules: [{alert: A, expr: up == 0}]}]"),
        None,
        0,
    );
    assert!(
        off.expect("rules that were read").groups()[0].rules()[0]
            .twin()
            .is_none()
    );
    let bench = twins("{alert: A, expr: 'a{code=\"1\", job=\"x\"} / b unless c > 0', annotations: {tend_absent: 30m}}");
    let twin = bench.engine.groups()[0].rules()[0]
        .twin()
        .expect("a twin")
        .rule()
        .clone();
    assert_eq!(twin.expression, "absent(a{job=\"x\"}) or absent(b)");
    assert!(matches!(twin.kind, tend_alert::RuleKind::Alert { hold: 1_800_000, .. }));
}

#[test]
fn a_job_that_is_down_is_told_by_rules_over_up() {
    let run = |up_rule: &str| {
        let mut bench = twins(&format!("{{alert: A, expr: 'load > 5'}}, {up_rule}"));
        for minute in 0..40 {
            let is_up = minute < 10;
            bench.sample(
                &[("__name__", "up"), ("job", "a")],
                minute * MINUTE,
                f64::from(u8::from(is_up)),
            );
            if is_up {
                bench.sample(&[("__name__", "load"), ("job", "a")], minute * MINUTE, 1.0);
            }
            bench.round(minute * MINUTE);
        }
        firing_twins(&bench).len()
    };
    assert_eq!(run("{alert: Down, expr: up == 0}"), 0);
    assert_eq!(
        run("{alert: Down, expr: 'up{job=\"other\"} == 0'}"),
        1,
        "that rule is about another job"
    );
    assert_eq!(run("{record: x, expr: up}"), 1, "nobody says it");
}

#[test]
fn a_store_that_fails_makes_nothing_gone() {
    struct Broken;
    impl Store for Broken {
        fn select(
            &self,
            _: &tend_promql::Selection<'_>,
            _: &mut dyn FnMut(&Labels, tend_promql::Samples<'_>) -> std::ops::ControlFlow<()>,
        ) -> Result<(), tend_promql::StoreError> {
            Err(tend_promql::StoreError::new("the disk is gone"))
        }
    }
    let mut bench = twins("{alert: A, expr: 'load > 5'}");
    bench.sample(&[("__name__", "load"), ("job", "a")], 0, 9.0);
    let first = bench.round(0).remove(0);
    assert_eq!(first.posted.len(), 1);
    for minute in 1..60 {
        let mut world = Still::default();
        let mut around = Around {
            store: &Broken,
            world: &mut world,
            watch: &mut || Duration::ZERO,
        };
        let evaluated = bench.engine.evaluate(0, minute * MINUTE, &mut around).expect("a group");
        assert_eq!((evaluated.series.len(), evaluated.ended.len()), (0, 0));
        assert!(
            evaluated.fared[0]
                .error
                .as_deref()
                .expect("an error")
                .contains("the disk is gone")
        );
    }
    assert_eq!(bench.states(0, 0), [RuleState::Firing], "it is not known to have ended");
    assert!(firing_twins(&bench).is_empty());
}
