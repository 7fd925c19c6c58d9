//! A server that answers what the driver asks, but each payment as a script says: the real service does not fail to order.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

/// What the server does with one payment request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pay {
    /// Enters it and says so.
    Enter,
    /// Says so, and enters nothing.
    Lie,
    /// Enters it and closes the connection without a word.
    EnterAndHangUp,
    /// Answers 503 and enters nothing.
    Fail,
    /// Enters it and keeps silent.
    EnterAndKeepSilent,
}

#[derive(Default)]
struct State {
    script: VecDeque<Pay>,
    keys: Vec<String>,
    ledger: Vec<Json>,
}

/// The server; its threads end with the test's process.
pub(crate) struct Server {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Starts a server that goes through `script`, and enters every payment after its end.
    pub(crate) fn start(script: &[Pay]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let state = Arc::new(Mutex::new(State {
            script: script.iter().copied().collect(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Server { address, state }
    }

    /// Returns the keys of the payment requests so far.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.state.lock().expect("no panic").keys.clone()
    }
}

/// Serves one connection until it or the script ends it.
fn serve(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().expect("a length"))];
        reader.read_exact(&mut body).ok()?;
        let path = head[0].split(' ').nth(1)?.split('?').next()?;
        let (status, answer) = match path {
            "/api/merchants" => (201, json!({})),
            "/api/qr/rotate" => (200, json!({ "qr_plain": "mps1" })),
            "/api/ledger/check" => (200, json!({ "balanced": true, "violations": [] })),
            "/api/payment/pay" => {
                let key = header("idempotency-key").expect("a payment has a key").to_owned();
                let body: Json = serde_json::from_slice(&body).expect("a payment is JSON");
                let told = pay(&mut state.lock().expect("no panic"), &key, &body);
                match told {
                    Ok(answer) => answer,
                    Err(Silence::HangUp) => return None,
                    Err(Silence::Keep) => {
                        // Until the driver has had enough and hangs up itself.
                        drop(reader.get_mut().read(&mut [0]));
                        return None;
                    }
                }
            }
            path if path.ends_with("-1/statement") => (
                200,
                json!({ "transactions": state.lock().expect("no panic").ledger, "next": null }),
            ),
            _ => (200, json!({ "transactions": [], "next": null })),
        };
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n", answer.len());
        reader.get_mut().write_all((head + &answer).as_bytes()).ok()?;
    }
}

/// How not to answer.
enum Silence {
    HangUp,
    Keep,
}

/// Does with a payment what the script says.
fn pay(state: &mut State, key: &str, body: &Json) -> Result<(u16, Json), Silence> {
    state.keys.push(key.to_owned());
    let told = state.script.pop_front().unwrap_or(Pay::Enter);
    let transaction_id = format!("tx_{key}");
    let known = state.ledger.iter().any(|line| line["idempotency_key"] == key);
    if !known && !matches!(told, Pay::Lie | Pay::Fail) {
        let line = json!({ "transaction_id": transaction_id, "amount": body["amount"], "idempotency_key": key });
        state.ledger.push(line);
    }
    match told {
        Pay::Enter | Pay::Lie => Ok((200, json!({ "transaction_id": transaction_id }))),
        Pay::Fail => Ok((503, json!({ "error": { "code": "unavailable" } }))),
        Pay::EnterAndHangUp => Err(Silence::HangUp),
        Pay::EnterAndKeepSilent => Err(Silence::Keep),
    }
}
