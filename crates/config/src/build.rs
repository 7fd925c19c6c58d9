//! Makes a set of the layers, or says everything that is wrong with any of them.
//!
//! Owns the order of the layers and which of them may hold what. Reads no file: all of it is handed in.
//!
//! Invariant: of a secret's value nothing gets into a message, a place or an entry (test `no_secret_is_in_any_message`).

use std::collections::BTreeMap;

use tend_base::Secret;
use tend_text::{
    Diagnostic, Findings, Kind, Location, Node, Noted, Place, Report, Value as Tree, did_you_mean, is_bare_variable,
    nearest_name,
};

use crate::interpolate::{self, SECRET};
use crate::layers::{Layer, Layers, StoredSecret};
use crate::offers::{show_line, whence};
use crate::schema::{Form, Key, Schema};
use crate::set::{Entry, Said, Set, Whence};
use crate::value::{Held, SecretRef, SecretVersion};

impl Set {
    /// Makes the set of all layers.
    ///
    /// # Errors
    /// When anything is wrong in any layer: all of it, each with place and remedy. There is no set then.
    pub fn build(schema: &Schema, layers: &Layers<'_>) -> Result<Self, Report> {
        let (builder, entries) = Builder::decided(schema, layers);
        let errors = builder.findings.errors();
        let outside = builder
            .outside
            .into_iter()
            .filter(|(key, (_, whence))| entries.get(key).is_some_and(|entry| &entry.whence == whence))
            .map(|(key, (value, _))| (key, value))
            .collect();
        let found = builder.findings.into_diagnostics();
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

    /// Returns what the layers say as far as it can be told, and all that is wrong with the rest. It is no set, and for looking only: to
    /// compare environments, of which some may lack what another machine has.
    #[must_use]
    pub fn sketch(schema: &Schema, layers: &Layers<'_>) -> (BTreeMap<String, Entry>, Vec<Diagnostic>) {
        let (builder, entries) = Builder::decided(schema, layers);
        (entries, builder.findings.into_diagnostics())
    }
}

/// What a source says about a key, before it is judged.
pub(crate) struct Offer {
    pub(crate) whence: Whence,
    pub(crate) node: Node,
    pub(crate) form: Form,
    pub(crate) at: At,
}

/// Where violations about an offer point.
#[derive(Clone)]
pub(crate) enum At {
    Text(Place),
    Elsewhere(Location),
}

pub(crate) struct Builder<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) layers: &'a Layers<'a>,
    pub(crate) findings: Findings,
    /// By key, lowest first.
    pub(crate) offers: BTreeMap<String, Vec<Offer>>,
    /// The store of secrets, by name.
    pub(crate) stored: BTreeMap<&'a str, &'a StoredSecret>,
    /// What `${NAME}` in files stands for.
    pub(crate) variables: BTreeMap<String, String>,
    /// Values of secrets that stand outside of the store, highest last, by key.
    pub(crate) outside: BTreeMap<String, (Secret, Whence)>,
    /// Whether a file could not be read: what it would have said is not missing.
    pub(crate) unread: bool,
    /// Variables that carry the value of a secret, with its key.
    pub(crate) carriers: BTreeMap<String, String>,
}

impl<'a> Builder<'a> {
    /// Reads and judges all layers; what is wrong with them is noted.
    fn decided(schema: &'a Schema, layers: &'a Layers<'a>) -> (Self, BTreeMap<String, Entry>) {
        let mut builder = Builder {
            schema,
            layers,
            findings: Findings::default(),
            offers: BTreeMap::new(),
            stored: BTreeMap::new(),
            variables: BTreeMap::new(),
            outside: BTreeMap::new(),
            unread: false,
            carriers: BTreeMap::new(),
        };
        builder.environment();
        builder.collect();
        let entries = builder.decide();
        (builder, entries)
    }

    fn environment(&mut self) {
        let (schema, name) = (self.schema, self.layers.environment.as_str());
        if !schema.environments.iter().any(|one| one == name) {
            let help = nearest_name(name, schema.environments.iter().map(String::as_str)).map(did_you_mean);
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
        let text = match &offer.node.value {
            Tree::Scalar(scalar) => Some(scalar),
            _ => None,
        };
        if key.secret {
            if let Some(name) = text.and_then(|scalar| interpolate::secret_name(&scalar.text)) {
                return self.reference(key, name, offer).map(Some);
            }
            let may_hold = match offer.whence.layer {
                Layer::Dotenv | Layer::Process => true,
                Layer::File => text.is_some_and(|scalar| scalar.written.as_deref().is_some_and(is_bare_variable)),
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
                    show_line(noted, key);
                }
                None
            }
        }
    }

    fn reference(&mut self, key: &Key, name: &str, offer: &Offer) -> Option<Held> {
        let Some(secret) = self.stored.get(name).copied() else {
            let help = nearest_name(name, self.stored.keys().copied()).map(did_you_mean);
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
            show_line(noted, key);
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

fn noted<'f>(findings: &'f mut Findings, at: &At, message: String) -> Noted<'f> {
    match at {
        At::Text(place) => findings.error(*place, message),
        At::Elsewhere(location) => findings.error_elsewhere(location.clone(), message),
    }
}

fn contains_secret(node: &Node) -> bool {
    match &node.value {
        Tree::Scalar(scalar) => scalar.text.contains(SECRET),
        Tree::List(items) => items.iter().any(contains_secret),
        Tree::Map(map) => map.0.iter().any(|entry| contains_secret(&entry.value)),
    }
}
