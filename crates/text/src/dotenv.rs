//! Files of variables as Compose reads `.env`.
//!
//! Source: the Compose specification, "Env_file format": `NAME=value` or `NAME: value`, an optional `export`, `#` comments, single
//! quotes (as it is), double quotes (escapes and variables), both over several lines, and bare names, which take the value from
//! outside.
//!
//! Invariant: no value is ever part of a message (test `no_value_of_a_file_of_variables_is_ever_shown`).

use std::collections::{BTreeMap, BTreeSet};

use crate::findings::Findings;
use crate::interpolate::{Fault, Filled, VALUE_BYTES_MAX, fill};
use crate::source::{Place, SourceId, number};

/// Bytes that the values of one file may have together once their variables are replaced; a file of 1 MiB whose lines name each
/// other could have thousands of millions.
const BYTES_MAX: usize = 16 << 20;

/// One line with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The value; a bare name that is not set outside either has none.
    pub value: Option<String>,
    /// Variables whose values are part of it.
    pub used: BTreeSet<String>,
    /// Where the name stands.
    pub place: Place,
}

/// Reads a file of variables; notes every line that is none. Lines may refer to earlier ones, to `before` (files read before this one)
/// and to `outside`, which wins over both; references that start with `passes` are left as they stand (see [`fill`]).
pub fn parse(
    source: SourceId,
    before: &BTreeMap<String, String>,
    outside: &BTreeMap<String, String>,
    passes: &str,
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
        passes,
        known,
        left: BYTES_MAX,
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
    passes: &'a str,
    /// What later lines may refer to: outside wins over the file.
    known: BTreeMap<String, String>,
    /// Bytes that values may still have.
    left: usize,
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
            self.skip(end);
            return self.take(name, value, used, place, findings);
        }
        self.skip(end + 1);
        let blank = self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len();
        self.skip(blank);
        let raw = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote, place, findings),
            _ => Some((self.bare(), true)),
        };
        let filled = match raw {
            Some((raw, true)) => self.filled(&raw, place, findings),
            Some((text, false)) => Some(Filled {
                text,
                ..Filled::default()
            }),
            None => None,
        };
        let Some(filled) = filled else { return true };
        if !self.outside.contains_key(&name) {
            self.known.insert(name.clone(), filled.text.clone());
        }
        self.take(name, Some(filled.text), filled.used, place, findings)
    }

    /// Takes a variable; returns whether there may be more.
    fn take(
        &mut self,
        name: String,
        value: Option<String>,
        used: BTreeSet<String>,
        place: Place,
        findings: &mut Findings,
    ) -> bool {
        self.left = self.left.saturating_sub(value.as_ref().map_or(0, String::len));
        if self.left == 0 {
            findings
                .error(
                    place,
                    "the values up to here have more than 16 MiB once their variables are replaced",
                )
                .help("look at the variables they name");
            return false;
        }
        self.found.push(Variable {
            name,
            value,
            used,
            place,
        });
        true
    }

    fn filled(&self, raw: &str, place: Place, findings: &mut Findings) -> Option<Filled> {
        let fault = match fill(raw, &self.known, self.passes, VALUE_BYTES_MAX) {
            Ok(filled) => {
                for unset in &filled.unset {
                    findings
                        .warning(place, format!("the variable `{unset}` is not set; it counts as empty"))
                        .help("for a dollar sign as such use single quotes or write `$$`");
                }
                return Some(filled);
            }
            Err(fault) => fault,
        };
        let (message, help) = match fault {
            Fault::Required(variable, why) => {
                let because = if why.is_empty() { why } else { format!(": {why}") };
                (
                    format!("the variable `{variable}` must be set{because}"),
                    "set it above this line, or outside",
                )
            }
            Fault::Syntax(_) => (
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
                    let noted = findings
                        .error(self.here(), "there is more after the closing quote")
                        .help("put the whole value in quotes, or a blank and `#` before a remark");
                    if self.here().line != place.line {
                        // No name stands in this line: what is before the quote is the value.
                        noted.without_line();
                    }
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
    use crate::shown::Shows;

    fn read(text: &str) -> (Vec<(String, Option<String>)>, usize) {
        let mut findings = Findings::default();
        let source = findings.sources.add("/.env", text, Shows::Names);
        let outside = [("OUT".to_owned(), "side".to_owned())].into();
        let found = parse(source, &BTreeMap::new(), &outside, "${secret:", &mut findings);
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
