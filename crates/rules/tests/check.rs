//! What is found wrong with rules, and what is not.

use std::fs;
use std::path::{Path, PathBuf};

use tend_alert::read_rules;
use tend_promql::{Labels, parse, testlang::series_labels};
use tend_rules::{About, Catalogue, Finding, Ground, MetricKind, Severity, Source, check};

/// The rules of a file.
fn source(path: &Path) -> Source {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = read_rules(path, &String::from_utf8_lossy(&bytes)).unwrap_or_else(|report| panic!("{report}"));
    Source {
        file: path.file_name().expect("a name").to_string_lossy().into_owned(),
        groups: file.groups,
    }
}

fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules").join(name)
}

/// What `series.txt` says there is.
fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    for line in fs::read_to_string(ours("series.txt")).expect("series.txt").lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').expect("a name and a type");
            let kind = match kind {
                "counter" => MetricKind::Counter,
                "gauge" => MetricKind::Gauge,
                "histogram" => MetricKind::Histogram,
                _ => MetricKind::Unknown,
            };
            catalogue.set_kind(name, kind);
        } else if !line.starts_with('#') {
            let labels: Labels = series_labels(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            catalogue.observe(&labels);
        }
    }
    catalogue
}

fn judged(sources: &[Source], catalogue: Option<&Catalogue>) -> Vec<Finding> {
    check(
        sources,
        Ground {
            catalogue,
            interval: 15_000,
            scrape_interval: Some(15_000),
        },
    )
}

#[test]
fn each_wrong_rule_is_found_and_what_was_meant_is_said() {
    let catalogue = catalogue();
    let wrong = source(&ours("wrong.yml"));
    let found = judged(std::slice::from_ref(&wrong), Some(&catalogue));
    for rule in wrong.groups.iter().flat_map(|group| &group.rules) {
        let of_rule: Vec<&Finding> = found.iter().filter(|one| one.rule == rule.name()).collect();
        let said: Vec<String> = of_rule
            .iter()
            .map(|one| format!("{} {}", one.severity.as_str(), one.about.as_str()))
            .collect();
        let wanted: Vec<&str> = rule.labels["found"].split(", ").collect();
        assert_eq!(said, wanted, "{}: {of_rule:#?}", rule.name());
        let meant = of_rule.first().and_then(|one| one.meant.as_deref()).unwrap_or_default();
        assert_eq!(meant, rule.labels["meant"], "{}", rule.name());
        assert!(
            of_rule
                .iter()
                .all(|one| one.line == rule.line && one.file == "wrong.yml")
        );
    }
}

#[test]
fn what_was_meant_is_itself_right() {
    let catalogue = catalogue();
    let found = judged(&[source(&ours("wrong.yml"))], Some(&catalogue));
    let mut read = 0;
    for finding in &found {
        let wanted = matches!(finding.about, About::SelfRatio | About::Unit | About::Join);
        let Some(meant) = finding.meant.as_deref().filter(|meant| wanted && meant.contains(" > ")) else {
            continue;
        };
        parse(meant).unwrap_or_else(|error| panic!("{meant}: {error}"));
        let text = format!("groups: [{{name: g, rules: [{{alert: A, expr: '{meant}'}}]}}]");
        let groups = read_rules(Path::new("m.yml"), &text)
            .unwrap_or_else(|report| panic!("{report}"))
            .groups;
        let again = judged(
            &[Source {
                file: "m.yml".to_owned(),
                groups,
            }],
            Some(&catalogue),
        );
        assert!(
            again.iter().all(|one| one.severity != Severity::Error),
            "{meant}: {again:#?}"
        );
        read += 1;
    }
    assert!(read >= 9, "{read}");
}

#[test]
fn nothing_is_found_in_rules_that_work() {
    let catalogue = catalogue();
    let right = source(&ours("right.yml"));
    let found = judged(std::slice::from_ref(&right), Some(&catalogue));
    assert_eq!(found, [], "{found:#?}");
    let found = judged(&[right], None);
    assert_eq!(found, [], "without a catalogue: {found:#?}");
}

#[test]
fn without_a_catalogue_what_the_rule_itself_shows_is_found() {
    let found = judged(&[source(&ours("wrong.yml"))], None);
    let of = |about| found.iter().filter(|one| one.about == about).count();
    assert_eq!((of(About::Metric), of(About::Label), of(About::Join)), (0, 0, 0));
    assert_eq!(of(About::SelfRatio), 5);
    assert!(of(About::Unit) >= 5 && of(About::Decided) >= 5);
}

/// The guides' rules, where they stand beside the project.
fn guides() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.ancestors()
        .map(|folder| folder.join("shared/bench/metrics/rules"))
        .find(|folder| folder.is_dir())
}

#[test]
fn the_guides_other_rules_raise_no_error() {
    let Some(folder) = guides() else {
        // `each_wrong_rule_is_found_and_what_was_meant_is_said` has the same patterns.
        return;
    };
    let sources: Vec<Source> = ["guide_000.yml", "guide_002.yml", "guide_003.yml", "guide_004.yml"]
        .iter()
        .map(|name| source(&folder.join(name)))
        .collect();
    let rules = sources
        .iter()
        .flat_map(|source| &source.groups)
        .map(|group| group.rules.len());
    assert_eq!(rules.sum::<usize>(), 31);
    let catalogue = catalogue();
    let found = judged(&sources, Some(&catalogue));
    let said: Vec<(&str, &str, &str)> = found
        .iter()
        .filter(|one| one.severity != Severity::Note)
        .map(|one| (one.file.as_str(), one.rule.as_str(), one.about.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("guide_002.yml", "HighErrorRate", "self-ratio"),
            ("guide_002.yml", "DatabaseConnectionsHigh", "join"),
            ("guide_003.yml", "PaymentFailureRate", "self-ratio"),
            ("guide_003.yml", "QRExpirationRate", "self-ratio"),
            ("guide_004.yml", "HighErrorRate", "unit"),
        ],
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .all(|one| one.severity != Severity::Error || one.meant.is_some())
    );
}
