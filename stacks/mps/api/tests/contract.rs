//! The ledger's rules, as claims that hold on every database it runs on.

use mps_api::db::Statements;
use mps_api::db::postgres::{Begin, Postgres};
use mps_api::db::sqlite::Sqlite;
use mps_api::ledger::{self, CheckReport, Command, Context, Key, Outcome, Page, Query, StatementOf, Write};
use mps_api::ledger::{CreateCard, CreateMember, CreateMerchant, Pay, Recharge, Refund, RotateQr};
use mps_api::worker::Database;
use mps_api::{DatabaseUrl, Error, Metrics};
use serde_json::Value as Json;

use crate::fixture::{Folder, PostgresServer, config};

/// Any moment will do; a code lives 900 s from it.
const NOW: i64 = 1_795_265_665_000;

/// A database with the schema and nothing else, reached a transaction at a time.
struct Books {
    connection: Connection,
    now_ms: i64,
    keys: u32,
}

enum Connection {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Books {
    fn new(connection: Connection) -> Books {
        Books {
            connection,
            now_ms: NOW,
            keys: 0,
        }
    }

    fn transaction<T>(&mut self, work: impl FnOnce(&mut dyn Statements) -> Result<T, Error>) -> T {
        let done = match &mut self.connection {
            Connection::Sqlite(db) => db.control("BEGIN IMMEDIATE").and_then(|()| work(db)).and_then(|value| {
                db.control("COMMIT")?;
                Ok(value)
            }),
            Connection::Postgres(db) => db.transaction(Begin::Write, |db| work(db)),
        };
        done.unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)))
    }

    fn apply(&mut self, command: Command, key: Option<Key>) -> Outcome {
        let context = Context {
            now_ms: self.now_ms,
            replica: "test/api/1",
        };
        self.transaction(|db| ledger::apply(db, &Write { command, key }, context))
    }

    /// Carries out a command that must succeed and returns its answer.
    fn done(&mut self, command: Command) -> Json {
        let outcome = self.with_new_key(command);
        assert!(outcome.status < 300, "{}", outcome.body);
        json(&outcome)
    }

    /// Carries out a command that must be refused, sees that nothing moved, and returns the error code.
    fn refused(&mut self, command: Command) -> String {
        let before = self.check();
        let outcome = self.with_new_key(command);
        assert!(outcome.status >= 400, "{}", outcome.body);
        assert_eq!(self.check(), before, "a refusal moves nothing");
        json(&outcome)["error"]["code"]
            .as_str()
            .expect("a refusal has a code")
            .to_owned()
    }

    fn with_new_key(&mut self, command: Command) -> Outcome {
        self.keys += 1;
        let key = command
            .moves_money()
            .then(|| key(&format!("key-{}", self.keys), "request"));
        self.apply(command, key)
    }

    fn read(&mut self, query: &Query) -> Json {
        let outcome = self.transaction(|db| ledger::answer(db, query));
        assert_eq!(outcome.status, 200, "{}", outcome.body);
        json(&outcome)
    }

    fn check(&mut self) -> CheckReport {
        self.transaction(|db| ledger::check(db))
    }

    /// Changes the books behind the rules' back; references are not held to.
    fn tamper(&mut self, sql: &'static str) {
        match &mut self.connection {
            Connection::Sqlite(db) => db.control("PRAGMA foreign_keys = OFF").expect("outside a transaction"),
            Connection::Postgres(_) => {
                self.transaction(|db| db.execute("SET session_replication_role = replica", &[]).map(drop))
            }
        }
        let changed = self.transaction(|db| db.execute(sql, &[]));
        assert!(changed > 0, "{sql} changed nothing");
    }

    /// A member `anna` with the card `anna-1`, which holds `balance`, and the merchant `shop`.
    fn open_shop(&mut self, balance: i64) {
        self.done(Command::CreateMember(CreateMember {
            member_id: Some("anna".into()),
            name: "Anna".into(),
        }));
        self.done(Command::CreateCard(CreateCard {
            card_id: Some("anna-1".into()),
            member_id: "anna".into(),
        }));
        self.done(Command::CreateMerchant(CreateMerchant {
            merchant_id: Some("shop".into()),
            name: "Shop".into(),
        }));
        self.done(recharge(balance));
    }

    fn code(&mut self) -> String {
        text(&self.done(rotate(900)), "qr_plain")
    }

    fn pays(&mut self, amount: i64) -> Json {
        let qr = self.code();
        self.done(pay(&qr, amount))
    }

    fn card(&mut self) -> Json {
        self.read(&Query::Card("anna-1".into()))
    }
}

fn json(outcome: &Outcome) -> Json {
    serde_json::from_str(&outcome.body).expect("answers are JSON")
}

fn text(json: &Json, field: &str) -> String {
    json[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {json}"))
        .to_owned()
}

fn key(text: &str, request: &str) -> Key {
    Key {
        text: text.to_owned(),
        request_hash: request.to_owned(),
    }
}

fn rotate(ttl_seconds: i64) -> Command {
    Command::RotateQr(RotateQr {
        card_id: "anna-1".into(),
        ttl_seconds: Some(ttl_seconds),
    })
}

fn pay(qr: &str, amount: i64) -> Command {
    Command::Pay(Pay {
        merchant_id: "shop".into(),
        qr_plain: qr.to_owned(),
        amount,
        amount_max: None,
    })
}

fn refund(payment: &Json, amount: Option<i64>) -> Command {
    Command::Refund(Refund {
        transaction_id: text(payment, "transaction_id"),
        amount,
    })
}

fn recharge(amount: i64) -> Command {
    Command::Recharge(Recharge {
        card_id: "anna-1".into(),
        amount,
    })
}

/// Something that holds of any books.
type Claim = fn(&mut Books);

/// Every claim; each gets books of its own.
const CLAIMS: &[(&str, Claim)] = &[
    (
        "books balance after every kind of command",
        books_balance_after_every_kind_of_command,
    ),
    ("each level pays its share", each_level_pays_its_share),
    ("a code pays once", a_code_pays_once),
    (
        "a code ends by time and by rotation",
        a_code_ends_by_time_and_by_rotation,
    ),
    ("a refusal moves nothing", a_refusal_moves_nothing),
    (
        "refunds never go beyond the payment",
        refunds_never_go_beyond_the_payment,
    ),
    ("a key replays its first outcome", a_key_replays_its_first_outcome),
    (
        "a statement's pages leave nothing out",
        a_statements_pages_leave_nothing_out,
    ),
    (
        "payments since a moment are told whatever became of them",
        payments_since_a_moment_are_told_whatever_became_of_them,
    ),
    ("every command is audited", every_command_is_audited),
    (
        "the code is not stored in the clear",
        the_code_is_not_stored_in_the_clear,
    ),
    ("seeding twice changes nothing", seeding_twice_changes_nothing),
];

fn books_balance_after_every_kind_of_command(books: &mut Books) {
    books.open_shop(10_000);
    let payment = books.pays(2_000);
    books.done(refund(&payment, Some(500)));
    let report = books.check();
    assert!(report.balanced, "{report:?}");
    assert_eq!(
        (
            report.transactions,
            report.payments,
            report.refunds,
            report.recharges,
            report.entries
        ),
        (3, 1, 1, 1, 6)
    );
    assert_eq!(
        (report.paid, report.refunded, report.recharged, report.card_balances),
        (2_000, 500, 10_000, 8_500)
    );
    assert_eq!(books.read(&Query::Merchant("shop".into()))["balance"], 1_500);
}

fn each_level_pays_its_share(books: &mut Books) {
    books.open_shop(10_000_000);
    // Points before, price, what is paid: a point a hundred paid, levels from 0, 1000, 5000 and 10 000 points.
    for (points, amount, paid, permille) in [
        (0, 99_900, 99_900, 1000),
        (999, 100, 100, 1000),
        (1000, 420_999, 399_949, 950),
        (4999, 106, 101, 950),
        (5000, 555_500, 499_950, 900),
        (9999, 112, 101, 900),
        (10_000, 1_001, 851, 850),
    ] {
        assert_eq!(books.card()["points"], points);
        let payment = books.pays(amount);
        assert_eq!(
            (payment["paid"].as_i64(), payment["discount_permille"].as_i64()),
            (Some(paid), Some(permille)),
            "{payment}"
        );
    }
    assert!(books.check().balanced);
}

fn a_code_pays_once(books: &mut Books) {
    books.open_shop(10_000);
    let qr = books.code();
    books.done(pay(&qr, 100));
    assert_eq!(books.refused(pay(&qr, 100)), "qr_used");
    assert_eq!(books.card()["balance"], 9_900);
}

fn a_code_ends_by_time_and_by_rotation(books: &mut Books) {
    books.open_shop(10_000);
    let first = books.code();
    let second = books.code();
    assert_eq!(
        books.refused(pay(&first, 100)),
        "qr_unknown",
        "a card has one live code"
    );
    books.now_ms = NOW + 899_999;
    books.done(pay(&second, 100));
    let third = books.code();
    books.now_ms += 900_000;
    assert_eq!(books.refused(pay(&third, 100)), "qr_expired");
    assert_eq!(books.refused(pay(&third, 100)), "qr_expired");
    let ends = books.transaction(|db| {
        db.query(
            "SELECT ended_by, qr_id FROM app.card_qr_history ORDER BY issued_at, ended_by",
            &[],
        )
    });
    let mut ends: Vec<_> = ends.iter().map(|row| row.text(0).to_owned()).collect();
    ends.sort();
    assert_eq!(ends, ["expired", "replaced", "used"]);
}

fn a_refusal_moves_nothing(books: &mut Books) {
    books.open_shop(1_000);
    let payment = books.pays(100);
    let recharged = text(&books.done(recharge(1)), "transaction_id");
    let qr = books.code();
    let elsewhere = Command::Pay(Pay {
        merchant_id: "nowhere".into(),
        qr_plain: qr.clone(),
        amount: 1,
        amount_max: None,
    });
    let of_recharge = Command::Refund(Refund {
        transaction_id: recharged,
        amount: None,
    });
    let of_nothing = Command::Refund(Refund {
        transaction_id: "tx_0".into(),
        amount: None,
    });
    let card_of = |member: &str| {
        Command::CreateCard(CreateCard {
            card_id: Some("anna-1".into()),
            member_id: member.into(),
        })
    };
    for (command, code) in [
        (pay(&qr, 902), "insufficient_balance"),
        (pay(&qr, 0), "invalid_request"),
        (pay(&qr, i64::MAX), "invalid_request"),
        (pay("mps1made-up", 100), "qr_unknown"),
        (elsewhere, "merchant_not_found"),
        (refund(&payment, Some(101)), "refund_too_large"),
        (refund(&payment, Some(0)), "invalid_request"),
        (of_recharge, "not_a_payment"),
        (of_nothing, "transaction_not_found"),
        (recharge(-1), "invalid_request"),
        (
            Command::Recharge(Recharge {
                card_id: "nobody".into(),
                amount: 1,
            }),
            "card_not_found",
        ),
        (
            Command::RotateQr(RotateQr {
                card_id: "nobody".into(),
                ttl_seconds: Some(900),
            }),
            "card_not_found",
        ),
        (rotate(0), "invalid_request"),
        (rotate(86_401), "invalid_request"),
        (card_of("anna"), "already_exists"),
        (card_of("nobody"), "member_not_found"),
        (
            Command::CreateMerchant(CreateMerchant {
                merchant_id: Some("a b".into()),
                name: "A".into(),
            }),
            "invalid_request",
        ),
        (
            Command::CreateMember(CreateMember {
                member_id: None,
                name: " ".into(),
            }),
            "invalid_request",
        ),
    ] {
        assert_eq!(books.refused(command.clone()), code, "{command:?}");
    }
    books.done(pay(&qr, 901)); // the code was not used up by any of them
}

fn refunds_never_go_beyond_the_payment(books: &mut Books) {
    books.open_shop(100_000);
    let payment = books.pays(1_050);
    assert_eq!(books.card()["points"], 10);
    let part = books.done(refund(&payment, Some(150)));
    assert_eq!(
        (
            part["left"].as_i64(),
            part["points_taken"].as_i64(),
            part["payment_status"].as_str()
        ),
        (Some(900), Some(1), Some("partially_refunded"))
    );
    let rest = books.done(refund(&payment, None));
    assert_eq!(
        (rest["amount"].as_i64(), rest["payment_status"].as_str()),
        (Some(900), Some("refunded"))
    );
    assert_eq!(books.refused(refund(&payment, None)), "refund_too_large");
    assert_eq!(books.refused(refund(&payment, Some(1))), "refund_too_large");
    assert_eq!(
        (books.card()["points"].as_i64(), books.card()["balance"].as_i64()),
        (Some(0), Some(100_000))
    );
    assert!(books.check().balanced);
}

fn a_key_replays_its_first_outcome(books: &mut Books) {
    books.open_shop(1_000);
    let qr = books.code();
    let first = books.apply(pay(&qr, 100), Some(key("k1", "request")));
    let again = books.apply(pay(&qr, 100), Some(key("k1", "request")));
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    let other = books.apply(pay(&qr, 200), Some(key("k1", "another request")));
    assert_eq!(
        (other.status, json(&other)["error"]["code"].as_str()),
        (422, Some("idempotency_key_reused"))
    );
    // A refusal is an outcome too: what was refused once does not succeed later under the same key.
    let refused = books.apply(recharge(0), Some(key("k2", "request")));
    let again = books.apply(recharge(0), Some(key("k2", "request")));
    assert_eq!((refused.status, again.status, again.replayed), (400, 400, true));
    assert_eq!(books.card()["balance"], 900);
    assert_eq!(books.check().payments, 1);
}

fn a_statements_pages_leave_nothing_out(books: &mut Books) {
    books.open_shop(100_000);
    let mut made = Vec::new();
    for number in 0..7 {
        books.now_ms = NOW + number / 3; // some share a millisecond
        made.push(text(&books.pays(100 + number), "transaction_id"));
    }
    made.sort();
    for of in [
        StatementOf::Card("anna-1".into()),
        StatementOf::Member("anna".into()),
        StatementOf::Merchant("shop".into()),
    ] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = books.read(&Query::Statement(of.clone(), Page { after, limit: 3 }));
            let lines = page["transactions"].as_array().expect("a page has lines");
            assert!(lines.len() <= 3);
            seen.extend(
                lines
                    .iter()
                    .filter(|line| line["kind"] == "payment")
                    .map(|line| text(line, "transaction_id")),
            );
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
        assert_eq!(seen, made, "{of:?}");
    }
    let one = books.read(&Query::Transaction(made[0].clone()));
    assert_eq!(one["entries"][0]["account"], "card:anna-1");
    assert_eq!(one["entries"][1]["account"], "merchant:shop");
}

fn payments_since_a_moment_are_told_whatever_became_of_them(books: &mut Books) {
    books.open_shop(100_000);
    let mut made = Vec::new();
    for (number, given_back) in [None, Some(10), None, Some(102)].into_iter().enumerate() {
        books.now_ms = NOW + number as i64;
        let payment = books.pays(100 + number as i64);
        if number == 1 || number == 3 {
            books.done(refund(&payment, given_back));
        }
        made.push(text(&payment, "transaction_id"));
    }
    let since = |books: &mut Books, ms| {
        let lines = books.read(&Query::PaymentsSince(ms));
        let lines = lines.as_array().expect("a list").clone();
        lines
            .iter()
            .map(|line| text(line, "transaction_id"))
            .collect::<Vec<_>>()
    };
    assert_eq!(since(books, NOW), made, "no refund and no recharge is among them");
    assert_eq!(since(books, NOW + 2), made[2..]);
    assert_eq!(since(books, NOW + 4), Vec::<String>::new());
}

fn every_command_is_audited(books: &mut Books) {
    books.open_shop(1_000);
    let payment = books.pays(100);
    books.done(refund(&payment, None));
    books.refused(recharge(0));
    let rows = books.transaction(|db| {
        db.query(
            "SELECT action, outcome FROM audit.event_log ORDER BY happened_at, event_id",
            &[],
        )
    });
    let mut rows: Vec<_> = rows
        .iter()
        .map(|row| format!("{} {}", row.text(0), row.text(1)))
        .collect();
    rows.sort();
    assert_eq!(
        rows,
        [
            "CARD_CREATE completed",
            "MEMBER_CREATE completed",
            "MERCHANT_CREATE completed",
            "PAYMENT completed",
            "QR_ROTATE completed",
            "RECHARGE completed",
            "RECHARGE invalid_request",
            "REFUND completed",
        ]
    );
}

fn the_code_is_not_stored_in_the_clear(books: &mut Books) {
    books.open_shop(1_000);
    let qr = books.code();
    let stored = books.transaction(|db| {
        db.query(
            "SELECT qr_hash FROM app.card_qr_state UNION ALL SELECT qr_hash FROM app.card_qr_history \
             UNION ALL SELECT response FROM app.idempotency_keys",
            &[],
        )
    });
    assert!(stored.len() >= 3);
    for row in &stored {
        assert!(!row.text(0).contains(qr.trim_start_matches("mps1")));
    }
}

fn seeding_twice_changes_nothing(books: &mut Books) {
    let context = Context {
        now_ms: NOW,
        replica: "test/api/1",
    };
    books.transaction(|db| ledger::seed_demo(db, context));
    let once = books.check();
    assert!(once.balanced, "{once:?}");
    assert_eq!((once.cards, once.card_balances), (1_001, 1_001 * ledger::DEMO_BALANCE));
    let events =
        |books: &mut Books| books.transaction(|db| db.query("SELECT COUNT(*) FROM audit.event_log", &[]))[0].int(0);
    let events_once = events(books);
    books.transaction(|db| ledger::seed_demo(db, context));
    assert_eq!(books.check(), once);
    assert_eq!(events(books), events_once);
}

/// What is done to the books, and the rule of the check that must find it.
const TAMPERINGS: &[(&str, &str)] = &[
    (
        "UPDATE app.ledger_entries SET amount = amount + 1 WHERE line = 2",
        "the entries of each transaction sum to zero",
    ),
    (
        "DELETE FROM app.ledger_entries WHERE line = 2",
        "each transaction has one entry of the card",
    ),
    (
        "UPDATE app.ledger_entries SET line = 3 WHERE line = 2",
        "each transaction has one entry of the card",
    ),
    (
        "DELETE FROM app.transactions WHERE kind = 'payment'",
        "each entry belongs to a transaction",
    ),
    (
        "UPDATE app.member_cards SET balance = balance + 1",
        "each card holds the sum of its entries",
    ),
    (
        "UPDATE app.ledger_entries SET amount = -amount",
        "no card and no merchant is below zero",
    ),
    (
        "UPDATE app.transactions SET idempotency_key = 'same'",
        "each key made at most one transaction",
    ),
    (
        "UPDATE app.transactions SET qr_id = NULL",
        "each payment was paid by a code of its own",
    ),
    (
        "UPDATE app.card_qr_history SET ended_by = 'replaced'",
        "each code that paid is marked used",
    ),
    (
        "UPDATE app.transactions SET refunded = refunded + 1 WHERE kind = 'payment'",
        "what was refunded of each payment",
    ),
    (
        "UPDATE app.member_cards SET points = points + 1",
        "each card's points are the sum of its point entries",
    ),
    (
        "UPDATE app.transactions SET points = points + 1 WHERE kind = 'payment'",
        "each transaction's points are entered once",
    ),
];

fn finds_tampering(books: &mut Books, sql: &'static str, rule: &str) {
    books.open_shop(10_000);
    let payment = books.pays(2_000);
    books.done(refund(&payment, Some(500)));
    assert!(books.check().balanced);
    books.tamper(sql);
    let report = books.check();
    assert!(!report.balanced, "{sql}");
    assert!(
        report
            .violations
            .iter()
            .any(|violation| violation.rule.starts_with(rule)),
        "{sql}: {:?}",
        report.violations
    );
}

/// Runs everything on books that `new` makes.
fn run_all(mut new: impl FnMut() -> Books) {
    let mut broken = Vec::new();
    let mut try_one = |name: &'static str, claim: &dyn Fn(&mut Books)| {
        let mut books = new();
        // The panic's own message has been printed by then; the list says which claims it was about.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| claim(&mut books))).is_err() {
            broken.push(name);
        }
    };
    for (name, claim) in CLAIMS {
        try_one(name, claim);
    }
    for (sql, rule) in TAMPERINGS {
        try_one(sql, &|books| finds_tampering(books, sql, rule));
    }
    assert!(broken.is_empty(), "broken: {broken:#?}");
}

#[test]
fn the_rules_hold_on_sqlite() {
    let folder = Folder::new();
    let mut number = 0;
    run_all(|| {
        number += 1;
        let path = folder.0.join(format!("{number}.sqlite"));
        let config = config(DatabaseUrl::Sqlite(path.clone()));
        drop(Database::start(&config, &Metrics::default().into()).expect("the schema applies"));
        drop(Database::start(&config, &Metrics::default().into()).expect("the schema applies again"));
        Books::new(Connection::Sqlite(Sqlite::open(&path).expect("the file opens")))
    });
}

#[test]
fn the_rules_hold_on_postgres() {
    let mut server = PostgresServer::start();
    run_all(|| {
        let url = server.new_database();
        let config = config(DatabaseUrl::Postgres(url.clone()));
        drop(Database::start(&config, &Metrics::default().into()).expect("the schema applies"));
        drop(Database::start(&config, &Metrics::default().into()).expect("the schema applies again"));
        Books::new(Connection::Postgres(
            Postgres::connect(&url).expect("the server accepts"),
        ))
    });
}
