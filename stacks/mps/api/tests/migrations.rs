//! Migrations, as a deploy runs them: forwards only, again without effect, and nothing half done whatever happens.

use std::process::Stdio;

use serde_json::Value as Json;

use crate::fixture::{Folder, PostgresServer, Replica, program, run, wait_for};

/// Runs `mps-api migrate` and returns its exit code and all it said.
fn migrate(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let arguments = [&["migrate"], arguments].concat();
    let output = run(&folder.0, &arguments, environment);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// Runs a claim on SQLite and on PostgreSQL; it is given the environment that names the database.
fn on_each_database(claim: impl Fn(&Folder, &[(&str, &str)])) {
    claim(&Folder::new(), &[]);
    let mut server = PostgresServer::start();
    let url = server.new_database();
    claim(&Folder::new(), &[("DATABASE_URL", &url)]);
}

#[test]
fn migrating_goes_forwards_only_and_again_without_effect() {
    on_each_database(|folder, database| {
        let (code, said) = migrate(folder, &["--to", "2"], database);
        assert_eq!(
            (code, said.as_str()),
            (
                Some(0),
                "applied 0001_members\napplied 0002_codes\nthe database is at 0002_codes\n"
            )
        );
        let (code, said) = migrate(folder, &["--to", "0001"], database);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("is at migration 2; going back to 1 is not possible"),
            "{said}"
        );
        let (code, said) = migrate(folder, &[], database);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with("applied 0003_ledger\n"), "{said}");
        let (code, said) = migrate(folder, &[], database);
        assert_eq!(
            (code, said.as_str()),
            (Some(0), "the database is at 0004_keys_and_audit\n")
        );
    });
}

#[test]
fn a_release_is_not_ready_until_its_database_is_migrated() {
    let folder = Folder::new();
    let release = [("TEND_RELEASE", "7")];
    let replica = Replica::start(&folder.0, 0, &release);
    let why = || {
        let ready = replica.get("/ready");
        (
            ready.status,
            ready.json()["error"]["message"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let (status, message) = why();
    assert_eq!(status, 503);
    assert!(
        message.contains("without any migration") && message.contains("mps-api migrate"),
        "{message}"
    );
    assert_eq!(replica.get("/health").status, 200, "a restart would not cure it");

    assert_eq!(migrate(&folder, &["--to", "3"], &release).0, Some(0));
    let (status, message) = why();
    assert_eq!(status, 503);
    assert!(message.contains("at migration 0003_ledger"), "{message}");

    let seeded = [("TEND_RELEASE", "7"), ("MPS_SEED", "demo")];
    assert_eq!(migrate(&folder, &[], &seeded).0, Some(0));
    assert_eq!(why().0, 200);
    assert_eq!(replica.get("/api/cards/card-1000").status, 200);
}

#[test]
fn a_release_runs_on_what_a_newer_one_added_and_not_on_what_it_took_away() {
    let folder = Folder::new();
    assert_eq!(migrate(&folder, &[], &[]).0, Some(0));
    let books = rusqlite::Connection::open(folder.0.join("mps.sqlite")).expect("the file opens");
    let add = |number: u32, class: &str| {
        books
            .execute(
                "INSERT INTO app_schema_migrations VALUES (?1, ?2, ?3, 'x', 0)",
                (number, format!("{number:04}_newer"), class),
            )
            .expect("the table is there");
    };
    let ready = || Replica::start(&folder.0, 0, &[("TEND_RELEASE", "7")]).get("/ready");
    add(5, "expand");
    assert_eq!(ready().status, 200);
    let (code, said) = migrate(&folder, &[], &[]);
    assert_eq!((code, said.as_str()), (Some(0), "the database is at 0005_newer\n"));
    add(6, "contract");
    let ready = ready();
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("0006_newer, which takes away"), "{}", ready.body);
}

#[test]
fn a_migration_whose_text_was_changed_is_refused() {
    let folder = Folder::new();
    assert_eq!(migrate(&folder, &["--to", "2"], &[]).0, Some(0));
    rusqlite::Connection::open(folder.0.join("mps.sqlite"))
        .and_then(|books| books.execute("UPDATE app_schema_migrations SET checksum = 'x' WHERE number = 1", []))
        .expect("the table is there");
    let (code, said) = migrate(&folder, &[], &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("0001_members is not the one that was applied"), "{said}");
}

#[test]
fn a_migration_that_fails_half_way_leaves_nothing_behind() {
    on_each_database(|folder, database| {
        assert_eq!(migrate(folder, &["--to", "3"], database).0, Some(0));
        let broken = [database, &[("MPS_BREAK", "migrate-fail")]].concat();
        // Were its table left behind, making it again would be what fails the second time.
        for _ in 0..2 {
            let (code, said) = migrate(folder, &[], &broken);
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("no_such_table") && said.contains("next: "), "{said}");
            assert!(!said.contains("already exists"), "{said}");
        }
        let (code, said) = migrate(folder, &[], database);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with("applied 0004_keys_and_audit\n"), "{said}");
    });
}

#[test]
fn a_migration_killed_in_the_middle_is_run_again() {
    let mut server = PostgresServer::start();
    let url = server.new_database();
    let folder = Folder::new();
    let database = [("DATABASE_URL", url.as_str())];
    assert_eq!(migrate(&folder, &["--to", "2"], &database).0, Some(0));
    let connect = || postgres::Client::connect(&url, postgres::NoTls).expect("the server accepts");
    let (mut holder, mut looker) = (connect(), connect());
    // The third migration refers to this table, so it waits in its middle as long as somebody writes to the table.
    let mut writing = holder.transaction().expect("a transaction begins");
    writing
        .batch_execute("LOCK TABLE app.merchants IN ROW EXCLUSIVE MODE")
        .expect("the table is there");
    let mut migrating = program(&folder.0, &["migrate"], &database)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program runs");
    wait_for("the migration to wait in its middle", || {
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'mps-api' AND wait_event_type = 'Lock'";
        looker.query_opt(waiting, &[]).expect("the server answers")
    });
    migrating.kill().and_then(|()| migrating.wait()).expect("own child");
    writing.rollback().expect("the server answers");
    let (code, said) = migrate(&folder, &[], &database);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("the database is at 0004_keys_and_audit\n"), "{said}");
}

#[test]
fn a_migration_that_hangs_keeps_nobody_from_paying() {
    let folder = Folder::new();
    let replica = Replica::start(&folder.0, 0, &[]);
    let mut hanging = program(&folder.0, &["migrate"], &[("MPS_BREAK", "migrate-hang")])
        .spawn()
        .expect("the program runs");
    // It has come to where it waits when it sleeps as what it is.
    wait_for("the migration to hang", || {
        let read = |name| std::fs::read_to_string(format!("/proc/{}/{name}", hanging.id())).unwrap_or_default();
        (read("cmdline").contains("migrate") && read("stat").contains(") S ")).then_some(())
    });
    let body = r#"{"card_id":"test-card-id","amount":5}"#;
    let recharged = replica.request("POST", "/api/payment/recharge", &[("idempotency-key", "a")], body);
    let ended = hanging.try_wait().expect("own child");
    hanging.kill().and_then(|()| hanging.wait()).expect("own child");
    assert_eq!((recharged.status, ended), (200, None));
    let check: Json = replica.get("/api/ledger/check").json();
    assert_eq!(check["balanced"], true);
}
