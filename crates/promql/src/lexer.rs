//! Cuts a query into tokens.
//!
//! Owns what a token is in each surrounding: outside, within braces, within brackets. Knows no grammar. A text that holds no
//! token ends the list with one that carries the error, so that the parser reports what comes first.

use crate::ast::{AggregateOp, BinaryOp, Span};
use crate::text::{EscapeError, quoted};

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    End,
    Error(String),
    Identifier,
    MetricIdentifier,
    Text,
    Number,
    Duration,
    Op(BinaryOp),
    Aggregator(AggregateOp),
    Keyword(Keyword),
    /// `=`
    Assign,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotRegex,
    At,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
}

/// Words with a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    End,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    MaxOf,
    MinOf,
    Offset,
    On,
    Range,
    Smoothed,
    Start,
    Step,
    Without,
}

const KEYWORDS: [(&str, Keyword); 19] = [
    ("anchored", Keyword::Anchored),
    ("bool", Keyword::Bool),
    ("by", Keyword::By),
    ("end", Keyword::End),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("ignoring", Keyword::Ignoring),
    ("max_of", Keyword::MaxOf),
    ("min_of", Keyword::MinOf),
    ("offset", Keyword::Offset),
    ("on", Keyword::On),
    ("range", Keyword::Range),
    ("smoothed", Keyword::Smoothed),
    ("start", Keyword::Start),
    ("step", Keyword::Step),
    ("without", Keyword::Without),
];

/// A token and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

impl Token {
    /// As Prometheus names it in `unexpected …`.
    pub(crate) fn describe(&self, query: &str) -> String {
        let text = query.get(self.span.start..self.span.end).unwrap_or_default();
        let short = || match text.chars().count() {
            0..=10 => quoted(text),
            _ => format!("{}...", quoted(&text.chars().take(10).collect::<String>())),
        };
        match &self.kind {
            Kind::End => "end of input".to_owned(),
            Kind::Error(text) => text.clone(),
            Kind::Identifier => format!("identifier {}", quoted(text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quoted(text)),
            Kind::Text => format!("string {}", short()),
            Kind::Number => format!("number {}", short()),
            Kind::Duration => format!("duration {}", short()),
            Kind::Op(_) | Kind::EqualRegex | Kind::NotRegex | Kind::At => format!("<op:{text}>"),
            Kind::Aggregator(_) => format!("<aggr:{text}>"),
            Kind::Keyword(Keyword::Start | Keyword::End) => quoted(text),
            Kind::Keyword(_) => format!("<{text}>"),
            _ => quoted(text),
        }
    }
}

/// Where the lexer is.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    Nothing,
    Braces,
    Brackets { colon: bool, duration: bool },
}

struct Lexer<'a> {
    query: &'a str,
    at: usize,
    within: Within,
    parens: usize,
    tokens: Vec<Token>,
}

/// Cuts a query; the last token is `End` or `Error`.
pub(crate) fn tokens(query: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        query,
        at: 0,
        within: Within::Nothing,
        parens: 0,
        tokens: Vec::new(),
    };
    loop {
        lexer.skip_space();
        let start = lexer.at;
        let kind = match lexer.next_kind() {
            Ok(kind) => kind,
            Err(text) => Kind::Error(text),
        };
        let last = matches!(kind, Kind::End | Kind::Error(_));
        let end = if matches!(kind, Kind::Error(_)) {
            query.len()
        } else {
            lexer.at
        };
        lexer.tokens.push(Token {
            kind,
            span: Span::new(start, end),
        });
        if last {
            return lexer.tokens;
        }
    }
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn shown(character: Option<char>) -> String {
    match character {
        Some('"') => "'\"'".to_owned(),
        Some(character) => format!("'{}'", character.escape_debug()),
        None => "end of input".to_owned(),
    }
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.query[self.at..]
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.query.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_space(&mut self) {
        loop {
            match self.byte(0) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'#') if self.within == Within::Nothing => {
                    let rest = self.rest();
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    /// Takes so many bytes as one token.
    fn take(&mut self, count: usize, kind: Kind) -> Result<Kind, String> {
        self.at += count;
        Ok(kind)
    }

    fn next_kind(&mut self) -> Result<Kind, String> {
        let Some(byte) = self.byte(0) else {
            return match self.within {
                Within::Braces => Err("unexpected end of input inside braces".to_owned()),
                Within::Brackets { .. } => Err("unexpected end of input in duration expression".to_owned()),
                Within::Nothing if self.parens > 0 => Err("unclosed left parenthesis".to_owned()),
                Within::Nothing => Ok(Kind::End),
            };
        };
        match byte {
            b'"' | b'\'' | b'`' if !matches!(self.within, Within::Brackets { .. }) => self.text(byte),
            _ => match self.within {
                Within::Nothing => self.outside(byte),
                Within::Braces => self.in_braces(byte),
                Within::Brackets { colon, duration } => self.in_brackets(byte, colon, duration),
            },
        }
    }

    fn outside(&mut self, byte: u8) -> Result<Kind, String> {
        let next = self.byte(1);
        match (byte, next) {
            (b',', _) => self.take(1, Kind::Comma),
            (b'@', _) => self.take(1, Kind::At),
            (b'(' | b')', _) => self.paren(byte),
            (b'{', _) => {
                self.within = Within::Braces;
                self.take(1, Kind::LeftBrace)
            }
            (b'[', _) => {
                self.within = Within::Brackets {
                    colon: false,
                    duration: false,
                };
                self.take(1, Kind::LeftBracket)
            }
            (b']', _) => Err("unexpected right bracket ']'".to_owned()),
            (b'=', Some(b'=')) => self.take(2, Kind::Op(BinaryOp::Equal)),
            (b'=', Some(b'~')) => Err("unexpected character after '=': '~'".to_owned()),
            (b'=', _) => self.take(1, Kind::Assign),
            (b'!', Some(b'=')) => self.take(2, Kind::Op(BinaryOp::NotEqual)),
            (b'!', _) => Err(format!(
                "unexpected character after '!': {}",
                shown(self.rest().chars().nth(1))
            )),
            (b'<', Some(b'=')) => self.take(2, Kind::Op(BinaryOp::LessOrEqual)),
            (b'<', _) => self.take(1, Kind::Op(BinaryOp::Less)),
            (b'>', Some(b'=')) => self.take(2, Kind::Op(BinaryOp::GreaterOrEqual)),
            (b'>', _) => self.take(1, Kind::Op(BinaryOp::Greater)),
            (b'0'..=b'9', _) | (b'.', Some(b'0'..=b'9')) => self.number(),
            _ if is_word_start(byte) || byte == b':' => Ok(self.word()),
            _ => match arithmetic(byte) {
                Some(op) => self.take(1, Kind::Op(op)),
                None => Err(format!("unexpected character: {}", shown(self.rest().chars().next()))),
            },
        }
    }

    fn paren(&mut self, byte: u8) -> Result<Kind, String> {
        if byte == b'(' {
            self.parens += 1;
            return self.take(1, Kind::LeftParen);
        }
        match self.parens.checked_sub(1) {
            Some(left) => self.parens = left,
            None => return Err("unexpected right parenthesis ')'".to_owned()),
        }
        self.take(1, Kind::RightParen)
    }

    fn in_braces(&mut self, byte: u8) -> Result<Kind, String> {
        match (byte, self.byte(1)) {
            (b',', _) => self.take(1, Kind::Comma),
            (b'=', Some(b'~')) => self.take(2, Kind::EqualRegex),
            (b'=', _) => self.take(1, Kind::Assign),
            (b'!', Some(b'~')) => self.take(2, Kind::NotRegex),
            (b'!', Some(b'=')) => self.take(2, Kind::Op(BinaryOp::NotEqual)),
            (b'!', _) => Err(format!(
                "unexpected character after '!' inside braces: {}",
                shown(self.rest().chars().nth(1))
            )),
            (b'{', _) => Err("unexpected left brace '{'".to_owned()),
            (b'}', _) => {
                self.within = Within::Nothing;
                self.take(1, Kind::RightBrace)
            }
            _ if is_word_start(byte) => {
                let word = self.rest().bytes();
                let length = word
                    .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                    .count();
                self.take(length, Kind::Identifier)
            }
            _ => Err(format!(
                "unexpected character inside braces: {}",
                shown(self.rest().chars().next())
            )),
        }
    }

    fn in_brackets(&mut self, byte: u8, colon: bool, duration: bool) -> Result<Kind, String> {
        match (byte, self.byte(1)) {
            (b']', _) => {
                self.within = Within::Nothing;
                self.take(1, Kind::RightBracket)
            }
            (b':', _) if !duration => Err("unexpected colon before duration in duration expression".to_owned()),
            (b':', _) if colon => Err("unexpected repeated colon in duration expression".to_owned()),
            (b':', _) => {
                self.within = Within::Brackets { colon: true, duration };
                self.take(1, Kind::Colon)
            }
            (b',', _) => self.take(1, Kind::Comma),
            (b'(' | b')', _) => self.paren(byte),
            (b'0'..=b'9', _) | (b'.', Some(b'0'..=b'9')) => {
                self.within = Within::Brackets { colon, duration: true };
                self.number()
            }
            _ => {
                if let Some(op) = arithmetic(byte) {
                    return self.take(1, Kind::Op(op));
                }
                let letters = self.rest().bytes().take_while(|byte| is_word_start(*byte)).count();
                let word = self.rest()[..letters].to_ascii_lowercase();
                let kind = match word.as_str() {
                    "step" => Keyword::Step,
                    "range" => Keyword::Range,
                    "min_of" => Keyword::MinOf,
                    "max_of" => Keyword::MaxOf,
                    _ => {
                        return Err(format!(
                            "unexpected character in duration expression: {}",
                            shown(self.rest().chars().next())
                        ));
                    }
                };
                self.within = Within::Brackets { colon, duration: true };
                self.take(letters, Kind::Keyword(kind))
            }
        }
    }

    fn word(&mut self) -> Kind {
        let rest = self.rest().bytes();
        let length = rest
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b':')
            .count();
        let word = self.rest()[..length].to_ascii_lowercase();
        self.at += length;
        if let Some((_, keyword)) = KEYWORDS.iter().find(|(name, _)| *name == word) {
            return Kind::Keyword(*keyword);
        }
        if let Some(op) = AggregateOp::ALL.iter().find(|op| op.as_str() == word) {
            return Kind::Aggregator(*op);
        }
        match word.as_str() {
            "and" => Kind::Op(BinaryOp::And),
            "or" => Kind::Op(BinaryOp::Or),
            "unless" => Kind::Op(BinaryOp::Unless),
            "atan2" => Kind::Op(BinaryOp::Atan2),
            "inf" | "nan" => Kind::Number,
            _ if word.contains(':') => Kind::MetricIdentifier,
            _ => Kind::Identifier,
        }
    }

    fn number(&mut self) -> Result<Kind, String> {
        let bytes = &self.query.as_bytes()[self.at..];
        let run = |from: usize, accept: fn(&u8) -> bool| bytes[from..].iter().take_while(|byte| accept(byte)).count();
        let digits = |byte: &u8| byte.is_ascii_digit() || *byte == b'_';
        let mut end;
        if bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x' | b'X')) {
            end = 2 + run(2, |byte| byte.is_ascii_hexdigit() || *byte == b'_');
        } else {
            end = run(0, digits);
            if bytes.get(end) == Some(&b'.') {
                end += 1 + run(end + 1, digits);
            }
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                end += 1 + sign + run(end + 1 + sign, digits);
            }
        }
        let is_word = |at: usize| {
            bytes
                .get(at)
                .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        };
        if !is_word(end) && bytes.get(end) != Some(&b'.') {
            return self.take(end, Kind::Number);
        }
        let whole = run(0, |byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'.');
        let text = &self.query[self.at..self.at + whole];
        // One that is too long or out of order is the parser's to refuse.
        if is_duration(text) {
            return self.take(whole, Kind::Duration);
        }
        Err(format!("bad number or duration syntax: {}", quoted(text)))
    }

    fn text(&mut self, quote: u8) -> Result<Kind, String> {
        let bytes = &self.query.as_bytes()[self.at..];
        let mut at = 1;
        loop {
            match bytes.get(at) {
                Some(byte) if *byte == quote => return self.take(at + 1, Kind::Text),
                None if quote == b'`' => return Err("unterminated raw string".to_owned()),
                None => return Err("unterminated quoted string".to_owned()),
                Some(b'\n') if quote != b'`' => return Err("unterminated quoted string".to_owned()),
                Some(b'\\') if quote != b'`' => {
                    let length = crate::text::escape(&bytes[at..], quote).map(|(_, length)| length);
                    at += length.map_err(EscapeError::text)?;
                }
                Some(_) => at += 1,
            }
        }
    }
}

/// Whether a text has the form of a duration: numbers, each with a unit.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = &rest[digits..];
        let length = match unit.as_bytes() {
            [b'm', b's', ..] => 2,
            [b's' | b'm' | b'h' | b'd' | b'w' | b'y', ..] => 1,
            _ => return false,
        };
        if digits == 0 {
            return false;
        }
        rest = &unit[length..];
    }
    true
}

fn arithmetic(byte: u8) -> Option<BinaryOp> {
    Some(match byte {
        b'+' => BinaryOp::Add,
        b'-' => BinaryOp::Subtract,
        b'*' => BinaryOp::Multiply,
        b'/' => BinaryOp::Divide,
        b'%' => BinaryOp::Modulo,
        b'^' => BinaryOp::Power,
        _ => return None,
    })
}
