//! The doors over HTTP: the control socket that the daemon speaks to, and the listeners of stacks. Decides nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;

use crate::backend::Shown;
use crate::machine::Machine;
use crate::own;
use crate::server::{Answer, Asked, Handler, serve};
use crate::snapshot::Snapshot;
use crate::stack::Watched;
use crate::trial;

/// How long a question for notes is held where there are none.
const HOLD: std::time::Duration = std::time::Duration::from_secs(30);

/// Who a monitor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its process.
    pub pid: u32,
    /// Which tend it is of.
    pub build: String,
    /// The generation of the snapshot it has; 0 before the first.
    pub generation: u64,
}

/// Serves the control socket until it is dropped.
pub(crate) async fn control(machine: Arc<Machine>, listener: UnixListener) {
    let handler: Handler = Arc::new(move |asked| {
        let machine = Arc::clone(&machine);
        Box::pin(async move { of_daemon(machine, asked).await })
    });
    serve(listener, handler).await;
}

async fn of_daemon(machine: Arc<Machine>, asked: Asked) -> Answer {
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/tend/v1/hello") => Answer::json(&Hello {
            pid: std::process::id(),
            build: machine.build.clone(),
            generation: machine.generation(),
        }),
        ("PUT", "/tend/v1/snapshot") => {
            let snapshot: Snapshot = match serde_json::from_slice(&asked.body) {
                Ok(snapshot) => snapshot,
                Err(error) => return Answer::text(400, format!("this is no snapshot: {error}")),
            };
            let taken = tokio::task::spawn_blocking(move || machine.take(snapshot)).await;
            match taken {
                Ok(Ok(refused)) => Answer::json(&json!({ "refused": refused })),
                Ok(Err(why)) => Answer::text(409, why),
                Err(_) => Answer::text(500, "taking the snapshot failed inside tend"),
            }
        }
        ("GET", "/tend/v1/notes") => {
            let after = asked
                .query
                .strip_prefix("after=")
                .and_then(|number| number.parse().ok());
            let Some(after) = after else {
                return Answer::text(400, "`after=NUMBER` is missing");
            };
            let notes = tokio::time::timeout(HOLD, machine.outbox.wait_after(after)).await;
            Answer::json(&notes.unwrap_or_default())
        }
        _ => match asked
            .path
            .strip_prefix("/stacks/")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((stack, rest)) => {
                let (stack, path) = (stack.to_owned(), format!("/{rest}"));
                // The daemon says for whom it asks; on a listener of a stack anybody could.
                let caller = asked.headers.iter().find(|(name, _)| name.as_str() == "tend-caller");
                let caller = caller.map_or_else(String::new, |(_, caller)| caller.clone());
                // People are disturbed by it: only who may command the daemon does that.
                if (asked.method.as_str(), rest) == ("POST", "tend/v1/fire-test") {
                    return fire_test(machine.stack(&stack), &stack, &asked, caller).await;
                }
                of_stack(machine, stack, path, caller, asked).await
            }
            None => Answer::text(404, "there is no such thing here"),
        },
    }
}

async fn fire_test(stack: Option<Arc<Watched>>, name: &str, asked: &Asked, caller: String) -> Answer {
    let Some(stack) = stack else {
        return not_watched(name);
    };
    match serde_json::from_slice(&asked.body) {
        Ok(what) => trial::fire(stack, what, caller).await,
        Err(error) => Answer::text(400, format!("this is no test: {error}")),
    }
}

fn not_watched(stack: &str) -> Answer {
    Answer::text(
        404,
        format!("the stack {stack} wants nothing measured and nothing told"),
    )
}

/// Opens a listener. Whose it is is asked with each request: it may become another stack's while it is open.
pub(crate) fn open(machine: Arc<Machine>, address: SocketAddr) -> std::io::Result<AbortHandle> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let handler: Handler = Arc::new(move |asked: Asked| {
        let (machine, path) = (Arc::clone(&machine), asked.path.clone());
        let stack = machine.listening_at(address).unwrap_or_default();
        Box::pin(async move { of_stack(machine, stack, path, String::new(), asked).await })
    });
    Ok(tokio::spawn(serve(listener, handler)).abort_handle())
}

async fn of_stack(machine: Arc<Machine>, stack: String, path: String, caller: String, asked: Asked) -> Answer {
    let Some(stack) = machine.stack(&stack) else {
        return not_watched(&stack);
    };
    // A query over much takes a while, and scrapes go on meanwhile.
    let answered = tokio::task::spawn_blocking(move || {
        let headers: Vec<(&str, &str)> = (asked.headers.iter())
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if let Some(rest) = path.strip_prefix("/tend/v1/")
            && let Some(answer) = own::answer(&stack, rest, &asked)
        {
            return answer;
        }
        let request = tend_doors::Request {
            method: &asked.method,
            path: &path,
            query: &asked.query,
            headers: &headers,
            body: &asked.body,
            caller: &caller,
        };
        let response = tend_doors::answer(&request, &Shown { machine, stack });
        Answer {
            status: response.status,
            content_type: response.content_type,
            headers: response.headers,
            body: response.body,
        }
    })
    .await;
    answered.unwrap_or_else(|_| Answer::text(500, "this request failed inside tend\n"))
}
