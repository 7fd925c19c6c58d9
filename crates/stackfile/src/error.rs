//! What is wrong with a stack file, said all at once, each with the place, the line and what to write instead.
//!
//! Owns the shape of a diagnostic and how it reads. Knows none of the rules that find them.

use std::fmt;
use std::path::PathBuf;

use crate::mask::masked;
use crate::schema::nearest;
use crate::source::{Place, SourceId, Sources};

/// Whether the stack can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, and something will not be as written.
    Warning,
}

/// One thing that is wrong, or that will not be as written.
///
/// Shown like a compiler's message: what, where, the line itself, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Whether the stack can be used in spite of it.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub location: Location,
    /// A second place that belongs to it, such as the first of two equal keys, with what it is.
    pub also: Option<(Location, String)>,
    /// What to write instead.
    pub help: Option<String>,
}

/// A place in a file, with the line as it is written there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// Absolute path.
    pub file: PathBuf,
    /// From 1; 0 when the file as a whole is meant, such as one that cannot be read.
    pub line: u32,
    /// In characters, from 1; 0 when the file as a whole is meant.
    pub column: u32,
    /// How many characters are meant.
    pub length: u32,
    /// The line as it is written; values of environment files and what looks like a secret are hidden.
    pub text: String,
    /// How many characters of a long line stand before `text`.
    pub before: u32,
}

/// Everything that is wrong with a stack: at least one error, and the warnings found besides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentence(.0))]
pub struct Report(pub Vec<Diagnostic>);

impl Report {
    /// Returns how many of the diagnostics are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        count(&self.0, Severity::Error)
    }
}

fn count(all: &[Diagnostic], severity: Severity) -> usize {
    all.iter().filter(|one| one.severity == severity).count()
}

/// Writes all diagnostics one under the other, and how many errors there are.
fn sentence(all: &[Diagnostic]) -> String {
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

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.severity, self.message)?;
        let last = self.also.as_ref().map_or(0, |(also, _)| also.line);
        let width = self.location.line.max(last).to_string().len();
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
    fn show(&self, f: &mut fmt::Formatter<'_>, arrow: &str, width: usize, label: &str) -> fmt::Result {
        let file = self.file.display();
        if self.line == 0 {
            return writeln!(f, "{:width$}{arrow} {file}", "");
        }
        writeln!(f, "{:width$}{arrow} {file}:{}:{}", "", self.line, self.column)?;
        // A tab is shown as one blank so that the caret stands under what it means.
        let text: String = self
            .text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let text = text.trim_end();
        let shown = (self.column.saturating_sub(self.before) as usize).max(1);
        let column = shown.min(text.chars().count() + 1);
        let length = (self.length as usize)
            .min(text.chars().count().saturating_sub(column - 1))
            .max(1);
        writeln!(f, "{:width$} |", "")?;
        writeln!(f, "{}", format!("{:width$} | {text}", self.line).trim_end())?;
        let carets = format!("{}{} {label}", " ".repeat(column - 1), "^".repeat(length));
        writeln!(f, "{:width$} | {}", "", carets.trim_end())
    }
}

/// Diagnostics of one severity that are kept; nobody reads more, and a hostile file has millions.
const KEPT_MAX: usize = 200;

/// The files of one load and what was found in them so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What was read.
    pub(crate) sources: Sources,
    /// What was found, in the order of finding.
    found: Vec<(Place, Diagnostic)>,
    /// How many errors and warnings were found, kept or not.
    errors: usize,
    warnings: usize,
    /// The last one that was not kept.
    spare: Option<Diagnostic>,
}

impl Findings {
    /// Notes an error; the result takes the help and the second place.
    pub(crate) fn error(&mut self, place: Place, message: impl Into<String>) -> Noted<'_> {
        self.errors += 1;
        let keep = self.errors <= KEPT_MAX;
        self.note(Severity::Error, place, message.into(), keep)
    }

    /// Notes a warning; the result takes the help and the second place.
    pub(crate) fn warning(&mut self, place: Place, message: impl Into<String>) -> Noted<'_> {
        self.warnings += 1;
        let keep = self.warnings <= KEPT_MAX;
        self.note(Severity::Warning, place, message.into(), keep)
    }

    fn note(&mut self, severity: Severity, place: Place, message: String, keep: bool) -> Noted<'_> {
        let diagnostic = Diagnostic {
            severity,
            message,
            location: location(&self.sources, place, keep),
            also: None,
            help: None,
        };
        let diagnostic = if keep {
            self.found.push((place, diagnostic));
            &mut self.found.last_mut().expect("just pushed").1
        } else {
            self.spare.insert(diagnostic)
        };
        Noted {
            sources: &self.sources,
            diagnostic,
        }
    }

    /// Returns the known word that `word` is most likely a slip of, while that may still be shown.
    pub(crate) fn nearest<'a>(&self, word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        if self.errors < KEPT_MAX {
            nearest(word, known)
        } else {
            None
        }
    }

    /// Returns the place that means the file as a whole.
    pub(crate) fn whole(&self, source: SourceId) -> Place {
        Place {
            source,
            line: 0,
            column: 0,
            length: 0,
        }
    }

    /// Returns whether an error was noted.
    pub(crate) fn failed(&self) -> bool {
        self.errors > 0
    }

    /// Returns how many errors were noted, to see later whether more came.
    pub(crate) fn error_count(&self) -> usize {
        self.errors
    }

    /// Returns the diagnostics in the order of the files and lines, each once: a file that is extended twice is read twice.
    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut found = self.found;
        found.sort_by_key(|(place, one)| (one.severity, *place));
        let mut seen = std::collections::HashSet::new();
        found
            .into_iter()
            .map(|(_, one)| one)
            .filter(|one| seen.insert(one.clone()))
            .collect()
    }
}

/// Characters of a line that are shown.
const WIDE: usize = 160;

fn location(sources: &Sources, place: Place, with_text: bool) -> Location {
    let source = sources.get(place.source);
    let line = source.line(place.line).filter(|_| with_text).unwrap_or_default();
    let text = match line.split_once('=') {
        Some((name, _)) if source.secret => format!("{name}=…"),
        _ if source.secret => line.to_owned(),
        _ => masked(line),
    };
    // Of a long line the part around the place is kept.
    let column = (place.column as usize).saturating_sub(1);
    let count = text.chars().count();
    let before = if count <= WIDE {
        0
    } else {
        column.saturating_sub(WIDE / 2).min(count - WIDE)
    };
    Location {
        file: source.path.clone(),
        line: place.line,
        column: place.column,
        length: place.length,
        text: text.chars().skip(before).take(WIDE).collect(),
        before: u32::try_from(before).unwrap_or(u32::MAX),
    }
}

/// A diagnostic just noted, to which more can be said.
pub(crate) struct Noted<'a> {
    sources: &'a Sources,
    diagnostic: &'a mut Diagnostic,
}

impl Noted<'_> {
    /// Says what to write instead.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        self.diagnostic.help = Some(help.into());
        self
    }

    /// Says what to write instead, if there is something to say.
    pub(crate) fn help_if(self, help: Option<String>) -> Self {
        if help.is_some() {
            self.diagnostic.help = help;
        }
        self
    }

    /// Names the second place that belongs to it.
    pub(crate) fn also(self, place: Place, label: impl Into<String>) -> Self {
        self.diagnostic.also = Some((location(self.sources, place, true), label.into()));
        self
    }
}
