//! A release that comes with another configuration: each replica holds that of its own release, whatever is killed, and what is refused or undone
//! leaves what was in force.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::deploy_rig::{Shop, UNDONE, quietly};
use crate::rig::{Machine, kill, wait_until};

/// A key that holds a thousand times the number of the release.
fn schema(release: usize) -> String {
    let (from, to) = (release * 1000, release * 1000 + 999);
    format!(
        "keys:\n  limits.orders: {{ type: integer, minimum: {from}, maximum: {to}, default: {from}, reload: live, description: Orders. }}\n"
    )
}

/// Each says again and again which release it is of, and what it holds.
const BY_VARIABLES: &str =
    "#!/bin/sh\nwhile :; do echo \"RELEASE $LIMITS_ORDERS\" >> SEEN/env.$TEND_SLOT; sleep 0.02; done\n";
const BY_FILE: &str = "#!/bin/sh\nwhile :; do echo \"RELEASE $(grep -o '[0-9]*' \"$TEND_CONFIG_FILE\")\" >> SEEN/file.$TEND_SLOT; sleep 0.02; done\n";
const BY_SOCKET: &str = "#!/usr/bin/env python3
import os, time
from tend_config import ConfigClient
client = ConfigClient()
seen = open('SEEN/watch.' + os.environ['TEND_SLOT'], 'a', buffering=1)
client.on('limits.orders', lambda key, new, old: print('RELEASE', new, file=seen))
client.start()
time.sleep(1000)
";

/// A stack in a checkout of its own, and where its replicas say what they hold.
struct Configured {
    shop: Shop,
    seen: PathBuf,
}

impl Configured {
    /// Brings release 1 up in place.
    fn up(name: &str) -> Self {
        let machine = Machine::new(name);
        let seen = machine.folder.join("seen");
        fs::create_dir_all(&seen).unwrap();
        // Replicas run as a user of their own.
        fs::set_permissions(&seen, fs::Permissions::from_mode(0o777)).unwrap();
        let folder = PathBuf::from(machine.stack("shop", ""));
        let configured = Self {
            shop: Shop {
                machine,
                folder,
                port: 0,
            },
            seen,
        };
        configured.shop.git(&["init", "--quiet", "--initial-branch", "main"]);
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python/tend_config.py");
        fs::copy(client, configured.shop.folder.join("tend_config.py")).unwrap();
        configured.write(1, None);
        let stack = configured.shop.stack();
        configured.shop.machine.tend(&["up", &stack]).ok();
        configured.wait_seen(1);
        configured
    }

    /// Writes what a release is made of. A `fault` is put in front of the programs.
    fn write(&self, release: usize, fault: Option<&str>) {
        let folder = self.shop.folder.join("config");
        fs::create_dir_all(&folder).unwrap();
        // Each has files of its own: what lies in those of the one before is still read for that.
        fs::write(folder.join(format!("schema-{release}.yaml")), schema(release)).unwrap();
        let value = release * 1000 + 7;
        fs::write(
            folder.join(format!("values-{release}.yml")),
            format!("limits.orders: {value}\n"),
        )
        .unwrap();
        for (name, text) in [("env", BY_VARIABLES), ("file", BY_FILE), ("watch", BY_SOCKET)] {
            let text = text.replace("RELEASE", &release.to_string());
            let text = text.replace("SEEN", &self.seen.display().to_string());
            let text = match fault.filter(|_| name == "env") {
                Some(fault) => format!("#!/bin/sh\n{fault}\n"),
                None => text,
            };
            self.shop.program(name, &text);
        }
        let service = |name: &str, config: &str| {
            format!(
                "  {name}:\n    command: ./{name}\n    artifact: [.]\n    port: none\n    replicas: 2\n    restart: always\n    start_period: 300ms\n\
                 \x20   stop_grace_period: 1s\n    config: {config}\n\
                 \x20   deploy:\n      update_config: {{ order: start-first, failure_action: rollback, monitor: 300ms, ready_within: 5s }}\n"
            )
        };
        let text = format!(
            "config: {{ schema: config/schema-{release}.yaml, files: [config/values-{release}.yml] }}\nservices:\n{}{}{}",
            service("env", "{ keys: [limits.*] }"),
            service("file", "{ as: file, format: json, keys: [limits.*] }"),
            service("watch", "{ as: watch, keys: [limits.*] }")
        );
        self.shop.machine.stack("shop", &text);
        self.shop.commit(&format!("release {release}"));
    }

    /// What was said so far, each line once.
    fn said(&self) -> BTreeSet<String> {
        let files = fs::read_dir(&self.seen).unwrap().flatten();
        let texts = files.map(|file| (file.file_name(), fs::read_to_string(file.path()).unwrap_or_default()));
        let mut said = BTreeSet::new();
        for (name, text) in texts {
            let service = name.to_string_lossy().split('.').next().unwrap_or_default().to_owned();
            // The last line may be on its way.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            said.extend(whole.lines().map(|line| format!("{service} {line}")));
        }
        said
    }

    /// Waits until each service of a release said what it holds.
    #[track_caller]
    fn wait_seen(&self, release: usize) {
        for service in ["env", "file", "watch"] {
            let line = format!("{service} {release} {}", release * 1000 + 7);
            wait_until(&format!("`{line}` is said"), || self.said().contains(&line));
        }
    }

    /// No replica ever held what another release comes with.
    #[track_caller]
    fn assert_apart(&self) {
        for line in self.said() {
            let words: Vec<&str> = line.split(' ').collect();
            let [_, release, value] = words[..] else {
                panic!("{line}");
            };
            let release: usize = release.parse().unwrap();
            assert_eq!(value, (release * 1000 + 7).to_string(), "{line}");
        }
    }

    /// The number of the revision in force.
    fn revision(&self) -> u64 {
        let history = self.shop.machine.json(&["config", "history", "-s", "shop"]);
        history["items"][0]["number"].as_u64().unwrap_or_default()
    }

    /// Waits until the newest revision that is live is the one in force.
    #[track_caller]
    fn wait_live(&self) {
        wait_until("what is in force is live", || {
            let live = self.shop.machine.events("config.live").pop();
            live.is_some_and(|live| live["data"]["revision"] == self.revision())
        });
    }
}

#[test]
fn a_release_and_its_configuration_go_into_force_together_or_not_at_all() {
    let one = Configured::up("deploy-config");
    let shop = &one.shop;
    one.wait_live();
    assert_eq!(one.revision(), 1);

    one.write(2, None);
    shop.deploy(&[]).ok();
    one.wait_seen(2);
    one.wait_live();
    assert_eq!(one.revision(), 2);
    one.assert_apart();

    // What it comes with is wrong: there is neither a release nor a revision.
    one.write(3, None);
    fs::write(shop.folder.join("config/values-3.yml"), "limits.orders: 5\n").unwrap();
    shop.commit("wrong");
    let releases = shop.releases()["items"].as_array().map(Vec::len);
    let done = shop.deploy(&[]);
    assert!(
        done.code != 0 && done.said().contains("limits.orders"),
        "{}",
        done.said()
    );
    assert_eq!(shop.releases()["items"].as_array().map(Vec::len), releases);
    assert_eq!(one.revision(), 2);

    // What it comes with is good, and the release is not: both are undone.
    one.write(3, Some("exit 1"));
    let done = shop.deploy(&[]);
    assert_eq!(done.code, UNDONE, "{}", done.said());
    assert_eq!(one.revision(), 2);
    one.wait_live();
    one.assert_apart();

    // The number of what is gone is not given again.
    one.write(4, None);
    shop.deploy(&[]).ok();
    one.wait_seen(4);
    one.wait_live();
    assert_eq!(one.revision(), 4);
    one.assert_apart();

    // Going back brings what the release came with.
    shop.machine.tend(&["rollback", "shop"]).ok();
    one.wait_live();
    assert_eq!(one.revision(), 5);
    one.assert_apart();
    shop.machine.tend(&["down", "shop"]).ok();
}

#[test]
fn a_release_and_its_configuration_stay_together_when_the_daemon_is_killed() {
    let one = Configured::up("deploy-config-kills");
    let shop = &one.shop;
    one.wait_live();
    for (number, kind) in ["deploy.started", "deploy.stage", "replica.started"]
        .into_iter()
        .enumerate()
    {
        let release = number + 2;
        one.write(release, None);
        let ended = shop.machine.events("deploy.finished").len();
        let before = shop.machine.events(kind).len();
        let mut deploying = quietly(shop, &["deploy", &shop.stack()]);
        wait_until(kind, || shop.machine.events(kind).len() > before);
        kill(shop.machine.daemon());
        // Whoever waited is told that nobody answers any more.
        deploying.wait().unwrap();
        shop.machine.start_daemon();
        wait_until("it ended", || shop.machine.events("deploy.finished").len() > ended);
        if shop.last_end()["result"] == "undone" {
            // The kill met the one start that was under way: a candidate of which nothing is found has failed.
            one.wait_live();
            one.assert_apart();
            shop.deploy(&[]).ok();
        }
        assert_eq!(shop.last_end()["result"], "committed", "{kind}");
        one.wait_seen(release);
        one.wait_live();
        one.assert_apart();
    }
    shop.machine.tend(&["down", "shop"]).ok();
}
