//! What a file has made itself so far: nobody waits for it, and no code that runs knows it.
//!
//! Owns which tables and columns are new. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::statement::Act;
use crate::table::{Action, ConstraintKind, Fill};

/// What a file has made itself, up to a statement.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    names: BTreeSet<String>,
    /// Columns added to a table that was there, and whether a row that does not name them gets a value.
    columns: BTreeMap<(String, String), bool>,
    /// Columns of a table that a CHECK made here proves not to be NULL, by the name of the constraint.
    checks: BTreeMap<(String, String), Vec<String>>,
    /// Columns that such a CHECK proves, and that it was validated for.
    proven: BTreeSet<(String, String)>,
}

impl Scope {
    /// Returns whether this file made the table or other object.
    pub(crate) fn made(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Returns whether this file added the column.
    pub(crate) fn added(&self, table: &str, column: &str) -> bool {
        self.columns.contains_key(&key(table, column))
    }

    /// Returns whether this file added the column, and a row that does not name it gets a value.
    pub(crate) fn filled(&self, table: &str, column: &str) -> bool {
        self.columns.get(&key(table, column)).is_some_and(|filled| *filled)
    }

    /// Returns whether a CHECK that was validated in this file proves that the column is not NULL.
    pub(crate) fn proven(&self, table: &str, column: &str) -> bool {
        self.proven.contains(&key(table, column))
    }

    /// Takes in what a statement made.
    pub(crate) fn take(&mut self, act: &Act) {
        match act {
            Act::CreateTable { name, .. } | Act::Create { name } => {
                self.names.insert(name.clone());
            }
            Act::Alter { table, actions } => {
                for (_, action) in actions {
                    self.alter(table, action);
                }
            }
            _ => {}
        }
    }

    fn alter(&mut self, table: &str, action: &Action) {
        match action {
            Action::AddColumn(column) => {
                let filled = column.fill != Fill::Nothing;
                self.columns.insert(key(table, &column.name), filled);
            }
            Action::SetDefault(column) => {
                if let Some(filled) = self.columns.get_mut(&key(table, column)) {
                    *filled = true;
                }
            }
            Action::DropDefault(column) => {
                if let Some(filled) = self.columns.get_mut(&key(table, column)) {
                    *filled = false;
                }
            }
            Action::Add(constraint) => {
                if let ConstraintKind::Check { not_null } = &constraint.kind {
                    self.checks.insert(key(table, &constraint.name), not_null.clone());
                    if !constraint.not_valid {
                        self.proven.extend(not_null.iter().map(|column| key(table, column)));
                    }
                }
            }
            Action::Validate(name) => {
                let columns = self.checks.get(&key(table, name)).into_iter().flatten();
                self.proven.extend(columns.map(|column| key(table, column)));
            }
            Action::RenameTable(to) if self.made(table) && !to.is_empty() => {
                self.names.insert(to.clone());
            }
            _ => {}
        }
    }
}

fn key(table: &str, column: &str) -> (String, String) {
    (table.to_owned(), column.to_owned())
}
