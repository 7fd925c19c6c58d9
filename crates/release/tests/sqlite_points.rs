//! A restore point of an SQLite database in use holds one moment of it, is read back, and stands alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tend_core::model::Database;
use tend_release::{Error, restore_point};
use tend_testkit::Folder;

use crate::fixture::mode;

const OPTIONS: restore_point::Options = restore_point::Options {
    keep: 3,
    timeout: Duration::from_secs(60),
    owner: None,
};

fn books(folder: &Folder, journal: &str) -> (PathBuf, Connection) {
    let path = folder.path().join("books?#%.sqlite");
    let books = Connection::open(&path).unwrap();
    books.pragma_update(None, "journal_mode", journal).unwrap();
    books
        .execute_batch(
            "CREATE TABLE debits (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT);
             CREATE TABLE credits (id INTEGER PRIMARY KEY, text TEXT);
             CREATE TABLE \"odd \"\" name\" (a); CREATE INDEX i ON debits (text);",
        )
        .unwrap();
    (path, books)
}

fn book(books: &mut Connection, text: &str) -> rusqlite::Result<()> {
    let transaction = books.transaction()?;
    transaction.execute("INSERT INTO debits (text) VALUES (?1)", [text])?;
    transaction.execute("INSERT INTO credits (text) VALUES (?1)", [text])?;
    transaction.commit()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn under_a_concurrent_writer_the_copy_holds_one_moment_and_the_writer_never_waits() {
    let folder = Folder::new();
    let (path, mut books) = books(&folder, "wal");
    let points = folder.path().join("points");
    let text = "x".repeat(2000);
    for _ in 0..5000 {
        book(&mut books, &text).unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Not willing to wait: whoever holds a lock against it makes it fail.
            books.busy_timeout(Duration::ZERO).unwrap();
            while !stop.load(Ordering::Relaxed) {
                book(&mut books, &text).unwrap();
            }
        });
        let mut before = 5000;
        for _ in 0..5 {
            let point = restore_point::take(&Database::Sqlite(path.clone()), &points, &OPTIONS).unwrap();
            assert_eq!(point.tables["debits"], point.tables["credits"], "one moment");
            assert!(point.tables["debits"] >= before, "what was committed before is in it");
            before = point.tables["debits"];
            assert_eq!(point.tables["odd \" name"], 0);
            assert_eq!(point.tables.len(), 3);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let kept = restore_point::list(&points).unwrap();
    assert_eq!(kept.len(), 3, "the newest");
    assert!(kept.is_sorted_by(|a, b| a.taken_at >= b.taken_at));
    assert_eq!(files(&points).len(), 6, "a copy and a note each: {:?}", files(&points));
    assert_eq!(mode(&points), 0o700);
    for point in kept {
        let copy = point.path.clone().unwrap();
        assert_eq!(mode(&copy), 0o600);
        assert_eq!(fs::metadata(&copy).unwrap().len(), point.bytes);
        let sum = crate::fixture::run("sha256sum", &[copy.to_str().unwrap()], Path::new("/"));
        assert_eq!(point.sha256.as_deref(), sum.split(' ').next());
        let copy = Connection::open(&copy).unwrap();
        let count: i64 = copy
            .query_row("SELECT count(*) FROM credits", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count.unsigned_abs(), point.tables["credits"]);
    }
}

#[test]
fn what_is_committed_and_only_in_the_log_is_in_the_copy() {
    let folder = Folder::new();
    let (path, mut books) = books(&folder, "wal");
    books.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    for _ in 0..10 {
        book(&mut books, "text").unwrap();
    }
    // As a machine that went down left it.
    let left = folder.path().join("left.sqlite");
    fs::copy(&path, &left).unwrap();
    fs::copy(path.with_extension("sqlite-wal"), left.with_extension("sqlite-wal")).unwrap();
    let point = restore_point::take(&Database::Sqlite(left), &folder.path().join("points"), &OPTIONS).unwrap();
    assert_eq!(point.tables["credits"], 10);
}

#[test]
fn what_a_killed_writer_left_half_written_is_not_in_the_copy() {
    let folder = Folder::new();
    let (path, mut books) = books(&folder, "delete");
    for _ in 0..10 {
        book(&mut books, "text").unwrap();
    }
    books.execute_batch("PRAGMA cache_size = 2; BEGIN").unwrap();
    for _ in 0..2000 {
        books
            .execute("INSERT INTO credits (text) VALUES (?1)", ["x".repeat(500)])
            .unwrap();
    }
    let left = folder.path().join("left.sqlite");
    fs::copy(&path, &left).unwrap();
    fs::copy(
        path.with_extension("sqlite-journal"),
        left.with_extension("sqlite-journal"),
    )
    .unwrap();
    let damaged = fs::metadata(&left).unwrap().len();
    let point = restore_point::take(&Database::Sqlite(left), &folder.path().join("points"), &OPTIONS).unwrap();
    assert_eq!(point.tables["credits"], 10);
    assert!(point.bytes < damaged, "{} of {damaged}", point.bytes);
}

#[test]
fn a_database_that_is_not_there_yet_has_nothing_to_lose() {
    let folder = Folder::new();
    let points = folder.path().join("points");
    let database = Database::Sqlite(folder.path().join("none.sqlite"));
    let point = restore_point::take(&database, &points, &OPTIONS).unwrap();
    assert_eq!((point.path, point.bytes, point.tables), (None, 0, BTreeMap::new()));
    assert!(!folder.path().join("none.sqlite").exists());
    assert_eq!(restore_point::list(&points).unwrap(), []);

    fs::write(folder.path().join("none.sqlite"), "").unwrap();
    let point = restore_point::take(&database, &points, &OPTIONS).unwrap();
    assert!(
        point.path.is_some() && point.tables.is_empty(),
        "an empty database is one"
    );
}

#[test]
fn a_damaged_database_gives_no_restore_point_and_the_ones_before_stay() {
    let folder = Folder::new();
    let (path, mut books) = books(&folder, "delete");
    for number in 0..500 {
        book(&mut books, &format!("text {number}")).unwrap();
    }
    drop(books);
    let points = folder.path().join("points");
    let database = Database::Sqlite(path.clone());
    restore_point::take(&database, &points, &OPTIONS).unwrap();
    let before = files(&points);

    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&path, &bytes).unwrap();
    let error = restore_point::take(&database, &points, &OPTIONS).unwrap_err();
    assert!(
        matches!(error, Error::NotReadBack { .. } | Error::Sqlite { .. }),
        "{error}"
    );
    assert_eq!(files(&points), before);

    fs::write(
        &path,
        "this is a text and no database, and it is long enough to be looked at ".repeat(20),
    )
    .unwrap();
    let error = restore_point::take(&database, &points, &OPTIONS).unwrap_err();
    assert!(matches!(error, Error::Sqlite { .. }), "{error}");
    assert_eq!(files(&points), before);
}

#[test]
fn damage_that_only_the_check_of_sqlite_sees_is_seen() {
    let folder = Folder::new();
    let (path, mut books) = books(&folder, "delete");
    for number in 0..50 {
        book(&mut books, &format!("text {number}")).unwrap();
    }
    // Every page is in order and every row can be read; the index holds something else than it says.
    books
        .execute_batch(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON debits (id)' WHERE name = 'i'",
        )
        .unwrap();
    drop(books);
    let points = folder.path().join("points");
    let error = restore_point::take(&Database::Sqlite(path), &points, &OPTIONS).unwrap_err();
    assert!(
        matches!(&error, Error::NotReadBack { why, .. } if why.contains("index i")),
        "{error}"
    );
    assert_eq!(files(&points), [""; 0]);
}

#[test]
fn a_database_that_stays_locked_is_given_up_in_time() {
    let folder = Folder::new();
    let (path, books) = books(&folder, "delete");
    books.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let options = restore_point::Options {
        timeout: Duration::from_millis(200),
        ..OPTIONS
    };
    let points = folder.path().join("points");
    let error = restore_point::take(&Database::Sqlite(path), &points, &options).unwrap_err();
    assert!(matches!(error, Error::RestorePointTimeout { .. }), "{error}");
    assert_eq!(files(&points), [""; 0]);
}

#[test]
fn what_a_killed_restore_point_left_is_cleared_by_the_next_and_does_not_count() {
    let folder = Folder::new();
    let (path, _books) = books(&folder, "wal");
    let points = folder.path().join("points");
    fs::create_dir(&points).unwrap();
    for name in ["2026-11-21T00-00-00-000Z.01234567.sqlite", ".2026.sqlite.json.12.tmp"] {
        fs::write(points.join(name), "half").unwrap();
    }
    assert_eq!(restore_point::list(&points).unwrap(), []);
    let point = restore_point::take(&Database::Sqlite(path), &points, &OPTIONS).unwrap();
    assert_eq!(restore_point::list(&points).unwrap(), [point]);
    assert_eq!(files(&points).len(), 2);
}

#[test]
fn each_database_has_its_own_number_of_restore_points() {
    let folder = Folder::new();
    let points = folder.path().join("points");
    let (path, books) = books(&folder, "delete");
    drop(books);
    let other = folder.path().join("other.sqlite");
    fs::copy(&path, &other).unwrap();
    let options = restore_point::Options { keep: 1, ..OPTIONS };
    for path in [&path, &other, &path, &other] {
        restore_point::take(&Database::Sqlite(path.clone()), &points, &options).unwrap();
    }
    let mut of: Vec<_> = restore_point::list(&points)
        .unwrap()
        .into_iter()
        .map(|point| point.of)
        .collect();
    of.sort();
    assert_eq!(of, [path.display().to_string(), other.display().to_string()]);
}

#[test]
fn a_clock_that_was_set_back_does_not_cost_the_new_restore_point() {
    let folder = Folder::new();
    let (path, _books) = books(&folder, "wal");
    let points = folder.path().join("points");
    let database = Database::Sqlite(path);
    let options = restore_point::Options { keep: 1, ..OPTIONS };
    let first = restore_point::take(&database, &points, &options).unwrap();
    // As if the first had been taken in the year 2100.
    let note = first.path.unwrap().with_extension("sqlite.json");
    let text = fs::read_to_string(&note).unwrap();
    fs::write(&note, text.replace(&first.taken_at.0.to_string(), "4102444800000")).unwrap();
    let second = restore_point::take(&database, &points, &options).unwrap();
    assert_eq!(restore_point::list(&points).unwrap(), [second]);
}

#[test]
fn the_database_stays_its_owners() {
    let folder = Folder::new();
    let (path, books) = books(&folder, "wal");
    drop(books);
    // As root, of a database that belongs to the service's user: what SQLite makes beside it must not lock that one out.
    let uid = if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).unwrap();
        65_534
    } else {
        rustix::process::getuid().as_raw()
    };
    restore_point::take(&Database::Sqlite(path), &folder.path().join("points"), &OPTIONS).unwrap();
    for name in files(folder.path()).iter().filter(|name| name.starts_with("books")) {
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(folder.path().join(name)).unwrap());
        assert_eq!(owner, uid, "{name}");
    }
}
