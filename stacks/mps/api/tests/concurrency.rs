//! Several replicas on one database at once: what must happen once happens once.

use std::sync::Arc;

use mps_api::ledger::{Command, Key, Pay, Query, Recharge, RotateQr, Write};
use mps_api::worker::Database;
use mps_api::{DatabaseUrl, Metrics};
use serde_json::Value as Json;

use crate::fixture::{Folder, PostgresServer, config};

/// Requests at once; more than either database's connections.
const AT_ONCE: usize = 40;

fn start(url: &DatabaseUrl) -> Arc<Database> {
    let config = mps_api::Config {
        seed_demo: true,
        ..config(url.clone())
    };
    Arc::new(Database::start(&config, &Metrics::default().into()).expect("the database starts"))
}

async fn code(database: &Database) -> String {
    let command = Command::RotateQr(RotateQr {
        card_id: "test-card-id".into(),
        ttl_seconds: Some(900),
    });
    let outcome = database
        .write(Write { command, key: None }, database.count_in_flight())
        .await
        .expect("the database works");
    let body: Json = serde_json::from_str(&outcome.body).expect("answers are JSON");
    body["qr_plain"].as_str().expect("a code").to_owned()
}

fn pay(qr: &str, key: String) -> Write {
    let command = Command::Pay(Pay {
        merchant_id: "merchant-01".into(),
        qr_plain: qr.to_owned(),
        amount: 100,
        amount_max: None,
    });
    Write {
        command,
        key: Some(Key {
            text: key,
            request_hash: "request".into(),
        }),
    }
}

/// Sends the writes at once, in turn through each replica, and returns the statuses and bodies.
async fn at_once(replicas: &[Arc<Database>], writes: Vec<Write>) -> Vec<(u16, String)> {
    let sent: Vec<_> = writes
        .into_iter()
        .enumerate()
        .map(|(number, write)| {
            let database = Arc::clone(&replicas[number % replicas.len()]);
            tokio::spawn(async move { database.write(write, database.count_in_flight()).await })
        })
        .collect();
    let mut answers = Vec::new();
    for one in sent {
        let outcome = one
            .await
            .expect("no panic")
            .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&*error)));
        answers.push((outcome.status, outcome.body));
    }
    answers
}

fn what_must_happen_once_happens_once(url: &DatabaseUrl) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        // Started at once, as after a power cut: schema and demo data are written by one of them.
        let starting: Vec<_> = (0..3)
            .map(|_| {
                std::thread::spawn({
                    let url = url.clone();
                    move || start(&url)
                })
            })
            .collect();
        let replicas: Vec<_> = starting
            .into_iter()
            .map(|thread| thread.join().expect("it starts"))
            .collect();

        // One code, many keys: one payment.
        let qr = code(&replicas[0]).await;
        let answers = at_once(
            &replicas,
            (0..AT_ONCE).map(|number| pay(&qr, format!("a-{number}"))).collect(),
        )
        .await;
        assert_eq!(
            answers.iter().filter(|(status, _)| *status == 200).count(),
            1,
            "{answers:?}"
        );
        assert!(
            answers
                .iter()
                .all(|(status, body)| *status == 200 || body.contains("qr_used")),
            "{answers:?}"
        );

        // One key, the same request many times: one payment, one answer.
        let qr = code(&replicas[1]).await;
        let answers = at_once(&replicas, (0..AT_ONCE).map(|_| pay(&qr, "b".into())).collect()).await;
        assert_eq!(answers[0].0, 200);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");

        // Many recharges of one card: none is lost.
        let recharge = |number| Write {
            command: Command::Recharge(Recharge {
                card_id: "test-card-id".into(),
                amount: 7,
            }),
            key: Some(Key {
                text: format!("c-{number}"),
                request_hash: "request".into(),
            }),
        };
        let before = balance(&replicas[0]).await;
        let answers = at_once(&replicas, (0..AT_ONCE).map(recharge).collect()).await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        assert_eq!(balance(&replicas[2]).await, before + 7 * AT_ONCE as i64);

        let report = replicas[0].check().await.expect("the check runs");
        assert!(report.balanced, "{report:?}");
        assert_eq!(report.payments, 2);
    });
}

async fn balance(database: &Database) -> i64 {
    let outcome = database
        .read(Query::Card("test-card-id".into()))
        .await
        .expect("the database works");
    let body: Json = serde_json::from_str(&outcome.body).expect("answers are JSON");
    body["balance"].as_i64().expect("a balance")
}

#[test]
fn replicas_share_one_sqlite_file() {
    let folder = Folder::new();
    what_must_happen_once_happens_once(&DatabaseUrl::Sqlite(folder.0.join("mps.sqlite")));
}

#[test]
fn replicas_share_one_postgres_database() {
    let mut server = PostgresServer::start();
    what_must_happen_once_happens_once(&DatabaseUrl::Postgres(server.new_database()));
}
