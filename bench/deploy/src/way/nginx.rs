//! nginx in front of replicas at fixed ports, as it is set up beside PM2.
//!
//! What fails to connect is tried at the next replica, and a POST that was sent is not sent again: both are nginx's defaults, and what
//! payments need. One default is left for the better of the peer: nginx would leave a replica alone for ten seconds after one failure, which
//! in a reload is all of them at once (`docs/design/0130-deploy-bench.md` has what that costs).

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::{Error, Result};
use crate::folder::{Folder, LOOK, file, signal};

/// Debian's.
pub(crate) const PROGRAM: &str = "/usr/sbin/nginx";

/// How long it may take to end by itself.
const END_MAX: Duration = Duration::from_secs(5);

/// A running nginx, ended when this is dropped.
pub(crate) struct Nginx {
    master: Child,
    workers: Vec<i32>,
}

impl Nginx {
    /// Starts it in a folder of its own and returns when its workers are there.
    pub(crate) fn start(folder: &Folder, port: u16, replicas: &[u16]) -> Result<Self> {
        let path = folder.write("nginx.conf", &configuration(folder.path(), port, replicas))?;
        let log = folder.join("nginx.log");
        let output = fs::File::create(&log).map_err(|source| file("write", &log, source))?;
        let mut command = Command::new(PROGRAM);
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(path)
            .arg("-e")
            .arg(&log);
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn();
        let master = started.map_err(|source| Error::Run {
            command: PROGRAM.to_owned(),
            source,
        })?;
        let mut nginx = Self {
            master,
            workers: Vec::new(),
        };
        let begun = Instant::now();
        while nginx.workers.is_empty() {
            if begun.elapsed() > END_MAX {
                return Err(Error::NotUp {
                    what: "nginx has workers",
                    seconds: END_MAX.as_secs(),
                });
            }
            std::thread::sleep(LOOK);
            nginx.workers = children(nginx.master.id());
        }
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.master.id()) {
            signal(pid, Signal::TERM);
        }
        let begun = Instant::now();
        while matches!(self.master.try_wait(), Ok(None)) {
            if begun.elapsed() > END_MAX {
                // It may end at this very moment, and takes no worker with it when it is killed.
                let _ = self.master.kill().and_then(|()| self.master.wait().map(drop));
                self.workers.iter().for_each(|pid| signal(*pid, Signal::KILL));
                break;
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn children(pid: u32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn configuration(folder: &Path, port: u16, replicas: &[u16]) -> String {
    let folder = folder.display();
    let servers: String = replicas
        .iter()
        .map(|port| format!("        server 127.0.0.1:{port} max_fails=0;\n"))
        .collect();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {folder}/nginx-{name};\n"))
        .collect();
    format!(
        "\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
{temporary}    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream mps {{
{servers}        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://mps;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_read_timeout 1h;
        }}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_replica_is_an_upstream_and_nothing_lies_outside_the_folder() {
        let text = configuration(Path::new("/run/x"), 8080, &[9001, 9002, 9003]);
        for port in [9001, 9002, 9003] {
            assert!(
                text.contains(&format!("server 127.0.0.1:{port} max_fails=0;")),
                "{text}"
            );
        }
        assert!(text.contains("listen 127.0.0.1:8080;"), "{text}");
        let paths = text
            .split_whitespace()
            .filter(|word| word.starts_with('/') && word.len() > 1);
        assert!(
            paths.clone().count() >= 6 && paths.clone().all(|path| path.starts_with("/run/x/")),
            "{text}"
        );
    }
}
