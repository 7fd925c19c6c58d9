//! A table of MariaDB as a source: polled, away and back.

use std::time::Duration;

use serde_json::json;
use tend_database::{Query, Settings, Source, install};

use crate::servers::{Mariadb, PASSWORD, wait_for_away, wait_for_back, wait_for_value};

#[tokio::test]
async fn a_table_is_told_as_it_is_over_kills_and_refusals() {
    let mut server = Mariadb::start();
    server.sql("CREATE DATABASE shop");
    let mut settings = Settings::new(server.url("boss", PASSWORD, "shop"));
    settings.poll = Duration::from_millis(50);
    settings.queries = vec![Query {
        name: "limits".to_owned(),
        sql: "SELECT name, amount FROM limits WHERE active".to_owned(),
        text_is_json: false,
        tables: Vec::new(),
    }];
    let mut source = Source::start(settings.clone());
    wait_for_away(&mut source, "has no table `system_config`").await;
    server.sql("CREATE TABLE shop.limits (name text, amount decimal(10,2), active bool); INSERT INTO shop.limits VALUES ('limit', 10.5, true)");
    install(&settings).await.unwrap();
    install(&settings).await.unwrap();
    wait_for_back(&mut source).await;
    server.sql(r#"INSERT INTO shop.system_config (`key`, value, updated_by) VALUES ('qr.ttl', '{"default": 600}', 'ana'), ('off', '1', NULL); UPDATE shop.system_config SET is_active = 0 WHERE `key` = 'off'"#);
    let rows = wait_for_value(&mut source, "qr.ttl", Some(json!({"default": 600}))).await;
    assert_eq!(
        rows.rows.iter().map(|row| row.key.as_str()).collect::<Vec<_>>()[0],
        "qr.ttl"
    );
    let rows = wait_for_settled(&mut source, &server).await;
    assert_eq!(rows.rows[0].updated_by.as_deref(), Some("ana"));
    let now = tend_base::Clock::now(&tend_base::SystemClock).wall;
    assert!(now.0.abs_diff(rows.rows[0].updated_at.unwrap().0) < 3_600_000);
    assert_eq!((&*rows.rows[1].from, &rows.rows[1].value), ("limits", &json!(10.5)));

    server.kill();
    wait_for_away(&mut source, "MySQL at ").await;
    server.start_again();
    wait_for_back(&mut source).await;
    server.sql("UPDATE shop.system_config SET value = '7' WHERE `key` = 'qr.ttl'");
    wait_for_value(&mut source, "qr.ttl", Some(json!(7))).await;

    server.sql("CREATE USER reader@localhost IDENTIFIED BY 'first'; GRANT SELECT ON shop.* TO reader@localhost");
    settings.address = server.url("reader", "first", "shop");
    let mut source = Source::start(settings);
    wait_for_value(&mut source, "qr.ttl", Some(json!(7))).await;
    server.sql("ALTER USER reader@localhost IDENTIFIED BY 'other'; KILL USER reader");
    let why = wait_for_away(&mut source, "refused the user `reader`").await;
    assert!(!why.contains("first"), "{why}");
    server.sql("ALTER USER reader@localhost IDENTIFIED BY 'first'");
    wait_for_back(&mut source).await;
}

/// Waits for what is told after one more change, by which all before it is told too.
async fn wait_for_settled(source: &mut Source, server: &Mariadb) -> tend_database::Rows {
    server.sql("INSERT INTO shop.system_config (`key`, value) VALUES ('zz', '1')");
    wait_for_value(source, "zz", Some(json!(1))).await;
    server.sql("DELETE FROM shop.system_config WHERE `key` = 'zz'");
    wait_for_value(source, "zz", None).await
}
