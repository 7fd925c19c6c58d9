//! tend, by its own command line, with state and run folder in the run's folder.
//!
//! The stack is what its README shows: an artifact made by `prepare`, a migration, a restore point, smoke tests, replicas exchanged one by
//! one. [`Tend::verb`] is the only place that knows how a deploy is asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{REPLICAS, Way};
use crate::error::Result;
use crate::folder::{Ended, Folder, file, free_ports, insist, run};
use crate::release::Release;

/// How long anything but a deploy may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Tend {
    folder: Folder,
    program: PathBuf,
    port: u16,
    drain: Duration,
    within: Duration,
}

impl Tend {
    /// `program` is the command `tend`; `drain` the longest wait for a WebSocket; `within` the longest that one deploy may take.
    pub(crate) fn new(folder: Folder, program: PathBuf, drain: Duration, within: Duration) -> Result<Self> {
        let [port] = free_ports()?;
        Ok(Self {
            folder,
            program,
            port,
            drain,
            within,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TEND_STATE", self.folder.join("state"))
            .env("TEND_RUN", self.folder.join("run"))
            .env("NO_COLOR", "1");
        command
    }

    /// Puts a release's source where the stack is deployed from, as a checkout of it would.
    fn check_out(&self, release: &Release) -> Result<()> {
        let source = self.folder.join("stack/source/mps-api");
        let copied = fs::create_dir_all(self.folder.join("stack/source"))
            // Never written over: a program in place may be running from it.
            .and_then(|()| fs::remove_file(&source).or(Ok(())))
            .and_then(|()| fs::copy(&release.program, &source));
        copied.map_err(|error| file("write", &source, error))?;
        let text = stack_file(
            &self.folder.join("state/data/mps"),
            release.version,
            self.port,
            self.drain,
        );
        self.folder.write("stack/stack.yml", &text).map(drop)
    }

    /// Returns how a deploy is asked for.
    fn verb(&self) -> Command {
        self.command(&["deploy", "stack", "--json"])
    }
}

impl Way for Tend {
    fn name(&self) -> &'static str {
        "tend"
    }

    fn port(&self) -> u16 {
        self.port
    }

    /// Brings the stack up in place first, which starts the daemon, and then makes it a release.
    fn up(&mut self, release: &Release) -> Result<()> {
        self.check_out(release)?;
        // Started by root, tend prepares a stack of root's as a user that exists by its number alone.
        let built = self.folder.join("stack/bin");
        fs::create_dir_all(&built)
            .and_then(|()| fs::set_permissions(&built, fs::Permissions::from_mode(0o777)))
            .map_err(|error| file("make the folder", &built, error))?;
        let log = self.folder.join("up.log");
        insist(&mut self.command(&["up", "stack"]), &log, PATIENCE)?;
        insist(&mut self.verb(), &log, self.within).map(drop)
    }

    fn deploy(&mut self, release: &Release) -> Result<Ended> {
        self.check_out(release)?;
        let log = self.folder.join(&format!("deploy-{}.log", release.version));
        let ended = run(&mut self.verb(), &log, self.within)?;
        Ok(Ended {
            said: reason(&ended.said).unwrap_or(ended.said),
            ..ended
        })
    }

    fn down(&mut self) -> Result<()> {
        let log = self.folder.join("down.log");
        insist(&mut self.command(&["down", "mps"]), &log, PATIENCE)?;
        // With its last stack gone the daemon may have ended by itself.
        let _ = run(&mut self.command(&["shutdown"]), &log, PATIENCE);
        Ok(())
    }
}

/// Returns the reason in what `tend deploy --json` printed; none where it gave none.
fn reason(said: &str) -> Option<String> {
    let last: Value = serde_json::from_str(said.lines().last()?).ok()?;
    last["finished"]["reason"].as_str().map(str::to_owned)
}

/// `data` is the folder that tend gives the replicas for their data.
fn stack_file(data: &std::path::Path, version: &str, port: u16, drain: Duration) -> String {
    let data = data.display();
    let drain = drain.as_secs();
    format!(
        "\
name: mps
services:
  api:
    prepare: install -D source/mps-api bin/mps-api
    artifact: bin
    command: bin/mps-api
    port: PORT
    environment: {{ MPS_SEED: demo, LOG_LEVEL: warn, APP_VERSION: {version} }}
    readiness: {{ http: /ready, interval: 200ms, timeout: 1s }}
    drain_timeout: {drain}s
    stop_grace_period: 15s
    smoke: [/api/levels, {{ http: /api/version, contains: {version} }}]
    deploy:
      replicas: {REPLICAS}
      update_config: {{ parallelism: 1, order: start-first, failure_action: rollback, monitor: 1s }}
edge:
  listen: [\"127.0.0.1:{port}\"]
  routes: [{{ path: /, service: api }}]
deploy:
  databases: [{{ sqlite: \"{data}/mps.sqlite\" }}]
  migrate: {{ service: api, command: bin/mps-api migrate, timeout: 1m }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_in_the_last_line() {
        let said = "{\"progress\":{}}\n{\"finished\":{\"ok\":false,\"reason\":\"api is not ready\"}}\n";
        assert_eq!(reason(said).as_deref(), Some("api is not ready"));
        assert_eq!(reason("{\"finished\":{\"ok\":true}}"), None);
        assert_eq!(reason("error: no daemon"), None);
        assert_eq!(reason(""), None);
    }

    #[test]
    fn the_stack_file_names_the_release_the_port_and_the_database() {
        let text = stack_file(
            std::path::Path::new("/run/data"),
            "release-b",
            8080,
            Duration::from_secs(5),
        );
        for part in [
            "APP_VERSION: release-b",
            "contains: release-b",
            "sqlite: \"/run/data/mps.sqlite\"",
            "drain_timeout: 5s",
            "127.0.0.1:8080",
            "replicas: 3",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
