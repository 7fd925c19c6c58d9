//! Running a command of a stack to its end: as its user, for so long and no longer, with nothing of it left behind.
//!
//! Its output goes into a file in memory and not into a pipe: it outlives a daemon that is killed, and a pipe without a reader would end
//! it in the middle. From there it goes on to its log, without its secrets, and is taken out of memory. What a command says after its
//! daemon was killed is lost. Knows nothing of what the command is for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FallocateFlags, MemfdFlags};
use tend_base::without_os_numbers;
use tend_redact::{Patterns, Redactor};

use super::shared::Shared;

/// How often a command under way is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Lines of output that are told of one that failed: its end tells why.
const LAST_LINES: usize = 10;

/// Read back of a command's output to find these lines.
const LAST_BYTES: u64 = 8 << 10;

/// Moved from memory to the log at once.
const MOVED_BYTES: usize = 32 << 10;

/// No machine has larger pages of memory for a file.
const PAGE_BYTES_MAX: u64 = 64 << 10;

/// How long processes may take to be gone after SIGKILL.
const GONE_MAX: Duration = Duration::from_secs(5);

/// A command to be run.
pub(crate) struct Errand<'a> {
    /// How it is run; streams are set here.
    pub(crate) program: Program,
    /// After this long it is ended with all it started.
    pub(crate) timeout: Duration,
    /// Where its output goes; what was there before is replaced.
    pub(crate) log: &'a Path,
    /// What is replaced in it before.
    pub(crate) patterns: Arc<Patterns>,
    /// Inherited by it as standard input, which is empty: it holds the lock on this file for as long as it or a child of it lives,
    /// whatever becomes of the daemon.
    pub(crate) lock: Option<File>,
    /// Asked again and again; a reason ends it early.
    pub(crate) stop: &'a dyn Fn() -> Option<String>,
    /// Told its latest line of output.
    pub(crate) said: &'a dyn Fn(&str),
}

/// Why a command did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// One sentence.
    pub(crate) why: String,
    /// The last lines of its output, oldest first.
    pub(crate) last_lines: Vec<String>,
    /// With what it ended, where it ended by itself.
    pub(crate) code: Option<i32>,
}

impl Failed {
    /// Returns the sentence, and below it each line of output.
    pub(crate) fn in_lines(&self) -> String {
        let lines = std::iter::once(self.why.as_str()).chain(self.last_lines.iter().map(String::as_str));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Returns the sentence with its last line of output.
    pub(crate) fn in_a_line(&self) -> String {
        let lines = std::iter::once(&self.why).chain(self.last_lines.last());
        lines.map(String::as_str).collect::<Vec<_>>().join(": ")
    }
}

/// Runs a command to its end. Blocks.
pub(crate) fn run(shared: &Shared, errand: Errand<'_>) -> Result<(), Failed> {
    let Errand {
        mut program,
        timeout,
        log,
        patterns,
        lock,
        stop,
        said,
    } = errand;
    let name = program.get_program().to_string_lossy().into_owned();
    let plain = |why: String| Failed {
        why,
        last_lines: Vec::new(),
        code: None,
    };
    let opened = Output::open(log, patterns).map_err(|error| {
        let error = without_os_numbers(&error.to_string());
        plain(format!("its output could not be kept in `{}`: {error}", log.display()))
    })?;
    let (stdout, stderr, mut output) = opened;
    let marks: Vec<Mark> = [lock.as_ref(), Some(&stdout)]
        .into_iter()
        .flatten()
        .filter_map(Mark::of)
        .collect();
    let stdin = lock.map_or_else(Stdio::null, Stdio::from);
    program.stdin(stdin).stdout(stdout).stderr(stderr);
    let started = shared.replicas.start_child(&mut program);
    // With the command's own copies of the lock the daemon needs none: it must not keep what it runs from ending.
    drop(program);
    let mut child = started.map_err(|error| {
        let error = without_os_numbers(&error.to_string());
        plain(format!("`{name}` could not be run: {error}"))
    })?;
    let pid = i32::try_from(child.id()).unwrap_or(0);
    let begun = super::now().mono;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) => {}
            Err(error) => break Err(format!("`{name}` could not be waited for: {error}")),
        }
        if super::now().mono.since(begun) > timeout {
            break Err(format!(
                "`{name}` did not end within {}",
                tend_base::format_duration(timeout)
            ));
        }
        if let Some(why) = stop() {
            break Err(why);
        }
        if let Some(line) = output.move_on(false) {
            said(&line);
        }
        std::thread::sleep(LOOK);
    };
    end_tree(pid, &marks);
    // It is gone by now, or the kernel does not let it go: then waiting for it would not help.
    let _ = child.try_wait();
    shared.replicas.end_child(&child);
    output.move_on(true);
    let (why, code) = match ended {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => (format!("`{name}` ended with {status}"), status.code()),
        Err(why) => (why, None),
    };
    Err(Failed {
        why,
        last_lines: last_lines(log),
        code,
    })
}

/// A command's output on its way to its log.
struct Output {
    /// Read here, written by the command.
    memory: File,
    read: u64,
    redactor: Redactor,
    log: File,
}

impl Output {
    /// Returns what the command is to write to, twice, and what moves it on.
    fn open(path: &Path, patterns: Arc<Patterns>) -> std::io::Result<(File, File, Self)> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // A new file each time: what an earlier command that still runs writes goes elsewhere.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let memory = File::from(rustix::fs::memfd_create("tend-output", MemfdFlags::CLOEXEC)?);
        // The command's descriptors share one place in it; the reader has its own.
        let reader = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/self/fd/{}", memory.as_raw_fd()))?;
        let output = Self {
            memory: reader,
            read: 0,
            redactor: Redactor::new(patterns),
            // For this daemon's user alone: what a command writes may be anything.
            log: File::options().create_new(true).append(true).mode(0o600).open(path)?,
        };
        Ok((memory.try_clone()?, memory, output))
    }

    /// Moves what was written since the last time. Returns the last line of it; all of it when nothing more comes: `last`.
    fn move_on(&mut self, last: bool) -> Option<String> {
        let mut buffer = vec![0; MOVED_BYTES];
        let mut out = Vec::new();
        let mut latest = None;
        loop {
            // Reading memory does not fail; the log may be on a full disk, and then has a hole.
            let count = self.memory.read_at(&mut buffer, self.read).unwrap_or(0);
            self.redactor.push(&buffer[..count], &mut out);
            if count == 0 && last {
                self.redactor.flush(&mut out);
            }
            let _ = self.log.write_all(&out);
            let text = String::from_utf8_lossy(&out);
            let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
            latest = line.map(str::to_owned).or(latest);
            out.clear();
            if count == 0 {
                return latest;
            }
            // A page goes only as a whole: from the begin of the one that was read in part before.
            let from = self.read / PAGE_BYTES_MAX * PAGE_BYTES_MAX;
            let _ = rustix::fs::fallocate(
                &self.memory,
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                from,
                self.read + count as u64 - from,
            );
            self.read += count as u64;
        }
    }
}

/// Returns the last lines of a file, oldest first.
pub(crate) fn last_lines(path: &Path) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(LAST_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    lines[from..].iter().map(|line| (*line).to_owned()).collect()
}

/// A file by which the processes that have it open are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
}

impl Mark {
    /// Returns the mark that an open file is.
    pub(crate) fn of(file: &File) -> Option<Self> {
        let metadata = file.metadata().ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// Returns the processes, other than this one, that have one of the files open.
pub(crate) fn holders(marks: &[Mark]) -> BTreeSet<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let processes = tend_linux::all_processes().unwrap_or_default();
    let pids = processes.iter().map(|stat| stat.pid).filter(|pid| *pid != own);
    pids.filter(|pid| {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"));
        open.into_iter().flatten().flatten().any(|entry| {
            let metadata = std::fs::metadata(entry.path());
            metadata.is_ok_and(|metadata| {
                let one = Mark {
                    device: metadata.dev(),
                    inode: metadata.ino(),
                };
                marks.contains(&one)
            })
        })
    })
    .collect()
}

/// Ends a command and all it started: its descendants, its process group, and whoever has one of its files open.
pub(crate) fn end_tree(pid: i32, marks: &[Mark]) {
    let begun = super::now().mono;
    loop {
        let mut pids = holders(marks);
        if pid > 0 {
            let all = tend_linux::all_processes().unwrap_or_default();
            pids.extend(all.iter().filter(|stat| stat.group == pid).map(|stat| stat.pid));
            pids.extend(tend_linux::process_tree(pid).unwrap_or_default());
        }
        let alive = |pid: &i32| tend_linux::ProcStat::read(*pid).is_ok_and(|stat| !matches!(stat.state, 'Z' | 'X'));
        pids.retain(alive);
        if pids.is_empty() || super::now().mono.since(begun) > GONE_MAX {
            return;
        }
        for pid in pids {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// Returns the folder of what is kept of a stack's deployments beside the state.
pub(crate) fn folder(shared: &Shared, stack: &str) -> PathBuf {
    shared.paths.state.join("deploys").join(stack)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::*;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tend-errand-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn the_last_lines_of_a_long_output_are_told_and_empty_ones_are_not() {
        let folder = place("lines");
        let log = folder.join("log");
        let text: String = (0..5000).map(|number| format!("line {number}\n\n")).collect();
        std::fs::write(&log, text).unwrap();
        let lines = last_lines(&log);
        assert_eq!(lines.len(), LAST_LINES);
        assert_eq!(lines.last().map(String::as_str), Some("line 4999"));
        assert!(last_lines(&folder.join("none")).is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    fn patterns() -> Arc<Patterns> {
        let values = [tend_redact::Value::new("DB_PASSWORD", "hunter2hunter2")];
        Arc::new(Patterns::new(&values, tend_redact::Rules::All))
    }

    #[test]
    fn output_reaches_its_log_without_its_secrets_and_leaves_the_memory() {
        let folder = place("output");
        let log = folder.join("log");
        let (mut stdout, mut stderr, mut output) = Output::open(&log, patterns()).unwrap();
        stdout.write_all(b"one\nit is hunter2").unwrap();
        assert_eq!(output.move_on(false).as_deref(), Some("it is"));
        stderr.write_all(b"hunter2 token=abc").unwrap();
        assert_eq!(output.move_on(false).as_deref(), Some("[secret DB_PASSWORD]"));
        assert_eq!(output.move_on(false), None, "nothing was written since");
        assert_eq!(output.move_on(true).as_deref(), Some("token=[redacted]"));
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text, "one\nit is [secret DB_PASSWORD] token=[redacted]");
        for _ in 0..300 {
            stdout.write_all(&[b'x'; 4001]).unwrap();
            output.move_on(false);
        }
        assert!(stdout.metadata().unwrap().blocks() * 512 <= PAGE_BYTES_MAX);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_left_the_tree_is_ended_by_the_file_it_holds() {
        let folder = place("tree");
        let (stdout, _, _) = Output::open(&folder.join("log"), patterns()).unwrap();
        let marks: Vec<Mark> = Mark::of(&stdout).into_iter().collect();
        let pids = folder.join("pids");
        // One below it, one in a session of its own whose parent is gone by then.
        let script = "sleep 600 & (setsid sleep 600 & echo $! > PIDS.new; mv PIDS.new PIDS) ; sleep 600";
        let mut child = Program::new("sh")
            .args(["-c", &script.replace("PIDS", &pids.display().to_string())])
            .stdout(stdout)
            .process_group(0)
            .spawn()
            .unwrap();
        let deadline = super::super::now().mono + Duration::from_secs(20);
        while !pids.exists() {
            assert!(super::super::now().mono < deadline, "the script did not begin");
            std::thread::sleep(LOOK);
        }
        let apart: i32 = std::fs::read_to_string(&pids).unwrap().trim().parse().unwrap();
        assert!(holders(&marks).contains(&apart));
        end_tree(i32::try_from(child.id()).unwrap(), &marks);
        child.wait().unwrap();
        assert!(holders(&marks).is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
