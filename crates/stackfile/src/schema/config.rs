//! The keys of the chapter `config`, and of `config` on a service.

use super::{Form, Record, Shape, key};

const TEXT: Shape = Shape::One(Form::Text);
const TEXTS: Shape = Shape::Either(&[TEXT, Shape::List(&TEXT)]);

/// The words of `as`.
pub(super) const FORMS: &[&str] = &["environment", "file", "watch"];

/// The chapter.
pub(super) static CONFIG: Record = Record {
    name: "config",
    required: &[],
    more: &[],
    keys: &[
        key(
            "schema",
            TEXT,
            "the file that declares each key, with its type, range, default and what a change asks for; default config/schema.yaml",
        ),
        key(
            "files",
            TEXTS,
            "files of values, the later above the earlier; default config/environments/ENVIRONMENT.yml",
        ),
        key(
            "dotenv",
            TEXTS,
            "files of variables, above those; default .env and config/secrets/ENVIRONMENT.env",
        ),
        key(
            "table",
            Shape::Keys(&TABLE),
            "a table of a database with a key and a value in each row, above all files",
        ),
    ],
};

static TABLE: Record = Record {
    name: "table",
    required: &["url"],
    more: &[],
    keys: &[
        key(
            "url",
            Shape::One(Form::DatabaseUrl),
            "its database; the password in it is never printed",
        ),
        key("name", Shape::One(Form::TableName), "its name; default system_config"),
        key(
            "key",
            Shape::One(Form::ColumnName),
            "the column of the key; default key",
        ),
        key(
            "value",
            Shape::One(Form::ColumnName),
            "the column of the value, as JSON; default value",
        ),
        key(
            "active",
            Shape::One(Form::ColumnName),
            "the column that says whether a row counts; default is_active, and `false` where all rows do",
        ),
        key(
            "every",
            Shape::One(Form::Duration),
            "how often it is looked at where the database announces no changes; default 1s",
        ),
    ],
};

/// `config` of a service.
pub(super) static DELIVERY: Record = Record {
    name: "config",
    required: &[],
    more: &[],
    keys: &[
        key(
            "as",
            Shape::Words(FORMS),
            "variables when a replica starts (the default), a file of each replica, or an endpoint that tells each change",
        ),
        key(
            "keys",
            TEXTS,
            "what it gets: keys, and prefixes such as `payment.*`; default all that is no secret",
        ),
        key(
            "format",
            Shape::Words(&["dotenv", "json", "yaml", "toml"]),
            "what the file is written in; default json",
        ),
        key(
            "signal",
            Shape::One(Form::Signal),
            "what a replica is sent when its file was written anew, such as SIGHUP; left out, it looks by itself",
        ),
    ],
};
