//! What PostgreSQL really does with the migrations of `tests/cases`: the facts that the rules rest on.
//!
//! Seen on a server of its own: a table was written anew when its file node is another one afterwards; it was read through when the
//! server says so at DEBUG1 (`verifying table`, `building index`, …); a lock was taken when it stands in `pg_locks` at the end of
//! the transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use postgres::{Client, NoTls};
use tend_migration::{Rule, lint};

use crate::case::Case;
use crate::server::{Server, wait_for};

#[test]
fn postgresql_does_what_the_cases_say() {
    let server = Server::start("cases");
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut config = server.config();
    let hears = Arc::clone(&said);
    config.notice_callback(move |notice| hears.lock().expect("unbroken").push(notice.message().to_owned()));
    let mut client = config.connect(NoTls).expect("the server accepts");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for mut case in Case::all().into_iter().filter(|case| case.has("postgres")) {
        let actual = observe(&mut client, &said, &case);
        case.compare("postgres", &actual, &mut wrong);
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 40, "only {seen} cases were looked at");
}

#[test]
fn nothing_that_takes_long_under_a_lock_passes_without_a_finding() {
    // The sections `postgres` were seen on a server, by the test above.
    const FINE: &[(&str, &str)] = &[
        ("rename-swap.sql", "the table of that name is another one afterwards"),
        ("truncate.sql", "an empty file node is made in a moment"),
    ];
    let (mut long, mut refused) = (0, 0);
    for case in Case::all() {
        let seen = case.section("postgres");
        let rules: Vec<&str> = case
            .section("finds")
            .lines()
            .skip(1)
            .filter_map(|line| Some(line.split_once(' ')?.1))
            .collect();
        let told = rules
            .iter()
            .any(|rule| !matches!(*rule, "no-lock-timeout" | "several-tables"));
        if seen.contains("refused: ") {
            refused += 1;
            assert!(told, "{} is refused by the server, and nothing is found", case.name);
        }
        let slow = |line: &&str| {
            line.starts_with("written anew: ") || line.starts_with("read through: ") || line.starts_with("validating")
        };
        let locked = ["AccessExclusiveLock", "ShareRowExclusiveLock", "ShareLock"]
            .iter()
            .any(|lock| seen.contains(lock));
        if seen.lines().any(|line| slow(&line)) && locked && !FINE.iter().any(|(name, _)| *name == case.name) {
            long += 1;
            assert!(told, "{} takes long under a lock, and nothing is found", case.name);
        }
    }
    assert!(long > 25 && refused > 2, "{long} long, {refused} refused");
}

/// Runs a case and returns what was seen.
///
/// It is run in one transaction, as migration tools do; a case that says `as it is` in its first line is sent as it stands.
fn observe(client: &mut Client, said: &Mutex<Vec<String>>, case: &Case) -> String {
    client
        .batch_execute(
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public; RESET ALL; SET client_min_messages = warning;",
        )
        .expect("an empty database");
    client
        .batch_execute(case.section("given"))
        .unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
    let before = files(client);
    let as_it_is = case.section("postgres").starts_with("as it is\n");
    let mut seen = String::new();
    if as_it_is {
        seen.push_str("as it is\n");
    } else {
        client.batch_execute("BEGIN").expect("a transaction");
    }
    client
        .batch_execute("SET client_min_messages = debug1")
        .expect("a setting");
    said.lock().expect("unbroken").clear();
    let result = client.batch_execute(case.section("migration"));
    let messages = std::mem::take(&mut *said.lock().expect("unbroken"));
    if let Err(error) = result {
        let text = error
            .as_db_error()
            .map_or_else(|| error.to_string(), |error| error.message().to_owned());
        writeln!(seen, "refused: {text}").expect("a string takes all");
        client.batch_execute("ROLLBACK").expect("back again");
        return seen;
    }
    client
        .batch_execute("SET client_min_messages = warning")
        .expect("a setting");
    let locks = locks(client, &before);
    let after = files(client);
    let anew = before
        .iter()
        .filter(|(table, file)| after.get(*table).is_some_and(|now| now != *file));
    for (table, _) in anew {
        writeln!(seen, "written anew: {table}").expect("a string takes all");
    }
    for table in read_through(&messages).intersection(&before.keys().cloned().collect()) {
        writeln!(seen, "read through: {table}").expect("a string takes all");
    }
    for message in messages
        .iter()
        .filter(|message| message.starts_with("validating foreign key"))
    {
        writeln!(seen, "{message}").expect("a string takes all");
    }
    for lock in locks {
        writeln!(seen, "{lock}").expect("a string takes all");
    }
    client.batch_execute("COMMIT").expect("the end");
    seen
}

/// The file node of each table.
fn files(client: &mut Client) -> BTreeMap<String, u32> {
    let query = "SELECT relname::text, pg_relation_filenode(oid)::oid FROM pg_class \
                 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm', 'p')";
    let rows = client.query(query, &[]).expect("the catalogue");
    rows.iter()
        .map(|row| (row.get(0), row.get::<_, Option<u32>>(1).unwrap_or(0)))
        .collect()
}

/// The locks that keep others out of what was there before, the strongest of each table.
fn locks(client: &mut Client, before: &BTreeMap<String, u32>) -> Vec<String> {
    const STRENGTH: &[&str] = &[
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    ];
    let query = "SELECT relname::text, mode FROM pg_locks JOIN pg_class ON pg_class.oid = relation \
                 WHERE pid = pg_backend_pid() AND granted AND relnamespace = 'public'::regnamespace";
    let mut strongest: BTreeMap<String, usize> = BTreeMap::new();
    for row in client.query(query, &[]).expect("the locks") {
        let (table, mode): (String, String) = (row.get(0), row.get(1));
        let strength = STRENGTH.iter().position(|known| *known == mode);
        if let Some(strength) = strength.filter(|_| before.contains_key(&table)) {
            let of_table = strongest.entry(table).or_default();
            *of_table = strength.max(*of_table);
        }
    }
    strongest
        .into_iter()
        .map(|(table, strength)| format!("{}: {table}", STRENGTH[strength]))
        .collect()
}

/// The tables that the server says it read through.
fn read_through(messages: &[String]) -> BTreeSet<String> {
    let mut tables = BTreeSet::new();
    for message in messages {
        let table = match message.split('"').collect::<Vec<_>>()[..] {
            ["verifying table " | "rewriting table ", table, ..] => table,
            ["building index ", _, " on table ", table, ..] => table,
            _ => continue,
        };
        tables.insert(table.to_owned());
    }
    tables
}

#[test]
fn an_index_built_concurrently_lets_writers_go_on_and_one_built_without_does_not() {
    let server = Server::start("index");
    let mut owner = server.connect();
    owner
        .batch_execute("CREATE TABLE payments (id bigint, amount bigint); INSERT INTO payments VALUES (1, 1);")
        .expect("a table");
    for (concurrently, mode) in [("CONCURRENTLY", "ShareUpdateExclusiveLock"), ("", "ShareLock")] {
        // A writer that has not committed: both wait for it, each with its lock held or asked for.
        let mut writer = server.connect();
        writer
            .batch_execute("BEGIN; UPDATE payments SET amount = 2 WHERE id = 1;")
            .expect("a write");
        let mut builder = server.connect();
        let sql = format!("CREATE INDEX {concurrently} ON payments (amount)");
        std::thread::scope(|scope| {
            let building = scope.spawn(move || builder.batch_execute(&sql));
            let held = wait_for("the index to be under way", || {
                let query = "SELECT mode FROM pg_locks WHERE relation = 'payments'::regclass AND mode LIKE 'Share%'";
                let row = owner.query_opt(query, &[]).expect("the locks");
                row.map(|row| row.get::<_, String>(0))
            });
            assert_eq!(held, mode);
            let mut other = server.connect();
            other.batch_execute("SET lock_timeout = '50ms'").expect("a setting");
            let written = other.batch_execute("INSERT INTO payments VALUES (2, 2)");
            assert_eq!(
                written.is_ok(),
                concurrently == "CONCURRENTLY",
                "{concurrently}: {written:?}"
            );
            writer.batch_execute("COMMIT").expect("the end of the write");
            building.join().expect("no panic").expect("the index is built");
        });
    }
}

#[test]
fn the_functions_that_count_as_the_same_for_every_row_are_so_in_the_catalogue() {
    let server = Server::start("functions");
    let mut client = server.connect();
    for extension in ["pgcrypto", "uuid-ossp"] {
        let sql = format!("CREATE EXTENSION IF NOT EXISTS \"{extension}\"");
        // They come with the package postgresql-contrib, which Debian's postgresql provides since 10.
        client
            .batch_execute(&sql)
            .unwrap_or_else(|error| panic!("{extension}: {error:?}"));
    }
    let query = "SELECT proname::text, bool_or(provolatile = 'v'), bool_and(provolatile = 'v') FROM pg_proc \
                 WHERE prokind = 'f' GROUP BY proname";
    let (mut same, mut volatile) = (0, 0);
    for row in client.query(query, &[]).expect("the catalogue") {
        let (name, some, all): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
        let sql = format!("SET lock_timeout = 1; ALTER TABLE t ADD c text DEFAULT {name}(1);");
        let rules: Vec<Rule> = lint("1.sql", &sql).into_iter().map(|finding| finding.rule).collect();
        match rules[..] {
            [] => {
                assert!(!some, "{name} is volatile, but counts as the same for every row");
                same += 1;
            }
            [Rule::VolatileDefault] => {
                assert!(all, "{name} is not volatile, but counts as such");
                volatile += 1;
            }
            [Rule::UnknownDefault] => {}
            _ => panic!("{name}: {rules:?}"),
        }
    }
    assert!(same >= 40 && volatile >= 12, "{same} the same, {volatile} volatile");
}
