//! Reads a file of unit tests: what `promtool` takes is taken, what it refuses is refused, with file and line.
//!
//! Owns the keys. Opens no file: the patterns of `rule_files` are resolved by who called.

use std::collections::BTreeMap;
use std::path::Path;

use tend_alert::{Keys, document};
use tend_promql::testlang::{samples, series_labels};
use tend_promql::{Labels, Timestamp};
use tend_text::{Findings, Node, Report, Shows};

/// `evaluation_interval` where the file says nothing, in milliseconds.
const INTERVAL: i64 = 60_000;

/// A file of unit tests.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseFile {
    /// Patterns of the files of rules, relative to this file.
    pub rule_files: Vec<String>,
    /// Milliseconds between evaluations.
    pub evaluation_interval: i64,
    /// Whether values that differ in the last bit are the same.
    pub fuzzy_compare: bool,
    /// Names of groups that are evaluated in this order.
    pub group_eval_order: Vec<String>,
    /// The tests, each over data of its own.
    pub tests: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its name; may be empty.
    pub name: String,
    /// The line it stands in.
    pub line: u32,
    /// Milliseconds between the samples of its series.
    pub interval: i64,
    /// When it begins, in milliseconds since 1970.
    pub start: Timestamp,
    /// Its data.
    pub series: Vec<InputSeries>,
    /// What is expected of alerts.
    pub alerts: Vec<AlertCase>,
    /// What is expected of expressions.
    pub queries: Vec<QueryCase>,
    /// Templates see them as `$externalLabels`.
    pub external_labels: BTreeMap<String, String>,
    /// Templates see it as `$externalURL`.
    pub external_url: String,
}

/// A series and its samples, an interval apart.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSeries {
    /// Its labels.
    pub labels: Labels,
    /// A value or none for each position.
    pub samples: Vec<Option<f64>>,
}

/// What is expected of the alerts of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertCase {
    /// The line it stands in.
    pub line: u32,
    /// Milliseconds since the start.
    pub eval_time: i64,
    /// The name.
    pub alertname: String,
    /// All that fire, in any order.
    pub expected: Vec<ExpectedAlert>,
}

/// An alert that is to fire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedAlert {
    /// Its labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// Its texts.
    pub annotations: BTreeMap<String, String>,
}

/// What is expected of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryCase {
    /// The line it stands in.
    pub line: u32,
    /// The expression.
    pub expression: String,
    /// Milliseconds since the start.
    pub eval_time: i64,
    /// All samples, in any order.
    pub expected: Vec<(Labels, f64)>,
}

impl CaseFile {
    /// Reads a file of unit tests. `file` is how messages call it.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line.
    pub fn read(file: &Path, text: &str) -> Result<Self, Report> {
        document(file, text, Shows::Lines, whole).map(|(file, _)| file)
    }
}

fn whole(findings: &mut Findings, root: &Node) -> Option<CaseFile> {
    let mut keys = Keys::of(root, "a file of unit tests", findings)?;
    let plain = |texts: Option<Vec<(String, tend_text::Place)>>| -> Vec<String> {
        texts.unwrap_or_default().into_iter().map(|(text, _)| text).collect()
    };
    let rule_files = plain(keys.texts("rule_files", findings));
    let interval = keys.duration("evaluation_interval", findings).map(|(millis, _)| millis);
    let evaluation_interval = interval.filter(|millis| *millis > 0).unwrap_or(INTERVAL);
    let fuzzy_compare = keys.switch("fuzzy_compare", findings).unwrap_or(false);
    let order = keys.texts("group_eval_order", findings).unwrap_or_default();
    for (at, (name, place)) in order.iter().enumerate() {
        if let Some((_, first)) = order[..at].iter().find(|(known, _)| known == name) {
            findings
                .error(*place, format!("group name repeated in evaluation order: {name}"))
                .also(*first, "first here");
        }
    }
    let tests = keys
        .items("tests", findings)
        .iter()
        .filter_map(|node| case(findings, node, evaluation_interval))
        .collect();
    keys.finish(findings);
    Some(CaseFile {
        rule_files,
        evaluation_interval,
        fuzzy_compare,
        group_eval_order: plain(Some(order)),
        tests,
    })
}

fn case(findings: &mut Findings, node: &Node, evaluation_interval: i64) -> Option<Case> {
    let mut keys = Keys::of(node, "a test", findings)?;
    let name = keys.text("name", findings).map(|(name, _)| name).unwrap_or_default();
    let interval = keys.duration("interval", findings).map(|(millis, _)| millis);
    let start = keys.text("start_timestamp", findings).map(|(text, place)| {
        moment(&text).unwrap_or_else(|| {
            findings
                .error(place, format!("`start_timestamp: {text}` is not a moment"))
                .help("write seconds since 1970, or a time such as 2026-01-31T12:00:00Z");
            0
        })
    });
    let series = keys
        .items("input_series", findings)
        .iter()
        .filter_map(|node| input(findings, node))
        .collect();
    let alerts = keys
        .items("alert_rule_test", findings)
        .iter()
        .filter_map(|node| alert(findings, node))
        .collect();
    let queries = keys
        .items("promql_expr_test", findings)
        .iter()
        .filter_map(|node| query(findings, node))
        .collect();
    let external_labels = texts(keys.texts_by_name("external_labels", findings));
    let external_url = keys.text("external_url", findings).map(|(url, _)| url);
    let line = keys.place.line;
    keys.finish(findings);
    Some(Case {
        name,
        line,
        interval: interval.filter(|millis| *millis > 0).unwrap_or(evaluation_interval),
        start: start.unwrap_or(0),
        series,
        alerts,
        queries,
        external_labels,
        external_url: external_url.unwrap_or_default(),
    })
}

fn texts(all: BTreeMap<String, (String, tend_text::Place)>) -> BTreeMap<String, String> {
    all.into_iter().map(|(name, (text, _))| (name, text)).collect()
}

fn input(findings: &mut Findings, node: &Node) -> Option<InputSeries> {
    let mut keys = Keys::of(node, "a series", findings)?;
    let series = keys.text("series", findings);
    let values = keys.text("values", findings);
    let place = keys.place;
    keys.finish(findings);
    let Some((series, at)) = series else {
        findings
            .error(place, "a series has no name")
            .help("write `series:` and, for example, up{job=\"a\"}");
        return None;
    };
    let labels = match series_labels(&series) {
        Ok(labels) => labels,
        Err(error) => {
            findings.error(at, format!("this is not a series: {error}"));
            return None;
        }
    };
    let (values, at) = values.unwrap_or_else(|| (String::new(), place));
    match samples(&values) {
        Ok(samples) => Some(InputSeries { labels, samples }),
        Err(error) => {
            findings
                .error(at, error)
                .help("write values with spaces between them, such as `1 2 _ 4+1x10 stale`");
            None
        }
    }
}

fn alert(findings: &mut Findings, node: &Node) -> Option<AlertCase> {
    let mut keys = Keys::of(node, "a test of alerts", findings)?;
    let eval_time = keys.duration("eval_time", findings).map_or(0, |(millis, _)| millis);
    let name = keys.text("alertname", findings).map(|(name, _)| name);
    let items = keys.items("exp_alerts", findings);
    let place = keys.place;
    keys.finish(findings);
    let Some(alertname) = name.filter(|name| !name.is_empty()) else {
        findings
            .error(
                place,
                "an item under alert_rule_test misses required attribute alertname",
            )
            .help("write `alertname:` and the name of the alert");
        return None;
    };
    let expected = items
        .iter()
        .filter_map(|node| {
            let mut keys = Keys::of(node, "an alert", findings)?;
            let mut labels = texts(keys.texts_by_name("exp_labels", findings));
            let annotations = texts(keys.texts_by_name("exp_annotations", findings));
            keys.finish(findings);
            labels.insert("alertname".to_owned(), alertname.clone());
            Some(ExpectedAlert { labels, annotations })
        })
        .collect();
    Some(AlertCase {
        line: place.line,
        eval_time,
        alertname,
        expected,
    })
}

fn query(findings: &mut Findings, node: &Node) -> Option<QueryCase> {
    let mut keys = Keys::of(node, "a test of an expression", findings)?;
    let expression = keys.text("expr", findings).map(|(text, _)| text).unwrap_or_default();
    let eval_time = keys.duration("eval_time", findings).map_or(0, |(millis, _)| millis);
    let items = keys.items("exp_samples", findings);
    let line = keys.place.line;
    keys.finish(findings);
    let expected = items.iter().filter_map(|node| sample(findings, node)).collect();
    Some(QueryCase {
        line,
        expression,
        eval_time,
        expected,
    })
}

fn sample(findings: &mut Findings, node: &Node) -> Option<(Labels, f64)> {
    let mut keys = Keys::of(node, "a sample", findings)?;
    let labels = keys.text("labels", findings);
    let value = keys.text("value", findings);
    if let Some(node) = keys.node("histogram") {
        findings.error(node.place, "native histograms are not known here");
    }
    keys.finish(findings);
    let labels = match labels {
        Some((text, at)) if !text.trim().is_empty() => match series_labels(&text) {
            Ok(labels) => labels,
            Err(error) => {
                findings.error(at, format!("these are not labels: {error}"));
                return None;
            }
        },
        _ => Labels::EMPTY,
    };
    let value = match value {
        Some((text, at)) => match number(&text) {
            Some(value) => value,
            None => {
                findings
                    .error(at, format!("`value: {text}` is not a number"))
                    .help("write 1.5, 1e3, .inf, -.inf or .nan");
                return None;
            }
        },
        None => 0.0,
    };
    Some((labels, value))
}

/// A number as YAML writes it.
fn number(text: &str) -> Option<f64> {
    match text {
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        ".inf" | "+.inf" | ".Inf" | "+.Inf" | ".INF" | "+.INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        // `inf` and `nan`, which Rust reads, are texts in YAML.
        other => {
            let digits = other.bytes().any(|byte| byte.is_ascii_digit());
            if let Some(hex) = other.strip_prefix("0x") {
                #[allow(clippy::cast_precision_loss, reason = "YAML's number becomes a float too")]
                return i64::from_str_radix(hex, 16).ok().map(|number| number as f64);
            }
            other.replace('_', "").parse().ok().filter(|_| digits)
        }
    }
}

/// A moment as seconds since 1970, or as RFC 3339; milliseconds.
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000);
    }
    let digits = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let is = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|byte| wanted.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let padded = format!("{:0<3}", &fraction[..count.min(3)]);
        millis = padded.parse::<i64>().ok().filter(|_| count > 0)?;
        rest = &fraction[count..];
    }
    let offset = match rest {
        "Z" | "z" => 0,
        zone => {
            let sign = match zone.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            if hours.len() != 2 || minutes.len() != 2 {
                return None;
            }
            sign * (hours.parse::<u8>().map(i64::from).ok()? * 60 + minutes.parse::<u8>().map(i64::from).ok()?)
        }
    };
    // Days since 1970, counting years from March so that the leap day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    Some((((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("1609459200", Some(1_609_459_200_000)),
            ("2021-01-01T00:00:00Z", Some(1_609_459_200_000)),
            ("2021-01-01T02:00:00.5+02:00", Some(1_609_459_200_500)),
            ("2024-02-29T12:30:15Z", Some(1_709_209_815_000)),
            ("1969-12-31T23:59:59Z", Some(-1000)),
            ("2023-02-29T12:30:15Z", None),
            ("2021-01-01", None),
            ("2021-01-01T00:00:00", None),
            ("soon", None),
            ("2021-01-01T00:00:00.Z", None),
            ("2021-13-01T00:00:00Z", None),
        ] {
            assert_eq!(moment(text), wanted, "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_yaml() {
        assert_eq!(number("1e3"), Some(1000.0));
        assert_eq!(number("0x10"), Some(16.0));
        assert_eq!(number("-.inf"), Some(f64::NEG_INFINITY));
        assert!(number(".nan").is_some_and(f64::is_nan));
        for wrong in ["inf", "nan", "", "1s", "up"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }
}
