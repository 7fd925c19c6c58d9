//! Splits a Rust file into code and comments, line by line, with the insides of literals blanked.
//!
//! Owns just enough of Rust's lexical rules for that: nested comments, raw strings, characters against lifetimes. Knows no
//! grammar, except for the paths that `use` and expressions name and for the extent of `#[cfg(test)]` items.

/// A scanned file. Both lists have one entry per line; a place that is not code (or not comment) holds blanks or nothing.
pub(crate) struct Source {
    pub(crate) code: Vec<String>,
    pub(crate) comments: Vec<String>,
}

impl Source {
    /// Scans `text`; what is not Rust at all is scanned somehow, never refused.
    pub(crate) fn scan(text: &str) -> Self {
        let mut scanner = Scanner {
            characters: text.chars().collect(),
            at: 0,
            code: String::new(),
            comments: String::new(),
        };
        scanner.run();
        let lines = |joined: &str| joined.lines().map(String::from).collect();
        Self {
            code: lines(&scanner.code),
            comments: lines(&scanner.comments),
        }
    }

    /// The code without the items marked `#[cfg(test)]`, line by line.
    pub(crate) fn code_outside_tests(&self) -> Vec<String> {
        let joined = self.code.join("\n");
        let mut kept = String::with_capacity(joined.len());
        let mut rest = joined.as_str();
        while let Some(start) = rest.find("#[cfg(test)]") {
            kept.push_str(&rest[..start]);
            let item = &rest[start..];
            let end = item_end(item);
            kept.extend(item[..end].chars().filter(|character| *character == '\n'));
            rest = &item[end..];
        }
        kept.push_str(rest);
        kept.lines().map(String::from).collect()
    }
}

/// The length of the item at the start of `code`: to its closing brace, or to its semicolon when that comes first.
fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

struct Scanner {
    characters: Vec<char>,
    at: usize,
    code: String,
    comments: String,
}

impl Scanner {
    fn run(&mut self) {
        while let Some(character) = self.peek(0) {
            match character {
                '/' if self.peek(1) == Some('/') => self.line_comment(),
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(),
                'r' if !self.in_word() && self.raw_string_hashes().is_some() => self.raw_string(),
                '\'' => self.character_or_lifetime(),
                _ => self.take_code(),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    /// True after a letter that belongs to a name, so that the `r` of `for"` starts no raw string; `br"` and `cr"` do.
    fn in_word(&self) -> bool {
        let mut before = self.code.chars().rev();
        match before.next() {
            Some('b' | 'c') => before.next().is_some_and(is_word),
            Some(character) => is_word(character),
            None => false,
        }
    }

    fn take_code(&mut self) {
        let Some(character) = self.peek(0) else { return };
        self.code.push(character);
        if character == '\n' {
            self.comments.push('\n');
        }
        self.at += 1;
    }

    /// Passes one character of a literal: a blank in the code, but lines stay lines.
    fn take_blank(&mut self) {
        if self.peek(0) == Some('\n') {
            self.take_code();
        } else {
            self.code.push(' ');
            self.at += 1;
        }
    }

    fn take_comment(&mut self) {
        match self.peek(0) {
            Some('\n') => self.take_code(),
            Some(character) => {
                self.comments.push(character);
                self.at += 1;
            }
            None => {}
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|character| character != '\n') {
            self.take_comment();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while let Some(character) = self.peek(0) {
            match (character, self.peek(1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    self.take_comment();
                    continue;
                }
            }
            self.take_comment();
            self.take_comment();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take_code();
        while let Some(character) = self.peek(0) {
            match character {
                '"' => {
                    self.take_code();
                    return;
                }
                '\\' => {
                    self.take_blank();
                    self.take_blank();
                }
                _ => self.take_blank(),
            }
        }
    }

    fn raw_string_hashes(&self) -> Option<usize> {
        let hashes = self.characters[self.at + 1..]
            .iter()
            .take_while(|character| **character == '#')
            .count();
        (self.peek(1 + hashes) == Some('"')).then_some(hashes)
    }

    fn raw_string(&mut self) {
        let hashes = self.raw_string_hashes().unwrap_or(0);
        for _ in 0..hashes + 2 {
            self.take_code();
        }
        while let Some(character) = self.peek(0) {
            if character == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                for _ in 0..=hashes {
                    self.take_code();
                }
                return;
            }
            self.take_blank();
        }
    }

    fn character_or_lifetime(&mut self) {
        let is_character = self.peek(1) == Some('\\') || self.peek(2) == Some('\'');
        self.take_code();
        if !is_character {
            return;
        }
        if self.peek(0) == Some('\\') {
            self.take_blank();
        }
        self.take_blank();
        while self
            .peek(0)
            .is_some_and(|character| character != '\'' && character != '\n')
        {
            self.take_blank();
        }
        if self.peek(0) == Some('\'') {
            self.take_code();
        }
    }
}

/// True for a character of a Rust name.
pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// True when `word` stands in `line` as a whole word.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(is_word)
            && !line[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

/// The paths that code names, with their lines from 1: each leaf of a `use`, and each `a::b::c` elsewhere.
pub(crate) fn paths(code: &[String]) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let (line, token) = &tokens[at];
        if token == "use" && tokens.get(at + 1).is_some_and(|(_, next)| next != "<") {
            at = use_tree(&tokens, at + 1, "", &mut found);
        } else if token.chars().next().is_some_and(is_word) {
            let mut path = token.clone();
            while tokens.get(at + 1).is_some_and(|(_, separator)| separator == "::")
                && tokens
                    .get(at + 2)
                    .is_some_and(|(_, name)| name.chars().next().is_some_and(is_word))
            {
                path.push_str("::");
                path.push_str(&tokens[at + 2].1);
                at += 2;
            }
            if path.contains("::") {
                found.push((*line, path));
            }
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one branch of a `use` and returns where the next one starts.
fn use_tree(tokens: &[(usize, String)], mut at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut path = prefix.to_owned();
    while let Some((line, token)) = tokens.get(at) {
        match token.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| token != "}") {
                    let next = use_tree(tokens, at, &path, found);
                    at = next.max(at + 1);
                    if tokens.get(at).is_some_and(|(_, token)| token == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "as" => at += 2,
            ";" | "," | "}" => {
                found.push((*line, path));
                return at;
            }
            name => {
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(name);
                at += 1;
            }
        }
    }
    at
}

fn tokens(code: &[String]) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    for (index, line) in code.iter().enumerate() {
        let mut rest = line.as_str();
        while let Some(first) = rest.chars().next() {
            let length = if first.is_whitespace() {
                rest = &rest[first.len_utf8()..];
                continue;
            } else if is_word(first) {
                rest.find(|character| !is_word(character)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((index + 1, rest[..length].to_owned()));
            rest = &rest[length..];
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_not_code() {
        let source = Source::scan(
            "let a = \"todo!() \\\" x\"; // note\nlet b = r#\"un\"safe\"#; /* a /* b */ c */ let c = '\"'; d::<'a>();",
        );
        assert_eq!(source.code[0], "let a = \"            \"; ");
        assert_eq!(source.comments[0], "// note");
        assert_eq!(source.code[1], "let b = r#\"       \"#;  let c = ' '; d::<'a>();");
        assert_eq!(source.comments[1], "/* a /* b */ c */");
    }

    #[test]
    fn code_marked_as_test_is_left_out_and_lines_are_kept() {
        let source = Source::scan("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n");
        assert_eq!(source.code_outside_tests(), ["fn a() {}", "", "", "", "", "fn c() {}"]);
    }

    #[test]
    fn paths_of_nested_uses_are_expanded() {
        let source = Source::scan("pub use std::{fs::{self, File as Handle}, io};\nlet now = time::Instant::now();");
        let found: Vec<String> = paths(&source.code)
            .into_iter()
            .map(|(line, path)| format!("{line} {path}"))
            .collect();
        assert_eq!(
            found,
            [
                "1 std::fs::self",
                "1 std::fs::File",
                "1 std::io",
                "2 time::Instant::now"
            ]
        );
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("unsafe { }", "unsafe"));
        assert!(!has_word("#![deny(unsafe_code)]", "unsafe"));
    }
}
