//! Reads selectors: names, braces and matchers.
//!
//! Owns what may stand in braces, and the same form in a script's lines of samples. Modifiers are not its own.

use super::{ParseOptions, Parsed, Parser};
use crate::ast::{BinaryOp, Selector, Span};
use crate::error::ParseError;
use crate::labels::{METRIC_NAME, MatchOp, Matcher};
use crate::lexer::{Kind, Token};
use crate::text::is_metric_name;

impl Parser<'_> {
    /// A selector without modifiers, from behind its name when it has one.
    pub(super) fn selector(&mut self, name: Option<Token>) -> Parsed<Selector> {
        let mut span = self.peek().span;
        let mut matchers = Vec::new();
        if name.is_some() {
            self.next();
        }
        if self.accept(&Kind::LeftBrace).is_some() {
            loop {
                if let Some(end) = self.accept(&Kind::RightBrace) {
                    span.end = end.end;
                    break;
                }
                matchers.push(self.matcher()?);
                if self.accept(&Kind::Comma).is_none() && self.peek().kind != Kind::RightBrace {
                    return Err(self.unexpected("label matching", "\",\" or \"}\""));
                }
            }
        }
        let name = name.map(|token| self.word(&token).to_owned()).unwrap_or_default();
        if !name.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, &name));
        }
        Ok(Selector {
            name,
            matchers,
            offset: None,
            at: None,
            span,
        })
    }

    fn matcher(&mut self) -> Parsed<Matcher> {
        let token = self.peek().clone();
        let name = match token.kind {
            Kind::Identifier => self.word(&token).to_owned(),
            Kind::Text => self.unquoted(&token)?,
            _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
        };
        self.next();
        let op = match self.peek().kind {
            Kind::Assign => MatchOp::Equal,
            Kind::Op(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotRegex => MatchOp::NotRegex,
            // `{"a name"}`
            Kind::Comma | Kind::RightBrace if token.kind == Kind::Text => {
                return Ok(Matcher::equal(METRIC_NAME, &name));
            }
            _ if token.kind == Kind::Text => return Err(self.unexpected("label matching", "\",\" or \"}\"")),
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.next();
        let value = self.peek().clone();
        if value.kind != Kind::Text {
            return Err(self.unexpected("label matching", "string"));
        }
        let text = self.unquoted(&value)?;
        self.next();
        Matcher::new(&name, op, &text).map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map(ToString::to_string)
                .unwrap_or_default();
            // The crate's own text is of several lines; its last says what is wrong.
            let cause = cause
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            ParseError::new(
                token.span.to(value.span),
                format!("error parsing regexp: {cause}: `{text}`"),
            )
        })
    }
}

/// Names and values of labels.
type LabelPairs = Vec<(String, String)>;

/// Reads `name{label="value"}` without modifiers from the start of a line of samples; what is behind it is given back.
pub(crate) fn parse_series(line: &str) -> Result<(LabelPairs, &str), ParseError> {
    let wrong = |span, text: &str| Err(ParseError::new(span, text).in_query(line));
    let mut at = line
        .bytes()
        .take_while(|byte| !matches!(byte, b' ' | b'\t' | b'{'))
        .count();
    let mut labels = Vec::new();
    if at > 0 {
        if !is_metric_name(&line[..at]) {
            return wrong(Span::new(0, at), "a series begins with a metric's name or with a brace");
        }
        labels.push((METRIC_NAME.to_owned(), line[..at].to_owned()));
    }
    let gap = line[at..].len() - line[at..].trim_start().len();
    if line[at + gap..].starts_with('{') && !line[at + gap..].starts_with("{{") {
        let from = at + gap;
        let Some(length) = closing_brace(&line[from..]) else {
            return wrong(Span::new(from, line.len()), "unexpected end of input inside braces");
        };
        let mut parser = Parser::new(&line[from..from + length], ParseOptions::default())?;
        let selector = parser.selector(None).map_err(|error| error.in_query(line))?;
        for matcher in selector.matchers {
            if matcher.op() != MatchOp::Equal {
                return wrong(Span::new(from, from + length), "a series has labels with `=` only");
            }
            labels.push((matcher.name().to_owned(), matcher.value().to_owned()));
        }
        at = from + length;
    }
    Ok((labels, &line[at..]))
}

/// Behind the brace that closes the first, quotes left alone.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut quote, mut at) = (None, 1);
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(open), byte) if open == *byte => quote = None,
            (Some(b'"' | b'\''), b'\\') => at += 1,
            (None, b'"' | b'\'' | b'`') => quote = Some(*byte),
            (None, b'}') => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}
