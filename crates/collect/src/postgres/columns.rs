//! How the columns of an answer become samples. Opens nothing, and knows no statement.

use tend_database::Answer;
use tend_exposition::{MetricType, parse_value};

use crate::families::Families;

/// What a statement's columns are.
#[derive(Debug)]
pub(super) struct View {
    /// What stands before each column in the name of its metric.
    pub(super) prefix: &'static str,
    /// The columns that are labels.
    pub(super) labels: &'static [&'static str],
    /// The columns that are known: name, type, help.
    pub(super) columns: &'static [(&'static str, MetricType, &'static str)],
    /// Whether columns that are not known are given without a type, as the exporter gives those of a newer server.
    pub(super) others: bool,
}

/// Takes all rows. NULL is NaN; what is neither number nor truth is left out.
pub(super) fn take(view: &View, answer: &Answer, out: &mut Families) {
    for row in &answer.rows {
        let labels: Vec<(&str, &str)> = view
            .labels
            .iter()
            .map(|label| (*label, answer.get(row, label).unwrap_or_default()))
            .collect();
        for (index, column) in answer.columns.iter().enumerate() {
            // Of two columns with one name the last is meant.
            let is_last = answer.columns.iter().rposition(|other| other == column) == Some(index);
            if !is_last || view.labels.contains(&column.as_str()) {
                continue;
            }
            let Some(value) = value(row[index].as_deref()) else {
                continue;
            };
            let name = format!("{}{column}", view.prefix).into();
            match view.columns.iter().find(|(known, ..)| known == column) {
                Some((_, metric_type, help)) => out.add(*metric_type, name, (*help).into(), "", &labels, value),
                None if view.others => {
                    let help = format!("Unknown metric from {}", view.prefix.trim_end_matches('_'));
                    out.untyped(name, help, &labels, value);
                }
                None => {}
            }
        }
    }
}

/// Returns what a value is as a number.
pub(super) fn value(text: Option<&str>) -> Option<f64> {
    match text {
        None => Some(f64::NAN),
        Some("t") => Some(1.0),
        Some("f") => Some(0.0),
        Some(text) => parse_value(text.as_bytes()),
    }
}

/// Tells the version, and returns its number: 150018 for 15.18.
pub(super) fn version(answer: &Answer, out: &mut Families) -> u32 {
    let row = answer.rows.first().map(Vec::as_slice).unwrap_or_default();
    let number: u32 = answer
        .get(row, "current_setting")
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let labels = [
        ("version", answer.get(row, "version").unwrap_or_default()),
        ("short_version", &format!("{}.{}.0", number / 10_000, number % 10_000)),
    ];
    out.untyped("pg_static", "Version string as reported by postgres", &labels, 1.0);
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[&str], rows: &[&[Option<&str>]]) -> Answer {
        let text = |text: &&str| (*text).to_owned();
        Answer {
            columns: columns.iter().map(text).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(|value| value.as_ref().map(text)).collect())
                .collect(),
        }
    }

    #[test]
    fn columns_become_metrics_by_their_names() {
        let view = View {
            prefix: "pg_v_",
            labels: &["datname"],
            columns: &[("n", MetricType::Counter, "N."), ("reset", MetricType::Counter, "R.")],
            others: true,
        };
        let answer = answer(
            &["datname", "reset", "n", "new", "text", "reset"],
            &[
                &[
                    Some("a"),
                    Some("2026-11-22"),
                    Some("7"),
                    Some("t"),
                    Some("x"),
                    Some("12.5"),
                ],
                &[None, Some("2026-11-22"), None, Some("f"), None, Some("3")],
            ],
        );
        let mut out = Families::new();
        take(&view, &answer, &mut out);
        assert_eq!(
            out.text(),
            "# HELP pg_v_n N.\n# TYPE pg_v_n counter\npg_v_n{datname=\"a\"} 7\npg_v_n{datname=\"\"} NaN\n\
             # HELP pg_v_new Unknown metric from pg_v\n# TYPE pg_v_new untyped\npg_v_new{datname=\"a\"} 1\npg_v_new{datname=\"\"} 0\n\
             # HELP pg_v_reset R.\n# TYPE pg_v_reset counter\npg_v_reset{datname=\"a\"} 12.5\npg_v_reset{datname=\"\"} 3\n\
             # HELP pg_v_text Unknown metric from pg_v\n# TYPE pg_v_text untyped\npg_v_text{datname=\"\"} NaN\n"
        );
        let mut out = Families::new();
        take(&View { others: false, ..view }, &answer, &mut out);
        assert!(!out.text().contains("pg_v_new"));
    }

    #[test]
    fn a_version_is_told_in_short() {
        let mut out = Families::new();
        let told = answer(
            &["version", "current_setting"],
            &[&[Some("PostgreSQL 17.2 (Debian)"), Some("170002")]],
        );
        assert_eq!(version(&told, &mut out), 170_002);
        assert!(
            out.text()
                .ends_with("pg_static{version=\"PostgreSQL 17.2 (Debian)\",short_version=\"17.2.0\"} 1\n")
        );
    }
}
