//! From the text of a schema to the schema, with all that is wrong with it.

use std::collections::BTreeMap;

use super::check::Form;
use super::shape::{Bound, FORMATS, Pattern, Shape, Type};
use super::{Key, Preset, Reload, Required, Schema};
use crate::decimal::Decimal;
use crate::flatten::{Names, leaves};
use crate::nearest::did_you_mean;
use crate::node::{Entry, Kind, Node, Tree};
use crate::report::{Findings, Report};
use crate::source::{Place, Shows};
use crate::value::Value;
use crate::yaml;

/// What may stand at the top.
const TOP: [&str; 3] = ["environments", "keys", "presets"];

/// The tiers the guides name.
const ENVIRONMENTS: [&str; 5] = ["development", "test", "staging", "production", "standby"];

/// Bytes that a compiled pattern may take; a pattern of a hundred characters takes a few thousand.
const PATTERN_BYTES: usize = 1 << 18;

/// Whether a keyword says something about a type.
type Applies = fn(Type) -> bool;

/// Keywords of a shape, and for which types each says something.
const SHAPE_WORDS: [(&str, Applies); 18] = [
    ("type", |_| true),
    ("unit", |_| true),
    ("enum", |kind| !kind.has_parts()),
    ("minimum", Type::is_ordered),
    ("maximum", Type::is_ordered),
    ("exclusiveMinimum", Type::is_ordered),
    ("exclusiveMaximum", Type::is_ordered),
    ("multipleOf", Type::is_ordered),
    ("minLength", Type::is_text),
    ("maxLength", Type::is_text),
    ("pattern", Type::is_text),
    ("format", |kind| kind == Type::String),
    ("schemes", |kind| kind == Type::Url),
    ("items", |kind| kind == Type::List),
    ("minItems", |kind| kind == Type::List),
    ("maxItems", |kind| kind == Type::List),
    ("uniqueItems", |kind| kind == Type::List),
    ("additionalProperties", |kind| kind == Type::Object),
];

/// Keywords of a key besides.
const KEY_WORDS: [&str; 8] = [
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
    let source = findings.sources.add(file.into(), text, Shows::Lines);
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
        return Err(Report(findings.into_violations()));
    }
    Ok(schema)
}

struct Reader<'a> {
    findings: &'a mut Findings,
    schema: &'a mut Schema,
    /// Where each key is declared.
    places: BTreeMap<String, Place>,
}

impl Reader<'_> {
    fn top(&mut self, root: &Node) {
        let Some(entries) = self.map(root, "a schema") else {
            return;
        };
        let get = |name: &str| entries.iter().find(|entry| entry.key == name);
        for entry in entries {
            if !TOP.contains(&entry.key.as_str()) && !entry.key.starts_with("x-") {
                let help = did_you_mean(&entry.key, TOP.into_iter());
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

    fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        let entries = node.as_map();
        if entries.is_none() {
            let noun = node.noun();
            self.findings
                .error(node.place, format!("{what} is a mapping, and here stands {noun}"))
                .help("write `name: …` lines, indented");
        }
        entries
    }

    fn key(&mut self, entry: &Entry) {
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

    fn unknown_words(&mut self, name: &str, entries: &[Entry], is_key: bool) {
        let known = || {
            let extra = if is_key { KEY_WORDS.as_slice() } else { &[] };
            SHAPE_WORDS.iter().map(|(word, _)| *word).chain(extra.iter().copied())
        };
        for entry in entries {
            if known().all(|word| word != entry.key) && !entry.key.starts_with("x-") {
                let help = match entry.key.as_str() {
                    "min" => Some("did you mean `minimum`?".to_owned()),
                    "max" => Some("did you mean `maximum`?".to_owned()),
                    word => did_you_mean(word, known()),
                };
                self.findings
                    .error(entry.place, format!("`{}` is not a keyword of a key", entry.key))
                    .key(name)
                    .help(
                        help.unwrap_or_else(|| format!("the keywords are {}", known().collect::<Vec<_>>().join(", "))),
                    );
            }
        }
    }

    /// Reads what values are taken; nothing when not even the type is known, or when it contradicts itself.
    fn shape(&mut self, name: &str, at: Place, entries: &[Entry]) -> Option<Shape> {
        let before = self.findings.errors();
        let names = || Type::NAMES.iter().map(|(name, _)| *name);
        let Some(word) = entries.iter().find(|entry| entry.key == "type") else {
            self.findings
                .error(at, format!("`{name}` has no type"))
                .key(name)
                .help(format!(
                    "write `type:` and one of {}",
                    names().collect::<Vec<_>>().join(", ")
                ));
            return None;
        };
        let kind = self.one_of(name, word, &Type::NAMES, "a type")?;
        let mut shape = Shape::any(kind);
        for entry in entries {
            let Some((_, applies)) = SHAPE_WORDS.iter().find(|(word, _)| *word == entry.key) else {
                continue;
            };
            if !applies(kind) {
                let others: Vec<&str> = Type::NAMES
                    .iter()
                    .filter(|(_, one)| applies(*one))
                    .map(|(name, _)| *name)
                    .collect();
                self.findings
                    .error(
                        entry.place,
                        format!("`{}` says nothing about a key of type {kind}", entry.key),
                    )
                    .key(name)
                    .help(format!("leave it out; it belongs to {}", others.join(", ")));
                continue;
            }
            if entry.key == "unit" {
                shape.unit = self.text(name, entry);
                if let (Some(measure), Some(unit)) = (kind.measure(), &shape.unit)
                    && measure.unit(unit).is_none()
                {
                    let example = if kind == Type::Duration {
                        "ms, s, m, h or d"
                    } else {
                        "b, kb, mb or gb"
                    };
                    self.findings
                        .error(entry.value.place, format!("`{unit}` is not a unit of a {kind}"))
                        .key(name)
                        .help(format!("write {example}"));
                    shape.unit = None;
                }
            }
        }
        for entry in entries {
            self.shape_word(name, &mut shape, entry);
        }
        if kind == Type::List && entries.iter().all(|entry| entry.key != "items") {
            self.findings
                .error(at, format!("`{name}` is a list and does not say of what"))
                .key(name)
                .help("add `items: { type: string }`");
        }
        if kind == Type::Url {
            shape.url = self.compile(name, at, &Shape::url_pattern(&shape.schemes));
        }
        self.contradictions(name, at, &shape);
        // Values are judged by a shape that is otherwise whole.
        if self.findings.errors() == before
            && let Some(entry) = entries.iter().find(|entry| entry.key == "enum" && !kind.has_parts())
        {
            shape.values = self.values(name, &shape, entry);
        }
        (self.findings.errors() == before).then_some(shape)
    }

    fn shape_word(&mut self, name: &str, shape: &mut Shape, entry: &Entry) {
        let word = entry.key.as_str();
        if !SHAPE_WORDS
            .iter()
            .any(|(known, applies)| *known == word && applies(shape.kind))
        {
            return;
        }
        match word {
            "minimum" => shape.minimum = self.bound(name, shape, entry),
            "maximum" => shape.maximum = self.bound(name, shape, entry),
            "exclusiveMinimum" => shape.exclusive_minimum = self.bound(name, shape, entry),
            "exclusiveMaximum" => shape.exclusive_maximum = self.bound(name, shape, entry),
            "multipleOf" => {
                shape.multiple_of = self.bound(name, shape, entry);
                if shape.multiple_of.as_ref().is_some_and(|step| !step.amount.is_step()) {
                    self.findings
                        .error(entry.value.place, "`multipleOf` must be more than 0")
                        .key(name)
                        .help("write a step such as 5 or 0.01");
                }
            }
            "minLength" => shape.min_length = self.count(name, entry),
            "maxLength" => shape.max_length = self.count(name, entry),
            "minItems" => shape.min_items = self.count(name, entry),
            "maxItems" => shape.max_items = self.count(name, entry),
            "uniqueItems" => shape.unique_items = self.switch(name, entry).unwrap_or_default(),
            "pattern" => {
                if let Some(text) = self.text(name, entry) {
                    shape.pattern = self.pattern(name, entry.value.place, &text);
                }
            }
            "format" => {
                let formats = std::array::from_fn::<_, { FORMATS.len() }, _>(|at| (FORMATS[at].0, at));
                if let Some(index) = self.one_of(name, entry, &formats, "a format that is checked") {
                    shape.format = self
                        .compile(name, entry.value.place, FORMATS[index].1)
                        .map(|pattern| (index, pattern));
                }
            }
            "schemes" => {
                for (scheme, place) in self.words(&entry.value, "a scheme") {
                    let fits = scheme.starts_with(|c: char| c.is_ascii_lowercase())
                        && scheme
                            .chars()
                            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c));
                    if fits {
                        shape.schemes.push(scheme);
                    } else {
                        self.findings
                            .error(place, format!("`{scheme}` is not a scheme"))
                            .key(name)
                            .help("write what stands before the `:` of a URL, such as https");
                    }
                }
            }
            "items" => shape.items = self.inner(name, entry, "items"),
            "additionalProperties" => shape.members = self.inner(name, entry, "additionalProperties"),
            _ => {}
        }
    }

    fn inner(&mut self, name: &str, entry: &Entry, word: &str) -> Option<Box<Shape>> {
        let entries = self.map(&entry.value, &format!("`{word}`"))?;
        self.unknown_words(name, entries, false);
        let shape = self.shape(name, entry.place, entries)?;
        // Objects in a list, lists in a list: one level is enough for every configuration we know, and variables can hold no more.
        let allowed = if word == "items" {
            shape.kind != Type::List
        } else {
            !shape.kind.has_parts()
        };
        if !allowed {
            self.findings
                .error(
                    entry.place,
                    format!("`{word}` is of type {}, which cannot stand there", shape.kind),
                )
                .key(name)
                .help("declare several keys instead");
            return None;
        }
        Some(Box::new(shape))
    }

    fn contradictions(&mut self, name: &str, at: Place, shape: &Shape) {
        let mut wrong: Vec<String> = Vec::new();
        let lows = [(&shape.minimum, false), (&shape.exclusive_minimum, true)];
        let highs = [(&shape.maximum, false), (&shape.exclusive_maximum, true)];
        for (low, low_excluded) in lows {
            for (high, high_excluded) in highs {
                if let (Some(low), Some(high)) = (low, high)
                    && (low.amount > high.amount || low.amount == high.amount && (low_excluded || high_excluded))
                {
                    wrong.push(format!("nothing is between {} and {}", low.written, high.written));
                }
            }
        }
        for (low, high, what) in [
            (shape.min_length, shape.max_length, "characters"),
            (shape.min_items, shape.max_items, "items"),
        ] {
            if let (Some(low), Some(high)) = (low, high)
                && low > high
            {
                wrong.push(format!("nothing has at least {low} and at most {high} {what}"));
            }
        }
        for what in wrong {
            self.findings
                .error(at, format!("`{name}` takes no value: {what}"))
                .key(name)
                .help("exchange the two, or correct one");
        }
    }

    fn values(&mut self, name: &str, shape: &Shape, entry: &Entry) -> Option<Vec<Value>> {
        let items = entry.value.as_list().filter(|items| !items.is_empty());
        let Some(items) = items else {
            self.findings
                .error(entry.value.place, "`enum` is a list of values")
                .key(name)
                .help("write `enum: [a, b]`");
            return None;
        };
        let mut values = Vec::new();
        for item in items {
            match shape.check(item, Form::Typed, true) {
                Ok(value) if values.contains(&value) => {
                    self.findings
                        .error(item.place, format!("`{value}` stands here twice"))
                        .key(name)
                        .help("delete one of the two");
                }
                Ok(value) => values.push(value),
                Err(problems) => {
                    for problem in problems {
                        self.findings
                            .error(
                                problem.place,
                                format!("a value of the `enum` of `{name}` {}", problem.what),
                            )
                            .key(name)
                            .help(problem.help);
                    }
                }
            }
        }
        Some(values)
    }

    fn key_word(&mut self, key: &mut Key, entry: &Entry) {
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
                } else if variable.starts_with("TEND_") {
                    self.findings
                        .error(
                            entry.value.place,
                            format!("`{variable}` is tend's own: variables that start with TEND_ are"),
                        )
                        .key(&name)
                        .help("choose another name");
                } else {
                    key.variable = variable;
                }
            }
            "required" => {
                key.required = match entry.value.as_bool() {
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

    fn default(&mut self, key: &mut Key, entry: &Entry) {
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

    fn forbidden(&mut self, key: &mut Key, entry: &Entry) {
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

    fn environment(&mut self, key: &str, name: &str, place: Place) {
        if !self.schema.environments.iter().any(|one| one == name) {
            let known = self.schema.environments.clone();
            let help = did_you_mean(name, known.iter().map(String::as_str));
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
    fn prefixes(&mut self) {
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

    fn preset(&mut self, entry: &Entry) {
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

    fn one_of<T: Copy>(&mut self, name: &str, entry: &Entry, known: &[(&str, T)], what: &str) -> Option<T> {
        let word = entry.value.as_text();
        let found = known
            .iter()
            .find(|(name, _)| Some(*name) == word)
            .map(|(_, value)| *value);
        if found.is_none() {
            let names = || known.iter().map(|(name, _)| *name);
            let shown = word.map_or_else(|| entry.value.noun().to_owned(), |word| format!("`{word}`"));
            let help = word.and_then(|word| did_you_mean(word, names()));
            self.findings
                .error(entry.value.place, format!("{shown} is not {what}"))
                .key(name)
                .help(help.unwrap_or_else(|| format!("write one of {}", names().collect::<Vec<_>>().join(", "))));
        }
        found
    }

    fn text(&mut self, name: &str, entry: &Entry) -> Option<String> {
        let text = entry.value.as_text().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            let noun = if entry.value.as_text().is_some() {
                "empty"
            } else {
                entry.value.noun()
            };
            self.findings
                .error(
                    entry.value.place,
                    format!("`{}` is {noun}; it must be a text", entry.key),
                )
                .key(name)
                .help(format!(
                    "write a text, in quotes where YAML would read something else, or leave `{}` out",
                    entry.key
                ));
        }
        text.map(|text| text.trim().to_owned())
    }

    fn switch(&mut self, name: &str, entry: &Entry) -> Option<bool> {
        let switch = entry.value.as_bool();
        if switch.is_none() {
            self.findings
                .error(entry.value.place, format!("`{}` must be true or false", entry.key))
                .key(name)
                .help("write `true` or `false`, without quotes");
        }
        switch
    }

    fn count(&mut self, name: &str, entry: &Entry) -> Option<u64> {
        let number = entry
            .value
            .as_scalar()
            .filter(|scalar| scalar.kind == Kind::Number)
            .and_then(|scalar| Decimal::parse(&scalar.text)?.as_i64())
            .and_then(|number| u64::try_from(number).ok());
        if number.is_none() {
            self.findings
                .error(
                    entry.value.place,
                    format!("`{}` must be a whole number from 0 on", entry.key),
                )
                .key(name)
                .help("write a number such as 32");
        }
        number
    }

    fn bound(&mut self, name: &str, shape: &Shape, entry: &Entry) -> Option<Bound> {
        let amount = match &entry.value.tree {
            Tree::Scalar(scalar) => {
                let number = || Decimal::parse(&scalar.text).filter(|_| scalar.kind == Kind::Number);
                match (shape.kind.measure(), shape.amount_unit()) {
                    (Some(measure), Some(unit)) => number().or_else(|| measure.parse_in(&scalar.text, unit)),
                    (Some(measure), None) => measure.parse(&scalar.text),
                    (None, _) => number(),
                }
                .map(|amount| Bound {
                    amount,
                    written: scalar.text.clone(),
                })
            }
            _ => None,
        };
        if amount.is_none() {
            let wanted = match (shape.kind, shape.amount_unit()) {
                (Type::Duration, None) => "a duration such as 30s".to_owned(),
                (Type::Size, None) => "a size such as 10m".to_owned(),
                (_, Some(unit)) => format!("a number of {unit}"),
                _ => "a number".to_owned(),
            };
            self.findings
                .error(entry.value.place, format!("`{}` must be {wanted}", entry.key))
                .key(name)
                .help(format!("write {wanted}, without quotes where it is a number"));
        }
        amount
    }

    /// Returns the texts of a list with their places.
    fn words(&mut self, node: &Node, what: &str) -> Vec<(String, Place)> {
        let Some(items) = node.as_list() else {
            self.findings
                .error(node.place, format!("here stands {}, not a list", node.noun()))
                .help("write `[a, b]`");
            return Vec::new();
        };
        let mut words = Vec::new();
        for item in items {
            match item.as_text() {
                Some(word) => words.push((word.to_owned(), item.place)),
                None => {
                    self.findings
                        .error(item.place, format!("{} is not {what}", item.noun()))
                        .help("write a word");
                }
            }
        }
        words
    }

    fn pattern(&mut self, name: &str, place: Place, text: &str) -> Option<Pattern> {
        // What JSON Schema's readers take otherwise or not at all.
        let foreign = [
            ("(?", "(?:"),
            ("\\A", ""),
            ("\\z", ""),
            ("\\x{", ""),
            ("\\p", ""),
            ("\\P", ""),
            ("[[:", ""),
        ];
        let plain = text.replace("\\\\", "");
        if let Some((part, _)) = foreign.iter().find(|(part, good)| {
            plain
                .match_indices(part)
                .any(|(at, _)| good.is_empty() || !plain[at..].starts_with(good))
        }) {
            self.findings
                .error(
                    place,
                    format!("the pattern has `{part}`, which other readers of JSON Schema take otherwise"),
                )
                .key(name)
                .help("use groups `(…)` and `(?:…)`, classes `[a-z]`, `\\d`, `\\w`, `\\s`, `^` and `$`");
            return None;
        }
        self.compile(name, place, text)
    }

    fn compile(&mut self, name: &str, place: Place, text: &str) -> Option<Pattern> {
        match regex_lite::RegexBuilder::new(text).size_limit(PATTERN_BYTES).build() {
            Ok(regex) => Some(Pattern {
                text: text.to_owned(),
                regex,
            }),
            Err(error) => {
                self.findings
                    .error(place, format!("the pattern cannot be read: {error}"))
                    .key(name)
                    .help("look for a bracket that is not closed; before a sign meant as itself write `\\`");
                None
            }
        }
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
