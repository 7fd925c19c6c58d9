//! The keys of the chapter `vault`, and of `vault` on a secret.

use super::{Form, Record, Shape, key};

const TEXT: Shape = Shape::One(Form::Text);

/// The chapter.
pub(super) static VAULT: Record = Record {
    name: "vault",
    required: &["address", "auth"],
    more: &[],
    keys: &[
        key(
            "address",
            TEXT,
            "where it is: https://HOST:PORT, port 8200 where none is said; http:// for this machine alone",
        ),
        key(
            "namespace",
            TEXT,
            "the namespace that everything is in; default the topmost",
        ),
        key(
            "ca",
            TEXT,
            "a file of certificates that are believed in the place of the machine's own",
        ),
        key("auth", Shape::Keys(&AUTH), "how tend logs in: one of the two"),
        key(
            "every",
            Shape::One(Form::Duration),
            "how often each secret is looked at; default 30s",
        ),
    ],
};

static AUTH: Record = Record {
    name: "auth",
    required: &[],
    more: &[],
    keys: &[
        key(
            "token",
            Shape::Keys(&CREDENTIAL),
            "with a token that somebody else obtains",
        ),
        key("approle", Shape::Keys(&APPROLE), "with a role"),
    ],
};

static APPROLE: Record = Record {
    name: "approle",
    required: &["role_id"],
    more: &[],
    keys: &[
        key("role_id", Shape::Keys(&CREDENTIAL), "which role"),
        key(
            "secret_id",
            Shape::Keys(&CREDENTIAL),
            "its password; left out, none is sent",
        ),
        key("mount", TEXT, "where the method is mounted; default approle"),
    ],
};

static CREDENTIAL: Record = Record {
    name: "credential",
    required: &[],
    more: &[],
    keys: &[
        key(
            "file",
            TEXT,
            "the file it is in, which the daemon reads at each log-in; it belongs to the stack's owner",
        ),
        key("secret", TEXT, "the secret it is, one of `secrets`"),
    ],
};

/// `vault` of a secret.
pub(super) static SECRET: Record = Record {
    name: "vault",
    required: &["path", "field"],
    more: &[],
    keys: &[
        key(
            "path",
            TEXT,
            "MOUNT/data/NAME in a KV engine of version 2, such as kv/data/mps",
        ),
        key("field", TEXT, "which of its fields"),
    ],
};
