//! The table of configuration, and the trigger by which PostgreSQL announces its changes: made and removed. Reads no rows.

use crate::mysql::Connection as Mysql;
use crate::postgres::Connection as Postgres;
use crate::settings::{literal, quoted};
use crate::{Address, DatabaseError, Engine, Settings};

/// The channel on which PostgreSQL announces changes; the payload is the name of the table.
pub const CHANNEL: &str = "tend_config";

/// The name of the function, and of the trigger on each table.
pub(crate) const FUNCTION: &str = "tend_config_changed";

/// Returns the statements that make the table, where it is not there, and on PostgreSQL have the changes of it, and of the tables that
/// queries name, announced. They may be run again, and change no row and no column of a table that is there.
#[must_use]
pub fn install_sql(settings: &Settings) -> String {
    let engine = settings.address.engine();
    let mut sql = Vec::new();
    if let Some(table) = &settings.table {
        let quote = if engine == Engine::Mysql { '`' } else { '"' };
        let columns = &table.columns;
        let column = |name: &str| quoted(name, quote);
        let (key, value, boolean, moment) = match engine {
            Engine::Postgres => (
                "text PRIMARY KEY",
                "jsonb NOT NULL",
                "boolean NOT NULL DEFAULT true",
                "timestamptz NOT NULL DEFAULT now()",
            ),
            Engine::Mysql => (
                "varchar(255) NOT NULL PRIMARY KEY",
                "json NOT NULL",
                "boolean NOT NULL DEFAULT true",
                "timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP",
            ),
            Engine::Sqlite => (
                "text PRIMARY KEY NOT NULL",
                "text NOT NULL CHECK (json_valid(value))",
                "integer NOT NULL DEFAULT 1",
                "text NOT NULL DEFAULT CURRENT_TIMESTAMP",
            ),
        };
        let value = value.replace("(value)", &format!("({})", column(&columns.value)));
        let touched = if engine == Engine::Mysql {
            " ON UPDATE CURRENT_TIMESTAMP"
        } else {
            ""
        };
        let by = if engine == Engine::Mysql {
            "varchar(255)"
        } else {
            "text"
        };
        sql.push(format!(
            "CREATE TABLE IF NOT EXISTS {} (\n  {} {key},\n  {} {value},\n  {} {boolean},\n  {} {moment},\n  {} {moment}{touched},\n  {} {by}\n)",
            quoted(&table.name, quote),
            column(&columns.key),
            column(&columns.value),
            column(&columns.is_active),
            column(&columns.created_at),
            column(&columns.updated_at),
            column(&columns.updated_by),
        ));
    }
    if engine == Engine::Postgres {
        sql.push(format!(
            "CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $tend$\n\
             BEGIN PERFORM pg_notify('{CHANNEL}', TG_TABLE_NAME); RETURN NULL; END $tend$"
        ));
        sql.extend(tables(settings).map(|table| trigger_sql(&table)));
    }
    sql.join(";\n") + ";\n"
}

/// Returns the statements that take the trigger away; the table and its rows stay. They may be run again.
#[must_use]
pub fn uninstall_sql(settings: &Settings) -> String {
    if settings.address.engine() != Engine::Postgres {
        return String::new();
    }
    let mut sql: Vec<String> = tables(settings)
        .map(|table| {
            let name = quoted(&table, '"');
            let known = literal(&name);
            format!("DO $tend$ BEGIN IF to_regclass({known}) IS NOT NULL THEN DROP TRIGGER IF EXISTS {FUNCTION} ON {name}; END IF; END $tend$")
        })
        .collect();
    // Another table may still use it. Whoever listens looks at once, and polls from now on.
    sql.push(format!(
        "DO $tend$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid WHERE p.proname = '{FUNCTION}') \
         THEN DROP FUNCTION IF EXISTS {FUNCTION}(); END IF; PERFORM pg_notify('{CHANNEL}', ''); END $tend$"
    ));
    sql.join(";\n") + ";\n"
}

fn tables(settings: &Settings) -> impl Iterator<Item = String> + '_ {
    let table = settings.table.iter().map(|table| table.name.clone());
    table.chain(settings.queries.iter().flat_map(|query| query.tables.clone()))
}

/// Made only where it is missing: making it anew would lock the table for nothing.
fn trigger_sql(table: &str) -> String {
    let name = quoted(table, '"');
    format!(
        "DO $tend$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = '{FUNCTION}' AND tgrelid = {}::regclass) THEN\n\
         CREATE TRIGGER {FUNCTION} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {name} FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}();\n\
         END IF; END $tend$",
        literal(&name)
    )
}

/// Makes the table and, on PostgreSQL, the trigger, as the user of the address.
///
/// # Errors
/// When the database cannot be reached, or the user may not.
pub async fn install(settings: &Settings) -> Result<(), DatabaseError> {
    run(
        &settings.address,
        "make the table of configuration",
        &install_sql(settings),
    )
    .await
}

/// Takes away what [`install`] made, but for the table.
///
/// # Errors
/// When the database cannot be reached, or the user may not.
pub async fn uninstall(settings: &Settings) -> Result<(), DatabaseError> {
    run(&settings.address, "remove the trigger", &uninstall_sql(settings)).await
}

async fn run(address: &Address, what: &str, sql: &str) -> Result<(), DatabaseError> {
    match address.engine() {
        Engine::Postgres => {
            let connection = Postgres::open(address).await?;
            let sql = format!("BEGIN;\nSET LOCAL lock_timeout = '5s';\n{sql}COMMIT");
            connection.simple(what, &sql).await?;
        }
        Engine::Mysql if !sql.is_empty() => {
            Mysql::open(address)
                .await?
                .run(what, sql.trim_end_matches(";\n"))
                .await?;
        }
        Engine::Sqlite => {
            let (path, sql) = (address.file.clone(), sql.to_owned());
            let made = tokio::task::spawn_blocking(move || rusqlite::Connection::open(path)?.execute_batch(&sql));
            let made = made.await.map_err(|error| error.to_string());
            let made = made.and_then(|made| made.map_err(|error| error.to_string()));
            made.map_err(|why| DatabaseError::Statement {
                at: address.to_string(),
                what: what.to_owned(),
                why,
            })?;
        }
        Engine::Mysql => {}
    }
    Ok(())
}
