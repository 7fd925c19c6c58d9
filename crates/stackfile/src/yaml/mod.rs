//! YAML as a tree in which everything knows where it was written.
//!
//! Owns the reading of one document: anchors, aliases, merge keys, tags and their limits. Knows nothing of stacks.

mod node;
mod read;
mod write;

pub(crate) use node::{Entry, Kind, Map, Node, Scalar, Tag, Value, parse_bool};
pub(crate) use read::read;
pub(crate) use write::{to_json, to_yaml};
