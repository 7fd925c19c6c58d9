//! Files of variables as Compose reads `.env`.
//!
//! Source: the Compose specification, "Env_file format": `NAME=value` or `NAME: value`, an optional `export`, `#` comments, single
//! quotes (as it is), double quotes (escapes and variables), both over several lines, and bare names, which take the value from
//! outside. Invariant: no value is ever part of a message.

use std::collections::{BTreeMap, BTreeSet};

use crate::interpolate::{Fault, fill};
use crate::report::Findings;
use crate::source::{Place, SourceId, number};

/// One line with a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// The name.
    pub(crate) name: String,
    /// The value; a bare name that is not set outside either has none.
    pub(crate) value: Option<String>,
    /// Variables whose values are part of it.
    pub(crate) used: BTreeSet<String>,
    /// Where the name stands.
    pub(crate) place: Place,
}

/// Reads a file of variables; notes every line that is none. Lines may refer to earlier ones, to `before` (files read before this one)
/// and to `outside`, which wins over both.
pub(crate) fn parse(
    source: SourceId,
    before: &BTreeMap<String, String>,
    outside: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Vec<Variable> {
    let text = findings.sources.get(source).text.replace("\r\n", "\n");
    let mut known = before.clone();
    known.extend(outside.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut reader = Reader {
        rest: &text,
        line: 1,
        column: 1,
        source,
        outside,
        known,
        found: Vec::new(),
    };
    while reader.statement(findings) {}
    reader.found
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
    source: SourceId,
    outside: &'a BTreeMap<String, String>,
    /// What later lines may refer to: outside wins over the file.
    known: BTreeMap<String, String>,
    found: Vec<Variable>,
}

impl Reader<'_> {
    /// Reads one line or, with quotes, several; returns whether there was one.
    fn statement(&mut self, findings: &mut Findings) -> bool {
        let blank = self.rest.len() - self.rest.trim_start().len();
        self.skip(blank);
        if self.rest.is_empty() {
            return false;
        }
        if self.rest.starts_with('#') {
            self.skip_line();
            return true;
        }
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            let skipped = self.rest.len() - after.trim_start_matches([' ', '\t']).len();
            self.skip(skipped);
        }
        let end = self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len());
        let name = self.rest[..end].trim_end().to_owned();
        let place = Place {
            length: number(name.chars().count().max(1)),
            ..self.here()
        };
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "_.-[]".contains(c)) {
            findings
                .error(self.here(), "this line is not of the form NAME=value")
                .help("a name has letters, digits and `_`; start a remark with `#`");
            self.skip_line();
            return true;
        }
        if !self.rest[end..].starts_with(['=', ':']) {
            let value = self.known.get(&name).cloned();
            let used = BTreeSet::from([name.clone()]);
            self.found.push(Variable {
                name,
                value,
                used,
                place,
            });
            self.skip(end);
            return true;
        }
        self.skip(end + 1);
        let blank = self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len();
        self.skip(blank);
        let raw = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote, place, findings),
            _ => Some((self.bare(), true)),
        };
        let value = raw.and_then(|(raw, expands)| {
            if expands {
                self.filled(&raw, place, findings)
            } else {
                Some((raw, BTreeSet::new()))
            }
        });
        if let Some((value, used)) = value {
            if !self.outside.contains_key(&name) {
                self.known.insert(name.clone(), value.clone());
            }
            let value = Some(value);
            self.found.push(Variable {
                name,
                value,
                used,
                place,
            });
        }
        true
    }

    fn filled(&self, raw: &str, place: Place, findings: &mut Findings) -> Option<(String, BTreeSet<String>)> {
        match fill(raw, &self.known) {
            Ok(filled) => {
                for unset in filled.unset {
                    findings
                        .warning(place, format!("the variable `{unset}` is not set; it counts as empty"))
                        .help("for a dollar sign as such use single quotes or write `$$`");
                }
                Some((filled.text, filled.used))
            }
            Err(fault) => {
                let (message, help) = match fault {
                    Fault::Required(variable, why) if why.is_empty() => (
                        format!("the variable `{variable}` must be set"),
                        "set it above this line, or outside",
                    ),
                    Fault::Required(variable, why) => (
                        format!("the variable `{variable}` must be set: {why}"),
                        "set it above this line, or outside",
                    ),
                    Fault::Syntax => (
                        "the value has a `${` that is no variable".to_owned(),
                        "for a dollar sign as such use single quotes or write `$$`",
                    ),
                    Fault::TooLong => (
                        "the value has more than 1 MiB once its variables are replaced".to_owned(),
                        "look at the variables it names",
                    ),
                };
                findings.error(place, message).help(help);
                None
            }
        }
    }

    fn here(&self) -> Place {
        self.source.at(number(self.line), number(self.column))
    }

    fn skip(&mut self, bytes: usize) {
        let skipped = &self.rest[..bytes];
        self.line += skipped.matches('\n').count();
        self.column = match skipped.rfind('\n') {
            Some(at) => skipped[at + 1..].chars().count() + 1,
            None => self.column + skipped.chars().count(),
        };
        self.rest = &self.rest[bytes..];
    }

    fn skip_line(&mut self) {
        let bytes = self.rest.find('\n').unwrap_or(self.rest.len());
        self.skip(bytes);
    }

    fn bare(&mut self) -> String {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        let value = if line.starts_with('#') {
            ""
        } else {
            line.split(" #").next().unwrap_or_default()
        };
        let value = value.trim_end().to_owned();
        self.skip(end);
        value
    }

    /// Returns the value and whether variables in it count.
    fn quoted(&mut self, quote: char, place: Place, findings: &mut Findings) -> Option<(String, bool)> {
        let double = quote == '"';
        let mut value = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.skip(at + 1);
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                let after = self.rest[..end].trim();
                if !after.is_empty() && !after.starts_with('#') {
                    findings
                        .error(self.here(), "there is more after the closing quote")
                        .help("put the whole value in quotes, or a blank and `#` before a remark");
                }
                self.skip_line();
                return Some((value, double));
            }
            if c != '\\' {
                value.push(c);
                continue;
            }
            match chars.next() {
                Some((_, c)) if c == quote => value.push(c),
                Some((_, c)) if double => match c {
                    'n' => value.push('\n'),
                    'r' => value.push('\r'),
                    't' => value.push('\t'),
                    '\\' => value.push('\\'),
                    '$' => value.push_str("$$"),
                    c => value.extend(['\\', c]),
                },
                Some((_, c)) => value.extend(['\\', c]),
                None => {}
            }
        }
        findings
            .error(place, "the quote that opens the value is not closed")
            .help("a quoted value may go over several lines; close it");
        let all = self.rest.len();
        self.skip(all);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Shows;

    fn read(text: &str) -> (Vec<(String, Option<String>)>, usize) {
        let mut findings = Findings::default();
        let source = findings.sources.add("/.env".into(), text, Shows::Names);
        let outside = [("OUT".to_owned(), "side".to_owned())].into();
        let found = parse(source, &BTreeMap::new(), &outside, &mut findings);
        (
            found.into_iter().map(|one| (one.name, one.value)).collect(),
            findings.errors(),
        )
    }

    #[test]
    fn every_form_of_a_line_is_read() {
        for (text, name, value) in [
            ("A=1", "A", Some("1")),
            ("A: 1", "A", Some("1")),
            ("export A=1", "A", Some("1")),
            ("exported=1", "exported", Some("1")),
            ("  A = 1  ", "A", Some("1")),
            ("A=", "A", Some("")),
            ("A=b c # remark", "A", Some("b c")),
            ("A=b#c", "A", Some("b#c")),
            ("A= # remark", "A", Some("")),
            ("A='$OUT \\n # x'", "A", Some("$OUT \\n # x")),
            ("A=\"$OUT\\n\\$x \\\"q\\\"\" # r", "A", Some("side\n$x \"q\"")),
            ("A=\"two\nlines\"", "A", Some("two\nlines")),
            ("A=${NOPE:-d}", "A", Some("d")),
            ("A=$OUT", "A", Some("side")),
            ("OUT", "OUT", Some("side")),
            ("NOPE", "NOPE", None),
            ("# remark\n\nA=1\r\n", "A", Some("1")),
            ("A=https://x/?a=b", "A", Some("https://x/?a=b")),
        ] {
            let wanted = vec![(name.to_owned(), value.map(str::to_owned))];
            assert_eq!(read(text), (wanted, 0), "{text}");
        }
    }

    #[test]
    fn later_lines_know_earlier_ones_and_outside_wins() {
        let (found, errors) = read("A=0\nA=1\nB=$A\nOUT=in\nC=$OUT");
        let values: Vec<_> = found.iter().map(|(_, value)| value.as_deref().unwrap()).collect();
        assert_eq!((values, errors), (vec!["0", "1", "1", "in", "side"], 0));
    }

    #[test]
    fn lines_that_are_none_are_noted_and_reading_goes_on() {
        for (text, good) in [
            ("=1\nA=1", 1),
            ("a b=1\nA=1", 1),
            ("A='x\nB=1", 0),
            ("A=\"x\" y\nB=1", 2),
            ("A=${\nB=1", 1),
            ("{}\n", 0),
        ] {
            let (found, errors) = read(text);
            assert_eq!((found.len(), errors), (good, 1), "{text}");
        }
    }
}
