//! Running a command of a stack to its end: as its user, for so long and no longer, with nothing of it left behind.
//!
//! Its output goes into a file and not into a pipe: it outlives a daemon that is killed, and a pipe without a reader would end it in
//! the middle. Knows nothing of what the command is for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::time::Duration;

use tend_base::without_os_numbers;

use super::shared::Shared;

/// How often a command under way is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Lines of output that are told of one that failed: its end tells why.
const LAST_LINES: usize = 10;

/// Read back of a command's output to find these lines.
const LAST_BYTES: u64 = 8 << 10;

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
}

impl Failed {
    /// Returns the sentence, and below it each line of output.
    pub(crate) fn in_lines(&self) -> String {
        let lines = std::iter::once(self.why.as_str()).chain(self.last_lines.iter().map(String::as_str));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Runs a command to its end. Blocks.
pub(crate) fn run(shared: &Shared, errand: Errand<'_>) -> Result<(), Failed> {
    let Errand {
        mut program,
        timeout,
        log,
        lock,
        stop,
        said,
    } = errand;
    let name = program.get_program().to_string_lossy().into_owned();
    let plain = |why: String| Failed {
        why,
        last_lines: Vec::new(),
    };
    let opened = open_log(log).map_err(|error| {
        let error = without_os_numbers(&error.to_string());
        plain(format!("its output could not be kept in `{}`: {error}", log.display()))
    })?;
    let (stdout, stderr, mut reader) = opened;
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
        if let Some(line) = latest_line(&mut reader) {
            said(&line);
        }
        std::thread::sleep(LOOK);
    };
    end_tree(pid, &marks);
    // It is gone by now, or the kernel does not let it go: then waiting for it would not help.
    let _ = child.try_wait();
    shared.replicas.end_child(&child);
    let why = match ended {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("`{name}` ended with {status}"),
        Err(why) => why,
    };
    Err(Failed {
        why,
        last_lines: last_lines(log),
    })
}

fn open_log(path: &Path) -> std::io::Result<(File, File, File)> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A new file each time: what an earlier command that still runs writes goes elsewhere.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // For this daemon's user alone: what a command writes may be anything.
    let write = File::options().create_new(true).append(true).mode(0o600).open(path)?;
    Ok((write.try_clone()?, write, File::open(path)?))
}

/// Returns the last whole line written since the last look.
fn latest_line(reader: &mut File) -> Option<String> {
    let mut new = Vec::new();
    let size = reader.metadata().ok()?.len();
    let at = reader.stream_position().ok()?;
    if size.saturating_sub(at) > LAST_BYTES {
        reader.seek(SeekFrom::Start(size - LAST_BYTES)).ok()?;
    }
    reader.take(LAST_BYTES).read_to_end(&mut new).ok()?;
    let text = String::from_utf8_lossy(&new);
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .map(str::to_owned)
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
        let mut reader = File::open(&log).unwrap();
        assert_eq!(latest_line(&mut reader).as_deref(), Some("line 4999"));
        assert_eq!(latest_line(&mut reader), None, "nothing was written since");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_left_the_tree_is_ended_by_the_file_it_holds() {
        let folder = place("tree");
        let (stdout, _, _) = open_log(&folder.join("log")).unwrap();
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
