//! Closed lists: every rule is broken by a case, has its words in the reference, and is found by its name.

use std::fs;
use std::path::Path;

use tend_migration::Rule;

use crate::case::Case;

#[test]
fn every_rule_is_broken_by_a_case() {
    let cases = Case::all();
    for rule in Rule::ALL {
        let broken = |case: &Case| {
            let mut lines = case.section("finds").lines();
            lines.any(|line| line.split_once(' ').is_some_and(|(_, found)| found == rule.id()))
        };
        assert!(cases.iter().any(broken), "no case breaks {}", rule.id());
    }
}

#[test]
fn every_rule_has_its_words_in_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/migrations.md");
    let page = fs::read_to_string(path).expect("docs/reference/migrations.md");
    for rule in Rule::ALL {
        let row = format!("| `{}` | {} | {} |", rule.id(), rule.severity().text(), rule.why());
        assert!(page.contains(&row), "docs/reference/migrations.md lacks the row\n{row}");
    }
    let is_row = |line: &&str| line.contains("` | error | ") || line.contains("` | warning | ");
    let rows = page.lines().filter(is_row).count();
    assert_eq!(
        rows,
        Rule::ALL.len(),
        "docs/reference/migrations.md has rows of no rule"
    );
}
