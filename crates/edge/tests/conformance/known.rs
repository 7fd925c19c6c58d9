//! What the edge is known to get wrong, by case, so that nothing is added to it unseen.
//!
//! A ratchet: a case that is wrong and not in `tests/corpus/known.txt` fails, and so does one that stands there and is right by now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Compares what was found wrong, by `KIND NAME`, with what is known of this kind.
pub(crate) fn compare(kind: &str, found: &BTreeMap<String, Vec<String>>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/known.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let prefix = format!("{kind} ");
    let known: BTreeSet<&str> = text.lines().filter(|line| line.starts_with(&prefix)).collect();
    let mut wrong = String::new();
    for (case, complaints) in found.iter().filter(|(case, _)| !known.contains(&case[..])) {
        let _ = writeln!(wrong, "{case}\n  {}", complaints.join("\n  "));
    }
    let right: Vec<&&str> = known.iter().filter(|case| !found.contains_key(**case)).collect();
    assert!(wrong.is_empty(), "wrong, and not known to be:\n{wrong}");
    assert!(
        right.is_empty(),
        "right by now; strike them out of {}: {right:#?}",
        path.display()
    );
}
