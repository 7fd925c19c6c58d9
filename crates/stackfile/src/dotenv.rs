//! Files of variables: `.env` and what `env_file` names.
//!
//! Source: the Compose specification, "Env_file format": `NAME=value` or `NAME: value`, an optional `export`, `#` comments, single
//! quotes (as it is), double quotes (escapes and variables), both over several lines, and bare names, which take the value from
//! outside. Invariant: no value is ever part of a message.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Findings, Report};
use crate::interpolate::{Fault, fill};
use crate::load::Session;
use crate::source::{Place, SourceId};

/// One entry; a bare name that is not set outside either has no value.
pub(crate) type Variable = (String, Option<String>);

/// Returns the variables of a file written as `.env` is, by itself: nothing comes from outside.
///
/// # Errors
/// Everything that is wrong with it; no value is part of it.
pub fn variables(path: &Path, text: String) -> Result<BTreeMap<String, String>, Report> {
    let mut findings = Findings::default();
    let folder = path.parent().unwrap_or(Path::new("/"));
    let source = findings.sources.add(path.to_owned(), text, folder.into(), true);
    let found = parse(source, &BTreeMap::new(), &mut findings);
    if findings.failed() {
        return Err(Report(findings.into_diagnostics()));
    }
    Ok(found
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect())
}

/// Reads a file whose values count only where nothing outside set them.
pub(crate) fn read_defaults(
    session: &mut Session<'_>,
    path: &Path,
    directory: &Path,
    named_at: Option<Place>,
    variables: &mut BTreeMap<String, String>,
) {
    let Some(source) = session.read(path, directory, true, named_at) else {
        return;
    };
    // Of two lines with one name the later counts.
    let file: BTreeMap<String, String> = parse(source, variables, &mut session.findings)
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    for (name, value) in file {
        variables.entry(name).or_insert(value);
    }
}

/// Reads a file that takes every line as it is written (`format: raw`).
pub(crate) fn parse_raw(
    source: SourceId,
    outside: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Vec<Variable> {
    let text = findings.sources.get(source).text.clone();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), outside.get(line.trim_end()).cloned()),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            let place = line_place(source, index + 1, 1);
            findings
                .error(place, "this line has no name before its `=`")
                .help("write NAME=value, or start a remark with `#`");
            continue;
        }
        found.push((name.to_owned(), value));
    }
    found
}

fn line_place(source: SourceId, line: usize, column: usize) -> Place {
    Place {
        source,
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        length: 1,
    }
}

/// Reads a file of variables; notes every line that is none.
pub(crate) fn parse(source: SourceId, outside: &BTreeMap<String, String>, findings: &mut Findings) -> Vec<Variable> {
    let text = findings.sources.get(source).text.replace("\r\n", "\n");
    let mut reader = Reader {
        rest: &text,
        line: 1,
        source,
        outside,
        known: outside.clone(),
        found: Vec::new(),
    };
    while reader.statement(findings) {}
    reader.found
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
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
        let place = line_place(self.source, self.line, 1);
        let end = self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len());
        let name = self.rest[..end].trim_end().to_owned();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_.-[]".contains(c));
        if !is_name {
            findings
                .error(place, "this line is not of the form NAME=value")
                .help("a name has letters, digits and `_`; start a remark with `#`");
            self.skip_line();
            return true;
        }
        if !self.rest[end..].starts_with(['=', ':']) {
            let value = self.known.get(&name).cloned();
            self.found.push((name, value));
            self.skip(end);
            return true;
        }
        self.skip(end + 1);
        let blank = self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len();
        self.skip(blank);
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote, place, findings),
            _ => Some(self.bare()),
        };
        let Some((value, expands)) = value else {
            return true;
        };
        let value = if expands {
            match fill(&value, &self.known) {
                Ok(filled) => {
                    for unset in filled.unset {
                        findings
                            .warning(place, format!("the variable `{unset}` is not set; it counts as empty"))
                            .help("for a dollar sign as such use single quotes or write `$$`");
                    }
                    filled.text
                }
                Err(Fault::Required(variable, message)) => {
                    findings.error(place, format!("the variable `{variable}` must be set: {message}"));
                    return true;
                }
                Err(Fault::Syntax(_)) => {
                    findings
                        .error(place, "the value has a `${` that is no variable")
                        .help("for a dollar sign as such use single quotes or write `$$`");
                    return true;
                }
            }
        } else {
            value
        };
        if !self.outside.contains_key(&name) {
            self.known.insert(name.clone(), value.clone());
        }
        self.found.push((name, Some(value)));
        true
    }

    fn skip(&mut self, bytes: usize) {
        self.line += self.rest[..bytes].matches('\n').count();
        self.rest = &self.rest[bytes..];
    }

    fn skip_line(&mut self) {
        let bytes = self.rest.find('\n').unwrap_or(self.rest.len());
        self.skip(bytes);
    }

    fn bare(&mut self) -> (String, bool) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        let value = if line.starts_with('#') {
            ""
        } else {
            line.split(" #").next().unwrap_or_default()
        };
        let value = value.trim_end().to_owned();
        self.skip(end);
        (value, true)
    }

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
                        .error(
                            line_place(self.source, self.line, 1),
                            "there is more after the closing quote",
                        )
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

    fn read(text: &str) -> (Vec<Variable>, usize) {
        let mut findings = Findings::default();
        let source = findings.sources.add("/.env".into(), text.into(), "/".into(), true);
        let outside = [("OUT".to_owned(), "side".to_owned())].into();
        let found = parse(source, &outside, &mut findings);
        (found, findings.error_count())
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
