//! Reads SQL into tokens as PostgreSQL's own lexer and psql do, and divides them into statements.
//!
//! Owns what is a string, a quoted name, a comment and the end of a statement. Knows no statement but two that change how the
//! following characters are read: `COPY … FROM STDIN`, whose rows follow it, and the body of a function or trigger in `BEGIN … END`.
//!
//! Invariant: every byte belongs to one token, comment or gap, and reading always moves on (test `no_bytes_make_it_panic`).

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key word or a name without quotes.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A string, in quotes or dollars.
    Text,
    /// A number.
    Number,
    /// One character of an operator or of punctuation.
    Symbol,
    /// A line of psql's own, such as `\i other.sql`.
    Meta,
}

/// A piece of SQL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    /// As it stands in the file, quotes included.
    pub(crate) text: &'a str,
    /// From 1.
    pub(crate) line: u32,
}

impl Token<'_> {
    /// Returns whether this is the given key word, in lower case.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Returns whether this is the given character.
    pub(crate) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }
}

/// A comment, without its marks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comment<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: u32,
}

/// A file of SQL.
#[derive(Debug, Default)]
pub(crate) struct Script<'a> {
    /// The tokens of each statement, without its semicolon; none is empty.
    pub(crate) statements: Vec<Vec<Token<'a>>>,
    pub(crate) comments: Vec<Comment<'a>>,
    /// What was opened and never closed, and where.
    pub(crate) unclosed: Vec<(u32, &'static str)>,
}

/// Reads a file.
pub(crate) fn read(sql: &str) -> Script<'_> {
    let mut reader = Reader {
        sql,
        bytes: sql.as_bytes(),
        at: 0,
        line: 1,
        script: Script::default(),
        statement: Vec::new(),
        open: Vec::new(),
        atomic: 0,
    };
    while reader.at < reader.bytes.len() {
        reader.step();
    }
    reader.end_statement();
    reader.script
}

struct Reader<'a> {
    sql: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: u32,
    script: Script<'a>,
    statement: Vec<Token<'a>>,
    /// Lines of the parentheses that are open.
    open: Vec<u32>,
    /// How deep in the `BEGIN … END` of a body and the `CASE … END` in it.
    atomic: u32,
}

impl<'a> Reader<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn step(&mut self) {
        let (byte, next) = (self.peek(0), self.peek(1));
        match byte {
            b if b.is_ascii_whitespace() || b == 0x0b => self.take(1),
            b'-' if next == b'-' => {
                let length = self.line_length();
                let (text, line) = (&self.sql[self.at + 2..self.at + length], self.line);
                self.script.comments.push(Comment { text, line });
                self.take(length);
            }
            b'/' if next == b'*' => self.block_comment(),
            b'\'' => self.token(Kind::Text, self.quoted(b'\'', 0, false), "string"),
            b'"' => self.token(Kind::Quoted, self.quoted(b'"', 0, false), "quoted name"),
            // MySQL's and SQLite's way to quote a name; PostgreSQL has no such character.
            b'`' => self.token(Kind::Quoted, self.quoted(b'`', 0, false), "quoted name"),
            b'e' | b'E' if next == b'\'' => self.token(Kind::Text, self.quoted(b'\'', 1, true), "string"),
            b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if next == b'\'' => {
                self.token(Kind::Text, self.quoted(b'\'', 1, false), "string");
            }
            b'u' | b'U' if next == b'&' && self.peek(2) == b'\'' => {
                self.token(Kind::Text, self.quoted(b'\'', 2, false), "string");
            }
            b'u' | b'U' if next == b'&' && self.peek(2) == b'"' => {
                self.token(Kind::Quoted, self.quoted(b'"', 2, false), "quoted name");
            }
            b'$' => match self.dollar_quoted() {
                Some(length) => self.token(Kind::Text, length, "dollar-quoted string"),
                None => self.token(Kind::Symbol, Ok(1), ""),
            },
            b'\\' => self.token(Kind::Meta, Ok(self.line_length()), ""),
            b if is_name_start(b) => self.word(),
            b if b.is_ascii_digit() || (b == b'.' && next.is_ascii_digit()) => {
                let length = self.length_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
                self.token(Kind::Number, Ok(length), "");
            }
            b';' if self.open.is_empty() && self.atomic == 0 => {
                self.take(1);
                let copies = is_copy_from_stdin(&self.statement);
                self.end_statement();
                if copies {
                    self.skip_rows();
                }
            }
            b => {
                match b {
                    b'(' => self.open.push(self.line),
                    b')' => drop(self.open.pop()),
                    _ => {}
                }
                self.token(Kind::Symbol, Ok(1), "");
            }
        }
    }

    /// Moves on and counts lines.
    fn take(&mut self, length: usize) {
        let end = (self.at + length).min(self.bytes.len());
        let passed = &self.bytes[self.at..end];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u32;
        self.at = end;
    }

    /// Adds a token of the given length; `Err` holds the length up to the end of the file, reached without a closing mark.
    fn token(&mut self, kind: Kind, length: Result<usize, usize>, what: &'static str) {
        let line = self.line;
        let length = length.unwrap_or_else(|length| {
            self.script.unclosed.push((line, what));
            length
        });
        let text = &self.sql[self.at..self.at + length];
        self.statement.push(Token { kind, text, line });
        self.take(length);
    }

    fn length_while(&self, mut belongs: impl FnMut(u8) -> bool) -> usize {
        let rest = &self.bytes[self.at..];
        rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len())
    }

    fn line_length(&self) -> usize {
        self.length_while(|byte| byte != b'\n' && byte != b'\r')
    }

    /// The length of what stands in `quote` after `prefix` bytes; a doubled quote, or one after a backslash, does not close.
    fn quoted(&self, quote: u8, prefix: usize, backslash: bool) -> Result<usize, usize> {
        let rest = &self.bytes[self.at..];
        let mut at = prefix + 1;
        while at < rest.len() {
            match rest[at] {
                b'\\' if backslash => at += 1,
                byte if byte == quote && rest.get(at + 1) == Some(&quote) => at += 1,
                byte if byte == quote => return Ok(at + 1),
                _ => {}
            }
            at += 1;
        }
        Err(rest.len())
    }

    /// The length of a dollar-quoted string, none when the dollar begins something else such as `$1`.
    fn dollar_quoted(&self) -> Option<Result<usize, usize>> {
        let rest = &self.bytes[self.at..];
        let tag = rest[1..].iter().position(|byte| *byte == b'$')?;
        let name = &rest[1..=tag];
        let named = name.iter().all(|byte| is_name_start(*byte) || byte.is_ascii_digit());
        if !named || name.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let mark = &rest[..tag + 2];
        let body = &rest[mark.len()..];
        let end = body.windows(mark.len()).position(|window| window == mark);
        Some(end.map(|end| end + 2 * mark.len()).ok_or(rest.len()))
    }

    fn block_comment(&mut self) {
        let rest = &self.bytes[self.at..];
        let (mut depth, mut at) = (1, 2);
        while depth > 0 && at < rest.len() {
            match (rest[at], rest.get(at + 1)) {
                (b'/', Some(b'*')) => (depth, at) = (depth + 1, at + 2),
                (b'*', Some(b'/')) => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
        }
        if depth > 0 {
            self.script.unclosed.push((self.line, "comment"));
        }
        self.take(at);
    }

    fn word(&mut self) {
        let length = self.length_while(|byte| is_name_start(byte) || byte.is_ascii_digit() || byte == b'$');
        self.token(Kind::Word, Ok(length), "");
        let Some(word) = self.statement.last() else { return };
        if self.atomic == 0 {
            // CREATE OR REPLACE TEMP TRIGGER: what is made stands among the first words.
            let head = &self.statement[..self.statement.len().min(5)];
            let has_body = |token: &Token<'_>| ["function", "procedure", "trigger"].iter().any(|word| token.is(word));
            if word.is("begin") && head[0].is("create") && head.iter().any(has_body) {
                self.atomic = 1;
            }
        } else if word.is("case") || word.is("begin") {
            self.atomic += 1;
        } else if word.is("end") {
            self.atomic -= 1;
        }
    }

    fn end_statement(&mut self) {
        // A semicolon ends nothing inside of parentheses, so only the end of the file comes here with one open.
        if let Some(line) = self.open.first() {
            self.script.unclosed.push((*line, "parenthesis"));
        }
        self.open.clear();
        self.atomic = 0;
        if !self.statement.is_empty() {
            self.script.statements.push(std::mem::take(&mut self.statement));
        }
    }

    /// Skips the rows after a COPY, up to the line `\.` or the end of the file.
    fn skip_rows(&mut self) {
        let rest = &self.sql[self.at..];
        // What follows the semicolon on its line is not a row.
        let mut length = 0;
        for line in rest.split_inclusive('\n') {
            length += line.len();
            if line.trim_end() == "\\." {
                break;
            }
        }
        self.take(length);
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_copy_from_stdin(statement: &[Token<'_>]) -> bool {
    statement.first().is_some_and(|first| first.is("copy"))
        && statement
            .windows(2)
            .any(|pair| pair[0].is("from") && pair[1].is("stdin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(sql: &str) -> Vec<String> {
        let script = read(sql);
        let joined = |statement: &Vec<Token<'_>>| {
            let texts: Vec<&str> = statement.iter().map(|token| token.text).collect();
            texts.join(" ")
        };
        script.statements.iter().map(joined).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_outside_of_everything() {
        for (sql, wanted) in [
            ("a; b", &["a", "b"][..]),
            ("';' ; b", &["';'", "b"]),
            ("'it''s;' ; b", &["'it''s;'", "b"]),
            (r"'\'; b", &[r"'\'", "b"]),
            (r"E'\';' ; b", &[r"E'\';'", "b"]),
            (r#""a"";"; b"#, &[r#""a"";""#, "b"]),
            (r#"U&"a;" ; u&';' ; b"#, &[r#"U&"a;""#, "u&';'", "b"]),
            ("$$;$x$;$$; b", &["$$;$x$;$$", "b"]),
            ("$x$;$$;$x$; b", &["$x$;$$;$x$", "b"]),
            ("a$b$c; d$$; e", &["a$b$c", "d$$", "e"]),
            ("$1; $2", &["$ 1", "$ 2"]),
            ("a -- b; c\n; d", &["a", "d"]),
            ("a /* ; /* ; */ ; */ b; c", &["a b", "c"]),
            ("a --/*\n; b --*/\n", &["a", "b"]),
            ("f(a; b); c", &["f ( a ; b )", "c"]),
            (";;a;;", &["a"]),
            ("SELECT 1e5,.5,1.2.3", &["SELECT 1e5 , .5 , 1.2.3"]),
            ("\\set x ';'\na; b", &["\\set x ';' a", "b"]),
            ("größe; b", &["größe", "b"]),
            (
                "CREATE FUNCTION f() BEGIN ATOMIC a; CASE b END; END; c",
                &["CREATE FUNCTION f ( ) BEGIN ATOMIC a ; CASE b END ; END", "c"],
            ),
            ("copy t from stdin;\n1\t'\n;\n\\.\nb;", &["copy t from stdin", "b"]),
        ] {
            assert_eq!(statements(sql), wanted, "{sql}");
        }
    }

    #[test]
    fn what_is_never_closed_is_named_with_its_line() {
        for (sql, line, what) in [
            ("a;\n'b", 2, "string"),
            ("\n\n/* /* */", 3, "comment"),
            ("a\n\"b", 2, "quoted name"),
            ("a $x$ \n $y$", 1, "dollar-quoted string"),
            ("a;\nf((b)", 2, "parenthesis"),
        ] {
            assert_eq!(read(sql).unclosed, [(line, what)], "{sql}");
        }
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let script = read("'\n\n' /*\n*/ a\n-- b\nc");
        let lines: Vec<u32> = script.statements[0].iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 4, 6]);
        assert_eq!(script.comments[0].line, 5);
    }
}
