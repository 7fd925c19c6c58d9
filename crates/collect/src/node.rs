//! The host, as Debian's `prometheus-node-exporter` gives it by default. Owns which parts there are; each part is a parser of text.

mod cpu;
mod disk;
mod filesystem;
mod interface;
mod kernel;
mod memory;
mod network;

use std::path::PathBuf;
use std::time::Instant;

use tend_base::{Clock, SystemClock};

use self::filesystem::Asker;
use crate::CollectError;
use crate::blocking::Blocking;
use crate::collector::{Collecting, Collector, ROUND_WITHIN};
use crate::families::Families;
use crate::files::{self, Files};

/// The host.
#[derive(Debug)]
pub struct Node {
    files: Files,
    asker: Asker,
    reading: Blocking<(String, Vec<String>)>,
    trouble: Option<String>,
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl Node {
    /// Makes the collector of this host; reads nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            files: Files::new(PathBuf::from("/")),
            asker: Asker::new(filesystem::statfs),
            reading: Blocking::default(),
            trouble: None,
        }
    }

    async fn round(&mut self) -> Result<String, CollectError> {
        let (files, asker) = (self.files.clone(), self.asker.clone());
        let read = Box::new(move || read(&files, &asker));
        let (text, troubles) = self
            .reading
            .read("reading the host's files", ROUND_WITHIN, read)
            .await?;
        self.trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
        Ok(text)
    }
}

impl Collector for Node {
    fn collect(&mut self) -> Collecting<'_> {
        Box::pin(self.round())
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }
}

type Part = fn(&Files, &Asker, &mut Families) -> Result<(), CollectError>;

/// The parts, under the names that the exporter gives its own.
const PARTS: [(&str, Part); 24] = [
    ("arp", |files, _, out| files.parse("proc/net/arp", out, network::arp)),
    ("conntrack", |files, _, out| network::conntrack(files, out)),
    ("cpu", |files, _, out| files.parse("proc/stat", out, cpu::cpu)),
    ("diskstats", |files, _, out| disk::diskstats(files, out)),
    ("entropy", |files, _, out| {
        files.parse("proc/sys/kernel/random/entropy_avail", out, kernel::entropy)?;
        files.parse("proc/sys/kernel/random/poolsize", out, kernel::entropy_pool)
    }),
    ("filefd", |files, _, out| {
        files.parse("proc/sys/fs/file-nr", out, kernel::file_descriptors)
    }),
    ("filesystem", filesystems),
    ("loadavg", |files, _, out| {
        files.parse("proc/loadavg", out, kernel::load)
    }),
    ("meminfo", |files, _, out| {
        files.parse("proc/meminfo", out, memory::meminfo)
    }),
    ("netclass", |files, _, out| interface::interfaces(files, out)),
    ("netdev", |files, _, out| network::devices(files, out)),
    ("netstat", |files, _, out| {
        files.parse("proc/net/netstat", out, network::netstat)?;
        files.parse("proc/net/snmp", out, network::netstat)?;
        where_there(files, "proc/net/snmp6", out, network::netstat6)
    }),
    ("os", |files, _, out| {
        let first = files.parse("etc/os-release", out, kernel::os_release);
        first.or_else(|_| files.parse("usr/lib/os-release", out, kernel::os_release))
    }),
    ("pressure", |files, _, out| {
        for resource in ["cpu", "io", "memory"] {
            let path = format!("proc/pressure/{resource}");
            memory::pressure(resource, &files.read(&path)?, out).ok_or_else(|| files.not_understood(&path))?;
        }
        Ok(())
    }),
    ("schedstat", |files, _, out| {
        files.parse("proc/schedstat", out, cpu::schedstat)
    }),
    ("selinux", |files, _, out| {
        let enabled = f64::from(u8::from(files.path("sys/fs/selinux/enforce").exists()));
        out.gauge(
            "node_selinux_enabled",
            "SELinux is enabled, 1 is true, 0 is false",
            &[],
            enabled,
        );
        Ok(())
    }),
    ("sockstat", |files, _, out| {
        let parser: files::Parser = |text, out| network::sockstat(text, rustix::param::page_size() as f64, out);
        files.parse("proc/net/sockstat", out, parser)?;
        where_there(files, "proc/net/sockstat6", out, parser)
    }),
    ("softnet", |files, _, out| {
        files.parse("proc/net/softnet_stat", out, cpu::softnet)
    }),
    ("stat", |files, _, out| files.parse("proc/stat", out, cpu::stat)),
    ("time", time),
    ("timex", |_, _, out| {
        let state = tend_linux::clock_state().map_err(|source| CollectError::Kernel {
            what: "state of the clock",
            source,
        })?;
        kernel::timex(&state, out);
        Ok(())
    }),
    ("udp_queues", |files, _, out| {
        files.parse("proc/net/udp", out, |text, out| network::udp_queues("v4", text, out))?;
        where_there(files, "proc/net/udp6", out, |text, out| {
            network::udp_queues("v6", text, out)
        })
    }),
    ("uname", |_, _, out| {
        uname(out);
        Ok(())
    }),
    ("vmstat", |files, _, out| {
        files.parse("proc/vmstat", out, memory::vmstat)
    }),
];

/// Reads everything; returns the text, and what was in the way of parts of it.
fn read(files: &Files, asker: &Asker) -> (String, Vec<String>) {
    let mut out = Families::new();
    let mut troubles = Vec::new();
    for (name, part) in PARTS {
        let begun = Instant::now();
        // What a part found before it failed is left out with it.
        let mut found = Families::new();
        let success = match part(files, asker, &mut found) {
            Ok(()) => {
                out.append(found);
                1.0
            }
            Err(error) => {
                // Kernels are built without some things, and that is no trouble.
                if !is_missing(&error) {
                    troubles.push(error.with_causes());
                }
                0.0
            }
        };
        out.gauge(
            "node_scrape_collector_duration_seconds",
            "node_exporter: Duration of a collector scrape.",
            &[("collector", name)],
            begun.elapsed().as_secs_f64(),
        );
        out.gauge(
            "node_scrape_collector_success",
            "node_exporter: Whether a collector succeeded.",
            &[("collector", name)],
            success,
        );
    }
    (out.text(), troubles)
}

fn is_missing(error: &CollectError) -> bool {
    matches!(error, CollectError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

/// Reads a file that machines without IPv6 lack.
fn where_there(files: &Files, path: &str, out: &mut Families, parser: files::Parser) -> Result<(), CollectError> {
    match files.parse(path, out, parser) {
        Err(error) if is_missing(&error) => Ok(()),
        parsed => parsed,
    }
}

fn filesystems(files: &Files, asker: &Asker, out: &mut Families) -> Result<(), CollectError> {
    // The mounts of the first process are the host's; with hidden processes there are only our own.
    let text = files.read("proc/1/mounts").or_else(|_| files.read("proc/mounts"))?;
    let mounts = filesystem::mounts(&text);
    let rooms = asker.rooms(files.root(), &mounts);
    filesystem::tell(&mounts, &rooms, out);
    Ok(())
}

fn time(files: &Files, _: &Asker, out: &mut Families) -> Result<(), CollectError> {
    let now = SystemClock.now().wall.0 as f64 / 1000.0;
    out.gauge(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        &[],
        now,
    );
    let folder = "sys/devices/system/clocksource";
    for name in files.names(folder) {
        let Some(device) = name.strip_prefix("clocksource") else {
            continue;
        };
        for (file, name, help) in [
            (
                "available_clocksource",
                "node_time_clocksource_available_info",
                "Available clocksources read from '/sys/devices/system/clocksource'.",
            ),
            (
                "current_clocksource",
                "node_time_clocksource_current_info",
                "Current clocksource read from '/sys/devices/system/clocksource'.",
            ),
        ] {
            let words = files
                .word(&format!("{folder}/clocksource{device}/{file}"))
                .unwrap_or_default();
            for source in words.split_ascii_whitespace() {
                out.gauge(name, help, &[("device", device), ("clocksource", source)], 1.0);
            }
        }
    }
    Ok(())
}

fn uname(out: &mut Families) {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    out.gauge(
        "node_uname_info",
        "Labeled system information as provided by the uname system call.",
        &[
            ("sysname", &text(uname.sysname())),
            ("release", &text(uname.release())),
            ("version", &text(uname.version())),
            ("machine", &text(uname.machine())),
            ("nodename", &text(uname.nodename())),
            ("domainname", &text(uname.domainname())),
        ],
        1.0,
    );
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use filesystem::Room;

    /// The files of a host, each behind a line `=== PATH`, and what is told of it. `UPDATE=1` writes the latter anew.
    const HOST: &str = include_str!("../tests/samples/host.files");
    const TOLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/host.txt");

    /// What stands in no file: it is that of this machine.
    const OF_THIS_MACHINE: [&str; 4] = [
        "node_uname_",
        "node_timex_",
        "node_time_seconds",
        "node_scrape_collector_duration",
    ];

    fn ask(place: &Path) -> Option<Room> {
        (!place.ends_with("srv")).then(|| Room::of(1000.0, 400.0, 300.0, 50.0, 20.0))
    }

    fn told(host: &str) -> (String, Vec<String>) {
        let folder = tend_testkit::Folder::new();
        for file in host.split("=== ").skip(1) {
            let (path, text) = file.split_once('\n').unwrap();
            folder.write(path, text);
        }
        let (text, troubles) = read(&Files::new(folder.path().to_owned()), &Asker::new(ask));
        let of_a_host = |line: &&str| !OF_THIS_MACHINE.iter().any(|name| line.contains(name));
        let lines: Vec<&str> = text.lines().filter(of_a_host).collect();
        (lines.join("\n") + "\n", troubles)
    }

    #[test]
    fn a_host_is_told_by_its_files() {
        let (text, troubles) = told(HOST);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(TOLD, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(TOLD).unwrap());
        assert_eq!(troubles, Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_not_understood_costs_its_part_only() {
        let (text, troubles) = told(&HOST.replace("MemAvailable:   23501508 kB", "MemAvailable:   plenty"));
        assert!(!text.contains("node_memory_MemTotal"), "{text}");
        assert!(
            text.contains("node_scrape_collector_success{collector=\"meminfo\"} 0\n"),
            "{text}"
        );
        assert!(text.contains("node_load1 2.8\n"), "{text}");
        assert_eq!(troubles.len(), 1);
        assert!(
            troubles[0].ends_with("/proc/meminfo` is not understood"),
            "{troubles:?}"
        );
    }

    #[test]
    fn no_cut_of_a_file_makes_it_panic() {
        for end in (0..HOST.len()).step_by(7) {
            let (_, text) = HOST[..end]
                .rsplit("=== ")
                .next()
                .and_then(|file| file.split_once('\n'))
                .unwrap_or_default();
            let mut out = Families::new();
            let parsers: [files::Parser; 18] = [
                cpu::cpu,
                cpu::stat,
                cpu::schedstat,
                cpu::softnet,
                memory::meminfo,
                memory::vmstat,
                |text, out| memory::pressure("io", text, out),
                network::arp,
                network::netstat,
                network::netstat6,
                |text, out| network::sockstat(text, 4096.0, out),
                |text, out| network::udp_queues("v4", text, out),
                kernel::load,
                kernel::file_descriptors,
                kernel::entropy,
                kernel::entropy_pool,
                kernel::os_release,
                |text, _| (!filesystem::mounts(text).is_empty()).then_some(()),
            ];
            for parser in parsers {
                // Whatever it says of another's file, or of half of its own.
                let _ = parser(text, &mut out);
            }
        }
    }
}
