//! Single words of a schema: one of several, a text, a switch, a count, a list of words.

use tend_text::{Entry, Node, Place, did_you_mean, nearest_name};

use super::read::Reader;
use crate::decimal::Decimal;
use crate::yaml;

impl Reader<'_> {
    pub(super) fn one_of<T: Copy>(&mut self, name: &str, entry: &Entry, known: &[(&str, T)], what: &str) -> Option<T> {
        let word = yaml::text(&entry.value);
        let found = known
            .iter()
            .find(|(name, _)| Some(*name) == word)
            .map(|(_, value)| *value);
        if found.is_none() {
            let names = || known.iter().map(|(name, _)| *name);
            let shown = word.map_or_else(|| entry.value.noun().to_owned(), |word| format!("`{word}`"));
            let help = word.and_then(|word| nearest_name(word, names()).map(did_you_mean));
            self.findings
                .error(entry.value.place, format!("{shown} is not {what}"))
                .key(name)
                .help(help.unwrap_or_else(|| format!("write one of {}", names().collect::<Vec<_>>().join(", "))));
        }
        found
    }

    pub(super) fn text(&mut self, name: &str, entry: &Entry) -> Option<String> {
        let text = yaml::text(&entry.value).filter(|text| !text.trim().is_empty());
        if text.is_none() {
            let noun = if yaml::text(&entry.value).is_some() {
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

    pub(super) fn switch(&mut self, name: &str, entry: &Entry) -> Option<bool> {
        let switch = yaml::switch(&entry.value);
        if switch.is_none() {
            self.findings
                .error(entry.value.place, format!("`{}` must be true or false", entry.key))
                .key(name)
                .help("write `true` or `false`, without quotes");
        }
        switch
    }

    pub(super) fn count(&mut self, name: &str, entry: &Entry) -> Option<u64> {
        let number = entry
            .value
            .as_scalar()
            .filter(|scalar| scalar.kind.is_number())
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

    /// Returns the texts of a list with their places.
    pub(super) fn words(&mut self, node: &Node, what: &str) -> Vec<(String, Place)> {
        let Some(items) = node.as_list() else {
            self.findings
                .error(node.place, format!("here stands {}, not a list", node.noun()))
                .help("write `[a, b]`");
            return Vec::new();
        };
        let mut words = Vec::new();
        for item in items {
            match yaml::text(item) {
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
}
