//! What is asked of a PostgreSQL server, by its version, and what the columns of the answers are. Opens nothing.
//!
//! Metrics up to `pg_settings` are those of Debian 12's exporter (0.11.1); what follows is of later ones, which have no label `server`: it is
//! kept here, so that one rule fits all. Help texts are the exporter's.

use std::borrow::Cow;

use tend_database::Answer;
use tend_exposition::MetricType::{Counter, Gauge, Unknown};

use super::columns::{View, take};
use super::settings;
use crate::families::Families;

/// One statement.
pub(super) struct Part {
    /// What could not be done when it fails.
    pub(super) what: &'static str,
    pub(super) sql: Cow<'static, str>,
    pub(super) take: fn(&Answer, &mut Families),
}

/// The first version whose checkpointer has statistics of its own.
const CHECKPOINTER: u32 = 170_000;

/// Returns what is asked of a server of this version, 150018 being 15.18.
pub(super) fn parts(version: u32) -> Vec<Part> {
    let part = |what, sql: &'static str, take| Part {
        what,
        sql: Cow::Borrowed(sql),
        take,
    };
    let mut parts = vec![
        part("read pg_stat_activity", ACTIVITY_SQL, |answer, out| {
            take(&ACTIVITY, answer, out)
        }),
        part("read pg_stat_database", DATABASE_SQL, |answer, out| {
            take(&DATABASE, answer, out)
        }),
        part("read pg_stat_database_conflicts", CONFLICTS_SQL, |answer, out| {
            take(&CONFLICTS, answer, out)
        }),
        part("read pg_locks", LOCKS_SQL, |answer, out| take(&LOCKS, answer, out)),
        part("read pg_stat_replication", SENDERS_SQL, |answer, out| {
            take(&SENDERS, answer, out)
        }),
        part("read pg_replication_slots", SLOTS_SQL, |answer, out| {
            take(&SLOTS, answer, out)
        }),
        part("read pg_stat_archiver", ARCHIVER_SQL, |answer, out| {
            take(&ARCHIVER, answer, out)
        }),
        part("read the sizes of databases", SIZES_SQL, |answer, out| {
            take(&SIZES, answer, out)
        }),
        part("read pg_settings", settings::SQL, settings::take),
        part("read the state of replication", REPLICATION_SQL, |answer, out| {
            take(&REPLICATION, answer, out)
        }),
        part("read pg_stat_user_tables", TABLES_SQL, |answer, out| {
            take(&TABLES, answer, out)
        }),
        part("read the log's size", WAL_SQL, |answer, out| take(&WAL, answer, out)),
        part("look for long transactions", LONG_SQL, |answer, out| {
            take(&LONG, answer, out)
        }),
    ];
    if version < CHECKPOINTER {
        parts.push(part("read pg_stat_bgwriter", BGWRITER_SQL, |answer, out| {
            take(&BGWRITER, answer, out)
        }));
    } else {
        parts.push(part("read pg_stat_bgwriter", BGWRITER_17_SQL, |answer, out| {
            take(&BGWRITER, answer, out)
        }));
        parts.push(part("read pg_stat_checkpointer", CHECKPOINTER_SQL, |answer, out| {
            take(&CHECKPOINTER_VIEW, answer, out);
        }));
    }
    parts
}

const ACTIVITY_SQL: &str = "SELECT d.datname, s.state, COALESCE(a.count, 0) AS count, COALESCE(a.max_tx_duration, 0) AS max_tx_duration \
    FROM (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'), ('fastpath function call'), \
    ('disabled')) AS s(state) CROSS JOIN pg_database d \
    LEFT JOIN (SELECT datname, state, count(*) AS count, max(extract(epoch FROM now() - xact_start))::float8 AS max_tx_duration \
    FROM pg_stat_activity GROUP BY datname, state) a ON a.state = s.state AND a.datname = d.datname";

static ACTIVITY: View = View {
    prefix: "pg_stat_activity_",
    labels: &["datname", "state"],
    columns: &[
        ("count", Gauge, "number of connections in this state"),
        (
            "max_tx_duration",
            Gauge,
            "max duration in seconds any active transaction has been running",
        ),
    ],
    others: false,
};

/// Times are seconds since 1970, whole as the exporter gives them; a column that comes twice is taken the second time.
const DATABASE_SQL: &str = "SELECT *, floor(extract(epoch FROM stats_reset)) AS stats_reset, \
    floor(extract(epoch FROM checksum_last_failure)) AS checksum_last_failure FROM pg_stat_database";

static DATABASE: View = View {
    prefix: "pg_stat_database_",
    labels: &["datid", "datname"],
    columns: &[
        (
            "numbackends",
            Gauge,
            "Number of backends currently connected to this database. This is the only column in this view that returns a value reflecting current state; all other columns return the accumulated values since the last reset.",
        ),
        (
            "xact_commit",
            Counter,
            "Number of transactions in this database that have been committed",
        ),
        (
            "xact_rollback",
            Counter,
            "Number of transactions in this database that have been rolled back",
        ),
        ("blks_read", Counter, "Number of disk blocks read in this database"),
        (
            "blks_hit",
            Counter,
            "Number of times disk blocks were found already in the buffer cache, so that a read was not necessary (this only includes hits in the PostgreSQL buffer cache, not the operating system's file system cache)",
        ),
        (
            "tup_returned",
            Counter,
            "Number of rows returned by queries in this database",
        ),
        (
            "tup_fetched",
            Counter,
            "Number of rows fetched by queries in this database",
        ),
        (
            "tup_inserted",
            Counter,
            "Number of rows inserted by queries in this database",
        ),
        (
            "tup_updated",
            Counter,
            "Number of rows updated by queries in this database",
        ),
        (
            "tup_deleted",
            Counter,
            "Number of rows deleted by queries in this database",
        ),
        (
            "conflicts",
            Counter,
            "Number of queries canceled due to conflicts with recovery in this database. (Conflicts occur only on standby servers; see pg_stat_database_conflicts for details.)",
        ),
        (
            "temp_files",
            Counter,
            "Number of temporary files created by queries in this database. All temporary files are counted, regardless of why the temporary file was created (e.g., sorting or hashing), and regardless of the log_temp_files setting.",
        ),
        (
            "temp_bytes",
            Counter,
            "Total amount of data written to temporary files by queries in this database. All temporary files are counted, regardless of why the temporary file was created, and regardless of the log_temp_files setting.",
        ),
        ("deadlocks", Counter, "Number of deadlocks detected in this database"),
        (
            "blk_read_time",
            Counter,
            "Time spent reading data file blocks by backends in this database, in milliseconds",
        ),
        (
            "blk_write_time",
            Counter,
            "Time spent writing data file blocks by backends in this database, in milliseconds",
        ),
        ("stats_reset", Counter, "Time at which these statistics were last reset"),
    ],
    others: true,
};

const CONFLICTS_SQL: &str = "SELECT * FROM pg_stat_database_conflicts";

static CONFLICTS: View = View {
    prefix: "pg_stat_database_conflicts_",
    labels: &["datid", "datname"],
    columns: &[
        (
            "confl_tablespace",
            Counter,
            "Number of queries in this database that have been canceled due to dropped tablespaces",
        ),
        (
            "confl_lock",
            Counter,
            "Number of queries in this database that have been canceled due to lock timeouts",
        ),
        (
            "confl_snapshot",
            Counter,
            "Number of queries in this database that have been canceled due to old snapshots",
        ),
        (
            "confl_bufferpin",
            Counter,
            "Number of queries in this database that have been canceled due to pinned buffers",
        ),
        (
            "confl_deadlock",
            Counter,
            "Number of queries in this database that have been canceled due to deadlocks",
        ),
    ],
    others: true,
};

const LOCKS_SQL: &str = "SELECT d.datname, m.mode, COALESCE(l.count, 0) AS count \
    FROM (VALUES ('accesssharelock'), ('rowsharelock'), ('rowexclusivelock'), ('shareupdateexclusivelock'), ('sharelock'), \
    ('sharerowexclusivelock'), ('exclusivelock'), ('accessexclusivelock'), ('sireadlock')) AS m(mode) CROSS JOIN pg_database d \
    LEFT JOIN (SELECT database, lower(mode) AS mode, count(*) AS count FROM pg_locks WHERE database IS NOT NULL \
    GROUP BY database, lower(mode)) l ON l.mode = m.mode AND l.database = d.oid";

static LOCKS: View = View {
    prefix: "pg_locks_",
    labels: &["datname", "mode"],
    columns: &[("count", Gauge, "Number of locks")],
    others: false,
};

/// The exporter's `slot_name` is another column by mistake; here it is the slot's name. Standbys that are called the same are told as the one that is
/// furthest behind.
const SENDERS_SQL: &str = "SELECT r.application_name, r.client_addr, r.state, s.slot_name, \
    floor(extract(epoch FROM min(r.reply_time))) AS reply_time, \
    max(CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') END) AS pg_current_wal_lsn_bytes, \
    max(CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn) END) AS pg_wal_lsn_diff \
    FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid GROUP BY 1, 2, 3, 4";

static SENDERS: View = View {
    prefix: "pg_stat_replication_",
    labels: &["application_name", "client_addr", "state", "slot_name"],
    columns: &[
        ("pg_current_wal_lsn_bytes", Gauge, "WAL position in bytes"),
        ("pg_wal_lsn_diff", Gauge, "Lag in bytes between master and slave"),
        ("reply_time", Unknown, "Unknown metric from pg_stat_replication"),
    ],
    others: false,
};

/// On a standby there is no position of its own to write at: how far it replayed stands for it.
const SLOTS_SQL: &str = "SELECT slot_name, database, active, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() \
    THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn) AS pg_wal_lsn_diff FROM pg_replication_slots";

static SLOTS: View = View {
    prefix: "pg_replication_slots_",
    labels: &["slot_name", "database"],
    columns: &[
        ("active", Gauge, "Flag indicating if the slot is active"),
        ("pg_wal_lsn_diff", Gauge, "Replication lag in bytes"),
    ],
    others: false,
};

const ARCHIVER_SQL: &str = "SELECT archived_count, failed_count, extract(epoch FROM now() - last_archived_time) AS last_archive_age \
    FROM pg_stat_archiver";

static ARCHIVER: View = View {
    prefix: "pg_stat_archiver_",
    labels: &[],
    columns: &[
        (
            "archived_count",
            Counter,
            "Number of WAL files that have been successfully archived",
        ),
        (
            "failed_count",
            Counter,
            "Number of failed attempts for archiving WAL files",
        ),
        (
            "last_archive_age",
            Gauge,
            "Time in seconds since last WAL segment was successfully archived",
        ),
    ],
    others: false,
};

/// Without the databases whose size this user may not ask for, which would refuse the whole statement.
const SIZES_SQL: &str = "SELECT datname, pg_database_size(oid) AS size_bytes FROM pg_database \
    WHERE has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'MEMBER')";

static SIZES: View = View {
    prefix: "pg_database_",
    labels: &["datname"],
    columns: &[("size_bytes", Gauge, "Disk space used by the database")],
    others: false,
};

const BGWRITER_SQL: &str = "SELECT checkpoints_timed AS checkpoints_timed_total, checkpoints_req AS checkpoints_req_total, \
    checkpoint_write_time AS checkpoint_write_time_total, checkpoint_sync_time AS checkpoint_sync_time_total, \
    buffers_checkpoint AS buffers_checkpoint_total, buffers_clean AS buffers_clean_total, maxwritten_clean AS maxwritten_clean_total, \
    buffers_backend AS buffers_backend_total, buffers_backend_fsync AS buffers_backend_fsync_total, buffers_alloc AS buffers_alloc_total, \
    floor(extract(epoch FROM stats_reset)) AS stats_reset_total FROM pg_stat_bgwriter";

/// Under the names of before, so that rules go on; what backends write themselves is no longer counted here.
const BGWRITER_17_SQL: &str = "SELECT c.num_timed AS checkpoints_timed_total, c.num_requested AS checkpoints_req_total, \
    c.write_time AS checkpoint_write_time_total, c.sync_time AS checkpoint_sync_time_total, \
    c.buffers_written AS buffers_checkpoint_total, b.buffers_clean AS buffers_clean_total, b.maxwritten_clean AS maxwritten_clean_total, \
    b.buffers_alloc AS buffers_alloc_total, floor(extract(epoch FROM b.stats_reset)) AS stats_reset_total \
    FROM pg_stat_bgwriter b CROSS JOIN pg_stat_checkpointer c";

static BGWRITER: View = View {
    prefix: "pg_stat_bgwriter_",
    labels: &[],
    columns: &[
        (
            "checkpoints_timed_total",
            Counter,
            "Number of scheduled checkpoints that have been performed",
        ),
        (
            "checkpoints_req_total",
            Counter,
            "Number of requested checkpoints that have been performed",
        ),
        (
            "checkpoint_write_time_total",
            Counter,
            "Total amount of time that has been spent in the portion of checkpoint processing where files are written to disk, in milliseconds",
        ),
        (
            "checkpoint_sync_time_total",
            Counter,
            "Total amount of time that has been spent in the portion of checkpoint processing where files are synchronized to disk, in milliseconds",
        ),
        (
            "buffers_checkpoint_total",
            Counter,
            "Number of buffers written during checkpoints",
        ),
        (
            "buffers_clean_total",
            Counter,
            "Number of buffers written by the background writer",
        ),
        (
            "maxwritten_clean_total",
            Counter,
            "Number of times the background writer stopped a cleaning scan because it had written too many buffers",
        ),
        (
            "buffers_backend_total",
            Counter,
            "Number of buffers written directly by a backend",
        ),
        (
            "buffers_backend_fsync_total",
            Counter,
            "Number of times a backend had to execute its own fsync call (normally the background writer handles those even when the backend does its own write)",
        ),
        ("buffers_alloc_total", Counter, "Number of buffers allocated"),
        (
            "stats_reset_total",
            Counter,
            "Time at which these statistics were last reset",
        ),
    ],
    others: false,
};

const CHECKPOINTER_SQL: &str = "SELECT num_timed AS num_timed_total, num_requested AS num_requested_total, \
    restartpoints_timed AS restartpoints_timed_total, restartpoints_req AS restartpoints_req_total, \
    restartpoints_done AS restartpoints_done_total, write_time AS write_time_total, sync_time AS sync_time_total, \
    buffers_written AS buffers_written_total, floor(extract(epoch FROM stats_reset)) AS stats_reset_total FROM pg_stat_checkpointer";

static CHECKPOINTER_VIEW: View = View {
    prefix: "pg_stat_checkpointer_",
    labels: &[],
    columns: &[
        (
            "num_timed_total",
            Counter,
            "Number of scheduled checkpoints due to timeout",
        ),
        (
            "num_requested_total",
            Counter,
            "Number of requested checkpoints that have been performed",
        ),
        (
            "restartpoints_timed_total",
            Counter,
            "Number of scheduled restartpoints due to timeout or after a failed attempt to perform it",
        ),
        ("restartpoints_req_total", Counter, "Number of requested restartpoints"),
        (
            "restartpoints_done_total",
            Counter,
            "Number of restartpoints that have been performed",
        ),
        (
            "write_time_total",
            Counter,
            "Total amount of time that has been spent in the portion of processing checkpoints and restartpoints where files are written to disk, in milliseconds",
        ),
        (
            "sync_time_total",
            Counter,
            "Total amount of time that has been spent in the portion of processing checkpoints and restartpoints where files are synchronized to disk, in milliseconds",
        ),
        (
            "buffers_written_total",
            Counter,
            "Number of buffers written during checkpoints and restartpoints",
        ),
        (
            "stats_reset_total",
            Counter,
            "Time at which these statistics were last reset",
        ),
    ],
    others: false,
};

const REPLICATION_SQL: &str = "SELECT CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
    ELSE greatest(0, extract(epoch FROM now() - pg_last_xact_replay_timestamp())) END AS lag_seconds, \
    pg_is_in_recovery() AS is_replica, \
    greatest(0, extract(epoch FROM now() - pg_last_xact_replay_timestamp())) AS last_replay_seconds";

static REPLICATION: View = View {
    prefix: "pg_replication_",
    labels: &[],
    columns: &[
        ("lag_seconds", Gauge, "Replication lag behind master in seconds"),
        ("is_replica", Gauge, "Indicates if the server is a replica"),
        ("last_replay_seconds", Gauge, "Age of last replay in seconds"),
    ],
    others: false,
};

/// The tables of the database that the address names.
const TABLES_SQL: &str = "SELECT current_database() AS datname, schemaname, relname, seq_scan, seq_tup_read, idx_scan, idx_tup_fetch, \
    n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd, n_live_tup, n_dead_tup, n_mod_since_analyze, \
    COALESCE(extract(epoch FROM last_vacuum), 0) AS last_vacuum, COALESCE(extract(epoch FROM last_autovacuum), 0) AS last_autovacuum, \
    COALESCE(extract(epoch FROM last_analyze), 0) AS last_analyze, COALESCE(extract(epoch FROM last_autoanalyze), 0) AS last_autoanalyze, \
    vacuum_count, autovacuum_count, analyze_count, autoanalyze_count, \
    pg_indexes_size(relid) AS index_size_bytes, pg_table_size(relid) AS table_size_bytes FROM pg_stat_user_tables";

static TABLES: View = View {
    prefix: "pg_stat_user_tables_",
    labels: &["datname", "schemaname", "relname"],
    columns: &[
        (
            "seq_scan",
            Counter,
            "Number of sequential scans initiated on this table",
        ),
        (
            "seq_tup_read",
            Counter,
            "Number of live rows fetched by sequential scans",
        ),
        ("idx_scan", Counter, "Number of index scans initiated on this table"),
        ("idx_tup_fetch", Counter, "Number of live rows fetched by index scans"),
        ("n_tup_ins", Counter, "Number of rows inserted"),
        ("n_tup_upd", Counter, "Number of rows updated"),
        ("n_tup_del", Counter, "Number of rows deleted"),
        (
            "n_tup_hot_upd",
            Counter,
            "Number of rows HOT updated (i.e., with no separate index update required)",
        ),
        ("n_live_tup", Gauge, "Estimated number of live rows"),
        ("n_dead_tup", Gauge, "Estimated number of dead rows"),
        (
            "n_mod_since_analyze",
            Gauge,
            "Estimated number of rows changed since last analyze",
        ),
        (
            "last_vacuum",
            Gauge,
            "Last time at which this table was manually vacuumed (not counting VACUUM FULL)",
        ),
        (
            "last_autovacuum",
            Gauge,
            "Last time at which this table was vacuumed by the autovacuum daemon",
        ),
        (
            "last_analyze",
            Gauge,
            "Last time at which this table was manually analyzed",
        ),
        (
            "last_autoanalyze",
            Gauge,
            "Last time at which this table was analyzed by the autovacuum daemon",
        ),
        (
            "vacuum_count",
            Counter,
            "Number of times this table has been manually vacuumed (not counting VACUUM FULL)",
        ),
        (
            "autovacuum_count",
            Counter,
            "Number of times this table has been vacuumed by the autovacuum daemon",
        ),
        (
            "analyze_count",
            Counter,
            "Number of times this table has been manually analyzed",
        ),
        (
            "autoanalyze_count",
            Counter,
            "Number of times this table has been analyzed by the autovacuum daemon",
        ),
        (
            "index_size_bytes",
            Gauge,
            "Total disk space used by this index, in bytes",
        ),
        (
            "table_size_bytes",
            Gauge,
            "Total disk space used by this table, in bytes",
        ),
    ],
    others: false,
};

const WAL_SQL: &str =
    "SELECT count(*) AS segments, sum(size) AS size_bytes FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'";

static WAL: View = View {
    prefix: "pg_wal_",
    labels: &[],
    columns: &[
        ("segments", Gauge, "Number of WAL segments"),
        ("size_bytes", Gauge, "Total size of WAL segments"),
    ],
    others: false,
};

/// Without our own; the first column's name ends up as `pg_long_running_transactions`.
const LONG_SQL: &str = "SELECT count(*) AS transactions, \
    COALESCE(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) AS transactions_oldest_timestamp_seconds \
    FROM pg_stat_activity WHERE state IS DISTINCT FROM 'idle' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()";

static LONG: View = View {
    prefix: "pg_long_running_",
    labels: &[],
    columns: &[
        ("transactions", Gauge, "Current number of long running transactions"),
        (
            "transactions_oldest_timestamp_seconds",
            Gauge,
            "The current maximum transaction age in seconds",
        ),
    ],
    others: false,
};

/// Gives the schema of `pg_stat_statements`, quoted, and no row where it is not installed in this database or not loaded.
pub(super) const HAS_STATEMENTS: &str = "SELECT quote_ident(n.nspname) AS schema FROM pg_extension e \
    JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements' \
    AND current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'";

/// The hundred statements that took longest in all, so that a service that writes every number into its SQL does not flood the store. Their
/// texts are not asked for: commands such as `ALTER USER` stand in it with their passwords.
pub(super) fn statements(version: u32, schema: &str) -> String {
    let block = if version < 170_000 { "blk" } else { "shared_blk" };
    format!(
        "SELECT pg_get_userbyid(s.userid) AS \"user\", d.datname, s.queryid, sum(s.calls) AS calls_total, \
         sum(s.total_exec_time) / 1000.0 AS seconds_total, sum(s.rows) AS rows_total, \
         sum(s.{block}_read_time) / 1000.0 AS block_read_seconds_total, sum(s.{block}_write_time) / 1000.0 AS block_write_seconds_total \
         FROM {schema}.pg_stat_statements(false) s JOIN pg_database d ON d.oid = s.dbid \
         WHERE s.queryid IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 5 DESC LIMIT 100"
    )
}

pub(super) static STATEMENTS: View = View {
    prefix: "pg_stat_statements_",
    labels: &["user", "datname", "queryid"],
    columns: &[
        ("calls_total", Counter, "Number of times executed"),
        (
            "seconds_total",
            Counter,
            "Total time spent in the statement, in seconds",
        ),
        (
            "rows_total",
            Counter,
            "Total number of rows retrieved or affected by the statement",
        ),
        (
            "block_read_seconds_total",
            Counter,
            "Total time the statement spent reading blocks, in seconds",
        ),
        (
            "block_write_seconds_total",
            Counter,
            "Total time the statement spent writing blocks, in seconds",
        ),
    ],
    others: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_version_does_not_have_is_not_asked_of_it() {
        for (version, checkpointer) in [
            (130_000, false),
            (150_018, false),
            (160_004, false),
            (170_000, true),
            (180_001, true),
        ] {
            let parts = parts(version);
            let asks = |text: &str| parts.iter().any(|part| part.sql.contains(text));
            assert_eq!(asks("pg_stat_checkpointer"), checkpointer, "{version}");
            // These columns are gone from 17 on.
            assert_eq!(asks("buffers_backend"), !checkpointer, "{version}");
            assert_eq!(
                statements(version, "public").contains("shared_blk_read_time"),
                checkpointer
            );
        }
    }
}
