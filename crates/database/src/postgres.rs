//! PostgreSQL: a connection, the rows at one moment, and the wait for a change. Knows no back-off and no meaning of a key.
//!
//! A change is announced by `NOTIFY` where the trigger of [`crate::install`] stands on every table that is read; the rows are read after
//! `LISTEN`, so nothing falls between the two. Everywhere else the rows are read again and again. A cheap look at the catalog, every
//! [`crate::Settings::poll`], tells which of the two it is, that no table was replaced, and that the server is still there.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tend_base::Wall;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, SimpleQueryMessage, SimpleQueryRow};

use crate::install::{CHANNEL, FUNCTION};
use crate::row::{Raw, RawRow};
use crate::settings::{literal, quoted};
use crate::tls::Connect;
use crate::{Address, DatabaseError, Query, Rows, Settings, Table, Tls};

/// To reach a server and be let in.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// For one question to a server. A table of configuration is read in milliseconds.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Even where changes are announced the rows are read so often: triggers can be disabled, and restores do not fire them. The guides
/// poll every 30 s.
const READ_ANYWAY: Duration = Duration::from_secs(30);

/// A connection. Its task ends with it.
pub(crate) struct Connection {
    pub(crate) client: Client,
    at: String,
    /// A change was announced, or the connection ended.
    told: Arc<Notify>,
    ended: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    pub(crate) async fn open(address: &Address) -> Result<Self, DatabaseError> {
        let at = address.to_string();
        let connect = Connect::new(address)?;
        let config = config(address);
        let connecting = timeout(CONNECT_WITHIN, config.connect(connect));
        let (client, mut connection) = connecting
            .await
            .map_err(|_| DatabaseError::Silent {
                at: at.clone(),
                within: CONNECT_WITHIN,
            })?
            .map_err(|error| refused_or_unreachable(address, error))?;
        let told = Arc::new(Notify::new());
        let ended = Arc::new(AtomicBool::new(false));
        let (tell, end) = (told.clone(), ended.clone());
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    // One permit is kept however many come: many changes are read once.
                    tell.notify_one();
                }
            }
            end.store(true, Ordering::Release);
            tell.notify_one();
        });
        Ok(Self {
            client,
            at,
            told,
            ended,
            task,
        })
    }

    /// Runs statements without parameters, and returns the rows of each.
    pub(crate) async fn simple(&self, what: &str, sql: &str) -> Result<Vec<Vec<SimpleQueryRow>>, DatabaseError> {
        let asked = timeout(ANSWER_WITHIN, self.client.simple_query(sql)).await;
        let messages = asked
            .map_err(|_| DatabaseError::Silent {
                at: self.at.clone(),
                within: ANSWER_WITHIN,
            })?
            .map_err(|error| failed(&self.at, what, error))?;
        let mut sets = vec![Vec::new()];
        for message in messages {
            match message {
                SimpleQueryMessage::Row(row) => sets.last_mut().expect("there is one").push(row),
                SimpleQueryMessage::CommandComplete(_) => sets.push(Vec::new()),
                _ => {}
            }
        }
        sets.pop();
        Ok(sets)
    }

    /// Returns the first column of the first row of one statement.
    pub(crate) async fn text(&self, what: &str, sql: &str) -> Result<Option<String>, DatabaseError> {
        let sets = self.simple(what, sql).await?;
        let row = sets.first().and_then(|rows| rows.first());
        Ok(row.and_then(|row| row.get(0)).map(str::to_owned))
    }
}

fn config(address: &Address) -> Config {
    let mut config = Config::new();
    config
        .user(&address.user)
        .application_name("tend")
        .connect_timeout(CONNECT_WITHIN)
        // A peer that is gone without a word is noticed by the looks at the catalog; this is for what lies in between.
        .tcp_user_timeout(ANSWER_WITHIN)
        .keepalives_idle(ANSWER_WITHIN);
    if let Some(password) = &address.password {
        config.password(password.expose());
    }
    config.dbname(address.database.as_deref().unwrap_or(&address.user));
    let mut socket = false;
    for (host, port) in &address.hosts {
        socket |= host.starts_with('/');
        config.host(host).port(port.unwrap_or(5432));
    }
    if let Some(path) = &address.search_path {
        config.options(format!(
            "-c search_path={}",
            path.replace('\\', "\\\\").replace(' ', "\\ ")
        ));
    }
    config.ssl_mode(match address.tls() {
        _ if socket => SslMode::Disable,
        Tls::Off => SslMode::Disable,
        Tls::Prefer => SslMode::Prefer,
        Tls::Require | Tls::VerifyCa | Tls::VerifyFull => SslMode::Require,
    });
    config
}

/// Returns whether a server's word is that this user is not let in, and not that it cannot serve now.
fn is_refusal(state: &SqlState) -> bool {
    *state == SqlState::INVALID_PASSWORD || *state == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
}

fn refused_or_unreachable(address: &Address, error: tokio_postgres::Error) -> DatabaseError {
    let at = address.to_string();
    match error.as_db_error() {
        Some(refusal) if is_refusal(refusal.code()) => DatabaseError::Refused {
            at,
            user: address.user.clone(),
            why: refusal.message().to_owned(),
        },
        _ => DatabaseError::Unreachable {
            at,
            source: Box::new(error),
        },
    }
}

fn failed(at: &str, what: &str, error: tokio_postgres::Error) -> DatabaseError {
    match error.as_db_error() {
        // The server goes down, or ended this session.
        Some(refusal) if refusal.code().code().starts_with("57P") => DatabaseError::Lost {
            at: at.to_owned(),
            source: Box::new(error),
        },
        Some(refusal) => DatabaseError::Statement {
            at: at.to_owned(),
            what: what.to_owned(),
            why: refusal.message().to_owned(),
        },
        None => DatabaseError::Lost {
            at: at.to_owned(),
            source: Box::new(error),
        },
    }
}

/// A connection that reads configuration.
pub(crate) struct Link {
    connection: Connection,
    read: String,
    look: String,
    table: Option<String>,
    sources: Vec<(String, bool)>,
    /// What the last look saw.
    seen: String,
    /// Whether all that is read announces its changes.
    announced: bool,
    can_listen: bool,
    all_named: bool,
    read_at: Instant,
    poll: Duration,
}

impl Link {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, DatabaseError> {
        let connection = Connection::open(&settings.address).await?;
        // A standby cannot listen; it is polled.
        let can_listen = connection.simple("listen", &format!("LISTEN {CHANNEL}")).await.is_ok();
        connection
            .simple("set a limit", "SET statement_timeout = '10s'; SET lock_timeout = '5s'")
            .await?;
        let mut watched: Vec<&str> = settings.table.iter().map(|table| table.name.as_str()).collect();
        watched.extend(
            settings
                .queries
                .iter()
                .flat_map(|query| &query.tables)
                .map(String::as_str),
        );
        let mut sources: Vec<(String, bool)> = settings.table.iter().map(|table| (table.name.clone(), true)).collect();
        sources.extend(
            settings
                .queries
                .iter()
                .map(|query| (query.name.clone(), query.text_is_json)),
        );
        Ok(Self {
            connection,
            read: read_sql(settings),
            look: look_sql(&watched),
            table: settings.table.as_ref().map(|table| table.name.clone()),
            sources,
            seen: String::new(),
            announced: false,
            can_listen,
            all_named: settings.queries.iter().all(|query| !query.tables.is_empty()),
            read_at: Instant::now(),
            poll: settings.poll,
        })
    }

    /// Reads all rows as they are at one moment.
    pub(crate) async fn read(&mut self) -> Result<Rows, DatabaseError> {
        self.look().await?;
        let at = self.connection.at.clone();
        if let (Some(table), true) = (&self.table, self.seen.starts_with('-')) {
            let table = table.clone();
            return Err(DatabaseError::NoTable { at, table });
        }
        // After an error this connection is given up, and a transaction that is open in it with it.
        let sets = self.connection.simple("read the configuration", &self.read).await?;
        self.read_at = Instant::now();
        let mut rows = Rows::default();
        // The first is BEGIN, the last COMMIT.
        let inner = sets.len().saturating_sub(2);
        if inner != self.sources.len() {
            return Err(DatabaseError::Statement {
                at,
                what: "read the configuration".to_owned(),
                why: "a query is more than one statement".to_owned(),
            });
        }
        for ((name, text_is_json), set) in self.sources.iter().zip(sets.iter().skip(1)) {
            rows.add(name, *text_is_json, set.iter().map(raw).collect());
        }
        Ok(rows)
    }

    /// Waits until the rows may have changed.
    pub(crate) async fn changed(&mut self) -> Result<(), DatabaseError> {
        loop {
            let told = timeout(self.poll, self.connection.told.notified()).await.is_ok();
            if self.connection.ended.load(Ordering::Acquire) {
                return Err(DatabaseError::Lost {
                    at: self.connection.at.clone(),
                    source: "the server ended it".into(),
                });
            }
            if told || !self.announced || self.read_at.elapsed() >= READ_ANYWAY || self.look().await? {
                return Ok(());
            }
        }
    }

    /// Looks at the catalog, and returns whether something is otherwise than at the look before.
    async fn look(&mut self) -> Result<bool, DatabaseError> {
        let seen = self
            .connection
            .text("look at its catalog", &self.look)
            .await?
            .unwrap_or_default();
        let every = seen
            .split(',')
            .all(|table| table.ends_with(":O") || table.ends_with(":A"));
        self.announced = self.can_listen && self.all_named && every;
        let otherwise = seen != self.seen;
        self.seen = seen;
        Ok(otherwise)
    }
}

/// Returns the text of the statements that read everything at one moment.
fn read_sql(settings: &Settings) -> String {
    let table = settings.table.as_ref().map(table_sql);
    let queries = settings.queries.iter().map(query_sql);
    let selects: Vec<String> = table.into_iter().chain(queries).collect();
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;\n{};\nCOMMIT",
        selects.join(";\n")
    )
}

/// Columns that may be missing are asked for through JSON, where what is not there is NULL.
fn table_sql(table: &Table) -> String {
    let columns = &table.columns;
    let (key, value) = (quoted(&columns.key, '"'), quoted(&columns.value, '"'));
    let field = |name: &str| format!("(to_json(t)->>{})", literal(name));
    let millis = |name: &str| format!("(extract(epoch FROM {}::timestamptz) * 1000)::bigint", field(name));
    let active = field(&columns.is_active);
    format!(
        "SELECT t.{key}::text, t.{value}::text, {}, {}, {} FROM {} t \
         WHERE to_json(t)->{} IS NULL OR coalesce({active}::boolean, false)",
        millis(&columns.created_at),
        millis(&columns.updated_at),
        field(&columns.updated_by),
        quoted(&table.name, '"'),
        literal(&columns.is_active),
    )
}

fn query_sql(query: &Query) -> String {
    let value = if query.text_is_json {
        "q.v::text"
    } else {
        "to_json(q.v)::text"
    };
    let sql = query.sql.trim().trim_end_matches(';');
    // A comment at the end of the query must not hide what follows.
    format!("SELECT q.k::text, {value} FROM (\n{sql}\n) AS q(k, v)")
}

/// Returns the look at the catalog: for each table its id and the state of our trigger, `-:-` for one that is not there.
fn look_sql(tables: &[&str]) -> String {
    let mut values: Vec<String> = tables
        .iter()
        .enumerate()
        .map(|(number, table)| format!("({number}, {})", literal(&quoted(table, '"'))))
        .collect();
    if values.is_empty() {
        values.push("(0, NULL::text)".to_owned());
    }
    format!(
        "SELECT string_agg(coalesce(c.oid::text, '-') || ':' || coalesce(g.enabled, '-'), ',' ORDER BY n.i) \
         FROM (VALUES {}) n(i, name) \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = to_regclass(n.name) \
         LEFT JOIN LATERAL (SELECT min(g.tgenabled::text) AS enabled FROM pg_catalog.pg_trigger g \
           JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid \
           WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND p.proname = '{FUNCTION}') g ON true",
        values.join(", ")
    )
}

fn raw(row: &SimpleQueryRow) -> RawRow {
    let get = |index| if index < row.len() { row.get(index) } else { None };
    let moment = |index| get(index).and_then(|text| text.parse().ok()).map(Wall);
    let text = |index, make: fn(String) -> Raw| get(index).map_or(Raw::Null, |text: &str| make(text.to_owned()));
    RawRow {
        key: text(0, Raw::Text),
        // What is no JSON column is cast to text and must be JSON; a query's value was made JSON by the server.
        value: text(1, Raw::Json),
        created_at: moment(2),
        updated_at: moment(3),
        updated_by: get(4).map(str::to_owned),
    }
}
