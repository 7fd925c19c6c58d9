//! Single lines as a table: what is taken, what is refused and why.

use tend_exposition::{Format, Line, Lines, Reason, series_labels};

use crate::told;

/// Lines of 0.0.4 with what they say.
const TEXT: &[(&str, &str)] = &[
    ("", ""),
    ("a 1", "sample 1: __name__=\"a\" = 1.0"),
    ("  \ta \t 1 \t", "sample 1: __name__=\"a\" = 1.0"),
    (
        "a:b_9 1 1520879607789",
        "sample 1: __name__=\"a:b_9\" = 1.0 at 1520879607789",
    ),
    ("a{} 1", "sample 1: __name__=\"a\" = 1.0"),
    ("a {b=\"c\"} 1", "sample 1: __name__=\"a\" b=\"c\" = 1.0"),
    ("a{b=\"c\"}1", "sample 1: __name__=\"a\" b=\"c\" = 1.0"),
    ("a { b = \"c\" , } 1", "sample 1: __name__=\"a\" b=\"c\" = 1.0"),
    ("a{b=\"c\" d=\"e\"} 1", "sample 1: __name__=\"a\" b=\"c\" d=\"e\" = 1.0"),
    ("a{b=\"}{ #\"} 1", "sample 1: __name__=\"a\" b=\"}{ #\" = 1.0"),
    (
        "a{b=\"\\\\ \\\" \\n \\t\"} 1",
        "sample 1: __name__=\"a\" b=\"\\\\ \\\" \\n \\\\t\" = 1.0",
    ),
    ("a{b=\"\"} 1", "sample 1: __name__=\"a\" = 1.0"),
    ("a{b=\"世界\"} 1", "sample 1: __name__=\"a\" b=\"世界\" = 1.0"),
    ("{\"http.status\"} 1", "sample 1: __name__=\"http.status\" = 1.0"),
    (
        "{\"a b\",\"c.d\"=\"e\"} 1",
        "sample 1: __name__=\"a b\" c.d=\"e\" = 1.0",
    ),
    ("{c=\"d\",\"a\"} 1", "sample 1: __name__=\"a\" c=\"d\" = 1.0"),
    ("a NaN", "sample 1: __name__=\"a\" = NaN"),
    ("a -Inf", "sample 1: __name__=\"a\" = -inf"),
    ("# a comment", ""),
    ("#", ""),
    ("#HELP a b", ""),
    ("# HELP", ""),
    ("# HELP  ", ""),
    ("# HELPS a b", ""),
    ("# UNIT a b", ""),
    ("# HELP a", "help a: \"\""),
    ("# HELP a  two \\n \\\\ \\\"", "help a: \" two \\n \\\\ \\\\\\\"\""),
    ("#\tHELP\t \"a.b\" c", "help a.b: \"c\""),
    ("# TYPE a counter ", "type a: Counter"),
    ("# TYPE a untyped", "type a: Unknown"),
    ("# EOF", ""),
];

/// Lines of 0.0.4 that are refused.
const TEXT_BAD: &[(&[u8], Reason)] = &[
    (b"9a 1", Reason::MetricName),
    (b"\xffa 1", Reason::MetricName),
    ("é 1".as_bytes(), Reason::MetricName),
    (b"a", Reason::NoValue),
    (b"a{b=\"c\"}", Reason::NoValue),
    (b"a 1\r", Reason::Value),
    (b"a 0x1p-2", Reason::Value),
    (b"a 1_000", Reason::Value),
    (b"a 1e999", Reason::Value),
    (b"a one", Reason::Value),
    (b"a 1 1.5", Reason::Timestamp),
    (b"a 1 -5", Reason::Timestamp),
    (b"a 1 99999999999999999999", Reason::Timestamp),
    (b"a 1 2 3", Reason::Trailing),
    (b"a 1 # {x=\"y\"} 1", Reason::Trailing),
    (b"a{b} 1", Reason::LabelEqual),
    (b"a{b=c} 1", Reason::LabelValue),
    (b"a{b='c'} 1", Reason::LabelValue),
    (b"a{1b=\"c\"} 1", Reason::LabelName),
    (b"a{,} 1", Reason::LabelName),
    (b"a{\"\"=\"c\"} 1", Reason::LabelName),
    (b"a{b=\"c} 1", Reason::QuoteOpen),
    (b"a{b=\"c\\\"} 1", Reason::QuoteOpen),
    (b"a{b=\"c\"", Reason::LabelEnd),
    (b"a{b=\"\xff\"} 1", Reason::NotUtf8),
    (b"{b=\"c\"} 1", Reason::NoMetricName),
    (b"{} 1", Reason::NoMetricName),
    (b"{\"\"} 1", Reason::NoMetricName),
    (b"a{\"b\"} 1", Reason::TwoMetricNames),
    (b"{\"a\",\"b\"} 1", Reason::TwoMetricNames),
    (b"a{b=\"1\",b=\"2\"} 1", Reason::LabelTwice),
    (b"a{__name__=\"b\"} 1", Reason::LabelTwice),
    (b"# HELP 9 x", Reason::MetadataName),
    (b"# HELP a{ x", Reason::MetadataName),
    (b"# HELP a \xff", Reason::NotUtf8),
    (b"# TYPE a", Reason::MetricType),
    (b"# TYPE a info", Reason::MetricType),
];

/// Lines of OpenMetrics with what they say; `# EOF` follows each.
const OPEN: &[(&str, &str)] = &[
    ("a 1", "sample 1: __name__=\"a\" = 1.0"),
    ("a 1 1520879607.7894", "sample 1: __name__=\"a\" = 1.0 at 1520879607789"),
    ("a 1 -1.5", "sample 1: __name__=\"a\" = 1.0 at -1500"),
    ("a{b=\"c\",} 1", "sample 1: __name__=\"a\" b=\"c\" = 1.0"),
    ("{\"a.b\",c=\"d\"} 1", "sample 1: __name__=\"a.b\" c=\"d\" = 1.0"),
    (
        "a_bucket{le=\"1\"} 1 # {id=\"x # y\"} 0.5",
        "sample 1: __name__=\"a_bucket\" le=\"1\" = 1.0",
    ),
    (
        "a_bucket{le=\"1\"} 1 2 # {} 0.5 1.5",
        "sample 1: __name__=\"a_bucket\" le=\"1\" = 1.0 at 2000",
    ),
    ("# HELP a b \\\"c\\\"", "help a: \"b \\\"c\\\"\""),
    ("# TYPE a gaugehistogram", "type a: GaugeHistogram"),
    ("# UNIT a_seconds seconds", "unit a_seconds: \"seconds\""),
    ("# UNIT a ", "unit a: \"\""),
    ("a  1", "bad 1: a value was expected after the series"),
    (" a 1", "bad 1: a metric name was expected"),
    ("a{b=\"c\"}1", "bad 1: a value was expected after the series"),
    ("a {b=\"c\"} 1", "bad 1: the value is not a number"),
    (
        "a{b=\"c\" d=\"e\"} 1",
        "bad 1: `,` or `}` was expected after the label value",
    ),
    ("a{ b=\"c\"} 1", "bad 1: a label name was expected"),
    ("a 1 ", "bad 1: the timestamp is not a number"),
    ("a 1 NaN", "bad 1: the timestamp is not a number"),
    ("a 1 2 3", "bad 1: the line goes on after the value and timestamp"),
    ("a 1 # x", "bad 1: the exemplar is malformed"),
    ("a 1 # {b=\"c\"}", "bad 1: the exemplar is malformed"),
    ("a 1 # {b=c} 1", "bad 1: the exemplar is malformed"),
    (
        "a 1 # {b=\"c\"} 1 2 3",
        "bad 1: the line goes on after the value and timestamp",
    ),
    ("", "bad 1: OpenMetrics has neither comments nor empty lines"),
    ("# comment", "bad 1: OpenMetrics has neither comments nor empty lines"),
    ("# HELP a", "bad 1: a metric name was expected after HELP, TYPE or UNIT"),
    ("# TYPE a untyped", "bad 1: the metric type is not one of the format"),
    (
        "# UNIT a_seconds bytes",
        "bad 1: the unit is not the suffix of the metric's name",
    ),
    (
        "# UNIT seconds seconds",
        "bad 1: the unit is not the suffix of the metric's name",
    ),
];

#[test]
fn lines_of_the_text_format_say_what_prometheus_takes_them_for() {
    for (line, wanted) in TEXT {
        assert_eq!(told(line.as_bytes(), Format::Text).trim_end(), *wanted, "{line:?}");
    }
}

#[test]
fn a_bad_line_is_named_with_its_number_and_the_rest_is_kept() {
    for (line, reason) in TEXT_BAD {
        let mut body = b"# TYPE before gauge\nbefore 1\n".to_vec();
        body.extend_from_slice(line);
        body.extend_from_slice(b"\nafter 2\n");
        assert_eq!(
            told(&body, Format::Text),
            format!(
                "type before: Gauge\nsample 2: __name__=\"before\" = 1.0\nbad 3: {reason}\nsample 4: __name__=\"after\" = 2.0\n"
            ),
            "{:?}",
            String::from_utf8_lossy(line)
        );
    }
}

#[test]
fn lines_of_openmetrics_say_what_prometheus_takes_them_for() {
    for (line, wanted) in OPEN {
        let body = format!("{line}\n# EOF\n");
        assert_eq!(
            told(body.as_bytes(), Format::OpenMetrics).trim_end(),
            *wanted,
            "{line:?}"
        );
    }
}

#[test]
fn an_openmetrics_body_must_end_with_its_mark_and_nothing_after() {
    let judged = |body: &str| told(body.as_bytes(), Format::OpenMetrics);
    assert_eq!(judged("# EOF"), "");
    assert_eq!(judged("# EOF\n"), "");
    assert_eq!(judged(""), format!("bad 1: {}\n", Reason::NoEof));
    assert!(judged("a 1\n").ends_with(&format!("bad 2: {}\n", Reason::NoEof)));
    assert_eq!(judged("# EOF\na 1\nb 2\n"), format!("bad 2: {}\n", Reason::AfterEof));
}

#[test]
fn an_expected_series_changes_nothing_but_the_work() {
    let lines = [
        "a 1",
        "a  1",
        "a\t1 5",
        "a {b=\"c\"} 1",
        "a{b=\"c\"} 1",
        "ab 1",
        "a",
        "a x",
        "a 1 x",
        "a{b=\"c\"}1",
        "a_ 1",
        "",
    ];
    for format in [Format::Text, Format::OpenMetrics] {
        for line in lines {
            for expected in ["", "a", "a{b=\"c\"}", "b"] {
                let plain = Lines::new(line.as_bytes(), format).next();
                let told = Lines::new(line.as_bytes(), format).next_like(expected.as_bytes());
                assert_eq!(plain, told, "{line:?} expecting {expected:?}");
            }
        }
    }
}

#[test]
fn a_series_of_many_labels_is_judged_too() {
    let labels = |count: usize| -> String { (0..count).map(|at| format!("l{at}=\"v\",")).collect() };
    let body = format!("a{{{}}} 1\nb{{{}l7=\"v\"}} 1\n", labels(100), labels(100));
    let series: Vec<&[u8]> = Lines::new(body.as_bytes(), Format::Text)
        .map(|line| match line {
            Line::Sample(sample) => sample.series,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        series_labels(series[0], Format::Text).map(|labels| labels.len()),
        Ok(101)
    );
    assert_eq!(series_labels(series[1], Format::Text), Err(Reason::LabelTwice));
}
