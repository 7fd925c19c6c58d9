//! Whole bodies under `tests/corpus`, each beside what it says: `NAME.text` or `NAME.openmetrics`, and `NAME.*.told`.
//!
//! `UPDATE=1` writes what is said anew; review reads the difference.

use std::path::Path;

use tend_exposition::Format;

use crate::told;

#[test]
fn each_body_says_what_stands_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut bodies = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("text") => Format::Text,
            Some("openmetrics") => Format::OpenMetrics,
            _ => continue,
        };
        let said = told(&std::fs::read(&path).expect("a body"), format);
        let mut beside = path.clone().into_os_string();
        beside.push(".told");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&beside, &said).expect("written");
        }
        let wanted = std::fs::read_to_string(&beside).expect("what it says");
        assert_eq!(said, wanted, "{}", path.display());
        bodies += 1;
    }
    assert!(bodies >= 4, "{bodies} bodies");
}
