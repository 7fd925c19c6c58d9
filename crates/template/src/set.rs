//! Templates by their names, and what rendering one may take. The way into this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::TemplateError;
use crate::functions::Dialect;
use crate::node::Node;
use crate::parse::{Parsed, parse};
use crate::render::render;
use crate::value::Value;
use crate::world::World;

/// Whether values are escaped where they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Values are written as they are.
    Text,
    /// Values are escaped for the place in the HTML where they stand.
    Html,
}

/// What one rendering may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of output, and as many again of texts made on the way.
    pub bytes: usize,
    /// Nodes, commands and arguments that are looked at.
    pub steps: u64,
    /// Templates that call templates.
    pub depth: usize,
}

impl Default for Limits {
    /// A mebibyte, a million steps, and templates 30 deep: mail programs and chats take far less than that.
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            steps: 1_000_000,
            depth: 30,
        }
    }
}

/// Templates that can call one another. A clone is cheap and has a life of its own.
#[derive(Clone, Debug)]
pub struct Templates {
    dialect: Dialect,
    variables: Vec<String>,
    bodies: BTreeMap<String, Arc<Vec<Node>>>,
}

impl Templates {
    /// No templates yet. Actions have the functions of the dialect.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            variables: Vec::new(),
            bodies: BTreeMap::new(),
        }
    }

    /// Declares variables that every text added from now on has from its start; names without `$`. A `define` has them not, as in Prometheus.
    #[must_use]
    pub fn with_variables(mut self, names: &[&str]) -> Self {
        self.variables = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Adds a text under a name, and what it defines under the names it gives. A later text replaces an earlier one of the same name, unless it is
    /// nothing but blanks.
    ///
    /// # Errors
    /// Where the text is not a template: the first fault in it.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        let Parsed { body, defined } =
            parse(text, self.dialect, &self.variables).map_err(|(place, what)| TemplateError::Parse {
                template: name.to_owned(),
                place,
                what,
            })?;
        for (name, body) in defined {
            self.keep(name, body);
        }
        self.keep(name.to_owned(), body);
        Ok(())
    }

    fn keep(&mut self, name: String, body: Vec<Node>) {
        let blank = body
            .iter()
            .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()));
        if blank && self.bodies.contains_key(&name) {
            return;
        }
        self.bodies.insert(name, Arc::new(body));
    }

    /// Returns the names of all templates, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.bodies.keys().map(String::as_str)
    }

    pub(crate) fn body(&self, name: &str) -> Option<Arc<Vec<Node>>> {
        self.bodies.get(name).cloned()
    }

    /// Renders a template over data. `variables` are the values of the variables that were declared, in any order; one that is left out has no value.
    ///
    /// # Errors
    /// Where the template asks for what its data do not have, where a function fails, or where it takes more than `limits`.
    pub fn render(
        &self,
        name: &str,
        data: &Value,
        variables: &[(&str, Value)],
        world: &mut dyn World,
        escape: Escape,
        limits: Limits,
    ) -> Result<String, TemplateError> {
        render(self, name, data, variables, world, escape, limits)
    }
}
