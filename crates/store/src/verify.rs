//! Checks a journal on disk: reads the rows for `tend_core::journal::Verifier`. Takes no right to write and changes nothing.

use std::path::Path;
use std::sync::Arc;

use tend_core::journal::{Verifier, VerifyReport};

use crate::transaction::{COLUMNS, read_checkpoint, row_of};
use crate::{Anchors, Error, PublicKey, schema};

/// Anchors and rows cannot be read at the same moment; when both have moved on in between, the check is repeated so often.
const TRIES: u32 = 3;

/// Checks the journal in `database` against the machine's public key and its anchor file. Works while it is written, and offline.
///
/// What is not as it was written is in the report; the report of an intact journal has no findings.
///
/// # Errors
/// When a file cannot be read at all.
pub fn verify(database: &Path, public_key: PublicKey, anchors: &Path) -> Result<VerifyReport, Error> {
    let mut tries = 1;
    loop {
        // First the anchors: rows that come after them can only make the journal longer.
        let before = Anchors::read(anchors)?.text();
        let report = verify_once(database, public_key, &before)?;
        if report.is_intact() || tries == TRIES || Anchors::read(anchors)?.text() == before {
            return Ok(report);
        }
        tries += 1;
    }
}

fn verify_once(database: &Path, public_key: PublicKey, anchors: &str) -> Result<VerifyReport, Error> {
    let failed = |source| Error::Read {
        what: "events",
        path: database.to_owned(),
        source: Arc::new(source),
    };
    let mut connection = schema::open_for_reading(database)?;
    // One transaction sees one moment of the database, however long the check takes.
    let transaction = connection.transaction().map_err(failed)?;
    let checkpoint = read_checkpoint(&transaction).map_err(failed)?;
    let mut verifier = Verifier::new(&public_key.0, anchors, checkpoint.as_deref());
    {
        let mut statement = transaction
            .prepare(&format!("SELECT {COLUMNS} FROM events ORDER BY seq"))
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            match row_of(row) {
                Some(row) => verifier.row(row),
                None => verifier.unreadable_row(row.get::<_, i64>(0).map_err(failed)?.cast_unsigned()),
            }
        }
    }
    Ok(verifier.finish())
}
