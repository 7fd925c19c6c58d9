//! Writes the service's log: one JSON object a line on stdout.
//!
//! A thread of its own writes, so that a slow reader of the log never holds up a payment. Lines that do not fit into the
//! queue are dropped and counted; a closed stdout is ignored.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::{Error, clock};

/// Lines that may wait for stdout; beyond, lines are dropped.
const QUEUE_LINES: usize = 8192;
/// How long the writer gathers lines before it writes: few writes under load, and still at once to a person's eye.
const GATHER: Duration = Duration::from_millis(50);

/// A handle to the log; clones write to the same one.
#[derive(Clone)]
pub struct Log {
    lines: SyncSender<String>,
    dropped: Arc<AtomicU64>,
    base: Arc<Map<String, Json>>,
    info: Arc<AtomicBool>,
}

/// The thread behind a [`Log`]; [`LogThread::finish`] waits until everything is written.
pub struct LogThread(JoinHandle<()>);

impl LogThread {
    /// Waits for the last line, after every clone of the log is gone.
    pub fn finish(self) {
        // A panic of the log thread has already been printed, and the process is ending anyway.
        drop(self.0.join());
    }
}

impl Log {
    /// Starts the log. `info` false leaves out all but warnings and errors.
    pub fn start(replica: &str, version: &str, info: bool) -> Result<(Log, LogThread), Error> {
        let (lines, queue) = sync_channel(QUEUE_LINES);
        let name = "log".to_owned();
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || write_lines(&queue))
            .map_err(|source| Error::StartThread { name, source })?;
        let mut base = Map::new();
        for (key, value) in [("service", "mps-api"), ("version", version), ("replica", replica)] {
            base.insert(key.to_owned(), value.into());
        }
        Ok((
            Log {
                lines,
                dropped: Arc::default(),
                base: Arc::new(base),
                info: Arc::new(AtomicBool::new(info)),
            },
            LogThread(thread),
        ))
    }

    /// Has lines of level `info` written from now on, or left out.
    pub fn set_info(&self, info: bool) {
        self.info.store(info, Ordering::Relaxed);
    }

    /// Writes a line of level `info`.
    pub fn info(&self, category: &'static str, message: &'static str, fields: impl FnOnce(&mut Map<String, Json>)) {
        if self.info.load(Ordering::Relaxed) {
            self.write("info", category, message, fields);
        }
    }

    /// Writes a line about this replica's own life, at whatever level is asked for: there are few, and they say where it listens.
    pub fn lifecycle(&self, message: &'static str, fields: impl FnOnce(&mut Map<String, Json>)) {
        self.write("info", "lifecycle", message, fields);
    }

    /// Writes a line of level `warn`.
    pub fn warn(&self, category: &'static str, message: &'static str, fields: impl FnOnce(&mut Map<String, Json>)) {
        self.write("warn", category, message, fields);
    }

    /// Writes a line of level `error`.
    pub fn error(&self, category: &'static str, message: &'static str, fields: impl FnOnce(&mut Map<String, Json>)) {
        self.write("error", category, message, fields);
    }

    /// Returns how many lines were dropped because stdout's reader was behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn write(
        &self,
        level: &'static str,
        category: &'static str,
        message: &'static str,
        fields: impl FnOnce(&mut Map<String, Json>),
    ) {
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), clock::rfc3339(clock::now_ms()).into());
        line.insert("level".to_owned(), level.into());
        line.insert("category".to_owned(), category.into());
        line.insert("message".to_owned(), message.into());
        line.extend(self.base.iter().map(|(key, value)| (key.clone(), value.clone())));
        fields(&mut line);
        if self.lines.try_send(Json::Object(line).to_string()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_lines(queue: &Receiver<String>) {
    let mut stdout = io::stdout().lock();
    let mut buffer = Vec::new();
    while let Ok(line) = queue.recv() {
        buffer.extend_from_slice(line.as_bytes());
        buffer.push(b'\n');
        std::thread::sleep(GATHER);
        for line in queue.try_iter() {
            buffer.extend_from_slice(line.as_bytes());
            buffer.push(b'\n');
        }
        // Nobody reads the log any more (EPIPE), or its disk is full: payments go on without it.
        drop(stdout.write_all(&buffer).and_then(|()| stdout.flush()));
        buffer.clear();
    }
}
