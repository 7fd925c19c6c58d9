//! What is wrong with a configuration, said all at once, each with the place, the line and what to write instead.
//!
//! Owns the shape of a violation and how it reads. Knows none of the rules that find them.
//!
//! Invariant: of a line that may hold a secret only what stands before its value is shown (test `no_secret_is_in_any_message`).

use std::fmt;
use std::path::PathBuf;

use crate::source::{Place, Shows, Source, SourceId, Sources};

/// Whether a set can be taken in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, and something may not be as meant.
    Warning,
}

/// One thing that is wrong: what, where, the line itself, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// Whether a set can be taken in spite of it.
    pub severity: Severity,
    /// The key it is about, where it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub location: Location,
    /// A second place that belongs to it, such as the first of two equal keys, with what it is.
    pub also: Option<(Location, String)>,
    /// What to write instead.
    pub help: Option<String>,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// In a text with lines.
    File {
        /// As it was handed in.
        file: PathBuf,
        /// From 1; 0 when the file as a whole is meant.
        line: u32,
        /// In characters, from 1; 0 when the file as a whole is meant.
        column: u32,
        /// How many characters are meant.
        length: u32,
        /// The line as it is written, without a value that may be secret.
        text: String,
    },
    /// In a row, a variable, a command: what and which, in words.
    Elsewhere(String),
}

/// Everything that is wrong: at least one error, and the warnings found besides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentence(.0))]
pub struct Report(pub Vec<Violation>);

impl Report {
    /// Makes the report of a single error that stands in no text.
    pub(crate) fn one(key: Option<&str>, said_by: &str, message: String, help: String) -> Self {
        Self(vec![Violation {
            severity: Severity::Error,
            key: key.map(str::to_owned),
            message,
            location: Location::Elsewhere(said_by.to_owned()),
            also: None,
            help: Some(help),
        }])
    }

    /// Returns how many of the violations are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        count(&self.0, Severity::Error)
    }
}

fn count(all: &[Violation], severity: Severity) -> usize {
    all.iter().filter(|one| one.severity == severity).count()
}

/// Writes all violations one under the other, and how many errors there are.
fn sentence(all: &[Violation]) -> String {
    let mut text = String::new();
    for one in all {
        text.push_str(&one.to_string());
        text.push('\n');
    }
    let of = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    };
    text.push_str(&of(count(all, Severity::Error), "error"));
    let warnings = count(all, Severity::Warning);
    if warnings > 0 {
        text.push_str(", ");
        text.push_str(&of(warnings, "warning"));
    }
    text
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.severity, self.message)?;
        let also = self.also.as_ref().map_or(0, |(also, _)| also.line());
        let width = self.location.line().max(also).to_string().len();
        self.location.show(f, "-->", width, "")?;
        if let Some((also, label)) = &self.also {
            also.show(f, ":::", width, label)?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "{:width$} = help: {help}", "")?;
        }
        Ok(())
    }
}

impl Location {
    /// Returns the line, 0 where there is none.
    #[must_use]
    pub fn line(&self) -> u32 {
        match self {
            Self::File { line, .. } => *line,
            Self::Elsewhere(_) => 0,
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, arrow: &str, width: usize, label: &str) -> fmt::Result {
        let (file, line, column, length, text) = match self {
            Self::Elsewhere(what) if label.is_empty() => return writeln!(f, "{:width$}{arrow} {what}", ""),
            Self::Elsewhere(what) => return writeln!(f, "{:width$}{arrow} {what}: {label}", ""),
            Self::File {
                file,
                line,
                column,
                length,
                text,
            } => (file.display(), *line, *column as usize, *length as usize, text),
        };
        if line == 0 {
            return writeln!(f, "{:width$}{arrow} {file}", "");
        }
        writeln!(f, "{:width$}{arrow} {file}:{line}:{column}", "")?;
        // A tab is shown as one blank so that the caret stands under what it means.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = text.trim_end();
        // Of a long line the part around the place is shown.
        let count = text.chars().count();
        let before = if count <= WIDE {
            0
        } else {
            column.saturating_sub(WIDE / 2).min(count - WIDE)
        };
        let text: String = text.chars().skip(before).take(WIDE).collect();
        let shown = text.chars().count();
        let column = column.saturating_sub(before).max(1).min(shown + 1);
        let length = length.min(shown.saturating_sub(column - 1)).max(1);
        writeln!(f, "{:width$} |", "")?;
        writeln!(f, "{}", format!("{line:width$} | {text}").trim_end())?;
        let carets = format!("{}{} {label}", " ".repeat(column - 1), "^".repeat(length));
        writeln!(f, "{:width$} | {}", "", carets.trim_end())
    }
}

/// Characters of a line that are shown.
const WIDE: usize = 160;

/// Characters of a line that are kept.
const KEPT: usize = 4096;

/// Violations of one severity that are kept; nobody reads more, and a hostile file has millions.
const KEPT_MAX: usize = 200;

/// The texts of one piece of work and what was found in them so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What was handed in.
    pub(crate) sources: Sources,
    found: Vec<(Option<Place>, Violation)>,
    errors: usize,
    warnings: usize,
    /// The last one that was not kept.
    spare: Option<Violation>,
}

impl Findings {
    /// Notes an error at a place of a text; the result takes the rest.
    pub(crate) fn error(&mut self, place: Place, message: impl Into<String>) -> Noted<'_> {
        self.note(Severity::Error, Some(place), None, message.into())
    }

    /// Notes a warning at a place of a text; the result takes the rest.
    pub(crate) fn warning(&mut self, place: Place, message: impl Into<String>) -> Noted<'_> {
        self.note(Severity::Warning, Some(place), None, message.into())
    }

    /// Notes an error that stands in no text.
    pub(crate) fn error_elsewhere(&mut self, location: Location, message: impl Into<String>) -> Noted<'_> {
        self.note(Severity::Error, None, Some(location), message.into())
    }

    fn note(
        &mut self,
        severity: Severity,
        place: Option<Place>,
        location: Option<Location>,
        message: String,
    ) -> Noted<'_> {
        let counter = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *counter += 1;
        let keep = *counter <= KEPT_MAX;
        let location = location
            .or_else(|| place.map(|place| self.sources.location(place, false)))
            .unwrap_or_else(|| Location::Elsewhere(String::new()));
        let violation = Violation {
            severity,
            key: None,
            message,
            location,
            also: None,
            help: None,
        };
        let violation = if keep {
            self.found.push((place, violation));
            &mut self.found.last_mut().expect("just pushed").1
        } else {
            self.spare.insert(violation)
        };
        Noted {
            sources: &self.sources,
            place,
            violation,
        }
    }

    /// Returns how many errors were noted, kept or not.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Returns the violations, errors first, in the order of the texts and lines; those that stand in no text last.
    pub(crate) fn into_violations(self) -> Vec<Violation> {
        let mut found = self.found;
        found.sort_by_key(|(place, one)| (one.severity, place.is_none(), *place));
        found.into_iter().map(|(_, one)| one).collect()
    }
}

impl Sources {
    /// Returns a place with its line; `whole` when what stands there is known to be no secret.
    pub(crate) fn location(&self, place: Place, whole: bool) -> Location {
        let source = self.get(place.source);
        let line = source.line(place.line).unwrap_or_default();
        let text = match source.shows {
            Shows::Lines => line.to_owned(),
            Shows::Names if whole && stands_alone(line, place) => line.to_owned(),
            Shows::Names => name_only(line),
        };
        Location::File {
            file: source.name.clone(),
            line: place.line,
            column: place.column,
            length: place.length,
            text: text.chars().take(KEPT).collect(),
        }
    }

    /// Returns the text of a place's source.
    pub(crate) fn of(&self, id: SourceId) -> &Source {
        self.get(id)
    }
}

/// Returns whether nothing but the name of the value at `place` stands before it, so that nothing else is shown with it.
fn stands_alone(line: &str, place: Place) -> bool {
    let before: String = line.chars().take((place.column as usize).saturating_sub(1)).collect();
    let name = before.trim_end().trim_end_matches([':', '=']).trim_end();
    // A value in braces or brackets may have neighbours.
    let neighbours = line.contains(['{', '}']);
    // A URL that carries a password does so whatever the schema thinks of it.
    let password = line.contains("://") && line.contains('@');
    name.chars().all(|c| c.is_alphanumeric() || "_.- \t\"'".contains(c)) && !neighbours && !password
}

/// Returns the line up to its first value.
fn name_only(line: &str) -> String {
    match line.find([':', '=']) {
        Some(at) if line[at + 1..].trim().is_empty() => line.to_owned(),
        Some(at) => format!("{} …", &line[..=at]),
        None if line.trim().is_empty() => String::new(),
        None => "…".to_owned(),
    }
}

/// A violation just noted, to which more can be said.
pub(crate) struct Noted<'a> {
    sources: &'a Sources,
    place: Option<Place>,
    violation: &'a mut Violation,
}

impl Noted<'_> {
    /// Says what to write instead.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        self.violation.help = Some(help.into());
        self
    }

    /// Says what to write instead, if there is something to say.
    pub(crate) fn help_if(self, help: Option<String>) -> Self {
        if help.is_some() {
            self.violation.help = help;
        }
        self
    }

    /// Names the key.
    pub(crate) fn key(self, key: &str) -> Self {
        self.violation.key = Some(key.to_owned());
        self
    }

    /// Shows the whole line: what stands there is no secret.
    pub(crate) fn plainly(self) -> Self {
        if let Some(place) = self.place {
            self.violation.location = self.sources.location(place, true);
        }
        self
    }

    /// Shows only what stands before the value: it is one that should not have been written there.
    pub(crate) fn without_value(self) -> Self {
        if let Location::File { text, .. } = &mut self.violation.location {
            *text = name_only(text);
        }
        self
    }

    /// Names the second place that belongs to it.
    pub(crate) fn also(self, place: Place, label: impl Into<String>) -> Self {
        self.violation.also = Some((self.sources.location(place, false), label.into()));
        self
    }
}
