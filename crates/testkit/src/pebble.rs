//! A certificate authority of one's own: Pebble, with a DNS that leads every name to loopback. Knows nothing of who asks it.
//!
//! Pebble takes no sockets and tells no ports: they are chosen here, and chosen again when somebody else was quicker.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};

use crate::{Folder, wait_until};

/// Until both programs listen; Pebble makes its keys first.
const LISTENS_WITHIN: Duration = Duration::from_secs(60);

/// An authority and its DNS, ended when dropped.
#[derive(Debug)]
pub struct Pebble {
    processes: Vec<Process>,
    port: u16,
    management: u16,
    root: PathBuf,
    log: PathBuf,
    // Dropped last: processes write into it.
    _folder: Folder,
}

#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Already waited for: its id may be somebody else's by now, and `kill` of std knows that.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Pebble {
    /// Starts one that looks for its challenges at these ports; unless told otherwise it looks at once, takes every nonce and proves
    /// every host anew.
    ///
    /// # Panics
    /// When the Debian package `pebble` is not installed, or it does not begin to listen.
    #[must_use]
    pub fn start(http: u16, tls: u16, variables: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let key = KeyPair::generate().expect("a key can be made");
        let own = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate can be made");
        let root = folder.write("own.pem", own.pem());
        let key = folder.write("own.key", key.serialize_pem());
        let log = folder.path().join("pebble.log");
        for _ in 0..10 {
            let [port, management, dns, dns_management] = free_ports();
            let config = format!(
                r#"{{"pebble": {{"listenAddress": "127.0.0.1:{port}", "managementListenAddress": "127.0.0.1:{management}",
                "certificate": {root:?}, "privateKey": {key:?}, "httpPort": {http}, "tlsPort": {tls}, "ocspResponderURL": "",
                "externalAccountBindingRequired": false}}}}"#,
            );
            let config = folder.write("pebble.json", config);
            let mut names = Command::new("pebble-challtestsrv");
            names.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
            names.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
            names.args(["-dns01", &format!("127.0.0.1:{dns}")]);
            names.args(["-management", &format!("127.0.0.1:{dns_management}")]);
            let mut pebble = Command::new("pebble");
            pebble.arg("-config").arg(&config);
            pebble.args(["-dnsserver", &format!("127.0.0.1:{dns}")]);
            pebble.env("PEBBLE_VA_NOSLEEP", "1");
            pebble.env("PEBBLE_WFE_NONCEREJECT", "0");
            pebble.env("PEBBLE_AUTHZREUSE", "0");
            pebble.envs(variables.iter().copied());
            let output = File::create(&log).unwrap_or_else(|error| panic!("cannot make `{}`: {error}", log.display()));
            let mut processes = [names, pebble].map(|command| start(command, &output));
            let mut ended = false;
            wait_until(
                LISTENS_WITHIN,
                "Pebble listens, or ends because a port was taken",
                || {
                    ended = processes
                        .iter_mut()
                        .any(|process| !matches!(process.0.try_wait(), Ok(None)));
                    let listens = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
                    ended || [port, management, dns_management].iter().all(listens)
                },
            );
            if !ended {
                return Self {
                    processes: processes.into(),
                    port,
                    management,
                    root,
                    log,
                    _folder: folder,
                };
            }
        }
        panic!("no port stayed free for Pebble");
    }

    /// Ends both programs; what they wrote stays until this is dropped.
    pub fn stop(&mut self) {
        self.processes.clear();
    }

    /// Returns the address of its directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.port)
    }

    /// Returns the port it listens at.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns where the root of the certificates it issues is had, as PEM.
    #[must_use]
    pub fn issuing_root_url(&self) -> String {
        format!("https://127.0.0.1:{}/roots/0", self.management)
    }

    /// Returns the file with the certificate that its own address is believed by.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns what both programs said so far.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log)
            .unwrap_or_else(|error| panic!("cannot read `{}`: {error}", self.log.display()))
    }
}

fn start(mut command: Command, output: &File) -> Process {
    let stream = || output.try_clone().expect("a file can be opened twice");
    command.stdin(Stdio::null()).stdout(stream()).stderr(stream());
    let started = command.spawn();
    Process(started.unwrap_or_else(|error| panic!("cannot start {command:?} (Debian package pebble): {error}")))
}

/// Returns ports that nobody has at this moment, neither for TCP nor for UDP.
fn free_ports<const N: usize>() -> [u16; N] {
    let choose = || {
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            let port = tcp.local_addr().expect("a bound socket has an address").port();
            if let Ok(udp) = UdpSocket::bind(("127.0.0.1", port)) {
                return (port, tcp, udp);
            }
        }
    };
    // Held until all are chosen, so that none is chosen twice.
    let held = [(); N].map(|()| choose());
    held.map(|(port, _, _)| port)
}
