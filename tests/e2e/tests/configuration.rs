//! Configuration from its files and its table to the replicas that run, and back: what each was given, and who holds what.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tend_testkit::Postgres;

use crate::rig::{Machine, kill, wait_until};

const SCHEMA: &str = "
keys:
  limits.orders: { type: integer, minimum: 1, maximum: 1000, default: 10, reload: live, description: Orders a minute. }
  limits.size: { type: integer, default: 5, reload: rolling, description: Orders at once. }
  jwt.secret: { type: string, secret: true, minLength: 8, required: true, description: Signs. }
";

const PLANTED: &str = "pl4nted-in-dotenv";

/// One service for each way in which configuration is given.
const SERVICES: &str = r#"
services:
  env:
    command: [sh, -c, 'echo orders $$LIMITS_ORDERS of $${#JWT_SECRET}; exec sleep 1000']
    start_period: 100ms
    replicas: 2
    config: { keys: [limits.*, jwt.secret] }
  file:
    command:
      - sh
      - -c
      - |
        trap 'grep orders "$$TEND_CONFIG_FILE"' HUP
        grep orders "$$TEND_CONFIG_FILE"
        echo by mistake: $$(grep secret "$$TEND_CONFIG_FILE")
        stat -c 'file %a' "$$TEND_CONFIG_FILE"
        while :; do sleep 0.05; done
    start_period: 100ms
    config: { as: file, format: json, signal: SIGHUP, keys: [limits.*, jwt.secret] }
  watch:
    command: [python3, -u, watching.py]
    start_period: 300ms
    replicas: 2
    config: { as: watch, keys: [limits.*] }
"#;

const WATCHING: &str = "
import time
from tend_config import ConfigClient
client = ConfigClient()
client.on('limits.orders', lambda key, new, old: print('orders', new))
client.start()
time.sleep(1000)
";

/// A stack with configuration, in a folder of its machine.
struct Shop {
    machine: Machine,
    folder: PathBuf,
}

impl Shop {
    fn make(name: &str, services: &str, config: &str) -> Self {
        let machine = Machine::new(name);
        let folder = PathBuf::from(machine.stack("shop", &format!("config: {config}\n{services}")));
        let shop = Self { machine, folder };
        shop.write("config/schema.yaml", SCHEMA);
        shop.write(".env", &format!("JWT_SECRET={PLANTED}\n"));
        shop.write("watching.py", WATCHING);
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python/tend_config.py");
        fs::copy(client, shop.folder.join("tend_config.py")).unwrap();
        shop.orders("20");
        shop
    }

    fn up(&self) {
        self.machine.tend(&["up", &self.folder.display().to_string()]).ok();
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As editors do it.
        let beside = self.folder.join("beside");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &path).unwrap();
    }

    fn orders(&self, value: &str) {
        self.write(
            "config/environments/development.yml",
            &format!("limits.orders: {value}\n"),
        );
    }

    fn logs(&self, service: &str) -> String {
        self.machine
            .tend(&["logs", &format!("shop/{service}"), "-n", "500"])
            .ok()
    }

    /// Waits until a line was printed so many times.
    #[track_caller]
    fn wait_said(&self, service: &str, line: &str, times: usize) {
        let what = format!("{service} says `{line}` {times} times");
        wait_until(&what, || self.logs(service).matches(line).count() >= times);
    }

    /// Waits until the newest of these events has this revision, and returns its data.
    #[track_caller]
    fn wait_event(&self, kind: &str, revision: u64) -> Value {
        let newest = || self.machine.events(kind).pop().map(|event| event["data"].clone());
        wait_until(&format!("{kind} of revision {revision}"), || {
            newest().is_some_and(|data| data["revision"] == revision)
        });
        newest().unwrap()
    }

    fn status(&self) -> String {
        self.machine.tend(&["status", "shop"]).ok()
    }
}

#[test]
fn a_change_reaches_each_service_in_its_own_way_and_is_live_when_all_have_it() {
    let shop = Shop::make("config-ways", SERVICES, "{}");
    shop.up();
    shop.wait_said("env", &format!("orders 20 of {}", PLANTED.len()), 2);
    shop.wait_said("file", "\"orders\": 20", 1);
    shop.wait_said("file", "file 400", 1);
    shop.wait_said("watch", "orders 20", 2);
    let live = shop.wait_event("config.live", 1);
    assert_eq!(live["replicas"].as_array().map(Vec::len), Some(5), "{live}");
    // What it printed by mistake did not reach the disk.
    shop.wait_said("file", "[secret JWT_SECRET]", 1);
    assert!(!shop.logs("file").contains(PLANTED));
    let [env, file, watch] = ["env", "file", "watch"].map(|service| shop.machine.pids("shop", service));

    shop.orders("30");
    let live = shop.wait_event("config.live", 2);
    assert_eq!(live["replicas"].as_array().map(Vec::len), Some(5), "{live}");
    shop.wait_said("env", "orders 30", 2);
    shop.wait_said("file", "\"orders\": 30", 1);
    shop.wait_said("watch", "orders 30", 2);
    let now = ["env", "file", "watch"].map(|service| shop.machine.pids("shop", service));
    assert!(env.iter().all(|pid| !now[0].contains(pid)), "{env:?} {now:?}");
    assert_eq!((&file, &watch), (&now[1], &now[2]), "they go on");

    // One key asks for new replicas of whoever takes it.
    shop.write(
        "config/environments/development.yml",
        "limits: { orders: 30, size: 6 }\n",
    );
    shop.wait_event("config.live", 3);
    let then = ["file", "watch"].map(|service| shop.machine.pids("shop", service));
    assert!(file.iter().all(|pid| !then[0].contains(pid)) && watch.iter().all(|pid| !then[1].contains(pid)));

    // Another value of a secret outside of the store.
    shop.write(".env", "JWT_SECRET=an0ther-longer-secret-in-dotenv\n");
    let taken = shop.wait_event("config.live", 4);
    assert!(
        taken["replicas"].as_array().is_some_and(|all| all.len() == 5),
        "{taken}"
    );
    shop.wait_said("env", "orders 30 of 31", 2);
    let journal = shop.machine.tend(&["events", "--json"]).ok();
    assert!(!journal.contains("an0ther") && !journal.contains(PLANTED), "{journal}");
}

#[test]
fn what_is_wrong_is_not_taken_and_is_named_until_it_is_mended() {
    let shop = Shop::make("config-wrong", SERVICES, "{}");
    shop.orders("2000");
    let refused = shop.machine.tend(&["up", &shop.folder.display().to_string()]);
    assert_ne!(refused.code, 0);
    for part in ["limits.orders", "at most 1000", "config/environments/development.yml:1"] {
        assert!(
            refused.said().contains(part),
            "`{part}` is missing in {}",
            refused.said()
        );
    }
    shop.orders("20");
    shop.up();
    shop.wait_event("config.live", 1);
    let pids = shop.machine.pids("shop", "env");
    shop.write(
        "config/environments/development.yml",
        "limits.orders: 40\nlimits.sise: 7\n",
    );
    wait_until("it is told", || !shop.machine.events("config.refused").is_empty());
    let refused = shop.machine.events("config.refused").pop().unwrap().to_string();
    assert!(
        refused.contains("did you mean") && refused.contains("limits.size"),
        "{refused}"
    );
    wait_until("status says so", || shop.status().contains("revision 1 stays in force"));
    // Half of it was right, and was not taken either.
    assert_eq!(shop.machine.events("config.taken").len(), 1);
    assert_eq!(shop.machine.pids("shop", "env"), pids);
    shop.write(
        "config/environments/development.yml",
        "limits.orders: 40\nlimits.size: 7\n",
    );
    shop.wait_event("config.live", 2);
    wait_until("status says it no more", || !shop.status().contains("stays in force"));
    shop.wait_said("env", "orders 40", 2);
}

#[test]
fn a_daemon_that_comes_back_gives_those_that_run_what_changed_meanwhile() {
    let shop = Shop::make("config-killed", SERVICES, "{}");
    shop.up();
    shop.wait_event("config.live", 1);
    let [file, watch] = ["file", "watch"].map(|service| shop.machine.pids("shop", service));
    for revision in 2..5_u64 {
        let daemon = shop.machine.daemon();
        kill(daemon);
        let orders = 20 + revision;
        shop.orders(&orders.to_string());
        shop.machine.start_daemon();
        let live = shop.wait_event("config.live", revision);
        assert_eq!(live["replicas"].as_array().map(Vec::len), Some(5), "{live}");
        shop.wait_said("env", &format!("orders {orders}"), 2);
        shop.wait_said("file", &format!("\"orders\": {orders}"), 1);
        shop.wait_said("watch", &format!("orders {orders}"), 2);
    }
    let now = ["file", "watch"].map(|service| shop.machine.pids("shop", service));
    assert_eq!([file, watch], now, "they go on");
    // Nothing is taken twice, and nobody is late.
    assert_eq!(shop.machine.events("config.taken").len(), 4);
    assert_eq!(shop.machine.events("config.late"), [] as [Value; 0]);
}

#[test]
fn rows_of_a_table_are_taken_as_they_change_and_the_last_known_ones_while_the_server_is_away() {
    let mut server = Postgres::start("boss", None, &[]);
    let rows = "CREATE TABLE system_config (key text PRIMARY KEY, value jsonb NOT NULL, is_active boolean NOT NULL DEFAULT true, \
                updated_by text); INSERT INTO system_config VALUES ('limits.orders', '50', true, 'ana')";
    server.sql("postgres", rows);
    let table = format!("{{ table: {{ url: \"{}\", every: 100ms }} }}", server.url("postgres"));
    let shop = Shop::make("config-table", SERVICES, &table);
    shop.up();
    shop.wait_said("watch", "orders 50", 2);
    server.sql("postgres", "UPDATE system_config SET value = '60', updated_by = 'bo'");
    shop.wait_said("watch", "orders 60", 2);
    server.sql("postgres", "UPDATE system_config SET value = '6000'");
    wait_until("it is told", || !shop.machine.events("config.refused").is_empty());
    let refused = shop.machine.events("config.refused").pop().unwrap().to_string();
    assert!(refused.contains("row `limits.orders` of system_config"), "{refused}");
    server.stop();
    wait_until("it is away", || !shop.machine.events("config.away").is_empty());
    wait_until("status says so", || shop.status().contains("cannot be read since"));
    // A daemon that starts meanwhile knows the rows all the same.
    kill(shop.machine.daemon());
    shop.write(
        "config/environments/development.yml",
        "limits: { orders: 20, size: 8 }\n",
    );
    shop.machine.start_daemon();
    wait_until("the file is taken", || shop.machine.events("config.taken").len() >= 3);
    shop.wait_said("watch", "orders 60", 4);
    server.start_again();
    server.sql("postgres", "UPDATE system_config SET value = '70'");
    shop.wait_said("watch", "orders 70", 2);
    wait_until("status says it no more", || {
        !shop.status().contains("cannot be read since")
    });
}

#[test]
fn root_reads_no_file_for_a_stack_whose_owner_does_not_own_it() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else's files can be read then, by whomever.
        return;
    }
    let shop = Shop::make("config-owner", SERVICES, "{}");
    let mallory = 4242;
    let own = |path: &Path| std::os::unix::fs::chown(path, Some(mallory), Some(mallory)).unwrap();
    for path in [
        "",
        "stack.yml",
        "config",
        "config/schema.yaml",
        "config/environments",
        ".env",
    ] {
        own(&shop.folder.join(path));
    }
    let private = shop.folder.join("config/environments/development.yml");
    fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let refused = shop.machine.tend(&["up", &shop.folder.display().to_string()]);
    assert_ne!(refused.code, 0);
    let said = refused.said();
    assert!(
        said.contains("belongs to user 0, and has to belong to user 4242"),
        "{said}"
    );
    own(&private);
    shop.up();
}

#[test]
fn a_service_that_is_given_its_configuration_in_another_way_is_started_once() {
    let service = |number: usize, config: &str| {
        // A program that is given it in another way is another program, or is told so.
        format!(
            "services:\n  api:\n    command: [sleep, \"{}\"]\n    port: none\n    start_period: 100ms\n    config: {config}\n",
            1000 + number
        )
    };
    let ways = [
        "{ keys: [limits.*] }",
        "{ as: file, format: json, signal: SIGHUP, keys: [limits.*] }",
        "{ keys: [limits.orders] }",
        "{ as: watch, keys: [limits.*] }",
    ];
    let shop = Shop::make("config-another-way", &service(0, ways[0]), "{}");
    for (number, way) in ways.iter().enumerate() {
        shop.machine
            .stack("shop", &format!("config: {{}}\n{}", service(number, way)));
        shop.up();
        assert_eq!(shop.machine.events("replica.started").len(), number + 1, "{way}");
        // The same once more starts nobody.
        shop.up();
        assert_eq!(shop.machine.events("replica.started").len(), number + 1, "{way}");
    }
    shop.machine.tend(&["down", "shop"]).ok();
}

/// The short form of `bench-config edits`: what replicas hold is judged there.
#[test]
fn whatever_is_edited_and_killed_every_replica_holds_one_revision_that_was_taken() {
    let mut edits = std::process::Command::new(tend_testkit::program("bench-config"));
    edits.args(["--replicas", "6", "edits", "--edits", "60", "--kill-each", "20"]);
    // How soon all agree depends on what else the machine does; that they do is waited for.
    edits.args(["--agree-within", "90000"]);
    let done = edits.stdin(std::process::Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(
        said.contains("the daemon killed 3 times") && said.ends_with("holds\n"),
        "{said}"
    );
}
