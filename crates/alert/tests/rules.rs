//! Files of rules, and rules from one evaluation to the next.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tend_alert::{Alerting, Element, RuleError, RuleFile, RuleKind, RuleState, Surroundings, read_rules, record};
use tend_promql::Labels;
use tend_template::Still;

/// The guides' rules, where they stand beside the project.
fn guides() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.ancestors()
        .map(|folder| folder.join("shared/bench/metrics/rules"))
        .find(|folder| folder.is_dir())
}

#[test]
fn the_guides_rules_load_as_they_are() {
    let Some(folder) = guides() else {
        // Said by name, and seen by who runs the tests with --nocapture.
        return;
    };
    let mut alerts = 0;
    let mut groups = 0;
    for entry in fs::read_dir(&folder).expect("the folder of rules") {
        let path = entry.expect("an entry").path();
        if !path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("guide_"))
        {
            continue;
        }
        let bytes = fs::read(&path).expect("a file of rules");
        let file = read_rules(&path, &String::from_utf8_lossy(&bytes)).unwrap_or_else(|report| panic!("{report}"));
        groups += file.groups.len();
        alerts += file.groups.iter().flat_map(|group| &group.rules).count();
    }
    assert_eq!((alerts, groups), (31, 8));
}

fn rules(text: &str) -> RuleFile {
    read_rules(Path::new("rules.yml"), text).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn faults_are_told_with_their_lines() {
    let whole = "groups:\n- name: g\n  interval: 15s\n  rules:\n  - alert: A\n    expr: up == 0\n    for: 1m\n    labels: {severity: critical}\n    annotations:\n      summary: '{{ $labels.job }}'\n  - record: job:up:sum\n    expr: sum by (job) (up)\n";
    assert_eq!(rules(whole).groups[0].rules.len(), 2);
    for (from, to, line, expected) in [
        ("expr: up == 0", "expr: up ==", 6, "this is not PromQL"),
        ("for: 1m", "for: 1 minute", 7, "`for: 1 minute` is not a length of time"),
        ("for: 1m", "fro: 1m", 7, "a rule has no key `fro`"),
        ("$labels.job", "$label.job", 10, "undefined variable `$label`"),
        (
            "$labels.job }}",
            "$labels.job | nofunc }}",
            10,
            "function `nofunc` is not defined",
        ),
        (
            "{severity: critical}",
            "{1a: critical}",
            8,
            "`1a` is not a name of a label",
        ),
        (
            "record: job:up:sum",
            "record: 'job up'",
            11,
            "`job up` is not a name of a series",
        ),
        (
            "    expr: sum by",
            "    for: 1m\n    expr: sum by",
            12,
            "`for` has no meaning in a rule that records",
        ),
        (
            "- alert: A\n",
            "- alert: A\n    record: b\n",
            5,
            "a rule has `record` or `alert`, not both",
        ),
        (
            "- alert: A\n    expr: up == 0",
            "- alert: A",
            5,
            "a rule has no expression",
        ),
        ("- name: g\n  interval", "- interval", 2, "a group of rules has no name"),
        ("groups:", "group:", 1, "a file of rules has no key `group`"),
    ] {
        assert!(whole.contains(from), "{from}");
        let report = read_rules(Path::new("rules.yml"), &whole.replacen(from, to, 1)).expect_err(to);
        let found = report.0.iter().find(|one| one.message.contains(expected));
        let found = found.unwrap_or_else(|| panic!("{to}: {report}"));
        assert_eq!(found.location.line(), line, "{to}: {report}");
    }
    let twice = "groups: [{name: a, rules: []}, {name: a, rules: []}]";
    let report = read_rules(Path::new("rules.yml"), twice)
        .expect_err("twice")
        .to_string();
    assert!(report.contains("the group `a` stands here a second time"), "{report}");
}

/// One alerting rule and what it keeps.
struct Bench {
    file: RuleFile,
    kept: Alerting,
}

impl Bench {
    fn new(more: &str) -> Self {
        let text = format!(
            "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: up == 0\n{more}    labels: {{severity: '{{{{ if gt $value 5.0 }}}}critical{{{{ else }}}}warning{{{{ end }}}}'}}\n    annotations: {{summary: '{{{{ $labels.job }}}} is {{{{ $value }}}}', bad: '{{{{ query \"x\" | first | value }}}}'}}\n"
        );
        Self {
            file: rules(&text),
            kept: Alerting::default(),
        }
    }

    fn step(&mut self, seconds: i64, result: &[(&str, f64)]) -> Result<Vec<String>, RuleError> {
        let elements: Vec<_> = result.iter().map(|(job, value)| element(job, *value)).collect();
        let external = BTreeMap::new();
        let mut world = Still::default();
        let mut around = Surroundings {
            external_labels: &external,
            world: &mut world,
        };
        let series = self
            .kept
            .evaluate(&self.file.groups[0].rules[0], 3, &elements, seconds * 1000, &mut around)?;
        Ok(series
            .iter()
            .map(|one| format!("{} {}", one.labels, one.value))
            .collect())
    }

    fn states(&self) -> Vec<(&str, RuleState)> {
        let mut states: Vec<_> = self
            .kept
            .active
            .values()
            .map(|one| (one.labels["job"].as_str(), one.state))
            .collect();
        states.sort_by_key(|(job, _)| *job);
        states
    }
}

fn element(job: &str, value: f64) -> Element {
    Element {
        labels: Labels::from_pairs([("__name__", "up"), ("job", job)]),
        value,
    }
}

#[test]
fn an_alert_is_pending_then_fires_then_resolves() {
    let mut bench = Bench::new("    for: 1m\n");
    let series = bench.step(0, &[("a", 0.0)]).expect("it evaluates");
    assert_eq!(
        series,
        [
            "ALERTS{alertname=\"Down\", alertstate=\"pending\", job=\"a\", severity=\"warning\"} 1",
            "ALERTS_FOR_STATE{alertname=\"Down\", job=\"a\", severity=\"warning\"} 0",
        ]
    );
    bench.step(59, &[("a", 0.0)]).expect("it evaluates");
    assert_eq!(bench.states(), [("a", RuleState::Pending)]);
    assert!(bench.kept.take_due(59_000, 15_000, 60_000, "").is_empty());
    bench.step(60, &[("a", 3.0)]).expect("it evaluates");
    assert_eq!(bench.states(), [("a", RuleState::Firing)]);
    let sent = bench.kept.take_due(60_000, 15_000, 60_000, "http://p");
    assert_eq!(sent[0].annotations["summary"], "a is 3");
    assert!(
        sent[0].annotations["bad"].starts_with("<error expanding template: template `Down`, 1:"),
        "{}",
        sent[0].annotations["bad"]
    );
    assert_eq!((sent[0].starts_at, sent[0].ends_at), (Some(60_000), Some(300_000)));
    assert!(
        bench.kept.take_due(60_000, 15_000, 60_000, "").is_empty(),
        "it was sent a moment ago"
    );
    assert_eq!(
        bench.kept.take_due(121_000, 15_000, 60_000, "").len(),
        1,
        "a minute later it is sent again"
    );
    bench.step(130, &[]).expect("it evaluates");
    assert_eq!(bench.states(), [("a", RuleState::Resolved)]);
    assert_eq!(
        bench.kept.take_due(130_000, 15_000, 60_000, "")[0].ends_at,
        Some(130_000)
    );
    bench.step(130 + 15 * 60, &[]).expect("it evaluates");
    assert_eq!(
        bench.states(),
        [("a", RuleState::Resolved)],
        "it is told again for 15 minutes"
    );
    bench.step(131 + 15 * 60, &[]).expect("it evaluates");
    assert!(bench.states().is_empty());
}

#[test]
fn what_was_only_pending_is_forgotten() {
    let mut bench = Bench::new("    for: 1m\n");
    bench.step(0, &[("a", 0.0)]).expect("it evaluates");
    bench.step(30, &[]).expect("it evaluates");
    assert!(bench.states().is_empty());
    bench.step(60, &[("a", 0.0)]).expect("it evaluates");
    assert_eq!(bench.states(), [("a", RuleState::Pending)], "the wait starts anew");
}

#[test]
fn an_alert_is_kept_firing_and_may_come_back_meanwhile() {
    let mut bench = Bench::new("    keep_firing_for: 1m\n");
    bench.step(0, &[("a", 0.0)]).expect("it evaluates");
    assert_eq!(bench.states(), [("a", RuleState::Firing)]);
    bench.step(15, &[]).expect("it evaluates");
    bench.step(60, &[]).expect("it evaluates");
    assert_eq!(bench.states(), [("a", RuleState::Firing)]);
    bench.step(61, &[("a", 0.0)]).expect("it evaluates");
    bench.step(90, &[]).expect("it evaluates");
    bench.step(149, &[]).expect("it evaluates");
    assert_eq!(
        bench.states(),
        [("a", RuleState::Firing)],
        "the minute counts from when it was last gone"
    );
    bench.step(150, &[]).expect("it evaluates");
    assert_eq!(bench.states(), [("a", RuleState::Resolved)]);
}

#[test]
fn two_that_become_one_and_too_many_are_errors() {
    let mut bench = Bench::new("");
    bench.step(0, &[("a", 0.0)]).expect("it evaluates");
    let external = BTreeMap::new();
    let mut world = Still::default();
    let mut around = Surroundings {
        external_labels: &external,
        world: &mut world,
    };
    let same = [
        element("a", 0.0),
        Element {
            labels: Labels::from_pairs([("job", "a")]),
            value: 0.0,
        },
    ];
    let error = bench
        .kept
        .evaluate(&bench.file.groups[0].rules[0], 3, &same, 15_000, &mut around)
        .expect_err("twice");
    assert!(matches!(error, RuleError::Twice { .. }), "{error}");
    assert_eq!(bench.states(), [("a", RuleState::Firing)], "nothing changed");
    let error = bench
        .step(30, &[("a", 0.0), ("b", 0.0), ("c", 0.0), ("d", 0.0)])
        .expect_err("too many");
    assert_eq!(
        error,
        RuleError::Limit {
            rule: "Down".to_owned(),
            limit: 3,
            found: 4
        }
    );
    assert!(bench.states().is_empty());
}

#[test]
fn kept_data_and_series_both_bring_a_rule_back() {
    let mut bench = Bench::new("    for: 30m\n");
    bench.step(0, &[("a", 0.0)]).expect("it evaluates");
    bench.step(900, &[("a", f64::INFINITY)]).expect("it evaluates");
    let text = serde_json::to_string(&bench.kept).expect("it is data");
    assert_eq!(
        serde_json::from_str::<Alerting>(&text).expect("it reads back"),
        bench.kept
    );

    // Without kept data: last seen 15 minutes in, down for 5 minutes, 15 minutes left: the time down counts for nothing.
    let known = vec![(
        Labels::from_pairs([
            ("__name__", "ALERTS_FOR_STATE"),
            ("alertname", "Down"),
            ("job", "a"),
            ("severity", "warning"),
        ]),
        900_000,
        0.0,
    )];
    let restored = |now: i64, known: &[(Labels, i64, f64)]| {
        let mut bench = Bench::new("    for: 30m\n");
        bench.step(now, &[("a", 0.0)]).expect("it evaluates");
        let rule = bench.file.groups[0].rules[0].clone();
        bench.kept.restore(&rule, known, now * 1000);
        bench.kept.active.values().next().expect("an alert").active_at / 1000
    };
    assert_eq!(restored(1200, &known), 300);
    // With less than the grace left, it fires after the grace.
    let late = vec![(known[0].0.clone(), 1_500_000, 0.0)];
    assert_eq!(restored(1600, &late), 1600 + 600 - 1800);
    // It fired when it went down: it fires at the next evaluation.
    let fired = vec![(known[0].0.clone(), 1_900_000, 0.0)];
    assert_eq!(restored(2000, &fired), 0);
    // After more than an hour nothing is restored.
    assert_eq!(restored(900 + 3601, &known), 900 + 3601);
}

#[test]
fn a_recording_rule_names_its_result() {
    let file = rules(
        "groups: [{name: g, limit: 2, labels: {team: x, env: e}, rules: [{record: 'job:up:sum', expr: up, labels: {env: '', job: all}}]}]",
    );
    let rule = &file.groups[0].rules[0];
    assert_eq!(
        rule.kind,
        RuleKind::Record {
            name: "job:up:sum".to_owned()
        }
    );
    let out = record(rule, &[element("a", 1.0)], 2).expect("it records");
    assert_eq!(out[0].labels.to_string(), "job:up:sum{job=\"all\", team=\"x\"}");
    let error = record(rule, &[element("a", 1.0), element("b", 1.0)], 2).expect_err("the same series");
    assert!(matches!(error, RuleError::Twice { .. }));
}

#[test]
fn an_end_is_told_at_once_and_within_bounds_when_the_clock_was_set_back() {
    let mut bench = Bench::new("");
    bench.step(3600, &[("a", 0.0)]).expect("it evaluates");
    assert_eq!(bench.kept.take_due(3_600_000, 15_000, 60_000, "").len(), 1);
    // An hour back: it began, and was sent, later than now.
    bench.step(60, &[]).expect("it evaluates");
    let sent = bench.kept.take_due(60_000, 15_000, 60_000, "");
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].starts_at, sent[0].ends_at), (Some(60_000), Some(60_000)));
}
