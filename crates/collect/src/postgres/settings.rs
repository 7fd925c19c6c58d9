//! The server's settings in base units: `shared_buffers`, 16384 of 8 kB, is `pg_settings_shared_buffers_bytes`. Opens nothing.

use tend_database::Answer;

use super::columns::value;
use crate::families::Families;

/// Settings with a number or a truth in them. Their units are those of `pg_settings`.
pub(super) const SQL: &str = "SELECT name, setting, COALESCE(unit, '') AS unit, short_desc, vartype FROM pg_settings \
    WHERE vartype IN ('bool', 'integer', 'real') AND name <> 'sync_commit_cancel_wait'";

/// Takes all settings. One in a unit that is not known is left out: a wrong number would be worse.
pub(super) fn take(answer: &Answer, out: &mut Families) {
    for row in &answer.rows {
        let get = |column| answer.get(row, column).unwrap_or_default();
        let mut name = format!("pg_settings_{}", get("name").replace('.', "_"));
        let mut help = get("short_desc").to_owned();
        let number = if get("vartype") == "bool" {
            f64::from(u8::from(get("setting") == "on"))
        } else {
            let (Some(number), Some((factor, unit))) = (value(Some(get("setting"))), unit(get("unit"))) else {
                continue;
            };
            if !unit.is_empty() {
                name = format!("{name}_{unit}");
                help = format!("{help} [Units converted to {unit}.]");
            }
            // -1 means off, whatever the unit.
            if number == -1.0 { number } else { number * factor }
        };
        out.gauge(name, help, &[], number);
    }
}

/// Returns what a unit is of the base unit, and that one's name.
fn unit(unit: &str) -> Option<(f64, &'static str)> {
    let seconds = |factor| Some((factor, "seconds"));
    match unit {
        "" => return Some((1.0, "")),
        "ms" => return seconds(0.001),
        "s" => return seconds(1.0),
        "min" => return seconds(60.0),
        "h" => return seconds(3_600.0),
        "d" => return seconds(86_400.0),
        _ => {}
    }
    // `8kB` is a block: pages and segments have units of their own size.
    let digits = unit.len() - unit.trim_start_matches(|byte: char| byte.is_ascii_digit()).len();
    let (count, unit) = unit.split_at(digits);
    let count: f64 = if count.is_empty() { 1.0 } else { count.parse().ok()? };
    let power = ["B", "kB", "MB", "GB", "TB"].iter().position(|known| *known == unit)?;
    Some((count * 1024_f64.powi(i32::try_from(power).ok()?), "bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_converted_and_minus_one_is_not() {
        let row = |name: &str, setting: &str, unit: &str, kind: &str| {
            [name, setting, unit, "Does it.", kind]
                .map(|text| Some(text.to_owned()))
                .to_vec()
        };
        let answer = Answer {
            columns: ["name", "setting", "unit", "short_desc", "vartype"]
                .map(str::to_owned)
                .to_vec(),
            rows: vec![
                row("shared_buffers", "16384", "8kB", "integer"),
                row("wal_segment_size", "1", "16MB", "integer"),
                row("log_rotation_age", "2", "min", "integer"),
                row("vacuum_cost_delay", "20", "ms", "real"),
                row("log_min_duration_statement", "-1", "ms", "integer"),
                row("max_connections", "100", "", "integer"),
                row("fsync", "on", "", "bool"),
                row("plpgsql.check", "off", "", "bool"),
                row("strange", "3", "parsec", "integer"),
            ],
        };
        let mut out = Families::new();
        take(&answer, &mut out);
        let text = out.text();
        for line in [
            "# HELP pg_settings_shared_buffers_bytes Does it. [Units converted to bytes.]\n# TYPE pg_settings_shared_buffers_bytes gauge\npg_settings_shared_buffers_bytes 1.34217728e+08\n",
            "\npg_settings_wal_segment_size_bytes 1.6777216e+07\n",
            "\npg_settings_log_rotation_age_seconds 120\n",
            "\npg_settings_vacuum_cost_delay_seconds 0.02\n",
            "\npg_settings_log_min_duration_statement_seconds -1\n",
            "\npg_settings_max_connections 100\n",
            "\npg_settings_fsync 1\n",
            "\npg_settings_plpgsql_check 0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(!text.contains("strange"));
    }
}
