//! Every case of `tests/cases`: the class, and the rule and line of each finding.

use std::fmt::Write;

use tend_migration::{Finding, class, lint};

use crate::case::Case;

#[test]
fn every_migration_of_the_cases_is_judged_as_written_there() {
    let mut wrong = Vec::new();
    let mut cases = Case::all();
    assert!(cases.len() > 50, "only {} cases were found", cases.len());
    for case in &mut cases {
        let actual = judged(&case.name, case.section("migration"));
        case.compare("finds", &actual, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn judged(name: &str, sql: &str) -> String {
    let (class, mut findings) = class(name, sql);
    findings.extend(lint(name, sql));
    findings.sort();
    let mut text = format!("{}\n", class.text());
    for Finding { line, rule, .. } in findings {
        writeln!(text, "{line} {}", rule.id()).expect("a string takes all");
    }
    text
}

#[test]
fn a_finding_names_the_place_what_is_done_and_what_to_write_instead() {
    let sql = "SET lock_timeout = '2s';\nALTER TABLE Pay.\"Orders\"\n  ADD token uuid\n  DEFAULT gen_random_uuid();";
    let found: Vec<String> = lint("1.sql", sql).iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "line 3: error [volatile-default]: writes `pay.Orders` anew to fill `pay.Orders.token` with gen_random_uuid(); add the \
             column without default, SET DEFAULT, then fill it in portions"
        ]
    );
}

#[test]
fn a_finding_has_the_same_names_in_json() {
    let found = lint("1.sql", "SET lock_timeout = 1;\nVACUUM FULL a;");
    let json = serde_json::to_value(&found).expect("values only");
    assert_eq!(json[0]["line"], 2);
    assert_eq!(json[0]["rule"], "vacuum-full");
    assert_eq!(json[0]["severity"], "error");
}

#[test]
fn a_file_that_is_only_run_when_going_back_is_never_judged() {
    for name in ["0001_users.down.sql", "0001_users_down.sql"] {
        assert_eq!(judged(name, "DROP TABLE users;"), "expand\n", "{name}");
    }
    assert_eq!(
        judged("0001_down_payments.sql", "DROP TABLE users;").lines().next(),
        Some("contract")
    );
}
