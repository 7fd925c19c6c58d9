//! Measures how many entries a second become durable on a real disk: one caller that waits for each, many that do, and one that
//! waits for nothing. Prints the figures; claims nothing.
//!
//! `cargo run --release -p tend-store --example append_rate -- FOLDER`, where FOLDER is empty and on the disk to be measured.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tend_core::journal::{Entry, Filter, Kind, Principal, Subject};
use tend_store::{Error, Files, Options, PublicKey, Reader, Store, verify};

const SPAN: Duration = Duration::from_secs(5);

fn entry() -> Entry {
    let rule = Principal::Rule {
        name: "mps/api restart".to_owned(),
    };
    Entry::new(rule, Kind::ReplicaStarted)
        .on(Subject {
            slot: Some(1),
            ..Subject::default()
        })
        .with(json!({"pid": 4711, "port": 40_001, "command": ["/usr/bin/api", "--config", "/etc/api.yaml"]}))
}

/// Lets `callers` threads append for a while, each waiting for what it appended, and returns entries a second.
fn waiting(store: &Store, callers: u32) -> f64 {
    let start = Instant::now();
    let threads: Vec<_> = (0..callers)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || -> Result<u32, Error> {
                let mut count = 0;
                while start.elapsed() < SPAN {
                    store.commit(entry()).wait()?;
                    count += 1;
                }
                Ok(count)
            })
        })
        .collect();
    let total: u32 = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic").expect("the disk has room"))
        .sum();
    f64::from(total) / start.elapsed().as_secs_f64()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name an empty folder")?;
    let files = Files::of(Path::new(&folder));
    let rule = Principal::Rule {
        name: "append_rate".to_owned(),
    };
    let store = Store::open(&files, Options::new("append_rate", rule))?;
    let mut out = std::io::stdout().lock();
    for callers in [1, 8, 64] {
        let rate = waiting(&store, callers);
        writeln!(out, "{callers:3} callers, each waits: {rate:8.0} entries/s")?;
    }
    let start = Instant::now();
    let before = store.head().0;
    let mut tickets = Vec::new();
    while start.elapsed() < SPAN {
        tickets.push(store.append(vec![entry(); 100]));
        if tickets.len() == 100 {
            for ticket in tickets.drain(..) {
                ticket.wait()?;
            }
        }
    }
    store.close()?;
    let rate = (store.head().0 - before) as f64 / start.elapsed().as_secs_f64();
    writeln!(out, "batches of 100, 100 at once: {rate:8.0} entries/s")?;
    let start = Instant::now();
    let report = verify(&files.database, PublicKey::read(&files.public_key)?, &files.anchors)?;
    let rate = report.rows as f64 / start.elapsed().as_secs_f64();
    writeln!(out, "verify: {rate:8.0} events/s; {report}")?;
    let reader = Reader::open(&files.database)?;
    for (what, pattern) in [
        ("a common group", "replica.*"),
        ("a kind", "replica.started"),
        ("a group without events", "edge.*"),
    ] {
        let start = Instant::now();
        let newest = reader.events(&Filter::all().kind(pattern).newest(100))?;
        writeln!(out, "newest {} of {what}: {:?}", newest.len(), start.elapsed())?;
    }
    let size = std::fs::metadata(&files.database)?.len();
    writeln!(out, "{} bytes an event on disk", size / report.rows.max(1))?;
    Ok(())
}
