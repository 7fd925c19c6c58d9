//! What ALTER TABLE does.
//!
//! Owns the reading of columns, constraints and defaults, and what is known of PostgreSQL's own functions: whether they give every
//! row the same value. Judges nothing.

use crate::cursor::Cursor;
use crate::token::Kind;

/// A column as it is added.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) not_null: bool,
    pub(crate) fill: Fill,
    /// Its own UNIQUE or PRIMARY KEY.
    pub(crate) indexed: bool,
    pub(crate) references: Option<String>,
    pub(crate) checked: bool,
}

/// What rows that are already there get in a new column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// NULL.
    Nothing,
    /// The same value each.
    Same,
    /// A value of its own each, because of this.
    Each(String),
    /// Whatever this function says, which may be volatile.
    Unknown(String),
}

/// One action of an ALTER TABLE.
#[derive(Debug)]
pub(crate) enum Action {
    AddColumn(Column),
    DropColumn(String),
    Type {
        column: String,
        /// The new type in lower case, such as `varchar(20)`.
        to: String,
        using: bool,
    },
    SetNotNull(String),
    SetDefault(String),
    DropDefault(String),
    Add(Constraint),
    Validate(String),
    RenameColumn(String),
    /// RENAME TO or SET SCHEMA; holds the new name, empty for a new schema.
    RenameTable(String),
    /// Writes the table anew; holds the words that do.
    Moves(String),
    Attach(String),
    Detach {
        partition: String,
        concurrently: bool,
    },
    /// ENABLE ROW LEVEL SECURITY.
    RowSecurity,
    /// Holds only SHARE UPDATE EXCLUSIVE, for a moment.
    Light,
    /// Another that is known: a short change of the catalogue under a strong lock.
    Other,
    /// What begins with this word is no action of PostgreSQL's, such as MySQL's MODIFY.
    Unseen(String),
}

/// A constraint as it is added.
#[derive(Debug)]
pub(crate) struct Constraint {
    /// Empty where PostgreSQL makes one up.
    pub(crate) name: String,
    pub(crate) kind: ConstraintKind,
    pub(crate) not_valid: bool,
    pub(crate) using_index: bool,
}

/// What a constraint asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ConstraintKind {
    Check {
        /// Columns that it proves not to be NULL.
        not_null: Vec<String>,
    },
    ForeignKey(String),
    Unique,
    PrimaryKey,
    Exclude,
    /// NOT NULL as a constraint with a name (since 18).
    NotNull(String),
}

/// Words that end a type or a default and begin a constraint of the column.
const CONSTRAINT_WORDS: &[&str] = &[
    "constraint",
    "not",
    "null",
    "default",
    "generated",
    "unique",
    "primary",
    "references",
    "check",
    "collate",
    "storage",
    "compression",
    "deferrable",
    "initially",
];

/// Functions and constructs that give every row of a statement the same value, by PostgreSQL's own catalogue (`pg_proc.provolatile`).
/// Types stand among them, because `varchar(20)` looks like a call.
const SAME: &[&str] = &[
    "abs",
    "age",
    "array",
    "bit",
    "bpchar",
    "cast",
    "ceil",
    "char",
    "character",
    "coalesce",
    "concat",
    "current_setting",
    "current_time",
    "current_timestamp",
    "date_part",
    "date_trunc",
    "decimal",
    "decode",
    "encode",
    "extract",
    "float",
    "floor",
    "format",
    "greatest",
    "int4range",
    "int8range",
    "interval",
    "json_build_array",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "least",
    "length",
    "localtime",
    "localtimestamp",
    "lower",
    "lpad",
    "make_date",
    "make_interval",
    "make_timestamptz",
    "md5",
    "now",
    "nullif",
    "numeric",
    "numrange",
    "replace",
    "round",
    "rpad",
    "row",
    "sha256",
    "statement_timestamp",
    "substring",
    "time",
    "timestamp",
    "timestamptz",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_timestamp",
    "transaction_timestamp",
    "trim",
    "tsrange",
    "tstzrange",
    "txid_current",
    "upper",
    "varbit",
    "varchar",
    "varying",
];

/// Functions that are volatile, of PostgreSQL and of the extensions that everybody has.
const VOLATILE: &[&str] = &[
    "clock_timestamp",
    "currval",
    "gen_random_bytes",
    "gen_random_uuid",
    "gen_salt",
    "lastval",
    "nextval",
    "random",
    "random_normal",
    "setval",
    "timeofday",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
];

/// Reads a column of ADD COLUMN.
fn column(mut at: Cursor<'_>) -> Column {
    let mut column = Column {
        name: at.name(),
        not_null: false,
        fill: Fill::Nothing,
        indexed: false,
        references: None,
        checked: false,
    };
    let kind = until_constraint(&mut at).text().to_lowercase();
    if matches!(
        kind.as_str(),
        "serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8"
    ) {
        column.fill = Fill::Each(kind);
    }
    while !at.rest().is_empty() {
        if at.takes("not null") {
            column.not_null = true;
        } else if at.takes("default") {
            column.fill = fill(until_constraint(&mut at));
        } else if at.takes("generated") {
            let _ = at.takes("always") || at.takes("by default");
            at.takes("as");
            if at.takes("identity") {
                column.fill = Fill::Each("an identity column".to_owned());
            } else {
                at.group();
                // VIRTUAL, the other kind (since 18), is computed when it is read.
                column.fill = match at.takes("stored") {
                    true => Fill::Each("a stored generated column".to_owned()),
                    false => Fill::Same,
                };
            }
            at.group();
        } else if at.takes("unique") {
            column.indexed = true;
        } else if at.takes("primary key") {
            column.indexed = true;
            column.not_null = true;
        } else if at.takes("references") {
            column.references = Some(at.name());
        } else if at.takes("check") {
            column.checked = true;
            at.group();
        } else {
            at.next();
        }
    }
    column
}

/// Returns the table that a column or constraint of CREATE TABLE looks into.
pub(crate) fn references(mut at: Cursor<'_>) -> Option<String> {
    at.skips_to("references").then(|| at.name())
}

/// Reads one action of ALTER TABLE.
pub(crate) fn action(mut at: Cursor<'_>) -> Action {
    if at.takes("add") {
        return add(at);
    }
    if at.takes("drop") {
        if at.takes("constraint") {
            return Action::Other;
        }
        at.takes("column");
        at.takes("if exists");
        return Action::DropColumn(at.name());
    }
    if at.sees("alter constraint") {
        return Action::Other;
    }
    if at.takes("alter") {
        at.takes("column");
        return alter_column(at);
    }
    if at.takes("rename") {
        if at.takes("to") {
            return Action::RenameTable(at.name());
        }
        if at.takes("constraint") {
            return Action::Other;
        }
        at.takes("column");
        return Action::RenameColumn(at.name());
    }
    if at.takes("validate constraint") {
        return Action::Validate(at.name());
    }
    if at.takes("attach partition") {
        return Action::Attach(at.name());
    }
    if at.takes("detach partition") {
        return Action::Detach {
            partition: at.name(),
            concurrently: at.takes("concurrently") || at.takes("finalize"),
        };
    }
    if at.sees("enable row level") {
        return Action::RowSecurity;
    }
    if at.sees("set schema") {
        return Action::RenameTable(String::new());
    }
    for words in ["set logged", "set unlogged", "set tablespace", "set access method"] {
        if at.has(words) {
            return Action::Moves(words.to_uppercase());
        }
    }
    let settings = at.takes("set") || at.takes("reset");
    if (settings && !at.group().is_empty()) || at.sees("cluster on") || at.sees("without cluster") {
        return Action::Light;
    }
    let known = settings || OTHER_ACTIONS.iter().any(|word| at.sees(word));
    match at.rest().first() {
        Some(word) if !known => Action::Unseen(word.text.to_owned()),
        _ => Action::Other,
    }
}

/// How the actions begin that change only the catalogue and nothing that code of the release before would see.
const OTHER_ACTIONS: &[&str] = &[
    "owner",
    "enable",
    "disable",
    "force",
    "no force",
    "inherit",
    "no inherit",
    "of",
    "not of",
    "replica",
    "options",
];

fn add(mut at: Cursor<'_>) -> Action {
    if !is_table_constraint(&at) {
        at.takes("column");
        at.takes("if not exists");
        return Action::AddColumn(column(at));
    }
    let name = match at.takes("constraint") {
        true => at.name(),
        false => String::new(),
    };
    let kind = if at.takes("check") {
        ConstraintKind::Check {
            not_null: proven(Cursor::new(at.group())),
        }
    } else if at.takes("foreign key") {
        at.skips_to("references");
        ConstraintKind::ForeignKey(at.name())
    } else if at.takes("unique") {
        ConstraintKind::Unique
    } else if at.takes("primary key") {
        ConstraintKind::PrimaryKey
    } else if at.takes("not null") {
        ConstraintKind::NotNull(at.name())
    } else {
        ConstraintKind::Exclude
    };
    Action::Add(Constraint {
        name,
        kind,
        not_valid: at.has("not valid"),
        using_index: at.has("using index") && !at.has("using index tablespace"),
    })
}

fn alter_column(mut at: Cursor<'_>) -> Action {
    let column = at.name();
    at.takes("set data");
    if at.takes("type") {
        let mut rest = at;
        let using = rest.skips_to("using");
        let end = at
            .rest()
            .iter()
            .position(|token| token.is("using") || token.is("collate"));
        let to = Cursor::new(&at.rest()[..end.unwrap_or(at.rest().len())]);
        return Action::Type {
            column,
            to: to.text().to_lowercase(),
            using,
        };
    }
    match () {
        () if at.sees("set not null") => Action::SetNotNull(column),
        () if at.sees("set default") => Action::SetDefault(column),
        () if at.sees("drop default") => Action::DropDefault(column),
        () if at.sees("set expression") => Action::Moves("SET EXPRESSION".to_owned()),
        () if at.sees("set statistics") => Action::Light,
        () if (at.takes("set") || at.takes("reset")) && !at.group().is_empty() => Action::Light,
        () => Action::Other,
    }
}

fn is_table_constraint(at: &Cursor<'_>) -> bool {
    [
        "constraint",
        "check",
        "foreign key",
        "unique",
        "primary key",
        "exclude",
        "not null",
    ]
    .iter()
    .any(|words| at.sees(words))
}

/// Goes past what belongs to a type or a default, which is at least one token long.
fn until_constraint<'a>(at: &mut Cursor<'a>) -> Cursor<'a> {
    let all = at.rest();
    at.next();
    while let Some(token) = at.rest().first() {
        if token.kind == Kind::Word && CONSTRAINT_WORDS.iter().any(|word| token.is(word)) {
            break;
        }
        if token.is_symbol("(") {
            at.group();
        } else {
            at.next();
        }
    }
    Cursor::new(&all[..all.len() - at.rest().len()])
}

/// Decides whether a default is the same for every row.
fn fill(expression: Cursor<'_>) -> Fill {
    let tokens = expression.rest();
    if tokens.len() == 1 && tokens[0].is("null") {
        return Fill::Nothing;
    }
    let mut unknown = None;
    for pair in tokens.windows(2) {
        let [name, open] = pair else { continue };
        if !open.is_symbol("(") || !matches!(name.kind, Kind::Word | Kind::Quoted) {
            continue;
        }
        let function = name.text.to_lowercase();
        if VOLATILE.contains(&function.as_str()) {
            return Fill::Each(format!("{function}()"));
        }
        if !SAME.contains(&function.as_str()) {
            unknown = Some(Fill::Unknown(format!("{function}()")));
        }
    }
    unknown.unwrap_or(Fill::Same)
}

/// The columns that a CHECK proves not to be NULL: `a IS NOT NULL`, alone or joined by AND.
fn proven(check: Cursor<'_>) -> Vec<String> {
    let mut columns = Vec::new();
    for part in check.rest().split(|token| token.is("and")) {
        let mut at = Cursor::new(part);
        let inside = at.group();
        let mut at = if inside.is_empty() {
            Cursor::new(part)
        } else {
            Cursor::new(inside)
        };
        let column = at.name();
        if at.takes("is not null") && at.rest().is_empty() {
            columns.push(column);
        } else if part.iter().any(|token| token.is("or")) {
            return Vec::new();
        }
    }
    columns
}
