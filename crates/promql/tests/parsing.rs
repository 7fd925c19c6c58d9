//! What is read, how it is printed, and what is said of what cannot be read.
//!
//! `tests/texts` has the texts, each with what is expected below it; `UPDATE=1` writes what comes out instead.

use std::fs;
use std::path::Path;

use tend_promql::{Expr, ParseOptions, parse, parse_matchers, parse_with};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// Cuts a file into the texts behind `> ` with what stands below each; a line that begins with two spaces goes on with the text.
fn entries(text: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(query) = line.strip_prefix('>') {
            entries.push((query.strip_prefix(' ').unwrap_or(query).to_owned(), String::new()));
        } else if let Some((query, below)) = entries.last_mut() {
            match line.strip_prefix("  ") {
                Some(more) if below.is_empty() => query.push_str(&format!("\n{more}")),
                _ if line.is_empty() => {}
                _ => *below = format!("{below}{}{line}", if below.is_empty() { "" } else { "\n" }),
            }
        }
    }
    entries
}

fn compare(name: &str, of: impl Fn(&str) -> String) {
    let path = Path::new(HERE).join("tests/texts").join(name);
    let entries = entries(&fs::read_to_string(&path).expect("a file of texts"));
    assert!(entries.len() > 20, "{name} has only {} texts", entries.len());
    if std::env::var_os("UPDATE").is_some() {
        let written = entries.iter().map(|(query, _)| {
            let query_lines = query.replace('\n', "\n  ");
            format!("> {query_lines}\n{}\n", of(query)).replace("> \n", ">\n")
        });
        fs::write(&path, written.collect::<String>()).expect("a file to write");
        return;
    }
    for (query, wanted) in entries {
        assert_eq!(of(&query), wanted, "{query}");
    }
}

fn same_again(query: &str) -> String {
    let expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let printed = expr.to_string();
    let again = parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(again.to_string(), printed, "{query}");
    printed
}

#[test]
fn errors_point_at_what_is_wrong() {
    compare("errors.txt", |query| match parse(query) {
        Err(error) => error.to_string(),
        Ok(expr) => panic!("{query} is read as {expr}"),
    });
}

#[test]
fn what_is_printed_reads_back_the_same() {
    compare("printed.txt", same_again);
}

#[test]
fn a_view_marks_the_place() {
    let error = parse("sum(a)\n  + é{b=}").unwrap_err();
    assert_eq!(
        error.view(),
        "2:5: parse error: unexpected character: 'é'\n  + é{b=}\n    ^^^^^"
    );
    let error = parse("rate(up{job=\"é\"} offset)").unwrap_err();
    assert_eq!(error.view().lines().last(), Some("                       ^"));
}

#[test]
fn every_node_knows_its_place() {
    let query = "sum by (a) (rate(b{c=\"d\"}[5m] offset 1m)) / -count(e) > bool (1)";
    let mut seen = Vec::new();
    parse(query).unwrap().visit(&mut |expr| {
        let span = expr.span();
        seen.push(&query[span.start..span.end]);
    });
    assert_eq!(
        seen,
        [
            query,
            "sum by (a) (rate(b{c=\"d\"}[5m] offset 1m)) / -count(e)",
            "sum by (a) (rate(b{c=\"d\"}[5m] offset 1m))",
            "rate(b{c=\"d\"}[5m] offset 1m)",
            "b{c=\"d\"}[5m] offset 1m",
            "-count(e)",
            "count(e)",
            "e",
            "(1)",
            "1",
        ]
    );
}

#[test]
fn deep_texts_are_refused() {
    let deep = [
        "(".repeat(100_000),
        "-".repeat(100_000),
        format!("{}1", "1 + ".repeat(100_000)),
        format!("{}1", "1 ^ ".repeat(100_000)),
        format!("a{}", "[5m:]".repeat(100_000)),
        format!("a[{}5m]", "(".repeat(100_000)),
        format!("a[{}5m]", "-".repeat(100_000)),
        format!("a[5m{}]", " + 5m".repeat(100_000)),
        "abs(".repeat(100_000),
        "sum(".repeat(100_000),
    ];
    for query in deep {
        let error = parse(&query).unwrap_err();
        assert!(error.text().contains("nested more than"), "{error}");
    }
    let fine = format!("{}a{}", "(".repeat(190), ")".repeat(190));
    assert!(matches!(parse(&fine), Ok(Expr::Paren(_))));
}

#[test]
fn a_selector_alone_is_read_into_its_matchers() {
    let matchers = parse_matchers(" up{job=~\"a|b\"} ").unwrap();
    let shown: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["job=~\"a|b\"", "__name__=\"up\""]);
    for other in ["up offset 5m", "up @ 1", "up[5m]", "rate(up[5m])", "1"] {
        assert_eq!(
            parse_matchers(other).unwrap_err().to_string(),
            "1:1: parse error: expected a series selector"
        );
    }
}

#[test]
fn long_texts_are_refused() {
    let options = ParseOptions {
        bytes_max: 10,
        ..ParseOptions::default()
    };
    assert!(parse_with("a + b", options).is_ok());
    let error = parse_with("a + bcdefgh", options).unwrap_err();
    assert_eq!(error.text(), "the query has 11 bytes, at most 10 are read");
}

/// Reads whatever bytes there are; what is read must print and read back the same.
fn read(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for experimental in [false, true] {
        let options = ParseOptions {
            experimental,
            ..ParseOptions::default()
        };
        match parse_with(&text, options) {
            Ok(expr) => {
                let printed = expr.to_string();
                let again = parse_with(&printed, options).unwrap_or_else(|error| panic!("{printed}: {error}"));
                assert_eq!(again.to_string(), printed);
            }
            Err(error) => {
                let (line, column) = error.line_and_column();
                assert!(line >= 1 && column >= 1 && error.span().start <= text.len());
                assert!(error.view().lines().count() >= 2);
            }
        }
    }
}

#[test]
fn fuzz_corpus_promql() {
    let folder = Path::new(HERE).join("../../fuzz/corpus/promql");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).expect("fuzz/corpus/promql") {
        read(&fs::read(entry.expect("an entry").path()).expect("an input"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}

/// A generator of numbers that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).expect("a small number")
    }
}

#[test]
fn no_pieces_in_any_order_make_it_panic() {
    // Pieces of the grammar in any order reach further than bytes alone.
    const PIECES: [&str; 60] = [
        "a",
        "b:c",
        "1",
        "0x1f",
        "5m",
        "inf",
        "NaN",
        "\"s\"",
        "'\\n'",
        "`r`",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "=",
        "==",
        "=~",
        "!=",
        "!~",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "@",
        "and",
        "or",
        "unless",
        "atan2",
        "sum",
        "topk",
        "count_values",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "bool",
        "offset",
        "start",
        "end",
        "step",
        "range",
        "min_of",
        "rate",
        "abs",
        "vector",
        "time",
        "fill",
        "#",
        "é",
        "\n",
        "label_replace",
    ];
    let mut random = Random(0x005e_ed0f_9201);
    for _ in 0..20_000 {
        let mut query = String::new();
        for _ in 0..random.below(16) {
            query.push_str(PIECES[random.below(PIECES.len())]);
            if random.below(3) > 0 {
                query.push(' ');
            }
        }
        read(query.as_bytes());
    }
}
