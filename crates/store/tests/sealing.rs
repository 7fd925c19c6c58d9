//! Documents are sealed at rest: what is stored can be read with the key alone, and what an earlier tend wrote in clear is nowhere left.

use std::error::Error as StdError;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::{Value, json};
use tend_core::journal::{Filter, Kind};
use tend_store::{Batch, DocumentKind, Error, Options, Reader, Seal, Store};

use crate::files::{Folder, options, write};

const PLANTED: &str = "pl4nted-in-a-document";

/// A seal as simple as can be: letters moved by a number, with the name in front.
struct Moved(u8);

impl Seal for Moved {
    fn seal(&self, name: &str, text: &str) -> Result<String, Box<dyn StdError + Send + Sync>> {
        let moved: String = text
            .bytes()
            .map(|byte| format!("{:02x}", byte.wrapping_add(self.0)))
            .collect();
        Ok(format!("{}-{name}-{moved}", self.0))
    }

    fn open(&self, name: &str, sealed: &str) -> Result<String, Box<dyn StdError + Send + Sync>> {
        let moved = sealed
            .strip_prefix(&format!("{}-{name}-", self.0))
            .ok_or("another key or name")?;
        let bytes: Result<Vec<u8>, _> = (0..moved.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&moved[at..at + 2], 16))
            .collect();
        let bytes: Vec<u8> = bytes?.into_iter().map(|byte| byte.wrapping_sub(self.0)).collect();
        Ok(String::from_utf8(bytes)?)
    }
}

fn seal(number: u8) -> Arc<dyn Seal> {
    Arc::new(Moved(number))
}

fn open_sealed(folder: &Folder) -> Store {
    let options = Options {
        seal: Some(seal(7)),
        ..options()
    };
    Store::open(&folder.files(), options).unwrap()
}

fn put(store: &Store, id: &str, value: &Value) {
    let batch = Batch::new().put(DocumentKind::Stack, id, value).unwrap();
    store.commit(batch).wait().unwrap();
}

/// A document that takes several pages, with the planted value at either end.
fn large() -> Value {
    json!({"first": PLANTED, "middle": "x".repeat(20_000), "last": PLANTED})
}

fn read(folder: &Folder, seal: Option<Arc<dyn Seal>>, id: &str) -> Result<Option<Value>, Error> {
    let reader = Reader::open(&folder.files().database)?;
    let reader = match seal {
        Some(seal) => reader.opened_by(seal),
        None => reader,
    };
    reader.document(DocumentKind::Stack, id)
}

/// Returns how often the planted value stands in the database and its log.
fn planted(folder: &Folder) -> usize {
    let database = folder.files().database;
    let files = ["", "-wal"].map(|suffix| format!("{}{suffix}", database.display()));
    let count = |bytes: Vec<u8>| {
        let windows = bytes.windows(PLANTED.len());
        windows.filter(|part| *part == PLANTED.as_bytes()).count()
    };
    files
        .iter()
        .filter_map(|file| std::fs::read(file).ok())
        .map(count)
        .sum()
}

fn marks(folder: &Folder) -> i64 {
    let connection = Connection::open(folder.files().database).unwrap();
    connection
        .query_row("SELECT count(*) FROM upkeep", [], |row| row.get(0))
        .unwrap()
}

/// Writes as an earlier tend did: in clear, with rows that were replaced and removed.
fn in_clear(folder: &Folder) {
    let store = folder.open();
    write(&store, 20);
    for number in 0..20 {
        put(&store, &format!("s{}", number % 5), &large());
        put(&store, "gone", &large());
        put(&store, "mps", &json!({"number": number, "password": PLANTED}));
    }
    let batch = Batch::new().delete(DocumentKind::Stack, "gone");
    store.commit(batch).wait().unwrap();
    store.close().unwrap();
    assert!(planted(folder) > 10);
}

#[test]
fn a_document_is_stored_sealed_and_opens_with_its_key_alone() {
    let folder = Folder::new();
    let store = open_sealed(&folder);
    put(&store, "mps", &json!({"password": PLANTED}));
    put(&store, "large", &large());
    assert_eq!(planted(&folder), 0);
    assert_eq!(read(&folder, Some(seal(7)), "large").unwrap(), Some(large()));
    assert!(matches!(read(&folder, None, "mps"), Err(Error::NoSeal { name, .. }) if name == "stack mps"));
    let error = read(&folder, Some(seal(8)), "mps").unwrap_err();
    assert!(
        matches!(&error, Error::Unseal { .. }) && error.hint().is_some(),
        "{error}"
    );
    // Nor does one pass for another.
    let connection = Connection::open(folder.files().database).unwrap();
    connection
        .execute(
            "UPDATE documents SET json = (SELECT json FROM documents WHERE id = 'large') WHERE id = 'mps'",
            [],
        )
        .unwrap();
    assert!(matches!(read(&folder, Some(seal(7)), "mps"), Err(Error::Unseal { .. })));
    store.close().unwrap();
    assert_eq!(planted(&folder), 0);
}

#[test]
fn what_an_earlier_tend_wrote_in_clear_is_sealed_and_nowhere_left() {
    let folder = Folder::new();
    in_clear(&folder);
    let store = open_sealed(&folder);
    assert_eq!(planted(&folder), 0);
    assert_eq!(read(&folder, Some(seal(7)), "s4").unwrap(), Some(large()));
    assert_eq!(
        read(&folder, Some(seal(7)), "mps").unwrap(),
        Some(json!({"number": 19, "password": PLANTED}))
    );
    assert_eq!(marks(&folder), 0);
    store.close().unwrap();
    let told = |folder: &Folder| {
        let events = Reader::open(&folder.files().database)
            .unwrap()
            .events(&Filter::all())
            .unwrap();
        let sealed = events.into_iter().filter(|event| event.kind == Kind::StateSealed);
        sealed.map(|event| event.data).collect::<Vec<_>>()
    };
    assert_eq!(told(&folder), [json!({"documents": 6, "clean": true, "error": null})]);
    // Once: the next start finds nothing to do.
    open_sealed(&folder).close().unwrap();
    assert_eq!(told(&folder).len(), 1);
    let report = folder.verify();
    assert!(report.is_intact(), "{report}");
}

#[test]
fn killed_before_the_pages_are_clean_the_next_opening_cleans_them() {
    let folder = Folder::new();
    in_clear(&folder);
    // As far as the first transaction: every row sealed, the mark set, the pages as they were.
    let connection = Connection::open(folder.files().database).unwrap();
    let rows: Vec<(String, String)> = connection
        .prepare("SELECT id, json FROM documents")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (id, json) in &rows {
        let text = seal(7).seal(&format!("stack {id}"), json).unwrap();
        connection
            .execute("UPDATE documents SET json = 'sealed:' || ? WHERE id = ?", [&text, id])
            .unwrap();
    }
    connection
        .execute("INSERT INTO upkeep VALUES ('clean pages')", [])
        .unwrap();
    drop(connection);
    assert!(planted(&folder) > 0, "free pages still hold it");
    let store = open_sealed(&folder);
    assert_eq!((planted(&folder), marks(&folder)), (0, 0));
    assert_eq!(read(&folder, Some(seal(7)), "s0").unwrap(), Some(large()));
    store.close().unwrap();
}
