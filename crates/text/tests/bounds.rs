//! Texts made to take for ever or to fill the memory end early, with an error that says so.

use std::collections::BTreeMap;

use tend_text::{Dialect, Findings, Kind, Shows, parse_dotenv, read};

const DIALECT: Dialect = Dialect {
    depth_max: 8,
    entries_max: 20,
    plain: Kind::of_plain,
    kinds: &[("str", Kind::Text)],
    merge_tags: false,
    file: "a test",
    inside: "a test",
    help_document: "",
    help_depth: "",
    help_entries: "",
    help_tag: "",
    help_empty: Some("write something"),
};

/// Returns the first message about a text of YAML.
fn yaml(text: &str) -> String {
    let mut findings = Findings::default();
    let source = findings.sources.add("test.yml", text, Shows::Lines);
    let node = read(source, &DIALECT, &mut findings);
    assert!(node.is_some() || findings.failed(), "{text}");
    let first = findings.into_diagnostics().into_iter().next();
    first.map_or(String::new(), |one| one.message)
}

/// Returns the first error about a file of variables, and how many variables there are.
fn dotenv(text: &str) -> (String, usize) {
    let mut findings = Findings::default();
    let source = findings.sources.add(".env", text, Shows::Variables);
    let none = BTreeMap::new();
    let found = parse_dotenv(source, &none, &none, "${secret:", &mut findings);
    let first = findings.into_diagnostics().into_iter().next();
    (first.map_or(String::new(), |one| one.message), found.len())
}

#[test]
fn levels_entries_and_aliases_are_bounded() {
    assert_eq!(yaml(&format!("{}{}", "[".repeat(8), "]".repeat(8))), "");
    assert_eq!(
        yaml(&format!("{}{}", "[".repeat(9), "]".repeat(9))),
        "nested deeper than 8 levels"
    );
    assert_eq!(yaml(&"- a\n".repeat(20)), "");
    let many = "more than 20 entries in one list or mapping";
    assert_eq!(yaml(&"- a\n".repeat(21)), many);
    assert_eq!(yaml(&(0..21).map(|at| format!("a{at}: b\n")).collect::<String>()), many);
    let mut laughs = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
    for at in 1..8 {
        let all = vec![format!("*a{}", at - 1); 10].join(", ");
        laughs.push_str(&format!("a{at}: &a{at} [{all}]\n"));
    }
    assert_eq!(yaml(&laughs), "the aliases up to here expand to more than 4 MiB");
    assert_eq!(yaml("a: &a [*a]"), "this alias stands inside what it is an alias of");
}

#[test]
fn what_a_dialect_does_not_take_is_refused() {
    for (text, message) in [
        ("", "the file is empty"),
        ("~", "the file is empty"),
        ("a: !!str 1", ""),
        ("a: ! 1", ""),
        ("a: !!int 1", "the tag `!!int` means nothing in a test"),
        ("a: !reset b", "the tag `!reset` means nothing in a test"),
        (
            "a: b\n---\nc: d",
            "a second document starts here; a test is one document",
        ),
        ("a: b\na: c", "the key `a` stands here a second time"),
        ("a: \u{7}", "a control character is not allowed in YAML"),
    ] {
        assert_eq!(yaml(text), message, "{text}");
    }
}

#[test]
fn values_that_grow_are_bounded() {
    let line = format!("A={}\n", "x".repeat(600 << 10));
    assert_eq!(dotenv(&line), (String::new(), 1));
    let doubled = dotenv(&format!("{line}B=$A$A\n"));
    assert_eq!(
        doubled,
        (
            "the value has more than 1 MiB once its variables are replaced".into(),
            1
        )
    );
    for more in ["B=$A\n", "A\n"] {
        let (message, found) = dotenv(&format!("{line}{}", more.repeat(100)));
        assert_eq!(
            message,
            "the values up to here have more than 16 MiB once their variables are replaced"
        );
        assert!(found < 30, "{found}");
    }
}

#[test]
fn of_many_errors_the_first_are_kept() {
    let mut findings = Findings::default();
    let text = "= x\n".repeat(5000);
    let source = findings.sources.add(".env", &text, Shows::Variables);
    let none = BTreeMap::new();
    parse_dotenv(source, &none, &none, "${secret:", &mut findings);
    assert_eq!(findings.errors(), 5000);
    let kept = findings.into_diagnostics();
    assert_eq!((kept.len(), kept[199].location.line()), (200, 200));
}
