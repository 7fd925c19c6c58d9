//! The state at rest: values of variables and secrets stand in no file of tend, also where an earlier tend had written them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::rig::{Machine, kill, wait_until};

/// Where values come from, each with another: the store, `.env` by interpolation (twice), a file of variables, the stack file.
const PLANTED: [&str; 5] = [
    "pl4nted-in-the-store",
    "pl4nted-in-dot-env",
    "pl4nted-in-a-url",
    "pl4nted-in-an-env-file",
    "pl4nted-in-the-stack-file",
];

const STACK: &str = r#"
services:
  keeper:
    command:
      - sh
      - -c
      - 'printf %s "$$STORED$$API_KEY$$DATABASE_URL$$FILE_TOKEN$$LITERAL_PASSWORD" | sha256sum; echo "said $$LITERAL_PASSWORD"; exec sleep 1000'
    artifact: [.]
    prepare: 'echo built > built.txt; : --key ${API_KEY} --token=${API_KEY}'
    env_file: [vars.env]
    environment:
      API_KEY: ${API_KEY}
      DATABASE_URL: postgres://shop:${DB_SECRET}@127.0.0.1/shop
      LITERAL_PASSWORD: pl4nted-in-the-stack-file
      PLAIN: not a secret
    secrets:
      - {source: stored, environment: STORED}
secrets:
  stored: {external: true}
"#;

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

/// Returns the files of the daemon in which a planted value stands.
fn holders(machine: &Machine) -> Vec<String> {
    let folders = ["state", "run"].map(|folder| machine.folder.join(folder));
    let holds = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        let in_it = |value: &&str| bytes.windows(value.len()).any(|part| part == value.as_bytes());
        PLANTED.iter().any(in_it)
    };
    let all = folders.iter().flat_map(|folder| files(folder));
    let own = all.filter(|path| !path.starts_with(machine.folder.join("state/bin")));
    own.filter(holds).map(|path| path.display().to_string()).collect()
}

#[track_caller]
fn assert_clean(machine: &Machine) {
    assert_eq!(holders(machine), Vec::<String>::new());
    let done = machine.tend(&["logs", "audit", "--json"]);
    assert_eq!(done.code, 0, "{}", done.said());
    let report: serde_json::Value = serde_json::from_str(done.out.lines().last().unwrap()).unwrap();
    // One for each, and the URL's password is one of its own: all are looked for, whichever life of the daemon this is.
    assert_eq!(report["finished"]["values"], PLANTED.len(), "{}", done.out);
}

/// Has the state as a tend before sealing left it: documents in clear, in the format before, and no key.
fn as_of_an_earlier_tend(machine: &Machine) {
    let state = machine.folder.join("state");
    let key = tend_secrets::Store::open(&state.join("secrets"), None)
        .unwrap()
        .state_key()
        .unwrap();
    let connection = rusqlite::Connection::open(state.join("tend.db")).unwrap();
    let rows: Vec<(String, String, String)> = connection
        .prepare("SELECT kind, id, json FROM documents")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (kind, id, stored) in &rows {
        let sealed = stored.strip_prefix("sealed:").expect("every document is sealed");
        let json = key.open_text(&format!("{kind} {id}"), sealed).unwrap();
        // Rewritten as changes do, so that free pages hold it too.
        for filler in ["x".repeat(9000), String::new()] {
            connection
                .execute(
                    "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)",
                    [kind, id, &format!("{json}{}", " ".repeat(filler.len()))],
                )
                .unwrap();
        }
    }
    connection
        .execute_batch("DROP TABLE upkeep; PRAGMA user_version = 1;")
        .unwrap();
    drop(connection);
    std::fs::remove_file(state.join("secrets/state.age")).unwrap();
}

#[test]
fn no_value_of_a_variable_or_secret_is_in_the_state_nor_is_what_an_earlier_tend_left() {
    let machine = Machine::new("state");
    let folder = machine.stack("vault", STACK);
    let write = |name: &str, text: &str| std::fs::write(Path::new(&folder).join(name), text).unwrap();
    write(".env", "API_KEY=pl4nted-in-dot-env\nDB_SECRET=pl4nted-in-a-url\n");
    write("vars.env", "FILE_TOKEN=pl4nted-in-an-env-file\n");
    // An artifact is a copy of the folder: what is not code stays out of it.
    write(".tendignore", ".env\nvars.env\nstack.yml\n");
    let mut set = machine
        .command("tend", &["secret", "set", "stored", "-s", "vault"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    set.stdin.take().unwrap().write_all(PLANTED[0].as_bytes()).unwrap();
    assert!(set.wait().unwrap().success());

    machine.tend(&["up", &folder]).ok();
    let said = || machine.tend(&["logs", "vault/keeper"]).ok();
    wait_until("the keeper said what it was given", || said().contains("said"));
    // All of it reached the process, though past the disk.
    let url = "postgres://shop:pl4nted-in-a-url@127.0.0.1/shop";
    let all = [PLANTED[0], PLANTED[1], url, PLANTED[3], PLANTED[4]].concat();
    let digest = digest(&all);
    assert!(said().contains(&digest), "{}", said());
    assert!(said().contains("said [secret LITERAL_PASSWORD]"), "{}", said());
    assert_clean(&machine);

    // A release keeps the definition it was made with.
    machine.tend(&["deploy", &folder]).ok();
    machine.wait_ready("vault", "keeper", 1);
    assert_clean(&machine);
    assert_eq!(
        machine.json(&["releases", "vault"])["releases"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    // Another life of the daemon reads it all again.
    let before = machine.pids("vault", "keeper");
    kill(machine.daemon());
    machine.start_daemon();
    machine.wait_ready("vault", "keeper", 1);
    assert_eq!(machine.pids("vault", "keeper"), before);
    assert_clean(&machine);

    // What an earlier tend left is sealed at the next start, also when that is killed in the middle.
    let daemon = machine.daemon();
    machine.tend(&["shutdown"]).ok();
    wait_until("the daemon is gone", || !crate::rig::is_alive(daemon));
    as_of_an_earlier_tend(&machine);
    let database = machine.folder.join("state/tend.db").display().to_string();
    assert!(holders(&machine).iter().any(|file| file.starts_with(&database)));
    let state_key = machine.folder.join("state/secrets/state.age");
    let mut killed = machine
        .command("tend", &["daemon"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the key of the state is there", || state_key.exists());
    let _ = killed.kill();
    killed.wait().unwrap();
    machine.start_daemon();
    assert_clean(&machine);
    assert_eq!(machine.pids("vault", "keeper"), before);
    let sealed = machine.events("state.sealed");
    assert!(
        sealed.iter().all(|event| event["data"]["clean"] == true) && sealed.len() <= 2,
        "{sealed:?}"
    );
    machine.tend(&["rollback", "vault"]).ok();
    assert_clean(&machine);
    machine.tend(&["events", "verify"]).ok();
    machine.tend(&["down", "vault"]).ok();
}

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
