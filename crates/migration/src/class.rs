//! The class of a migration: declared in its head, or derived from its statements.
//!
//! Owns what a statement does to the code of the release before. Long locks are `lint`'s.

use tend_core::model::MigrationClass;

use crate::Finding;

/// Returns whether a file of migrations is run when going forward: `1_x.down.sql` and `1_x_down.sql` are not.
#[must_use]
pub fn is_forward(file_name: &str) -> bool {
    let stem = file_name.strip_suffix(".sql").unwrap_or(file_name);
    !(stem.ends_with(".down") || stem.ends_with("_down"))
}

/// Returns what the migration does to the code of the release before, and what is wrong with how it says so.
#[must_use]
pub fn class(file_name: &str, sql: &str) -> (MigrationClass, Vec<Finding>) {
    let _ = (file_name, sql);
    (MigrationClass::Contract, Vec::new())
}
