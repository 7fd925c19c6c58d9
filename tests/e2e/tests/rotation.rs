//! Rotations in which both versions are valid for a while: by the holders, by a provider, and of a key under which data lie. With the daemon
//! killed at every stage, under load, and taken back.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tend_testkit::Mariadb;

use crate::rig::{Answer, Machine, free_port, get, kill, wait_until};
use crate::secrets::server_with_users;

/// How long a whole rotation may take: it has several stages, each with its own looks.
const WHOLE: Duration = Duration::from_secs(300);

#[track_caller]
fn set(machine: &Machine, name: &str, value: &str, more: &[&str]) -> String {
    let mut arguments = vec!["secret", "set", name, "-s", "shop"];
    arguments.extend(more);
    let mut command = machine.command("tend", &arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    said
}

/// Begins a rotation that nobody follows.
fn rotate(machine: &Machine, name: &str) -> Child {
    let mut command = machine.command("tend", &["secret", "rotate", name, "-s", "shop"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Returns what was told of rotations, in the order of time.
fn stages(machine: &Machine) -> Vec<String> {
    let events = machine.events("secret.rotation");
    let message = |event: &Value| event["data"]["message"].as_str().unwrap().to_owned();
    events.iter().map(message).collect()
}

/// Returns the state of each version of a secret, the newest first.
fn versions(machine: &Machine, name: &str) -> Vec<(u64, String)> {
    let list = machine.json(&["secret", "list", name, "-s", "shop"]);
    let versions = list["items"][0]["versions"].as_array().unwrap().clone();
    let state = |one: &Value| {
        (
            one["version"].as_u64().unwrap(),
            one["state"].as_str().unwrap().to_owned(),
        )
    };
    versions.iter().map(state).collect()
}

fn is(states: &[(u64, &str)]) -> Vec<(u64, String)> {
    states
        .iter()
        .map(|(number, state)| (*number, (*state).to_owned()))
        .collect()
}

/// Kills the daemon once at every stage that a rotation comes to, until it says this.
fn kill_at_every_stage(machine: &Machine, until: &str) -> Vec<String> {
    let mut killed_at: Vec<String> = Vec::new();
    tend_testkit::wait_until(WHOLE, "the rotation ends", || {
        let told = stages(machine);
        if told.last().is_some_and(|last| last.starts_with(until)) {
            return true;
        }
        let new = told.into_iter().next_back().filter(|last| !killed_at.contains(last));
        if let Some(stage) = new {
            kill(machine.daemon());
            machine.start_daemon();
            killed_at.push(stage);
        }
        false
    });
    killed_at
}

/// Asks again and again until it is told to end, and returns how often.
fn keep_asking(ask: impl Fn(u64) + Send + 'static) -> (Arc<AtomicBool>, std::thread::JoinHandle<u64>) {
    let go_on = Arc::new(AtomicBool::new(true));
    let asks = Arc::clone(&go_on);
    let asking = std::thread::spawn(move || {
        let mut count = 0;
        while asks.load(Ordering::Relaxed) {
            ask(count);
            count += 1;
        }
        count
    });
    (go_on, asking)
}

fn asked(port: u16, path: &str) -> Answer {
    let answer = get(port, path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer
}

/// Replicas that sign with a key and judge what others of them signed.
fn signers(port: u16, rotation: &str, secrets: &str) -> String {
    format!(
        "services:\n  api:\n    command: ../e2e-service\n    port: PORT\n    replicas: 2\n    readiness: {{ http: /ready }}\n    \
         secrets: [{secrets}]\nsecrets:\n  key: {{ external: true, rotation: {rotation} }}\n\
         edge:\n  listen: [127.0.0.1:{port}]\n  routes: [{{ path: /, service: api }}]\n"
    )
}

#[test]
fn what_was_signed_before_and_during_a_rotation_is_accepted_by_every_replica() {
    let machine = Machine::new("rotation-holders");
    let port = free_port();
    let folder = machine.stack("shop", &signers(port, "{ overlap: 3s }", "key"));
    set(&machine, "key", "the-first-signing-key", &["--class", "token-overlap"]);
    machine.tend(&["up", &folder]).ok();
    machine.wait_ready("shop", "api", 2);
    let first = asked(port, "/sign").body;
    let nothing = machine.tend(&["secret", "rotate", "key", "-s", "shop"]);
    assert!(
        nothing.code != 0 && nothing.said().contains("tend secret set key"),
        "{}",
        nothing.said()
    );
    assert_eq!(versions(&machine, "key"), is(&[(1, "current")]));

    // Whatever replica signs, whatever other one judges.
    let (go_on, asking) = keep_asking(move |_| {
        let signed = asked(port, "/sign").body;
        asked(port, &format!("/verify?{signed}"));
    });
    set(&machine, "key", "the-second-signing-key", &[]);
    let mut rotation = rotate(&machine, "key");
    let killed_at = kill_at_every_stage(&machine, "done");
    rotation.wait().unwrap();
    go_on.store(false, Ordering::Relaxed);
    assert!(asking.join().unwrap() > 0);
    assert!(!killed_at.is_empty());
    let told = stages(&machine);
    for stage in [
        "making both versions valid",
        "waiting until nothing made with the old version is shown any more: 3s",
        "bringing the holders to the new version",
    ] {
        assert!(told.iter().any(|one| one == stage), "{stage}: {told:?}");
    }
    assert_eq!(
        stages(&machine).pop().unwrap(),
        "done: nobody holds the old version, and it is retired"
    );
    assert_eq!(versions(&machine, "key"), is(&[(2, "current"), (1, "retired")]));
    machine.wait_ready("shop", "api", 2);
    let second = asked(port, "/sign").body;
    assert_ne!(first, second);
    assert_eq!(get(port, &format!("/verify?{first}")).unwrap().status, 401);
    let pairs: Vec<(Value, Value)> = machine
        .events("secret.rotated")
        .iter()
        .map(|event| (event["data"]["from"].clone(), event["data"]["to"].clone()))
        .collect();
    assert_eq!(pairs, [(1.into(), 2.into())]);
    machine.tend(&["down", "shop"]).ok();
}

#[test]
fn a_rotation_is_taken_back_by_command_and_what_is_in_the_way_of_one_is_said() {
    let machine = Machine::new("rotation-abort");
    let port = free_port();
    let folder = machine.stack("shop", &signers(port, "{ overlap: 9h }", "{ source: key, fd: 7 }"));
    set(&machine, "key", "the-first-signing-key", &["--class", "token-overlap"]);
    set(&machine, "key", "the-second-signing-key", &[]);
    let down = machine.tend(&["secret", "rotate", "key", "-s", "shop"]);
    assert!(
        down.code != 0 && down.said().contains("shop is not up"),
        "{}",
        down.said()
    );
    machine.tend(&["up", &folder]).ok();
    let held = machine.tend(&["secret", "rotate", "key", "-s", "shop"]);
    assert!(
        held.code != 0 && held.said().contains("as an open file"),
        "{}",
        held.said()
    );

    machine.stack(
        "shop",
        &signers(port, "{ overlap: 9h }", "{ source: key, environment: KEY }"),
    );
    machine.tend(&["up", &folder]).ok();
    machine.wait_ready("shop", "api", 2);
    let none = machine.tend(&["secret", "rotate", "key", "-s", "shop", "--abort"]);
    assert!(
        none.code != 0 && none.said().contains("is not being rotated"),
        "{}",
        none.said()
    );
    let first = asked(port, "/sign").body;
    let mut rotation = rotate(&machine, "key");
    let waiting = "waiting until nothing made with the old version is shown any more: 9h";
    wait_until("both keys are known, and the new one is used", || {
        stages(&machine).last().is_some_and(|last| last == waiting)
    });
    assert_eq!(versions(&machine, "key"), is(&[(2, "current"), (1, "overlap")]));
    let list = machine.json(&["secret", "list", "key", "-s", "shop"]);
    assert_eq!(list["items"][0]["rotation"], waiting);
    for version in list["items"][0]["versions"].as_array().unwrap() {
        assert_eq!(version["held_by"].as_array().unwrap().len(), 2, "{list}");
    }
    let status = machine.tend(&["status", "shop"]).said();
    assert!(
        status.contains(&format!("secret key is being rotated: {waiting}")),
        "{status}"
    );
    let second = asked(port, "/sign").body;
    for signed in [&first, &second] {
        asked(port, &format!("/verify?{signed}"));
    }
    // The two versions are the rotation's alone, and there is one rotation of a secret.
    for command in [
        vec!["secret", "generate", "key"],
        vec!["secret", "retire", "key"],
        vec!["secret", "rotate", "key"],
    ] {
        let mut command = command;
        command.extend(["-s", "shop"]);
        let refused = machine.tend(&command);
        assert!(
            refused.code != 0 && refused.said().contains("is being rotated"),
            "{}",
            refused.said()
        );
    }
    // It is not forgotten by another start of everything.
    machine.tend(&["restart", "shop/api"]).ok();
    asked(port, &format!("/verify?{first}"));

    let mut back = machine.command("tend", &["secret", "rotate", "key", "-s", "shop", "--abort"]);
    let mut back = back.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("it goes back", || {
        stages(&machine).last().is_some_and(|last| last == "going back")
    });
    assert!(
        machine
            .events("secret.rotation")
            .iter()
            .all(|event| event["data"]["to"] == 2),
        "of which rotation it is"
    );
    kill(machine.daemon());
    back.wait().unwrap();
    rotation.wait().unwrap();
    machine.start_daemon();
    // Nobody signs with the new key any more, and what was signed with it may still be shown for nine hours: on the way back, too.
    wait_until("the old key is used again", || asked(port, "/sign").body == first);
    for signed in [&first, &second] {
        asked(port, &format!("/verify?{signed}"));
    }
    assert_eq!(versions(&machine, "key"), is(&[(2, "overlap"), (1, "current")]));
    machine.tend(&["down", "shop"]).ok();
}

/// A provider of keys: those that it accepts lie in a folder, and what it was asked stands in a file.
fn provider(machine: &Machine, folder: &str) -> PathBuf {
    let place = machine.folder.join("provider");
    std::fs::create_dir_all(&place).unwrap();
    // The stack's own user asks it.
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!(
        "#!/bin/sh\nat={}/key-$(printf '%s' \"$TEND_SECRET\" | sha256sum | cut -c1-16)\n\
         echo \"$1 $TEND_SECRET\"\ntouch {0}/asked-to-$1\n[ -e {0}/hold-$1 ] && exit 7\ncase $1 in\n\
         register) touch $at;;\nprove) [ -e $at ] || exit 1;;\nrevoke) rm -f $at;;\nesac\n",
        place.display()
    );
    let path = PathBuf::from(folder).join("provider.sh");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn accepted(place: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(place).unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("key-"))
        .count()
}

#[test]
fn a_key_of_a_provider_is_registered_proven_and_revoked_whatever_is_killed() {
    let machine = Machine::new("rotation-issuer");
    let commands =
        "{ register: [./provider.sh, register], prove: [./provider.sh, prove], revoke: [./provider.sh, revoke] }";
    let text = format!(
        "services:\n  api:\n    command: [sleep, \"1000\"]\n    port: none\n    replicas: 2\n    start_period: 100ms\n    \
         secrets: [key]\nsecrets:\n  key: {{ external: true, rotation: {commands} }}\n"
    );
    let folder = machine.stack("shop", &text);
    let place = provider(&machine, &folder);
    let first = "the-first-key-of-the-provider";
    set(&machine, "key", first, &["--class", "token-overlap"]);
    machine.tend(&["up", &folder]).ok();
    set(&machine, "key", "the-second-key-of-the-provider", &[]);
    // The key that is in use has to be one: then a refusal means something.
    let refused = machine.tend(&["secret", "rotate", "key", "-s", "shop"]);
    assert!(
        refused.code != 0 && refused.said().contains("nothing was changed"),
        "{}",
        refused.said()
    );
    let mut register = std::process::Command::new(PathBuf::from(&folder).join("provider.sh"));
    assert!(
        register
            .arg("register")
            .env("TEND_SECRET", first)
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(accepted(&place), 1);

    let mut rotation = rotate(&machine, "key");
    let killed_at = kill_at_every_stage(&machine, "done");
    rotation.wait().unwrap();
    assert!(!killed_at.is_empty());
    assert_eq!(
        stages(&machine).pop().unwrap(),
        "done: nobody holds the old version, and its provider refuses it"
    );
    assert_eq!(versions(&machine, "key"), is(&[(2, "current"), (1, "retired")]));
    assert_eq!(accepted(&place), 1);
    let prove = |value: &str| {
        let mut prove = std::process::Command::new(PathBuf::from(&folder).join("provider.sh"));
        prove
            .arg("prove")
            .env("TEND_SECRET", value)
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .code()
    };
    assert_eq!(
        (prove(first), prove("the-second-key-of-the-provider")),
        (Some(1), Some(0))
    );
    // What its commands said by mistake is in no file.
    let log = std::fs::read_to_string(machine.folder.join("state/deploys/shop/rotation-key.log")).unwrap();
    assert!(log.contains("prove [secret key]"), "{log}");

    // The next one is not registered by its provider, and is taken back.
    let mark = |name: &str| place.join(name);
    let hold = |act: &str| {
        std::fs::write(mark(&format!("hold-{act}")), "").unwrap();
        std::fs::remove_file(mark(&format!("asked-to-{act}"))).unwrap();
    };
    let abort = || machine.tend(&["secret", "rotate", "key", "-s", "shop", "--abort"]);
    hold("register");
    set(&machine, "key", "the-third-key-of-the-provider", &[]);
    let mut rotation = rotate(&machine, "key");
    wait_until("the provider was asked", || mark("asked-to-register").exists());
    abort().ok();
    assert!(!rotation.wait().unwrap().success(), "it did not do what it was for");
    assert_eq!(
        versions(&machine, "key"),
        is(&[(3, "destroyed"), (2, "current"), (1, "retired")])
    );
    let still = prove("the-second-key-of-the-provider");
    assert_eq!((accepted(&place), still), (1, Some(0)));
    std::fs::remove_file(mark("hold-register")).unwrap();

    // The one after that is registered and given, and its provider was told to revoke the old one: there is no way back from there.
    hold("revoke");
    set(&machine, "key", "the-fourth-key-of-the-provider", &[]);
    let mut rotation = rotate(&machine, "key");
    tend_testkit::wait_until(WHOLE, "the provider was asked to revoke", || {
        mark("asked-to-revoke").exists()
    });
    let late = abort();
    assert!(
        late.code != 0 && late.said().contains("cannot be undone any more"),
        "{}",
        late.said()
    );
    std::fs::remove_file(mark("hold-revoke")).unwrap();
    assert!(rotation.wait().unwrap().success());
    assert_eq!(
        versions(&machine, "key")[..3],
        is(&[(4, "current"), (3, "destroyed"), (2, "retired")])
    );
    let new = prove("the-fourth-key-of-the-provider");
    assert_eq!((accepted(&place), new), (1, Some(0)));
    machine.tend(&["down", "shop"]).ok();
}

#[test]
fn data_are_encrypted_anew_before_their_old_key_goes() {
    let machine = Machine::new("rotation-reencrypt");
    let port = free_port();
    let rows = machine.folder.join("rows");
    std::fs::create_dir_all(&rows).unwrap();
    std::fs::set_permissions(&rows, std::fs::Permissions::from_mode(0o777)).unwrap();
    let text = signers(
        port,
        "{ reencrypt: { post: /move, left: /left } }",
        "{ source: key, environment: KEY }",
    )
    .replace(
        "    replicas: 2\n",
        &format!("    replicas: 2\n    environment: {{ E2E_ROWS: {} }}\n", rows.display()),
    );
    let folder = machine.stack(
        "shop",
        &text.replace("rotation: { reencrypt: { post: /move, left: /left } }", "rotation: {}"),
    );
    set(&machine, "key", "the-first-key-of-the-data", &["--class", "re-encrypt"]);
    machine.tend(&["up", &folder]).ok();
    machine.wait_ready("shop", "api", 2);
    set(&machine, "key", "the-second-key-of-the-data", &[]);
    let silent = machine.tend(&["secret", "rotate", "key", "-s", "shop"]);
    assert!(
        silent.code != 0 && silent.said().contains("reencrypt: {left: /PATH}"),
        "{}",
        silent.said()
    );
    machine.stack("shop", &text);
    machine.tend(&["up", &folder]).ok();
    for number in 0..12 {
        asked(port, &format!("/write?{number}"));
    }
    // Whatever is read meanwhile can be read, and what is written meanwhile too.
    let (go_on, asking) = keep_asking(move |count| {
        asked(port, "/read");
        if count % 50 == 0 {
            asked(port, &format!("/write?{}", 1000 + count));
        }
    });
    let mut rotation = rotate(&machine, "key");
    let mut left = Vec::new();
    tend_testkit::wait_until(WHOLE, "it is told how much is left", || {
        let list = machine.json(&["secret", "list", "key", "-s", "shop"]);
        let standing = list["items"][0]["rotation"].as_str().unwrap_or_default().to_owned();
        if standing.contains("are left") {
            left.push(standing);
        }
        !left.is_empty()
    });
    assert!(left[0].starts_with("encrypting with the new version: "), "{left:?}");
    assert_eq!(versions(&machine, "key"), is(&[(2, "current"), (1, "overlap")]));
    kill(machine.daemon());
    rotation.wait().unwrap();
    machine.start_daemon();
    tend_testkit::wait_until(WHOLE, "the next daemon ends it", || {
        stages(&machine).last().is_some_and(|last| last.starts_with("done"))
    });
    go_on.store(false, Ordering::Relaxed);
    assert!(asking.join().unwrap() > 0);
    assert_eq!(asked(port, "/left").body, "0");
    assert_eq!(versions(&machine, "key"), is(&[(2, "current"), (1, "retired")]));
    machine.tend(&["down", "shop"]).ok();
}

#[test]
fn a_rotation_of_a_database_that_somebody_holds_up_is_taken_back() {
    let server = server_with_users();
    let place = server.folder().display().to_string();
    let url = |user: &str, password: &str| format!("postgresql://{user}:{password}@/shop?host={place}");
    let machine = Machine::new("rotation-database");
    let folder = machine.stack(
        "shop",
        "services:\n  api:\n    command: [sleep, \"1000\"]\n    port: none\n    start_period: 100ms\n    \
         secrets: [{ source: database, environment: DATABASE_URL }]\nsecrets:\n  database: { external: true }\n",
    );
    let old = url("shop_a", "the0ldpassw0rd");
    set(&machine, "database", &old, &["--class", "database-two-users"]);
    set(&machine, "database.admin", &url("tend", "adm1nistrat0r"), &[]);
    machine.tend(&["up", &folder]).ok();
    let psql = |address: &str, statement: &str| {
        let mut psql = std::process::Command::new("psql");
        psql.args(["--no-psqlrc", "-d", address, "-c", statement]);
        psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        psql
    };
    // Somebody's forgotten session: while it is there, the old user is not locked.
    let mut forgotten = psql(&old, "SELECT pg_sleep(3600)").spawn().unwrap();
    wait_until("the session is there", || {
        let count = server.sql(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_a'",
        );
        count.trim() == "1"
    });
    let mut rotation = rotate(&machine, "database");
    wait_until("the replica is given the new address", || {
        let list = machine.json(&["secret", "list", "database", "-s", "shop"]);
        let new = &list["items"][0]["versions"][0];
        new["state"] == "current"
            && new["version"] == 2
            && new["held_by"].as_array().is_some_and(|held| held.len() == 1)
    });
    let new = machine
        .tend(&["secret", "get", "database", "--reveal", "-s", "shop"])
        .ok();
    assert!(psql(new.trim(), "SELECT 1").status().unwrap().success());
    machine
        .tend(&["secret", "rotate", "database", "-s", "shop", "--abort"])
        .ok();
    assert!(!rotation.wait().unwrap().success());
    assert_eq!(versions(&machine, "database"), is(&[(2, "destroyed"), (1, "current")]));
    let lets_in = |address: &str| psql(address, "SELECT 1").status().unwrap().success();
    assert!(!lets_in(new.trim()), "the server refuses the new one");
    assert!(lets_in(&old), "and lets the old one in");
    forgotten.kill().unwrap();
    forgotten.wait().unwrap();
    machine.tend(&["down", "shop"]).ok();
}

#[test]
fn a_password_of_mariadb_is_rotated_under_load_and_the_server_refuses_the_old_one() {
    let server = Mariadb::start("b0ss");
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.visits (id int PRIMARY KEY AUTO_INCREMENT); \
         CREATE USER shop_a@localhost IDENTIFIED BY 'the0ldpassw0rd'; GRANT SELECT, INSERT ON shop.* TO shop_a@localhost; \
         CREATE USER tend@localhost IDENTIFIED BY 'adm1nistrat0r'; GRANT CREATE USER, PROCESS ON *.* TO tend@localhost; \
         GRANT SELECT ON mysql.* TO tend@localhost; GRANT ALL ON shop.* TO tend@localhost WITH GRANT OPTION",
    );
    let url = |user: &str, password: &str| {
        let socket = server.socket().display().to_string();
        format!("mysql://{user}:{password}@localhost/shop?socket={socket}")
    };
    let machine = Machine::new("rotation-mariadb");
    let port = free_port();
    let text = signers(port, "{}", "{ source: database, environment: DATABASE_URL }");
    let folder = machine.stack("shop", &text.replace("  key: { external", "  database: { external"));
    let old = url("shop_a", "the0ldpassw0rd");
    set(&machine, "database", &old, &["--class", "database-two-users"]);
    set(&machine, "database.admin", &url("tend", "adm1nistrat0r"), &[]);
    machine.tend(&["up", &folder]).ok();
    machine.wait_ready("shop", "api", 2);
    assert!(asked(port, "/ask").body.starts_with("shop_a@"));
    let (go_on, asking) = keep_asking(move |_| drop(asked(port, "/ask")));
    let rotated = machine.tend(&["secret", "rotate", "database", "-s", "shop"]);
    let said = rotated.said();
    assert_eq!(rotated.code, 0, "{said}");
    let done = "done: nobody holds the old version, and the server refuses it";
    assert!(said.contains(done), "{said}");
    assert_eq!(versions(&machine, "database"), is(&[(2, "current"), (1, "retired")]));
    let login = |user: &str, password: &str| {
        let mut client = std::process::Command::new("mariadb");
        client.args(["--no-defaults", "-u", user, "-D", "shop", "-e", "SELECT 1"]);
        client.arg(format!("--socket={}", server.socket().display()));
        client.env("MYSQL_PWD", password).output().unwrap()
    };
    let refused = login("shop_a", "the0ldpassw0rd");
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && (why.contains("Access denied") || why.contains("locked")),
        "by the server itself: {why}"
    );
    let value = machine
        .tend(&["secret", "get", "database", "--reveal", "-s", "shop"])
        .ok();
    let password = value.trim().split_once("shop_b:").unwrap().1.split_once('@').unwrap().0;
    assert!(login("shop_b", password).status.success(), "and lets the new one in");
    assert!(asked(port, "/ask").body.starts_with("shop_b@"));

    // And back to the first user, with the daemon killed at every stage.
    let mut rotation = rotate(&machine, "database");
    wait_until("it begins", || {
        let last = machine.events("secret.rotation").pop();
        last.is_some_and(|event| event["data"]["to"] == 3)
    });
    let killed_at = kill_at_every_stage(&machine, "done");
    rotation.wait().unwrap();
    assert!(!killed_at.is_empty());
    go_on.store(false, Ordering::Relaxed);
    let answered = asking.join().unwrap();
    // Each request made one row, with whichever password: those, and the two that were asked by hand.
    let rows: u64 = server.sql("SELECT COUNT(*) FROM shop.visits").parse().unwrap();
    assert!(answered > 100, "{answered}");
    assert_eq!(rows, answered + 2);
    assert!(!login("shop_b", password).status.success());
    assert!(asked(port, "/ask").body.starts_with("shop_a@"));
    machine.tend(&["down", "shop"]).ok();
}

#[test]
fn going_back_to_an_earlier_release_never_brings_a_retired_version_back() {
    let machine = Machine::new("rotation-rollback");
    let port = free_port();
    let text = |version: &str, secrets: &str| {
        let version = format!(
            "    replicas: 1\n    environment: {{ E2E_VERSION: \"{version}\" }}\n    \
             deploy: {{ update_config: {{ order: start-first, monitor: 600ms, ready_within: 60s }} }}\n"
        );
        signers(port, "{ overlap: 0s }", secrets)
            .replace("    replicas: 2\n", &version)
            .replace("http: /ready }", "http: /ready, interval: 200ms }")
    };
    let given = "{ source: key, environment: KEY }";
    let deploy = |text: &str| {
        let folder = machine.stack("shop", text);
        machine.tend(&["deploy", &folder]).ok();
    };
    set(&machine, "key", "the-first-signing-key", &["--class", "token-overlap"]);
    let folder = machine.stack("shop", &text("1", given));
    machine.tend(&["up", &folder]).ok();
    // What ran in place is release 1 by that.
    deploy(&text("2", given));
    let first = asked(port, "/sign").body;
    set(&machine, "key", "the-second-signing-key", &[]);
    machine.tend(&["secret", "rotate", "key", "-s", "shop"]).ok();
    let second = asked(port, "/sign").body;

    let check = machine.json(&["rollback", "shop", "--check"]);
    assert_eq!(check["safe"], true, "{check}");
    let note = "secret key stays at version 2; release 1 was made with 1";
    assert!(
        check["notes"].as_array().unwrap().iter().any(|one| one == note),
        "{check}"
    );
    machine.tend(&["rollback", "shop"]).ok();
    assert_eq!(asked(port, "/version").body.trim(), "1");
    assert_eq!(asked(port, "/sign").body, second);
    assert_eq!(get(port, &format!("/verify?{first}")).unwrap().status, 401);
    assert_eq!(versions(&machine, "key"), is(&[(2, "current"), (1, "retired")]));

    // A release for which there is nothing left to be given is not gone back to.
    deploy(&text("3", ""));
    machine.tend(&["secret", "retire", "key", "-s", "shop"]).ok();
    let refused = machine.tend(&["rollback", "shop", "--check"]);
    assert!(
        refused.code != 0 && refused.said().contains("secret `key`"),
        "{}",
        refused.said()
    );
    machine.tend(&["down", "shop"]).ok();
}
