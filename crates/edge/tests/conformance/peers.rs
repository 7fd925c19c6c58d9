//! nginx and HAProxy as they are, each with lanes: a unix socket in front, an upstream of its own behind.
//!
//! Owns their processes and configurations. The defaults stand; only times are shortened, so that what waits ends.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::recorder::{Answer, Recorder};
use super::strict;
use crate::fixture::{Folder, eventually};

/// A socket in front and an upstream behind.
type Lane = (PathBuf, Recorder);

/// Writes a configuration in a folder; returns it and the arguments of the program.
type Write = fn(&Path, &[Lane]) -> (String, Vec<String>);

/// A proxy that is not ours.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) lanes: Vec<Lane>,
    process: Child,
    _folder: Folder,
}

impl Peer {
    pub(crate) fn nginx(lanes: usize) -> Self {
        Self::start("nginx", "/usr/sbin/nginx", "nginx-light", lanes, nginx)
    }

    pub(crate) fn haproxy(lanes: usize) -> Self {
        Self::start("haproxy", "/usr/sbin/haproxy", "haproxy", lanes, haproxy)
    }

    fn start(name: &'static str, program: &str, package: &str, lanes: usize, write: Write) -> Self {
        assert!(
            Path::new(program).exists(),
            "{program} is not there: apt-get install --no-install-recommends {package}"
        );
        let folder = Folder::new();
        let lanes: Vec<Lane> = (0..lanes)
            .map(|lane| {
                let socket = folder.0.join(format!("{lane}.sock"));
                (socket, Recorder::start(strict::request_of_a_peer, Answer::echo))
            })
            .collect();
        let (text, arguments) = write(&folder.0, &lanes);
        std::fs::write(folder.0.join("conf"), text).unwrap();
        let output = std::fs::File::create(folder.0.join("output")).unwrap();
        let process = Command::new(program)
            .args(arguments)
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let peer = Self {
            name,
            lanes,
            process,
            _folder: folder,
        };
        for (socket, _) in &peer.lanes {
            eventually(name, || UnixStream::connect(socket).ok());
        }
        peer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Before the upstreams, which wait for the connections to them to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn nginx(folder: &Path, lanes: &[Lane]) -> (String, Vec<String>) {
    let mut text = String::from(
        "master_process off;\ndaemon off;\npid pid;\nerror_log error.log;\nevents { worker_connections 512; }\nhttp {\naccess_log off;\n\
         client_header_timeout 2s; client_body_timeout 2s; keepalive_timeout 2s; lingering_timeout 200ms;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;\n",
    );
    for temporary in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        text += &format!("{temporary}_temp_path {temporary};\n");
    }
    for (lane, (socket, recorder)) in lanes.iter().enumerate() {
        text += &format!(
            "upstream u{lane} {{ server {}; keepalive 4; }}\nserver {{ listen unix:{}; server_name edge.test; location / {{ proxy_pass http://u{lane}; }} }}\n",
            recorder.address,
            socket.display()
        );
    }
    text += "}\n";
    let folder = folder.display().to_string();
    (
        text,
        ["-p", &folder, "-c", "conf", "-e", "error.log"]
            .map(str::to_owned)
            .to_vec(),
    )
}

fn haproxy(_: &Path, lanes: &[Lane]) -> (String, Vec<String>) {
    let mut text = String::from(
        "global\n  maxconn 512\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 2s\n  timeout server 10s\n  \
         timeout http-request 2s\n  timeout http-keep-alive 2s\n",
    );
    for (lane, (socket, recorder)) in lanes.iter().enumerate() {
        text += &format!(
            "frontend f{lane}\n  bind unix@{}\n  default_backend b{lane}\nbackend b{lane}\n  server s {}\n",
            socket.display(),
            recorder.address
        );
    }
    (text, ["-db", "-f", "conf"].map(str::to_owned).to_vec())
}
