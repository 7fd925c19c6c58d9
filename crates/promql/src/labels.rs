//! Label sets and the matchers that select them.
//!
//! Owns how a label set is kept (one sorted, shared piece of text) and when a matcher is true of a value. Does not know what a
//! series is, nor where one is stored.
//!
//! Invariant: names are sorted and come once, no value is empty (test `labels_are_sorted_once_and_never_empty`).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use crate::matcher::{MatchOp, Matcher, Values};

/// The label that holds a series' name.
pub const METRIC_NAME: &str = "__name__";

/// The last by name of those that `is_metadata` knows.
const METADATA_LAST: &str = "__unit__";

/// Whether a label says what the metric is, not which series of it.
pub(crate) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | METADATA_LAST)
}

/// A set of labels, sorted by name; clones share one allocation.
///
/// A label with an empty value is the same as no label, so none is kept.
///
/// Kept as one text, `length name length value …`, in the order of names: equality and hash are those of the text.
#[derive(Clone, Default)]
pub struct Labels(Option<Arc<str>>);

/// Appends a length in digits of six bits, the last below 64: ASCII, so that the whole stays UTF-8.
fn push_piece(text: &mut String, piece: &str) {
    let mut left = piece.len();
    while left >= 64 {
        text.push(char::from(64 + (left & 63) as u8));
        left >>= 6;
    }
    text.push(char::from(left as u8));
    text.push_str(piece);
}

/// Cuts the first piece off; the text is one that `push_piece` wrote.
fn cut_piece(text: &str) -> (&str, &str) {
    if let Some(length) = text.bytes().next().filter(|byte| *byte < 64) {
        return text[1..].split_at(usize::from(length));
    }
    let (mut length, mut shift, mut digits) = (0, 0, 0);
    for byte in text.bytes() {
        digits += 1;
        length |= usize::from(byte & 63) << shift;
        shift += 6;
        if byte < 64 {
            break;
        }
    }
    text[digits..].split_at(length)
}

impl Labels {
    /// No labels.
    pub const EMPTY: Labels = Labels(None);

    /// Builds a set from pairs in any order; of two with the same name the later counts, empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.finish()
    }

    /// Builds a set from pairs that are sorted by name, each name once; empty values are left out.
    ///
    /// # Panics
    /// When the names are not sorted: that is a bug of the caller.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        let mut text = String::new();
        let mut before: Option<&str> = None;
        for (name, value) in pairs {
            assert!(before < Some(name), "label names are sorted and come once");
            before = Some(name);
            if !value.is_empty() {
                push_piece(&mut text, name);
                push_piece(&mut text, value);
            }
        }
        Labels((!text.is_empty()).then(|| text.into()))
    }

    /// The value of a label; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        for (known, value) in self.iter() {
            match known.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return value,
                Ordering::Greater => break,
            }
        }
        ""
    }

    /// Whether the label is there.
    pub fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// The series' name; empty when it has none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// Name and value of each label, sorted by name.
    pub fn iter(&self) -> Pairs<'_> {
        Pairs(self.0.as_deref().unwrap_or_default())
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The same set without the labels that `keep` refuses.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(&str) -> bool) -> Labels {
        let whole = self.text();
        let (mut kept, mut from, mut at) = (String::new(), 0, 0);
        let mut pairs = self.iter();
        while let Some((name, _)) = pairs.next() {
            let end = whole.len() - pairs.0.len();
            if !keep(name) {
                if at > from && kept.is_empty() {
                    kept.reserve(whole.len());
                }
                kept.push_str(&whole[from..at]);
                from = end;
            }
            at = end;
        }
        if from == 0 {
            return self.clone();
        }
        if kept.is_empty() {
            return Labels((from < at).then(|| whole[from..].into()));
        }
        kept.push_str(&whole[from..]);
        Labels(Some(kept.into()))
    }

    /// Whether two sets differ in nothing but, perhaps, one label.
    pub(crate) fn is_same_but_for(&self, other: &Labels, name: &str) -> bool {
        self.around(name) == other.around(name)
    }

    /// What stands before and behind a label.
    fn around(&self, name: &str) -> (&str, &str) {
        let whole = self.text();
        let (mut pairs, mut at) = (self.iter(), 0);
        while let Some((known, _)) = pairs.next() {
            match known.cmp(name) {
                Ordering::Less => at = whole.len() - pairs.0.len(),
                Ordering::Equal => return (&whole[..at], pairs.0),
                Ordering::Greater => break,
            }
        }
        whole.split_at(at)
    }

    /// How many labels say what the metric is.
    pub(crate) fn metadata(&self) -> usize {
        // They come before any name that is greater, so of most sets one label more is looked at.
        let may_be = |(name, _): &(&str, &str)| *name <= METADATA_LAST;
        self.iter()
            .take_while(may_be)
            .filter(|(name, _)| is_metadata(name))
            .count()
    }

    /// The same set without what names the metric: its name, and its type and unit where these are labels.
    #[must_use]
    pub fn without_name(&self) -> Labels {
        let mut pairs = self.iter();
        // Almost always the name comes first, and neither type nor unit follows: what is behind is all there is to keep.
        if pairs.next().is_some_and(|(name, _)| name == METRIC_NAME)
            && pairs.clone().next().is_none_or(|(name, _)| name > METADATA_LAST)
        {
            return Labels((!pairs.0.is_empty()).then(|| pairs.0.into()));
        }
        self.retain(|name| !is_metadata(name))
    }

    /// The same set with one label set; an empty value takes the label away.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Labels {
        let mut builder = LabelsBuilder::from(self);
        builder.set(name, value);
        builder.finish()
    }

    /// Whether all matchers are true of this set.
    pub fn matches(&self, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| matcher.matches(self.get(matcher.name())))
    }

    /// As Prometheus names a series in an error: with the name among the labels.
    pub(crate) fn in_braces(&self) -> String {
        let pairs: Vec<String> = self
            .iter()
            .map(|(name, value)| match crate::text::is_label_name(name) {
                true => format!("{name}={}", crate::text::quoted(value)),
                false => format!("{}={}", crate::text::quoted(name), crate::text::quoted(value)),
            })
            .collect();
        format!("{{{}}}", pairs.join(", "))
    }

    fn text(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one == two,
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

/// How many bytes two texts begin with alike.
fn same_bytes(one: &[u8], two: &[u8]) -> usize {
    let words = one.chunks_exact(8).zip(two.chunks_exact(8));
    let same = words.take_while(|(one, two)| one == two).count() * 8;
    let rest = one[same..].iter().zip(&two[same..]);
    same + rest.take_while(|(one, two)| one == two).count()
}

/// By name, then value, label by label; a set that another begins with comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        let (one, two) = (self.text(), other.text());
        // As long as the texts are the same, so are the labels: pairs are compared from the first that differs. Series of one
        // metric differ late, and sorting them was half of a query over buckets.
        let same = same_bytes(one.as_bytes(), two.as_bytes());
        let mut pairs = self.iter();
        let mut from = 0;
        while pairs.next().is_some() {
            let end = one.len() - pairs.0.len();
            if end > same {
                break;
            }
            from = end;
        }
        Pairs(&one[from..]).cmp(Pairs(&two[from..]))
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As in PromQL: `name{label="value", …}`.
impl fmt::Display for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let in_front = crate::text::is_metric_name(name);
        if in_front {
            formatter.write_str(name)?;
            if self.len() == 1 {
                return Ok(());
            }
        }
        formatter.write_str("{")?;
        let mut first = true;
        for (name, value) in self.iter() {
            if in_front && name == METRIC_NAME {
                continue;
            }
            if !first {
                formatter.write_str(", ")?;
            }
            first = false;
            if crate::text::is_label_name(name) {
                formatter.write_str(name)?;
            } else {
                crate::text::write_quoted(formatter, name)?;
            }
            formatter.write_str("=")?;
            crate::text::write_quoted(formatter, value)?;
        }
        formatter.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Name and value of each label of a set.
#[derive(Clone)]
pub struct Pairs<'a>(&'a str);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        if self.0.is_empty() {
            return None;
        }
        let (name, rest) = cut_piece(self.0);
        let (value, rest) = cut_piece(rest);
        self.0 = rest;
        Some((name, value))
    }
}

/// A label set that is being changed.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder(Vec<(String, String)>);

impl From<&Labels> for LabelsBuilder {
    fn from(labels: &Labels) -> LabelsBuilder {
        LabelsBuilder(
            labels
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }
}

impl LabelsBuilder {
    /// Sets a label; an empty value takes it away.
    pub fn set(&mut self, name: &str, value: &str) -> &mut LabelsBuilder {
        match self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
            Ok(at) if value.is_empty() => {
                self.0.remove(at);
            }
            Ok(at) => value.clone_into(&mut self.0[at].1),
            Err(_) if value.is_empty() => {}
            Err(at) => self.0.insert(at, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Takes a label away.
    pub fn remove(&mut self, name: &str) -> &mut LabelsBuilder {
        self.set(name, "")
    }

    /// The set as it stands.
    pub fn finish(&self) -> Labels {
        Labels::from_sorted(self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_once_and_never_empty() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "x"), ("c", ""), ("a", "1")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(labels, Labels::from_sorted([("a", "1"), ("b", "2"), ("z", "")]));
        assert!(Labels::from_pairs([("a", "")]).is_empty());
        assert_eq!((labels.get("b"), labels.get("aa"), labels.get("z")), ("2", "", ""));
    }

    #[test]
    fn long_and_foreign_texts_come_back() {
        let long = "é\u{0}\n".repeat(5000);
        for value in ["x", &long[..63], &long[..64], &long[..4096], &long] {
            let labels = Labels::from_pairs([("n", value), ("o", "p")]);
            assert_eq!(labels.iter().collect::<Vec<_>>(), [("n", value), ("o", "p")]);
        }
    }

    #[test]
    fn labels_are_taken_away_wherever_they_stand() {
        let all = [("__name__", "m"), ("a", "1"), ("b", "2"), ("c", "3")];
        let labels = Labels::from_pairs(all);
        for gone in 0_u32..16 {
            let stays = |at: usize| gone >> at & 1 == 0;
            let left = labels.retain(|name| all.iter().position(|(known, _)| *known == name).is_some_and(stays));
            let wanted = all
                .iter()
                .enumerate()
                .filter(|(at, _)| stays(*at))
                .map(|(_, pair)| *pair);
            assert_eq!(left, Labels::from_pairs(wanted), "{gone:04b}");
            assert_eq!(left.is_empty(), gone == 15);
            assert_eq!(left.metadata(), usize::from(stays(0)));
        }
    }

    #[test]
    fn one_label_may_differ() {
        let of = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let one = of(&[("a", "1"), ("le", "0.5"), ("z", "2")]);
        assert!(one.is_same_but_for(&of(&[("a", "1"), ("le", "+Inf"), ("z", "2")]), "le"));
        assert!(
            one.is_same_but_for(&of(&[("a", "1"), ("z", "2")]), "le"),
            "one without it"
        );
        assert!(!one.is_same_but_for(&of(&[("a", "2"), ("le", "0.5"), ("z", "2")]), "le"));
        assert!(!one.is_same_but_for(&of(&[("a", "1"), ("le", "0.5")]), "le"));
        assert!(!of(&[("a", "1")]).is_same_but_for(&of(&[("b", "1")]), "le"));
    }

    /// Against the plain way of comparing, over sets that share much.
    #[test]
    fn comparing_from_the_first_difference_changes_no_order() {
        let mut sets = vec![Labels::EMPTY];
        for name in ["aaaaaaaa", "aaaaaaab", "b"] {
            for value in ["1", "10", "2", "x/y/z/long enough to be two words", &"v".repeat(70)] {
                sets.push(Labels::from_pairs([(name, value)]));
                sets.push(Labels::from_pairs([(name, value), ("c", "1")]));
                sets.push(Labels::from_pairs([("a", "1"), (name, value), ("c", "10")]));
            }
        }
        for one in &sets {
            for two in &sets {
                assert_eq!(one.cmp(two), one.iter().cmp(two.iter()), "{one} {two}");
            }
        }
    }

    #[test]
    fn order_is_by_name_then_value() {
        let of = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        assert!(of(&[("a", "1")]) < of(&[("a", "1"), ("b", "1")]));
        assert!(of(&[("a", "2")]) > of(&[("a", "10")]));
        assert!(of(&[("a", "2")]) < of(&[("b", "1")]));
        assert!(Labels::EMPTY < of(&[("a", "1")]));
    }

    #[test]
    fn printed_as_in_promql() {
        let labels = Labels::from_pairs([(METRIC_NAME, "up"), ("job", "a\"b"), ("my.label", "x")]);
        assert_eq!(labels.to_string(), r#"up{job="a\"b", "my.label"="x"}"#);
        assert_eq!(Labels::from_pairs([(METRIC_NAME, "up")]).to_string(), "up");
        assert_eq!(
            Labels::from_pairs([(METRIC_NAME, "a b")]).to_string(),
            r#"{__name__="a b"}"#
        );
        assert_eq!(Labels::EMPTY.to_string(), "{}");
    }
}
