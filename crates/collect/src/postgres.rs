//! A PostgreSQL server, as Debian's `prometheus-postgres-exporter` gives it by default, and what its newer versions add. Owns the connection and
//! the round; the statements are in `parts`.

mod columns;
mod parts;
mod settings;

use std::time::Duration;

use tend_database::{Address, Answer, DatabaseError, Session};
use tokio::time::timeout;

use crate::CollectError;
use crate::collector::{Collecting, Collector, ROUND_WITHIN};
use crate::families::Families;

/// One server, seen from the database that its address names.
pub struct Postgres {
    address: Address,
    server: String,
    session: Option<Session>,
    within: Duration,
    trouble: Option<String>,
}

impl Postgres {
    /// Makes the collector of a server; connects at its first round.
    ///
    /// The user needs the role `pg_monitor` to see everything.
    #[must_use]
    pub fn new(address: Address) -> Self {
        // As the exporter names it: by the first host.
        let (host, port) = address.hosts().first().cloned().unwrap_or_default();
        Self {
            server: format!("{host}:{}", port.unwrap_or(5432)),
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
        let asked = timeout(self.within, round(&self.address, &self.server, kept, &mut troubles)).await;
        let (mut out, is_up) = match asked {
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
            "pg_up",
            "Whether the last scrape of metrics from PostgreSQL was able to connect to the server (1 for yes, 0 for no).",
            &[],
            f64::from(u8::from(is_up)),
        );
        if is_up {
            out.gauge(
                "pg_exporter_last_scrape_error",
                "Whether the last scrape of metrics from PostgreSQL resulted in an error (1 for error, 0 for success).",
                &[],
                f64::from(u8::from(!troubles.is_empty())),
            );
        }
        self.trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
        Ok(out.text())
    }
}

impl Collector for Postgres {
    fn collect(&mut self) -> Collecting<'_> {
        Box::pin(self.round())
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

/// What is asked first: it says whether a kept connection still lives.
const VERSION: &str = "SELECT version(), current_setting('server_version_num')";

async fn open(address: &Address, kept: Option<Session>) -> Result<(Session, Answer), DatabaseError> {
    if let Some(mut session) = kept
        && let Ok(answer) = session.ask("tell its version", VERSION).await
    {
        return Ok((session, answer));
    }
    let mut session = Session::open(address).await?;
    let answer = session.ask("tell its version", VERSION).await?;
    Ok((session, answer))
}

async fn round(
    address: &Address,
    server: &str,
    kept: Option<Session>,
    troubles: &mut Vec<String>,
) -> Result<(Session, Families), DatabaseError> {
    let (mut session, version) = open(address, kept).await?;
    let mut out = Families::new();
    let number = columns::version(&version, &mut out);
    for part in parts::parts(number) {
        match session.ask(part.what, &part.sql).await {
            Ok(answer) => (part.take)(&answer, &mut out),
            Err(error @ DatabaseError::Statement { .. }) => troubles.push(error.with_causes()),
            Err(error) => return Err(error),
        }
    }
    match statements(&mut session, number, &mut out).await {
        Err(error @ DatabaseError::Statement { .. }) => troubles.push(error.with_causes()),
        asked => asked?,
    }
    out.label_all("server", server);
    Ok((session, out))
}

/// Slow statements, where the extension is.
async fn statements(session: &mut Session, number: u32, out: &mut Families) -> Result<(), DatabaseError> {
    let found = session
        .ask("look for pg_stat_statements", parts::HAS_STATEMENTS)
        .await?;
    let Some(schema) = found.rows.first().and_then(|row| found.get(row, "schema")) else {
        return Ok(());
    };
    let answer = session
        .ask("read pg_stat_statements", &parts::statements(number, schema))
        .await?;
    columns::take(&parts::STATEMENTS, &answer, out);
    Ok(())
}
