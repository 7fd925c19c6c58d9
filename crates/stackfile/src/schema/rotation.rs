//! The keys of `rotation` on a secret.

use super::{Form, Record, Shape, key};

const TEXT: Shape = Shape::One(Form::Text);
const PATH: Shape = Shape::One(Form::HttpPath);
const DURATION: Shape = Shape::One(Form::Duration);
const COMMAND: Shape = Shape::Either(&[Shape::One(Form::Command), Shape::List(&TEXT)]);

/// `rotation` of a secret.
pub(super) static ROTATION: Record = Record {
    name: "rotation",
    required: &[],
    more: &[],
    keys: &[
        key(
            "service",
            TEXT,
            "the service whose environment, user and folder the commands below have, and whose replicas are asked; default the only one \
             that is given the secret",
        ),
        key(
            "overlap",
            DURATION,
            "class token-overlap: what was made with the old version may be shown for so long; default 24h",
        ),
        key(
            "prove",
            COMMAND,
            "class token-overlap, judged by a provider: uses the value in TEND_SECRET once; ends with 0 when it was accepted, with 1 when \
             it was refused",
        ),
        key(
            "register",
            COMMAND,
            "makes the value in TEND_SECRET valid beside the one in TEND_SECRET_OTHER; left out, it is so already",
        ),
        key(
            "revoke",
            COMMAND,
            "makes the value in TEND_SECRET invalid; left out, a person does",
        ),
        key(
            "timeout",
            DURATION,
            "how long one of these commands may take; default 60s",
        ),
        key(
            "reencrypt",
            Shape::Keys(&REENCRYPT),
            "class re-encrypt: how a replica says how much is not encrypted by the key it uses",
        ),
    ],
};

static REENCRYPT: Record = Record {
    name: "reencrypt",
    required: &["left"],
    more: &[],
    keys: &[
        key(
            "post",
            PATH,
            "POST to this path tells each replica to encrypt the rest anew; left out, it does by itself",
        ),
        key(
            "left",
            PATH,
            "GET of this path answers how much is left: a number, or samples of Prometheus",
        ),
        key("metric", TEXT, "the sample to read there"),
    ],
};
