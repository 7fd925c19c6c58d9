//! From the keywords of a schema to what values a key takes, with all that is wrong with them.

use tend_text::{Entry, Place, Value as Tree, did_you_mean, nearest_name};

use super::check::Form;
use super::read::{KEY_WORDS, Reader};
use super::shape::{Bound, FORMATS, Pattern, Shape, Type};
use crate::decimal::Decimal;
use crate::value::Value;

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

impl Reader<'_> {
    pub(super) fn unknown_words(&mut self, name: &str, entries: &[Entry], is_key: bool) {
        let known = || {
            let extra = if is_key { KEY_WORDS.as_slice() } else { &[] };
            SHAPE_WORDS.iter().map(|(word, _)| *word).chain(extra.iter().copied())
        };
        for entry in entries {
            if known().all(|word| word != entry.key) && !entry.key.starts_with("x-") {
                let help = match entry.key.as_str() {
                    "min" => Some(did_you_mean("minimum")),
                    "max" => Some(did_you_mean("maximum")),
                    word => nearest_name(word, known()).map(did_you_mean),
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
    pub(super) fn shape(&mut self, name: &str, at: Place, entries: &[Entry]) -> Option<Shape> {
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

    pub(super) fn shape_word(&mut self, name: &str, shape: &mut Shape, entry: &Entry) {
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

    pub(super) fn inner(&mut self, name: &str, entry: &Entry, word: &str) -> Option<Box<Shape>> {
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

    pub(super) fn contradictions(&mut self, name: &str, at: Place, shape: &Shape) {
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

    pub(super) fn values(&mut self, name: &str, shape: &Shape, entry: &Entry) -> Option<Vec<Value>> {
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

    pub(super) fn bound(&mut self, name: &str, shape: &Shape, entry: &Entry) -> Option<Bound> {
        let amount = match &entry.value.value {
            Tree::Scalar(scalar) => {
                let number = || Decimal::parse(&scalar.text).filter(|_| scalar.kind.is_number());
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

    pub(super) fn pattern(&mut self, name: &str, place: Place, text: &str) -> Option<Pattern> {
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

    pub(super) fn compile(&mut self, name: &str, place: Place, text: &str) -> Option<Pattern> {
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
