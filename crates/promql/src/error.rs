//! What can go wrong between a query's text and its result.
//!
//! Owns the texts a person reads. Where a text is known from Prometheus, it is the same.

use std::fmt;

use crate::ast::Span;
use crate::series::StoreError;

/// Why a text is no expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(Box<Misread>);

/// Behind a pointer, as the parser hands errors through many levels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Misread {
    span: Span,
    text: String,
    query: String,
}

impl ParseError {
    pub(crate) fn new(span: Span, text: impl Into<String>) -> ParseError {
        ParseError(Box::new(Misread {
            span,
            text: text.into(),
            query: String::new(),
        }))
    }

    pub(crate) fn in_query(mut self, query: &str) -> ParseError {
        query.clone_into(&mut self.0.query);
        self
    }

    /// Where, in bytes of the query.
    pub fn span(&self) -> Span {
        self.0.span
    }

    /// What is wrong, without the place.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Line and column of the start, both from 1; the column counts bytes, as Prometheus does.
    pub fn line_and_column(&self) -> (usize, usize) {
        line_and_column(&self.0.query, self.0.span.start)
    }

    /// The line with what is wrong marked below it, for a terminal.
    pub fn view(&self) -> String {
        let (line, column) = self.line_and_column();
        let shown = self.0.query.lines().nth(line - 1).unwrap_or_default();
        // A mark per character, not per byte.
        let before = shown.get(..column - 1).unwrap_or(shown).chars().count();
        let length = self.0.span.end.saturating_sub(self.0.span.start).max(1);
        let marked = shown
            .get(column - 1..(column - 1 + length).min(shown.len()))
            .map_or(1, |text| text.chars().count().max(1));
        format!("{self}\n{shown}\n{}{}", " ".repeat(before), "^".repeat(marked))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_and_column();
        write!(formatter, "{line}:{column}: parse error: {}", self.0.text)
    }
}

impl std::error::Error for ParseError {}

/// Line and column of a byte, both from 1.
pub(crate) fn line_and_column(query: &str, at: usize) -> (usize, usize) {
    let before = &query.as_bytes()[..at.min(query.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    (line, before.len() - start + 1)
}

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text that is no expression.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A regular expression that cannot be compiled.
    #[error("could not read the regular expression `{pattern}`")]
    Pattern {
        /// The expression as written.
        pattern: String,
        /// Where and why.
        source: Box<regex::Error>,
    },
    /// The query asks for what cannot be computed; the text is Prometheus' own.
    #[error("{text}")]
    Evaluate {
        /// What and why.
        text: String,
    },
    /// More samples than the limit allows were read or made.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples {
        /// The limit.
        max: usize,
    },
    /// The query's own times make no sense.
    #[error("could not evaluate over the time asked for: {text}")]
    Times {
        /// What and why.
        text: String,
    },
    /// The store could not answer.
    #[error("expanding series")]
    Store(#[source] StoreError),
}

impl Error {
    pub(crate) fn evaluate(text: impl Into<String>) -> Error {
        Error::Evaluate { text: text.into() }
    }

    /// What to do next, where something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::TooManySamples { max } => Some(format!(
                "the limit is {max} samples; select fewer series, a shorter time or a wider step"
            )),
            Error::Pattern { .. } => Some("patterns are written as for RE2 and match the whole value".to_owned()),
            _ => None,
        }
    }
}
