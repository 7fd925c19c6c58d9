//! A small service kept in git, the client that asks it all the while, and what every test of deploys asserts.
//!
//! Knows no single release: which are deployed, and what is wrong with them, stands in the tests.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::rig::{Done, Machine, free_port, get, wait_until};

/// Exit codes of a deployment, as the reference page of the command line has them.
pub(crate) const REFUSED: i32 = 10;
pub(crate) const UNDONE: i32 = 11;

/// A stack of one service in a git checkout of its own.
pub(crate) struct Shop {
    pub(crate) machine: Machine,
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

impl Shop {
    /// Brings release 0.1 of the service up in place; `more` is written below the service, `deploy` at the end of the file.
    pub(crate) fn up(name: &str, more: &str, deploy: &str) -> Self {
        let machine = Machine::new(name);
        let port = free_port();
        let service = machine.folder.join("e2e-service");
        let text = format!(
            "services:\n  web:\n    command: ./serve\n    artifact: [.]\n    port: PORT\n    replicas: 2\n    restart: always\n\
             \x20   environment:\n      E2E_SERVICE: {}\n\
             \x20   readiness: {{ http: /ready, interval: 100ms, start_interval: 50ms, timeout: 1s, retries: 1, start_period: 0s }}\n\
             \x20   smoke:\n      - {{ http: /version, contains: '0.' }}\n\
             \x20   stop_grace_period: 2s\n{more}\
             \x20   deploy:\n      update_config:\n        order: start-first\n        failure_action: rollback\n\
             \x20       monitor: 600ms\n        ready_within: 5s\n        consecutive: 2\n\
             edge:\n  listen: ['127.0.0.1:{port}']\n  routes:\n    - {{ path: /, service: web }}\n{deploy}",
            service.display()
        );
        let folder = PathBuf::from(machine.stack("shop", &text));
        let shop = Self { machine, folder, port };
        shop.git(&["init", "--quiet", "--initial-branch", "main"]);
        shop.serve("0.1", "");
        shop.commit("first");
        shop.machine.tend(&["up", &shop.stack()]).ok();
        shop
    }

    pub(crate) fn stack(&self) -> String {
        self.folder.display().to_string()
    }

    /// Writes the program of the service: which version it says it is, and in which way it is broken.
    pub(crate) fn serve(&self, version: &str, mode: &str) {
        self.program(
            "serve",
            &format!("#!/bin/sh\nexport E2E_VERSION={version} E2E_MODE={mode}\nexec \"$E2E_SERVICE\"\n"),
        );
    }

    pub(crate) fn program(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C")
            .arg(&self.folder)
            .args(["-c", "user.name=ana", "-c", "user.email=ana@example.com"]);
        let done = self
            .machine
            .in_its_environment(git_in(git, arguments))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    pub(crate) fn deploy(&self, more: &[&str]) -> Done {
        let stack = self.stack();
        let mut arguments = vec!["deploy", stack.as_str()];
        arguments.extend(more);
        self.machine.tend(&arguments)
    }

    /// Deploys a version that is meant to be good.
    #[track_caller]
    pub(crate) fn deploy_good(&self, version: &str) -> String {
        self.serve(version, "");
        self.commit(version);
        self.deploy(&[]).ok()
    }

    pub(crate) fn version(&self) -> String {
        get(self.port, "/version").unwrap().body.trim().to_owned()
    }

    pub(crate) fn releases(&self) -> Value {
        self.machine.json(&["releases", "shop"])
    }

    /// Returns what the journal says of the last deployment's end.
    pub(crate) fn last_end(&self) -> Value {
        // What a command was told is on the way to the journal when it returns.
        wait_until("the end of a deployment is in the journal", || {
            !self.machine.events("deploy.finished").is_empty()
        });
        let last = self.machine.events("deploy.finished").pop();
        last.expect("a deployment ended")["data"].clone()
    }

    /// Asserts that the release before serves alone, and that the journal says what became of the other.
    #[track_caller]
    pub(crate) fn assert_only(&self, version: &str, result: &str) {
        assert_eq!(self.version(), version);
        // The journal is written beside the telling, and the last one beyond the wanted number may still be on its way out.
        wait_until("the journal has it", || self.last_end()["result"] == result);
        self.machine.wait_ready("shop", "web", 2);
    }
}

/// Starts a command whose output nobody looks at.
pub(crate) fn quietly(shop: &Shop, arguments: &[&str]) -> std::process::Child {
    let mut command = shop.machine.command("tend", arguments);
    let nowhere = std::process::Stdio::null;
    command.stdout(nowhere()).stderr(nowhere()).spawn().unwrap()
}

pub(crate) fn git_in(mut git: Command, arguments: &[&str]) -> Command {
    git.args(arguments);
    git
}

/// A client that asks all the while.
pub(crate) struct Client {
    pub(crate) go_on: Arc<AtomicBool>,
    pub(crate) asking: JoinHandle<Vec<String>>,
}

impl Client {
    pub(crate) fn of(shop: &Shop) -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        let (port, asks) = (shop.port, Arc::clone(&go_on));
        let asking = std::thread::spawn(move || {
            let mut versions = Vec::new();
            while asks.load(Ordering::Relaxed) {
                let answer = get(port, "/version").unwrap();
                assert_eq!(answer.status, 200, "{}", answer.body);
                let version = answer.body.trim().to_owned();
                if versions.last() != Some(&version) {
                    versions.push(version);
                }
            }
            versions
        });
        Self { go_on, asking }
    }

    /// Stops asking and returns the versions that answered, one after the other; a failed request fails the test.
    pub(crate) fn versions(self) -> Vec<String> {
        self.go_on.store(false, Ordering::Relaxed);
        self.asking.join().unwrap()
    }
}

/// Deploys a broken version and asserts that it does not matter to anybody but the one who deployed it.
#[track_caller]
pub(crate) fn assert_harmless(shop: &Shop, code: i32, reason: &[&str], lines: &[&str]) {
    let client = Client::of(shop);
    let done = shop.deploy(&[]);
    let versions = client.versions();
    let said = done.said();
    assert_eq!(done.code, code, "{said}");
    for part in reason.iter().chain(lines) {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
    assert_eq!(versions, ["0.2"], "only the release before answered clients");
    let result = if code == REFUSED { "refused" } else { "undone" };
    shop.assert_only("0.2", result);
    let why = shop.last_end()["why"].as_str().unwrap_or_default().to_owned();
    for part in reason {
        assert!(why.contains(part), "`{part}` is missing in the journal: {why}");
    }
    assert_eq!(shop.releases()["deployment"], Value::Null);
}

/// What a migration is told in the stack file; the command lies in the checkout.
pub(crate) fn migrates(shop_database: &Path, timeout: &str) -> String {
    format!(
        "deploy:\n  migrate: {{ service: web, command: ./migrate, timeout: {timeout} }}\n  databases:\n    - {{ sqlite: {} }}\n",
        shop_database.display()
    )
}

/// Returns a place for a database that every user may write to, gone with the machine of the test.
pub(crate) fn database(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tend-e2e-database-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    folder.join("shop.sqlite")
}
