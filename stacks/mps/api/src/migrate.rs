//! The numbered migrations of the database, and what is done with them inside one open transaction.
//!
//! Owns the list, the table of what was applied, and when a database fits this program. Who opens the transaction, and on
//! which lock migrating programs queue, is in [`crate::worker`].
//!
//! Invariant: a migration and its row become durable together, so a program killed in the middle leaves nothing half done
//! (test `a_migration_that_fails_half_way_leaves_nothing_behind`).

use crate::db::{Dialect, Statements};
use crate::{Error, clock, token};

/// What a migration does to the program that ran before it, as its first line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Only adds: programs that do not know it run on.
    Expand,
    /// Takes away, or cannot be taken back: programs that do not know it cannot run any more.
    Breaking,
}

/// One migration.
#[derive(Debug)]
pub struct Migration {
    /// Counted from 1, without gaps.
    pub number: u32,
    /// The name of its file, without `.sql`.
    pub name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal) => {
        Migration {
            number: $number,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        }
    };
}

/// Every migration this program knows, in order. They are part of it, so that a release needs no other file.
pub const MIGRATIONS: [Migration; 4] = [
    migration!(1, "0001_members"),
    migration!(2, "0002_codes"),
    migration!(3, "0003_ledger"),
    migration!(4, "0004_keys_and_audit"),
];

/// The number of the last migration this program knows, which is the one it needs.
pub const NEEDED: u32 = MIGRATIONS[MIGRATIONS.len() - 1].number;

/// What is broken on purpose: the statement before makes a table, this one fails.
const NO_SUCH_TABLE: &str = "ALTER TABLE app.no_such_table ADD COLUMN broken_on_purpose BIGINT";

impl Migration {
    fn sql(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }

    fn checksum(&self, dialect: Dialect) -> String {
        token::hash(&[self.sql(dialect).as_bytes()])
    }

    /// Returns the class word of its first line.
    fn class_word(&self, dialect: Dialect) -> &'static str {
        let first = self.sql(dialect).lines().next().unwrap_or_default();
        first.strip_prefix("-- tend: ").unwrap_or("irreversible")
    }
}

/// A row of the table of what was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// What it does to programs that do not know it.
    pub class: Class,
    checksum: String,
}

/// Reads inside an open transaction what was applied, in order. Changes nothing, and a database without the table has had nothing applied.
pub fn applied(db: &mut dyn Statements) -> Result<Vec<Applied>, Error> {
    // The rewriting of statements for SQLite turns the name in the text into SQLite's too.
    let table = match db.dialect() {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE name = 'app.schema_migrations'",
        Dialect::Postgres => "SELECT CAST(to_regclass('app.schema_migrations') AS TEXT)",
    };
    let found = db.query_one(table, &[])?;
    if found.and_then(|row| row.opt_text(0).map(drop)).is_none() {
        return Ok(Vec::new());
    }
    let rows = db.query(
        "SELECT number, name, class, checksum FROM app.schema_migrations ORDER BY number",
        &[],
    )?;
    let read = rows.iter().map(|row| Applied {
        number: u32::try_from(row.int(0)).unwrap_or(u32::MAX),
        name: row.text(1).to_owned(),
        class: match row.text(2) {
            "expand" => Class::Expand,
            _ => Class::Breaking,
        },
        checksum: row.text(3).to_owned(),
    });
    Ok(read.collect())
}

/// Returns why a database with these migrations does not fit this program; none where it does.
#[must_use]
pub fn misfit(applied: &[Applied]) -> Option<String> {
    let needed = &MIGRATIONS[MIGRATIONS.len() - 1];
    let known = applied.iter().rfind(|row| row.number <= NEEDED);
    if known.is_none_or(|row| row.number < NEEDED) {
        let at = known.map_or("without any migration".to_owned(), |row| {
            format!("at migration {}", row.name)
        });
        return Some(format!(
            "the database is {at}, this release needs {}: run `mps-api migrate`",
            needed.name
        ));
    }
    let breaking = applied
        .iter()
        .find(|row| row.number > NEEDED && row.class == Class::Breaking);
    breaking.map(|row| {
        format!(
            "the database has had the migration {}, which takes away what this release needs: run a newer release",
            row.name
        )
    })
}

/// Applies the next migration up to number `to` inside the open transaction, and returns it; none where there is no more.
///
/// Without `to` all are wanted, and a database that is further than this program is left as it is.
pub(crate) fn apply_next(db: &mut dyn Statements, to: Option<u32>) -> Result<Option<&'static Migration>, Error> {
    let dialect = db.dialect();
    let done = applied(db)?;
    for row in &done {
        let known = MIGRATIONS.iter().find(|migration| migration.number == row.number);
        if known.is_some_and(|migration| migration.checksum(dialect) != row.checksum) {
            return Err(Error::MigrationChanged { name: row.name.clone() });
        }
    }
    let at = done.last().map_or(0, |row| row.number);
    if let Some(to) = to.filter(|to| *to < at) {
        return Err(Error::MigrateBackwards { at, to });
    }
    let to = to.unwrap_or(NEEDED);
    let next = MIGRATIONS
        .iter()
        .find(|migration| migration.number > at && migration.number <= to);
    if let Some(migration) = next {
        db.script(migration.name, migration.sql(dialect))?;
        if migration.number == 1 {
            db.script(
                "the table of migrations",
                TABLE[usize::from(dialect == Dialect::Postgres)],
            )?;
        }
        db.execute(
            "INSERT INTO app.schema_migrations (number, name, class, checksum, applied_at) VALUES ($1, $2, $3, $4, app.ts($5))",
            &[
                i64::from(migration.number).into(),
                migration.name.into(),
                migration.class_word(dialect).into(),
                migration.checksum(dialect).as_str().into(),
                clock::now_ms().into(),
            ],
        )?;
    }
    Ok(next)
}

/// Begins a migration that fails half-way, inside the open transaction.
pub(crate) fn fail_half_way(db: &mut dyn Statements) -> Result<(), Error> {
    let make = match db.dialect() {
        Dialect::Sqlite => "CREATE TABLE broken_on_purpose (number BIGINT)",
        Dialect::Postgres => "CREATE TABLE public.broken_on_purpose (number BIGINT)",
    };
    db.execute(make, &[])?;
    db.execute(NO_SUCH_TABLE, &[]).map(drop)
}

/// The table of what was applied, for SQLite and for PostgreSQL. The first migration makes the schema it stands in.
const TABLE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS app_schema_migrations (
        number BIGINT PRIMARY KEY, name TEXT NOT NULL, class TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS app.schema_migrations (
        number BIGINT PRIMARY KEY, name TEXT NOT NULL, class TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL
    )",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn applied_up_to(number: u32) -> Vec<Applied> {
        let row = |number: u32, class| Applied {
            number,
            name: format!("{number:04}_x"),
            class,
            checksum: String::new(),
        };
        (1..=number).map(|number| row(number, Class::Expand)).collect()
    }

    #[test]
    fn each_file_is_in_the_list_once_for_each_database_with_the_same_class() {
        for (dialect, folder) in [(Dialect::Sqlite, "sqlite"), (Dialect::Postgres, "postgres")] {
            let path = format!("{}/../migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<String> = std::fs::read_dir(path)
                .expect("the folder is there")
                .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
                .collect();
            files.sort();
            let listed: Vec<String> = MIGRATIONS
                .iter()
                .map(|migration| format!("{}.sql", migration.name))
                .collect();
            assert_eq!(files, listed);
            for (at, migration) in MIGRATIONS.iter().enumerate() {
                assert_eq!(migration.number as usize, at + 1);
                assert!(migration.name.starts_with(&format!("{:04}_", migration.number)));
                let head = migration.sql(dialect).lines().next().unwrap_or_default();
                assert!(head.starts_with("-- tend: "), "{}", migration.name);
                assert!(["expand", "contract", "irreversible"].contains(&migration.class_word(dialect)));
                assert_eq!(
                    migration.class_word(Dialect::Sqlite),
                    migration.class_word(Dialect::Postgres)
                );
            }
        }
    }

    #[test]
    fn a_database_fits_when_it_has_what_is_needed_and_has_lost_nothing() {
        assert_eq!(misfit(&applied_up_to(NEEDED)), None);
        assert_eq!(misfit(&applied_up_to(NEEDED + 2)), None, "additions are lived with");
        let says = |applied: &[Applied], words: &str| {
            let why = misfit(applied).unwrap_or_default();
            assert!(why.contains(words), "{why}");
        };
        says(&[], "without any migration");
        says(&applied_up_to(NEEDED - 1), "mps-api migrate");
        let mut contracted = applied_up_to(NEEDED + 1);
        contracted.last_mut().expect("not empty").class = Class::Breaking;
        says(&contracted, "run a newer release");
    }
}
