//! Control groups, version 2: finding the place where groups can be made, limits, what a group used, and ending all in it.
//!
//! ```text
//!  BASE              the group the daemon was started in (a systemd unit with Delegate=yes, or the root)
//!  ├── tend-daemon   the daemon itself: a group with controllers enabled for its children may hold no process
//!  └── tend          controllers enabled
//!      └── NAME      one for each replica, with its limits
//! ```
//! Owns the text of the kernel's files. Which limits a service has is told by the caller.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;

const DAEMON_GROUP: &str = "tend-daemon";
const REPLICAS_GROUP: &str = "tend";
/// The daemon's unit, as `tend install` writes it.
const DAEMON_UNIT: &str = "tend.service";
/// The unit whose group holds the replicas', which `tend install` writes beside the daemon's unit.
const REPLICAS_UNIT: &str = "tend-replicas.service";
/// Microseconds over which the kernel keeps `cpu.max`; its own default.
const CPU_PERIOD: u64 = 100_000;

/// By what a limit can be kept on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// The kernel, through a control group.
    Cgroup,
    /// The daemon, by looking every so often.
    Polling,
    /// Nothing here keeps it.
    None,
}

/// What can be limited on this machine, and why not more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `memory.max`; by polling of the proportional set size otherwise.
    pub memory: Means,
    /// `cpu.max` and `cpu.weight`.
    pub cpu: Means,
    /// `pids.max`.
    pub pids: Means,
    /// Whether replicas get a group of their own, even one without limits: it makes ending a whole tree exact.
    pub groups: bool,
    /// Says to people what is missing and why; absent when nothing is.
    pub reason: Option<String>,
}

/// The place in the hierarchy under which replicas get their groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Folder of the group `tend`.
    replicas: PathBuf,
}

/// Limits of one group; absent means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupLimits {
    /// Bytes; more and the kernel kills the whole group.
    pub memory_max: Option<u64>,
    /// Bytes the kernel tries to leave it.
    pub memory_low: Option<u64>,
    /// Processors, 0.5 being half of one.
    pub cpus_max: Option<f64>,
    /// Share under contention, 1 to 10000, 100 being everybody's.
    pub cpu_weight: Option<u64>,
    /// Processes and threads.
    pub pids_max: Option<u64>,
}

/// What a group has used; a figure is absent where its controller is not enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUsage {
    /// Bytes now.
    pub memory: Option<u64>,
    /// Processes of it killed for memory so far.
    pub oom_kills: u64,
    /// Processor time so far.
    pub cpu: Option<Duration>,
    /// Time its processes wanted to run and were held back by `cpu.max`.
    pub throttled: Option<Duration>,
}

impl Hierarchy {
    /// Finds the version 2 hierarchy, moves this process into a leaf of its group, and enables the controllers there are.
    ///
    /// Safe to repeat. Never fails: what cannot be had is told in [`Limits::reason`], and the hierarchy is absent when
    /// no group can be made at all.
    #[must_use]
    pub fn prepare() -> (Option<Self>, Limits) {
        let none = |reason: String| {
            (
                None,
                Limits {
                    memory: Means::Polling,
                    cpu: Means::None,
                    pids: Means::None,
                    groups: false,
                    reason: Some(reason),
                },
            )
        };
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let Some((mount, root)) = find_mount(&mounts) else {
            return none("this machine has no control groups of version 2".to_owned());
        };
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let Some(own) = own_group(&own, &root) else {
            return none("this process is in a control group that is not mounted here".to_owned());
        };
        let mut base = mount.join(own.trim_start_matches('/'));
        // A daemon started by one that is in its leaf already, such as after an upgrade.
        if base.file_name().is_some_and(|name| name == DAEMON_GROUP) {
            base.pop();
        }
        // systemd starts a unit's process in the unit's own group, which it cannot once that group hands controllers on: as the
        // unit that `tend install` writes, the daemon leaves its own group as it is and takes that of the replicas' unit, which
        // may have to be made, since systemd drops the group of a unit in which nothing runs.
        let sibling = base
            .parent()
            .filter(|_| base.file_name().is_some_and(|name| name == DAEMON_UNIT))
            .map(|slice| slice.join(REPLICAS_UNIT));
        let settled = match &sibling {
            Some(unit) => Self::below(unit),
            None => Self::settle(&base),
        };
        match settled {
            Ok(hierarchy) => {
                let limits = hierarchy.limits(sibling.as_ref().unwrap_or(&base));
                (Some(hierarchy), limits)
            }
            Err(error) => {
                let source = std::error::Error::source(&error)
                    .map(|source| format!(": {source}"))
                    .unwrap_or_default();
                none(format!("{error}{source}"))
            }
        }
    }

    /// Makes the two groups below `base`, enters the daemon's, and enables the controllers for the replicas'.
    fn settle(base: &Path) -> Result<Self, Error> {
        let replicas = base.join(REPLICAS_GROUP);
        make(&replicas)?;
        let daemon = base.join(DAEMON_GROUP);
        make(&daemon)?;
        enter(&daemon)?;
        Ok(Self::enable(base, replicas))
    }

    /// Makes the replicas' group below that of a unit of their own, in which no process is.
    fn below(unit: &Path) -> Result<Self, Error> {
        let replicas = unit.join(REPLICAS_GROUP);
        make(&replicas)?;
        Ok(Self::enable(unit, replicas))
    }

    /// Enables the controllers for the groups that will be made in `replicas`.
    fn enable(base: &Path, replicas: PathBuf) -> Self {
        // Each alone: one that is refused (in use by version 1, or not delegated) must not cost the others. Whether a
        // controller came through is read from the group below.
        for controller in ["memory", "cpu", "pids"] {
            let _ = fs::write(base.join("cgroup.subtree_control"), format!("+{controller}"));
            let _ = fs::write(replicas.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        Self { replicas }
    }

    fn limits(&self, base: &Path) -> Limits {
        let enabled = fs::read_to_string(self.replicas.join("cgroup.subtree_control")).unwrap_or_default();
        let has = |controller: &str| enabled.split_ascii_whitespace().any(|name| name == controller);
        let missing: Vec<&str> = ["memory", "cpu", "pids"]
            .into_iter()
            .filter(|controller| !has(controller))
            .collect();
        let means = |controller, otherwise| {
            if has(controller) { Means::Cgroup } else { otherwise }
        };
        Limits {
            memory: means("memory", Means::Polling),
            cpu: means("cpu", Means::None),
            pids: means("pids", Means::None),
            groups: true,
            reason: (!missing.is_empty()).then(|| {
                format!(
                    "the control group `{}` has no {} controller (used by version 1, or not delegated to tend)",
                    base.display(),
                    missing.join(", no ")
                )
            }),
        }
    }

    /// Returns the folder of a replica's group; `/` in the name becomes `.`, so every name is one level.
    #[must_use]
    pub fn group(&self, name: &str) -> PathBuf {
        self.replicas.join(name.replace('/', "."))
    }

    /// Makes a replica's group, or takes the one that is there, and sets its limits. Returns its folder.
    ///
    /// # Errors
    /// [`Error::Cgroup`] when it cannot be made or a limit is refused.
    pub fn make_group(&self, name: &str, limits: &GroupLimits) -> Result<PathBuf, Error> {
        let group = self.group(name);
        make(&group)?;
        set_limits(&group, limits)?;
        Ok(group)
    }

    /// Returns the groups that are there, for removing those nobody wants any more.
    ///
    /// # Errors
    /// [`Error::Cgroup`] when they cannot be listed.
    pub fn groups(&self) -> Result<Vec<PathBuf>, Error> {
        let failed = |source| cgroup_error("read", &self.replicas, source);
        let mut groups = Vec::new();
        for entry in fs::read_dir(&self.replicas).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                groups.push(path);
            }
        }
        Ok(groups)
    }
}

/// Sets the limits of a group whose controllers are enabled. One that is absent is lifted.
///
/// A limit whose controller is missing is left out: [`Limits`] has told so.
///
/// # Errors
/// [`Error::Cgroup`] when the kernel refuses a value.
pub fn set_limits(group: &Path, limits: &GroupLimits) -> Result<(), Error> {
    for (file, value) in limit_files(limits) {
        let path = group.join(file);
        if path.exists() {
            fs::write(&path, value).map_err(|source| cgroup_error("limit", &path, source))?;
        }
    }
    Ok(())
}

/// The files of a group and what is written to each.
fn limit_files(limits: &GroupLimits) -> [(&'static str, String); 6] {
    let or_max = |value: Option<u64>| value.map_or("max".to_owned(), |value| value.to_string());
    [
        ("memory.max", or_max(limits.memory_max)),
        // A replica of which one process was killed is of no use: all go, and it is restarted whole.
        ("memory.oom.group", "1".to_owned()),
        ("memory.low", limits.memory_low.unwrap_or(0).to_string()),
        ("cpu.max", cpu_max(limits.cpus_max)),
        (
            "cpu.weight",
            limits.cpu_weight.unwrap_or(100).clamp(1, 10_000).to_string(),
        ),
        ("pids.max", or_max(limits.pids_max)),
    ]
}

fn cpu_max(cpus: Option<f64>) -> String {
    match cpus {
        Some(cpus) if cpus.is_finite() && cpus > 0.0 => {
            // The kernel refuses less than a millisecond.
            let quota = (cpus * CPU_PERIOD as f64).round().max(1000.0) as u64;
            format!("{quota} {CPU_PERIOD}")
        }
        _ => format!("max {CPU_PERIOD}"),
    }
}

/// Reads what a group has used.
#[must_use]
pub fn usage(group: &Path) -> GroupUsage {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let cpu = read("cpu.stat");
    let micros = |key| {
        cpu.as_deref()
            .and_then(|text| value_of(text, key))
            .map(Duration::from_micros)
    };
    GroupUsage {
        memory: read("memory.current").and_then(|text| text.trim().parse().ok()),
        oom_kills: oom_kills(group),
        cpu: micros("usage_usec"),
        throttled: micros("throttled_usec"),
    }
}

/// Removes a group nobody is in; one that is not there is fine.
///
/// # Errors
/// [`Error::Cgroup`], such as while a process is still in it.
pub fn remove_group(group: &Path) -> Result<(), Error> {
    match fs::remove_dir(group) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(cgroup_error("remove", group, source)),
        _ => Ok(()),
    }
}

fn make(group: &Path) -> Result<(), Error> {
    fs::create_dir_all(group).map_err(|source| cgroup_error("make", group, source))
}

fn enter(group: &Path) -> Result<(), Error> {
    fs::write(group.join("cgroup.procs"), "0").map_err(|source| cgroup_error("enter", group, source))
}

fn cgroup_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Cgroup {
        action,
        path: path.to_path_buf(),
        source,
    }
}

/// Finds where version 2 is mounted, and which group of it is the root of that mount.
fn find_mount(mountinfo: &str) -> Option<(PathBuf, String)> {
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        (kind.split(' ').next() == Some("cgroup2")).then_some(())?;
        let fields: Vec<&str> = mount.split(' ').collect();
        Some((unescape(fields.get(4)?).into(), unescape(fields.get(3)?)))
    })
}

/// `mountinfo` writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

/// Returns the group of this process in the version 2 hierarchy, relative to the mount's root.
fn own_group(proc_cgroup: &str, root: &str) -> Option<String> {
    let path = proc_cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    if root == "/" {
        return Some(path.to_owned());
    }
    let below = path.strip_prefix(root)?;
    (below.is_empty() || below.starts_with('/')).then(|| below.to_owned())
}

/// Returns the processes of a group.
pub(crate) fn processes(group: &Path) -> io::Result<Vec<i32>> {
    Ok(fs::read_to_string(group.join("cgroup.procs"))?
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect())
}

/// Sends SIGKILL to every process of a group and of the groups in it, at once (Linux 5.14).
pub(crate) fn kill(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.kill"), "1")
}

/// Returns how many processes of a group the kernel has killed for memory; 0 where it does not count.
pub(crate) fn oom_kills(group: &Path) -> u64 {
    fs::read_to_string(group.join("memory.events"))
        .ok()
        .and_then(|text| value_of(&text, "oom_kill"))
        .unwrap_or(0)
}

/// Reads one number of a file with a `key value` pair on each line.
fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        if name == key { value.trim().parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let limits = GroupLimits {
            memory_max: Some(512 << 20),
            memory_low: None,
            cpus_max: Some(0.5),
            cpu_weight: Some(20_000),
            pids_max: Some(64),
        };
        let written: Vec<(&str, String)> = limit_files(&limits).into();
        let wanted = [
            ("memory.max", "536870912"),
            ("memory.oom.group", "1"),
            ("memory.low", "0"),
            ("cpu.max", "50000 100000"),
            ("cpu.weight", "10000"),
            ("pids.max", "64"),
        ];
        for ((file, value), (wanted_file, wanted_value)) in written.iter().zip(wanted) {
            assert_eq!((*file, value.as_str()), (wanted_file, wanted_value));
        }
        for (cpus, text) in [
            (None, "max 100000"),
            (Some(2.0), "200000 100000"),
            (Some(0.000_1), "1000 100000"),
            (Some(f64::NAN), "max 100000"),
        ] {
            assert_eq!(cpu_max(cpus), text);
        }
    }

    #[test]
    fn the_mount_and_ones_own_group_are_found() {
        let mounts = "33 24 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            34 33 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            35 33 0:30 / /sys/fs/cgroup/uni\\040fied rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            find_mount(mounts),
            Some(("/sys/fs/cgroup/uni fied".into(), "/".to_owned()))
        );
        assert_eq!(find_mount(""), None);
        let own = "4:memory:/a\n0::/system.slice/tend.service\n";
        assert_eq!(own_group(own, "/").as_deref(), Some("/system.slice/tend.service"));
        assert_eq!(own_group(own, "/system.slice").as_deref(), Some("/tend.service"));
        assert_eq!(own_group(own, "/system"), None);
        assert_eq!(own_group("4:memory:/a\n", "/"), None);
    }

    #[test]
    fn figures_are_read_by_their_key() {
        let text = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(value_of(text, "oom_kill"), Some(2));
        assert_eq!(value_of(text, "oom_"), None);
        assert_eq!(usage(Path::new("/nonexistent")), GroupUsage::default());
    }
}
