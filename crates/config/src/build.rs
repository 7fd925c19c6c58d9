//! Makes a set of the layers, or says everything that is wrong with any of them.
//!
//! Owns the order of the layers and which of them may hold what. Reads no file: all of it is handed in.
//!
//! Invariant: of a secret's value nothing gets into a message, a place or an entry (test `no_secret_is_in_any_message`).

use std::collections::BTreeMap;

use tend_base::Secret;

use crate::dotenv;
use crate::flatten::leaves;
use crate::interpolate::{self, Fault, SECRET};
use crate::json;
use crate::layers::{Layer, Layers, Origin, Row, SetLayer, StoredSecret};
use crate::nearest::{did_you_mean, nearest};
use crate::node::{Kind, Node, Tree};
use crate::report::{Findings, Location, Noted, Report};
use crate::schema::{Form, Key, Schema};
use crate::set::{Entry, Said, Set, Whence};
use crate::source::{Place, Shows};
use crate::value::{Held, SecretRef, SecretVersion};
use crate::yaml;

impl Set {
    /// Makes the set of all layers.
    ///
    /// # Errors
    /// When anything is wrong in any layer: all of it, each with place and remedy. There is no set then.
    pub fn build(schema: &Schema, layers: &Layers<'_>) -> Result<Self, Report> {
        let mut builder = Builder {
            schema,
            layers,
            findings: Findings::default(),
            offers: BTreeMap::new(),
            stored: BTreeMap::new(),
            variables: BTreeMap::new(),
            outside: BTreeMap::new(),
            unread: false,
        };
        builder.environment();
        builder.collect();
        let entries = builder.decide();
        let errors = builder.findings.errors();
        let outside = builder
            .outside
            .into_iter()
            .filter(|(key, (_, whence))| entries.get(key).is_some_and(|entry| &entry.whence == whence))
            .map(|(key, (value, _))| (key, value))
            .collect();
        let found = builder.findings.into_violations();
        if errors > 0 {
            return Err(Report(found));
        }
        Ok(Self {
            environment: layers.environment.clone(),
            entries,
            warnings: found,
            outside,
        })
    }
}

/// What a source says about a key, before it is judged.
struct Offer {
    whence: Whence,
    node: Node,
    form: Form,
    at: At,
}

/// Where violations about an offer point.
#[derive(Clone)]
enum At {
    Text(Place),
    Elsewhere(Location),
}

struct Builder<'a> {
    schema: &'a Schema,
    layers: &'a Layers<'a>,
    findings: Findings,
    /// By key, lowest first.
    offers: BTreeMap<String, Vec<Offer>>,
    /// The store of secrets, by name.
    stored: BTreeMap<&'a str, &'a StoredSecret>,
    /// What `${NAME}` in files stands for.
    variables: BTreeMap<String, String>,
    /// Values of secrets that stand outside of the store, highest last, by key.
    outside: BTreeMap<String, (Secret, Whence)>,
    /// Whether a file could not be read: what it would have said is not missing.
    unread: bool,
}

impl<'a> Builder<'a> {
    fn environment(&mut self) {
        let (schema, name) = (self.schema, self.layers.environment.as_str());
        if !schema.environments.iter().any(|one| one == name) {
            let help = did_you_mean(name, schema.environments.iter().map(String::as_str));
            let known = schema.environments.join(", ");
            self.findings
                .error_elsewhere(
                    Location::Elsewhere("deploy.environment of the stack".to_owned()),
                    format!("the environment `{name}` is not known"),
                )
                .help(help.unwrap_or_else(|| {
                    format!("it is one of {known}; add others in `environments:` of {}", schema.file)
                }));
        }
    }

    /// Reads all sources, in the order of their layers.
    fn collect(&mut self) {
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

    fn offer(&mut self, key: &str, offer: Offer) {
        self.offers.entry(key.to_owned()).or_default().push(offer);
    }

    fn file(&mut self, path: &str, text: &str) {
        let source = self.findings.sources.add(path.into(), text, Shows::Names);
        let errors = self.findings.errors();
        let Some(root) = yaml::read(source, &mut self.findings) else {
            self.unread |= self.findings.errors() > errors;
            return;
        };
        self.unread |= root.as_map().is_none();
        for leaf in leaves(&root, &self.schema.names, &mut self.findings) {
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
    fn fill(&mut self, key: &Key, node: &mut Node) -> bool {
        match &mut node.tree {
            Tree::List(items) => {
                // All of them, so that all that is wrong is said.
                let filled: Vec<bool> = items.iter_mut().map(|item| self.fill(key, item)).collect();
                filled.into_iter().all(|one| one)
            }
            Tree::Map(entries) => {
                let filled: Vec<bool> = entries
                    .iter_mut()
                    .map(|entry| self.fill(key, &mut entry.value))
                    .collect();
                filled.into_iter().all(|one| one)
            }
            Tree::Scalar(scalar) if !scalar.text.contains('$') => true,
            Tree::Scalar(scalar) => {
                let place = node.place;
                let filled = match interpolate::fill(&scalar.text, &self.variables) {
                    Ok(filled) => filled,
                    Err(fault) => {
                        let (message, help) = match fault {
                            Fault::Syntax => (
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
                        shown(self.findings.error(place, message).key(&key.name).help(help), key);
                        return false;
                    }
                };
                if key.secret && interpolate::is_bare_variable(&scalar.text) && !filled.unset.is_empty() {
                    // It only says which variable would have it; whether it is missing is seen when all layers are known.
                    return false;
                }
                let mut good = true;
                for name in &filled.unset {
                    let known = self.variables.keys().map(String::as_str);
                    let other = nearest(name, known)
                        .map(|other| format!(" (did you mean `{other}`?)"))
                        .unwrap_or_default();
                    let noted = self
                        .findings
                        .error(place, format!("the variable `{name}` is not set{other}"))
                        .key(&key.name)
                        .help(format!(
                            "set it in the environment or in `.env`, or write a default: ${{{name}:-…}}"
                        ));
                    shown(noted, key);
                    good = false;
                }
                if !key.secret {
                    for name in &filled.used {
                        let owner = self
                            .schema
                            .names
                            .by_variable(name)
                            .and_then(|owner| self.schema.keys.get(owner));
                        if let Some(owner) = owner.filter(|owner| owner.secret) {
                            self.findings
                                .error(
                                    place,
                                    format!("`{}` takes the value of the secret `{}` into it", key.name, owner.name),
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
    fn dotenv(
        &mut self,
        path: &str,
        text: &str,
        outside: &BTreeMap<String, String>,
        process: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let source = self.findings.sources.add(path.into(), text, Shows::Names);
        let mut all = BTreeMap::new();
        // Of two lines with one name the later counts, as in Compose.
        let mut last = BTreeMap::new();
        for variable in dotenv::parse(source, outside, &mut self.findings) {
            let Some(value) = variable.value else { continue };
            all.insert(variable.name.clone(), value.clone());
            last.insert(variable.name, (value, variable.place));
        }
        for (name, (value, place)) in last {
            let Some(key) = self.schema.names.by_variable(&name) else {
                let known = self.schema.names.variables();
                // `.env` is the stack file's too, so a name of its own is nothing wrong; one that is nearly ours is a slip.
                if !process.contains_key(&name)
                    && let Some(other) = nearest(&name, known)
                {
                    self.findings
                        .warning(place, format!("no key has the variable `{name}`"))
                        .help(format!("did you mean `{other}`?"));
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
    fn nowhere(&mut self) -> Place {
        self.findings.sources.add("".into(), "", Shows::Names).whole()
    }

    fn process(&mut self, variables: &BTreeMap<String, String>) {
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

    fn secrets(&mut self, secrets: &[StoredSecret]) {
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

    fn table(&mut self, table: &str, rows: &[Row]) {
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

    fn set(&mut self, entries: &SetLayer) {
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

    /// Judges what every layer says, and lets the highest win.
    fn decide(&mut self) -> BTreeMap<String, Entry> {
        let mut entries = BTreeMap::new();
        for key in self.schema.keys.values() {
            let offers = self.offers.remove(&key.name).unwrap_or_default();
            let mut said: Vec<(Said, At)> = Vec::new();
            if let Some(default) = &key.default {
                let whence = Whence {
                    line: Some(key.default_line),
                    ..whence(Layer::Default, &self.schema.file)
                };
                let held = Some(Held::Value(default.clone()));
                let location = Location::Elsewhere(whence.to_string());
                said.push((Said { whence, held }, At::Elsewhere(location)));
            }
            let mut broken = false;
            for offer in offers {
                let at = offer.at.clone();
                match self.judge(key, &offer) {
                    Some(held) => said.push((
                        Said {
                            whence: offer.whence,
                            held,
                        },
                        at,
                    )),
                    None => broken = true,
                }
            }
            // An unset takes away what lies beneath it, and the default answers.
            let unset = said.last().is_some_and(|(one, _)| one.held.is_none());
            let winner = if unset {
                (said[0].0.whence.layer == Layer::Default).then_some(0)
            } else {
                said.len().checked_sub(1)
            };
            match winner {
                Some(at) => {
                    let (one, place) = said.remove(at);
                    if let Some(held) = one.held {
                        self.forbidden(key, &held, &place);
                        let beneath = said.into_iter().rev().map(|(one, _)| one).collect();
                        entries.insert(
                            key.name.clone(),
                            Entry {
                                held,
                                whence: one.whence,
                                beneath,
                            },
                        );
                    }
                }
                None if !broken && !self.unread && key.required.applies(&self.layers.environment) => {
                    let unset_by = said.last().map(|(one, _)| one.whence.to_string());
                    self.missing(key, unset_by);
                }
                None => {}
            }
        }
        entries
    }

    /// Judges what one source says: a value, nothing where it unsets, or noted as wrong.
    fn judge(&mut self, key: &Key, offer: &Offer) -> Option<Option<Held>> {
        if offer.node.is_null() {
            return Some(None);
        }
        let text = match &offer.node.tree {
            Tree::Scalar(scalar) => Some(scalar),
            _ => None,
        };
        if key.secret {
            if let Some(name) = text.and_then(|scalar| interpolate::secret_name(&scalar.text)) {
                return self.reference(key, name, offer).map(Some);
            }
            let may_hold = match offer.whence.layer {
                Layer::Dotenv | Layer::Process => true,
                Layer::File => {
                    text.is_some_and(|scalar| scalar.written.as_deref().is_some_and(interpolate::is_bare_variable))
                }
                _ => false,
            };
            return match text {
                Some(scalar) if may_hold => self.outside(key, Secret::new(scalar.text.clone()), offer).map(Some),
                _ => {
                    self.plain_secret(key, offer);
                    None
                }
            };
        }
        if contains_secret(&offer.node) {
            noted(
                &mut self.findings,
                &offer.at,
                format!("`{}` names a secret and is not secret itself", key.name),
            )
            .key(&key.name)
            .help("mark the key `secret: true` in the schema");
            return None;
        }
        match key.shape.check(&offer.node, offer.form, true) {
            Ok(value) => Some(Some(Held::Value(value))),
            Err(problems) => {
                for problem in problems {
                    let at = match &offer.at {
                        At::Text(_) => At::Text(problem.place),
                        At::Elsewhere(_) => offer.at.clone(),
                    };
                    let noted = noted(&mut self.findings, &at, format!("`{}` {}", key.name, problem.what))
                        .key(&key.name)
                        .help(problem.help);
                    shown(noted, key);
                }
                None
            }
        }
    }

    fn reference(&mut self, key: &Key, name: &str, offer: &Offer) -> Option<Held> {
        let Some(secret) = self.stored.get(name).copied() else {
            let help = did_you_mean(name, self.stored.keys().copied());
            noted(
                &mut self.findings,
                &offer.at,
                format!("`{}` names the secret `{name}`, which is not in the store", key.name),
            )
            .key(&key.name)
            .help(help.unwrap_or_else(|| format!("store it: tend secret set {name}")));
            return None;
        };
        if let Some(value) = &secret.value
            && !self.check_secret(key, value, offer)
        {
            return None;
        }
        Some(Held::Secret(SecretRef {
            name: name.to_owned(),
            version: SecretVersion::Stored(secret.version),
        }))
    }

    fn outside(&mut self, key: &Key, value: Secret, offer: &Offer) -> Option<Held> {
        if !self.check_secret(key, &value, offer) {
            return None;
        }
        let mark = (self.layers.mark)(&value);
        self.outside.insert(key.name.clone(), (value, offer.whence.clone()));
        Some(Held::Secret(SecretRef {
            name: key.variable.clone(),
            version: SecretVersion::Outside(mark),
        }))
    }

    fn check_secret(&mut self, key: &Key, value: &Secret, offer: &Offer) -> bool {
        let place = self.nowhere();
        let node = Node::scalar(place, value.expose(), Kind::Text);
        match key.shape.check(&node, Form::Text, false) {
            Ok(_) => true,
            Err(problems) => {
                for problem in problems {
                    noted(
                        &mut self.findings,
                        &offer.at,
                        format!("`{}` {}", key.name, problem.what),
                    )
                    .key(&key.name)
                    .help(problem.help);
                }
                false
            }
        }
    }

    fn plain_secret(&mut self, key: &Key, offer: &Offer) {
        let where_it_is = match offer.whence.layer {
            Layer::Table => "in the table",
            Layer::Set => "in what was set by command",
            _ => "in this file",
        };
        noted(&mut self.findings, &offer.at, format!("`{}` is secret, and its value stands {where_it_is}", key.name))
            .key(&key.name)
            .help(format!(
                "take it out, change it, store it with `tend secret set {name}`, and write ${{secret:{name}}} or nothing here",
                name = key.name
            ));
    }

    fn forbidden(&mut self, key: &Key, held: &Held, at: &At) {
        let environment = self.layers.environment.as_str();
        let Held::Value(value) = held else { return };
        let Some(values) = key.forbidden.get(environment) else {
            return;
        };
        if values.contains(value) {
            let noted = noted(
                &mut self.findings,
                at,
                format!("`{}` must not be `{value}` in {environment}", key.name),
            )
            .key(&key.name)
            .help(format!(
                "{} forbids it; set another value: {}",
                self.schema.file,
                key.shape.expected()
            ));
            shown(noted, key);
        }
    }

    fn missing(&mut self, key: &Key, unset_by: Option<String>) {
        let environment = self.layers.environment.as_str();
        let location = Location::Elsewhere(format!("{}:{}", self.schema.file, key.line));
        let message = match unset_by {
            Some(by) => format!("`{}` is required in {environment}, and {by} unsets it", key.name),
            None => format!("`{}` is required in {environment} and has no value", key.name),
        };
        let help = if key.secret {
            format!(
                "store it with `tend secret set {}`, or set {} in config/secrets/{environment}.env",
                key.name, key.variable
            )
        } else {
            format!(
                "set it in config/environments/{environment}.yml or with `tend config set {}`, or {} in `.env`; it takes {}",
                key.name,
                key.variable,
                key.shape.expected()
            )
        };
        self.findings
            .error_elsewhere(location, message)
            .key(&key.name)
            .help(help);
    }
}

/// Makes the place of a source that has no lines.
fn whence(layer: Layer, what: &str) -> Whence {
    Whence {
        layer,
        what: what.to_owned(),
        line: None,
        row: None,
        who: None,
        when: None,
    }
}

fn noted<'f>(findings: &'f mut Findings, at: &At, message: String) -> Noted<'f> {
    match at {
        At::Text(place) => findings.error(*place, message),
        At::Elsewhere(location) => findings.error_elsewhere(location.clone(), message),
    }
}

/// Shows the whole line where it can hold no secret. A URL can: whoever forgot to mark it wrote the password there.
fn shown(noted: Noted<'_>, key: &Key) {
    if !key.secret && key.shape.kind != crate::schema::Type::Url {
        let _ = noted.plainly();
    }
}

fn contains_secret(node: &Node) -> bool {
    match &node.tree {
        Tree::Scalar(scalar) => scalar.text.contains(SECRET),
        Tree::List(items) => items.iter().any(contains_secret),
        Tree::Map(entries) => entries.iter().any(|entry| contains_secret(&entry.value)),
    }
}
