//! The syntax of nginx's files: directives of words, ended by `;` or by a block. Knows no directive by name.

use crate::ReadError;

/// nginx's own configurations are three or four deep.
const DEPTH_MAX: usize = 32;

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive {
    /// Its first word.
    pub(crate) name: String,
    /// The others, without their quotes.
    pub(crate) words: Vec<String>,
    /// What stands in its block; none where it ends with `;`.
    pub(crate) block: Option<Vec<Directive>>,
    /// Where it begins, from 1.
    pub(crate) line: u32,
}

impl Directive {
    /// Returns the first word behind the name.
    pub(crate) fn value(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Returns what stands in its block.
    pub(crate) fn inside(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or(&[])
    }
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: u32,
}

/// Reads a file.
pub(crate) fn read(text: &str) -> Result<Vec<Directive>, ReadError> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        line: 1,
    };
    block(&mut reader, None, 0)
}

/// Reads directives to the end of the block that `opened` opened, or of the file.
fn block(reader: &mut Reader<'_>, opened: Option<(u32, &str)>, depth: usize) -> Result<Vec<Directive>, ReadError> {
    let mut directives = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut began = reader.line;
    loop {
        let token = reader.token()?;
        let line = reader.line;
        match token {
            Some(Token::Word(word)) => {
                if words.is_empty() {
                    began = line;
                }
                words.push(word);
            }
            Some(Token::End | Token::Open) if words.is_empty() => {
                let found = if matches!(token, Some(Token::End)) { ';' } else { '{' };
                return Err(ReadError::Nothing { line, found });
            }
            Some(Token::End) => directives.push(directive(&mut words, None, began)),
            Some(Token::Open) => {
                if depth == DEPTH_MAX {
                    return Err(ReadError::Deep { line, max: DEPTH_MAX });
                }
                let name = words[0].clone();
                let inside = block(reader, Some((began, &name)), depth + 1)?;
                directives.push(directive(&mut words, Some(inside), began));
            }
            Some(Token::Close) | None if !words.is_empty() => {
                let name = words.swap_remove(0);
                return Err(ReadError::Unended { line: began, name });
            }
            Some(Token::Close) => {
                return match opened {
                    Some(_) => Ok(directives),
                    None => Err(ReadError::Close { line }),
                };
            }
            None => {
                return match opened {
                    None => Ok(directives),
                    Some((line, name)) => Err(ReadError::Block {
                        line,
                        name: name.to_owned(),
                    }),
                };
            }
        }
    }
}

fn directive(words: &mut Vec<String>, block: Option<Vec<Directive>>, line: u32) -> Directive {
    let mut words = std::mem::take(words).into_iter();
    Directive {
        name: words.next().unwrap_or_default(),
        words: words.collect(),
        block,
        line,
    }
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    fn token(&mut self) -> Result<Option<Token>, ReadError> {
        loop {
            match self.rest.peek() {
                None => return Ok(None),
                Some(c) if c.is_whitespace() => {
                    self.next();
                }
                Some('#') => while self.next().is_some_and(|c| c != '\n') {},
                Some(_) => break,
            }
        }
        let Some(first) = self.next() else {
            return Ok(None);
        };
        match first {
            ';' => Ok(Some(Token::End)),
            '{' => Ok(Some(Token::Open)),
            '}' => Ok(Some(Token::Close)),
            quote @ ('"' | '\'') => self.quoted(quote).map(Some),
            first => Ok(Some(Token::Word(self.bare(first)))),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Token, ReadError> {
        let line = self.line;
        let mut word = String::new();
        loop {
            match self.next() {
                None => return Err(ReadError::Quote { line }),
                Some(c) if c == quote => return Ok(Token::Word(word)),
                Some('\\') => match self.next() {
                    None => return Err(ReadError::Quote { line }),
                    Some('n') => word.push('\n'),
                    Some('t') => word.push('\t'),
                    Some('r') => word.push('\r'),
                    Some(c @ ('"' | '\'' | '\\')) => word.push(c),
                    Some(other) => word.extend(['\\', other]),
                },
                Some(c) => word.push(c),
            }
        }
    }

    /// A word without quotes; `${name}` and what a backslash precedes belong to it whatever they are.
    fn bare(&mut self, first: char) -> String {
        let mut word = String::from(first);
        let mut escaped = first == '\\';
        while let Some(&c) = self.rest.peek() {
            let variable = c == '{' && word.ends_with('$');
            if !escaped && !variable && (c.is_whitespace() || matches!(c, ';' | '{' | '}')) {
                // The end of `${name}` is not the end of a block.
                let in_variable = word.rfind("${").is_some_and(|at| !word[at..].contains('}'));
                if !(c == '}' && in_variable) {
                    break;
                }
            }
            escaped = !escaped && c == '\\';
            word.push(c);
            self.next();
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(directives: &[Directive]) -> String {
        let one = |one: &Directive| {
            let words: String = one.words.iter().map(|word| format!(" <{word}>")).collect();
            let inside = one.block.as_ref().map(|block| format!(" {{ {} }}", shown(block)));
            format!("{}:{}{words}{}", one.line, one.name, inside.unwrap_or_default())
        };
        directives.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn files_are_taken_apart_as_nginx_does() {
        for (text, wanted) in [
            ("", ""),
            ("a;", "1:a"),
            ("# no\na b\n c;# d;\ne;", "2:a <b> <c> 4:e"),
            (
                "http { server { listen 80; } }",
                "1:http { 1:server { 1:listen <80> } }",
            ),
            ("x {}", "1:x {  }"),
            (r#"add_header A "1; mode=\"b\"";"#, r#"1:add_header <A> <1; mode="b">"#),
            ("c 'it''s';", "1:c <it> <s>"),
            (
                r"location ~* \.(jpg|png)$ { a; }",
                r"1:location <~*> <\.(jpg|png)$> { 1:a }",
            ),
            (r"location ~ ^/a\{2\}$ { a; }", r"1:location <~> <^/a\{2\}$> { 1:a }"),
            ("return 301 https://${host}/x;", "1:return <301> <https://${host}/x>"),
            ("log_format m '$a'\n '$b';", "1:log_format <m> <$a> <$b>"),
        ] {
            assert_eq!(shown(&read(text).unwrap()), wanted, "{text}");
        }
    }

    #[test]
    fn what_nginx_refuses_is_refused_with_its_line() {
        for (text, wanted) in [
            ("a", "line 1: `a` is not ended by `;`"),
            ("a {\n b }", "line 2: `b` is not ended by `;`"),
            ("a {\n b;", "line 1: the block `a` is not closed"),
            ("\n}", "line 2: there is no block to close"),
            ("a 'b;", "line 1: a quote is not closed"),
            (";", "line 1: there is no directive before `;`"),
            ("a { { } }", "line 1: there is no directive before `{`"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), wanted, "{text}");
        }
        let deep = "a{".repeat(100);
        assert!(matches!(read(&deep), Err(ReadError::Deep { .. })));
    }
}
