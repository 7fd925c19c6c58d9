//! The service every supervisor looks after in the comparison: small, quick to start, and as talkative as it is told to be.
//!
//! `bench-supervise service [PORT]` listens on 127.0.0.1 at PORT or at `$PORT`; with 0 it takes a free one and
//! prints it to standard error. `GET /health` answers its pid; `/talk` and `/silent` turn a line
//! a second on and off; `/flood?mb=50&secs=20` writes numbered lines of 250 bytes at that rate; `/stats` tells what writing cost it.
//! A broken standard output ends it, as SIGPIPE ends a program that does nothing about it. It knows no supervisor.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What SIGPIPE makes of an exit code in a shell.
const SIGPIPE_CODE: u8 = 141;

/// Bytes of a numbered line, its end included.
const LINE_BYTES: usize = 250;

/// A write that took longer than this counts as a wait for the reader.
const STALL: Duration = Duration::from_millis(1);

static TALKING: AtomicBool = AtomicBool::new(false);
static FLOOD_MB: AtomicU64 = AtomicU64::new(0);
static FLOOD_SECONDS: AtomicU64 = AtomicU64::new(0);
static FLOODS_DONE: AtomicU64 = AtomicU64::new(0);
static LINES: AtomicU64 = AtomicU64::new(0);
static STALLED_US: AtomicU64 = AtomicU64::new(0);
static STALL_MAX_US: AtomicU64 = AtomicU64::new(0);

/// The first argument that makes the program this service.
pub(crate) const ROLE: &str = "service";

/// Serves and writes until nobody reads what it writes.
pub(crate) fn run() -> ExitCode {
    let port = std::env::args().nth(2).or_else(|| std::env::var("PORT").ok());
    let Some(port) = port.and_then(|port| port.parse::<u16>().ok()) else {
        return ExitCode::from(2);
    };
    let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) else {
        return ExitCode::FAILURE;
    };
    let port = match listener.local_addr() {
        Ok(address) if port == 0 => {
            // Nobody to tell is somebody who does not want to know.
            let _ = writeln!(std::io::stderr(), "{}", address.port());
            address.port()
        }
        _ => port,
    };
    // The loop lives and ends with the process: what ends it is the writing below.
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            // A client that went away is no concern of a service.
            let _ = answer(&mut connection);
        }
    });
    write_lines(port)
}

/// Writes what is asked for until nobody reads it any more.
fn write_lines(port: u16) -> ExitCode {
    let mut next = Instant::now();
    let mut tick = 0u64;
    loop {
        let megabytes = FLOOD_MB.load(Relaxed);
        if megabytes > 0 {
            if flood(port, megabytes, Duration::from_secs(FLOOD_SECONDS.load(Relaxed))).is_err() {
                return ExitCode::from(SIGPIPE_CODE);
            }
            FLOOD_MB.store(0, Relaxed);
            FLOODS_DONE.fetch_add(1, Relaxed);
            next = Instant::now();
        }
        if TALKING.load(Relaxed) && Instant::now() >= next {
            next += Duration::from_secs(1);
            tick += 1;
            let line = format!(
                "service at {port}, pid {}, line {tick}: all is well\n",
                std::process::id()
            );
            if write_line(line.as_bytes()).is_err() {
                return ExitCode::from(SIGPIPE_CODE);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One write for each line, as a program does that does not want its last words lost in a buffer.
fn flood(port: u16, megabytes: u64, lasts: Duration) -> std::io::Result<()> {
    for counter in [&LINES, &STALLED_US, &STALL_MAX_US] {
        counter.store(0, Relaxed);
    }
    let lines_a_second = (megabytes * 1_000_000 / LINE_BYTES as u64) as f64;
    let begun = Instant::now();
    let mut line = [b'x'; LINE_BYTES];
    line[LINE_BYTES - 1] = b'\n';
    loop {
        let elapsed = begun.elapsed();
        if elapsed >= lasts {
            return Ok(());
        }
        let due = (elapsed.as_secs_f64() * lines_a_second) as u64;
        if LINES.load(Relaxed) >= due {
            std::thread::sleep(Duration::from_micros(500));
            continue;
        }
        while LINES.load(Relaxed) < due {
            let number = LINES.load(Relaxed);
            write!(&mut line[..], "FLOOD {port:05} {number:09} ")?;
            write_line(&line)?;
            LINES.store(number + 1, Relaxed);
        }
    }
}

fn write_line(line: &[u8]) -> std::io::Result<()> {
    let begun = Instant::now();
    let mut left = line;
    while !left.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), left) {
            Ok(written) => left = &left[written..],
            Err(error) if std::io::Error::from(error).kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let took = begun.elapsed();
    if took > STALL {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        STALLED_US.fetch_add(took_us, Relaxed);
        STALL_MAX_US.fetch_max(took_us, Relaxed);
    }
    Ok(())
}

fn answer(connection: &mut TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut head = [0; 1024];
    let mut read = 0;
    // A head may come in pieces; one read would take the first for the whole.
    while read < head.len() && !head[..read].ends_with(b"\r\n\r\n") {
        match connection.read(&mut head[read..])? {
            0 => break,
            count => read += count,
        }
    }
    let head = String::from_utf8_lossy(&head[..read]);
    let path = head.split(' ').nth(1).unwrap_or("/");
    let number = |name: &str| -> u64 {
        path.split(['?', '&'])
            .find_map(|part| part.strip_prefix(name)?.parse().ok())
            .unwrap_or(1)
    };
    let body = match path.split('?').next().unwrap_or(path) {
        "/talk" => {
            TALKING.store(true, Relaxed);
            "talking".to_owned()
        }
        "/silent" => {
            TALKING.store(false, Relaxed);
            "silent".to_owned()
        }
        "/flood" => {
            FLOOD_SECONDS.store(number("secs="), Relaxed);
            FLOOD_MB.store(number("mb="), Relaxed);
            "started".to_owned()
        }
        "/stats" => format!(
            "{{\"lines\":{},\"floods_done\":{},\"stalled_us\":{},\"stall_max_us\":{}}}",
            LINES.load(Relaxed),
            FLOODS_DONE.load(Relaxed),
            STALLED_US.load(Relaxed),
            STALL_MAX_US.load(Relaxed),
        ),
        _ => format!("ok {}", std::process::id()),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all((head + &body).as_bytes())
}
