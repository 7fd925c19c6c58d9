//! A table of PostgreSQL as a source: announced and polled, away and back.

use serde_json::json;
use tend_database::{Event, Query, Settings, Source, install, uninstall};

use crate::servers::{PASSWORD, Postgres, value_of, wait_for, wait_for_away, wait_for_back, wait_for_value};

fn settings(server: &Postgres) -> Settings {
    Settings::new(server.url("boss", PASSWORD, "postgres"))
}

fn set(server: &Postgres, key: &str, value: &str) {
    server.sql(
        "postgres",
        &format!("INSERT INTO system_config (key, value, updated_by) VALUES ('{key}', '{value}', 'ana') ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now()"),
    );
}

#[tokio::test]
async fn a_table_is_told_as_it_is_and_each_change_of_it_is_announced() {
    let server = Postgres::start();
    let mut settings = settings(&server);
    // Nothing but an announcement makes it read within the test's time.
    settings.poll = std::time::Duration::from_secs(3600);
    install(&settings).await.unwrap();
    install(&settings).await.unwrap();
    let mut source = Source::start(settings.clone());
    wait_for(&mut source, "no rows", |event| match event {
        Event::Rows { rows, .. } => (rows.rows.is_empty() && rows.faults.is_empty()).then_some(()),
        _ => None,
    })
    .await;

    set(&server, "qr.ttl", "900");
    let rows = wait_for_value(&mut source, "qr.ttl", Some(json!(900))).await;
    let row = &rows.rows[0];
    assert_eq!((&*row.from, row.updated_by.as_deref()), ("system_config", Some("ana")));
    let now = tend_base::Clock::now(&tend_base::SystemClock).wall;
    assert!(now.0.abs_diff(row.updated_at.unwrap().0) < 3_600_000);
    assert_eq!(row.created_at, row.updated_at);

    set(&server, "qr.ttl", r#"{"default": 600, "max": null}"#);
    wait_for_value(&mut source, "qr.ttl", Some(json!({"default": 600, "max": null}))).await;
    server.sql("postgres", "UPDATE system_config SET is_active = false");
    wait_for_value(&mut source, "qr.ttl", None).await;
    server.sql("postgres", "UPDATE system_config SET is_active = true; TRUNCATE system_config; INSERT INTO system_config VALUES ('a', '1')");
    wait_for_value(&mut source, "a", Some(json!(1))).await;

    // One that is not told anything any more says so before the trigger goes.
    uninstall(&settings).await.unwrap();
    uninstall(&settings).await.unwrap();
    assert_eq!(
        server
            .sql(
                "postgres",
                "SELECT count(*) FROM pg_proc WHERE proname = 'tend_config_changed'"
            )
            .trim(),
        "0"
    );
    set(&server, "b", "2");
    let mut polled = Settings::new(settings.address.clone());
    polled.poll = std::time::Duration::from_millis(50);
    let mut source = Source::start(polled);
    wait_for_value(&mut source, "b", Some(json!(2))).await;
    set(&server, "b", "3");
    wait_for_value(&mut source, "b", Some(json!(3))).await;
}

#[tokio::test]
async fn many_changes_are_told_as_whole_states() {
    let server = Postgres::start();
    let settings = settings(&server);
    install(&settings).await.unwrap();
    set(&server, "left", "0");
    set(&server, "right", "0");
    let mut source = Source::start(settings);
    wait_for_value(&mut source, "left", Some(json!(0))).await;
    // Each transaction changes two rows, by two statements.
    let script: String = (1..=1000)
        .map(|number| {
            format!("BEGIN; UPDATE system_config SET value = '{number}' WHERE key = 'left'; UPDATE system_config SET value = '{number}' WHERE key = 'right'; COMMIT;\n")
        })
        .collect();
    let mut writer = server.script("postgres", &script);
    let mut told = 0;
    wait_for(&mut source, "the last change", |event| {
        let Event::Rows { rows, .. } = event else {
            panic!("{event:?} while the server is there")
        };
        told += 1;
        let (left, right) = (value_of(rows, "left"), value_of(rows, "right"));
        assert_eq!(left, right, "half of a transaction was told");
        (left == Some(json!(1000))).then_some(())
    })
    .await;
    assert!(writer.wait().unwrap().success());
    assert!(told < 1000, "{told} events for 1000 changes");
}

#[tokio::test]
async fn a_server_that_is_killed_keeps_what_was_told_last_and_is_read_when_it_is_back() {
    let mut server = Postgres::start();
    let settings = settings(&server);
    let mut source = Source::start(settings.clone());
    let why = wait_for_away(&mut source, "has no table `system_config`").await;
    assert!(why.contains("tend config table install"), "{why}");
    install(&settings).await.unwrap();
    wait_for_back(&mut source).await;
    set(&server, "a", "1");
    wait_for_value(&mut source, "a", Some(json!(1))).await;

    server.kill();
    wait_for_away(&mut source, "PostgreSQL at ").await;
    server.start_again();
    // It may have been read before this, or after: both are right, and the change is told either way.
    set(&server, "a", "2");
    wait_for_value(&mut source, "a", Some(json!(2))).await;
    set(&server, "a", "3");
    wait_for_value(&mut source, "a", Some(json!(3))).await;

    // The password is changed, and whoever is in is put out.
    server.sql(
        "postgres",
        "CREATE ROLE reader LOGIN PASSWORD 'first'; GRANT SELECT ON system_config TO reader",
    );
    let mut source = Source::start(Settings::new(server.url("reader", "first", "postgres")));
    wait_for_value(&mut source, "a", Some(json!(3))).await;
    server.sql("postgres", "ALTER ROLE reader PASSWORD 'other'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'");
    let why = wait_for_away(&mut source, "refused the user `reader`").await;
    assert!(!why.contains("first"), "{why}");
    server.sql("postgres", "ALTER ROLE reader PASSWORD 'first'");
    wait_for_back(&mut source).await;

    // The table is dropped: that is no empty table. And it comes back without a trigger, and with fewer columns.
    server.sql("postgres", "DROP TABLE system_config");
    wait_for_away(&mut source, "has no table `system_config`").await;
    server.sql("postgres", "CREATE TABLE system_config (key varchar(50), value text); GRANT SELECT ON system_config TO reader; INSERT INTO system_config VALUES ('a', '4'), ('bad', 'yes please')");
    let rows = wait_for_value(&mut source, "a", Some(json!(4))).await;
    assert_eq!(
        rows.faults[0].to_string(),
        "system_config, key `bad`: its value is not JSON (line 1, column 1); a text needs double quotes, as in \"on\""
    );
    server.sql("postgres", "UPDATE system_config SET value = '5' WHERE key = 'a'");
    wait_for_value(&mut source, "a", Some(json!(5))).await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_noticed() {
    let server = Postgres::start();
    let settings = settings(&server);
    install(&settings).await.unwrap();
    set(&server, "a", "1");
    let mut source = Source::start(settings);
    wait_for_value(&mut source, "a", Some(json!(1))).await;
    let pid = server.sql(
        "postgres",
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'tend'",
    );
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    wait_for_away(&mut source, "did not answer within").await;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    wait_for_back(&mut source).await;
}

#[tokio::test]
async fn rows_of_other_tables_are_values_by_a_query() {
    let server = Postgres::start();
    let mut settings = settings(&server);
    settings.table = None;
    settings.poll = std::time::Duration::from_secs(3600);
    settings.queries = vec![Query {
        name: "limits".to_owned(),
        sql: "SELECT 'limits.' || name, amount FROM limits WHERE active -- those in force".to_owned(),
        text_is_json: false,
        tables: vec!["limits".to_owned()],
    }];
    server.sql(
        "postgres",
        "CREATE TABLE limits (name text, amount numeric, active boolean); INSERT INTO limits VALUES ('daily', 10.5, true), ('old', 1, false)",
    );
    install(&settings).await.unwrap();
    let mut source = Source::start(settings.clone());
    let rows = wait_for_value(&mut source, "limits.daily", Some(json!(10.5))).await;
    assert_eq!((rows.rows.len(), &*rows.rows[0].from), (1, "limits"));
    server.sql("postgres", "UPDATE limits SET amount = 20 WHERE name = 'daily'");
    wait_for_value(&mut source, "limits.daily", Some(json!(20))).await;

    for sql in [
        "SELECT 1 FROM nowhere",
        "SELECT 'a', 1) x; DROP TABLE limits; SELECT ('a'",
    ] {
        settings.queries[0].sql = sql.to_owned();
        let mut source = Source::start(settings.clone());
        wait_for_away(&mut source, "could not read the configuration").await;
    }
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM limits").trim(), "2");
}
