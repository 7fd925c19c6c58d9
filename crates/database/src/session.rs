//! A connection for statements that somebody else wrote, answered as text. Knows no statement and no back-off.
//!
//! Who collects metrics, say, brings the SQL; reaching the server, TLS, time limits and what went wrong are the same for everybody.

use crate::{Address, DatabaseError, Engine, mysql, postgres};

/// What one statement gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The names of its columns; empty on PostgreSQL when there is no row.
    pub columns: Vec<String>,
    /// Its rows, each value as the server writes it, `None` for NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Answer {
    /// Returns the value of a column in a row; `None` when it is NULL or there is no such column. Where several columns have the name, it is
    /// the last of them.
    #[must_use]
    pub fn get<'a>(&self, row: &'a [Option<String>], column: &str) -> Option<&'a str> {
        let index = self.columns.iter().rposition(|name| name == column)?;
        row.get(index)?.as_deref()
    }
}

/// A connection to a server. After an error that [`DatabaseError::is_transient`] it is of no use any more.
pub struct Session(Kind);

enum Kind {
    Postgres(Box<postgres::Connection>),
    Mysql(Box<mysql::Connection>),
}

impl Session {
    /// Connects, which takes at most five seconds a host.
    ///
    /// # Errors
    /// When the server is not reached or refuses the user, and when the address is that of a file.
    pub async fn open(address: &Address) -> Result<Self, DatabaseError> {
        Ok(Self(match address.engine() {
            Engine::Postgres => Kind::Postgres(Box::new(postgres::Connection::open(address).await?)),
            Engine::Mysql => Kind::Mysql(Box::new(mysql::Connection::open(address).await?)),
            Engine::Sqlite => {
                return Err(DatabaseError::Address {
                    why: "it is that of a file, where a server is needed",
                });
            }
        }))
    }

    /// Runs one statement without parameters and returns its rows; `what` says in an error what could not be done. It may take ten seconds.
    ///
    /// # Errors
    /// When the server refuses the statement, ends the session or does not answer in time.
    pub async fn ask(&mut self, what: &str, sql: &str) -> Result<Answer, DatabaseError> {
        match &mut self.0 {
            Kind::Postgres(connection) => {
                let rows = connection
                    .simple(what, sql)
                    .await?
                    .into_iter()
                    .next()
                    .unwrap_or_default();
                let columns = rows.first().map(|row| row.columns()).unwrap_or_default();
                Ok(Answer {
                    columns: columns.iter().map(|column| column.name().to_owned()).collect(),
                    rows: rows
                        .iter()
                        .map(|row| (0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
                        .collect(),
                })
            }
            Kind::Mysql(connection) => {
                let rows = connection.run(what, sql).await?;
                let columns = rows.first().map(|row| row.columns_ref()).unwrap_or_default();
                Ok(Answer {
                    columns: columns.iter().map(|column| column.name_str().into_owned()).collect(),
                    rows: rows
                        .iter()
                        .map(|row| (0..row.len()).map(|index| mysql::text(row, index)).collect())
                        .collect(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tend_base::Secret;

    use super::*;

    #[test]
    fn a_column_is_found_by_its_last_name() {
        let answer = Answer {
            columns: ["a", "b", "a"].map(str::to_owned).to_vec(),
            rows: vec![vec![Some("1".to_owned()), None, Some("3".to_owned())]],
        };
        let row = &answer.rows[0];
        assert_eq!(
            ["a", "b", "c"].map(|name| answer.get(row, name)),
            [Some("3"), None, None]
        );
        assert_eq!(answer.get(&[], "a"), None);
    }

    #[tokio::test]
    async fn a_file_is_no_server() {
        let address = Address::parse(&Secret::new("sqlite:shop.db".to_owned()), Path::new("/srv")).unwrap();
        let refused = Session::open(&address).await.err().unwrap();
        assert!(refused.to_string().ends_with("where a server is needed"), "{refused}");
    }
}
