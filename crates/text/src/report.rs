//! What is wrong with what was read, said all at once, each with the place, the line and what to write instead.
//!
//! Owns the shape of a diagnostic and how it reads. Knows none of the rules that find them.

use std::fmt;
use std::path::PathBuf;

/// Whether what was read can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, and something will not be as written, or may not be as meant.
    Warning,
}

/// One thing that is wrong, or that will not be as written.
///
/// Shown like a compiler's message: what, where, the line itself, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Whether what was read can be used in spite of it.
    pub severity: Severity,
    /// The key it is about, where the reader has keys and it is about one.
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
        /// From 1; 0 when the file as a whole is meant, such as one that cannot be read.
        line: u32,
        /// In characters, from 1; 0 when the file as a whole is meant.
        column: u32,
        /// How many characters are meant.
        length: u32,
        /// The line as it is written, without a value that may be secret; of a long line the part around the place.
        text: String,
        /// How many characters of a long line stand before `text`.
        before: u32,
    },
    /// In a row, a variable, a command: what and which, in words.
    Elsewhere(String),
}

/// Everything that is wrong: at least one error, and the warnings found besides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentence(.0))]
pub struct Report(pub Vec<Diagnostic>);

impl Report {
    /// Makes the report of a single error that stands in no text.
    #[must_use]
    pub fn one(key: Option<&str>, said_by: &str, message: String, help: String) -> Self {
        Self(vec![Diagnostic {
            severity: Severity::Error,
            key: key.map(str::to_owned),
            message,
            location: Location::Elsewhere(said_by.to_owned()),
            also: None,
            help: Some(help),
        }])
    }

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
        let (file, line, column, length, text, before) = match self {
            Self::Elsewhere(what) if label.is_empty() => return writeln!(f, "{:width$}{arrow} {what}", ""),
            Self::Elsewhere(what) => return writeln!(f, "{:width$}{arrow} {what}: {label}", ""),
            Self::File {
                file,
                line,
                column,
                length,
                text,
                before,
            } => (file.display(), *line, *column, *length as usize, text, *before),
        };
        if line == 0 {
            return writeln!(f, "{:width$}{arrow} {file}", "");
        }
        writeln!(f, "{:width$}{arrow} {file}:{line}:{column}", "")?;
        // A tab is shown as one blank so that the caret stands under what it means.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = text.trim_end();
        let shown = text.chars().count();
        let column = (column.saturating_sub(before) as usize).clamp(1, shown + 1);
        let length = length.min(shown.saturating_sub(column - 1)).max(1);
        writeln!(f, "{:width$} |", "")?;
        writeln!(f, "{}", format!("{line:width$} | {text}").trim_end())?;
        let carets = format!("{}{} {label}", " ".repeat(column - 1), "^".repeat(length));
        writeln!(f, "{:width$} | {}", "", carets.trim_end())
    }
}
