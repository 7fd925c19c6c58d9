//! What a migration makes clients wait for on PostgreSQL: long locks, tables written anew, tables read through.
//!
//! Owns which statement breaks which rule; why each rule is one stands in `rule`. What a migration does to code is `class`'s.
//!
//! Knows no table: a table that the file makes itself is exempt, any other counts as large and in use.

use crate::file::File;
use crate::scope::Scope;
use crate::statement::Act;
use crate::table::{Action, Column, Constraint, ConstraintKind, Fill};
use crate::{Finding, Rule};

/// Returns what the statements of a migration make clients wait for on PostgreSQL, in the order of lines.
///
/// A file that is only run when going back, by its name ([`is_forward`](crate::is_forward)) or by the marks of its tool, is not
/// looked at. `-- tend: allow RULE: why` anywhere in the file makes an exception from one rule. Only for files that PostgreSQL is to
/// run: what is said here means nothing on SQLite or MySQL.
#[must_use]
pub fn lint(file_name: &str, sql: &str) -> Vec<Finding> {
    let file = File::read(file_name, sql);
    let mut linter = Linter {
        explicit: false,
        implicit: !file.no_transaction && !file.statements.iter().any(|one| matches!(one.act, Act::Begin)),
        alone: file
            .statements
            .iter()
            .filter(|one| !matches!(one.act, Act::Other))
            .count()
            == 1,
        timeout: false,
        locked: Vec::new(),
        told_of_several: false,
        added: Vec::new(),
        scope: Scope::default(),
        findings: file.about_file.clone(),
    };
    for statement in &file.statements {
        linter.statement(&statement.act, statement.line);
        linter.scope.take(&statement.act);
    }
    let findings = std::mem::take(&mut linter.findings);
    file.settle(findings)
}

struct Linter {
    /// Between BEGIN and COMMIT.
    explicit: bool,
    /// The tool that runs the file most likely makes one transaction of it.
    implicit: bool,
    /// The file does only one thing.
    alone: bool,
    /// lock_timeout was set.
    timeout: bool,
    /// Tables that were there, locked in this transaction against readers or writers.
    locked: Vec<String>,
    told_of_several: bool,
    /// Constraints added in this transaction without looking at the rows.
    added: Vec<(String, String)>,
    scope: Scope,
    findings: Vec<Finding>,
}

impl Linter {
    fn find(&mut self, rule: Rule, line: u32, what: impl Into<String>, instead: impl Into<String>) {
        self.findings.push(rule.found(line, what, instead));
    }

    /// Notes that a statement asks for a lock that keeps others out of a table that was there.
    fn lock(&mut self, table: &str, line: u32) {
        if self.scope.made(table) {
            return;
        }
        if !self.timeout {
            self.timeout = true;
            let what = format!("waits for a strong lock on `{table}` without a limit");
            self.find(
                Rule::NoLockTimeout,
                line,
                what,
                "write `SET lock_timeout = '2s';` before it",
            );
        }
        if self.explicit || self.implicit {
            let other = self.locked.first().filter(|other| *other != table);
            if let Some(other) = other.filter(|_| !self.told_of_several) {
                let what = format!("waits for `{table}` while `{other}` stays locked");
                self.told_of_several = true;
                self.find(
                    Rule::SeveralTables,
                    line,
                    what,
                    "give each table a migration of its own",
                );
            }
            self.locked.push(table.to_owned());
        }
    }

    fn end_transaction(&mut self) {
        self.explicit = false;
        self.told_of_several = false;
        self.locked.clear();
        self.added.clear();
    }

    fn statement(&mut self, act: &Act, line: u32) {
        match act {
            Act::Begin => self.explicit = true,
            Act::Commit => self.end_transaction(),
            Act::LockTimeout => self.timeout = true,
            Act::CreateTable { references, .. } => {
                // Locked for a moment each, and nothing is looked up: no reason for a transaction of its own.
                if let Some(table) = references.iter().find(|table| !self.scope.made(table))
                    && !self.timeout
                {
                    self.timeout = true;
                    let what = format!("waits for a strong lock on `{table}` without a limit");
                    self.find(
                        Rule::NoLockTimeout,
                        line,
                        what,
                        "write `SET lock_timeout = '2s';` before it",
                    );
                }
            }
            Act::CreateIndex {
                table,
                concurrently,
                only,
                ..
            } => match *only {
                // On the partitioned table alone nothing is built.
                true => self.lock(table, line),
                false => self.index(table, *concurrently, line),
            },
            Act::CreateTrigger { table } => self.lock(table, line),
            Act::Alter { table, actions } if !self.scope.made(table) => {
                for (line, action) in actions {
                    self.action(table, action, *line);
                }
            }
            Act::Drop {
                kind,
                names,
                concurrently,
            } => self.drop(kind, names, *concurrently, line),
            Act::Truncate { tables } => self.lock_first(tables, line),
            Act::Update {
                table, all_rows: true, ..
            }
            | Act::Delete { table, all_rows: true }
                if !self.scope.made(table) =>
            {
                let what = format!("writes every row of `{table}` in one statement");
                let instead = "write it in portions with WHERE, outside of the migration, or say in an exception how few rows it has";
                self.find(Rule::WholeTableWrite, line, what, instead);
            }
            Act::Several(acts) => acts.iter().for_each(|act| self.statement(act, line)),
            Act::VacuumFull { tables } => {
                let what = format!("writes {} anew under ACCESS EXCLUSIVE", listed(tables, "every table"));
                self.find(
                    Rule::VacuumFull,
                    line,
                    what,
                    "write `VACUUM` without FULL, or use pg_repack",
                );
            }
            Act::Cluster { table } => {
                let what = format!("writes `{table}` anew under ACCESS EXCLUSIVE");
                self.find(Rule::Cluster, line, what, "leave it out, or use pg_repack");
            }
            Act::Reindex {
                concurrently: false,
                what,
            } => {
                let what = format!("keeps writers out while it reindexes {what}");
                self.find(
                    Rule::ReindexWithoutConcurrently,
                    line,
                    what,
                    "write `REINDEX … CONCURRENTLY`",
                );
            }
            Act::Reindex { what, .. } => self.concurrently(&format!("REINDEX of {what}"), line),
            Act::Refresh {
                view,
                concurrently: false,
            } if !self.scope.made(view) => {
                let what = format!("keeps readers out of `{view}` while its query runs");
                let instead = "write `REFRESH MATERIALIZED VIEW CONCURRENTLY`, which needs a unique index on it";
                self.find(Rule::RefreshWithoutConcurrently, line, what, instead);
            }
            Act::LockTable { tables, mode } if strong(mode) => {
                if let Some(table) = tables.iter().find(|table| !self.scope.made(table)) {
                    let what = format!("locks `{table}` until the commit");
                    let instead = "leave it out: each statement takes the lock it needs";
                    self.find(Rule::LockTable, line, what, instead);
                }
                self.lock_first(tables, line);
            }
            _ => {}
        }
    }

    /// Several tables of one statement belong together, so that only the first counts against other statements.
    fn lock_first(&mut self, tables: &[String], line: u32) {
        if let Some(table) = tables.iter().find(|table| !self.scope.made(table)) {
            self.lock(table, line);
        }
    }

    /// A statement with CONCURRENTLY, which PostgreSQL refuses in a transaction.
    fn concurrently(&mut self, what: &str, line: u32) {
        if self.explicit {
            let what = format!("{what} CONCURRENTLY stands between BEGIN and COMMIT, where PostgreSQL refuses it");
            self.find(
                Rule::ConcurrentlyInTransaction,
                line,
                what,
                "put it before BEGIN or after COMMIT",
            );
        } else if self.implicit && !self.alone {
            let what = format!("{what} CONCURRENTLY shares the file with other statements");
            let instead = "give it a file of its own, and tell the tool to run it without a transaction";
            self.find(Rule::ConcurrentlyNotAlone, line, what, instead);
        }
    }

    fn index(&mut self, table: &str, concurrently: bool, line: u32) {
        if concurrently {
            self.concurrently(&format!("the index on `{table}`"), line);
        } else if !self.scope.made(table) {
            let what = format!("keeps writers out of `{table}` until the index is built");
            let instead = "write `CREATE INDEX CONCURRENTLY` in a file of its own";
            self.find(Rule::IndexWithoutConcurrently, line, what, instead);
            self.lock(table, line);
        }
    }

    fn drop(&mut self, kind: &str, names: &[String], concurrently: bool, line: u32) {
        match (kind, names.iter().find(|name| !self.scope.made(name))) {
            ("index", Some(name)) if concurrently => self.concurrently(&format!("DROP INDEX `{name}`"), line),
            ("index", Some(name)) => {
                let what =
                    format!("waits for everybody who uses the table of index `{name}`, and all others behind it");
                let instead = "write `DROP INDEX CONCURRENTLY` in a file of its own";
                self.find(Rule::DropIndexWithoutConcurrently, line, what, instead);
            }
            ("table", Some(name)) => self.lock(name, line),
            _ => {}
        }
    }

    fn action(&mut self, table: &str, action: &Action, line: u32) {
        match action {
            Action::Light => return,
            Action::Validate(name) => {
                if self.added.contains(&(table.to_owned(), name.clone())) {
                    let what = format!("looks at every row of `{table}` under the lock that added `{name}`");
                    let instead = "validate it in a migration of its own";
                    self.find(Rule::ValidatedAtOnce, line, what, instead);
                }
                return;
            }
            Action::Attach(partition) => {
                if !self.scope.made(partition) {
                    let what = format!("reads all of `{partition}` to see that it belongs into `{table}`");
                    let instead = "add a CHECK for its bounds NOT VALID, validate it, then attach";
                    self.find(Rule::AttachScans, line, what, instead);
                }
                return;
            }
            Action::Detach {
                partition,
                concurrently: true,
            } => {
                self.concurrently(&format!("DETACH of `{partition}`"), line);
                return;
            }
            Action::AddColumn(column) => self.add_column(table, column, line),
            Action::Add(constraint) => self.add(table, constraint, line),
            Action::Type { column, to, using } => self.change_type(table, column, to, *using, line),
            Action::SetNotNull(column) => self.not_null(table, column, line),
            Action::Moves(words) => {
                let what = format!("{words} writes `{table}` anew");
                let instead = "do it in a window of maintenance, or copy into a new table in portions";
                self.find(Rule::MovesTable, line, what, instead);
            }
            Action::Detach { partition, .. } => {
                let what = format!("keeps everybody out of `{table}` while `{partition}` is taken out");
                let instead = "write `DETACH PARTITION … CONCURRENTLY` in a file of its own";
                self.find(Rule::DetachWithoutConcurrently, line, what, instead);
            }
            _ => {}
        }
        self.lock(table, line);
    }

    fn add_column(&mut self, table: &str, column: &Column, line: u32) {
        let name = format!("`{table}.{}`", column.name);
        match &column.fill {
            Fill::Each(with) => {
                let what = format!("writes `{table}` anew to fill {name} with {with}");
                let instead = match with.ends_with("()") {
                    true => "add the column without default, SET DEFAULT, then fill it in portions",
                    false => "add a plain column, fill it in portions, then make it what it shall be",
                };
                self.find(Rule::VolatileDefault, line, what, instead);
            }
            Fill::Unknown(with) => {
                let what = format!("writes `{table}` anew to fill {name}, if {with} is volatile");
                let instead = "add the column without default, SET DEFAULT, then fill it in portions; or say in an exception that \
                               the function is stable";
                self.find(Rule::UnknownDefault, line, what, instead);
            }
            Fill::Nothing if column.not_null => {
                let what = format!("fails when `{table}` has a row, for {name} has no value there");
                let instead = "give it a default, or add it without NOT NULL, fill it, and set NOT NULL later";
                self.find(Rule::NotNullWithoutDefault, line, what, instead);
            }
            Fill::Nothing | Fill::Same => {}
        }
        let filled = column.fill != Fill::Nothing;
        if column.indexed {
            let what = format!("keeps everybody out of `{table}` until the index of {name} is built");
            let instead = "add the column alone, CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX";
            self.find(Rule::UniqueBuildsIndex, line, what, instead);
        }
        // Where the column is NULL in every row, PostgreSQL knows that there is nothing to look up.
        if let Some(other) = column.references.as_ref().filter(|_| filled) {
            let what = format!("looks up {name} of every row in `{other}`, with writers of both kept out");
            let instead = "add the column alone, then ADD FOREIGN KEY … NOT VALID, then VALIDATE CONSTRAINT in a migration of its own";
            self.find(Rule::ForeignKeyValidates, line, what, instead);
        }
        if column.checked {
            let what = format!("reads all of `{table}` to check {name}");
            let instead =
                "add the column alone, then ADD CHECK … NOT VALID, then VALIDATE CONSTRAINT in a migration of its own";
            self.find(Rule::CheckValidates, line, what, instead);
        }
    }

    fn add(&mut self, table: &str, constraint: &Constraint, line: u32) {
        if constraint.not_valid {
            if self.explicit || self.implicit {
                self.added.push((table.to_owned(), constraint.name.clone()));
            }
            return;
        }
        let later = "write NOT VALID, then VALIDATE CONSTRAINT in a migration of its own";
        match &constraint.kind {
            ConstraintKind::ForeignKey(other) => {
                let what = format!("looks up every row of `{table}` in `{other}`, with writers of both kept out");
                self.find(Rule::ForeignKeyValidates, line, what, later);
            }
            ConstraintKind::Check { .. } => {
                let what = format!("reads all of `{table}` with everybody kept out");
                self.find(Rule::CheckValidates, line, what, later);
            }
            ConstraintKind::NotNull(column) => self.not_null(table, column, line),
            ConstraintKind::Unique | ConstraintKind::PrimaryKey if constraint.using_index => {}
            ConstraintKind::Exclude => {
                let what = format!("keeps everybody out of `{table}` until the index is built");
                let instead = "do it in a window of maintenance: an exclusion cannot be built CONCURRENTLY";
                self.find(Rule::UniqueBuildsIndex, line, what, instead);
            }
            ConstraintKind::Unique | ConstraintKind::PrimaryKey => {
                let what = format!("keeps everybody out of `{table}` until the index is built");
                let instead =
                    "CREATE UNIQUE INDEX CONCURRENTLY in a file of its own, then ADD CONSTRAINT … USING INDEX";
                self.find(Rule::UniqueBuildsIndex, line, what, instead);
            }
        }
    }

    fn not_null(&mut self, table: &str, column: &str, line: u32) {
        if !self.scope.proven(table, column) {
            let what = format!("reads all of `{table}` with everybody kept out, to see that `{column}` is never NULL");
            let instead = format!(
                "first ADD CHECK ({column} IS NOT NULL) NOT VALID, then VALIDATE CONSTRAINT, each in a migration of its own; then SET \
                 NOT NULL with an exception that names that migration"
            );
            self.find(Rule::SetNotNullScans, line, what, instead);
        }
    }

    fn change_type(&mut self, table: &str, column: &str, to: &str, using: bool, line: u32) {
        let coercible = [
            "text",
            "varchar",
            "character varying",
            "numeric",
            "decimal",
            "timestamptz",
            "timestamp with time zone",
        ]
        .iter()
        .any(|kind| {
            to.strip_prefix(kind)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('('))
        });
        if coercible && !using {
            let what = format!("writes `{table}` anew, unless `{column}` is of a type that needs no change to be {to}");
            let instead = "say in an exception which type it has, or add a new column and fill it in portions";
            self.find(Rule::TypeChangeMayRewrite, line, what, instead);
        } else {
            let what = format!("writes `{table}` and its indexes anew to make `{column}` {to}");
            let instead = "add a column of the new type, have the code write both, fill it in portions, then read it";
            self.find(Rule::TypeChangeRewrites, line, what, instead);
        }
    }
}

/// Returns whether a mode of LOCK TABLE keeps writers out.
fn strong(mode: &str) -> bool {
    !["access share", "row share", "row exclusive", "share update exclusive"]
        .iter()
        .any(|weak| mode.starts_with(weak))
}

fn listed(tables: &[String], none: &str) -> String {
    match tables.is_empty() {
        true => none.to_owned(),
        false => format!("`{}`", tables.join("`, `")),
    }
}
