//! `tend config` against a stack that is up: seen, set, taken back, refused as a whole, and read from files and rows as they change.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::rig::{Done, Machine, kill, wait_until};

const PLANTED: &str = "pl4nted-on-the-command-line";

const STACK: &str = r#"
deploy: { environment: staging }
config:
  table: { url: "sqlite:rows.db" }
services:
  api:
    command: [sh, -c, 'echo "ttl $$QR_TTL"; exec sleep 1000']
    replicas: 2
    start_period: 100ms
    config: { as: environment, keys: [app.*, qr.*] }
"#;

const SCHEMA: &str = "\
keys:
  app.log_level: { type: string, enum: [debug, info, warn], default: info, env: LOG_LEVEL, reload: live }
  app.port: { type: integer, minimum: 1, maximum: 65535, default: 3000, reload: refuse }
  limits.payment: { type: integer, unit: cents, minimum: 1, default: 10000, reload: live }
  qr.ttl: { type: duration, unit: s, minimum: 30, maximum: 24h, default: 900, reload: live, owner: payments }
  jwt.secret: { type: string, secret: true, minLength: 16 }
presets:
  patient: { qr.ttl: 30m, limits.payment: 5000 }
";

const FILE: &str = "app:\n  log_level: debug\nqr:\n  ttl: 10m\n";

/// A machine with the stack `shop`.
struct Shop {
    machine: Machine,
    folder: PathBuf,
}

impl Shop {
    fn new(name: &str) -> Self {
        let machine = Machine::new(name);
        let folder = PathBuf::from(machine.stack("shop", STACK));
        std::fs::create_dir_all(folder.join("config/environments")).unwrap();
        std::fs::write(folder.join("config/schema.yaml"), SCHEMA).unwrap();
        let shop = Self { machine, folder };
        shop.write(FILE);
        shop
    }

    /// Writes the file of the environment, as editors do: beside it and renamed.
    fn write(&self, text: &str) {
        let path = self.folder.join("config/environments/staging.yml");
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, path).unwrap();
    }

    fn folder(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    fn up(&self) {
        self.machine.tend(&["up", self.folder()]).ok();
    }

    fn config(&self, words: &[&str]) -> Done {
        let words: Vec<&str> = ["config"].iter().chain(words).chain(&["-s", "shop"]).copied().collect();
        self.machine.tend(&words)
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().chain(&["--json"]).copied().collect();
        let printed = self.config(&words).ok();
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    #[track_caller]
    fn get(&self, key: &str) -> String {
        self.config(&["get", key]).ok().trim().to_owned()
    }

    /// Returns what is known of one key.
    #[track_caller]
    fn key(&self, key: &str) -> Value {
        self.json(&["why", key])["keys"][0].clone()
    }

    #[track_caller]
    fn revision(&self) -> u64 {
        self.json(&["list"])["revision"]["number"].as_u64().unwrap()
    }

    /// Waits until both replicas are seen to hold the value in force.
    #[track_caller]
    fn wait_held(&self, key: &str, value: &str) {
        wait_until(&format!("both replicas hold {key} = {value}"), || {
            let key = self.key(key);
            let held = key["held"].as_array().cloned().unwrap_or_default();
            held.len() == 2
                && held
                    .iter()
                    .all(|held| held["value"] == value && held["drift"].is_null())
        });
    }

    /// Executes a statement in the file of the table.
    fn sql(&self, statement: &str) {
        let rows = rusqlite::Connection::open(self.folder.join("rows.db")).unwrap();
        rows.execute_batch(statement).unwrap();
    }
}

/// Returns whether any file below a folder holds a text.
fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => path.file_name().is_some_and(|name| name != "bin") && holds(&path, text),
            kind if kind.is_file() => std::fs::read(&path)
                .unwrap_or_default()
                .windows(text.len())
                .any(|part| part == text.as_bytes()),
            _ => false,
        }
    })
}

#[test]
fn values_are_set_reach_the_replicas_and_are_taken_back() {
    let shop = Shop::new("config");
    shop.up();
    assert_eq!(shop.get("qr.ttl"), "600");
    let why = shop.key("QR_TTL");
    assert_eq!(why["place"]["place"], "config/environments/staging.yml:4");
    assert_eq!(why["beneath"][0]["place"]["place"], "config/schema.yaml:5");
    assert_eq!(
        why["asks"][0]["asked"], "rolling",
        "variables are given at a start: {why}"
    );
    shop.wait_held("qr.ttl", "600");

    let set = shop.config(&["set", "qr.ttl=20m", "LOG_LEVEL=warn"]).ok();
    for part in [
        "revision 2 is in force",
        "~ app.log_level: debug → warn",
        "~ qr.ttl: 600 → 1200",
    ] {
        assert!(set.contains(part), "{set}");
    }
    // It ends once both are seen to hold it.
    assert!(set.contains("it is live: 2 of 2 replicas hold it"), "{set}");
    shop.wait_held("qr.ttl", "1200");
    let lines = || shop.machine.tend(&["logs", "shop/api", "-n", "50"]).ok();
    wait_until("both were started with it", || lines().matches("ttl 1200").count() == 2);
    let why = shop.key("qr.ttl");
    assert_eq!(
        (&why["place"]["layer"], &why["beneath"][0]["value"]),
        (&"set".into(), &"600".into())
    );

    shop.config(&["preset", "patient"]).ok();
    assert_eq!(
        (shop.get("qr.ttl"), shop.get("limits.payment")),
        ("1800".into(), "5000".into())
    );
    shop.config(&["unset", "qr.ttl"]).ok();
    assert_eq!(shop.get("qr.ttl"), "900", "the default, and not the file");
    shop.config(&["clear", "qr.ttl", "limits.payment"]).ok();
    assert_eq!(
        (shop.get("qr.ttl"), shop.get("limits.payment")),
        ("600".into(), "10000".into())
    );
    let diff = shop.json(&["diff", "3", "5"]);
    assert_eq!(diff["changes"][1]["key"], "qr.ttl");
    assert_eq!(
        (&diff["changes"][1]["before"], &diff["changes"][1]["after"]),
        (&"1800".into(), &"600".into())
    );

    let back = shop.json(&["rollback", "3"]);
    assert_eq!(
        (&back["revision"]["back_to"], &back["taken"]),
        (&3.into(), &true.into())
    );
    shop.wait_held("qr.ttl", "1800");
    let history = shop.json(&["history"]);
    let numbers: Vec<u64> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [6, 5, 4, 3, 2, 1]);
    assert_eq!(shop.machine.events("config.taken").len(), 6);

    // It outlives the daemon and the stack.
    kill(shop.machine.daemon());
    shop.machine.start_daemon();
    wait_until("the daemon knows it again", || {
        shop.config(&["get", "qr.ttl"]).code == 0
    });
    assert_eq!((shop.get("qr.ttl"), shop.revision()), ("1800".into(), 6));
    shop.machine.tend(&["down", "shop"]).ok();
    shop.up();
    assert_eq!(shop.get("qr.ttl"), "1800");
    shop.machine.tend(&["down", "shop"]).ok();
}

#[test]
fn what_is_wrong_changes_nothing_and_is_all_said() {
    let shop = Shop::new("config-wrong");
    shop.up();
    let secret = format!("jwt.secret={PLANTED}");
    let refused = shop.config(&[
        "set",
        "qr.ttl=1s",
        "app.log_level=loud",
        "nothing=1",
        &secret,
        "limits.payment=7",
    ]);
    let said = refused.said();
    assert_eq!(refused.code, 3, "{said}");
    for part in [
        "`qr.ttl` is `1s`; it must be at least 30",
        "`app.log_level` is `loud`, which is none of its values",
        "the key `nothing` is not known",
        "tend secret set jwt.secret",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(PLANTED), "{said}");
    assert!(!holds(&shop.machine.folder.join("state"), PLANTED));
    assert_eq!((shop.revision(), shop.get("limits.payment")), (1, "10000".into()));

    // The same of a file: nothing of it is taken, and what is wrong stays visible until it is mended.
    shop.write("app:\n  log_level: warn\nqr:\n  ttl: 1s\n  tll: 5m\n");
    wait_until("what is wrong with the file is known", || {
        shop.json(&["list"])["refused"]
            .as_array()
            .is_some_and(|refused| refused.len() == 2)
    });
    let report = shop.json(&["list"]);
    let places: Vec<&str> = report["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["place"].as_str().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "config/environments/staging.yml:4:8",
            "config/environments/staging.yml:5:3"
        ]
    );
    assert_eq!(shop.get("app.log_level"), "debug");
    let shown = shop.config(&["list"]).said();
    assert!(
        shown.contains("did you mean `qr.ttl`?") && shown.contains("2 errors in what lies"),
        "{shown}"
    );
    assert_eq!(shop.machine.tend(&["config", "check", shop.folder()]).code, 3);

    shop.write("app:\n  log_level: warn\nqr:\n  ttl: 5m\n");
    wait_until("the mended file is taken", || shop.get("qr.ttl") == "300");
    assert_eq!(shop.get("app.log_level"), "warn");
    assert!(shop.json(&["list"])["refused"].is_null());
    let history = shop.json(&["history", "--limit", "1"]);
    assert_eq!(history["items"][0]["taken_by"], "config/environments/staging.yml");
    shop.machine.tend(&["down", "shop"]).ok();
}

#[test]
fn a_change_that_nobody_confirms_is_taken_back() {
    let shop = Shop::new("config-confirm");
    shop.up();
    let set = shop.config(&["set", "qr.ttl=20m", "--confirm", "1s"]).ok();
    assert!(set.contains("unless it is confirmed: tend config confirm 2"), "{set}");
    wait_until("it is taken back", || shop.get("qr.ttl") == "600");
    let history = shop.json(&["history", "--limit", "1"]);
    assert_eq!(history["items"][0]["back_to"], 1);
    let by = history["items"][0]["taken_by"].as_str().unwrap();
    assert!(by.contains("revision 2 was not confirmed"), "{by}");
    let nothing = shop.config(&["confirm"]);
    assert_eq!(nothing.code, 5, "{}", nothing.said());

    // One that is confirmed stays, and another number than the one that waits is not confirmed by mistake.
    let set = shop.json(&["set", "qr.ttl=30m", "--confirm", "1h"]);
    let number = set["revision"]["number"].as_u64().unwrap().to_string();
    assert!(set["revision"]["confirm_until"].is_u64(), "{set}");
    assert_eq!(shop.config(&["confirm", "2"]).code, 5);
    shop.config(&["confirm", &number]).ok();
    assert!(shop.json(&["list"])["revision"]["confirm_until"].is_null());
    assert_eq!(shop.machine.events("config.confirmed").len(), 1);

    // A daemon that was killed meanwhile takes it back all the same, and what was confirmed stays confirmed.
    shop.config(&["set", "qr.ttl=40m", "--confirm", "2s"]).ok();
    kill(shop.machine.daemon());
    shop.machine.start_daemon();
    wait_until("the next daemon takes it back", || {
        shop.config(&["get", "qr.ttl"]).said().trim() == "1800"
    });
    shop.machine.tend(&["down", "shop"]).ok();
}

#[test]
fn what_may_not_change_while_it_runs_changes_while_it_is_stopped() {
    let shop = Shop::new("config-refuse");
    shop.up();
    let refused = shop.config(&["set", "app.port=4000"]);
    let said = refused.said();
    assert!(
        refused.code == 3 && said.contains("`app.port` cannot change while api runs"),
        "{said}"
    );
    assert!(said.contains("`tend stop api`"), "{said}");
    shop.machine.tend(&["stop", "shop/api"]).ok();
    shop.config(&["set", "app.port=4000"]).ok();
    shop.machine.tend(&["start", "shop/api"]).ok();
    shop.wait_held("app.port", "4000");
    // So it does before the stack comes up.
    shop.config(&["clear", "app.port"]).said();
    shop.machine.tend(&["down", "shop"]).ok();
    shop.write("app:\n  port: 5000\n");
    shop.up();
    assert_eq!(shop.get("app.port"), "4000", "what was set stands above the file");
    assert_eq!(shop.key("app.port")["beneath"][0]["value"], "5000");
    shop.machine.tend(&["down", "shop"]).ok();
}

#[test]
fn rows_of_a_table_stand_above_files_and_are_told_with_their_author() {
    let shop = Shop::new("config-table");
    let install = ["config", "table", "install", shop.folder()];
    let sql = shop.machine.tend(&install).ok();
    assert!(sql.contains("CREATE TABLE IF NOT EXISTS \"system_config\""), "{sql}");
    assert!(!shop.folder.join("rows.db").exists(), "it is printed, and not run");
    let made = [&install[..], &["--run"]].concat();
    shop.machine.tend(&made).ok();
    shop.machine.tend(&made).ok();
    shop.up();
    shop.sql("INSERT INTO system_config (key, value, updated_by) VALUES ('qr.ttl', '1200', 'panel')");
    wait_until("the row is taken", || shop.get("qr.ttl") == "1200");
    let why = shop.key("qr.ttl");
    assert_eq!(why["place"]["place"], "the row `qr.ttl` of system_config");
    assert_eq!(
        (&why["place"]["who"], &why["beneath"][0]["value"]),
        (&"panel".into(), &"600".into())
    );
    let shown = shop.config(&["why", "qr.ttl"]).ok();
    assert!(shown.contains("panel"), "{shown}");

    // A row that cannot be used is named, and the one before stays in force.
    shop.sql("UPDATE system_config SET value = '\"soon\"'");
    wait_until("what is wrong with the row is known", || {
        shop.json(&["list"])["refused"]
            .as_array()
            .is_some_and(|refused| refused.len() == 1)
    });
    assert_eq!(
        shop.json(&["list"])["refused"][0]["place"]
            .as_str()
            .unwrap()
            .split(',')
            .next(),
        Some("the row `qr.ttl` of system_config")
    );
    assert_eq!(shop.get("qr.ttl"), "1200");
    shop.sql("DELETE FROM system_config");
    wait_until("the file counts again", || shop.get("qr.ttl") == "600");
    shop.machine.tend(&["down", "shop"]).ok();
}

#[test]
fn only_the_owner_sees_and_changes_a_configuration() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be two users; as another user there is one who may do everything here.
        return;
    }
    let shop = Shop::new("config-owner");
    shop.up();
    for words in [
        &["list"][..],
        &["why", "qr.ttl"],
        &["history"],
        &["diff"],
        &["set", "qr.ttl=20m"],
        &["rollback", "1"],
        &["confirm"],
    ] {
        let mut command = std::process::Command::new("setpriv");
        command
            .args(["--reuid", "61000", "--regid", "61000", "--clear-groups"])
            .arg(shop.machine.folder.join("tend"))
            .arg("config")
            .args(words)
            .args(["-s", "shop"]);
        let output = shop.machine.in_its_environment(command).output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(7), "{words:?}: {said}");
        assert!(said.contains("belongs to user 0"), "{words:?}: {said}");
    }
    assert_eq!((shop.revision(), shop.get("qr.ttl")), (1, "600".into()));
    shop.machine.tend(&["down", "shop"]).ok();
}
