//! One connection that reads configuration, whatever the database. Knows no SQL.

use crate::{DatabaseError, Engine, Rows, Settings, mysql, postgres, sqlite};

pub(crate) enum Link {
    Postgres(Box<postgres::Link>),
    Mysql(Box<mysql::Link>),
    Sqlite(Box<sqlite::Link>),
}

impl Link {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, DatabaseError> {
        Ok(match settings.address.engine() {
            Engine::Postgres => Self::Postgres(Box::new(postgres::Link::open(settings).await?)),
            Engine::Mysql => Self::Mysql(Box::new(mysql::Link::open(settings).await?)),
            Engine::Sqlite => Self::Sqlite(Box::new(sqlite::Link::open(settings).await?)),
        })
    }

    /// Reads all rows as they are at one moment. After an error the link is of no use any more.
    pub(crate) async fn read(&mut self) -> Result<Rows, DatabaseError> {
        match self {
            Self::Postgres(link) => link.read().await,
            Self::Mysql(link) => link.read().await,
            Self::Sqlite(link) => link.read().await,
        }
    }

    /// Waits until the rows may have changed since they were read last.
    pub(crate) async fn changed(&mut self) -> Result<(), DatabaseError> {
        match self {
            Self::Postgres(link) => link.changed().await,
            Self::Mysql(link) => link.changed().await,
            Self::Sqlite(link) => link.changed().await,
        }
    }
}
