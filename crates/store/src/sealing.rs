//! Documents at rest: how they are told apart when sealed, and how those that an earlier tend wrote in clear are sealed.
//!
//! Knows no key and no cipher: who opens the store brings them.
//!
//! ```text
//!  documents in clear ── one transaction ──► all sealed, and a mark that pages are to be cleaned
//!                                                  │ VACUUM; the write-ahead log into the database, and cut to nothing
//!                                                  ▼
//!                                            the mark is removed
//! ```
//!
//! Invariant: killed anywhere, the next opening ends it (test `killed_before_the_pages_are_clean_the_next_opening_cleans_them`).

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior, params};

use crate::Error;

/// How the stored text of a sealed document begins; no JSON does.
const PREFIX: &str = "sealed:";

/// The mark that pages may hold what was in clear.
const CLEAN: &str = "clean pages";

/// Seals documents before they are stored and opens them again. Called by any thread.
pub trait Seal: Send + Sync {
    /// Returns a text sealed, as text. What is sealed under one name does not open under another.
    ///
    /// # Errors
    /// When it cannot: then the document is not stored.
    fn seal(&self, name: &str, text: &str) -> Result<String, Box<dyn StdError + Send + Sync>>;

    /// Returns what was sealed.
    ///
    /// # Errors
    /// When it is not what was sealed under that name, or with another key.
    fn open(&self, name: &str, sealed: &str) -> Result<String, Box<dyn StdError + Send + Sync>>;
}

/// What the documents of an earlier tend came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SealedOld {
    /// How many were sealed now.
    pub(crate) documents: u64,
    /// Why pages could not be cleaned; the next opening tries again.
    pub(crate) not_cleaned: Option<String>,
}

/// Returns the text under which a document is stored.
///
/// # Errors
/// When it cannot be sealed.
pub(crate) fn sealed(seal: &dyn Seal, path: &Path, kind: &str, id: &str, json: &str) -> Result<String, Error> {
    let name = name_of(kind, id);
    match seal.seal(&name, json) {
        Ok(text) => Ok(format!("{PREFIX}{text}")),
        Err(source) => Err(Error::Seal {
            name,
            path: path.to_owned(),
            source: source.into(),
        }),
    }
}

/// Returns the content of a stored document, sealed or in clear.
///
/// # Errors
/// When it is sealed and cannot be opened.
pub(crate) fn opened(
    seal: Option<&Arc<dyn Seal>>,
    path: &Path,
    kind: &str,
    id: &str,
    stored: String,
) -> Result<String, Error> {
    let Some(text) = stored.strip_prefix(PREFIX) else {
        return Ok(stored);
    };
    let name = name_of(kind, id);
    let Some(seal) = seal else {
        return Err(Error::NoSeal {
            name,
            path: path.to_owned(),
        });
    };
    seal.open(&name, text).map_err(|source| Error::Unseal {
        name,
        path: path.to_owned(),
        source: source.into(),
    })
}

fn name_of(kind: &str, id: &str) -> String {
    format!("{kind} {id}")
}

/// Seals what is in clear, and cleans the pages where that was; nothing where there is neither.
///
/// # Errors
/// When documents cannot be sealed. That pages cannot be cleaned is part of the answer: a full disk is no reason not to start.
pub(crate) fn seal_old(connection: &mut Connection, path: &Path, seal: &dyn Seal) -> Result<Option<SealedOld>, Error> {
    let failed = |source| Error::of_commit(path, source);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let mut documents = 0;
    {
        let mut all = transaction
            .prepare("SELECT kind, id FROM documents WHERE substr(json, 1, ?) <> ?")
            .map_err(failed)?;
        let clear = all
            .query_map(params![PREFIX.len(), PREFIX], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .map_err(failed)?;
        // One at a time in memory; their names are few.
        for (kind, id) in clear.collect::<Result<Vec<_>, _>>().map_err(failed)? {
            let json: String = transaction
                .query_row(
                    "SELECT json FROM documents WHERE kind = ? AND id = ?",
                    [&kind, &id],
                    |row| row.get(0),
                )
                .map_err(failed)?;
            let text = sealed(seal, path, &kind, &id, &json)?;
            transaction
                .execute(
                    "UPDATE documents SET json = ? WHERE kind = ? AND id = ?",
                    [&text, &kind, &id],
                )
                .map_err(failed)?;
            documents += 1;
        }
    }
    if documents > 0 {
        transaction
            .execute("INSERT OR IGNORE INTO upkeep (what) VALUES (?)", [CLEAN])
            .map_err(failed)?;
    }
    let marked = transaction
        .prepare("SELECT 1 FROM upkeep WHERE what = ?")
        .and_then(|mut mark| mark.exists([CLEAN]))
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    if !marked {
        return Ok(None);
    }
    Ok(Some(SealedOld {
        documents,
        not_cleaned: clean(connection).err(),
    }))
}

/// Writes the database anew without pages that are free, and leaves nothing in its log.
fn clean(connection: &Connection) -> Result<(), String> {
    let why = |error: rusqlite::Error| error.to_string();
    // The copy is as large as the database; what it holds is sealed by now.
    connection
        .execute_batch("PRAGMA temp_store = FILE; VACUUM; PRAGMA temp_store = MEMORY;")
        .map_err(why)?;
    let busy: bool = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(why)?;
    if busy {
        return Err("somebody reads the database".to_owned());
    }
    connection
        .execute("DELETE FROM upkeep WHERE what = ?", [CLEAN])
        .map_err(why)?;
    Ok(())
}
