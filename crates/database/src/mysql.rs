//! MySQL and MariaDB: a connection, the rows at one moment, and the wait before the next look. Knows no back-off and no meaning of a key.

use std::time::Duration;

use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, Opts, OptsBuilder, Params, Row, SslOpts, Value};
use tend_base::{Secret, Wall};
use tokio::time::timeout;

use crate::postgres::{ANSWER_WITHIN, CONNECT_WITHIN};
use crate::row::{Raw, RawRow, is_true, moment, moment_of_number, moment_of_text};
use crate::settings::quoted;
use crate::{Address, Columns, DatabaseError, Rows, Settings, Tls};

/// A connection.
pub(crate) struct Connection {
    conn: Conn,
    at: String,
}

impl Connection {
    pub(crate) async fn open(address: &Address) -> Result<Self, DatabaseError> {
        let mut last = None;
        for (host, port) in &address.hosts {
            match Self::open_at(address, host, *port).await {
                Ok(connection) => return Ok(connection),
                // Another host would refuse the same.
                Err(error @ DatabaseError::Refused { .. }) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(DatabaseError::Address {
            why: "it names no host",
        }))
    }

    async fn open_at(address: &Address, host: &str, port: Option<u16>) -> Result<Self, DatabaseError> {
        let (opts, tls) = options(address, host, port);
        match Self::try_open(address, opts.clone().ssl_opts(tls.clone())).await {
            // The server has no TLS; it was only preferred.
            Err(Error::Driver(DriverError::NoClientSslFlagFromServer)) if address.tls() == Tls::Prefer => {
                Self::try_open(address, opts).await
            }
            tried => tried,
        }
        .map_err(|error| refused_or_unreachable(address, error))
    }

    async fn try_open(address: &Address, opts: OptsBuilder) -> Result<Self, Error> {
        let silent = || Error::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let opened = timeout(CONNECT_WITHIN, Conn::new(Opts::from(opts))).await;
        Ok(Self {
            conn: opened.unwrap_or_else(|_| Err(silent()))?,
            at: address.to_string(),
        })
    }

    /// Runs one statement, with parameters, and returns its rows.
    pub(crate) async fn rows(&mut self, what: &str, sql: &str, params: Params) -> Result<Vec<Row>, DatabaseError> {
        let asked = timeout(ANSWER_WITHIN, self.conn.exec::<Row, _, _>(sql, params)).await;
        self.answer(what, asked)
    }

    /// Runs one statement that cannot be prepared.
    pub(crate) async fn run(&mut self, what: &str, sql: &str) -> Result<Vec<Row>, DatabaseError> {
        let asked = timeout(ANSWER_WITHIN, self.conn.query::<Row, _>(sql)).await;
        self.answer(what, asked)
    }

    /// Runs one statement in which a secret stands: the server's words, which may repeat it, are not passed on.
    pub(crate) async fn run_secretly(&mut self, what: &str, sql: &Secret) -> Result<(), DatabaseError> {
        let asked = timeout(ANSWER_WITHIN, self.conn.query_drop(sql.expose())).await;
        match asked {
            Ok(Err(Error::Server(error))) => Err(DatabaseError::Statement {
                at: self.at.clone(),
                what: what.to_owned(),
                why: format!("error {} ({})", error.code, error.state),
            }),
            asked => self.answer(what, asked),
        }
    }

    fn answer<T>(
        &self,
        what: &str,
        asked: Result<Result<T, Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, DatabaseError> {
        let at = self.at.clone();
        match asked {
            Err(_) => Err(DatabaseError::Silent {
                at,
                within: ANSWER_WITHIN,
            }),
            Ok(Ok(answer)) => Ok(answer),
            // 1053: it goes down. 1317, 1927: the session was killed.
            Ok(Err(Error::Server(error))) if !matches!(error.code, 1053 | 1317 | 1927) => {
                Err(DatabaseError::Statement {
                    at,
                    what: what.to_owned(),
                    why: error.message,
                })
            }
            Ok(Err(error)) => Err(DatabaseError::Lost {
                at,
                source: Box::new(error),
            }),
        }
    }

    /// Whether it is MariaDB, by its own word.
    pub(crate) async fn is_mariadb(&mut self) -> Result<bool, DatabaseError> {
        let rows = self.rows("tell its version", "SELECT VERSION()", Params::Empty).await?;
        Ok(rows
            .first()
            .and_then(|row| text(row, 0))
            .is_some_and(|text| text.contains("MariaDB")))
    }
}

fn options(address: &Address, host: &str, port: Option<u16>) -> (OptsBuilder, Option<SslOpts>) {
    let mut opts = OptsBuilder::default()
        .user(Some(address.user.as_str()))
        .pass(address.password.as_ref().map(Secret::expose))
        .db_name(address.database.as_deref())
        .tcp_keepalive(Some(ANSWER_WITHIN))
        .prefer_socket(false);
    if host.starts_with('/') {
        // A socket needs no TLS: nobody can listen.
        return (opts.socket(Some(host)), None);
    }
    opts = opts.ip_or_hostname(host).tcp_port(port.unwrap_or(3306));
    let known = || {
        let roots = match &address.root {
            Some(path) => vec![path.clone().into()],
            None => rustls_native_certs::load_native_certs()
                .certs
                .into_iter()
                .map(|certificate| certificate.to_vec().into())
                .collect(),
        };
        SslOpts::default()
            .with_root_certs(roots)
            .with_disable_built_in_roots(true)
    };
    let unjudged = || {
        SslOpts::default()
            .with_danger_accept_invalid_certs(true)
            .with_danger_skip_domain_validation(true)
    };
    let tls = match address.tls() {
        Tls::Off => None,
        Tls::Prefer | Tls::Require => Some(unjudged()),
        // The driver cannot judge the authority without the name, since rustls tells of a wrong name in more words than it knows.
        Tls::VerifyCa | Tls::VerifyFull => Some(known()),
    };
    (opts, tls)
}

fn refused_or_unreachable(address: &Address, error: Error) -> DatabaseError {
    let at = address.to_string();
    match error {
        // Access denied (also to the database), the account is locked (MySQL, MariaDB), the password expired.
        Error::Server(refusal) if matches!(refusal.code, 1044 | 1045 | 1698 | 1820 | 1862 | 3118 | 4151) => {
            DatabaseError::Refused {
                at,
                user: address.user.clone(),
                why: refusal.message,
            }
        }
        error => DatabaseError::Unreachable {
            at,
            source: Box::new(error),
        },
    }
}

/// A connection that reads configuration.
pub(crate) struct Link {
    connection: Connection,
    settings: Settings,
}

impl Link {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, DatabaseError> {
        let mut connection = Connection::open(&settings.address).await?;
        connection.run("set its time zone", "SET time_zone = '+00:00'").await?;
        Ok(Self {
            connection,
            settings: settings.clone(),
        })
    }

    /// Reads all rows as they are at one moment.
    pub(crate) async fn read(&mut self) -> Result<Rows, DatabaseError> {
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        self.connection.run("begin to read", begin).await?;
        let mut rows = Rows::default();
        if let Some(table) = &self.settings.table {
            let sql = format!("SELECT * FROM {}", quoted(&table.name, '`'));
            let found = self
                .connection
                .rows("read the configuration", &sql, Params::Empty)
                .await;
            let found = found.map_err(|error| match error {
                DatabaseError::Statement { at, why, .. } if why.contains("doesn't exist") => DatabaseError::NoTable {
                    at,
                    table: table.name.clone(),
                },
                error => error,
            })?;
            let mut raw = Vec::new();
            for row in &found {
                raw.extend(self.row_of_table(row, &table.columns, &table.name)?);
            }
            rows.add(&table.name, true, raw);
        }
        for query in &self.settings.queries {
            let found = self
                .connection
                .rows(&format!("run the query {}", query.name), &query.sql, Params::Empty)
                .await?;
            let raw = |row: &Row| RawRow {
                key: raw(row, 0),
                value: raw(row, 1),
                created_at: None,
                updated_at: None,
                updated_by: None,
            };
            rows.add(&query.name, query.text_is_json, found.iter().map(raw).collect());
        }
        self.connection.run("end to read", "COMMIT").await?;
        Ok(rows)
    }

    fn row_of_table(&self, row: &Row, columns: &Columns, table: &str) -> Result<Option<RawRow>, DatabaseError> {
        let index = |name: &str| {
            let mut names = row.columns_ref().iter();
            names.position(|column| column.name_str().eq_ignore_ascii_case(name))
        };
        let needed = |name: &str| {
            index(name).ok_or_else(|| DatabaseError::NoColumn {
                at: self.connection.at.clone(),
                table: table.to_owned(),
                column: name.to_owned(),
            })
        };
        let (key, value) = (needed(&columns.key)?, needed(&columns.value)?);
        let active = index(&columns.is_active).is_none_or(|index| match &row[index] {
            Value::Int(number) => *number != 0,
            Value::UInt(number) => *number != 0,
            // BIT(1) is a byte, not a digit.
            Value::Bytes(bytes) => bytes.as_slice() == [1] || is_true(&String::from_utf8_lossy(bytes)),
            _ => false,
        });
        let moment = |name: &str| index(name).and_then(|index| moment_of(&row[index]));
        Ok(active.then(|| RawRow {
            key: raw(row, key),
            value: raw(row, value),
            created_at: moment(&columns.created_at),
            updated_at: moment(&columns.updated_at),
            updated_by: index(&columns.updated_by).and_then(|index| text(row, index)),
        }))
    }

    /// Waits until it is time to look again: this server announces nothing.
    pub(crate) async fn changed(&mut self) -> Result<(), DatabaseError> {
        tokio::time::sleep(self.settings.poll.max(Duration::from_millis(1))).await;
        Ok(())
    }
}

/// Returns a column as text.
pub(crate) fn text(row: &Row, index: usize) -> Option<String> {
    match row.as_ref(index)? {
        Value::NULL => None,
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Returns a column as a number that counts something.
pub(crate) fn count(row: &Row, index: usize) -> Option<u64> {
    text(row, index)?.parse().ok()
}

fn raw(row: &Row, index: usize) -> Raw {
    let Some(value) = row.as_ref(index) else {
        return Raw::Null;
    };
    let kind = row.columns_ref()[index].column_type();
    match value {
        Value::NULL => Raw::Null,
        Value::Int(number) => Raw::Json(number.to_string()),
        Value::UInt(number) => Raw::Json(number.to_string()),
        Value::Float(number) => Raw::Json(number.to_string()),
        Value::Double(number) => Raw::Json(number.to_string()),
        Value::Bytes(bytes) => match (String::from_utf8(bytes.clone()), kind) {
            (_, ColumnType::MYSQL_TYPE_BIT) => Raw::Json(
                bytes
                    .iter()
                    .fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
                    .to_string(),
            ),
            (
                Ok(text),
                ColumnType::MYSQL_TYPE_JSON | ColumnType::MYSQL_TYPE_NEWDECIMAL | ColumnType::MYSQL_TYPE_DECIMAL,
            ) => Raw::Json(text),
            (Ok(text), _) => Raw::Text(text),
            (Err(_), _) => Raw::Bytes,
        },
        Value::Date(..) | Value::Time(..) => {
            moment_of(value).map_or(Raw::Bytes, |moment| Raw::Text(moment.to_rfc3339()))
        }
    }
}

fn moment_of(value: &Value) -> Option<Wall> {
    match value {
        Value::Date(year, month, day, hour, minute, second, micros) => moment(
            [u64::from(*year), u64::from(*month), u64::from(*day)],
            [u64::from(*hour), u64::from(*minute), u64::from(*second)],
            u64::from(*micros / 1000),
        ),
        Value::Int(number) => moment_of_number(*number),
        Value::UInt(number) => moment_of_number(i64::try_from(*number).ok()?),
        Value::Bytes(bytes) => moment_of_text(std::str::from_utf8(bytes).ok()?),
        _ => None,
    }
}
