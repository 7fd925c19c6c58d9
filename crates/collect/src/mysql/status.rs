//! What `SHOW GLOBAL STATUS`, `SHOW GLOBAL VARIABLES` and the state of replication mean. Opens nothing.

use tend_database::Answer;
use tend_exposition::parse_value;

use crate::families::Families;

/// Rows of a name and a value.
fn pairs(answer: &Answer) -> impl Iterator<Item = (String, &str)> {
    answer.rows.iter().filter_map(|row| match row.as_slice() {
        [Some(name), Some(value), ..] => Some((metric_name(name), value.as_str())),
        _ => None,
    })
}

fn metric_name(name: &str) -> String {
    let plain = |one: char| {
        if one.is_ascii_alphanumeric() {
            one.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}

/// `SHOW GLOBAL STATUS`: most under their names, some as labels of one metric.
pub(super) fn status(answer: &Answer, out: &mut Families) {
    let mut texts = [
        ("wsrep_local_state_uuid", ""),
        ("wsrep_cluster_state_uuid", ""),
        ("wsrep_provider_version", ""),
    ];
    for (name, text) in pairs(answer) {
        if let Some(value) = value(text) {
            status_value(&name, value, out);
        } else if let Some(known) = texts.iter_mut().find(|(known, _)| *known == name) {
            known.1 = text;
        }
    }
    if !texts[0].1.is_empty() {
        out.gauge(
            "mysql_galera_status_info",
            "PXC/Galera status information.",
            &texts,
            1.0,
        );
    }
}

fn status_value(name: &str, value: f64, out: &mut Families) {
    const POOL: &str = "innodb_buffer_pool_pages_";
    if let Some(state) = name.strip_prefix(POOL) {
        match state {
            "data" | "free" | "misc" | "old" => out.gauge(
                "mysql_global_status_buffer_pool_pages",
                "Innodb buffer pool pages by state.",
                &[("state", state)],
                value,
            ),
            "dirty" => out.gauge(
                "mysql_global_status_buffer_pool_dirty_pages",
                "Innodb buffer pool dirty pages.",
                &[],
                value,
            ),
            // The sum of the others.
            "total" => {}
            _ => out.counter(
                "mysql_global_status_buffer_pool_page_changes_total",
                "Innodb buffer pool page state changes.",
                &[("operation", state)],
                value,
            ),
        }
        return;
    }
    for (begin, metric, help, label) in [
        (
            "com_",
            "mysql_global_status_commands_total",
            "Total number of executed MySQL commands.",
            "command",
        ),
        (
            "handler_",
            "mysql_global_status_handlers_total",
            "Total number of executed MySQL handlers.",
            "handler",
        ),
        (
            "connection_errors_",
            "mysql_global_status_connection_errors_total",
            "Total number of MySQL connection errors.",
            "error",
        ),
        (
            "innodb_rows_",
            "mysql_global_status_innodb_row_ops_total",
            "Total number of MySQL InnoDB row operations.",
            "operation",
        ),
        (
            "performance_schema_",
            "mysql_global_status_performance_schema_lost_total",
            "Total number of MySQL instrumentations that could not be loaded or created due to memory constraints.",
            "instrumentation",
        ),
    ] {
        if let Some(rest) = name.strip_prefix(begin) {
            out.counter(metric, help, &[(label, rest)], value);
            return;
        }
    }
    let metric = format!("mysql_global_status_{name}");
    out.untyped(metric, "Generic metric from SHOW GLOBAL STATUS.", &[], value);
}

/// `SHOW GLOBAL VARIABLES`: those with a number or a truth in them, and what is told of the server by labels.
pub(super) fn variables(answer: &Answer, out: &mut Families) {
    let mut texts = std::collections::BTreeMap::new();
    for (name, text) in pairs(answer) {
        if let Some(value) = value(text) {
            let metric = format!("mysql_global_variables_{name}");
            out.gauge(metric, "Generic gauge metric from SHOW GLOBAL VARIABLES.", &[], value);
        } else {
            texts.insert(name, text);
        }
    }
    let get = |name: &str| texts.get(name).copied().unwrap_or_default();
    out.gauge(
        "mysql_version_info",
        "MySQL version and distribution.",
        &[
            ("innodb_version", get("innodb_version")),
            ("version", get("version")),
            ("version_comment", get("version_comment")),
        ],
        1.0,
    );
    let cluster = get("wsrep_cluster_name");
    if !cluster.is_empty() {
        let labels = [("wsrep_cluster_name", cluster)];
        out.gauge(
            "mysql_galera_variables_info",
            "PXC/Galera variables information.",
            &labels,
            1.0,
        );
    }
    let options = get("wsrep_provider_options");
    if !options.is_empty() {
        let bytes = galera_cache_bytes(options).unwrap_or_default();
        out.gauge("mysql_galera_gcache_size_bytes", "PXC/Galera gcache size.", &[], bytes);
    }
    // MySQL and newer MariaDB; then older MariaDB.
    let level = ["transaction_isolation", "tx_isolation"]
        .map(get)
        .into_iter()
        .find(|level| !level.is_empty());
    if let Some(level) = level {
        let labels = [("level", level)];
        out.gauge(
            "mysql_transaction_isolation",
            "MySQL transaction isolation.",
            &labels,
            1.0,
        );
    }
}

/// `gcache.size = 128M;`
fn galera_cache_bytes(options: &str) -> Option<f64> {
    let (_, rest) = options.split_once("gcache.size = ")?;
    let (size, _) = rest.split_once(';')?;
    let digits = size.trim_end_matches(['M', 'G']);
    let factor = match size.strip_prefix(digits)? {
        "" => 1.0,
        "M" => 1_048_576.0,
        "G" => 1_073_741_824.0,
        _ => return None,
    };
    Some(digits.parse::<f64>().ok()? * factor)
}

/// Returns what asks a server of this version about its replication.
pub(super) fn replication_sql(version: &str) -> &'static str {
    if version.contains("MariaDB") {
        return "SHOW ALL SLAVES STATUS";
    }
    let mut numbers = version
        .split(|one: char| !one.is_ascii_digit())
        .map(|digits| digits.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0_u32);
    if (next(), next(), next()) >= (8, 0, 22) {
        "SHOW REPLICA STATUS"
    } else {
        "SHOW SLAVE STATUS"
    }
}

/// The state of replication: a row for each channel. MySQL's new words are told as the old ones, which rules are written with.
pub(super) fn replication(answer: &Answer, out: &mut Families) {
    let columns: Vec<String> = answer
        .columns
        .iter()
        .map(|column| old_word(&column.to_ascii_lowercase()))
        .collect();
    for row in &answer.rows {
        let get = |name: &str| {
            let index = columns.iter().position(|column| column == name);
            index.and_then(|index| row[index].as_deref()).unwrap_or_default()
        };
        let labels = [
            ("master_host", get("master_host")),
            ("master_uuid", get("master_uuid")),
            ("channel_name", get("channel_name")),
            ("connection_name", get("connection_name")),
        ];
        for (column, text) in columns.iter().zip(row) {
            if let Some(value) = text.as_deref().and_then(value) {
                let metric = format!("mysql_slave_status_{column}");
                out.untyped(metric, "Generic metric from SHOW SLAVE STATUS.", &labels, value);
            }
        }
    }
}

fn old_word(column: &str) -> String {
    if column.starts_with("replicate_") {
        return column.to_owned();
    }
    column.replace("replica", "slave").replace("source", "master")
}

/// Returns what a value is as a number, by the exporter's rules: words of truth and of state, two forms of time, numbers.
fn value(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "primary" => Some(1.0),
        // `Connecting` is a replica that does not run.
        "no" | "off" | "disabled" | "connecting" | "non-primary" | "disconnected" => Some(0.0),
        _ => parse_value(text.as_bytes()).or_else(|| seconds(text)),
    }
}

/// `2026-11-22 07:16:31`, and `Nov 22 07:16:31 2026 GMT` as of certificates, as seconds since 1970.
fn seconds(text: &str) -> Option<f64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (year, month, day, time) = match words.as_slice() {
        [date, time] => {
            let mut parts = date.splitn(3, '-');
            let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
            (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?, time)
        }
        [month, day, time, year, "GMT" | "UTC"] => {
            let month = MONTHS.iter().position(|name| name == month)? + 1;
            (year.parse().ok()?, i64::try_from(month).ok()?, day.parse().ok()?, time)
        }
        _ => return None,
    };
    let parts: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = parts.as_slice() else {
        return None;
    };
    let (hour, minute, second): (i64, i64, i64) = (hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?);
    let valid = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let valid = valid && (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    valid.then(|| (days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second) as f64)
}

/// Days from 1970-01-01, counted in years that begin in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[&str], rows: &[&[&str]]) -> Answer {
        let some = |text: &&str| (*text != "NULL").then(|| (*text).to_owned());
        Answer {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: rows.iter().map(|row| row.iter().map(some).collect()).collect(),
        }
    }

    #[test]
    fn status_is_told_by_name_and_by_label() {
        let mut out = Families::new();
        let rows: &[&[&str]] = &[
            &["Slow_queries", "3"],
            &["Com_select", "12"],
            &["Innodb_buffer_pool_pages_data", "5"],
            &["Innodb_buffer_pool_pages_dirty", "2"],
            &["Innodb_buffer_pool_pages_flushed", "9"],
            &["Innodb_buffer_pool_pages_total", "99"],
            &["wsrep_ready", "OFF"],
            &["wsrep_local_state_uuid", "u-1"],
            &["wsrep.odd-name", "1"],
            &["Ssl_server_not_after", "Nov 22 07:16:31 2026 GMT"],
            &["Rpl_status", "AUTH_MASTER"],
        ];
        status(&answer(&["Variable_name", "Value"], rows), &mut out);
        let text = out.text();
        for line in [
            "# TYPE mysql_global_status_slow_queries untyped\nmysql_global_status_slow_queries 3\n",
            "mysql_global_status_commands_total{command=\"select\"} 12\n",
            "mysql_global_status_buffer_pool_pages{state=\"data\"} 5\n",
            "mysql_global_status_buffer_pool_dirty_pages 2\n",
            "mysql_global_status_buffer_pool_page_changes_total{operation=\"flushed\"} 9\n",
            "mysql_global_status_wsrep_ready 0\n",
            "mysql_global_status_wsrep_odd_name 1\n",
            "mysql_global_status_ssl_server_not_after 1.795331791e+09\n",
            "mysql_galera_status_info{wsrep_local_state_uuid=\"u-1\",wsrep_cluster_state_uuid=\"\",wsrep_provider_version=\"\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(!text.contains("99") && !text.contains("rpl_status"), "{text}");
    }

    #[test]
    fn replication_is_told_in_the_old_words_whatever_the_server_says() {
        for columns in [
            [
                "Master_Host",
                "Channel_Name",
                "Slave_IO_Running",
                "Seconds_Behind_Master",
                "Replicate_Do_DB",
            ],
            [
                "Source_Host",
                "Channel_Name",
                "Replica_IO_Running",
                "Seconds_Behind_Source",
                "Replicate_Do_DB",
            ],
        ] {
            let mut out = Families::new();
            replication(
                &answer(
                    &columns,
                    &[&["db1", "", "Connecting", "17", ""], &["db2", "b", "Yes", "NULL", ""]],
                ),
                &mut out,
            );
            let labels = |host, channel| {
                format!("master_host=\"{host}\",master_uuid=\"\",channel_name=\"{channel}\",connection_name=\"\"")
            };
            let text = out.text();
            for (metric, labels, value) in [
                ("slave_io_running", labels("db1", ""), "0"),
                ("slave_io_running", labels("db2", "b"), "1"),
                ("seconds_behind_master", labels("db1", ""), "17"),
            ] {
                let line = format!("mysql_slave_status_{metric}{{{labels}}} {value}\n");
                assert!(text.contains(&line), "{line}{text}");
            }
            assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 3, "{text}");
        }
        for (version, sql) in [
            ("10.11.19-MariaDB-0+deb12u1", "SHOW ALL SLAVES STATUS"),
            ("5.7.44-log", "SHOW SLAVE STATUS"),
            ("8.0.21", "SHOW SLAVE STATUS"),
            ("8.0.22-0ubuntu0", "SHOW REPLICA STATUS"),
            ("8.4.3", "SHOW REPLICA STATUS"),
        ] {
            assert_eq!(replication_sql(version), sql, "{version}");
        }
    }

    #[test]
    fn values_are_read_as_the_exporter_reads_them() {
        for (text, expected) in [
            ("ON", Some(1.0)),
            ("Disabled", Some(0.0)),
            ("non-Primary", Some(0.0)),
            ("18446744073709551615", Some(18_446_744_073_709_551_615.0)),
            ("0.05", Some(0.05)),
            ("1970-01-01 00:00:01", Some(1.0)),
            ("2024-02-29 12:00:00", Some(1_709_208_000.0)),
            ("0000-00-00 00:00:00", None),
            ("2024-02-29", None),
            ("mysql-bin.000001", None),
            ("10.11.19-MariaDB", None),
            ("", None),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        assert_eq!(
            galera_cache_bytes("base_dir = /x; gcache.size = 128M; gcs.y = 1;"),
            Some(134_217_728.0)
        );
        assert_eq!(galera_cache_bytes("base_dir = /x;"), None);
    }
}
