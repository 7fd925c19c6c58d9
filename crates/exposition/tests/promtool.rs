//! Debian's `promtool check metrics` beside our reader: a body that it parses has no bad line for us, and one that it cannot parse has.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tend_exposition::{Format, Line, Lines, MetricType, Writer};

/// Bodies of 0.0.4 on which both agree, with whether they parse. It reads with a parser of its own (`expfmt`, not the server's), so the
/// lines on which the two readers of Prometheus differ are not here: labels without a comma between them, a name twice, negative times.
const BODIES: &[(&str, bool)] = &[
    ("a 1\n", true),
    ("a{b=\"c\",} 1 5\n", true),
    ("# HELP a x\n# TYPE a gauge\na{b=\"\\\\ \\\" \\n\"} NaN\n", true),
    ("a +Inf\nb -Inf\n", true),
    (
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        true,
    ),
    ("a { b = \"c\" } 1\n", true),
    ("a{b=\"世界\"} 1e-5\n", true),
    ("# a comment\n\n  a\t1\n", true),
    ("a\n", false),
    ("a one\n", false),
    ("a 0x1p-2\n", false),
    ("a 1_0\n", false),
    ("a{b=c} 1\n", false),
    ("a{b=\"c\n", false),
    ("a{b=\"c\"\n", false),
    ("a{9=\"c\"} 1\n", false),
    ("9a 1\n", false),
    ("a 1 1.5\n", false),
    ("a 1 2 3\n", false),
    ("# TYPE a info\n", false),
    ("a 1e999\n", false),
];

/// Returns whether promtool could parse `body`; what its linter says of names does not matter.
fn promtool_parses(body: &str) -> bool {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool of the Debian package prometheus");
    tool.stdin
        .take()
        .expect("its input")
        .write_all(body.as_bytes())
        .expect("taken");
    let said = tool.wait_with_output().expect("it ends").stderr;
    !String::from_utf8_lossy(&said).contains("error while linting: text format parsing error")
}

#[test]
fn promtool_parses_what_we_parse_and_refuses_what_we_refuse() {
    for (body, parses) in BODIES {
        let ours = Lines::new(body.as_bytes(), Format::Text).all(|line| !matches!(line, Line::Bad(_)));
        assert_eq!(ours, *parses, "ours: {body:?}");
        assert_eq!(promtool_parses(body), *parses, "promtool: {body:?}");
    }
}

#[test]
fn promtool_parses_what_we_write() {
    let mut out = String::new();
    let mut writer = Writer::new(&mut out, Format::Text);
    writer.help("up", "A \"help\" \\ with\nall.");
    writer.metric_type("up", MetricType::Gauge);
    for (at, value) in [0.0, -0.0, 1e300, 5e-324, f64::NAN, f64::NEG_INFINITY, 1e21]
        .into_iter()
        .enumerate()
    {
        let number = at.to_string();
        writer.sample(
            "up",
            [("a", "\\\n\""), ("n", number.as_str())],
            value,
            Some(1_520_879_607_789),
        );
    }
    writer.end();
    assert!(promtool_parses(&out), "{out}");
}
