//! Replays the corpus of the fuzz target `exposition`, and what a generator makes up, on the stable compiler.

use std::path::Path;

use tend_base::Random;
use tend_exposition::{Format, Line, Lines, Writer, series_labels};

/// What the target `fuzz/fuzz_targets/exposition.rs` does with its input.
fn judge(bytes: &[u8]) {
    for format in [Format::Text, Format::OpenMetrics] {
        let mut expected: &[u8] = b"";
        let mut like = Lines::new(bytes, format);
        for line in Lines::new(bytes, format) {
            let other = like.next_like(expected);
            // NaN is not itself, so the texts of both are compared.
            assert_eq!(format!("{:?}", Some(&line)), format!("{other:?}"));
            let Line::Sample(sample) = line else { continue };
            expected = sample.series;
            let Ok(labels) = series_labels(sample.series, format) else {
                continue;
            };
            let mut out = String::new();
            let mut writer = Writer::new(&mut out, Format::OpenMetrics);
            let pairs = labels[1..].iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
            writer.sample(&labels[0].1, pairs, sample.value, None);
            writer.end();
            let Some(Line::Sample(again)) = Lines::new(out.as_bytes(), Format::OpenMetrics).next() else {
                panic!("not taken again: {out:?}");
            };
            assert_eq!(series_labels(again.series, Format::OpenMetrics), Ok(labels));
            assert!(again.value == sample.value || again.value.is_nan() && sample.value.is_nan());
        }
    }
}

#[test]
fn fuzz_corpus_exposition() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/exposition");
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        judge(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = Random::new(0x5eed);
    for _ in 0..30_000 {
        let mut input = Vec::new();
        for _ in 0..random.index(24) {
            match random.index(12) {
                0 => input.push(random.index(256) as u8),
                _ => input.extend_from_slice(random.pick(PIECES).as_bytes()),
            }
        }
        judge(&input);
    }
}

const PIECES: &[&str] = &[
    "a",
    "b:c",
    "_",
    "9",
    "{",
    "}",
    "\"",
    "\\",
    "\\\"",
    "\\n",
    "=",
    ",",
    "a=\"b\"",
    "{a=\"b\"}",
    "\"x.y\"",
    " ",
    "\t",
    "\n",
    "\n",
    "\n",
    " 1",
    " 1.5",
    " NaN",
    " +Inf",
    " 1e999",
    " 15208796",
    "# ",
    "#",
    "HELP ",
    "TYPE ",
    "UNIT ",
    "counter",
    "# EOF",
    " # {",
    "é",
    "\r",
    "\0",
];
