//! Feeds the redactor whatever libFuzzer makes up: cut in any way it must give the same, without the value, and never panic.
//!
//! `crates/redact/tests/fuzz.rs` replays `fuzz/corpus/redact` on the stable compiler.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tend_redact::{Patterns, Redactor, Rules, Value, forms};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |&byte| byte == b'\n');
    let value = parts.next().unwrap_or_default();
    let lengths = parts.next().unwrap_or_default();
    let text = parts.next().unwrap_or_default();
    let patterns = Arc::new(Patterns::new(&[Value::new("V", value)], Rules::All));
    let cut = |lengths: &[u8]| {
        let mut redactor = Redactor::new(Arc::clone(&patterns));
        let mut out = Vec::new();
        let mut rest = text;
        for length in lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(usize::from(*length).clamp(1, rest.len()));
            redactor.push(piece, &mut out);
            rest = later;
        }
        redactor.push(rest, &mut out);
        redactor.flush(&mut out);
        out
    };
    let whole = cut(&[]);
    assert_eq!(cut(lengths), whole);
    if !value.contains(&b'[') && !value.contains(&b']') {
        for form in forms(value) {
            assert!(!whole.windows(form.len()).any(|part| part == form));
        }
    }
});
