//! A matcher: what a label's value must or must not be.
//!
//! Owns the four operators and the shapes of patterns that need no regular expression. Does not know label sets.
//!
//! Patterns are those of the crate `regex`, always anchored on both sides, where `.` takes a line's end too. They are RE2's
//! but for rare corners, which docs/design/0400-promql.md names.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use crate::error::Error;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }

    /// Whether a match is what refuses.
    pub fn is_negative(self) -> bool {
        matches!(self, MatchOp::NotEqual | MatchOp::NotRegex)
    }
}

/// Bounds the memory of one compiled pattern, in bytes; the default of the crate `regex`.
const PATTERN_BYTES_MAX: usize = 10 << 20;

/// A pattern, with the shapes that need no automaton told apart.
#[derive(Debug)]
enum Pattern {
    /// One of these values, sorted; `a` and `a|b`.
    OneOf(Box<[Box<str>]>),
    /// `.*` and `.+`: at least so many characters.
    Any { one: bool },
    /// `abc.*`, and `abc.+` where at least one character follows.
    Prefix { text: Box<str>, more: bool },
    /// `.*abc`, `.+abc`.
    Suffix { text: Box<str>, more: bool },
    /// Everything else.
    Regex(Box<Regex>),
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, Box<regex::Error>> {
        if let Some(easy) = Pattern::easy(text) {
            return Ok(easy);
        }
        let anchored = format!("^(?s:{text})$");
        let regex = regex::RegexBuilder::new(&anchored)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(Box::new)?;
        Ok(Pattern::Regex(Box::new(regex)))
    }

    fn easy(text: &str) -> Option<Pattern> {
        match text {
            ".*" => return Some(Pattern::Any { one: false }),
            ".+" => return Some(Pattern::Any { one: true }),
            _ => {}
        }
        for (ending, more) in [(".*", false), (".+", true)] {
            // `\.*` ends so too, and is refused by `literal`, as a backslash would be left alone.
            if let Some(text) = text.strip_suffix(ending).and_then(literal) {
                return Some(Pattern::Prefix { text, more });
            }
            if let Some(text) = text.strip_prefix(ending).and_then(literal) {
                return Some(Pattern::Suffix { text, more });
            }
        }
        // A bar within a class or behind a backslash leaves a piece that is no literal.
        let mut values: Vec<Box<str>> = text.split('|').map(literal).collect::<Option<_>>()?;
        values.sort_unstable();
        values.dedup();
        Some(Pattern::OneOf(values.into()))
    }

    fn is_match(&self, value: &str) -> bool {
        match self {
            Pattern::OneOf(values) if values.len() == 1 => *values[0] == *value,
            Pattern::OneOf(values) => values.binary_search_by(|known| (**known).cmp(value)).is_ok(),
            Pattern::Any { one } => !one || !value.is_empty(),
            Pattern::Prefix { text, more } => value
                .strip_prefix(&**text)
                .is_some_and(|rest| !more || !rest.is_empty()),
            Pattern::Suffix { text, more } => value
                .strip_suffix(&**text)
                .is_some_and(|rest| !more || !rest.is_empty()),
            Pattern::Regex(regex) => regex.is_match(value),
        }
    }
}

/// The text that a pattern stands for when nothing in it is special but escaped punctuation.
fn literal(pattern: &str) -> Option<Box<str>> {
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next().filter(char::is_ascii_punctuation)?),
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            plain => text.push(plain),
        }
    }
    Some(text.into())
}

/// What a store may look up instead of asking a matcher about every value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values<'a> {
    /// The pattern or text is true of exactly these values, sorted.
    OneOf(Vec<&'a str>),
    /// Only values that begin so can match; the matcher must still be asked.
    StartingWith(&'a str),
    /// Nothing is known before the matcher is asked.
    Unknown,
}

/// What a label's value must or must not be; clones share the compiled pattern.
#[derive(Clone)]
pub struct Matcher {
    name: Arc<str>,
    op: MatchOp,
    value: Arc<str>,
    pattern: Option<Arc<Pattern>>,
}

impl Matcher {
    /// Builds a matcher; only a pattern that cannot be compiled is an error.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Matcher, Error> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => {
                Some(Arc::new(Pattern::new(value).map_err(|source| Error::Pattern {
                    pattern: value.to_owned(),
                    source,
                })?))
            }
        };
        Ok(Matcher {
            name: name.into(),
            op,
            value: value.into(),
            pattern,
        })
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Matcher {
        Matcher {
            name: name.into(),
            op: MatchOp::Equal,
            value: value.into(),
            pattern: None,
        }
    }

    /// The label asked about.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is compared.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The text or pattern as it was written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a value satisfies this matcher; a label that is not there has the empty value.
    pub fn matches(&self, value: &str) -> bool {
        let equal = match &self.pattern {
            None => *self.value == *value,
            Some(pattern) => pattern.is_match(value),
        };
        equal != self.op.is_negative()
    }

    /// Whether a series without the label satisfies it.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// What can be looked up of the text or pattern itself; for a negative operator these are the values it refuses.
    pub fn values(&self) -> Values<'_> {
        match self.pattern.as_deref() {
            None => Values::OneOf(vec![&self.value]),
            Some(Pattern::OneOf(values)) => Values::OneOf(values.iter().map(|value| &**value).collect()),
            Some(Pattern::Prefix { text, .. }) => Values::StartingWith(text),
            Some(_) => Values::Unknown,
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::text::is_label_name(&self.name) {
            formatter.write_str(&self.name)?;
        } else {
            crate::text::write_quoted(formatter, &self.name)?;
        }
        formatter.write_str(self.op.as_str())?;
        crate::text::write_quoted(formatter, &self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn easy_shapes_agree_with_the_regular_expression() {
        let patterns = [
            "", "a", "a|b", "a|", "|", "a.*", "a.+", ".*a", ".+a", ".*", ".+", r"a\.b", r"a\.*", r"a\\.*", "a|b.*",
            "[a|b]", r"a\|b", "(a|b)", ".*a.*", "a{2}", "^a$", "a?",
        ];
        let values = [
            "", "a", "b", "aa", "ab", "ba", "a.b", "axb", "a.", "a...", "a\\x", "a\nb", "a|b", "|", "bxx",
        ];
        for pattern in patterns {
            let easy = Matcher::new("l", MatchOp::Regex, pattern).unwrap();
            let not = Matcher::new("l", MatchOp::NotRegex, pattern).unwrap();
            let regex = Regex::new(&format!("^(?s:{pattern})$")).unwrap();
            for value in values {
                assert_eq!(easy.matches(value), regex.is_match(value), "{pattern:?} on {value:?}");
                assert_eq!(not.matches(value), !regex.is_match(value), "{pattern:?} on {value:?}");
            }
        }
    }

    #[test]
    fn what_can_be_looked_up_is_told() {
        let values = |pattern| Matcher::new("l", MatchOp::Regex, pattern).unwrap();
        assert_eq!(values("b|a|b").values(), Values::OneOf(vec!["a", "b"]));
        assert_eq!(values("abc.+").values(), Values::StartingWith("abc"));
        assert_eq!(values("a.c").values(), Values::Unknown);
        assert_eq!(Matcher::equal("l", "x").values(), Values::OneOf(vec!["x"]));
        assert!(Matcher::new("l", MatchOp::Regex, "(").is_err());
    }
}
