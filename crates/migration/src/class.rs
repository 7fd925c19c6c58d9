//! The class of a migration: declared in its head, or derived from its statements.
//!
//! Owns what a statement does to the code of the release before. Long locks are `lint`'s.
//!
//! Some effects are certain (a dropped column), others depend on what the statement does not show (a changed type may only be
//! wider than before). A declaration is believed against the second kind and refused against the first.

use tend_core::model::MigrationClass::{self, Contract, Irreversible};

use crate::file::File;
use crate::scope::Scope;
use crate::statement::Act;
use crate::table::{Action, ConstraintKind, Fill};
use crate::{Finding, Rule};

/// What one statement does to the code of the release before; nothing for one that only adds.
struct Effect {
    line: u32,
    class: MigrationClass,
    certain: bool,
    what: String,
}

/// Returns what the migration does to the code of the release before, and what is wrong with how the file says so.
///
/// The class is the declared one, `-- tend: expand|contract|irreversible` before the first statement, but never weaker than what
/// the statements certainly do. Without a declaration it is the strongest that any statement may have. A file that is only run
/// when going back, by its name ([`is_forward`](crate::is_forward)), is `expand`: it is never run.
#[must_use]
pub fn class(file_name: &str, sql: &str) -> (MigrationClass, Vec<Finding>) {
    let file = File::read(file_name, sql);
    let mut findings = file.about_class.clone();
    let mut scope = Scope::default();
    let mut effects = Vec::new();
    let mut unseen = Vec::new();
    for statement in &file.statements {
        if let Act::Unseen { what } = &statement.act {
            unseen.push((statement.line, what.clone()));
        }
        effects.extend(of(&statement.act, statement.line, &scope));
        scope.take(&statement.act);
    }
    let strongest = |effects: &mut dyn Iterator<Item = &Effect>| {
        let classes = effects.map(|effect| effect.class);
        classes.max().unwrap_or(MigrationClass::Expand)
    };
    let certain = strongest(&mut effects.iter().filter(|effect| effect.certain));
    let Some(declared) = file.declared else {
        // What cannot be seen may be anything that an ordinary migration does.
        let mut class = strongest(&mut effects.iter());
        if !unseen.is_empty() || file.about_file.iter().any(|finding| finding.rule == Rule::Unclosed) {
            class = class.max(Contract);
        }
        for (line, what) in unseen {
            let what = format!("what {what} does cannot be seen");
            let instead = "say at the top of the file what it is: `-- tend: expand`, `contract` or `irreversible`";
            findings.push(Rule::ClassUnseen.found(line, what, instead));
        }
        return (class, file.settle(findings));
    };
    for effect in effects
        .iter()
        .filter(|effect| effect.certain && effect.class > declared)
    {
        let what = format!(
            "the file is declared {}, but this {}, which is {}",
            declared.text(),
            effect.what,
            effect.class.text()
        );
        let instead = format!(
            "declare it `-- tend: {}`, or move the statement into a migration of its own",
            effect.class.text()
        );
        findings.push(Rule::ClassTooWeak.found(effect.line, what, instead));
    }
    let findings = file.settle(findings);
    let class = match file.allowed.contains(&Rule::ClassTooWeak) {
        true => declared,
        false => declared.max(certain),
    };
    (class, findings)
}

fn of(act: &Act, line: u32, scope: &Scope) -> Vec<Effect> {
    let one = |class, certain, what: String| {
        vec![Effect {
            line,
            class,
            certain,
            what,
        }]
    };
    match act {
        Act::CreateIndex {
            table, unique: true, ..
        } if !scope.made(table) => one(
            Contract,
            false,
            format!("refuses rows of `{table}` that were fine before"),
        ),
        Act::Alter { table, actions } if !scope.made(table) => actions
            .iter()
            .filter_map(|(line, action)| {
                let (class, certain, what) = of_action(table, action, scope)?;
                Some(Effect {
                    line: *line,
                    class,
                    certain,
                    what,
                })
            })
            .collect(),
        Act::Rename { what } => one(Contract, true, format!("renames or changes the {what}")),
        Act::Drop { kind, names, .. } => {
            let known: Vec<&str> = names
                .iter()
                .map(String::as_str)
                .filter(|name| !scope.made(name))
                .collect();
            let what = format!("drops the {kind} `{}`", known.join("`, `"));
            match *kind {
                // Only what was read and is the file's own takes nothing away.
                _ if known.is_empty() && !names.is_empty() => Vec::new(),
                "index" | "statistics" => Vec::new(),
                "database" | "owned" => one(Irreversible, true, what),
                "table" | "foreign table" | "schema" | "sequence" | "type" | "domain" => one(Contract, true, what),
                // A view or function may be made anew further down, for the old code as well as for the new.
                _ => one(Contract, false, what),
            }
        }
        Act::Truncate { tables } => {
            let known = tables.iter().filter(|table| !scope.made(table));
            let known: Vec<&str> = known.map(String::as_str).collect();
            match known.is_empty() && !tables.is_empty() {
                true => Vec::new(),
                false => one(Irreversible, true, format!("empties `{}`", known.join("`, `"))),
            }
        }
        Act::Delete { table, all_rows: true } if !scope.made(table) => {
            one(Irreversible, true, format!("deletes every row of `{table}`"))
        }
        Act::Update {
            table,
            columns,
            all_rows: true,
        } if !scope.made(table) => {
            // Filling a column that is new overwrites nothing.
            let known = columns.iter().find(|column| !scope.added(table, column));
            known.map_or_else(Vec::new, |column| {
                let what = format!("overwrites `{column}` in every row of `{table}`");
                // Whether the column was filled in by an earlier migration of the same release cannot be seen.
                one(Irreversible, false, what)
            })
        }
        Act::Several(acts) => acts.iter().flat_map(|act| of(act, line, scope)).collect(),
        Act::Revoke => one(Contract, false, "takes a right away".to_owned()),
        _ => Vec::new(),
    }
}

/// What one action does to the code of the release before, whether for certain, and the words for it.
fn of_action(table: &str, action: &Action, scope: &Scope) -> Option<(MigrationClass, bool, String)> {
    let column_of = |column: &str| format!("`{table}.{column}`");
    Some(match action {
        Action::AddColumn(column) if column.not_null && column.fill == Fill::Nothing => (
            Contract,
            true,
            format!("asks for {} in every row that is inserted", column_of(&column.name)),
        ),
        Action::DropColumn(column) if !scope.added(table, column) => {
            (Contract, true, format!("drops {}", column_of(column)))
        }
        Action::RenameColumn(column) if !scope.added(table, column) => {
            (Contract, true, format!("renames {}", column_of(column)))
        }
        Action::RenameTable(_) => (Contract, true, format!("renames or moves `{table}`")),
        Action::Type { column, to, using } if !scope.added(table, column) => (
            Contract,
            *using || narrow(to),
            format!("changes {} to {to}", column_of(column)),
        ),
        Action::SetNotNull(column) if !scope.filled(table, column) => {
            (Contract, true, format!("refuses NULL in {}", column_of(column)))
        }
        Action::DropDefault(column) if !scope.added(table, column) => {
            (Contract, false, format!("drops the default of {}", column_of(column)))
        }
        Action::Add(constraint) => match &constraint.kind {
            // The index refused them already.
            ConstraintKind::Unique if constraint.using_index => return None,
            ConstraintKind::NotNull(column) if scope.filled(table, column) => return None,
            ConstraintKind::NotNull(column) => (Contract, true, format!("refuses NULL in {}", column_of(column))),
            _ => (
                Contract,
                false,
                format!("refuses rows of `{table}` that were fine before"),
            ),
        },
        Action::Detach { partition, .. } => (Contract, true, format!("takes `{partition}` out of `{table}`")),
        Action::Unseen(word) => (
            Contract,
            false,
            format!("changes `{table}` by {word}, which is not known"),
        ),
        Action::RowSecurity => (Contract, false, format!("hides rows of `{table}` that no policy shows")),
        _ => return None,
    })
}

/// Returns whether no common type fits into this one.
fn narrow(to: &str) -> bool {
    matches!(
        to,
        "smallint" | "int2" | "boolean" | "bool" | "char" | "char(1)" | "date" | "uuid"
    )
}
