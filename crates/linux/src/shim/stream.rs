//! One stream of a replica, from its FIFO to its files: rotation, the time index, and what happens when the disk gives out.
//!
//! Bytes go from the FIFO to the file inside the kernel (splice), which takes them from the one as it adds them to the
//! other: a shim killed at any instant loses none and writes none twice, and needs no buffer. Where a file system cannot
//! do that, bytes are copied with `tee`, written, and only then taken from the FIFO.
//!
//! Invariant: no file passes `file_bytes_max` (test `rotation_keeps_its_limits_and_loses_no_line`).

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice, tee};
use tend_base::{Clock as _, SystemClock};
use tend_redact::Patterns;

use super::screen::{Looking, Part, Screen};
use crate::spec::{LogSettings, WhenBehind};

const MS: u64 = 1_000_000;
/// Moved by one system call: a write to a slow disk blocks the shim for no longer than this much takes.
const CHUNK_BYTES: u64 = 128 << 10;
/// Moved before control commands and the other stream are looked at again.
const PASS_BYTES_MAX: u64 = 1 << 20;
/// What `tee` can show at once: a new pipe holds sixteen pages.
const PEEK_BYTES: u64 = 64 << 10;
/// Output that comes sooner than this after the last is flooding, and is left to gather.
const FLOOD_GAP: u64 = 10 * MS;
/// For how long it gathers: 50 MB/s fill less than half of a FIFO of 1 MiB in this time.
const NAP: u64 = 8 * MS;
/// A write that took longer, with the FIFO nearly full after it, means that the disk is behind.
const SLOW_WRITE: u64 = 100 * MS;
/// After a write that failed, until the next try.
const RETRY: u64 = 250 * MS;
/// What is held back because it may be the begin of a secret is looked at again after this, and given up on after the replica's end
/// once nothing has come for `HELD_MAX`.
const HELD_LOOK: u64 = 20 * MS;
const HELD_MAX: u64 = 1000 * MS;
/// At most one record of the time index in this time.
const INDEX_GAP: u64 = 100 * MS;

pub(super) struct Stream {
    name: &'static str,
    fifo: OwnedFd,
    fifo_bytes: u64,
    settings: LogSettings,
    files: Option<Files>,
    /// Whether this file system cannot splice.
    by_copy: bool,
    last_pass: u64,
    last_index: u64,
    /// Until then the FIFO is not looked at.
    wake_at: u64,
    gap: Option<Gap>,
    screen: Screen,
    /// Since when nothing has come after what is held back.
    held_since: Option<u64>,
    /// The replica is over: only what it left behind may still write.
    leaving: bool,
    ended: bool,
    pub(super) written: u64,
    pub(super) dropped: u64,
}

struct Files {
    log: OwnedFd,
    log_bytes: u64,
    index: OwnedFd,
    index_bytes: u64,
}

/// Output that is being dropped.
struct Gap {
    why: String,
    bytes: u64,
    /// The last byte dropped did not end a line.
    mid_line: bool,
    retry_at: u64,
}

impl Stream {
    pub(super) fn new(
        name: &'static str,
        fifo: OwnedFd,
        settings: LogSettings,
        patterns: Option<&Arc<Patterns>>,
    ) -> Self {
        let screen = match patterns {
            _ if !settings.redact => Screen::Open,
            None => Screen::Untold,
            Some(patterns) => Screen::Told(Box::new(Looking::new(Arc::clone(patterns)))),
        };
        let fifo_bytes = [1 << 20, 1 << 18, 1 << 16]
            .into_iter()
            .find_map(|bytes| rustix::pipe::fcntl_setpipe_size(&fifo, bytes).ok())
            .or_else(|| rustix::pipe::fcntl_getpipe_size(&fifo).ok())
            .unwrap_or(1 << 16) as u64;
        Self {
            name,
            fifo,
            fifo_bytes,
            settings,
            files: None,
            by_copy: false,
            last_pass: 0,
            last_index: 0,
            wake_at: 0,
            gap: None,
            screen,
            held_since: None,
            leaving: false,
            ended: false,
            written: 0,
            dropped: 0,
        }
    }

    /// Returns the FIFO when it is to be polled now, and the moment at which to look again without being woken.
    pub(super) fn interest(&self, now: u64) -> (Option<&OwnedFd>, Option<u64>) {
        if self.ended {
            return (None, None);
        }
        if self.wake_at > now {
            return (None, Some(self.wake_at));
        }
        (Some(&self.fifo), self.gap.as_ref().map(|gap| gap.retry_at))
    }

    /// Says for what to look from now on, in all that is still in the FIFO.
    pub(super) fn look_for(&mut self, patterns: &Arc<Patterns>) {
        if self.settings.redact {
            self.screen = Screen::Told(Box::new(Looking::new(Arc::clone(patterns))));
            self.held_since = None;
            self.wake_at = 0;
        }
    }

    /// Moves what is in the FIFO, up to a bound; called when it is readable or a moment given by `interest` has come.
    pub(super) fn pump(&mut self) {
        let now = SystemClock.now().mono.0;
        if self.ended || self.wake_at > now {
            return;
        }
        // What waits now and no more: emptying the FIFO under a replica that writes would be one system call a line.
        // At least 1, for a gap to close also when nothing waits.
        let given_up = self.leaving
            && self
                .held_since
                .is_some_and(|since| now.saturating_sub(since) > HELD_MAX);
        let moved = self.move_up_to(self.waiting().clamp(1, PASS_BYTES_MAX), given_up);
        if moved == 0 || self.wake_at > now {
            return;
        }
        let flooding = now.saturating_sub(self.last_pass) < FLOOD_GAP;
        if flooding && moved < self.fifo_bytes / 2 {
            self.wake_at = now + NAP;
        }
        self.last_pass = now;
    }

    /// Moves what is in the FIFO at this moment, so that the files hold all that was written before. Returns whether it did.
    ///
    /// What may be the begin of a secret stays in the FIFO, unless nothing more comes: `last`.
    pub(super) fn drain(&mut self, last: bool) -> bool {
        let mut left = self.waiting();
        while left > 0 {
            let moved = self.move_up_to(left, last);
            if moved == 0 {
                return self.gap.is_none() && self.held_since.is_some();
            }
            left = left.saturating_sub(moved);
        }
        self.gap.is_none()
    }

    /// Gives up on what still waits where the disk has failed, so that the counters are complete; with `block` it may wait on.
    pub(super) fn give_up(&mut self) {
        self.leaving = true;
        if self.gap.is_some() && self.settings.when_behind == WhenBehind::Drop {
            // Reading one's own FIFO does not fail in a way that could be mended.
            let _ = self.discard(self.waiting());
        }
    }

    /// From now on the FIFO ends when its last writer does, instead of never: for after the replica's end.
    pub(super) fn end_with_writers(&mut self) {
        // Through /proc, for the daemon may have removed the folder already.
        if let Ok(reader) = rustix::fs::open(
            format!("/proc/self/fd/{}", self.fifo.as_raw_fd()),
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            self.fifo = reader;
        }
    }

    /// Whether no process writes to the FIFO any more and it is empty; only after [`Stream::end_with_writers`].
    pub(super) fn has_ended(&mut self) -> bool {
        if !self.ended && self.waiting() == 0 {
            let mut byte = [0u8];
            self.ended = matches!(rustix::io::read(&self.fifo, &mut byte), Ok(0));
        }
        self.ended
    }

    /// Opens the files anew by name, after somebody else has renamed or removed them.
    pub(super) fn reopen(&mut self) {
        self.files = None;
    }

    /// Removes what was logged so far.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.files = None;
        for number in 1..u32::MAX {
            if !self.remove_rotated(number) {
                break;
            }
        }
        for extension in ["log", "idx"] {
            match fs::remove_file(self.path(extension, 0)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn waiting(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.fifo).unwrap_or(0)
    }

    fn move_up_to(&mut self, bytes: u64, last: bool) -> u64 {
        let mut moved = 0;
        while moved < bytes {
            match self.step(last) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(step) => moved += step,
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) if !self.by_copy => self.by_copy = true,
                Err(errno) => {
                    self.fail(&io::Error::from(errno));
                    if self.settings.when_behind == WhenBehind::Block {
                        break;
                    }
                }
            }
        }
        moved
    }

    /// Takes one portion out of the FIFO, to the file or, in a gap, to nowhere; 0 when nothing is left to do now.
    fn step(&mut self, last: bool) -> Result<u64, Errno> {
        let now = SystemClock.now().mono.0;
        let waiting = self.waiting();
        match &self.gap {
            // Dropped only once it is in the way: the disk may come back before the FIFO is full.
            Some(gap) if now < gap.retry_at && waiting < self.fifo_bytes / 2 => {
                self.wake_at = gap.retry_at.min(now + NAP);
                return Ok(0);
            }
            Some(gap) if now < gap.retry_at => return self.discard(waiting),
            Some(gap) if gap.bytes > 0 => {
                let skipped = self.close_gap()?;
                if skipped > 0 {
                    return Ok(skipped);
                }
            }
            Some(_) => self.gap = None,
            None => {}
        }
        if waiting == 0 {
            return Ok(0);
        }
        let clean = match self.next_part(now, waiting, last)? {
            None => return Ok(0),
            Some(Part::Clean(clean)) => clean,
            Some(Part::Secret { bytes, instead }) => return self.replace(now, bytes, &instead),
        };
        let portion = loop {
            let room = self.room()?;
            match self.portion(clean, room)? {
                0 => self.rotate()?,
                portion => break portion,
            }
        };
        self.stamp(now)?;
        let began = SystemClock.now().mono.0;
        let moved = self.transfer(portion)?;
        self.took(moved);
        let took = SystemClock.now().mono.0.saturating_sub(began);
        self.written += moved;
        let full = self.waiting() >= self.fifo_bytes / 4 * 3;
        if took > SLOW_WRITE && full && self.settings.when_behind == WhenBehind::Drop {
            // The replica is about to wait, or does already: make room at once and let the next write follow at once.
            self.gap = Some(Gap {
                why: "the disk is slower than the output".to_owned(),
                bytes: 0,
                mid_line: false,
                retry_at: 0,
            });
            self.discard(self.waiting())?;
        }
        Ok(moved)
    }

    /// Returns what is next in the FIFO; nothing when none of it may be written now.
    fn next_part(&mut self, now: u64, waiting: u64, last: bool) -> Result<Option<Part>, Errno> {
        match &mut self.screen {
            Screen::Open => Ok(Some(Part::Clean(waiting))),
            Screen::Told(looking) => {
                if !last && self.held_since.is_some() && looking.held() == waiting {
                    self.wake_at = now + HELD_LOOK;
                    return Ok(None);
                }
                let next = looking.next(&self.fifo, waiting, last)?;
                if next.is_some() {
                    self.held_since = None;
                } else {
                    self.held_since.get_or_insert(now);
                    self.wake_at = now + HELD_LOOK;
                }
                Ok(next)
            }
            Screen::Untold => {
                self.wake_at = now + HELD_LOOK;
                // Nobody waits for it yet, and nothing is lost.
                if self.settings.when_behind == WhenBehind::Block || (waiting < self.fifo_bytes / 2 && !last) {
                    return Ok(None);
                }
                self.gap = Some(Gap {
                    why: "tend has not told which secrets to look for".to_owned(),
                    bytes: 0,
                    mid_line: false,
                    retry_at: now + RETRY,
                });
                self.discard(waiting)?;
                Ok(None)
            }
        }
    }

    fn took(&mut self, bytes: u64) {
        if let Screen::Told(looking) = &mut self.screen {
            looking.took(bytes);
        }
    }

    /// Writes something in the place of a secret and only then takes the secret from the FIFO: a shim killed in between leaves it
    /// there for the next, which writes the same once more.
    fn replace(&mut self, now: u64, bytes: u64, instead: &[u8]) -> Result<u64, Errno> {
        let mut rest = instead;
        if self.room()? < rest.len() as u64 && rest.len() as u64 <= self.settings.file_bytes_max {
            self.rotate()?;
        }
        while !rest.is_empty() {
            let room = self.room()?;
            if room == 0 {
                self.rotate()?;
                continue;
            }
            self.stamp(now)?;
            let (part, later) = rest.split_at(rest.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            let files = self.open()?;
            write_all_at(&files.log, part, files.log_bytes)?;
            files.log_bytes += part.len() as u64;
            rest = later;
        }
        self.written += instead.len() as u64;
        let taken = self.take(bytes, |_| {})?;
        self.took(bytes);
        Ok(taken)
    }

    fn room(&mut self) -> Result<u64, Errno> {
        let max = self.settings.file_bytes_max;
        let files = self.open()?;
        // Somebody may have cut the file (copytruncate); writing on at the old place would leave a hole.
        let size = rustix::fs::fstat(&files.log)?.st_size.unsigned_abs();
        if size < files.log_bytes {
            files.log_bytes = size;
            rustix::fs::ftruncate(&files.index, 0)?;
            files.index_bytes = 0;
        }
        Ok(max.saturating_sub(files.log_bytes))
    }

    /// Returns how much to move so that the file ends with a whole line where that can be; 0 means rotate first.
    fn portion(&mut self, waiting: u64, room: u64) -> Result<u64, Errno> {
        if room == 0 {
            return Ok(0);
        }
        if waiting <= room {
            return Ok(waiting.min(CHUNK_BYTES));
        }
        if room > PEEK_BYTES {
            return Ok((room - PEEK_BYTES).min(CHUNK_BYTES));
        }
        let (seen, last_line_end, _) = self.peek(room)?;
        if last_line_end > 0 {
            Ok(last_line_end)
        } else if seen < room {
            Ok(seen)
        } else if self.at_line_start()? && self.open()?.log_bytes > 0 {
            Ok(0)
        } else {
            // A line longer than what `tee` can show, or begun in this file: it is cut, the limit is not.
            Ok(room)
        }
    }

    /// Looks at the head of the FIFO without taking anything: bytes seen, end of the last line and of the first in them.
    fn peek(&self, bytes: u64) -> Result<(u64, u64, u64), Errno> {
        let (mut last, mut first) = (0, 0);
        let seen = self.copy_head(bytes.min(PEEK_BYTES), |before, part| {
            if let Some(at) = part.iter().rposition(|&byte| byte == b'\n') {
                last = before + at as u64 + 1;
            }
            if first == 0
                && let Some(at) = part.iter().position(|&byte| byte == b'\n')
            {
                first = before + at as u64 + 1;
            }
            Ok(())
        })?;
        Ok((seen, last, first))
    }

    /// Hands the head of the FIFO to `take` in parts, each with the number of bytes before it; nothing leaves the FIFO.
    fn copy_head(&self, bytes: u64, mut take: impl FnMut(u64, &[u8]) -> Result<(), Errno>) -> Result<u64, Errno> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let copied = tee(
            &self.fifo,
            &writer,
            usize::try_from(bytes).unwrap_or(usize::MAX),
            SpliceFlags::NONBLOCK,
        )? as u64;
        let mut part = [0u8; 4096];
        let mut seen = 0;
        while seen < copied {
            let read = rustix::io::read(&reader, &mut part)?;
            if read == 0 {
                break;
            }
            take(seen, &part[..read])?;
            seen += read as u64;
        }
        Ok(seen)
    }

    fn transfer(&mut self, bytes: u64) -> Result<u64, Errno> {
        if self.by_copy {
            return self.transfer_by_copy(bytes);
        }
        let Some(files) = &mut self.files else {
            return Ok(0);
        };
        let mut offset = files.log_bytes;
        let moved = splice(
            &self.fifo,
            None,
            &files.log,
            Some(&mut offset),
            usize::try_from(bytes).unwrap_or(usize::MAX),
            SpliceFlags::NONBLOCK | SpliceFlags::MOVE,
        )? as u64;
        files.log_bytes += moved;
        Ok(moved)
    }

    fn transfer_by_copy(&mut self, bytes: u64) -> Result<u64, Errno> {
        let Some(files) = &self.files else {
            return Ok(0);
        };
        let mut stored = 0;
        let copied = self.copy_head(bytes.min(PEEK_BYTES), |before, part| {
            write_all_at(&files.log, part, files.log_bytes + before)?;
            stored = before + part.len() as u64;
            Ok(())
        });
        if stored == 0 {
            copied?;
        }
        self.take(stored, |_| {})?;
        if let Some(files) = &mut self.files {
            files.log_bytes += stored;
        }
        Ok(stored)
    }

    /// Reads and forgets exactly `bytes` of the FIFO, fewer when it holds fewer.
    fn take(&self, bytes: u64, mut saw: impl FnMut(&[u8])) -> Result<u64, Errno> {
        let mut part = [0u8; 4096];
        let mut taken = 0;
        while taken < bytes {
            let want = usize::try_from(bytes - taken).unwrap_or(usize::MAX).min(part.len());
            match rustix::io::readv(&self.fifo, &mut [IoSliceMut::new(&mut part[..want])]) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(read) => {
                    saw(&part[..read]);
                    taken += read as u64;
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(taken)
    }

    /// Drops output into the gap.
    fn discard(&mut self, bytes: u64) -> Result<u64, Errno> {
        let mut last = None;
        let taken = self.take(bytes, |part| last = part.last().copied())?;
        if let Screen::Told(looking) = &mut self.screen {
            looking.forget();
            self.held_since = None;
        }
        self.dropped += taken;
        if let Some(gap) = &mut self.gap {
            gap.bytes += taken;
            if let Some(last) = last {
                gap.mid_line = last != b'\n';
            }
        }
        Ok(taken)
    }

    /// Ends a gap: drops the rest of a line that began in it and writes the marker. Returns how much it dropped for that.
    fn close_gap(&mut self) -> Result<u64, Errno> {
        if self.gap.as_ref().is_some_and(|gap| gap.mid_line) {
            let waiting = self.waiting();
            if waiting > 0 {
                let (seen, _, first) = self.peek(PEEK_BYTES)?;
                return self.discard(if first > 0 { first } else { seen });
            }
        }
        let Some(gap) = &self.gap else {
            return Ok(0);
        };
        let line = format!("[tend] {} bytes of output dropped here: {}\n", gap.bytes, gap.why);
        if self.room()? < line.len() as u64 + 1 {
            self.rotate()?;
        }
        let break_line = !self.at_line_start()?;
        let files = self.open()?;
        let marker = if break_line { format!("\n{line}") } else { line };
        if let Err(errno) = write_all_at(&files.log, marker.as_bytes(), files.log_bytes) {
            // Half a marker would look like output.
            let _ = rustix::fs::ftruncate(&files.log, files.log_bytes);
            return Err(errno);
        }
        files.log_bytes += marker.len() as u64;
        self.gap = None;
        Ok(0)
    }

    /// Notes that writing failed. `drop`: a gap begins or goes on; `block`: the FIFO fills until the next try.
    fn fail(&mut self, error: &io::Error) {
        let retry_at = SystemClock.now().mono.0 + RETRY;
        match self.settings.when_behind {
            WhenBehind::Block => self.wake_at = retry_at,
            WhenBehind::Drop => {
                let why = reason(error);
                let gap = self.gap.get_or_insert(Gap {
                    why: String::new(),
                    bytes: 0,
                    mid_line: false,
                    retry_at,
                });
                gap.why = why;
                gap.retry_at = retry_at;
            }
        }
    }

    fn at_line_start(&mut self) -> Result<bool, Errno> {
        let files = self.open()?;
        if files.log_bytes == 0 {
            return Ok(true);
        }
        let mut byte = [0u8];
        rustix::io::pread(&files.log, &mut byte, files.log_bytes - 1)?;
        Ok(byte[0] == b'\n')
    }

    fn open(&mut self) -> Result<&mut Files, Errno> {
        if self.files.is_none() {
            let (log, index) = (self.path("log", 0), self.path("idx", 0));
            let open = |path: &PathBuf| {
                rustix::fs::open(
                    path,
                    OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC,
                    Mode::from_raw_mode(0o640),
                )
            };
            let log = match open(&log) {
                Err(Errno::NOENT) => {
                    fs::create_dir_all(&self.settings.directory)
                        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
                    open(&log)?
                }
                other => other?,
            };
            let index = open(&index)?;
            let size = |file: &OwnedFd| Ok(rustix::fs::fstat(file)?.st_size.unsigned_abs());
            self.files = Some(Files {
                log_bytes: size(&log)?,
                // A record cut short by a kill is overwritten.
                index_bytes: size(&index)? / 16 * 16,
                log,
                index,
            });
            self.last_index = 0;
        }
        self.files.as_mut().ok_or(Errno::BADF)
    }

    /// Writes a record of the time index: what comes from this offset on came at this time or later.
    fn stamp(&mut self, now: u64) -> Result<(), Errno> {
        let due = self.last_index == 0 || now.saturating_sub(self.last_index) >= INDEX_GAP;
        let files = self.open()?;
        if !due && files.log_bytes > 0 {
            return Ok(());
        }
        let mut record = [0u8; 16];
        record[..8].copy_from_slice(&SystemClock.now().wall.0.to_le_bytes());
        record[8..].copy_from_slice(&files.log_bytes.to_le_bytes());
        write_all_at(&files.index, &record, files.index_bytes)?;
        files.index_bytes += 16;
        self.last_index = now;
        Ok(())
    }

    /// Makes room: `.log` becomes `.log.1`, that `.log.2`, and what would pass `files_max` goes. The index moves along.
    fn rotate(&mut self) -> Result<(), Errno> {
        self.files = None;
        let kept = self.settings.files_max.saturating_sub(1);
        // One more than needed, and further ones from when more were kept.
        for number in kept.max(1).. {
            if !self.remove_rotated(number) {
                break;
            }
        }
        for number in (0..kept).rev() {
            for extension in ["idx", "log"] {
                let from = self.path(extension, number);
                match fs::rename(&from, self.path(extension, number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
                    }
                    _ => {}
                }
            }
        }
        if kept == 0 {
            for extension in ["idx", "log"] {
                match fs::remove_file(self.path(extension, 0)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
                    }
                    _ => {}
                }
            }
        }
        self.open()?;
        Ok(())
    }

    fn remove_rotated(&self, number: u32) -> bool {
        let index = fs::remove_file(self.path("idx", number)).is_ok();
        fs::remove_file(self.path("log", number)).is_ok() || index
    }

    fn path(&self, extension: &str, number: u32) -> PathBuf {
        crate::replica_log::path(&self.settings.directory, self.name, extension, number)
    }
}

fn write_all_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = rustix::io::pwrite(file.as_fd(), bytes, offset)?;
        if written == 0 {
            return Err(Errno::NOSPC);
        }
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".to_owned(),
        io::ErrorKind::FileTooLarge => "the file may not grow any more".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".to_owned(),
        io::ErrorKind::PermissionDenied => "the log file may not be written".to_owned(),
        _ => error.to_string(),
    }
}
