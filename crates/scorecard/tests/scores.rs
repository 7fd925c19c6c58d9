//! Behaviour as data: each file of `tests/cases` loads series, in the language of PromQL's tests, and says what the scorecard is at 10 minutes.
//!
//! A line `limits JSON` before the series is what the stack says of its figures. What stands below `----` is the table in English, the table
//! in Chinese and the series, and is rewritten with `UPDATE=1`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tend_core::model::{Figure, FigureLimits, Language};
use tend_promql::testlang::run_over;
use tend_promql::{EvalOptions, MemoryStore};
use tend_scorecard::{Level, Score, ScoreError, Scorer, Unknown, default_query};

const AT: i64 = 600_000;
const MARK: &str = "----\n";

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    files
}

fn score(input: &str) -> Score {
    let (limits, script) = match input.strip_prefix("limits ") {
        Some(rest) => {
            let (limits, script) = rest.split_once('\n').unwrap();
            (serde_json::from_str(limits).unwrap(), script)
        }
        None => (BTreeMap::new(), input),
    };
    let mut store = MemoryStore::default();
    let cases = run_over(&mut store, script, &EvalOptions::default()).unwrap();
    assert!(cases.is_empty(), "a case loads, and asks nothing by itself");
    let scorer = Scorer::new(&limits).unwrap_or_else(|errors| panic!("{errors:?}"));
    scorer.score(&store, AT, &EvalOptions::default())
}

fn told(score: &Score) -> String {
    let series: String = score
        .series()
        .iter()
        .map(|(labels, value)| format!("{labels} {value}\n"))
        .collect();
    format!(
        "{}\n{}\n{}",
        score.table(Language::English),
        score.table(Language::Chinese),
        series
    )
}

#[test]
fn every_case_gives_what_is_expected() {
    let mut failures = Vec::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once(MARK).unwrap_or((&text, ""));
        let told = told(&score(input));
        if told == expected {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{input}{MARK}{told}")).unwrap();
        } else {
            failures.push(format!("{}:\n{told}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The manual has every figure with the query behind it.
#[test]
fn the_page_has_every_query() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/scorecard.md");
    let page = std::fs::read_to_string(path).unwrap();
    for figure in Figure::ALL {
        let section = format!("`{}`:\n\n```promql\n{}\n```\n", figure.name(), default_query(figure));
        assert!(page.contains(&section), "{section}");
        assert!(page.contains(&format!("| `{}` |", figure.name())));
    }
}

#[test]
fn what_is_not_measured_is_not_called_normal() {
    let score = score("");
    assert_eq!(score.figures.len(), Figure::ALL.len());
    for scored in &score.figures {
        assert_eq!(
            (scored.level, &scored.unknown),
            (Level::Unknown, &Some(Unknown::NotMeasured))
        );
    }
    assert_eq!(score.worst(), Level::Unknown);
}

/// Programs read the names and the units of the model.
#[test]
fn json_has_the_names_of_the_model_and_units_of_the_base() {
    let score = score("load 1m\n  process_resident_memory_bytes{service=\"api\",replica=\"1\"} 629145600x10\n");
    let json = serde_json::to_value(&score).unwrap();
    assert_eq!(json["at"], AT);
    let memory = &json["figures"][3];
    assert_eq!(memory["figure"], "memory");
    assert_eq!(memory["level"], "warning");
    assert_eq!(memory["value"], 629_145_600.0);
    assert_eq!(memory["labels"]["service"], "api");
    assert_eq!(memory["critical"], 1_073_741_824.0);
    assert!(
        memory["query"]
            .as_str()
            .unwrap()
            .contains("process_resident_memory_bytes")
    );
    assert_eq!(json["figures"][0]["unknown"]["why"], "not_measured");
    assert!(memory.get("unknown").is_none());
}

#[test]
fn every_query_that_cannot_be_used_is_told() {
    let set = |query: &str| FigureLimits::Set {
        warning: None,
        critical: None,
        query: Some(query.to_owned()),
    };
    let limits = BTreeMap::from([
        (Figure::Memory, set("max(")),
        (Figure::Cpu, set("node_load1[5m]")),
        (Figure::Errors, set("\"none\"")),
        (Figure::CacheHits, FigureLimits::Off),
    ]);
    let errors = Scorer::new(&limits).unwrap_err();
    let texts: Vec<String> = errors.iter().map(ScoreError::to_string).collect();
    assert_eq!(
        texts,
        [
            "the query of `metrics.score.memory` could not be read",
            "the query of `metrics.score.cpu` gives ranges of samples, not numbers",
            "the query of `metrics.score.errors` gives a text, not numbers",
        ]
    );
    assert!(errors.iter().all(|error| !error.hint().is_empty()));
}

/// A query that the store cannot answer makes its figure unknown, with the reason, and no other.
#[test]
fn a_query_that_fails_is_unknown_and_says_why() {
    let limits = r#"limits {"cpu":{"set":{"query":"a * on (x) b"}}}"#;
    let series = "load 1m\n  a{x=\"1\"} 1x10\n  b{x=\"1\",y=\"1\"} 1x10\n  b{x=\"1\",y=\"2\"} 1x10\n  process_resident_memory_bytes 5x10\n";
    let score = score(&format!("{limits}\n{series}"));
    let of = |figure: Figure| score.figures.iter().find(|scored| scored.figure == figure).unwrap();
    assert!(
        matches!(&of(Figure::Cpu).unknown, Some(Unknown::Failed(text)) if text.contains("many")),
        "{score:?}"
    );
    assert_eq!(of(Figure::Memory).level, Level::Normal);
    assert_eq!(score.worst(), Level::Normal);
}
