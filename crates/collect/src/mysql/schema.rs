//! What is read of `information_schema`, and what it means. Opens nothing.

use tend_database::Answer;
use tend_exposition::{MetricType, parse_value};

use crate::families::Families;

pub(super) const COMPRESSION_SQL: &str = "SELECT page_size AS page_size, compress_ops AS compress_ops_total, \
    compress_ops_ok AS compress_ops_ok_total, compress_time AS compress_time_seconds_total, uncompress_ops AS uncompress_ops_total, \
    uncompress_time AS uncompress_time_seconds_total FROM information_schema.innodb_cmp";

/// Compression of pages.
pub(super) fn compression(answer: &Answer, out: &mut Families) {
    take(
        answer,
        "mysql_info_schema_innodb_cmp_",
        &["page_size"],
        &COMPRESSION,
        out,
    );
}

const COMPRESSION: [(&str, &str); 5] = [
    (
        "compress_ops_total",
        "Number of times a B-tree page of the size PAGE_SIZE has been compressed.",
    ),
    (
        "compress_ops_ok_total",
        "Number of times a B-tree page of the size PAGE_SIZE has been successfully compressed.",
    ),
    (
        "compress_time_seconds_total",
        "Total time in seconds spent in attempts to compress B-tree pages.",
    ),
    (
        "uncompress_ops_total",
        "Number of times a B-tree page of the size PAGE_SIZE has been uncompressed.",
    ),
    (
        "uncompress_time_seconds_total",
        "Total time in seconds spent in uncompressing B-tree pages.",
    ),
];

pub(super) const COMPRESSION_MEMORY_SQL: &str = "SELECT page_size AS page_size, buffer_pool_instance AS buffer_pool, \
    pages_used AS pages_used_total, pages_free AS pages_free_total, relocation_ops AS relocation_ops_total, \
    relocation_time AS relocation_time_seconds_total FROM information_schema.innodb_cmpmem";

/// Compressed pages in memory.
pub(super) fn compression_memory(answer: &Answer, out: &mut Families) {
    let labels = ["page_size", "buffer_pool"];
    take(
        answer,
        "mysql_info_schema_innodb_cmpmem_",
        &labels,
        &COMPRESSION_MEMORY,
        out,
    );
}

const COMPRESSION_MEMORY: [(&str, &str); 4] = [
    (
        "pages_used_total",
        "Number of blocks of the size PAGE_SIZE that are currently in use.",
    ),
    (
        "pages_free_total",
        "Number of blocks of the size PAGE_SIZE that are currently available for allocation.",
    ),
    (
        "relocation_ops_total",
        "Number of times a block of the size PAGE_SIZE has been relocated.",
    ),
    (
        "relocation_time_seconds_total",
        "Total time in seconds spent in relocating blocks.",
    ),
];

fn take(answer: &Answer, prefix: &str, labels: &[&str], columns: &[(&str, &'static str)], out: &mut Families) {
    for row in &answer.rows {
        let labels: Vec<(&str, &str)> = labels
            .iter()
            .map(|label| (*label, answer.get(row, label).unwrap_or_default()))
            .collect();
        for (column, help) in columns {
            if let Some(value) = answer.get(row, column).and_then(|text| parse_value(text.as_bytes())) {
                out.counter(format!("{prefix}{column}"), *help, &labels, value);
            }
        }
    }
}

/// How long statements took, where the plugin `query_response_time` is: all, and of Percona's server those that read and write.
pub(super) const RESPONSE_TIMES: [(&str, super::Take); 3] = [
    (
        "SELECT TIME AS time, COUNT AS count, TOTAL AS total FROM INFORMATION_SCHEMA.QUERY_RESPONSE_TIME",
        |answer, out| {
            let help = "The number of all queries by duration they took to execute.";
            histogram(answer, "mysql_info_schema_query_response_time_seconds", help, out);
        },
    ),
    (
        "SELECT TIME AS time, COUNT AS count, TOTAL AS total FROM INFORMATION_SCHEMA.QUERY_RESPONSE_TIME_READ",
        |answer, out| {
            let help = "The number of read queries by duration they took to execute.";
            histogram(answer, "mysql_info_schema_read_query_response_time_seconds", help, out);
        },
    ),
    (
        "SELECT TIME AS time, COUNT AS count, TOTAL AS total FROM INFORMATION_SCHEMA.QUERY_RESPONSE_TIME_WRITE",
        |answer, out| {
            let help = "The number of write queries by duration they took to execute.";
            histogram(answer, "mysql_info_schema_write_query_response_time_seconds", help, out);
        },
    ),
];

/// Rows of an upper bound, how many took no longer than it but longer than the one before, and how long these took in all. The last row, for
/// what took longer than any bound, has a text for its bound and its time.
fn histogram(answer: &Answer, metric: &'static str, help: &'static str, out: &mut Families) {
    let mut add = |suffix, labels: &[(&str, &str)], value| {
        out.add(MetricType::Histogram, metric.into(), help.into(), suffix, labels, value);
    };
    let (mut count, mut sum) = (0.0, 0.0);
    for row in &answer.rows {
        let get = |column| {
            answer
                .get(row, column)
                .and_then(|text| parse_value(text.trim().as_bytes()))
        };
        count += get("count").unwrap_or_default();
        sum += get("total").unwrap_or_default();
        if let Some(bound) = get("time") {
            let mut text = String::new();
            tend_exposition::write_value(&mut text, bound);
            add("_bucket", &[("le", &text)], count);
        }
    }
    if answer.rows.is_empty() {
        return;
    }
    add("_bucket", &[("le", "+Inf")], count);
    add("_sum", &[], sum);
    add("_count", &[], count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_statements_become_a_histogram() {
        let row = |cells: [&str; 3]| cells.map(|text| Some(text.to_owned())).to_vec();
        let answer = Answer {
            columns: ["time", "count", "total"].map(str::to_owned).to_vec(),
            rows: vec![
                row(["      0.000001", "2", "      0.000001"]),
                row(["     10.000000", "3", "      4.500000"]),
                row(["TOO LONG", "1", "TOO LONG"]),
            ],
        };
        let mut out = Families::new();
        histogram(&answer, "m", "H.", &mut out);
        assert_eq!(
            out.text(),
            "# HELP m H.\n# TYPE m histogram\nm_bucket{le=\"1e-06\"} 2\nm_bucket{le=\"10\"} 5\nm_bucket{le=\"+Inf\"} 6\nm_sum 4.500001\nm_count 6\n"
        );
        let mut out = Families::new();
        histogram(&Answer::default(), "m", "H.", &mut out);
        assert_eq!(out.text(), "");
    }
}
