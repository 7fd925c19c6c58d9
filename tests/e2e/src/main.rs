//! The service the end-to-end tests run: answers HTTP on `PORT` and does on request what services do by accident.
//!
//! `GET /pid` its process id, `GET /ready` 200 until `GET /unready`, `GET /exit?CODE` ends it, `GET /print?N` prints N numbered lines,
//! `GET /begin` takes up a job that is in flight until `GET /finish` prints `finished`; `POST /quiesce` has it refuse new ones,
//! `GET /in-flight` is their number and `GET /metrics` has it as `jobs_in_flight`. `GET /slow?MS` answers late, `GET /leak?MB` takes
//! memory, `GET /version` and `GET /pay` answer `E2E_VERSION`, `GET /fail` 500. `E2E_MODE` breaks it from its start: `unready`,
//! `exit-when-ready`, `errors`, `pay-errors` (only of `/pay`), `leak`. Prints one line when it starts. `GET /sign` and `/verify?N` sign and
//! judge with its key, `/write?N` and `/read` keep rows under it, `POST /move` has those of another key moved, one with each `GET /left`.
//! `GET /ask` asks its database. Knows nothing of tend.

mod database;
mod keys;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "0".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    let mode = std::env::var("E2E_MODE").unwrap_or_default();
    let ready = Arc::new(AtomicBool::new(mode != "unready"));
    let leaked = Arc::new(Mutex::new(Vec::new()));
    let jobs = Arc::new(Jobs::default());
    say(format_args!("service {} listens on {port}", std::process::id()));
    if mode == "leak" {
        let leaked = Arc::clone(&leaked);
        std::thread::spawn(move || leak(&leaked));
    }
    for stream in listener.incoming() {
        let (ready, leaked, jobs) = (Arc::clone(&ready), Arc::clone(&leaked), Arc::clone(&jobs));
        let stream = stream?;
        // A client that leaves early ends its own thread and nothing else.
        std::thread::spawn(move || serve(stream, &ready, &leaked, &jobs));
    }
    Ok(())
}

fn say(text: std::fmt::Arguments<'_>) {
    // Whoever reads may be gone; the service goes on.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// What it does for longer than a request takes.
#[derive(Default)]
struct Jobs {
    in_flight: AtomicU64,
    quiesced: AtomicBool,
    moving: AtomicBool,
}

fn serve(stream: TcpStream, ready: &AtomicBool, leaked: &Mutex<Vec<u8>>, jobs: &Jobs) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (mut body_bytes, mut last) = (0, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if let Some(length) = header.strip_prefix("content-length:") {
                body_bytes = length.trim().parse().unwrap_or(0);
            }
            last |= header == "connection: close";
            if header.is_empty() {
                break;
            }
        }
        reader.read_exact(&mut vec![0; body_bytes])?;
        let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
        let (path, number) = target.split_once('?').unwrap_or((&target, ""));
        let number: u64 = number.parse().unwrap_or(0);
        let mut status = "200 OK";
        let mode = std::env::var("E2E_MODE").unwrap_or_default();
        match path {
            "/ready" if !ready.load(Ordering::Relaxed) => status = "503 Service Unavailable",
            "/unready" => ready.store(false, Ordering::Relaxed),
            "/quiesce" if line.starts_with("POST ") => jobs.quiesced.store(true, Ordering::SeqCst),
            "/quiesce" => status = "405 Method Not Allowed",
            "/begin" if jobs.quiesced.load(Ordering::SeqCst) => status = "503 Service Unavailable",
            "/begin" => drop(jobs.in_flight.fetch_add(1, Ordering::SeqCst)),
            "/finish" => {
                say(format_args!("finished"));
                jobs.in_flight.fetch_sub(1, Ordering::SeqCst);
            }
            "/verify" if !keys::verify(number) => status = "401 Unauthorized",
            "/write" => keys::write(number)?,
            "/read" if !keys::all_readable() => status = "500 Internal Server Error",
            "/move" if line.starts_with("POST ") => jobs.moving.store(true, Ordering::SeqCst),
            "/exit" => end(i32::try_from(number).unwrap_or(1)),
            "/slow" => std::thread::sleep(Duration::from_millis(number)),
            "/print" => (0..number).for_each(|number| say(format_args!("line {number:09}"))),
            "/leak" => {
                if let Ok(mut leaked) = leaked.lock() {
                    let more = leaked.len() + usize::try_from(number << 20).unwrap_or(0);
                    leaked.resize(more, 1);
                }
            }
            "/ready" if mode == "exit-when-ready" => {
                // It answers that it is ready, and is gone a moment later.
                std::thread::spawn(|| {
                    std::thread::sleep(Duration::from_millis(300));
                    say(format_args!("no table called members"));
                    end(3);
                });
            }
            "/ready" => {}
            "/pay" if mode == "pay-errors" => status = "500 Internal Server Error",
            "/fail" => status = "500 Internal Server Error",
            _ if mode == "errors" => status = "500 Internal Server Error",
            _ => {}
        }
        let body = match path {
            "/ask" => database::ask().unwrap_or_else(|error| {
                status = "500 Internal Server Error";
                format!("{error}\n")
            }),
            "/sign" => keys::sign(),
            "/left" if jobs.moving.load(Ordering::SeqCst) => keys::move_one()?.to_string(),
            "/left" => keys::left()?.to_string(),
            "/in-flight" => jobs.in_flight.load(Ordering::SeqCst).to_string(),
            "/metrics" => format!("jobs_in_flight {}\n", jobs.in_flight.load(Ordering::SeqCst)),
            "/version" | "/pay" => format!("{}\n", std::env::var("E2E_VERSION").unwrap_or_default()),
            _ => format!("{} {target}\n", std::process::id()),
        };
        // At once: an answer written piece by piece is several packets, and each waits for the one before to be acknowledged.
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes())?;
        if last {
            return Ok(());
        }
    }
}

/// Takes 8 MB every 50 ms until somebody ends it.
fn leak(leaked: &Mutex<Vec<u8>>) {
    loop {
        if let Ok(mut leaked) = leaked.lock() {
            let more = leaked.len() + (8 << 20);
            leaked.resize(more, 1);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[expect(
    clippy::exit,
    reason = "to end at once, from whichever thread, is what is asked of it"
)]
fn end(code: i32) {
    std::process::exit(code)
}
