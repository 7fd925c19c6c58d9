//! What INFO says, as metrics. Opens nothing.

use std::collections::BTreeMap;

use tend_exposition::{MetricType, parse_value};

use super::names::{COUNTERS, GAUGES};
use crate::families::Families;

/// Databases where the server does not say how many: Redis' default.
pub(super) const DATABASES: u32 = 16;

/// Takes INFO's text; `databases` of them have their keys told even when there are none, `now` is in seconds since 1970.
pub(super) fn info(text: &str, databases: u32, now: f64, out: &mut Families) {
    let mut section = "";
    let mut fields = BTreeMap::new();
    let mut master = (String::new(), String::new());
    let mut commands = BTreeMap::new();
    let mut latencies = BTreeMap::new();
    let mut told = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("# ") {
            section = name;
            continue;
        }
        let Some((field, value)) = line.split_once(':') else {
            continue;
        };
        fields.insert(field, value);
        match field {
            "master_host" => value.clone_into(&mut master.0),
            "master_port" => value.clone_into(&mut master.1),
            _ => {}
        }
        match section {
            "Replication" if replication(field, value, (&master.0, &master.1), out) => continue,
            "Server" if field == "uptime_in_seconds" => {
                if let Some(uptime) = number(value) {
                    let help = "Start time of the Redis instance since unix epoch in seconds.";
                    out.gauge("redis_start_time_seconds", help, &[], now.floor() - uptime);
                }
            }
            "Commandstats" => {
                if let Some(command) = field.strip_prefix("cmdstat_")
                    && let Some(calls) = command_calls(command, value, out)
                {
                    commands.insert(command, calls);
                }
                continue;
            }
            "Latencystats" => {
                if let Some(command) = field.strip_prefix("latency_percentiles_usec_") {
                    latencies.insert(command, value);
                }
                continue;
            }
            "Errorstats" => {
                if let (Some(error), Some(count)) = (field.strip_prefix("errorstat_"), pair(value, "count")) {
                    let help = "Total number of errors per error type";
                    out.counter("redis_errors_total", help, &[("err", error)], count);
                }
                continue;
            }
            "Keyspace" if keyspace(field, value, out) => {
                told.push(field);
                continue;
            }
            _ => {}
        }
        plain(field, value, out);
    }
    for (command, quantiles) in latencies {
        if let Some((calls, microseconds)) = commands.get(command) {
            latency(command, quantiles, *calls, *microseconds, out);
        }
    }
    for database in (0..databases).map(|number| format!("db{number}")) {
        if !told.contains(&database.as_str()) {
            keys(&database, 0.0, 0.0, out);
        }
    }
    instance(&fields, out);
}

fn number(text: &str) -> Option<f64> {
    parse_value(text.as_bytes())
}

/// Returns the value of `name` in `a=1,b=2`.
fn pair(pairs: &str, name: &str) -> Option<f64> {
    number(word(pairs, name)?)
}

fn word<'a>(pairs: &'a str, name: &str) -> Option<&'a str> {
    pairs
        .split(',')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// A field that is a metric by itself.
pub(super) fn plain(field: &str, value: &str, out: &mut Families) {
    let find =
        |table: &'static [(&str, &'static str)]| table.iter().find(|(known, _)| *known == field).map(|(_, name)| *name);
    let (metric_type, name) = if let Some(name) = find(&GAUGES) {
        (MetricType::Gauge, name)
    } else if let Some(name) = find(&COUNTERS) {
        (MetricType::Counter, name)
    } else if field.starts_with("cluster_") {
        (MetricType::Gauge, field)
    } else {
        return;
    };
    let mut name = name.to_owned();
    let mut value = match value {
        "ok" | "true" => 1.0,
        "err" | "fail" | "false" => 0.0,
        text => number(text).unwrap_or_default(),
    };
    if name == "latest_fork_usec" {
        "latest_fork_seconds".clone_into(&mut name);
        value /= 1e6;
    }
    let help = format!("{name} metric").into();
    out.add(metric_type, format!("redis_{name}").into(), help, "", &[], value);
}

/// Fields of replication that have labels; returns whether it was one.
fn replication(field: &str, value: &str, (host, port): (&str, &str), out: &mut Families) -> bool {
    let labels = [("master_host", host), ("master_port", port)];
    let whole = || value.parse::<i64>().unwrap_or_default() as f64;
    match field {
        "master_link_status" => {
            let up = f64::from(u8::from(value == "up"));
            out.gauge("redis_master_link_up", "Master link status on Redis slave", &labels, up);
        }
        "master_last_io_seconds_ago" => {
            out.gauge(
                "redis_master_last_io_seconds_ago",
                "Master last io seconds ago",
                &labels,
                whole(),
            );
        }
        "master_sync_in_progress" => {
            out.gauge(
                "redis_master_sync_in_progress",
                "Master sync in progress",
                &labels,
                whole(),
            );
        }
        "slave_repl_offset" => {
            out.gauge("redis_slave_repl_offset", "Slave replication offset", &labels, whole());
        }
        // slave0:ip=10.0.0.2,port=6379,state=online,offset=17,lag=0
        _ if field
            .strip_prefix("slave")
            .is_some_and(|rest| rest.starts_with(|one: char| one.is_ascii_digit())) =>
        {
            let Some(offset) = pair(value, "offset") else {
                return false;
            };
            let text = |name| word(value, name).unwrap_or_default();
            let labels = [
                ("slave_ip", text("ip")),
                ("slave_port", text("port")),
                ("slave_state", text("state")),
            ];
            let help = "Offset of connected slave";
            out.gauge("redis_connected_slave_offset_bytes", help, &labels, offset);
            if let Some(lag) = pair(value, "lag").filter(|lag| *lag > -1.0) {
                out.gauge(
                    "redis_connected_slave_lag_seconds",
                    "Lag of connected slave",
                    &labels,
                    lag,
                );
            }
        }
        _ => return false,
    }
    true
}

/// `calls=21,usec=175,usec_per_call=8.33,rejected_calls=0,failed_calls=0`; returns calls and microseconds.
fn command_calls(command: &str, value: &str, out: &mut Families) -> Option<(f64, f64)> {
    let labels = [("cmd", command)];
    let (calls, microseconds) = (pair(value, "calls")?, pair(value, "usec")?);
    out.counter(
        "redis_commands_total",
        "Total number of calls per command",
        &labels,
        calls,
    );
    out.counter(
        "redis_commands_duration_seconds_total",
        "Total amount of time in seconds spent per command",
        &labels,
        microseconds / 1e6,
    );
    // Since Redis 6.2. The exporter has the two texts the other way round.
    if let (Some(rejected), Some(failed)) = (pair(value, "rejected_calls"), pair(value, "failed_calls")) {
        out.counter(
            "redis_commands_rejected_calls_total",
            "Total number of errors within command execution per command",
            &labels,
            rejected,
        );
        out.counter(
            "redis_commands_failed_calls_total",
            "Total number of errors prior command execution per command",
            &labels,
            failed,
        );
    }
    Some((calls, microseconds))
}

/// `p50=0.001,p99=1.003,p99.9=4.015`
fn latency(command: &str, quantiles: &str, calls: f64, microseconds: f64, out: &mut Families) {
    let mut add = |suffix, labels: &[(&str, &str)], value| {
        let help = "A summary of latency percentile distribution per command".into();
        let name = "redis_latency_percentiles_usec".into();
        out.add(MetricType::Summary, name, help, suffix, labels, value);
    };
    for (quantile, value) in quantiles
        .split(',')
        .filter_map(|pair| pair.strip_prefix('p')?.split_once('='))
    {
        if let (Some(_), Some(value)) = (number(quantile), number(value)) {
            add("", &[("cmd", command), ("quantile", quantile)], value);
        }
    }
    add("_sum", &[("cmd", command)], microseconds);
    add("_count", &[("cmd", command)], calls);
}

/// `db0:keys=1,expires=0,avg_ttl=0`; returns whether it was one.
fn keyspace(field: &str, value: &str, out: &mut Families) -> bool {
    let (Some(total), Some(expiring)) = (pair(value, "keys"), pair(value, "expires")) else {
        return false;
    };
    keys(field, total, expiring, out);
    if let Some(milliseconds) = pair(value, "avg_ttl") {
        out.gauge(
            "redis_db_avg_ttl_seconds",
            "Avg TTL in seconds",
            &[("db", field)],
            milliseconds / 1000.0,
        );
    }
    if let Some(cached) = pair(value, "cached_keys") {
        out.gauge(
            "redis_db_keys_cached",
            "Total number of cached keys by DB",
            &[("db", field)],
            cached,
        );
    }
    true
}

fn keys(database: &str, total: f64, expiring: f64, out: &mut Families) {
    let labels = [("db", database)];
    out.gauge("redis_db_keys", "Total number of keys by DB", &labels, total);
    let help = "Total number of expiring keys by DB";
    out.gauge("redis_db_keys_expiring", help, &labels, expiring);
}

fn instance(fields: &BTreeMap<&str, &str>, out: &mut Families) {
    let labels = [
        "role",
        "redis_version",
        "redis_build_id",
        "redis_mode",
        "os",
        "maxmemory_policy",
        "tcp_port",
        "run_id",
        "process_id",
    ];
    let get = |name: &str| fields.get(name).copied().unwrap_or_default();
    let labels = labels.map(|name| (name, get(name)));
    out.gauge(
        "redis_instance_info",
        "Information about the Redis instance",
        &labels,
        1.0,
    );
    if get("role") == "slave" {
        let labels = [
            ("master_host", get("master_host")),
            ("master_port", get("master_port")),
            ("read_only", get("slave_read_only")),
        ];
        out.gauge("redis_slave_info", "Information about the Redis slave", &labels, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_with_replicas_of_its_own_is_told() {
        let text = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:10\r\n\r\n\
            # Memory\r\nused_memory:1000\r\nused_memory_human:1K\r\nmaxmemory:0\r\n\
            # Persistence\r\nrdb_last_bgsave_status:err\r\naof_last_write_status:ok\r\n\
            # Stats\r\nlatest_fork_usec:1500\r\nevicted_keys:4\r\n\
            # Replication\r\nrole:slave\r\nmaster_host:db\r\nmaster_port:6380\r\nmaster_link_status:down\r\n\
            master_last_io_seconds_ago:-1\r\nslave_repl_offset:12\r\nslave_read_only:1\r\nslave_priority:100\r\n\
            slave0:ip=10.0.0.2,port=6379,state=online,offset=11,lag=2\r\n\
            # Commandstats\r\ncmdstat_get:calls=2,usec=7,usec_per_call=3.50,rejected_calls=1,failed_calls=0\r\n\
            cmdstat_old:calls=2,usec=7,usec_per_call=3.50\r\n\
            # Errorstats\r\nerrorstat_WRONGPASS:count=4\r\n\
            # Latencystats\r\nlatency_percentiles_usec_get:p50=3.007,p99.9=4.015\r\n\
            # Cluster\r\ncluster_enabled:0\r\n\
            # Keyspace\r\ndb1:keys=5,expires=2,avg_ttl=1500\r\n";
        let mut out = Families::new();
        info(text, 2, 1000.9, &mut out);
        let text = out.text();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = "redis_aof_last_write_status 1\n\
            redis_cluster_enabled 0\n\
            redis_commands_duration_seconds_total{cmd=\"get\"} 7e-06\n\
            redis_commands_duration_seconds_total{cmd=\"old\"} 7e-06\n\
            redis_commands_failed_calls_total{cmd=\"get\"} 0\n\
            redis_commands_rejected_calls_total{cmd=\"get\"} 1\n\
            redis_commands_total{cmd=\"get\"} 2\n\
            redis_commands_total{cmd=\"old\"} 2\n\
            redis_connected_slave_lag_seconds{slave_ip=\"10.0.0.2\",slave_port=\"6379\",slave_state=\"online\"} 2\n\
            redis_connected_slave_offset_bytes{slave_ip=\"10.0.0.2\",slave_port=\"6379\",slave_state=\"online\"} 11\n\
            redis_db_avg_ttl_seconds{db=\"db1\"} 1.5\n\
            redis_db_keys{db=\"db1\"} 5\n\
            redis_db_keys{db=\"db0\"} 0\n\
            redis_db_keys_expiring{db=\"db1\"} 2\n\
            redis_db_keys_expiring{db=\"db0\"} 0\n\
            redis_errors_total{err=\"WRONGPASS\"} 4\n\
            redis_evicted_keys_total 4\n\
            redis_instance_info{role=\"slave\",redis_version=\"7.0.15\",redis_build_id=\"\",redis_mode=\"\",os=\"\",maxmemory_policy=\"\",tcp_port=\"\",run_id=\"\",process_id=\"\"} 1\n\
            redis_latency_percentiles_usec{cmd=\"get\",quantile=\"50\"} 3.007\n\
            redis_latency_percentiles_usec{cmd=\"get\",quantile=\"99.9\"} 4.015\n\
            redis_latency_percentiles_usec_sum{cmd=\"get\"} 7\n\
            redis_latency_percentiles_usec_count{cmd=\"get\"} 2\n\
            redis_latest_fork_seconds 0.0015\n\
            redis_master_last_io_seconds_ago{master_host=\"db\",master_port=\"6380\"} -1\n\
            redis_master_link_up{master_host=\"db\",master_port=\"6380\"} 0\n\
            redis_memory_max_bytes 0\n\
            redis_memory_used_bytes 1000\n\
            redis_rdb_last_bgsave_status 0\n\
            redis_slave_info{master_host=\"db\",master_port=\"6380\",read_only=\"1\"} 1\n\
            redis_slave_priority 100\n\
            redis_slave_repl_offset{master_host=\"db\",master_port=\"6380\"} 12\n\
            redis_start_time_seconds 990\n\
            redis_uptime_in_seconds 10\n";
        assert_eq!(samples.join("\n") + "\n", expected);
    }
}
