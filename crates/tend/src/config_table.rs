//! The table of a database that is a layer of the configuration: how a stack file's words become settings of `tend-database`, and how the
//! table is made. Reads no rows, and does not know what a key means.

use std::path::Path;

use tend_api::{ApiError, Class};
use tend_base::Secret;
use tend_core::model::ConfigTable;
use tend_database::{Address, Columns, DatabaseError, Settings, Table};

/// What stands for a column that no table has: all rows count then.
const NO_COLUMN: &str = "-";

/// Returns what is read of a table, and how often where its database announces no changes.
///
/// # Errors
/// What is wrong with the address.
pub(crate) fn settings_of(table: &ConfigTable, folder: &Path) -> Result<Settings, DatabaseError> {
    let address = Address::parse(&Secret::new(table.url.clone()), folder)?;
    let columns = Columns {
        key: table.key.clone(),
        value: table.value.clone(),
        // All but key and value may be missing in a table.
        is_active: table.active.clone().unwrap_or_else(|| NO_COLUMN.to_owned()),
        ..Columns::default()
    };
    Ok(Settings {
        table: Some(Table {
            name: table.name.clone(),
            columns,
        }),
        poll: table.every,
        ..Settings::new(address)
    })
}

/// Makes the table where it is not there and has its changes announced, and returns which database; or only returns the statements.
pub(crate) fn install_table(table: &ConfigTable, folder: &Path, run: bool) -> Result<String, ApiError> {
    let wrong = |error: DatabaseError| {
        let class = match error {
            DatabaseError::Address { .. } => Class::Config,
            _ => Class::Unavailable,
        };
        let hint = error.hint();
        ApiError::from_error(class, &error).hint(hint)
    };
    // A table that is made has the column that says whether a row counts: it is true by itself.
    let table = ConfigTable {
        active: table.active.clone().or_else(|| Some(Columns::default().is_active)),
        ..table.clone()
    };
    let settings = settings_of(&table, folder).map_err(wrong)?;
    if !run {
        return Ok(tend_database::install_sql(&settings));
    }
    let database = settings.address.to_string();
    // The command line has a runtime of its own, in which nothing may block.
    let installed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(tend_database::install(&settings)))
    });
    match installed.join() {
        Ok(Ok(Ok(()))) => Ok(database),
        Ok(Ok(Err(error))) => Err(wrong(error)),
        Ok(Err(error)) => Err(ApiError::from_error(Class::Unavailable, &error)),
        Err(_) => Err(ApiError::new(Class::Bug, "making the table panicked")),
    }
}
