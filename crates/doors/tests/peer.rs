//! The real programs: started on a port of their own choice, asked over HTTP, ended by their process id.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tend_testkit::{Folder, wait_until};

/// Many times what starting takes.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// A program that serves HTTP.
pub(crate) struct Peer {
    child: Child,
    pub(crate) port: u16,
    _folder: Folder,
}

impl Peer {
    pub(crate) fn prometheus() -> Peer {
        let folder = Folder::new();
        let config = folder.write("prometheus.yml", "global:\n  scrape_interval: 1h\n");
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--web.enable-remote-write-receiver",
                "--log.level=error",
            ]);
        Peer::start(command, folder, "/-/ready")
    }

    /// A Prometheus that scrapes the first address at this path each second and writes all to the second.
    pub(crate) fn between(from: std::net::SocketAddr, path: &str, to: std::net::SocketAddr) -> Peer {
        let folder = Folder::new();
        let config = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs: [{{job_name: federate, honor_labels: true, metrics_path: /federate, params: {path}, \
             static_configs: [{{targets: ['{from}']}}]}}]\n\
             remote_write: [{{url: 'http://{to}/api/v1/write', metadata_config: {{send: true, send_interval: 1s}}}}]\n"
        );
        let config = folder.write("prometheus.yml", config);
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=error"]);
        Peer::start(command, folder, "/-/ready")
    }

    pub(crate) fn alertmanager() -> Peer {
        let folder = Folder::new();
        let config = folder.write("alertmanager.yml", crate::world::ALERTMANAGER);
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
                "--log.level=error",
            ]);
        Peer::start(command, folder, "/-/ready")
    }

    fn start(mut command: Command, folder: Folder, ready: &str) -> Peer {
        let child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; is the Debian package there?"));
        let mut peer = Peer {
            child,
            port: 0,
            _folder: folder,
        };
        wait_until(STARTS_WITHIN, &format!("{command:?} listens"), || {
            if let Some(port) = listening(peer.child.id()) {
                peer.port = port;
            }
            peer.port != 0
        });
        wait_until(STARTS_WITHIN, &format!("{command:?} is ready"), || {
            peer.ask("GET", ready, &[], b"")
                .is_some_and(|(status, _)| status == 200)
        });
        peer
    }

    /// Asks, and returns status and body; nothing when there was no whole answer.
    pub(crate) fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        stream.set_read_timeout(Some(STARTS_WITHIN)).ok()?;
        // With 1.0 an answer ends with its connection, and is in one piece.
        let mut head = format!(
            "{method} {target} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let whole = [head.as_bytes(), body].concat();
        stream.write_all(&whole).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let at = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
        Some((status, answer.split_off(at + 4)))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A test that failed says why already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port on loopback that a process listens on.
///
/// It is asked for rather than given, so that no other process can have taken it meanwhile.
fn listening(id: u32) -> Option<u16> {
    let mut sockets = HashSet::new();
    for entry in std::fs::read_dir(format!("/proc/{id}/fd")).ok()?.flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        if let Some(inode) = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')) {
            sockets.insert(inode.to_owned());
        }
    }
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = address.split_once(':')?.1;
        (*state == "0A" && sockets.contains(*inode)).then(|| u16::from_str_radix(port, 16).ok())?
    })
}
