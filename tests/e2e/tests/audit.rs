//! Whether secrets stand in what tend stored: `tend logs audit` says so and where, and there are none where there should be none.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::rig::{Done, Machine, wait_until};

/// Stored as a secret, and rotated away from: retired.
const RETIRED: &str = "pl4nted \"retired\" value";
/// Stored as a secret.
const CURRENT: &str = "pl4nted-current-value";

/// Runs a program with something at its standard input, and returns what it printed.
fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// Stores a secret with `tend secret set`.
#[track_caller]
fn store(machine: &Machine, name: &str, value: &str) {
    let mut command = machine.command("tend", &["secret", "set", name, "-s", "vault"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Returns the findings of an audit and its report.
#[track_caller]
fn audited(machine: &Machine, arguments: &[&str]) -> (i32, Vec<Value>, Value) {
    let mut all = vec!["logs", "audit", "--json"];
    all.extend(arguments);
    let Done { code, out, err } = machine.tend(&all);
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line} {err}")))
        .collect();
    let findings = lines.iter().filter_map(|line| line.get("finding")).cloned().collect();
    let report = lines.last().unwrap_or_else(|| panic!("{err}"))["finished"].clone();
    (code, findings, report)
}

/// Prints its secret by mistake, and stays.
const STACK: &str = r#"
services:
  keeper:
    command: [sh, -c, 'echo "by mistake: $$DB_PASSWORD"; echo said; exec sleep 1000']
    secrets:
      - {source: db_password, environment: DB_PASSWORD}
secrets:
  db_password: {external: true}
"#;

fn write(path: PathBuf, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn an_audit_names_place_secret_and_form_of_what_was_planted_and_never_the_value() {
    let machine = Machine::new("audit");
    let folder = machine.stack("vault", STACK);
    store(&machine, "db_password", RETIRED);
    store(&machine, "pin", "1234");
    machine.tend(&["up", &folder]).ok();
    store(&machine, "db_password", CURRENT);
    machine.tend(&["secret", "rotate", "db_password", "-s", "vault"]).ok();
    wait_until("the keeper said what it said", || {
        machine.tend(&["logs", "vault/keeper"]).ok().matches("said").count() == 2
    });

    // What tend itself wrote is clean.
    let (code, findings, report) = audited(&machine, &[]);
    assert_eq!((code, &report["clean"]), (0, &true.into()), "{findings:?} {report}");
    assert_eq!(report["looks_like"], 0, "{findings:#?}");
    assert_eq!(report["values"], 2, "{report}");
    assert!(report["forms"].as_u64().unwrap() > 10, "{report}");
    assert!(report["rows"].as_u64().unwrap() > 10, "{report}");
    assert_eq!(report["too_short"], serde_json::json!(["vault/pin@1"]));
    let said = machine.tend(&["logs", "audit"]).ok();
    assert!(said.contains("no known secret stands in any of it"), "{said}");
    wait_until("both audits are in the journal", || {
        machine.events("logs.audited").len() == 2
    });

    // Planted as other programs would have written it, one place each.
    let state = machine.folder.join("state");
    let logs = state.join("logs/vault/keeper/1");
    let line = |text: &str| format!("first\nsecond {text} \n").into_bytes();
    let base64 = piped("base64", &["-w0"], format!("x{CURRENT}yz").as_bytes());
    write(logs.join("stdout.log.7"), &line(&String::from_utf8(base64).unwrap()));
    write(logs.join("stderr.log.7.gz"), &piped("gzip", &["-c"], &line(CURRENT)));
    write(
        state.join("edge/access.log.9"),
        &line(&format!("{{\"q\":{}}}", serde_json::to_string(RETIRED).unwrap())),
    );
    write(
        machine.folder.join("run/r/old/spec"),
        &line("pl4nted%20%22retired%22%20value"),
    );
    write(
        state.join("deploys/vault/migrate.log"),
        &line("card 4111 1111 1111 1111"),
    );
    let database = rusqlite::Connection::open(state.join("tend.db")).unwrap();
    database
        .execute(
            "INSERT INTO documents VALUES ('planted', 'here', ?)",
            [format!("{{\"password\":\"{CURRENT}\"}}")],
        )
        .unwrap();
    let (code, findings, report) = audited(&machine, &[]);
    assert_eq!((code, &report["clean"]), (13, &false.into()), "{report}");
    let found = |file: &str, what: &str, form: &str| {
        findings.iter().any(|finding| {
            let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
            text("file").ends_with(file) && text("what") == what && text("form") == form
        })
    };
    for (file, what, form) in [
        ("keeper/1/stdout.log.7", "vault/db_password@2", "base64 at 1"),
        ("keeper/1/stderr.log.7.gz", "vault/db_password@2", "plain"),
        ("edge/access.log.9", "vault/db_password@1", "json"),
        ("run/r/old/spec", "vault/db_password@1", "url"),
        ("state/tend.db", "vault/db_password@2", "plain"),
        ("deploys/vault/migrate.log", "card number", ""),
    ] {
        assert!(found(file, what, form), "{file} {what} {form}: {findings:#?}");
    }
    let in_lines = findings.iter().filter(|finding| finding["line"] == 2).count();
    assert_eq!(in_lines, 5, "{findings:#?}");
    assert!(
        findings.iter().any(|finding| finding["row"] == "planted here"),
        "{findings:#?}"
    );
    let said = machine.tend(&["logs", "audit"]);
    assert_eq!(said.code, 13);
    assert!(
        said.out.contains("stdout.log.7:2: vault/db_password@2 (base64 at 1)"),
        "{}",
        said.out
    );
    for value in [RETIRED, CURRENT] {
        assert!(!said.said().contains(value) && !format!("{findings:?}{report}").contains(value));
    }

    // What looks like a secret alone is told, and counts when asked to; a row that was removed is found in its page.
    for planted in [
        "logs/vault/keeper/1/stdout.log.7",
        "logs/vault/keeper/1/stderr.log.7.gz",
        "edge/access.log.9",
    ] {
        std::fs::remove_file(state.join(planted)).unwrap();
    }
    std::fs::remove_dir_all(machine.folder.join("run/r/old")).unwrap();
    database
        .execute("DELETE FROM documents WHERE kind = 'planted'", [])
        .unwrap();
    let (code, findings, _) = audited(&machine, &["-s", "vault"]);
    assert_eq!(code, 13, "{findings:#?}");
    let known: Vec<&Value> = findings.iter().filter(|finding| finding["class"] == "known").collect();
    let in_pages =
        |finding: &&Value| finding["file"].as_str().unwrap().contains("/state/tend.db") && finding.get("row").is_none();
    assert!(!known.is_empty() && known.iter().all(in_pages), "{known:#?}");
    database
        .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
        .unwrap();
    let (code, findings, report) = audited(&machine, &[]);
    assert_eq!((code, &report["looks_like"]), (0, &1.into()), "{findings:#?}");
    assert_eq!(audited(&machine, &["--strict"]).0, 13);
    machine.tend(&["down", "vault"]).ok();
}

#[test]
fn only_who_owns_the_secrets_and_root_may_ask() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be two users; as another user there is one who may do everything here.
        return;
    }
    let machine = Machine::new("audit-owner");
    store(&machine, "db_password", CURRENT);
    plant(&machine.folder.join("state/logs/vault/keeper/1/stdout.log"));
    let as_another = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "61000", "--regid", "61000", "--clear-groups"])
            .arg(machine.folder.join("tend"));
        machine.in_its_environment(command).args(arguments).output().unwrap()
    };
    let denied = as_another(&["logs", "audit", "-s", "vault"]);
    let said = String::from_utf8_lossy(&denied.stderr).into_owned();
    assert_eq!(denied.status.code(), Some(7), "{said}");
    assert!(said.contains("belong to user 0"), "{said}");
    // Without a stack it is about one's own, of which there are none.
    let none = as_another(&["logs", "audit", "--json"]);
    let said = String::from_utf8_lossy(&none.stdout).into_owned();
    let report: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&report["finished"]["values"], &report["finished"]["files"]),
        (&0.into(), &0.into()),
        "{said}"
    );
    assert_eq!(audited(&machine, &[]).0, 13);
}

fn plant(path: &Path) {
    write(path.to_owned(), format!("{CURRENT}\n").as_bytes());
}
