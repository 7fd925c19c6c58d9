//! Processes of replicas, under the names that Prometheus' client libraries give their own process. Knows no stack: who asks says which process,
//! and with which labels.
//!
//! A replica is more than one process where it starts others: its figures are the sums over its descendants, those of its shim, which adopts
//! orphans, and its control group. Processor time is that of the control group where there is one: it does not shrink when a process ends. Without,
//! it is what the processes and the children they waited for have used.

use crate::CollectError;
use crate::blocking::Blocking;
use crate::collector::{Collecting, Collector, ROUND_WITHIN};
use crate::families::Families;
use crate::files::{Files, number};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Clock ticks of `/proc` wherever Linux runs (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// The process of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaProcess {
    /// Its number.
    pub pid: i32,
    /// Clock ticks from boot to its start, by which it is known that the number is not somebody else's by now.
    pub start_time: u64,
    /// Its shim, where one lives.
    pub shim_pid: Option<i32>,
    /// The folder of its control group, where it has one.
    pub cgroup: Option<PathBuf>,
    /// The labels of its samples.
    pub labels: Vec<(String, String)>,
}

/// The processes of replicas.
#[derive(Debug)]
pub struct Processes {
    files: Files,
    watched: Vec<ReplicaProcess>,
    reading: Blocking<Result<(Families, usize), CollectError>>,
    trouble: Option<String>,
}

impl Processes {
    /// Makes the collector of these. All of them are found in one pass over `/proc`, so one collector for many is cheaper than many.
    #[must_use]
    pub fn new(watched: Vec<ReplicaProcess>) -> Self {
        Self {
            files: Files::new(PathBuf::from("/")),
            watched,
            reading: Blocking::default(),
            trouble: None,
        }
    }

    /// Puts others in the place of those that are watched.
    pub fn set(&mut self, watched: Vec<ReplicaProcess>) {
        self.watched = watched;
    }

    async fn round(&mut self) -> Result<String, CollectError> {
        let (files, watched) = (self.files.clone(), self.watched.clone());
        let read = Box::new(move || read(&files, &watched));
        let (out, gone) = self
            .reading
            .read("reading the process table", ROUND_WITHIN, read)
            .await??;
        self.trouble = (gone > 0).then(|| format!("{gone} of {} processes have ended", self.watched.len()));
        Ok(out.text())
    }
}

impl Collector for Processes {
    fn collect(&mut self) -> Collecting<'_> {
        Box::pin(self.round())
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

/// What `/proc/PID/stat` says, as far as it is told.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    pid: i32,
    parent: i32,
    /// Of its own, user and system.
    ticks: u64,
    /// Of its children that it waited for, and of theirs.
    children_ticks: u64,
    threads: u64,
    start_time: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// Reads the text. The name of the program may hold spaces and brackets, so it ends at the last `)`.
    fn parse(text: &str) -> Option<Self> {
        let (pid, rest) = text.split_once('(')?;
        let (_, rest) = rest.rsplit_once(')')?;
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        // `rest` begins with field 3 of proc(5).
        let field = |number: usize| words.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            pid: pid.trim().parse().ok()?,
            parent: words.get(1)?.parse().ok()?,
            ticks: field(14)? + field(15)?,
            // Signed in proc(5), and never below zero.
            children_ticks: field(16)? + field(17)?,
            threads: field(20)?,
            start_time: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Returns what there is, and how many are gone.
fn read(files: &Files, watched: &[ReplicaProcess]) -> Result<(Families, usize), CollectError> {
    let mut out = Families::new();
    if watched.is_empty() {
        return Ok((out, 0));
    }
    let booted = boot_time(files)?;
    let pids = files
        .names("proc")
        .into_iter()
        .filter(|name| name.parse::<i32>().is_ok());
    // A process that ends meanwhile is left out.
    let stats: BTreeMap<i32, Stat> = pids
        .filter_map(|pid| Stat::parse(&files.read(&format!("proc/{pid}/stat")).ok()?))
        .map(|stat| (stat.pid, stat))
        .collect();
    let mut children = BTreeMap::<i32, Vec<i32>>::new();
    for stat in stats.values() {
        children.entry(stat.parent).or_default().push(stat.pid);
    }
    let mut gone = 0;
    for replica in watched {
        match stats
            .get(&replica.pid)
            .filter(|stat| stat.start_time == replica.start_time)
        {
            Some(main) => tell(
                files,
                replica,
                main,
                &members(replica, &stats, &children),
                booted,
                &stats,
                &mut out,
            ),
            None => gone += 1,
        }
    }
    Ok((out, gone))
}

fn boot_time(files: &Files) -> Result<f64, CollectError> {
    let path = "proc/stat";
    let text = files.read(path)?;
    let seconds = text
        .lines()
        .find_map(|line| number(line.strip_prefix("btime ")?.trim()));
    seconds.ok_or_else(|| files.not_understood(path))
}

/// Returns who belongs to a replica, itself included.
fn members(replica: &ReplicaProcess, stats: &BTreeMap<i32, Stat>, children: &BTreeMap<i32, Vec<i32>>) -> Vec<Stat> {
    let mut found = BTreeSet::from([replica.pid]);
    let mut next: Vec<i32> = [Some(replica.pid), replica.shim_pid].into_iter().flatten().collect();
    while let Some(pid) = next.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                next.push(*child);
            }
        }
    }
    if let Some(group) = &replica.cgroup {
        in_group(group, &mut found);
    }
    if let Some(shim) = replica.shim_pid {
        found.remove(&shim);
    }
    found.iter().filter_map(|pid| stats.get(pid)).copied().collect()
}

/// Adds the processes of a control group and of the groups below it.
fn in_group(group: &Path, found: &mut BTreeSet<i32>) {
    let pids = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    found.extend(pids.lines().filter_map(|pid| pid.parse::<i32>().ok()));
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            in_group(&entry.path(), found);
        }
    }
}

fn tell(
    files: &Files,
    replica: &ReplicaProcess,
    main: &Stat,
    members: &[Stat],
    booted: f64,
    stats: &BTreeMap<i32, Stat>,
    out: &mut Families,
) {
    let labels: Vec<(&str, &str)> = replica
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let sum = |of: fn(&Stat) -> u64| members.iter().map(of).sum::<u64>() as f64;
    let adopted = replica
        .shim_pid
        .and_then(|pid| stats.get(&pid))
        .map_or(0, |shim| shim.children_ticks);
    let counted = replica.cgroup.as_deref().and_then(group_seconds);
    let cpu =
        counted.unwrap_or_else(|| (sum(|stat| stat.ticks + stat.children_ticks) + adopted as f64) / TICKS_PER_SECOND);
    out.counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        &labels,
        cpu,
    );
    let page = rustix::param::page_size() as f64;
    let mut gauge = |name: &'static str, help: &'static str, value: f64| out.gauge(name, help, &labels, value);
    gauge(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        sum(|stat| stat.resident_pages) * page,
    );
    gauge(
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        sum(|stat| stat.virtual_bytes),
    );
    gauge(
        "process_threads",
        "Number of OS threads in the process.",
        sum(|stat| stat.threads),
    );
    gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        booted + main.start_time as f64 / TICKS_PER_SECOND,
    );
    // Of processes of other users these two are root's to see.
    let counts = members.iter().map(|stat| open_descriptors(files, stat.pid));
    if let Some(open) = counts.sum::<Option<u64>>() {
        gauge("process_open_fds", "Number of open file descriptors.", open as f64);
    }
    let limits = files.read(&format!("proc/{}/limits", main.pid)).unwrap_or_default();
    if let Some(limit) = soft_limit(&limits, "Max open files") {
        gauge("process_max_fds", "Maximum number of open file descriptors.", limit);
    }
    if let Some(limit) = soft_limit(&limits, "Max address space") {
        gauge(
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            limit,
        );
    }
}

/// Returns the seconds of processor time that a control group has used; `None` where it does not count.
fn group_seconds(group: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(group.join("cpu.stat")).ok()?;
    let microseconds = text.lines().find_map(|line| number(line.strip_prefix("usage_usec ")?));
    Some(microseconds? / 1e6)
}

/// Returns how many descriptors are open; 0 of one that has ended meanwhile, `None` where that is not ours to see.
fn open_descriptors(files: &Files, pid: i32) -> Option<u64> {
    match std::fs::read_dir(files.path(&format!("proc/{pid}/fd"))) {
        Ok(entries) => Some(entries.count() as u64),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => None,
        Err(_) => Some(0),
    }
}

/// Returns a soft limit of `/proc/PID/limits`; none is 2^64, as the client libraries say.
fn soft_limit(limits: &str, name: &str) -> Option<f64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        text => number(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: i32, parent: i32, ticks: [u64; 4], start_time: u64) -> String {
        let [user, system, children_user, children_system] = ticks;
        format!(
            "{pid} (a) b (c) S {parent} 1 1 0 -1 4194560 1 0 0 0 {user} {system} {children_user} {children_system} 20 0 3 0 \
             {start_time} 1000 25 18446744073709551615 1 1 0 0\n"
        )
    }

    fn replica(pid: i32, start_time: u64, name: &str) -> ReplicaProcess {
        ReplicaProcess {
            pid,
            start_time,
            shim_pid: None,
            cgroup: None,
            labels: vec![("service".to_owned(), name.to_owned())],
        }
    }

    #[test]
    fn a_replica_is_the_sum_of_its_processes_and_nobody_elses() {
        let folder = tend_testkit::Folder::new();
        folder.write("proc/stat", "cpu 1\nbtime 1000000\n");
        for (pid, parent, ticks, started) in [
            (10, 1, [5, 5, 0, 0], 500),
            // The replica, its child, and one whose parent has ended: the shim took it.
            (20, 10, [100, 50, 20, 30], 600),
            (21, 20, [7, 3, 0, 0], 700),
            (22, 10, [1, 1, 0, 0], 800),
            (30, 1, [900, 0, 0, 0], 900),
        ] {
            folder.write(&format!("proc/{pid}/stat"), stat(pid, parent, ticks, started));
            folder.write(&format!("proc/{pid}/fd/0"), "");
        }
        folder.write(
            "proc/20/limits",
            "Limit Soft Hard Units\nMax open files            1024     524288   files\nMax address space         unlimited  unlimited  bytes\n",
        );
        let files = Files::new(folder.path().to_owned());
        let mut shimmed = replica(20, 600, "shop");
        shimmed.shim_pid = Some(10);
        let (out, gone) = read(&files, &[shimmed, replica(30, 901, "recycled"), replica(99, 1, "gone")]).unwrap();
        assert_eq!(gone, 2);
        let text = out.text();
        let page = rustix::param::page_size() as f64;
        let mut resident = String::new();
        tend_exposition::write_value(&mut resident, 75.0 * page);
        for (metric, value) in [
            ("process_cpu_seconds_total", "2.12"),
            ("process_resident_memory_bytes", resident.as_str()),
            ("process_virtual_memory_bytes", "3000"),
            ("process_threads", "9"),
            ("process_start_time_seconds", "1.000006e+06"),
            ("process_open_fds", "3"),
            ("process_max_fds", "1024"),
            ("process_virtual_memory_max_bytes", "1.8446744073709552e+19"),
        ] {
            let line = format!("{metric}{{service=\"shop\"}} {value}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(!text.contains("recycled") && !text.contains("gone"), "{text}");
    }

    #[test]
    fn a_control_group_says_what_all_in_it_ever_used() {
        let folder = tend_testkit::Folder::new();
        folder.write("proc/stat", "btime 1\n");
        folder.write("proc/20/stat", stat(20, 1, [100, 0, 0, 0], 600));
        folder.write("proc/25/stat", stat(25, 1, [1, 0, 0, 0], 600));
        folder.write("group/cgroup.procs", "20\n");
        folder.write("group/below/cgroup.procs", "25\n");
        folder.write("group/cpu.stat", "usage_usec 7250000\nuser_usec 1\n");
        let mut grouped = replica(20, 600, "shop");
        grouped.cgroup = Some(folder.path().join("group"));
        let (out, _) = read(&Files::new(folder.path().to_owned()), &[grouped]).unwrap();
        let text = out.text();
        assert!(
            text.contains("process_cpu_seconds_total{service=\"shop\"} 7.25\n"),
            "{text}"
        );
        assert!(text.contains("process_threads{service=\"shop\"} 6\n"), "{text}");
    }

    #[test]
    fn a_torn_stat_is_left_out() {
        for text in ["", "12", "12 (x", "12 (x) S 1", "x (y) S 1 2 3"] {
            assert_eq!(Stat::parse(text), None);
        }
    }
}
