//! A place in the tokens of a statement, and the small questions that reading one asks.
//!
//! Owns how names are compared: without quotes in lower case, with quotes as they stand, `public.` left out. Knows no statement.

use crate::token::{Kind, Token};

/// A place in the tokens of a statement.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    tokens: &'a [Token<'a>],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(tokens: &'a [Token<'a>]) -> Self {
        Self { tokens }
    }

    /// Returns what is left.
    pub(crate) fn rest(&self) -> &'a [Token<'a>] {
        self.tokens
    }

    pub(crate) fn line(&self) -> u32 {
        self.tokens.first().map_or(0, |token| token.line)
    }

    pub(crate) fn next(&mut self) -> Option<&'a Token<'a>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Returns whether these key words come next.
    pub(crate) fn sees(&self, words: &str) -> bool {
        let mut tokens = self.tokens.iter();
        words
            .split(' ')
            .all(|word| tokens.next().is_some_and(|token| token.is(word)))
    }

    /// Goes past these key words if they come next, and returns whether they did.
    pub(crate) fn takes(&mut self, words: &str) -> bool {
        let sees = self.sees(words);
        if sees {
            self.tokens = &self.tokens[words.split(' ').count()..];
        }
        sees
    }

    pub(crate) fn takes_symbol(&mut self, symbol: &str) -> bool {
        let sees = self.tokens.first().is_some_and(|token| token.is_symbol(symbol));
        if sees {
            self.tokens = &self.tokens[1..];
        }
        sees
    }

    /// Goes past a name such as `a`, `"A"` or `public.a` and returns it; empty where none stands.
    pub(crate) fn name(&mut self) -> String {
        let mut parts = Vec::new();
        loop {
            match self.tokens.first() {
                Some(token) if matches!(token.kind, Kind::Word | Kind::Quoted) => {
                    parts.push(plain(token));
                    self.tokens = &self.tokens[1..];
                }
                _ => break,
            }
            if !self.takes_symbol(".") {
                break;
            }
        }
        if parts.len() > 1 && parts[0] == "public" {
            parts.remove(0);
        }
        parts.join(".")
    }

    /// Goes past names divided by commas, and past what PostgreSQL allows around each: ONLY, `*`, a list in parentheses.
    pub(crate) fn names(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            self.takes("only");
            let name = self.name();
            if name.is_empty() {
                break;
            }
            names.push(name);
            self.takes_symbol("*");
            if self.tokens.first().is_some_and(|token| token.is_symbol("(")) {
                self.group();
            }
            if !self.takes_symbol(",") {
                break;
            }
        }
        names
    }

    /// Goes past a group in parentheses and returns what stands inside; nothing where none begins here.
    pub(crate) fn group(&mut self) -> &'a [Token<'a>] {
        if !self.tokens.first().is_some_and(|token| token.is_symbol("(")) {
            return &[];
        }
        let end = closing(self.tokens).unwrap_or(self.tokens.len());
        let inside = &self.tokens[1..end];
        self.tokens = self.tokens.get(end + 1..).unwrap_or_default();
        inside
    }

    /// Returns whether a key word stands anywhere in what is left, outside of parentheses.
    pub(crate) fn has(&self, words: &str) -> bool {
        let mut cursor = *self;
        while !cursor.tokens.is_empty() {
            if cursor.sees(words) {
                return true;
            }
            if cursor.tokens[0].is_symbol("(") {
                cursor.group();
            } else {
                cursor.next();
            }
        }
        false
    }

    /// Goes past what is left up to a key word outside of parentheses, and past it; returns whether it stood there.
    pub(crate) fn skips_to(&mut self, words: &str) -> bool {
        while !self.tokens.is_empty() {
            if self.takes(words) {
                return true;
            }
            if self.tokens[0].is_symbol("(") {
                self.group();
            } else {
                self.next();
            }
        }
        false
    }

    /// Divides what is left at the commas outside of parentheses.
    pub(crate) fn parts(self) -> Vec<Cursor<'a>> {
        let (mut parts, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
        for (at, token) in self.tokens.iter().enumerate() {
            if token.is_symbol("(") || token.is_symbol("[") {
                depth += 1;
            } else if token.is_symbol(")") || token.is_symbol("]") {
                depth = depth.saturating_sub(1);
            } else if token.is_symbol(",") && depth == 0 {
                parts.push(Cursor::new(&self.tokens[begin..at]));
                begin = at + 1;
            }
        }
        parts.push(Cursor::new(&self.tokens[begin..]));
        parts.retain(|part| !part.tokens.is_empty());
        parts
    }

    /// Returns the text of what is left, with one space between tokens where the file had any.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for token in self.tokens {
            let tight = token.kind == Kind::Symbol || text.ends_with(['(', ':', '.', '[']) || text.is_empty();
            if !tight || (token.is_symbol("=") || text.ends_with('=')) {
                text.push(' ');
            }
            text.push_str(token.text);
        }
        text
    }
}

/// Where the parenthesis that `tokens` begins with is closed.
fn closing(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth -= 1;
        }
        depth == 0
    })
}

fn plain(token: &Token<'_>) -> String {
    match token.kind {
        Kind::Quoted => {
            let quote = if token.text.starts_with('`') { "`" } else { "\"" };
            let inside = token.text.split_once(quote).map_or("", |(_, inside)| inside);
            inside
                .strip_suffix(quote)
                .unwrap_or(inside)
                .replace(&quote.repeat(2), quote)
        }
        _ => token.text.to_lowercase(),
    }
}
