//! Replays the corpus of the fuzz target `redact`.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tend_redact::{Patterns, Rules, Value, forms};

use crate::in_pieces;
use crate::values::contains;

/// The first line of an input is a value, the second digits that say how to cut, and the rest is the text.
#[test]
fn fuzz_corpus_redact() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/redact");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let input = fs::read(entry.unwrap().path()).unwrap();
        let mut parts = input.splitn(3, |&byte| byte == b'\n');
        let value = parts.next().unwrap_or_default();
        let lengths: Vec<usize> = parts
            .next()
            .unwrap_or_default()
            .iter()
            .map(|&byte| usize::from(byte))
            .collect();
        let lengths = if lengths.is_empty() { vec![1] } else { lengths };
        let text = parts.next().unwrap_or_default();
        let patterns = Arc::new(Patterns::new(&[Value::new("V", value)], Rules::All));
        let whole = in_pieces(&patterns, text, &[usize::MAX]);
        assert!(in_pieces(&patterns, text, &lengths) == whole);
        if !value.contains(&b'[') && !value.contains(&b']') {
            assert!(forms(value).iter().all(|form| !contains(&whole, form)));
        }
        count += 1;
    }
    assert!(count > 0, "the corpus is empty");
}
