//! The access log: one line for each request, JSON or combined, described in `docs/reference/format-access-log.md`.
//!
//! Each serving thread fills a buffer of its own and hands it to one writer thread; serving never waits for the disk. When the
//! writer is behind, whole buffers are dropped and their lines counted. Does not know how a request was served.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::FlockOperation;
use tend_base::{Clock, SystemClock, Wall};
use tend_core::model::LogFormat;
use tend_routing::Fields;

use crate::EdgeError;

/// A buffer is handed over when it holds so much.
const BUFFER_BYTES: usize = 64 << 10;

/// A buffer is handed over when its first line has waited so long.
pub(crate) const FLUSH_AFTER: Duration = Duration::from_millis(200);

/// Buffers waiting for the disk: 2 MB, about 5 000 requests, and never more.
const WAITING_MAX: usize = 32;

/// At the end of the process the disk may take so long to catch up.
const FINISH_TIME_MAX: Duration = Duration::from_secs(5);

/// Size and number of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRotation {
    /// A file is rotated when it would pass this many bytes.
    pub file_bytes_max: u64,
    /// Files kept, the current one included.
    pub files_max: u32,
}

impl Default for LogRotation {
    /// 5 files of 20 MB: about 300 000 requests.
    fn default() -> Self {
        Self {
            file_bytes_max: 20 << 20,
            files_max: 5,
        }
    }
}

/// What the log says of one request. Times are absent where the request did not get so far.
#[derive(Debug, Default)]
pub(crate) struct Record<'a> {
    pub(crate) time: Wall,
    pub(crate) request_id: &'a str,
    /// For whom the request comes: with the port where it is the peer itself.
    pub(crate) client: &'a str,
    /// Who connected, where that is another.
    pub(crate) peer: Option<&'a str>,
    pub(crate) listener: &'a str,
    pub(crate) method: &'a str,
    /// Of HTTP, such as `1.1`; of the combined format only.
    pub(crate) version: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    /// Its host and path; none where none matched.
    pub(crate) route: Option<&'a str>,
    /// 32 hexadecimal digits.
    pub(crate) trace_id: &'a str,
    /// Of the combined format only.
    pub(crate) referer: &'a [u8],
    /// As `referer`.
    pub(crate) user_agent: &'a [u8],
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) request: Duration,
    pub(crate) upstream_connect: Option<Duration>,
    pub(crate) upstream_head: Option<Duration>,
    pub(crate) upstream_total: Option<Duration>,
    pub(crate) stack: Option<&'a str>,
    pub(crate) service: Option<&'a str>,
    pub(crate) replica: Option<&'a str>,
    /// Which the replica runs.
    pub(crate) release: Option<u64>,
    pub(crate) tries: u32,
    pub(crate) error: Option<&'a str>,
}

impl Record<'_> {
    fn write(&self, out: &mut Vec<u8>, format: LogFormat) {
        match format {
            LogFormat::Json => self.write_json(out),
            LogFormat::Combined => self.write_combined(out),
        }
    }

    /// Writes the format that Apache calls combined: what tools for logs know best, and less than the other tells.
    fn write_combined(&self, out: &mut Vec<u8>) {
        // Without the port, which the format has no place for.
        let address = match self.client.parse::<SocketAddr>() {
            Ok(address) => address.ip().to_canonical().to_string(),
            Err(_) => self.client.to_owned(),
        };
        let _ = write!(out, "{address} - - [");
        common_date(out, &self.time.to_rfc3339());
        out.extend_from_slice(b"] \"");
        escaped(out, self.method.as_bytes());
        out.push(b' ');
        escaped(out, self.path.as_bytes());
        let _ = write!(out, " HTTP/{}\" {} {} \"", self.version, self.status, self.bytes_out);
        escaped(out, if self.referer.is_empty() { b"-" } else { self.referer });
        out.extend_from_slice(b"\" \"");
        escaped(
            out,
            if self.user_agent.is_empty() {
                b"-"
            } else {
                self.user_agent
            },
        );
        out.extend_from_slice(b"\"\n");
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        // Writing into a vector cannot fail.
        let _ = write!(out, r#"{{"v":1,"time":"{}""#, self.time);
        text(out, "request_id", self.request_id);
        text(out, "trace_id", self.trace_id);
        text(out, "client", self.client);
        if let Some(peer) = self.peer {
            text(out, "peer", peer);
        }
        text(out, "listener", self.listener);
        text(out, "method", self.method);
        text(out, "scheme", self.scheme);
        text(out, "host", self.host);
        text(out, "path", self.path);
        let _ = write!(
            out,
            r#","status":{},"bytes_in":{},"bytes_out":{}"#,
            self.status, self.bytes_in, self.bytes_out
        );
        millis(out, "request_ms", Some(self.request));
        millis(out, "upstream_connect_ms", self.upstream_connect);
        millis(out, "upstream_head_ms", self.upstream_head);
        millis(out, "upstream_total_ms", self.upstream_total);
        for (name, value) in [
            ("route", self.route),
            ("stack", self.stack),
            ("service", self.service),
            ("replica", self.replica),
            ("error", self.error),
        ] {
            if let Some(value) = value {
                text(out, name, value);
            }
        }
        if let Some(release) = self.release {
            let _ = write!(out, r#","release":{release}"#);
        }
        let _ = writeln!(out, r#","tries":{}}}"#, self.tries);
    }
}

/// What a request says of itself that only the combined format tells.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) referer: Box<[u8]>,
    pub(crate) user_agent: Box<[u8]>,
}

impl Told {
    /// Remembers it where it will be written.
    pub(crate) fn of(format: LogFormat, fields: &Fields<'_>) -> Self {
        if format == LogFormat::Json {
            return Self::default();
        }
        let first = |name: &str| {
            let mut found = Box::default();
            fields(name, &mut |line| {
                found = line.into();
                true
            });
            found
        };
        Self {
            referer: first("referer"),
            user_agent: first("user-agent"),
        }
    }
}

/// Writes `21/Nov/2026:10:00:00 +0000` for `2026-11-21T10:00:00.000Z`.
fn common_date(out: &mut Vec<u8>, rfc3339: &str) {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month: usize = rfc3339[5..7].parse().unwrap_or(1);
    let (year, day, time) = (&rfc3339[..4], &rfc3339[8..10], &rfc3339[11..19]);
    let _ = write!(out, "{day}/{}/{year}:{time} +0000", MONTHS[month - 1]);
}

/// Writes what a client sent as nginx does: quotes, backslashes, controls and what is not ASCII as `\xHH`.
fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            _ => out.push(*byte),
        }
    }
}

fn millis(out: &mut Vec<u8>, name: &str, value: Option<Duration>) {
    if let Some(value) = value {
        let micros = value.as_micros();
        let _ = write!(out, r#","{name}":{}.{:03}"#, micros / 1000, micros % 1000);
    }
}

/// Writes `,"name":"value"`; what a client sent may hold anything, so quotes, backslashes and controls are escaped.
fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    let _ = write!(out, r#","{name}":""#);
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f | 0x7f => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Lines on their way to the disk; one of no lines ends the writer.
#[derive(Default)]
struct Batch {
    lines: u64,
    bytes: Vec<u8>,
}

/// Where the serving threads hand their buffers to.
#[derive(Clone, Debug)]
pub(crate) struct LogSink {
    batches: SyncSender<Batch>,
    dropped: Arc<AtomicU64>,
}

impl LogSink {
    /// Opens the log and starts its writer.
    pub(crate) fn open(path: PathBuf, rotation: LogRotation) -> Result<(Self, JoinHandle<()>), EdgeError> {
        let dropped = Arc::new(AtomicU64::new(0));
        let mut writer =
            Writer::open(path.clone(), rotation).map_err(|source| EdgeError::AccessLog { path, source })?;
        let (batches, receiver) = sync_channel(WAITING_MAX);
        let counter = dropped.clone();
        let thread = std::thread::Builder::new()
            .name("edge-log".to_owned())
            .stack_size(128 << 10)
            .spawn(move || writer.run(&receiver, &counter))
            .map_err(|source| EdgeError::Start {
                what: "access log".to_owned(),
                source,
            })?;
        Ok((Self { batches, dropped }, thread))
    }

    /// Ends the writer once it has written what was handed over so far; a disk that is too far behind is not waited for.
    pub(crate) fn finish(&self, thread: JoinHandle<()>) {
        let deadline = SystemClock.now().mono + FINISH_TIME_MAX;
        while let Err(TrySendError::Full(_)) = self.batches.try_send(Batch::default()) {
            if SystemClock.now().mono > deadline {
                return;
            }
            std::thread::sleep(FLUSH_AFTER / 10);
        }
        let _ = thread.join();
    }

    /// Returns how many lines were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The buffer of one serving thread.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    sink: LogSink,
    waiting: RefCell<(u64, Vec<u8>)>,
}

impl LogBuffer {
    pub(crate) fn new(sink: LogSink) -> Self {
        Self {
            sink,
            waiting: RefCell::new((0, Vec::new())),
        }
    }

    /// Adds a line; true when it is the first of a buffer, so that a flush has to be scheduled.
    pub(crate) fn add(&self, record: &Record<'_>, format: LogFormat) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        record.write(&mut waiting.1, format);
        waiting.0 += 1;
        if waiting.1.len() >= BUFFER_BYTES {
            drop(waiting);
            self.flush();
            return false;
        }
        waiting.0 == 1
    }

    /// Hands the buffer to the writer without waiting.
    pub(crate) fn flush(&self) {
        let (lines, bytes) = self.waiting.take();
        if lines == 0 {
            return;
        }
        match self.sink.batches.try_send(Batch { lines, bytes }) {
            Ok(()) => {}
            Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
                self.sink.dropped.fetch_add(batch.lines, Ordering::Relaxed);
            }
        }
    }
}

struct Writer {
    path: PathBuf,
    rotation: LogRotation,
    file: File,
}

impl Writer {
    fn open(path: PathBuf, rotation: LogRotation) -> io::Result<Self> {
        let file = open(&path)?;
        Ok(Self { path, rotation, file })
    }

    fn run(&mut self, batches: &Receiver<Batch>, dropped: &AtomicU64) {
        while let Ok(batch) = batches.recv() {
            if batch.lines == 0 {
                return;
            }
            let written = self
                .make_room(batch.bytes.len() as u64)
                .and_then(|()| self.file.write_all(&batch.bytes));
            if written.is_err() {
                // A full disk: said by the counter, since there is nowhere to write it.
                dropped.fetch_add(batch.lines, Ordering::Relaxed);
            }
        }
    }

    /// Rotates when the file would grow too large; follows when somebody else, such as the edge that takes over, rotated it.
    fn make_room(&mut self, more: u64) -> io::Result<()> {
        let open_now = self.file.metadata()?;
        let full = open_now.len() > 0 && open_now.len() + more > self.rotation.file_bytes_max;
        let moved = std::fs::metadata(&self.path).map_or(true, |named| named.ino() != open_now.ino());
        if full && !moved {
            let lock = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(self.path.with_extension("log.lock"))?;
            rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
            let named = std::fs::metadata(&self.path)?;
            // Between the look and the lock another edge may have done it.
            if named.ino() == open_now.ino() {
                rotate(&self.path, self.rotation.files_max)?;
            }
        }
        if full || moved {
            self.file = open(&self.path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// Renames `access.log` to `access.log.1` and so on; the oldest beyond `files_max` is overwritten or removed.
fn rotate(path: &Path, files_max: u32) -> io::Result<()> {
    let numbered = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    };
    if files_max <= 1 {
        return std::fs::remove_file(path);
    }
    for n in (1..files_max - 1).rev() {
        match std::fs::rename(numbered(n), numbered(n + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_sends_stays_one_line_of_json() {
        let mut out = Vec::new();
        Record {
            path: "/a\"b\\c\n{\u{7f}支付}",
            host: "x\r\ny",
            request: Duration::from_micros(12_345),
            ..Record::default()
        }
        .write(&mut out, LogFormat::Json);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["path"], "/a\"b\\c\n{\u{7f}支付}");
        assert_eq!(line["host"], "x\r\ny");
        assert_eq!(line["request_ms"], 12.345);
        assert!(line.get("upstream_head_ms").is_none());
    }

    #[test]
    fn the_combined_format_is_what_tools_read() {
        let mut out = Vec::new();
        let mut record = Record {
            time: Wall(1_795_255_200_123),
            client: "[::ffff:192.0.2.7]:4711",
            method: "GET",
            version: "1.1",
            path: "/a?b=\"c\\\u{e4}",
            status: 200,
            bytes_out: 12,
            referer: b"https://shop.test/\n",
            ..Record::default()
        };
        record.write(&mut out, LogFormat::Combined);
        record.client = "2001:db8::1";
        record.user_agent = b"curl/8";
        record.write(&mut out, LogFormat::Combined);
        let wanted = concat!(
            r#"192.0.2.7 - - [21/Nov/2026:10:00:00 +0000] "GET /a?b=\x22c\x5C\xC3\xA4 HTTP/1.1" 200 12 "https://shop.test/\x0A" "-""#,
            "\n",
            r#"2001:db8::1 - - [21/Nov/2026:10:00:00 +0000] "GET /a?b=\x22c\x5C\xC3\xA4 HTTP/1.1" 200 12 "https://shop.test/\x0A" "curl/8""#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn files_are_rotated_by_size_and_only_so_many_are_kept() {
        let folder = std::env::temp_dir().join(format!("tend-edge-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("access.log");
        let rotation = LogRotation {
            file_bytes_max: 4000,
            files_max: 3,
        };
        let mut writer = Writer::open(path, rotation).unwrap();
        for _ in 0..100 {
            let mut line = Vec::new();
            Record::default().write(&mut line, LogFormat::Json);
            writer.make_room(line.len() as u64).unwrap();
            writer.file.write_all(&line).unwrap();
        }
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["access.log", "access.log.1", "access.log.2", "access.log.lock"]);
        for name in &names {
            assert!(std::fs::metadata(folder.join(name)).unwrap().len() <= 4000);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
