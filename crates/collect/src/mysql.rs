//! A MySQL or MariaDB server, as Debian's `prometheus-mysqld-exporter` gives it by default. Owns the connection and the round; what the answers
//! mean is in `status` and `schema`.

mod schema;
mod status;

use std::time::Duration;

use tend_database::{Address, Answer, DatabaseError, Session};
use tokio::time::timeout;

use crate::CollectError;
use crate::collector::{Collecting, Collector, ROUND_WITHIN};
use crate::families::Families;

/// One server.
pub struct Mysql {
    address: Address,
    session: Option<Session>,
    within: Duration,
    trouble: Option<String>,
}

impl Mysql {
    /// Makes the collector of a server; connects at its first round.
    ///
    /// The user needs the rights `PROCESS` and `REPLICATION CLIENT` (MariaDB: `SLAVE MONITOR`) to see everything.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            session: None,
            within: ROUND_WITHIN,
            trouble: None,
        }
    }

    /// Has a round take so long at most, with connecting; eight seconds otherwise.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    async fn round(&mut self) -> Result<String, CollectError> {
        // A round that is given up must not leave its half-asked connection to the next.
        let kept = self.session.take();
        let mut troubles = Vec::new();
        let (mut out, is_up) = match timeout(self.within, round(&self.address, kept, &mut troubles)).await {
            Ok(Ok((session, out))) => {
                self.session = Some(session);
                (out, true)
            }
            Ok(Err(error)) => {
                troubles = vec![error.with_causes()];
                (Families::new(), false)
            }
            Err(_) => {
                let silent = DatabaseError::Silent {
                    at: self.address.to_string(),
                    within: self.within,
                };
                troubles = vec![silent.to_string()];
                (Families::new(), false)
            }
        };
        out.gauge(
            "mysql_up",
            "Whether the MySQL server is up.",
            &[],
            f64::from(u8::from(is_up)),
        );
        if is_up {
            out.gauge(
                "mysql_exporter_last_scrape_error",
                "Whether the last scrape of metrics from MySQL resulted in an error (1 for error, 0 for success).",
                &[],
                f64::from(u8::from(!troubles.is_empty())),
            );
        }
        self.trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
        Ok(out.text())
    }
}

impl Collector for Mysql {
    fn collect(&mut self) -> Collecting<'_> {
        Box::pin(self.round())
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

async fn open(address: &Address, kept: Option<Session>) -> Result<(Session, Answer), DatabaseError> {
    const VERSION: &str = "SELECT VERSION() AS version";
    if let Some(mut session) = kept
        && let Ok(answer) = session.ask("tell its version", VERSION).await
    {
        return Ok((session, answer));
    }
    let mut session = Session::open(address).await?;
    let answer = session.ask("tell its version", VERSION).await?;
    Ok((session, answer))
}

type Take = fn(&Answer, &mut Families);

async fn round(
    address: &Address,
    kept: Option<Session>,
    troubles: &mut Vec<String>,
) -> Result<(Session, Families), DatabaseError> {
    let (mut session, version) = open(address, kept).await?;
    let row = version.rows.first().map(Vec::as_slice).unwrap_or_default();
    let replication = status::replication_sql(version.get(row, "version").unwrap_or_default());
    let mut out = Families::new();
    let parts: [(&str, &str, Take); 5] = [
        ("tell its status", "SHOW GLOBAL STATUS", status::status),
        ("tell its variables", "SHOW GLOBAL VARIABLES", status::variables),
        ("tell its replication", replication, status::replication),
        ("read innodb_cmp", schema::COMPRESSION_SQL, schema::compression),
        (
            "read innodb_cmpmem",
            schema::COMPRESSION_MEMORY_SQL,
            schema::compression_memory,
        ),
    ];
    for (what, sql, take) in parts {
        match session.ask(what, sql).await {
            Ok(answer) => take(&answer, &mut out),
            Err(error @ DatabaseError::Statement { .. }) => troubles.push(error.with_causes()),
            Err(error) => return Err(error),
        }
    }
    // A plugin that few have: that the server does not know it is no trouble.
    for (sql, take) in schema::RESPONSE_TIMES {
        match session.ask("tell how long statements take", sql).await {
            Ok(answer) => take(&answer, &mut out),
            Err(DatabaseError::Statement { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok((session, out))
}
