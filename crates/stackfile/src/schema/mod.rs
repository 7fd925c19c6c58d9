//! What may stand where in a stack file: one table from which checking, the JSON Schema and the manual page come.
//!
//! Owns the keys, their shapes and their one-line descriptions. Knows nothing of what the values are turned into.

mod alerts;
mod check;
mod compose;
mod config;
mod deploy;
mod edge;
mod form;
mod json;
mod metrics;
mod ours;
mod page;
mod resources;
mod rotation;
mod vault;

pub(crate) use alerts::SEVERITIES;
pub(crate) use check::{check, check_required};
pub(crate) use compose::{FILE, SERVICE};
pub(crate) use form::{
    Form, parse_hash_key, parse_host_port, parse_limit_key, parse_percent, parse_port_spec, parse_rate, parse_share,
    parse_signal, parse_volume_spec,
};
pub use json::schema;
pub(crate) use ours::CHAPTERS_TO_COME;
pub use page::pages;
pub(crate) use tend_text::did_you_mean;

/// What a value may look like.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything at all.
    Any,
    /// One value with a grammar.
    One(Form),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Nothing written.
    Nothing,
    /// A list of such values.
    List(&'static Shape),
    /// A mapping with names of the author's choice.
    Names(&'static Shape),
    /// A mapping with these keys.
    Keys(&'static Record),
    /// Any of several shapes, the preferred one first.
    Either(&'static [Shape]),
}

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Record {
    /// How messages and the schema call it.
    pub(crate) name: &'static str,
    /// Its keys.
    pub(crate) keys: &'static [Key],
    /// Keys of ours that are kept in a table of their own.
    pub(crate) more: &'static [Key],
    /// Keys that must be there.
    pub(crate) required: &'static [&'static str],
}

/// One key of a mapping.
#[derive(Debug)]
pub(crate) struct Key {
    /// As written.
    pub(crate) name: &'static str,
    /// What its value may look like.
    pub(crate) shape: Shape,
    /// Who acts upon it.
    pub(crate) reach: Reach,
    /// One line for the manual.
    pub(crate) about: &'static str,
}

/// Who acts upon a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Compose's, and acted upon for processes too.
    Both,
    /// Compose's, and without meaning for a process: said on a process, accepted on a container.
    Container,
    /// Compose's, and a remark that changes nothing.
    Remark,
    /// Ours, for processes.
    Ours,
}

pub(crate) const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key {
        name,
        shape,
        reach: Reach::Both,
        about,
    }
}

pub(crate) const fn container(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key {
        name,
        shape,
        reach: Reach::Container,
        about,
    }
}

pub(crate) const fn remark(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key {
        name,
        shape,
        reach: Reach::Remark,
        about,
    }
}

pub(crate) const fn ours(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key {
        name,
        shape,
        reach: Reach::Ours,
        about,
    }
}

impl Record {
    /// Returns the key of that name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.all().find(|key| key.name == name)
    }

    /// Returns all keys, Compose's first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().chain(self.more)
    }
}
