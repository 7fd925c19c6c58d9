//! Servers that are away, refuse, or say nothing.

use std::net::TcpListener;
use std::time::Duration;

use tend_collect::{CollectError, Collector};
use tend_testkit::Mariadb;

use crate::exporter::Exposition;
use crate::{mysql, postgres, redis};

/// Asks until the server is up again, or not: one that was just killed may still answer a round.
async fn told(collector: &mut dyn Collector) -> String {
    collector.collect().await.unwrap()
}

fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[tokio::test]
async fn servers_that_are_away_are_told_by_up() {
    let mut server = tend_testkit::Postgres::start("boss", None, &[]);
    let mut ours = postgres::collector(server.url("postgres"));
    assert!(told(&mut ours).await.contains("\npg_up 1\n"));
    server.stop();
    assert_eq!(samples(&told(&mut ours).await), ["pg_up 0"]);
    assert!(
        ours.trouble().unwrap().contains("was not reached"),
        "{:?}",
        ours.trouble()
    );
    server.start_again();
    // The connection of before is dead; the round makes another.
    assert!(told(&mut ours).await.contains("\npg_up 1\n"));
    server.stop();
    server.start_again();
    assert!(told(&mut ours).await.contains("\npg_up 1\n"), "{:?}", ours.trouble());

    let mut server = Mariadb::start("x");
    let mut ours = mysql::collector(server.url("boss", "x"));
    assert!(told(&mut ours).await.contains("\nmysql_up 1\n"));
    server.stop();
    assert_eq!(samples(&told(&mut ours).await), ["mysql_up 0"]);
    server.start_again();
    assert!(told(&mut ours).await.contains("\nmysql_up 1\n"));

    let mut server = tend_testkit::Redis::start(None);
    let mut ours = redis::collector(format!("unix://{}", server.socket().display()));
    assert!(told(&mut ours).await.contains("\nredis_up 1\n"));
    server.stop();
    let text = told(&mut ours).await;
    assert_eq!(Exposition::parse(&text).value("redis_up"), Some(0.0));
    assert_eq!(samples(&text).len(), 2, "{text}");
    server.start_again();
    assert!(told(&mut ours).await.contains("\nredis_up 1\n"));
    assert_eq!(ours.trouble(), None);
}

#[tokio::test]
async fn no_password_is_shown() {
    let database = tend_testkit::Postgres::start("boss", Some("right"), &[]);
    let mut ours = postgres::collector(database.url("postgres").replace("right", "hunter2"));
    let mut shown = told(&mut ours).await;
    assert_eq!(samples(&shown), ["pg_up 0"]);
    shown += &ours.trouble().unwrap();
    assert!(shown.contains("refused the user `boss`"), "{shown}");

    let database = Mariadb::start("right");
    let mut ours = mysql::collector(database.url("boss", "hunter2"));
    shown += &told(&mut ours).await;
    shown += &ours.trouble().unwrap();
    assert!(shown.contains("Access denied"), "{shown}");

    let database = tend_testkit::Redis::start(Some("right"));
    let mut ours = redis::collector(format!("unix://:hunter2@{}", database.socket().display()));
    shown += &told(&mut ours).await;
    shown += &ours.trouble().unwrap();
    assert!(shown.contains("refused AUTH"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("right"), "{shown}");
}

#[tokio::test]
async fn a_redis_that_says_nothing_is_away() {
    // It accepts, by its backlog, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    let mut ours = redis::collector(format!("redis://{place}")).within(Duration::from_millis(200));
    let text = told(&mut ours).await;
    assert_eq!(Exposition::parse(&text).value("redis_up"), Some(0.0));
    assert!(
        ours.trouble().unwrap().contains("took longer than"),
        "{:?}",
        ours.trouble()
    );
}

#[test]
fn what_went_wrong_says_what_to_do() {
    let error = CollectError::RedisAddress { why: "it is empty" };
    assert!(error.hint().contains("redis://USER:PASSWORD@HOST:PORT") && !error.is_transient());
    let error = CollectError::Silent {
        what: "asking".to_owned(),
        within: Duration::from_secs(2),
    };
    assert_eq!(error.to_string(), "asking took longer than 2s");
    assert!(error.is_transient() && !error.hint().is_empty());
}
