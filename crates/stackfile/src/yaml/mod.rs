//! What a stack file takes of YAML, and the tree written out again.
//!
//! Owns the limits of such a file and the words in which others are refused. The reading and the tree are `tend_text`'s.

mod write;

use tend_text::Dialect;
pub(crate) use tend_text::{Entry, Kind, Map, Node, Scalar, Tag, Value, parse_bool};
pub(crate) use write::{to_json, to_yaml};

use crate::error::Findings;
use crate::source::SourceId;

const STACK_FILE: Dialect = Dialect {
    // The deepest place the Compose specification defines is nine levels down.
    depth_max: 64,
    // What compares each with each stays quick with so many, and the largest file known to us has a few hundred.
    entries_max: 2000,
    plain: Kind::of_plain,
    kinds: &[
        ("str", Kind::Text),
        ("int", Kind::Integer),
        ("float", Kind::Float),
        ("bool", Kind::Bool),
        ("null", Kind::Null),
    ],
    merge_tags: true,
    file: "a stack file",
    inside: "a stack file",
    help_document: "put it into a file of its own and name both: -f a.yml -f b.yml",
    help_depth: "no part of a stack file is nested that deep",
    help_entries: "no part of a stack file has that many",
    help_tag: "the tags are `!reset` and `!override`; put a text that starts with `!` in quotes",
    help_empty: Some("write what runs below `services:`"),
};

/// Reads the one document of a file; notes what is wrong and returns nothing if it is not YAML or empty.
pub(crate) fn read(source: SourceId, findings: &mut Findings) -> Option<Node> {
    tend_text::read(source, &STACK_FILE, findings)
}
