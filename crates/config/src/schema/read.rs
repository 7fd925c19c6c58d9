//! From the text of a schema to the schema, with all that is wrong with it: the top, the keys and the presets.
//!
//! What values a key takes is read in `read_shape`, single words in `read_words`.

use std::collections::BTreeMap;

use tend_text::{Entry, Findings, Node, Place, Report, Shows, did_you_mean, nearest_name};

use super::check::Form;
use super::{Key, Preset, Reload, Required, Schema};
use crate::flatten::{Names, leaves};
use crate::yaml;

/// What may stand at the top.
const TOP: [&str; 3] = ["environments", "keys", "presets"];

/// The tiers the guides name.
const ENVIRONMENTS: [&str; 5] = ["development", "test", "staging", "production", "standby"];

/// Variables that a login, systemd or a shell sets for every process.
const EVERYBODYS: [&str; 13] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "TERM", "LANG", "TZ", "HOSTNAME", "MAIL", "TMPDIR",
];

/// Keywords of a key besides.
pub(super) const KEY_WORDS: [&str; 8] = [
    "default",
    "required",
    "secret",
    "description",
    "reload",
    "owner",
    "env",
    "forbidden",
];

pub(super) fn schema(file: &str, text: &str) -> Result<Schema, Report> {
    let mut findings = Findings::default();
    let source = findings.sources.add(file, text, Shows::Lines);
    let root = yaml::read(source, &mut findings);
    let mut schema = Schema {
        file: file.to_owned(),
        keys: BTreeMap::new(),
        presets: BTreeMap::new(),
        environments: ENVIRONMENTS.map(str::to_owned).to_vec(),
        names: Names::default(),
    };
    let mut reader = Reader {
        findings: &mut findings,
        schema: &mut schema,
        places: BTreeMap::new(),
    };
    match &root {
        Some(root) => reader.top(root),
        None if reader.findings.errors() == 0 => {
            let place = source.at(1, 1);
            reader
                .findings
                .error(place, "the schema is empty")
                .help("declare keys below `keys:`");
        }
        None => {}
    }
    if findings.errors() > 0 {
        return Err(Report(findings.into_diagnostics()));
    }
    Ok(schema)
}

pub(super) struct Reader<'a> {
    pub(super) findings: &'a mut Findings,
    pub(super) schema: &'a mut Schema,
    /// Where each key is declared.
    places: BTreeMap<String, Place>,
}

impl Reader<'_> {
    pub(super) fn top(&mut self, root: &Node) {
        let Some(entries) = self.map(root, "a schema") else {
            return;
        };
        let get = |name: &str| entries.iter().find(|entry| entry.key == name);
        for entry in entries {
            if !TOP.contains(&entry.key.as_str()) && !entry.key.starts_with("x-") {
                let help = nearest_name(&entry.key, TOP.into_iter()).map(did_you_mean);
                self.findings
                    .error(
                        entry.place,
                        format!("`{}` means nothing at the top of a schema", entry.key),
                    )
                    .help(
                        help.unwrap_or_else(|| "keys are declared below `keys:`, presets below `presets:`".to_owned()),
                    );
            }
        }
        if let Some(entry) = get("environments") {
            let names = self.words(&entry.value, "an environment");
            if names.is_empty() && self.findings.errors() == 0 {
                self.findings
                    .error(entry.place, "there is no environment")
                    .help("name at least one, or leave the line out");
            }
            self.schema.environments = names.into_iter().map(|(name, _)| name).collect();
        }
        match get("keys").map(|entry| &entry.value) {
            Some(keys) => {
                if let Some(entries) = self.map(keys, "`keys`") {
                    for entry in entries {
                        self.key(entry);
                    }
                    self.prefixes();
                }
            }
            None => {
                self.findings
                    .error(root.place, "the schema declares no keys")
                    .help("declare them below `keys:`");
            }
        }
        if let Some(entry) = get("presets")
            && let Some(entries) = self.map(&entry.value, "`presets`")
        {
            for entry in entries {
                self.preset(entry);
            }
        }
    }

    pub(super) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        let entries = node.as_map().map(|map| map.0.as_slice());
        if entries.is_none() {
            let noun = node.noun();
            self.findings
                .error(node.place, format!("{what} is a mapping, and here stands {noun}"))
                .help("write `name: …` lines, indented");
        }
        entries
    }

    pub(super) fn key(&mut self, entry: &Entry) {
        let name = entry.key.as_str();
        if !is_key(name) {
            let lower = name.to_lowercase().replace(['-', ' '], "_");
            let help = if is_key(&lower) && lower != name {
                format!("write `{lower}`; a variable of another form stands in `env:`")
            } else {
                "a key is lower-case words of letters, digits and `_`, with dots between: `database.pool_size`"
                    .to_owned()
            };
            self.findings
                .error(entry.place, format!("`{name}` is not the name of a key"))
                .help(help);
            return;
        }
        let Some(entries) = self.map(&entry.value, &format!("`{name}`")) else {
            return;
        };
        self.unknown_words(name, entries, true);
        let Some(shape) = self.shape(name, entry.place, entries) else {
            return;
        };
        let mut key = Key {
            name: name.to_owned(),
            shape,
            default: None,
            required: Required::Never,
            secret: false,
            description: None,
            reload: Reload::default(),
            owner: None,
            variable: name.to_uppercase().replace('.', "_"),
            forbidden: BTreeMap::new(),
            line: entry.place.line,
            default_line: entry.place.line,
        };
        // A default is judged once it is known whether the key is secret.
        for entry in entries {
            self.key_word(&mut key, entry);
        }
        self.variable(&key, entry.place, entries);
        if key.secret && !key.shape.kind.is_text() {
            self.findings
                .error(
                    entry.place,
                    format!("`{name}` is secret and of type {}", key.shape.kind),
                )
                .help("a secret is a `string` or a `url`");
        }
        if let Some(default) = entries.iter().find(|entry| entry.key == "default") {
            self.default(&mut key, default);
        }
        if let Some(forbidden) = entries.iter().find(|entry| entry.key == "forbidden") {
            self.forbidden(&mut key, forbidden);
        }
        if let Some(other) = self.schema.names.by_variable(&key.variable) {
            let other = other.to_owned();
            let first = self.places[&other];
            self.findings
                .error(
                    entry.place,
                    format!("`{name}` and `{other}` have the same variable, {}", key.variable),
                )
                .key(name)
                .also(first, "the other one")
                .help("give one of them another name with `env: NAME`");
        }
        self.schema.names.add(name, &key.variable);
        self.places.insert(name.to_owned(), entry.place);
        self.schema.keys.insert(name.to_owned(), key);
    }

    pub(super) fn key_word(&mut self, key: &mut Key, entry: &Entry) {
        let name = key.name.clone();
        match entry.key.as_str() {
            "secret" => key.secret = self.switch(&name, entry).unwrap_or_default(),
            "description" => key.description = self.text(&name, entry),
            "owner" => key.owner = self.text(&name, entry),
            "reload" => {
                key.reload = self
                    .one_of(&name, entry, &Reload::NAMES, "a reload class")
                    .unwrap_or_default()
            }
            "env" => {
                let Some(variable) = self.text(&name, entry) else {
                    return;
                };
                let fits = variable.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if !fits {
                    self.findings
                        .error(entry.value.place, format!("`{variable}` is not the name of a variable"))
                        .key(&name)
                        .help("letters, digits and `_`, not beginning with a digit");
                } else {
                    key.variable = variable;
                }
            }
            "required" => {
                key.required = match yaml::switch(&entry.value) {
                    Some(true) => Required::Always,
                    Some(false) => Required::Never,
                    None if entry.value.as_list().is_some() => {
                        let names = self.words(&entry.value, "an environment");
                        for (environment, place) in &names {
                            self.environment(&name, environment, *place);
                        }
                        Required::In(names.into_iter().map(|(name, _)| name).collect())
                    }
                    None => {
                        let noun = entry.value.noun();
                        self.findings
                            .error(entry.value.place, format!("`required` is {noun}"))
                            .key(&name)
                            .help("write true, false, or a list of environments: [production]");
                        Required::Never
                    }
                };
            }
            _ => {}
        }
    }

    /// Refuses variables that mean something already: the environment of tend itself would set the key.
    pub(super) fn variable(&mut self, key: &Key, at: Place, entries: &[Entry]) {
        let (name, variable) = (key.name.as_str(), key.variable.as_str());
        let place = entries
            .iter()
            .find(|entry| entry.key == "env")
            .map_or(at, |entry| entry.value.place);
        let whose = if variable.starts_with("TEND_") {
            "is tend's own, as all that start with TEND_ are"
        } else if EVERYBODYS.contains(&variable) {
            "is in every process's environment and means something else there"
        } else {
            return;
        };
        self.findings
            .error(place, format!("the variable of `{name}`, {variable}, {whose}"))
            .key(name)
            .help("give the key another variable with `env: NAME`");
    }

    pub(super) fn default(&mut self, key: &mut Key, entry: &Entry) {
        key.default_line = entry.place.line;
        if key.secret {
            // The line is not shown: whoever writes a default for a secret has written the secret.
            let name = key.name.clone();
            self.findings
                .error(entry.place, format!("`{name}` is secret and has a default"))
                .key(&name)
                .without_value()
                .help("a secret has no default; delete it, change the secret, and store it with `tend secret set`");
            return;
        }
        match key.shape.check(&entry.value, Form::Typed, true) {
            Ok(value) => key.default = Some(value),
            Err(problems) => {
                for problem in problems {
                    self.findings
                        .error(problem.place, format!("the default of `{}` {}", key.name, problem.what))
                        .key(&key.name)
                        .help(problem.help);
                }
            }
        }
    }

    pub(super) fn forbidden(&mut self, key: &mut Key, entry: &Entry) {
        let Some(entries) = self.map(&entry.value, "`forbidden`") else {
            return;
        };
        if key.secret {
            self.findings
                .error(
                    entry.place,
                    format!("`{}` is secret, and forbidden values would have to be known", key.name),
                )
                .key(&key.name)
                .help("use `minLength` and `pattern`");
            return;
        }
        for entry in entries {
            self.environment(&key.name.clone(), &entry.key, entry.place);
            let Some(items) = entry.value.as_list() else {
                self.findings
                    .error(
                        entry.value.place,
                        format!("what is forbidden in {} is a list of values", entry.key),
                    )
                    .key(&key.name)
                    .help("write `production: [value]`");
                continue;
            };
            // A value that is forbidden in one environment is allowed in others, so it has to fit.
            for item in items {
                match key.shape.check(item, Form::Typed, true) {
                    Ok(value) => key.forbidden.entry(entry.key.clone()).or_default().push(value),
                    Err(problems) => {
                        for problem in problems {
                            self.findings
                                .error(
                                    problem.place,
                                    format!("a forbidden value of `{}` {}", key.name, problem.what),
                                )
                                .key(&key.name)
                                .help(problem.help);
                        }
                    }
                }
            }
        }
        if let Some((environment, value)) = key.forbidden.iter().find_map(|(environment, values)| {
            values
                .iter()
                .find(|value| key.default.as_ref() == Some(value))
                .map(|value| (environment, value))
        }) && !key.required.applies(environment)
        {
            self.findings
                .error(
                    entry.place,
                    format!(
                        "the default of `{}`, `{value}`, is forbidden in {environment}",
                        key.name
                    ),
                )
                .key(&key.name)
                .help("choose another default");
        }
    }

    pub(super) fn environment(&mut self, key: &str, name: &str, place: Place) {
        if !self.schema.environments.iter().any(|one| one == name) {
            let known = self.schema.environments.clone();
            let help = nearest_name(name, known.iter().map(String::as_str)).map(did_you_mean);
            self.findings
                .error(place, format!("the environment `{name}` is not known"))
                .key(key)
                .help(help.unwrap_or_else(|| {
                    format!(
                        "it is one of {}; add others in `environments:` at the top",
                        known.join(", ")
                    )
                }));
        }
    }

    /// Finds keys that are groups of other keys.
    pub(super) fn prefixes(&mut self) {
        let mut wrong = Vec::new();
        for name in self.schema.keys.keys() {
            for (at, _) in name.match_indices('.') {
                if let (Some(group), Some(below)) = (self.places.get(&name[..at]), self.places.get(name)) {
                    wrong.push((name[..at].to_owned(), name.clone(), *group, *below));
                }
            }
        }
        for (group, name, at, below) in wrong {
            self.findings
                .error(at, format!("`{group}` is a key, and `{name}` stands below it"))
                .key(&group)
                .also(below, "below it")
                .help(format!(
                    "a file could not write both; name it `{group}.enabled` or alike"
                ));
        }
    }

    pub(super) fn preset(&mut self, entry: &Entry) {
        let names = self.schema.names.clone();
        if self.map(&entry.value, &format!("the preset `{}`", entry.key)).is_none() {
            return;
        }
        let mut values = BTreeMap::new();
        for leaf in leaves(&entry.value, &names, self.findings) {
            let Some(key) = self.schema.keys.get(&leaf.key) else {
                continue;
            };
            if key.secret {
                self.findings
                    .error(
                        leaf.place,
                        format!("the preset `{}` has the secret `{}`", entry.key, leaf.key),
                    )
                    .key(&leaf.key)
                    .without_value()
                    .help("a secret has no value in a schema; delete it, and change it if it was a real one");
                continue;
            }
            match key.shape.check(leaf.value, Form::Typed, true) {
                // As JSON, which `set` takes for lists and maps; a text is itself.
                Ok(value) => {
                    values.insert(leaf.key, value.to_text());
                }
                Err(problems) => {
                    for problem in problems {
                        self.findings
                            .error(
                                problem.place,
                                format!("in the preset `{}`, `{}` {}", entry.key, leaf.key, problem.what),
                            )
                            .key(&leaf.key)
                            .help(problem.help);
                    }
                }
            }
        }
        self.schema.presets.insert(entry.key.clone(), Preset { values });
    }
}

/// Returns whether a text is dotted lower-case words.
pub(crate) fn is_key(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    name.len() <= 200 && name.split('.').all(is_word)
}
