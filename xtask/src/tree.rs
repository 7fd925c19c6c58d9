//! What a command that hangs is doing: its processes and threads, and what the kernel says each waits for.
//!
//! Owns the reading of `/proc`. Knows nothing of why somebody asks. libtest names a thread after its test, so the threads of a
//! test program name the test that never ended.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// A process as `/proc` shows it.
struct Process {
    parent: u32,
    command: String,
}

/// The process `root` and all it started, one line a process and one a thread, indented by descent.
pub(crate) fn below(root: u32) -> String {
    let processes = processes();
    let mut text = String::new();
    describe(root, 1, &processes, &mut text);
    text
}

/// The process ids of `root` and all it started, parents before children.
pub(crate) fn ids_below(root: u32) -> Vec<u32> {
    let processes = processes();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&id) = found.get(next) {
        found.extend(children(id, &processes));
        next += 1;
    }
    found
}

fn describe(id: u32, depth: usize, processes: &BTreeMap<u32, Process>, text: &mut String) {
    let Some(process) = processes.get(&id) else {
        return;
    };
    let indent = "  ".repeat(depth);
    let _ = writeln!(text, "{indent}{id} {}", process.command);
    for thread in threads(id) {
        let _ = writeln!(text, "{indent}  | {thread}");
    }
    for child in children(id, processes) {
        describe(child, depth + 1, processes, text);
    }
}

fn children(parent: u32, processes: &BTreeMap<u32, Process>) -> impl Iterator<Item = u32> {
    processes
        .iter()
        .filter(move |(_, process)| process.parent == parent)
        .map(|(id, _)| *id)
}

/// A process that ends while it is read is left out.
fn processes() -> BTreeMap<u32, Process> {
    numbers("/proc")
        .filter_map(|id| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
            let words: Vec<_> = command
                .split(|byte| *byte == 0)
                .filter(|word| !word.is_empty())
                .map(String::from_utf8_lossy)
                .collect();
            Some((
                id,
                Process {
                    parent: parent(&stat)?,
                    command: words.join(" "),
                },
            ))
        })
        .collect()
}

/// `name state wait-channel` of each thread; the wait channel is `0` or absent where the kernel does not tell it.
fn threads(id: u32) -> Vec<String> {
    numbers(&format!("/proc/{id}/task"))
        .map(|thread| {
            let folder = format!("/proc/{id}/task/{thread}");
            let read = |file: &str| fs::read_to_string(format!("{folder}/{file}")).unwrap_or_default();
            let stat = read("stat");
            let state = after_name(&stat).and_then(|rest| rest.split(' ').next()).unwrap_or("?");
            format!("{} {state} {}", read("comm").trim(), read("wchan").trim())
        })
        .collect()
}

fn numbers(folder: &str) -> impl Iterator<Item = u32> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The fourth field of `/proc/PID/stat`.
fn parent(stat: &str) -> Option<u32> {
    after_name(stat)?.split(' ').nth(1)?.parse().ok()
}

/// What follows the name, which stands in parentheses and may itself hold spaces and parentheses.
fn after_name(stat: &str) -> Option<&str> {
    Some(stat.rsplit_once(") ")?.1)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_parent() {
        assert_eq!(parent("12 (a) S 3 (b) S 7 12 0"), Some(7));
        assert_eq!(parent("12 (sh"), None);
    }

    #[test]
    fn a_child_and_what_it_waits_with_are_named() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let text = below(std::process::id());
        let ids = ids_below(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ids.contains(&child.id()), "{ids:?}");
        assert!(text.contains(&format!("{} sleep 60", child.id())), "{text}");
    }
}
