//! Cuts the text of a template into tokens, each with its place. Knows no grammar beyond where an action starts and ends.

use crate::error::Place;
use crate::parse::literal::{Number, unquote, unquote_char};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// What stands between actions, with what trim markers take off taken off.
    Text(String),
    Open,
    Close,
    /// Blanks inside an action; they part words.
    Space,
    /// A function, or a word of the language.
    Word(String),
    /// `.Name`
    Field(String),
    Dot,
    /// `$` or `$name`, with its `$`.
    Variable(String),
    Number(Number),
    Quoted(String),
    Pipe,
    OpenParen,
    CloseParen,
    Comma,
    Declare,
    Assign,
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) at: Place,
    /// As written; empty for texts.
    pub(crate) text: String,
}

const COMMENT_OPEN: &str = "/*";
const COMMENT_CLOSE: &str = "*/";
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Cuts a whole text.
pub(crate) fn lex(text: &str) -> Result<Vec<Lexeme>, (Place, String)> {
    let mut lexer = Lexer {
        text,
        at: 0,
        line: 1,
        line_start: 0,
        out: Vec::new(),
        parens: Vec::new(),
    };
    lexer.run()?;
    Ok(lexer.out)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    out: Vec<Lexeme>,
    /// Where parentheses were opened that are still open.
    parens: Vec<Place>,
}

type Step = Result<(), (Place, String)>;

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn place(&self) -> Place {
        let column = self.text[self.line_start..self.at].chars().count() + 1;
        Place {
            line: self.line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    fn advance(&mut self, bytes: usize) {
        let passed = &self.text[self.at..self.at + bytes];
        self.line += u32::try_from(passed.matches('\n').count()).unwrap_or(0);
        if let Some(last) = passed.rfind('\n') {
            self.line_start = self.at + last + 1;
        }
        self.at += bytes;
    }

    fn push(&mut self, token: Token, at: Place, text: &str) {
        self.out.push(Lexeme {
            token,
            at,
            text: text.to_owned(),
        });
    }

    fn run(&mut self) -> Step {
        let mut trim_start = false;
        loop {
            let rest = self.rest();
            let open = rest.find("{{");
            let mut piece = &rest[..open.unwrap_or(rest.len())];
            if trim_start {
                piece = piece.trim_start_matches(BLANKS);
            }
            let at = self.place();
            if let Some(open) = open
                && trims_before(&rest[open + 2..])
            {
                piece = piece.trim_end_matches(BLANKS);
            }
            if !piece.is_empty() {
                self.push(Token::Text(piece.to_owned()), at, "");
            }
            let Some(open) = open else {
                self.advance(rest.len());
                let at = self.place();
                self.push(Token::End, at, "");
                return Ok(());
            };
            self.advance(open);
            trim_start = self.action()?;
        }
    }

    /// Reads from `{{` to `}}`; whether the text after it loses its leading blanks.
    fn action(&mut self) -> Result<bool, (Place, String)> {
        let at = self.place();
        self.advance(2);
        if trims_before(self.rest()) {
            self.advance(2);
        }
        if self.rest().starts_with(COMMENT_OPEN) {
            return self.comment(at);
        }
        self.push(Token::Open, at, "{{");
        self.parens.clear();
        loop {
            let rest = self.rest();
            let place = self.place();
            let trims = rest.starts_with(BLANKS) && rest[1..].starts_with("-}}");
            if trims || rest.starts_with("}}") {
                if let Some(open) = self.parens.pop() {
                    return Err((open, "this parenthesis is not closed".to_owned()));
                }
                self.push(Token::Close, place, "}}");
                self.advance(if trims { 4 } else { 2 });
                return Ok(trims);
            }
            let Some(character) = rest.chars().next() else {
                return Err((at, "this action is not closed: `}}` is missing".to_owned()));
            };
            self.inside(character, rest, place)?;
        }
    }

    fn comment(&mut self, at: Place) -> Result<bool, (Place, String)> {
        let rest = self.rest();
        let Some(close) = rest.find(COMMENT_CLOSE) else {
            return Err((at, "this comment is not closed: `*/` is missing".to_owned()));
        };
        let after = &rest[close + 2..];
        let trims = after.starts_with(BLANKS) && after[1..].starts_with("-}}");
        if !trims && !after.starts_with("}}") {
            return Err((at, "a comment ends with `*/}}`, with nothing in between".to_owned()));
        }
        self.advance(close + 2 + if trims { 4 } else { 2 });
        Ok(trims)
    }

    fn inside(&mut self, character: char, rest: &'a str, at: Place) -> Step {
        let simple = |token: Token, length: usize| (token, length);
        let (token, length) = match character {
            ' ' | '\t' | '\r' | '\n' => {
                // A blank before `-}}` belongs to the marker.
                let mut length = rest.len() - rest.trim_start_matches(BLANKS).len();
                if length > 1 && rest[length..].starts_with("-}}") {
                    length -= 1;
                }
                simple(Token::Space, length)
            }
            ':' if rest.starts_with(":=") => simple(Token::Declare, 2),
            ':' => return Err((at, "`:` is only known as a part of `:=`".to_owned())),
            '=' => simple(Token::Assign, 1),
            '|' => simple(Token::Pipe, 1),
            ',' => simple(Token::Comma, 1),
            '(' => {
                self.parens.push(at);
                simple(Token::OpenParen, 1)
            }
            ')' => {
                if self.parens.pop().is_none() {
                    return Err((at, "this parenthesis was never opened".to_owned()));
                }
                simple(Token::CloseParen, 1)
            }
            '"' => self.quoted(rest, at)?,
            '`' => {
                let Some(close) = rest[1..].find('`') else {
                    return Err((at, "this text is not closed: a `` ` `` is missing".to_owned()));
                };
                simple(Token::Quoted(rest[1..=close].to_owned()), close + 2)
            }
            '\'' => self.character(rest, at)?,
            '$' => {
                let length = 1 + word_length(&rest[1..]);
                self.ends(rest, length, at)?;
                simple(Token::Variable(rest[..length].to_owned()), length)
            }
            '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => number(rest, at)?,
            '.' => {
                let length = word_length(&rest[1..]);
                if length == 0 {
                    simple(Token::Dot, 1)
                } else {
                    self.ends(rest, length + 1, at)?;
                    simple(Token::Field(rest[1..=length].to_owned()), length + 1)
                }
            }
            '+' | '-' | '0'..='9' => number(rest, at)?,
            _ if is_word(character) => {
                let length = word_length(rest);
                self.ends(rest, length, at)?;
                simple(Token::Word(rest[..length].to_owned()), length)
            }
            _ => return Err((at, format!("`{}` has no meaning here", character.escape_default()))),
        };
        self.push(token, at, &rest[..length]);
        self.advance(length);
        Ok(())
    }

    fn quoted(&self, rest: &str, at: Place) -> Result<(Token, usize), (Place, String)> {
        let mut escaped = false;
        for (index, character) in rest.char_indices().skip(1) {
            match character {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    let Some(text) = unquote(&rest[1..index]) else {
                        return Err((at, format!("{} has an escape that is none", &rest[..=index])));
                    };
                    return Ok((Token::Quoted(text), index + 1));
                }
                _ => {}
            }
        }
        Err((at, "this text is not closed: a `\"` is missing on its line".to_owned()))
    }

    fn character(&self, rest: &str, at: Place) -> Result<(Token, usize), (Place, String)> {
        let mut escaped = false;
        for (index, character) in rest.char_indices().skip(1) {
            match character {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '\'' => {
                    return unquote_char(&rest[1..index])
                        .map(|found| (Token::Number(Number::of_char(found)), index + 1))
                        .ok_or_else(|| {
                            let what = format!(
                                "{} is not one character; a text stands in double quotes",
                                &rest[..=index]
                            );
                            (at, what)
                        });
                }
                _ => {}
            }
        }
        Err((
            at,
            "this character is not closed: a `'` is missing on its line".to_owned(),
        ))
    }

    /// A word ends where something that may follow a word begins.
    fn ends(&self, rest: &str, length: usize, at: Place) -> Step {
        let after = &rest[length..];
        match after.chars().next() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => Ok(()),
            Some('}') if after.starts_with("}}") => Ok(()),
            Some(other) => {
                let what = format!("`{}` cannot follow `{}`", other.escape_default(), &rest[..length]);
                Err((at, what))
            }
        }
    }
}

fn trims_before(after_open: &str) -> bool {
    after_open
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(BLANKS))
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn word_length(text: &str) -> usize {
    text.find(|character| !is_word(character)).unwrap_or(text.len())
}

fn number(rest: &str, at: Place) -> Result<(Token, usize), (Place, String)> {
    let sign = usize::from(rest.starts_with(['+', '-']));
    let bytes = rest.as_bytes();
    let hexadecimal = rest[sign..].starts_with("0x") || rest[sign..].starts_with("0X");
    let mut length = sign;
    while let Some(byte) = bytes.get(length) {
        let exponent = if hexadecimal { b"pP" } else { b"eE" };
        let signed = matches!(byte, b'+' | b'-') && length > sign && exponent.contains(&bytes[length - 1]);
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || signed) {
            break;
        }
        length += 1;
    }
    let text = &rest[..length];
    if text.ends_with('i') && Number::read(&text[..length - 1]).is_some() {
        return Err((at, format!("{text}: complex numbers are not supported")));
    }
    match Number::read(text) {
        Some(number) if !rest[length..].starts_with(is_word) => Ok((Token::Number(number), length)),
        _ => Err((
            at,
            format!("`{}` is not a number", if text.is_empty() { &rest[..1] } else { text }),
        )),
    }
}
