//! Acceptance cases: our own scripts, and some of Prometheus' where they stand beside the checkout.

use std::fs;
use std::path::{Path, PathBuf};

use tend_promql::testlang::{Class, run, run_over};
use tend_promql::{EvalOptions, MemoryStore};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// How many cases pass of each of Prometheus' files: float and stable, native histogram, experimental. May only rise.
///
/// The one float case that does not pass, in `aggregators.test`, needs a string that is not UTF-8.
const PASSED: [(&str, [usize; 3]); 9] = [
    ("aggregators.test", [123, 0, 2]),
    ("at_modifier.test", [77, 0, 1]),
    ("collision.test", [2, 0, 0]),
    ("histograms.test", [83, 0, 10]),
    ("literals.test", [25, 0, 0]),
    ("operators.test", [142, 3, 0]),
    ("selectors.test", [31, 0, 0]),
    ("staleness.test", [17, 0, 0]),
    ("subquery.test", [32, 0, 0]),
];

#[test]
fn our_own_scripts_pass() {
    let entries = fs::read_dir(Path::new(HERE).join("tests/scripts")).expect("tests/scripts");
    let (mut count, mut failures) = (0, Vec::new());
    for entry in entries {
        let path = entry.expect("an entry").path();
        let cases = run(&fs::read_to_string(&path).expect("a script"));
        let class = match path.ends_with("experimental.test") {
            true => Class::Experimental,
            false => Class::Float,
        };
        for case in cases.unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
            let place = format!("{}:{}: {}", path.display(), case.line, case.query);
            failures.extend(case.failure.map(|failure| format!("{place}\n  {failure}")));
            assert_eq!(case.class, class, "{place}");
            count += 1;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count > 100, "only {count} cases");
}

/// Prometheus' own files, beside the checkout or beside the checkout this work tree belongs to.
fn shared() -> Option<PathBuf> {
    let mut parents = Path::new(HERE)
        .ancestors()
        .skip(3)
        .map(|parent| parent.join("shared/data/promqltest"));
    parents.find(|folder| folder.is_dir())
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that did not run says so by name")]
fn as_many_of_prometheus_own_cases_pass_as_ever() {
    let Some(folder) = shared() else {
        eprintln!("NOT RUN: as_many_of_prometheus_own_cases_pass_as_ever: no ../shared/data/promqltest");
        return;
    };
    for (name, pinned) in PASSED {
        let text = fs::read_to_string(folder.join(name)).expect("a script");
        let cases = run(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let passed = Class::ALL.map(|class| {
            let of_class = cases
                .iter()
                .filter(|case| case.class == class && case.failure.is_none());
            of_class.count()
        });
        let failures: Vec<String> = cases
            .iter()
            .filter(|case| case.class == Class::Float)
            .filter_map(|case| Some(format!("line {}: {}", case.line, case.failure.as_ref()?)))
            .collect();
        assert_eq!(
            passed,
            pinned,
            "{name}; raise the number when more pass\n{}",
            failures.join("\n")
        );
    }
}

#[test]
fn names_removed_at_once_change_only_the_texts_that_name_a_metric() {
    // By default Prometheus has each function remove names; its cases are run with names removed at the very end.
    let mut differing = Vec::new();
    for entry in fs::read_dir(Path::new(HERE).join("tests/scripts")).expect("tests/scripts") {
        let script = fs::read_to_string(entry.expect("an entry").path()).expect("a script");
        let cases = run_over(&mut MemoryStore::default(), &script, &EvalOptions::default()).expect("cases");
        differing.extend(cases.into_iter().filter_map(|case| Some((case.query, case.failure?))));
    }
    differing.sort();
    let queries: Vec<&str> = differing.iter().map(|(query, _)| query.as_str()).collect();
    assert_eq!(
        queries,
        [
            "histogram_quantile(0.25, falls_bucket)",
            "histogram_quantile(0.5, bad_bucket)"
        ],
        "{differing:?}"
    );
}

#[test]
fn a_script_that_is_wrong_says_where() {
    let of = |script: &str| run(script).unwrap_err().to_string();
    assert_eq!(of("\nlaod 1m"), "line 2: `laod 1m` is no command");
    assert_eq!(of("load 1x"), "line 1: `1x` is no duration");
    assert_eq!(of("load 1m\n  a 1 b"), "line 2: `b` is no sample");
    assert_eq!(
        of("eval later a"),
        "line 1: expected `instant` or `range`, found `later`"
    );
    assert_eq!(of("eval range from 0 up 1m"), "line 1: expected `to`, found `up`");
}

#[test]
fn a_case_that_does_not_hold_fails() {
    let failing = |script: &str| {
        let cases = run(script).unwrap();
        cases.iter().filter(|case| case.failure.is_some()).count()
    };
    let load = "load 1m\n  a 1 2 3\n  b 5 5 5\n\n";
    let wrong = [
        "eval instant at 1m a\n  a 3",
        "eval instant at 1m a\n  a 2\n  c 2",
        "eval instant at 1m a",
        "eval instant at 1m a\n  expect fail",
        "eval instant at 1m a / c / 0 + rate(b[1m])\n  expect warn",
        "eval instant at 1m rate(b[2m])\n  expect no_info\n  {} 0",
        "eval instant at 1m sort({__name__=~\".\"})\n  expect ordered\n  b 5\n  a 2",
        "eval instant at 1m 2\n  3",
        "eval instant at 1m \"a\"\n  expect string \"b\"",
        "eval range from 0 to 2m step 1m a\n  a 1 2",
        "eval range from 0 to 2m step 1m a\n  a 1 2 3 4",
        "eval instant at 1m a[2m]\n  expect range vector from 0 to 1m step 1m\n  a 1 3",
        "eval instant at 1m sum(\n  {} 1",
    ];
    for script in wrong {
        assert_eq!(failing(&format!("{load}{script}")), 1, "{script}");
    }
    let right = "eval instant at 1m a\n  a 2\n\neval range from 0 to 2m step 1m a\n  a 1 2 3";
    assert_eq!(failing(&format!("{load}{right}")), 0);
}
