//! What can go wrong between this service and the machine it runs on.
//!
//! Business refusals (no balance, code used) are not errors; they are [`crate::ledger::Refusal`].

use std::io;
use std::path::PathBuf;

/// An act of this service that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable of the environment has a value that means nothing.
    #[error("`{name}` has the value `{value}`, expected {expected}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// What tells of a configuration that changes could not be started.
    #[error("could not watch the configuration")]
    WatchConfiguration {
        /// What the client said.
        source: tend_config_client::Error,
    },
    /// The database's folder is missing and could not be made.
    #[error("could not create the folder `{path}` for the database")]
    CreateFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The SQLite file could not be opened.
    #[error("could not open the database `{path}`")]
    OpenSqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file on which writers queue could not be opened or locked.
    #[error("could not take the writers' lock `{path}`")]
    WritersLock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused a statement.
    #[error("SQLite did not run `{sql}`")]
    Sqlite {
        /// The statement.
        sql: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// PostgreSQL could not be reached. The URL is not named: it may hold a password.
    #[error("could not connect to the PostgreSQL server of DATABASE_URL")]
    ConnectPostgres {
        /// Why.
        source: postgres::Error,
    },
    /// PostgreSQL refused a statement.
    #[error("PostgreSQL did not run `{sql}`")]
    Postgres {
        /// The statement.
        sql: &'static str,
        /// Why.
        source: postgres::Error,
    },
    /// A database thread could not be started.
    #[error("could not start the thread `{name}`")]
    StartThread {
        /// The thread.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The database threads have more queued than they may hold.
    #[error("the database queue is full")]
    Busy,
    /// The database did not answer within `DATABASE_TIMEOUT`; whether the request took effect is unknown.
    #[error("the database did not answer in time")]
    TimedOut,
    /// A database thread ended; the process is no longer of use.
    #[error("the database thread has ended")]
    ThreadEnded,
    /// A release would keep its database at a path that depends on where it was started.
    #[error("release {release} would keep its database at `{path}`, which is relative to its own folder")]
    DataInRelease {
        /// The release.
        release: String,
        /// The path.
        path: PathBuf,
    },
    /// There is no such migration.
    #[error("there is no migration {asked}; the last one is {last}")]
    NoSuchMigration {
        /// What was asked for.
        asked: String,
        /// The last one there is.
        last: u32,
    },
    /// Migrations are not taken back.
    #[error("the database is at migration {at}; going back to {to} is not possible")]
    MigrateBackwards {
        /// Where the database is.
        at: u32,
        /// Where it was to go.
        to: u32,
    },
    /// The text of a migration is another than the one that was applied.
    #[error("the migration {name} is not the one that was applied to this database")]
    MigrationChanged {
        /// Its name.
        name: String,
    },
    /// Told to fail by `MPS_BREAK`.
    #[error("broken on purpose: MPS_BREAK={mode}")]
    BrokenOnPurpose {
        /// How.
        mode: &'static str,
    },
    /// The port could not be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// Address and port.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The runtime or its signal handlers could not be set up.
    #[error("could not start the runtime")]
    Runtime {
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Tells whether running the same transaction again may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Sqlite { source, .. } => {
                matches!(
                    source.sqlite_error_code(),
                    Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
                )
            }
            // 23505: two requests with one new key at once; the second run finds what the first stored.
            // 40001, 40P01: serialization failure, deadlock.
            Error::Postgres { source, .. } => source
                .code()
                .is_some_and(|code| matches!(code.code(), "23505" | "40001" | "40P01")),
            _ => false,
        }
    }

    /// Returns what the operator can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Error::Setting { .. } => "correct the variable in the stack file or in .env and start again",
            Error::CreateFolder { .. } | Error::OpenSqlite { .. } | Error::WritersLock { .. } => {
                "check that the folder may be written by this user and the disk is not full, or name another file: DATABASE_URL=sqlite:PATH"
            }
            Error::Sqlite { .. } => {
                "check free space on the disk; `mps-api --check-ledger` tells whether the books are whole"
            }
            Error::ConnectPostgres { .. } | Error::Postgres { .. } => {
                "check that the server runs and that DATABASE_URL names a database this user owns"
            }
            Error::StartThread { .. } | Error::Runtime { .. } | Error::WatchConfiguration { .. } => {
                "check the limits on processes, memory and open files of this user"
            }
            Error::DataInRelease { .. } => {
                "name an absolute path: MPS_DATA_DIR=/FOLDER, or DATABASE_URL=sqlite:/FOLDER/mps.sqlite"
            }
            Error::NoSuchMigration { .. } => "`mps-api migrate` without --to applies all there are",
            Error::MigrateBackwards { .. } => {
                "run a newer release; to have the data of an earlier moment, restore a backup"
            }
            Error::MigrationChanged { .. } => {
                "put the file back as it was and write what is to change into a migration with a new number"
            }
            Error::BrokenOnPurpose { .. } => "take MPS_BREAK out of the environment",
            Error::Busy | Error::TimedOut => "send the request again with the same Idempotency-Key",
            Error::ThreadEnded => "restart this replica; the reason is in its log",
            Error::Listen { .. } => "another program has the port; set PORT to a free one",
        }
    }
}
