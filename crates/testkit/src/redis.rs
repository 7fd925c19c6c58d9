//! A Redis server of one's own: a private folder, a unix socket only, ended with whoever started it.
//!
//! Knows no client library: commands are given with `redis-cli`, and addresses to whatever client is tested.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Folder, wait_until};

/// How long a server may take to accept connections. Far above what it takes even on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(90);

/// A server that runs, with nothing kept on disk.
#[derive(Debug)]
pub struct Redis {
    process: Child,
    password: Option<String>,
    // Dropped last: the server still writes into it.
    folder: Folder,
}

impl Redis {
    /// Starts one, which asks for `password` where there is one.
    ///
    /// # Panics
    /// When Debian's package `redis-server` is not installed, or the server does not start.
    #[must_use]
    pub fn start(password: Option<&str>) -> Self {
        let folder = Folder::new();
        let server = Self {
            process: run(&folder, password),
            password: password.map(str::to_owned),
            folder,
        };
        server.wait_until_up();
        server
    }

    /// Returns its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// Runs one command and returns what it prints.
    ///
    /// # Panics
    /// When the client does not run.
    pub fn command(&self, words: &[&str]) -> String {
        let mut client = Command::new("redis-cli");
        client.arg("-s").arg(self.socket()).args(words);
        if let Some(password) = &self.password {
            client.env("REDISCLI_AUTH", password);
        }
        let output = client.output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Ends it as a crash would.
    pub fn stop(&mut self) {
        end(&mut self.process);
    }

    /// Starts it again after [`Self::stop`].
    pub fn start_again(&mut self) {
        self.process = run(&self.folder, self.password.as_deref());
        self.wait_until_up();
    }

    fn wait_until_up(&self) {
        wait_until(UP_WITHIN, "Redis answers", || self.command(&["PING"]) == "PONG");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut Child) {
    // Both fail only when it has ended by itself.
    let _ = process.kill();
    let _ = process.wait();
}

fn run(folder: &Folder, password: Option<&str>) -> Child {
    let path = folder.path();
    let mut config = format!("port 0\nunixsocket {0}/sock\ndir {0}\nsave \"\"\n", path.display());
    if let Some(password) = password {
        config.push_str(&format!("requirepass {password}\n"));
    }
    let config = folder.write("redis.conf", config);
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(path.join("log"))
        .expect("own folder");
    // Ended by the kernel should this process end without doing so.
    let mut server = Command::new("setpriv");
    server.args(["--pdeathsig=KILL", "--", "redis-server"]).arg(config);
    server.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
    server.spawn().expect("setpriv runs")
}
