//! The exporters of Debian, run as programs: no service of them is started. Knows no metric.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tend_exposition::{Format, Line, Lines, METRIC_NAME, MetricType, series_labels};
use tend_testkit::{Folder, wait_until};

/// Far above what an exporter takes to listen or to answer, whatever else runs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// An exporter that runs; it is killed when this is dropped.
pub(crate) struct Exporter {
    process: Child,
    port: u16,
    _folder: Folder,
}

impl Exporter {
    /// Starts one. `listen` is its option that takes an address; it chooses the port itself.
    pub(crate) fn start(name: &str, listen: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let program = format!("/usr/bin/prometheus-{name}-exporter");
        assert!(
            Path::new(&program).exists(),
            "install Debian's package prometheus-{name}-exporter to run this test"
        );
        let folder = Folder::new();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=KILL", "--"]).arg(program);
        command.arg(format!("{listen}=127.0.0.1:0")).args(arguments);
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().expect("setpriv runs");
        let mut exporter = Self {
            process,
            port: 0,
            _folder: folder,
        };
        wait_until(DEADLINE, "the exporter listens", || {
            exporter.port = listening_port(exporter.process.id()).unwrap_or_default();
            exporter.port != 0
        });
        exporter
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    /// Asks for its metrics.
    pub(crate) fn scrape(&self) -> Exposition {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 "), "{answer}");
        Exposition::parse(body)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the port that a process listens on, by its descriptors and the kernel's tables.
fn listening_port(pid: u32) -> Option<u16> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let sockets: Vec<String> = descriptors
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // 0A: it listens.
        let ours = words.get(3) == Some(&"0A") && sockets.iter().any(|socket| words.get(9) == Some(&socket.as_str()));
        let (_, port) = words.get(1)?.split_once(':')?;
        if ours { u16::from_str_radix(port, 16).ok() } else { None }
    })
}

/// A series: its name and its labels, in their order.
pub(crate) type Series = (String, BTreeMap<String, String>);

/// An exposition, read.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) samples: BTreeMap<Series, f64>,
    pub(crate) types: BTreeMap<String, MetricType>,
    pub(crate) helps: BTreeMap<String, String>,
}

impl Exposition {
    /// Reads a text in which every line must be right.
    pub(crate) fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for line in Lines::new(text.as_bytes(), Format::Text) {
            let known = match line {
                Line::Sample(sample) => {
                    let pairs = series_labels(sample.series, Format::Text).unwrap();
                    let mut labels: BTreeMap<String, String> = pairs
                        .into_iter()
                        .map(|(name, value)| (name.into_owned(), value.into_owned()))
                        .collect();
                    let name = labels.remove(METRIC_NAME).unwrap();
                    read.samples.insert((name, labels), sample.value).is_some()
                }
                Line::Type { name, metric_type } => read.types.insert(name.into_owned(), metric_type).is_some(),
                Line::Help { name, text } => read.helps.insert(name.into_owned(), text.into_owned()).is_some(),
                other => panic!("{other:?} in {text}"),
            };
            assert!(!known, "something is there twice in {text}");
        }
        read
    }

    /// Returns the value of a series without labels.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.samples.get(&(name.to_owned(), BTreeMap::new())).copied()
    }
}
