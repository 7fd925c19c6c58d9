//! Statements on PostgreSQL.
//!
//! Connections are in the clear (`NoTls`): the database is reached over loopback, a unix socket or a private network.

use std::collections::HashMap;
use std::time::Duration;

use ::postgres::types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use ::postgres::{Client, Config, NoTls, Statement, Transaction};

use super::{Dialect, Row, Statements, Value};
use crate::Error;

/// How long a server may take to accept a connection; one that is down refuses at once, one that is cut off says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A PostgreSQL connection with the statements it has prepared.
pub struct Postgres {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
}

impl Postgres {
    /// Connects to `url` (`postgresql://user:password@host:port/database` or libpq's `host=… dbname=…`).
    pub fn connect(url: &str) -> Result<Self, Error> {
        let client = url.parse::<Config>().and_then(|mut config| {
            config.connect_timeout(CONNECT_TIMEOUT).application_name("mps-api");
            config.connect(NoTls)
        });
        let client = client.map_err(|source| Error::ConnectPostgres { source })?;
        Ok(Postgres {
            client,
            prepared: HashMap::new(),
        })
    }

    /// Tells whether the connection is gone and must be made anew.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs `work` in a transaction opened by `begin`; commits where it succeeds, rolls back where it fails.
    ///
    /// An error of the commit itself leaves the outcome unknown.
    pub fn transaction<T>(
        &mut self,
        begin: Begin,
        work: impl FnOnce(&mut PostgresTransaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Postgres { client, prepared } = self;
        let mut builder = client.build_transaction();
        if begin == Begin::Snapshot {
            builder = builder
                .isolation_level(::postgres::IsolationLevel::RepeatableRead)
                .read_only(true);
        }
        let transaction = builder
            .start()
            .map_err(|source| Error::Postgres { sql: "BEGIN", source })?;
        let mut statements = PostgresTransaction { transaction, prepared };
        let value = work(&mut statements)?;
        statements
            .transaction
            .commit()
            .map_err(|source| Error::Postgres { sql: "COMMIT", source })?;
        Ok(value)
    }
}

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// To write: read committed, rows locked by `FOR UPDATE` where the ledger says so.
    Write,
    /// To read: everything seen is of one instant.
    Snapshot,
}

/// An open transaction; rolled back when dropped.
pub struct PostgresTransaction<'a> {
    transaction: Transaction<'a>,
    prepared: &'a mut HashMap<&'static str, Statement>,
}

impl PostgresTransaction<'_> {
    fn prepare(&mut self, sql: &'static str) -> Result<Statement, Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self
            .transaction
            .prepare(sql)
            .map_err(|source| Error::Postgres { sql, source })?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }
}

impl Statements for PostgresTransaction<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn script(&mut self, name: &'static str, sql: &'static str) -> Result<(), Error> {
        self.transaction
            .batch_execute(sql)
            .map_err(|source| Error::Postgres { sql: name, source })
    }

    fn execute(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<u64, Error> {
        let statement = self.prepare(sql)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
        self.transaction
            .execute(&statement, &params)
            .map_err(|source| Error::Postgres { sql, source })
    }

    fn query(&mut self, sql: &'static str, params: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
        let rows = self
            .transaction
            .query(&statement, &params)
            .map_err(|source| Error::Postgres { sql, source })?;
        Ok(rows
            .iter()
            .map(|row| Row((0..row.len()).map(|column| row.get(column)).collect()))
            .collect())
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(int) => int.to_sql_checked(ty, out),
            Value::Text(text) => text.as_ref().to_sql_checked(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true // each value checks the column's type itself when it is written
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value<'static> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        if *ty == Type::INT8 {
            i64::from_sql(ty, raw).map(Value::Int)
        } else {
            String::from_sql(ty, raw).map(|text| Value::Text(text.into()))
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INT8 || <String as FromSql>::accepts(ty)
    }
}
