//! Reads the sources of a set and finds what each says about which key, before it is judged.
//!
//! Owns which variables stand for what, and which names are keys. Knows nothing of types and of who wins.

use std::collections::BTreeMap;

use tend_text::{
    Fault, Kind, Location, Node, Noted, Place, Shows, Value as Tree, did_you_mean, is_bare_variable, nearest_name,
    parse_dotenv,
};

use crate::build::{At, Builder, Offer};
use crate::flatten::leaves;
use crate::interpolate::{self, SECRET};
use crate::json;
use crate::layers::{Layer, Origin, Row, SetLayer, StoredSecret};
use crate::schema::{Form, Key};
use crate::set::Whence;
use crate::yaml;

impl<'a> Builder<'a> {
    /// Reads all sources, in the order of their layers.
    pub(crate) fn collect(&mut self) {
        let origins: &'a [Origin] = &self.layers.origins;
        let none = BTreeMap::new();
        let process = origins
            .iter()
            .rev()
            .find_map(|origin| match origin {
                Origin::Process(variables) => Some(variables),
                _ => None,
            })
            .unwrap_or(&none);
        let secret = self.schema.keys.values().filter(|key| key.secret);
        self.carriers
            .extend(secret.map(|key| (key.variable.clone(), key.name.clone())));
        // Files of variables come first: what they hold stands for `${NAME}` in the files beneath them.
        let mut from_files = process.clone();
        for origin in origins {
            match origin {
                Origin::Dotenv { path, text } => {
                    let mut variables = self.dotenv(path, text, &from_files, process);
                    variables.extend(process.clone());
                    from_files.extend(variables);
                }
                Origin::Secrets(secrets) => {
                    self.stored
                        .extend(secrets.iter().map(|secret| (secret.name.as_str(), secret)));
                }
                _ => {}
            }
        }
        self.variables = from_files;
        for origin in origins {
            match origin {
                Origin::File { path, text } => self.file(path, text),
                Origin::Dotenv { .. } => {}
                Origin::Process(variables) => self.process(variables),
                Origin::Secrets(secrets) => self.secrets(secrets),
                Origin::Table { name, rows } => self.table(name, rows),
                Origin::Set(entries) => self.set(entries),
            }
        }
        for offers in self.offers.values_mut() {
            // Stable: of one layer the later source stays the higher.
            offers.sort_by_key(|offer| offer.whence.layer);
        }
    }

    pub(crate) fn offer(&mut self, key: &str, offer: Offer) {
        self.offers.entry(key.to_owned()).or_default().push(offer);
    }

    pub(crate) fn file(&mut self, path: &str, text: &str) {
        let source = self.findings.sources.add(path, text, Shows::Names);
        let errors = self.findings.errors();
        let Some(root) = yaml::read(source, &mut self.findings) else {
            self.unread |= self.findings.errors() > errors;
            return;
        };
        self.unread |= root.as_map().is_none();
        let leaves = leaves(&root, &self.schema.names, &mut self.findings);
        // A variable that a secret is taken from carries it wherever else it is named.
        for leaf in &leaves {
            if let (Some(key), Some(text)) = (self.schema.keys.get(&leaf.key), leaf.value.as_text())
                && key.secret
                && let Ok(filled) = interpolate::fill(text, &self.variables)
            {
                self.carriers
                    .extend(filled.used.into_iter().map(|name| (name, key.name.clone())));
            }
        }
        for leaf in leaves {
            let Some(key) = self.schema.keys.get(&leaf.key) else {
                continue;
            };
            let mut node = leaf.value.clone();
            if !self.fill(key, &mut node) {
                continue;
            }
            let whence = Whence {
                line: Some(leaf.place.line),
                ..whence(Layer::File, path)
            };
            let at = At::Text(leaf.place);
            self.offer(
                &leaf.key,
                Offer {
                    whence,
                    node,
                    form: Form::Typed,
                    at,
                },
            );
        }
    }

    /// Replaces the variables in a value; false when the value does not count or cannot.
    pub(crate) fn fill(&mut self, key: &Key, node: &mut Node) -> bool {
        match &mut node.value {
            Tree::List(items) => {
                // All of them, so that all that is wrong is said.
                let filled: Vec<bool> = items.iter_mut().map(|item| self.fill(key, item)).collect();
                filled.into_iter().all(|one| one)
            }
            Tree::Map(map) => {
                let filled: Vec<bool> = map.0.iter_mut().map(|entry| self.fill(key, &mut entry.value)).collect();
                filled.into_iter().all(|one| one)
            }
            Tree::Scalar(scalar) if !scalar.text.contains('$') => true,
            Tree::Scalar(scalar) => {
                let place = node.place;
                let filled = match interpolate::fill(&scalar.text, &self.variables) {
                    Ok(filled) => filled,
                    Err(fault) => {
                        let (message, help) = match fault {
                            Fault::Syntax(_) => (
                                format!("`{}` has a `${{` that is no variable", key.name),
                                "write `${NAME}` or `${NAME:-default}`; for a dollar sign as such write `$$`"
                                    .to_owned(),
                            ),
                            Fault::TooLong => (
                                format!("`{}` has more than 1 MiB once its variables are replaced", key.name),
                                "look at the variables it names".to_owned(),
                            ),
                            Fault::Required(name, why) => {
                                let because = if why.is_empty() {
                                    String::new()
                                } else {
                                    format!(": {why}")
                                };
                                (
                                    format!("the variable `{name}` must be set{because}"),
                                    format!("set {name} in the environment or in `.env`"),
                                )
                            }
                        };
                        show_line(self.findings.error(place, message).key(&key.name).help(help), key);
                        return false;
                    }
                };
                if key.secret && is_bare_variable(&scalar.text) && !filled.unset.is_empty() {
                    // It only says which variable would have it; whether it is missing is seen when all layers are known.
                    return false;
                }
                let mut good = true;
                for name in &filled.unset {
                    let known = self.variables.keys().map(String::as_str);
                    let other = nearest_name(name, known)
                        .map(|other| format!(" ({})", did_you_mean(other)))
                        .unwrap_or_default();
                    let noted = self
                        .findings
                        .error(place, format!("the variable `{name}` is not set{other}"))
                        .key(&key.name)
                        .help(format!(
                            "set it in the environment or in `.env`, or write a default: ${{{name}:-…}}"
                        ));
                    show_line(noted, key);
                    good = false;
                }
                if !key.secret {
                    for name in &filled.used {
                        if let Some(owner) = self.carriers.get(name) {
                            self.findings
                                .error(
                                    place,
                                    format!("`{}` takes the value of the secret `{owner}` into it", key.name),
                                )
                                .key(&key.name)
                                .help(format!(
                                    "mark `{}` as `secret: true`, or leave {name} out of it",
                                    key.name
                                ));
                            good = false;
                        }
                    }
                }
                if filled.text != scalar.text {
                    scalar.written = Some(std::mem::replace(&mut scalar.text, filled.text));
                }
                good
            }
        }
    }

    /// Reads a file of variables and returns all of them.
    pub(crate) fn dotenv(
        &mut self,
        path: &str,
        text: &str,
        before: &BTreeMap<String, String>,
        process: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let source = self.findings.sources.add(path, text, Shows::Names);
        let mut all = BTreeMap::new();
        // Of two lines with one name the later counts, as in Compose.
        let mut last = BTreeMap::new();
        let errors = self.findings.errors();
        for variable in parse_dotenv(source, before, process, SECRET, &mut self.findings) {
            let key = self.schema.names.by_variable(&variable.name);
            let key = key.and_then(|key| self.schema.keys.get(key));
            let carried = variable.used.iter().find_map(|name| self.carriers.get(name)).cloned();
            match (carried, key) {
                (Some(owner), Some(key)) if !key.secret => {
                    self.findings
                        .error(
                            variable.place,
                            format!("`{}` takes the value of the secret `{owner}` into it", key.name),
                        )
                        .key(&key.name)
                        .help(format!(
                            "mark `{}` as `secret: true`, or write its value without it",
                            key.name
                        ));
                    continue;
                }
                (Some(owner), None) => {
                    self.carriers.insert(variable.name.clone(), owner);
                }
                _ => {}
            }
            let Some(value) = variable.value else { continue };
            all.insert(variable.name.clone(), value.clone());
            last.insert(variable.name, (value, variable.place));
        }
        // A quote that is not closed swallows the lines after it.
        self.unread |= self.findings.errors() > errors;
        for (name, (value, place)) in last {
            let Some(key) = self.schema.names.by_variable(&name) else {
                let known = self.schema.names.variables();
                // `.env` is the stack file's too, so a name of its own is nothing wrong; one that is nearly ours is a slip.
                if !process.contains_key(&name)
                    && let Some(other) = nearest_name(&name, known)
                {
                    self.findings
                        .warning(place, format!("no key has the variable `{name}`"))
                        .help(did_you_mean(other));
                }
                continue;
            };
            let key = key.to_owned();
            // Empty counts as not set, as in Compose files.
            if value.is_empty() {
                continue;
            }
            let whence = Whence {
                line: Some(place.line),
                ..whence(Layer::Dotenv, path)
            };
            self.offer(
                &key,
                Offer {
                    whence,
                    node: Node::scalar(place, value, Kind::Text),
                    form: Form::Text,
                    at: At::Text(place),
                },
            );
        }
        all
    }

    /// A place for values that stand in no text.
    pub(crate) fn nowhere(&mut self) -> Place {
        self.findings.sources.add("", "", Shows::Names).whole()
    }

    pub(crate) fn process(&mut self, variables: &BTreeMap<String, String>) {
        let place = self.nowhere();
        let keys = self.schema.keys.values();
        let given: Vec<_> = keys
            .filter_map(|key| Some((key, variables.get(&key.variable)?)))
            .collect();
        for (key, value) in given {
            if value.is_empty() {
                continue;
            }
            let whence = whence(Layer::Process, &key.variable);
            let at = At::Elsewhere(Location::Elsewhere(whence.to_string()));
            self.offer(
                &key.name,
                Offer {
                    whence,
                    node: Node::scalar(place, value, Kind::Text),
                    form: Form::Text,
                    at,
                },
            );
        }
    }

    pub(crate) fn secrets(&mut self, secrets: &[StoredSecret]) {
        let place = self.nowhere();
        for secret in secrets {
            let Some(key) = self.schema.find(&secret.name) else {
                continue;
            };
            let whence = whence(Layer::Secret, &secret.name);
            let location = Location::Elsewhere(whence.to_string());
            if !key.secret {
                self.findings
                    .error_elsewhere(
                        location,
                        format!(
                            "there is a secret of the name `{}`, and the key is not secret",
                            secret.name
                        ),
                    )
                    .key(&key.name)
                    .help("mark the key `secret: true` in the schema, or give the secret another name");
                continue;
            }
            self.offer(
                &key.name,
                Offer {
                    whence,
                    node: Node::scalar(place, format!("{SECRET}{}}}", secret.name), Kind::Text),
                    form: Form::Text,
                    at: At::Elsewhere(location),
                },
            );
        }
    }

    pub(crate) fn table(&mut self, table: &str, rows: &[Row]) {
        let place = self.nowhere();
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.is_active) {
            let whence = Whence {
                row: Some(row.key.clone()),
                who: row.updated_by.clone(),
                when: row.updated_at.clone(),
                ..whence(Layer::Table, table)
            };
            let location = Location::Elsewhere(whence.to_string());
            let Some(key) = self.schema.find(&row.key) else {
                let help = self.schema.suggestion(&row.key);
                self.findings
                    .error_elsewhere(location, format!("the key `{}` is not known", row.key))
                    .key(&row.key)
                    .help(help);
                continue;
            };
            if let Some(other) = seen.insert(&key.name, &row.key) {
                self.findings
                    .error_elsewhere(
                        location.clone(),
                        format!("two active rows are about `{}`: `{other}` and `{}`", key.name, row.key),
                    )
                    .key(&key.name)
                    .help("delete one, or make it inactive");
                continue;
            }
            match json::read(&row.value, place) {
                Ok(node) => self.offer(
                    &key.name,
                    Offer {
                        whence,
                        node,
                        form: Form::Typed,
                        at: At::Elsewhere(location),
                    },
                ),
                Err(why) => {
                    self.findings
                        .error_elsewhere(location, format!("the value of `{}` is not JSON: {why}", key.name))
                        .key(&key.name)
                        .help("write JSON: a text stands in double quotes, numbers, true and false do not");
                }
            }
        }
    }

    pub(crate) fn set(&mut self, entries: &SetLayer) {
        let place = self.nowhere();
        for (name, entry) in &entries.0 {
            let whence = Whence {
                who: Some(entry.who.clone()),
                when: Some(entry.when.to_rfc3339()),
                ..whence(Layer::Set, "tend config set")
            };
            let location = Location::Elsewhere(whence.to_string());
            let Some(key) = self.schema.find(name) else {
                let help = self.schema.suggestion(name);
                self.findings
                    .error_elsewhere(
                        location,
                        format!("the key `{name}`, which was set by command, is not known"),
                    )
                    .key(name)
                    .help(help);
                continue;
            };
            let node = match &entry.text {
                Some(text) => Node::scalar(place, text, Kind::Text),
                None => Node::scalar(place, "", Kind::Null),
            };
            self.offer(
                &key.name,
                Offer {
                    whence,
                    node,
                    form: Form::Text,
                    at: At::Elsewhere(location),
                },
            );
        }
    }
}

/// Makes the place of a source that has no lines.
pub(crate) fn whence(layer: Layer, what: &str) -> Whence {
    Whence {
        layer,
        what: what.to_owned(),
        line: None,
        row: None,
        who: None,
        when: None,
    }
}

/// Shows the whole line where it can hold no secret. A URL can: whoever forgot to mark it wrote the password there.
pub(crate) fn show_line(noted: Noted<'_>, key: &Key) {
    if !key.secret && key.shape.kind != crate::schema::Type::Url {
        let _ = noted.plainly();
    }
}
