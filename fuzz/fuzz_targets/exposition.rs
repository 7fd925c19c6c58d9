//! Feeds the reading of expositions whatever libFuzzer makes up: an expected series changes nothing, and what was taken is written and read
//! the same.
//!
//! `crates/exposition/tests/replay.rs` replays `fuzz/corpus/exposition` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_exposition::{Format, Line, Lines, Writer, series_labels};

fuzz_target!(|bytes: &[u8]| {
    for format in [Format::Text, Format::OpenMetrics] {
        let mut expected: &[u8] = b"";
        let mut like = Lines::new(bytes, format);
        for line in Lines::new(bytes, format) {
            let other = like.next_like(expected);
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
        }
    }
});
