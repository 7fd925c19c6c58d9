//! The rules: as they are written, judged, and applied. The order of tests and the fast ways are ours; what comes out is Prometheus'.

use std::fmt;

use md5::{Digest as _, Md5};
use regex::Regex;
use tend_promql::{Labels, LabelsBuilder};

use crate::error::Error;

/// What a rule does with the value that its source labels give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets the target label to the replacement where the pattern matches.
    Replace,
    /// Drops the set unless the pattern matches.
    Keep,
    /// Drops the set where the pattern matches.
    Drop,
    /// Drops the set unless the target label has the value.
    KeepEqual,
    /// Drops the set where the target label has the value.
    DropEqual,
    /// Sets the target label to a hash of the value, divided by the modulus.
    HashMod,
    /// Copies each label whose name matches to the name that the replacement gives.
    LabelMap,
    /// Removes each label whose name matches.
    LabelDrop,
    /// Removes each label whose name does not match.
    LabelKeep,
    /// Sets the target label to the value in small letters.
    Lowercase,
    /// Sets the target label to the value in capitals.
    Uppercase,
}

/// Word and action.
const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

impl Action {
    /// Reads the word of an action, in letters of any case.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(word: &str) -> Result<Self, Error> {
        let found = ACTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        found
            .map(|(_, action)| *action)
            .ok_or_else(|| Error::UnknownAction { word: word.to_owned() })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = ACTIONS
            .iter()
            .find(|(_, action)| action == self)
            .map_or("", |(word, _)| word);
        f.write_str(word)
    }
}

/// A rule as it is written in `relabel_configs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// Labels whose values are joined.
    pub source_labels: Vec<String>,
    /// What stands between them.
    pub separator: String,
    /// The label that is set or compared.
    pub target_label: String,
    /// The pattern.
    pub regex: String,
    /// What a hash is divided by.
    pub modulus: u64,
    /// What is set, with `$1` for parts of the match.
    pub replacement: String,
    /// What is done.
    pub action: Action,
}

const SEPARATOR: &str = ";";
const PATTERN: &str = "(.*)";
const REPLACEMENT: &str = "$1";

impl Default for RuleText {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: SEPARATOR.to_owned(),
            target_label: String::new(),
            regex: PATTERN.to_owned(),
            modulus: 0,
            replacement: REPLACEMENT.to_owned(),
            action: Action::Replace,
        }
    }
}

/// A rule that can be applied.
#[derive(Clone, Debug)]
pub struct Rule {
    text: RuleText,
    regex: Regex,
}

impl Rule {
    /// Judges a rule.
    ///
    /// # Errors
    /// Where Prometheus refuses it too.
    pub fn new(text: RuleText) -> Result<Self, Error> {
        use Action::{DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase};
        let action = text.action;
        if action == HashMod && text.modulus == 0 {
            return Err(Error::NoModulus);
        }
        if matches!(
            action,
            Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual
        ) {
            let target = &text.target_label;
            if target.is_empty() {
                return Err(Error::NoTarget { action });
            }
            let is_name = if action == Replace && target.contains('$') {
                is_template(target)
            } else {
                tend_promql::is_label_name(target)
            };
            if !is_name {
                let target = target.clone();
                return Err(Error::Target { action, target });
            }
        }
        if action == LabelMap && !is_template(&text.replacement) {
            let replacement = text.replacement;
            return Err(Error::Replacement { replacement });
        }
        let unused = |is_set: bool, field: &'static str| {
            if is_set {
                Err(Error::Unused { action, field })
            } else {
                Ok(())
            }
        };
        let of_names = matches!(action, LabelDrop | LabelKeep);
        let compares = matches!(action, KeepEqual | DropEqual);
        unused(
            (of_names || compares || matches!(action, Lowercase | Uppercase)) && text.replacement != REPLACEMENT,
            "replacement",
        )?;
        unused((of_names || compares) && text.separator != SEPARATOR, "separator")?;
        unused((of_names || compares) && text.modulus != 0, "modulus")?;
        unused(compares && text.regex != PATTERN, "regex")?;
        unused(of_names && !text.source_labels.is_empty(), "source_labels")?;
        unused(of_names && !text.target_label.is_empty(), "target_label")?;
        let regex = Regex::new(&format!("^(?s:{})$", text.regex)).map_err(|source| Error::Pattern {
            pattern: text.regex.clone(),
            source: Box::new(source),
        })?;
        Ok(Self { text, regex })
    }

    /// Applies the rule; says whether the set is kept.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let text = &self.text;
        let set = labels.finish();
        let target = &text.target_label;
        match text.action {
            Action::Keep => return self.regex.is_match(&self.value(&set)),
            Action::Drop => return !self.regex.is_match(&self.value(&set)),
            Action::KeepEqual => return set.get(target) == self.value(&set),
            Action::DropEqual => return set.get(target) != self.value(&set),
            Action::Replace => self.replace(&set, labels),
            Action::Lowercase => {
                labels.set(target, &self.value(&set).to_lowercase());
            }
            Action::Uppercase => {
                labels.set(target, &self.value(&set).to_uppercase());
            }
            Action::HashMod => {
                let hash = Md5::digest(self.value(&set).as_bytes());
                // The last eight of the sixteen bytes, as Prometheus has always taken them.
                let last = hash[8..].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                labels.set(target, &(last % text.modulus).to_string());
            }
            Action::LabelMap => {
                for (name, value) in set.iter().filter(|(name, _)| self.regex.is_match(name)) {
                    labels.set(&self.regex.replace(name, text.replacement.as_str()), value);
                }
            }
            Action::LabelDrop | Action::LabelKeep => {
                let drops = text.action == Action::LabelDrop;
                for (name, _) in set.iter().filter(|(name, _)| self.regex.is_match(name) == drops) {
                    labels.remove(name);
                }
            }
        }
        true
    }

    fn replace(&self, set: &Labels, labels: &mut LabelsBuilder) {
        let value = self.value(set);
        let Some(found) = self.regex.captures(&value) else {
            return;
        };
        let mut target = String::new();
        found.expand(&self.text.target_label, &mut target);
        if !tend_promql::is_label_name(&target) {
            return;
        }
        let mut replacement = String::new();
        found.expand(&self.text.replacement, &mut replacement);
        labels.set(&target, &replacement);
    }

    /// Joins the values of the source labels.
    fn value(&self, set: &Labels) -> String {
        let mut value = String::new();
        for (at, name) in self.text.source_labels.iter().enumerate() {
            if at > 0 {
                value.push_str(&self.text.separator);
            }
            value.push_str(set.get(name));
        }
        value
    }
}

/// Whether a text can become a label's name: letters, digits, `_`, and `$1`, `$name` or `${name}`.
fn is_template(text: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut rest = text.as_bytes();
    if rest.first().is_none_or(u8::is_ascii_digit) {
        return false;
    }
    while let Some((first, after)) = rest.split_first() {
        if *first == b'$' {
            let (after, braces) = match after.strip_prefix(b"{") {
                Some(after) => (after, true),
                None => (after, false),
            };
            let end = after.iter().take_while(|byte| is_word(byte)).count();
            if end == 0 || braces && after.get(end) != Some(&b'}') {
                return false;
            }
            rest = &after[end + usize::from(braces)..];
        } else if is_word(first) {
            rest = after;
        } else {
            return false;
        }
    }
    true
}

/// Applies rules in order; `None` where one drops the set.
#[must_use]
pub fn relabel(labels: &Labels, rules: &[Rule]) -> Option<Labels> {
    let mut builder = LabelsBuilder::from(labels);
    rules
        .iter()
        .all(|rule| rule.apply(&mut builder))
        .then(|| builder.finish())
}
