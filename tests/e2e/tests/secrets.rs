//! Secrets from the terminal to a replica and back out of use: how they reach it, and that they are nowhere else.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tend_testkit::Postgres;

use crate::rig::{Machine, free_port, get, kill, wait_until};

const PLANTED: &str = "pl4nted-0f-the-first-version";
const NEXT: &str = "pl4nted-0f-the-second-version";

/// Types a command, with a value at its standard input.
#[track_caller]
fn typed(machine: &Machine, arguments: &[&str], value: &str) -> String {
    let mut command = machine.command("tend", arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// Says the digest of what it was given in each of the three ways, the value itself by mistake, who it is and whose its file is, and stays.
const STACK: &str = r#"
services:
  keeper:
    command:
      - sh
      - -c
      - |
        printf '%s' "$$DB_PASSWORD" | sha256sum
        sha256sum < "$$TEND_SECRETS/password.txt"
        sha256sum <&5
        stat -c 'file %a %u' "$$TEND_SECRETS/password.txt"
        echo "by mistake: $$DB_PASSWORD"
        echo "user $$(id -u)"
        exec sleep 1000
    replicas: 2
    start_period: 100ms
    secrets:
      - {source: db_password, target: password.txt}
      - {source: db_password, environment: DB_PASSWORD}
      - {source: db_password, fd: 5}
secrets:
  db_password: {external: true}
"#;

fn digest(value: &str) -> String {
    let mut child = std::process::Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    String::from_utf8(out).unwrap().split(' ').next().unwrap().to_owned()
}

/// Returns every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// Asserts that a value stands in no file of the machine and in no command line, be it as it is or in base64.
#[track_caller]
fn nowhere(machine: &Machine, value: &str) {
    // At each offset, what is in the middle of its base64 whatever stands beside it.
    let encoded = |skip: usize| {
        let mut child = std::process::Command::new("base64")
            .arg("-w0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&value.as_bytes()[skip..])
            .unwrap();
        let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        text[..text.len() - 6].to_owned()
    };
    let forms = [value.to_owned(), encoded(0), encoded(1), encoded(2)];
    let holds = |bytes: &[u8]| {
        forms
            .iter()
            .any(|form| bytes.windows(form.len()).any(|part| part == form.as_bytes()))
    };
    let (state, run) = (machine.folder.join("state"), machine.folder.join("run"));
    let all: Vec<PathBuf> = files(&state).into_iter().chain(files(&run)).collect();
    assert!(
        all.iter()
            .any(|path| path.extension().is_some_and(|ending| ending == "age")),
        "the store itself is among them"
    );
    for path in all {
        // The programs of the daemon are large and are nobody's state.
        if !path.starts_with(state.join("bin")) {
            assert!(!holds(&std::fs::read(&path).unwrap_or_default()), "{}", path.display());
        }
    }
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!holds(&line), "{}", entry.path().display());
    }
}

#[test]
fn a_secret_reaches_its_replicas_in_three_ways_and_is_nowhere_else() {
    let machine = Machine::new("secrets");
    let folder = machine.stack("vault", STACK);

    // Without it nothing is started, and what is missing is named.
    let refused = machine
        .in_its_environment(machine.command("tend", &["up", &folder]))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("db_password"), "{said}");
    assert!(said.contains("tend secret set db_password"), "{said}");

    let said = typed(
        &machine,
        &["secret", "set", "db_password", "-s", "vault"],
        &format!("{PLANTED}\n"),
    );
    assert!(said.contains("version 1 is current"), "{said}");
    machine.tend(&["up", &folder]).ok();
    let lines = || machine.tend(&["logs", "vault/keeper", "-n", "50"]).ok();
    let count = |text: &str| lines().matches(text).count();
    wait_until("both replicas said what they were given", || count("user ") == 2);
    let said = lines();
    assert_eq!(said.matches(&digest(PLANTED)).count(), 6, "{said}");
    // What it prints by mistake reaches no disk: `nowhere` looks at the logs too.
    assert_eq!(said.matches("by mistake: [secret db_password]").count(), 2, "{said}");
    for slot in 1..=2 {
        let own: Vec<&str> = said
            .lines()
            .filter(|line| line.contains(&format!("keeper/{slot}")))
            .collect();
        let user = own.iter().find_map(|line| line.split("user ").nth(1)).unwrap();
        assert!(
            own.iter()
                .any(|line| line.ends_with(&format!("file 400 {}", user.trim()))),
            "{own:?}"
        );
    }
    nowhere(&machine, PLANTED);

    // A new value waits; when it is rotated to, every replica holds it and the old one is given to nobody.
    let said = typed(&machine, &["secret", "set", "db_password", "-s", "vault"], NEXT);
    assert!(said.contains("version 2 is staged"), "{said}");
    let holders = |version: usize| {
        let list = machine.json(&["secret", "list", "-s", "vault"]);
        let versions = list["items"][0]["versions"].as_array().unwrap().clone();
        let of = versions.iter().find(|one| one["version"] == version).unwrap().clone();
        (
            of["state"].as_str().unwrap().to_owned(),
            of["held_by"].as_array().unwrap().len(),
        )
    };
    assert_eq!(holders(1), ("current".to_owned(), 2));
    let denied = machine.tend(&["secret", "retire", "db_password", "-s", "vault"]);
    assert!(
        denied.code != 0 && denied.said().contains("in use by vault/keeper/1"),
        "{}",
        denied.said()
    );
    machine.tend(&["secret", "rotate", "db_password", "-s", "vault"]).ok();
    assert_eq!(holders(2), ("current".to_owned(), 2));
    assert_eq!(holders(1), ("retired".to_owned(), 0));
    wait_until("both replicas said it again", || count(&digest(NEXT)) == 6);
    nowhere(&machine, NEXT);
    nowhere(&machine, PLANTED);
    // The files of the lives before are gone.
    wait_until("the files of two lives are left", || {
        files(&machine.memory()).len() == 2
    });

    // It is shown to its owner, and that is written down.
    let shown = machine
        .tend(&["secret", "get", "db_password", "--reveal", "-s", "vault"])
        .ok();
    assert_eq!(shown.trim(), NEXT);
    assert_eq!(machine.events("secret.revealed").len(), 1);
    let rotated = machine.events("secret.rotated");
    assert_eq!(
        (&rotated[0]["data"]["from"], &rotated[0]["data"]["to"]),
        (&1.into(), &2.into())
    );
    let run = machine.tend(&[
        "run",
        "vault/keeper",
        "--",
        "sh",
        "-c",
        "printf %s \"$DB_PASSWORD\" | sha256sum",
    ]);
    assert!(run.ok().contains(&digest(NEXT)));

    machine.tend(&["down", "vault"]).ok();
    wait_until("no file of a secret is left", || files(&machine.memory()).is_empty());
    nowhere(&machine, NEXT);
}

#[test]
fn a_daemon_killed_in_the_middle_of_a_rotation_finishes_it() {
    let machine = Machine::new("secrets-killed");
    let folder = machine.stack("vault", STACK);
    typed(&machine, &["secret", "set", "db_password", "-s", "vault"], PLANTED);
    typed(&machine, &["up", &folder], "");
    typed(&machine, &["secret", "set", "db_password", "-s", "vault"], NEXT);
    let mut rotation = machine
        .command("tend", &["secret", "rotate", "db_password", "-s", "vault"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let store = machine.folder.join("state/secrets/stacks/vault.age");
    let before = std::fs::read(&store).unwrap();
    wait_until("the store has the new version as current", || {
        std::fs::read(&store).unwrap() != before
    });
    kill(machine.daemon());
    rotation.wait().unwrap();
    // Its socket takes connections until its last thread is gone, which may be writing to the disk.
    let socket = machine.folder.join("run/tend.sock");
    wait_until("the daemon is gone", || UnixStream::connect(&socket).is_err());
    // The next one, started by the next command, goes on with it.
    typed(&machine, &["up", &folder], "");
    let list = machine.json(&["secret", "list", "-s", "vault"]);
    let versions = &list["items"][0]["versions"];
    assert_eq!(
        (&versions[0]["state"], &versions[1]["state"]),
        (&"current".into(), &"retired".into())
    );
    assert_eq!(versions[0]["held_by"].as_array().unwrap().len(), 2, "{list}");
    machine.tend(&["down", "vault"]).ok();
}

#[test]
fn secrets_belong_to_who_stored_them() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be two users; as another user there is one who may do everything here.
        return;
    }
    let machine = Machine::new("secrets-owner");
    typed(&machine, &["secret", "set", "db_password", "-s", "vault"], PLANTED);
    // Another user reaches the daemon's socket as everybody does, and sees nothing of it.
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid", "61000", "--regid", "61000", "--clear-groups"])
        .arg(machine.folder.join("tend"));
    let arguments = ["secret", "get", "db_password", "--reveal", "-s", "vault"];
    let output = machine.in_its_environment(command).args(arguments).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!output.status.success() && said.contains("belong to user 0"), "{said}");
    assert!(!said.contains(PLANTED));
}

/// Two users of a database who take turns, and one who may change them.
const USERS: &str = "
CREATE ROLE shop_owner NOLOGIN;
CREATE DATABASE shop OWNER shop_owner;
CREATE ROLE shop_a LOGIN PASSWORD 'the0ldpassw0rd' IN ROLE shop_owner;
ALTER ROLE shop_a SET role = shop_owner;
CREATE ROLE tend LOGIN CREATEROLE PASSWORD 'adm1nistrat0r';
";

/// A server with these users.
pub(crate) fn server_with_users() -> Postgres {
    let server = Postgres::start("boss", Some("b0ss"), &[]);
    for statement in USERS.split_inclusive(';').filter(|text| !text.trim().is_empty()) {
        server.sql("postgres", statement);
    }
    server
}

#[test]
fn a_password_of_a_database_is_rotated_under_load_and_the_server_refuses_the_old_one() {
    let server = server_with_users();
    let place = server.folder().display().to_string();
    let url = |user: &str, password: &str| format!("postgresql://{user}:{password}@/shop?host={place}");
    let machine = Machine::new("secrets-database");
    let port = free_port();
    let api = machine.folder.join("mps-api").display().to_string();
    let folder = machine.stack(
        "shop",
        &format!(
            "services:\n  api:\n    command: [{api}]\n    port: PORT\n    replicas: 2\n    environment: {{ MPS_SEED: demo, DRAIN_SECONDS: \"1\" }}\n    \
             readiness: {{ http: /ready }}\n    secrets: [{{ source: database, environment: DATABASE_URL }}]\n\
             secrets:\n  database: {{ external: true }}\nedge:\n  listen: [127.0.0.1:{port}]\n  routes: [{{ path: /, service: api }}]\n"
        ),
    );
    let set = |name: &str, value: &str, more: &[&str]| {
        let mut arguments = vec!["secret", "set", name, "-s", "shop"];
        arguments.extend(more);
        typed(&machine, &arguments, value)
    };
    let class = ["--class", "database-two-users"];
    set("database", &url("shop_a", "the0ldpassw0rd"), &class);
    let mut migrate = machine.command("mps-api", &["migrate"]);
    let migrated = migrate.env("DATABASE_URL", url("shop_a", "the0ldpassw0rd")).status();
    assert!(migrated.unwrap().success());
    machine.tend(&["up", &folder]).ok();
    machine.wait_ready("shop", "api", 2);
    // Nobody may change users yet.
    let refused = machine.tend(&["secret", "rotate", "database", "-s", "shop"]);
    assert!(
        refused.code != 0 && refused.said().contains("tend secret set database.admin"),
        "{}",
        refused.said()
    );
    set("database.admin", &url("tend", "adm1nistrat0r"), &[]);

    let go_on = Arc::new(AtomicBool::new(true));
    let asks = Arc::clone(&go_on);
    let asking = std::thread::spawn(move || {
        let mut answered = 0;
        while asks.load(Ordering::Relaxed) {
            let answer = get(port, "/api/cards/test-card-id").unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            answered += 1;
        }
        answered
    });
    let pids = machine.pids("shop", "api");
    let rotated = machine.tend(&["secret", "rotate", "database", "-s", "shop"]);
    let said = rotated.said();
    assert_eq!(rotated.code, 0, "{said}");
    assert!(
        said.contains("done: nobody holds the old version, and the server refuses it"),
        "{said}"
    );
    go_on.store(false, Ordering::Relaxed);
    assert!(
        asking.join().unwrap() > 100,
        "it was asked all the while, and each was answered"
    );
    assert!(
        machine.pids("shop", "api").iter().all(|pid| !pids.contains(pid)),
        "new replicas have it"
    );

    let login = |user: &str, password: &str| {
        let mut psql = std::process::Command::new("psql");
        psql.args(["--no-psqlrc", "-U", user, "-d", "shop", "-h", &place, "-c", "SELECT 1"]);
        psql.env("PGPASSWORD", password).output().unwrap().status.success()
    };
    assert!(!login("shop_a", "the0ldpassw0rd"), "the server refuses the old one");
    let value = machine
        .tend(&["secret", "get", "database", "-s", "shop", "--reveal"])
        .ok();
    let password = value
        .trim()
        .split_once("shop_b:")
        .unwrap()
        .1
        .split_once('@')
        .unwrap()
        .0
        .to_owned();
    assert!(login("shop_b", &password), "and lets the new one in");
    nowhere(&machine, &password);

    // And back to the first user, with the daemon killed in the middle.
    let mut rotating = machine.command("tend", &["secret", "rotate", "database", "-s", "shop"]);
    let mut rotating = rotating.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let stages = || machine.events("secret.rotation").len();
    let before = stages();
    wait_until("it is under way", || stages() >= before + 2);
    kill(machine.daemon());
    rotating.wait().unwrap();
    machine.start_daemon();
    wait_until("the next daemon ends it", || {
        let last = machine.events("secret.rotation").pop();
        last.is_some_and(|event| event["data"]["to"] == 3 && event["data"]["message"].to_string().contains("done"))
    });
    assert!(!login("shop_b", &password));
    assert_eq!(get(port, "/api/cards/test-card-id").unwrap().status, 200);
}
