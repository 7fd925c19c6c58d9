//! The service behind the edge, one process for each replica: writes each payment it is sent into the books, without looking whether it
//! was sent before. It protects nothing by itself: one effect for a key is the edge's doing, or there are two.
//!
//! Callbacks it knows by their number, as services have to: they are delivered at least once.

use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

const BUSY: Duration = Duration::from_secs(20);

/// The books, shared by all replicas.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    // Processes are killed here, not machines: what the system has got is not lost.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
         CREATE TABLE IF NOT EXISTS effects (id INTEGER PRIMARY KEY, key TEXT NOT NULL, amount INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS callbacks (id INTEGER PRIMARY KEY, number INTEGER NOT NULL UNIQUE);
         CREATE TABLE IF NOT EXISTS deliveries (id INTEGER PRIMARY KEY, delivery TEXT NOT NULL, number INTEGER NOT NULL);",
    )?;
    Ok(connection)
}

/// Serves on an address until it is killed.
pub(crate) fn serve(address: &str, books: &Path) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    for stream in listener.incoming() {
        let stream = stream?;
        let connection = open(books).map_err(io::Error::other)?;
        std::thread::spawn(move || {
            // A connection that breaks is the other side's affair.
            let _ = answer_all(stream, &connection);
        });
    }
    Ok(())
}

fn answer_all(stream: TcpStream, books: &Connection) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = BufReader::new(stream);
    while let Some(request) = crate::wire::read(&mut connection)? {
        let body = if request.path() == "/pay" {
            let key = request.field("idempotency-key").unwrap_or_default();
            let amount: i64 = request.body.parse().map_err(io::Error::other)?;
            pay(books, key, amount)
        } else {
            let delivery = request.field("x-tend-delivery-id").unwrap_or_default();
            let number: i64 = request.body.parse().map_err(io::Error::other)?;
            take(books, delivery, number)
        };
        let body = body.map_err(io::Error::other)?;
        let length = body.len();
        let text = format!("HTTP/1.1 201 Created\r\nContent-Length: {length}\r\n\r\n{body}");
        connection.get_mut().write_all(text.as_bytes())?;
    }
    Ok(())
}

fn pay(books: &Connection, key: &str, amount: i64) -> rusqlite::Result<String> {
    books
        .prepare_cached("INSERT INTO effects (key, amount) VALUES (?1, ?2)")?
        .execute(params![key, amount])?;
    Ok(format!("payment {}", books.last_insert_rowid()))
}

fn take(books: &Connection, delivery: &str, number: i64) -> rusqlite::Result<String> {
    books.execute(
        "INSERT INTO deliveries (delivery, number) VALUES (?1, ?2)",
        params![delivery, number],
    )?;
    books.execute("INSERT OR IGNORE INTO callbacks (number) VALUES (?1)", [number])?;
    Ok("taken".to_owned())
}
