//! What each path and method means.

use hyper::Method;
use serde::de::DeserializeOwned;

use crate::ledger::{Command, Page, Query, Refusal, StatementOf};

/// Lines of a statement's page where the request names no number.
const PAGE_LIMIT_DEFAULT: i64 = 100;

/// The pattern of the path that takes payments.
pub(super) const PAY: &str = "/api/payment/pay";

/// Reads a command from a request's body.
pub(super) type ReadCommand = fn(&[u8]) -> Result<Command, serde_json::Error>;

/// What a request asks for.
pub(super) enum Route {
    /// `/health`.
    Health,
    /// `/ready`.
    Ready,
    /// `/metrics`.
    Metrics,
    /// `/api/break`.
    Break,
    /// `/api/version`.
    Version,
    /// `/admin/quiesce`.
    Quiesce,
    /// `/admin/in-flight`.
    InFlight,
    /// `/ws`: the payments of this merchant, or why it cannot be told whose.
    Socket(Result<String, Refusal>),
    /// `/api/ledger/check`.
    LedgerCheck,
    /// A change of the books; the body says which.
    Write(ReadCommand),
    /// A question, or why it cannot be one.
    Read(Result<Query, Refusal>),
    /// The path exists, but not with this method; holds the one it has.
    WrongMethod(&'static str),
    /// No such path.
    Unknown,
}

fn read<C: DeserializeOwned>(body: &[u8], make: fn(C) -> Command) -> Result<Command, serde_json::Error> {
    serde_json::from_slice(body).map(make)
}

/// Returns what a request asks for, and the pattern of its path for the metrics.
pub(super) fn route(method: &Method, path: &str, query: Option<&str>) -> (Route, &'static str) {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let get = |route: Route| {
        if *method == Method::GET || *method == Method::HEAD {
            route
        } else {
            Route::WrongMethod("GET, HEAD")
        }
    };
    let write = |read: ReadCommand| {
        if *method == Method::POST {
            Route::Write(read)
        } else {
            Route::WrongMethod("POST")
        }
    };
    let statement = |of: StatementOf| get(Route::Read(page(query).map(|page| Query::Statement(of, page))));
    match segments.as_slice() {
        ["health"] => (get(Route::Health), "/health"),
        ["ready"] => (get(Route::Ready), "/ready"),
        ["metrics"] => (get(Route::Metrics), "/metrics"),
        ["api", "break"] if *method == Method::POST => (Route::Break, "/api/break"),
        ["api", "break"] => (Route::WrongMethod("POST"), "/api/break"),
        ["api", "version"] => (get(Route::Version), "/api/version"),
        ["admin", "quiesce"] if *method == Method::POST => (Route::Quiesce, "/admin/quiesce"),
        ["admin", "quiesce"] => (Route::WrongMethod("POST"), "/admin/quiesce"),
        ["admin", "in-flight"] => (get(Route::InFlight), "/admin/in-flight"),
        ["ws"] if *method == Method::GET => (Route::Socket(merchant(query)), "/ws"),
        ["ws"] => (Route::WrongMethod("GET"), "/ws"),
        ["api", "ledger", "check"] => (get(Route::LedgerCheck), "/api/ledger/check"),
        ["api", "qr", "rotate"] => (write(|body| read(body, Command::RotateQr)), "/api/qr/rotate"),
        ["api", "payment", "pay"] => (write(|body| read(body, Command::Pay)), PAY),
        ["api", "payment", "refund"] => (write(|body| read(body, Command::Refund)), "/api/payment/refund"),
        ["api", "payment", "recharge"] => (write(|body| read(body, Command::Recharge)), "/api/payment/recharge"),
        ["api", "levels"] => (get(Route::Read(Ok(Query::Levels))), "/api/levels"),
        ["api", "transactions", id] => (
            get(Route::Read(Ok(Query::Transaction((*id).to_owned())))),
            "/api/transactions/{id}",
        ),
        ["api", "merchants"] => (write(|body| read(body, Command::CreateMerchant)), "/api/merchants"),
        ["api", "merchants", id] => (
            get(Route::Read(Ok(Query::Merchant((*id).to_owned())))),
            "/api/merchants/{id}",
        ),
        ["api", "merchants", id, "statement"] => (
            statement(StatementOf::Merchant((*id).to_owned())),
            "/api/merchants/{id}/statement",
        ),
        ["api", "members"] => (write(|body| read(body, Command::CreateMember)), "/api/members"),
        ["api", "members", id] => (
            get(Route::Read(Ok(Query::Member((*id).to_owned())))),
            "/api/members/{id}",
        ),
        ["api", "members", id, "statement"] => (
            statement(StatementOf::Member((*id).to_owned())),
            "/api/members/{id}/statement",
        ),
        ["api", "cards"] => (write(|body| read(body, Command::CreateCard)), "/api/cards"),
        ["api", "cards", id] => (get(Route::Read(Ok(Query::Card((*id).to_owned())))), "/api/cards/{id}"),
        ["api", "cards", id, "statement"] => (
            statement(StatementOf::Card((*id).to_owned())),
            "/api/cards/{id}/statement",
        ),
        _ => (Route::Unknown, "unknown"),
    }
}

/// Reads `merchant=…`. An identifier never holds a character that needs percent-encoding.
fn merchant(query: Option<&str>) -> Result<String, Refusal> {
    let merchant = query.unwrap_or_default().strip_prefix("merchant=");
    merchant
        .filter(|id| !id.is_empty() && !id.contains('&'))
        .map(str::to_owned)
        .ok_or(Refusal::Invalid {
            field: "query",
            expected: "`merchant=ID` only",
        })
}

/// Reads `after=…&limit=…`. Neither value ever holds a character that needs percent-encoding.
fn page(query: Option<&str>) -> Result<Page, Refusal> {
    let mut page = Page {
        after: None,
        limit: PAGE_LIMIT_DEFAULT,
    };
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("after", cursor)) => page.after = Some(cursor.to_owned()),
            Some(("limit", limit)) => {
                page.limit = limit.parse().map_err(|_| Refusal::Invalid {
                    field: "limit",
                    expected: "1 to 1000",
                })?;
            }
            _ => {
                return Err(Refusal::Invalid {
                    field: "query",
                    expected: "`after` and `limit` only",
                });
            }
        }
    }
    Ok(page)
}
