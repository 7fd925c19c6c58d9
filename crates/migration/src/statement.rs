//! What each statement of a migration does, as far as the rules ask.
//!
//! Owns the reading of PostgreSQL's statements but ALTER TABLE, which is `table`'s. Judges nothing.

use crate::cursor::Cursor;
use crate::table::{self, Action};
use crate::token::{Kind, Script, Token};

/// A statement and where it begins.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) line: u32,
    pub(crate) act: Act,
}

/// What a statement does.
#[derive(Debug)]
pub(crate) enum Act {
    /// BEGIN or START TRANSACTION.
    Begin,
    /// COMMIT, END or ROLLBACK.
    Commit,
    /// SET lock_timeout, or the same by set_config.
    LockTimeout,
    CreateTable {
        name: String,
        /// Tables that its foreign keys look into.
        references: Vec<String>,
    },
    CreateIndex {
        table: String,
        unique: bool,
        concurrently: bool,
        /// ON ONLY a partitioned table, without its partitions.
        only: bool,
    },
    /// CREATE of something else that can be dropped in the same file, or a view over what is there.
    Create {
        name: String,
    },
    CreateTrigger {
        table: String,
    },
    Alter {
        table: String,
        /// Each with its line.
        actions: Vec<(u32, Action)>,
    },
    /// ALTER of another object that gives it another name or schema.
    Rename {
        what: String,
    },
    Drop {
        /// Such as `table` or `materialized view`.
        kind: &'static str,
        names: Vec<String>,
        concurrently: bool,
    },
    Truncate {
        tables: Vec<String>,
    },
    Update {
        table: String,
        columns: Vec<String>,
        all_rows: bool,
    },
    Delete {
        table: String,
        all_rows: bool,
    },
    /// Several writes in one statement: WITH … DELETE … INSERT.
    Several(Vec<Act>),
    VacuumFull {
        tables: Vec<String>,
    },
    Cluster {
        table: String,
    },
    Reindex {
        concurrently: bool,
        what: String,
    },
    Refresh {
        view: String,
        concurrently: bool,
    },
    LockTable {
        tables: Vec<String>,
        /// In lower case; empty where none is given.
        mode: String,
    },
    Revoke,
    /// What it does cannot be read from it.
    Unseen {
        what: String,
    },
    /// Adds something or touches no schema: INSERT, SELECT, GRANT, COMMENT, CREATE FUNCTION …
    Other,
}

/// Reads every statement of a file.
pub(crate) fn statements(script: &Script<'_>) -> Vec<Statement> {
    let mut statements = Vec::new();
    for tokens in &script.statements {
        let mut tokens = tokens.as_slice();
        // A line of psql's own ends by itself, without semicolon.
        while let Some(at) = tokens.iter().position(|token| token.kind == Kind::Meta) {
            push(&mut statements, &tokens[..at]);
            let meta = &tokens[at];
            let includes = meta.text.starts_with("\\i") || meta.text.starts_with("\\gexec");
            if includes {
                let what = format!("`{}`", meta.text.trim_end());
                statements.push(Statement {
                    line: meta.line,
                    act: Act::Unseen { what },
                });
            }
            tokens = &tokens[at + 1..];
        }
        push(&mut statements, tokens);
    }
    statements
}

fn push(statements: &mut Vec<Statement>, tokens: &[Token<'_>]) {
    if let Some(first) = tokens.first() {
        statements.push(Statement {
            line: first.line,
            act: act(Cursor::new(tokens)),
        });
    }
}

fn act(mut at: Cursor<'_>) -> Act {
    let whole = at;
    let Some(first) = at.next() else { return Act::Other };
    match first.text.to_ascii_lowercase().as_str() {
        "begin" => Act::Begin,
        "start" if at.sees("transaction") => Act::Begin,
        "commit" | "end" | "rollback" | "abort" if !at.has("to") => Act::Commit,
        "set" => {
            let _ = at.takes("local") || at.takes("session");
            match at.name() == "lock_timeout" && !at.rest().iter().any(is_off) {
                true => Act::LockTimeout,
                false => Act::Other,
            }
        }
        "select" | "values" => select(whole),
        "create" => create(at),
        "alter" => alter(at),
        "drop" => drop_of(at),
        "truncate" => {
            at.takes("table");
            Act::Truncate { tables: at.names() }
        }
        "update" => update(at),
        "delete" => delete(at),
        "with" => match written(whole) {
            several if several.is_empty() => Act::Other,
            several => Act::Several(several),
        },
        "vacuum" => vacuum(at),
        "cluster" => {
            at.group();
            at.takes("verbose");
            let first = at.name();
            let table = if at.takes("on") { at.name() } else { first };
            Act::Cluster { table }
        }
        "reindex" => Act::Reindex {
            concurrently: at.has("concurrently") || has_inside(at.group(), "concurrently"),
            what: at.text().to_lowercase(),
        },
        "refresh" => {
            at.takes("materialized view");
            Act::Refresh {
                concurrently: at.takes("concurrently"),
                view: at.name(),
            }
        }
        "lock" => {
            at.takes("table");
            let tables = at.names();
            let mode = match at.takes("in") {
                true => at.text().to_lowercase().replace(" nowait", ""),
                false => String::new(),
            };
            Act::LockTable { tables, mode }
        }
        "revoke" => Act::Revoke,
        "do" => Act::Unseen {
            what: "a DO block".to_owned(),
        },
        "call" => Act::Unseen {
            what: format!("the procedure `{}`", at.name()),
        },
        "execute" => Act::Unseen {
            what: format!("the prepared statement `{}`", at.name()),
        },
        "import" | "merge" | "insert" | "copy" | "grant" | "comment" | "analyze" | "explain" | "reset"
        | "savepoint" | "release" | "prepare" | "deallocate" | "discard" | "notify" | "listen" | "unlisten"
        | "security" | "show" | "table" | "checkpoint" | "pragma" | "use" | "replace" | "load" | "declare"
        | "fetch" | "move" | "close" | "reassign" | "commit" | "end" | "rollback" | "abort" => Act::Other,
        _ => Act::Unseen {
            what: format!("a statement that begins with `{}`", first.text),
        },
    }
}

fn has_inside(tokens: &[Token<'_>], word: &str) -> bool {
    tokens.iter().any(|token| token.is(word))
}

/// Returns whether a value of lock_timeout means that there is none.
fn is_off(token: &Token<'_>) -> bool {
    token.is("default") || token.text.trim_matches('\'') == "0"
}

/// A query changes no schema, but for the one that is a way to write `SET lock_timeout`.
fn select(at: Cursor<'_>) -> Act {
    let mut tokens = at.rest().iter();
    let sets = tokens.any(|token| token.is("set_config"))
        && tokens.any(|token| token.kind == Kind::Text && token.text.contains("lock_timeout"));
    if sets { Act::LockTimeout } else { Act::Other }
}

fn create(mut at: Cursor<'_>) -> Act {
    let replaces = at.takes("or replace");
    let _ = at.takes("global") || at.takes("local");
    let _ = at.takes("temporary") || at.takes("temp") || at.takes("unlogged");
    at.takes("recursive");
    if at.takes("table") || at.takes("foreign table") {
        at.takes("if not exists");
        let name = at.name();
        let parts = Cursor::new(at.group()).parts();
        let references = parts.into_iter().filter_map(table::references).collect();
        return Act::CreateTable { name, references };
    }
    let unique = at.takes("unique");
    if at.takes("index") {
        let concurrently = at.takes("concurrently");
        at.takes("if not exists");
        at.skips_to("on");
        let only = at.takes("only");
        return Act::CreateIndex {
            table: at.name(),
            unique,
            concurrently,
            only,
        };
    }
    at.takes("constraint");
    if at.takes("trigger") {
        at.skips_to("on");
        return Act::CreateTrigger { table: at.name() };
    }
    match kind(&mut at) {
        // What may have been there before is not this file's own.
        Some(_) if !replaces => {
            at.takes("if not exists");
            Act::Create { name: at.name() }
        }
        _ => Act::Other,
    }
}

/// Goes past the kind of an object and returns it.
fn kind(at: &mut Cursor<'_>) -> Option<&'static str> {
    const KINDS: &[&str] = &[
        "materialized view",
        "foreign table",
        "event trigger",
        "table",
        "index",
        "view",
        "function",
        "procedure",
        "routine",
        "aggregate",
        "sequence",
        "schema",
        "type",
        "domain",
        "extension",
        "database",
        "trigger",
        "policy",
        "rule",
        "operator",
        "cast",
        "collation",
        "statistics",
        "role",
        "user",
        "server",
        "publication",
        "subscription",
    ];
    KINDS.iter().copied().find(|kind| at.takes(kind))
}

fn drop_of(mut at: Cursor<'_>) -> Act {
    if at.takes("owned") {
        return Act::Drop {
            kind: "owned",
            names: vec![at.text()],
            concurrently: false,
        };
    }
    let Some(kind) = kind(&mut at) else { return Act::Other };
    let concurrently = at.takes("concurrently");
    at.takes("if exists");
    Act::Drop {
        kind,
        names: at.names(),
        concurrently,
    }
}

fn alter(mut at: Cursor<'_>) -> Act {
    let Some(kind) = kind(&mut at) else { return Act::Other };
    if kind == "table" || kind == "foreign table" {
        // ALTER TABLE ALL IN TABLESPACE … SET TABLESPACE moves each of them.
        at.takes("if exists");
        at.takes("only");
        let table = at.name();
        at.takes_symbol("*");
        let parts = at.parts().into_iter();
        let actions = parts.map(|part| (part.line(), table::action(part))).collect();
        return Act::Alter { table, actions };
    }
    at.takes("if exists");
    let name = at.name();
    let harmless = matches!(
        kind,
        "index" | "statistics" | "policy" | "rule" | "trigger" | "role" | "user"
    );
    let renames = at.has("rename") || at.sees("set schema") || (kind == "type" && at.has("drop attribute"));
    // A value added to an enumeration has its own word; what is renamed is the object or one of its values.
    match renames && !harmless {
        true => Act::Rename {
            what: format!("{kind} `{name}`"),
        },
        false => Act::Other,
    }
}

fn update(mut at: Cursor<'_>) -> Act {
    at.takes("only");
    let table = at.name();
    at.skips_to("set");
    let all_rows = !at.has("where");
    let mut columns = Vec::new();
    for mut part in at.parts() {
        let group = part.group();
        match group.is_empty() {
            true => columns.push(part.name()),
            false => columns.extend(Cursor::new(group).parts().into_iter().map(|mut part| part.name())),
        }
        // What follows FROM is no assignment, however many commas it has.
        if part.has("from") || part.has("where") || part.has("returning") {
            break;
        }
    }
    Act::Update {
        table,
        columns,
        all_rows,
    }
}

fn delete(mut at: Cursor<'_>) -> Act {
    at.takes("from");
    at.takes("only");
    Act::Delete {
        table: at.name(),
        all_rows: !at.has("where"),
    }
}

/// The writes in a statement that begins with WITH, at any depth.
fn written(at: Cursor<'_>) -> Vec<Act> {
    let tokens = at.rest();
    let mut acts = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        // ON DELETE, FOR UPDATE and DO UPDATE write nothing of their own; a write begins a statement or stands after AS (.
        let begins = index > 0 && (tokens[index - 1].is_symbol("(") || tokens[index - 1].is_symbol(")"));
        if !begins || !(token.is("update") || token.is("delete")) {
            continue;
        }
        let mut inner = Cursor::new(until_closed(&tokens[index..]));
        inner.next();
        acts.push(if token.is("update") {
            update(inner)
        } else {
            delete(inner)
        });
    }
    acts
}

/// Cuts at the parenthesis that closes what `tokens` stands in.
fn until_closed<'a>(tokens: &'a [Token<'a>]) -> &'a [Token<'a>] {
    let mut depth = 0_i64;
    let end = tokens.iter().position(|token| {
        depth += i64::from(token.is_symbol("(")) - i64::from(token.is_symbol(")"));
        depth < 0
    });
    &tokens[..end.unwrap_or(tokens.len())]
}

fn vacuum(mut at: Cursor<'_>) -> Act {
    let full_inside = has_inside(at.group(), "full");
    let full = at.takes("full") || full_inside;
    while at.takes("freeze") || at.takes("verbose") || at.takes("analyze") {}
    match full {
        true => Act::VacuumFull { tables: at.names() },
        false => Act::Other,
    }
}
