//! JSON as rows and commands hold it, read into the tree with numbers as they are written.
//!
//! Why not serde_json: it makes floating point of `0.1000000000000000055`, and a price is to be what was written.

use tend_text::{Entry, Kind, Map, Node, Place, Value as Tree};

use crate::decimal::Decimal;

/// Levels of nesting.
const DEPTH_MAX: usize = 32;

/// Reads one JSON value; every node gets `place`. The error says what is wrong and at which character, without quoting the text.
pub(crate) fn read(text: &str, place: Place) -> Result<Node, String> {
    let mut reader = Reader {
        text,
        at: 0,
        place,
        depth: 0,
    };
    let node = reader.value()?;
    reader.blank();
    if reader.at < text.len() {
        return Err(reader.wrong("there is more after the value"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    place: Place,
    depth: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> String {
        let column = self.text[..self.at].chars().count() + 1;
        format!("{what}, at character {column}")
    }

    fn blank(&mut self) {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        self.at = self.text.len() - rest.len();
    }

    fn eat(&mut self, c: char) -> bool {
        self.blank();
        let found = self.text[self.at..].starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn node(&self, tree: Tree) -> Node {
        Node::new(self.place, tree)
    }

    fn value(&mut self) -> Result<Node, String> {
        self.blank();
        let rest = &self.text[self.at..];
        match rest.chars().next() {
            None => Err(self.wrong("a value is missing")),
            Some('"') => {
                let text = self.string()?;
                Ok(Node::scalar(self.place, text, Kind::Text))
            }
            Some('[') => self.list(),
            Some('{') => self.map(),
            Some('-' | '0'..='9') => {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c)));
                let number = &rest[..end.unwrap_or(rest.len())];
                let digits = number.strip_prefix('-').unwrap_or(number);
                let zero = digits.len() > 1 && digits.starts_with('0') && !digits[1..].starts_with(['.', 'e', 'E']);
                let bare =
                    digits.starts_with('.') || digits.contains(".e") || digits.contains(".E") || digits.ends_with('.');
                if zero || bare || Decimal::parse(number).is_none() {
                    return Err(self.wrong("this is not a number that can be held"));
                }
                self.at += number.len();
                Ok(Node::scalar(self.place, number, Kind::of_plain(number)))
            }
            Some(_) => {
                for (word, kind) in [("true", Kind::Bool), ("false", Kind::Bool), ("null", Kind::Null)] {
                    if rest.starts_with(word) && !rest[word.len()..].starts_with(|c: char| c.is_alphanumeric()) {
                        self.at += word.len();
                        return Ok(Node::scalar(self.place, word, kind));
                    }
                }
                Err(self.wrong("this is not JSON: a text stands in double quotes"))
            }
        }
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("nested deeper than 32 levels"));
        }
        self.at += 1;
        Ok(())
    }

    fn list(&mut self) -> Result<Node, String> {
        self.deeper()?;
        let mut items = Vec::new();
        if !self.eat(']') {
            loop {
                items.push(self.value()?);
                if self.eat(']') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.wrong("`,` or `]` is missing"));
                }
            }
        }
        self.depth -= 1;
        Ok(self.node(Tree::List(items)))
    }

    fn map(&mut self) -> Result<Node, String> {
        self.deeper()?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        if !self.eat('}') {
            loop {
                self.blank();
                if !self.text[self.at..].starts_with('"') {
                    return Err(self.wrong("a name in double quotes is missing"));
                }
                let key = self.string()?;
                if !seen.insert(key.clone()) {
                    return Err(self.wrong("a name stands here a second time"));
                }
                if !self.eat(':') {
                    return Err(self.wrong("`:` is missing"));
                }
                let value = self.value()?;
                entries.push(Entry {
                    key,
                    place: self.place,
                    value,
                });
                if self.eat('}') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.wrong("`,` or `}` is missing"));
                }
            }
        }
        self.depth -= 1;
        Ok(self.node(Tree::Map(Map(entries))))
    }

    /// Finds where the string ends and has serde_json undo its escapes.
    fn string(&mut self) -> Result<String, String> {
        let rest = &self.text[self.at..];
        let mut escaped = false;
        for (at, byte) in rest.bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    let text = serde_json::from_str(&rest[..=at])
                        .map_err(|_| self.wrong("this text has an escape or a character that JSON does not allow"))?;
                    self.at += at + 1;
                    return Ok(text);
                }
                _ => {}
            }
        }
        Err(self.wrong("a quote is opened and not closed"))
    }
}

#[cfg(test)]
mod tests {
    use tend_text::{Findings, Shows};

    use super::*;

    fn place() -> Place {
        let mut findings = Findings::default();
        findings.sources.add("x", "", Shows::Lines).whole()
    }

    #[test]
    fn it_takes_what_serde_json_takes_and_nothing_else() {
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"b\\u00e9\"",
            "\"\\ud83d\\ude00\"",
            "1",
            "-0.5",
            "1e3",
            "01",
            "1.",
            ".5",
            "-",
            "true",
            "null",
            "nul",
            " ",
            "\"",
            "\\",
            "é",
        ];
        let mut dice = 0x7E4D_0003u64;
        let mut good = 0;
        for _ in 0..200_000 {
            let mut text = String::new();
            dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            for step in 0..(dice >> 60) % 8 + 1 {
                text.push_str(pieces[(dice >> (step * 5 + 7)) as usize % pieces.len()]);
            }
            let ours = read(&text, place()).is_ok();
            // The differences: a name twice, of which serde_json takes the later, and numbers that we do not hold.
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            if theirs != ours {
                let why = read(&text, place()).expect_err("ours is the stricter one");
                assert!(
                    why.contains("second time") || why.contains("can be held"),
                    "{text}: {why}"
                );
            }
            good += usize::from(ours);
        }
        assert!(good > 1000, "{good}");
    }
}
