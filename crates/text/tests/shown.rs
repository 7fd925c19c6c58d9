//! What is told never has more of a line in it than may be shown.

use std::collections::BTreeMap;

use tend_text::{Findings, Report, Shows, parse_dotenv};

/// Every way in which a line of a file of variables can be wrong, with a secret in it.
const BROKEN: [&str; 9] = [
    "A=\"hunter2",
    "A='hunter2\nB=1",
    "A: \"hunter2\" hunter2",
    "A=\"one\nhunter2=hunter2:\" hunter2",
    "A='one\nhunter2' hunter2",
    "A=hunter2${",
    "A=hunter2${B:?set it}",
    "A=hunter2$UNSET",
    "A B=hunter2",
];

#[test]
fn no_value_of_a_file_of_variables_is_ever_shown() {
    for shows in [Shows::Names, Shows::Variables] {
        for text in BROKEN {
            let mut findings = Findings::default();
            let source = findings.sources.add(".env", text, shows);
            let none = BTreeMap::new();
            parse_dotenv(source, &none, &none, "${secret:", &mut findings);
            let report = Report(findings.into_diagnostics());
            assert_eq!(report.0.len(), 1, "{text}: {report}");
            assert!(!report.to_string().contains("hunter2"), "{text}: {report}");
        }
    }
}

#[test]
fn of_a_long_line_the_part_around_the_place_is_shown() {
    let mut findings = Findings::default();
    let text = format!("{}HERE{}", "a".repeat(9000), "b".repeat(9000));
    let source = findings.sources.add("x.yml", &text, Shows::Lines);
    let place = findings.sources.narrow(source.at(1, 1), "HERE");
    findings.error(place, "this is it").help("delete it");
    let shown = Report(findings.into_diagnostics()).to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[1], " --> x.yml:1:9001");
    let (line, carets) = (
        lines[3].split_once("| ").unwrap().1,
        lines[4].split_once("| ").unwrap().1,
    );
    assert_eq!(line.len(), 160);
    assert_eq!(carets.find('^'), line.find("HERE"));
    assert_eq!(carets.trim(), "^^^^");
}

#[test]
fn what_was_found_is_told_in_the_order_of_the_lines_and_once() {
    let mut findings = Findings::default();
    let source = findings.sources.add("x.yml", "a: 1\nb: hunter2\n", Shows::Names);
    findings.warning(source.at(1, 1), "last").help("w");
    findings.error(source.at(2, 4), "second").plainly().key("b");
    findings
        .error(source.at(2, 4), "third")
        .also(source.at(1, 1), "first here");
    findings.error(source.at(1, 4), "first").plainly().without_value();
    findings.error(source.at(1, 4), "first").without_value();
    let report = Report(findings.into_diagnostics());
    assert_eq!(
        report.to_string(),
        "error: first\n --> x.yml:1:4\n  |\n1 | a: …\n  |    ^\n\n\
         error: second\n --> x.yml:2:4\n  |\n2 | b: hunter2\n  |    ^\n\n\
         error: third\n --> x.yml:2:4\n  |\n2 | b: …\n  |    ^\n ::: x.yml:1:1\n  |\n1 | a: …\n  | ^ first here\n\n\
         warning: last\n --> x.yml:1:1\n  |\n1 | a: …\n  | ^\n  = help: w\n\n\
         3 errors, 1 warning"
    );
    assert_eq!(report.errors(), 3);
}
