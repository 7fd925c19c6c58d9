//! The texts of one piece of work and what was found in them so far.
//!
//! Owns the order in which it is told, how much of it is kept and which part of a line goes with it.

use std::collections::HashSet;

use crate::nearest::nearest;
use crate::report::{Diagnostic, Location, Severity};
use crate::shown::{name_only, nothing};
use crate::source::{Place, Sources, number};

/// Diagnostics of one severity that are kept; nobody reads more, and a hostile file has millions.
const KEPT_MAX: usize = 200;

/// Characters of a line that are shown.
const WIDE: usize = 160;

/// The texts of one piece of work and what was found in them so far.
#[derive(Debug, Default)]
pub struct Findings {
    /// What was handed in.
    pub sources: Sources,
    /// In the order of finding; no place where it stands in no text.
    found: Vec<(Option<Place>, Diagnostic)>,
    /// How many errors and warnings were found, kept or not.
    errors: usize,
    warnings: usize,
    /// The last one that was not kept.
    spare: Option<Diagnostic>,
}

impl Findings {
    /// Notes an error at a place of a text; the result takes the rest.
    pub fn error(&mut self, place: Place, message: impl Into<String>) -> Noted<'_> {
        self.note(Severity::Error, Ok(place), message.into())
    }

    /// Notes a warning at a place of a text; the result takes the rest.
    pub fn warning(&mut self, place: Place, message: impl Into<String>) -> Noted<'_> {
        self.note(Severity::Warning, Ok(place), message.into())
    }

    /// Notes an error that stands in no text; the result takes the rest.
    pub fn error_elsewhere(&mut self, location: Location, message: impl Into<String>) -> Noted<'_> {
        self.note(Severity::Error, Err(location), message.into())
    }

    fn note(&mut self, severity: Severity, at: Result<Place, Location>, message: String) -> Noted<'_> {
        let counter = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *counter += 1;
        let keep = *counter <= KEPT_MAX;
        let (place, location) = match at {
            Ok(place) if keep => (Some(place), self.sources.location(place, false)),
            Ok(_) => (None, Location::Elsewhere(String::new())),
            Err(location) => (None, location),
        };
        let diagnostic = Diagnostic {
            severity,
            key: None,
            message,
            location,
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
            place,
            keep,
            diagnostic,
        }
    }

    /// Returns the known word that `word` is most likely a slip of, while that may still be shown.
    pub fn nearest<'a>(&self, word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        if self.errors < KEPT_MAX {
            nearest(word, known)
        } else {
            None
        }
    }

    /// Returns whether an error was noted.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.errors > 0
    }

    /// Returns how many errors were noted, kept or not, to see later whether more came.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Returns what was found: errors first, in the order of the texts and lines, those that stand in no text last; each once, for a
    /// text that is named twice may be read twice.
    #[must_use]
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut found = self.found;
        found.sort_by_key(|(place, one)| (one.severity, place.is_none(), *place));
        let mut seen = HashSet::new();
        found
            .into_iter()
            .map(|(_, one)| one)
            .filter(|one| seen.insert(one.clone()))
            .collect()
    }
}

impl Sources {
    /// Returns a place with its line; `known` when what stands there is known to be no secret.
    fn location(&self, place: Place, known: bool) -> Location {
        let shows = self.get(place.source).shows;
        self.location_with(place, |line| shows.of(line, place, known))
    }

    /// Returns a place with what `show` leaves of its line.
    fn location_with(&self, place: Place, show: impl FnOnce(&str) -> String) -> Location {
        let source = self.get(place.source);
        let text = show(source.line(place.line).unwrap_or_default());
        // Of a long line the part around the place is kept.
        let column = (place.column as usize).saturating_sub(1);
        let count = text.chars().count();
        let before = if count <= WIDE {
            0
        } else {
            column.saturating_sub(WIDE / 2).min(count - WIDE)
        };
        Location::File {
            file: source.name.clone(),
            line: place.line,
            column: place.column,
            length: source.shows.carets(place.length),
            text: text.chars().skip(before).take(WIDE).collect(),
            before: number(before),
        }
    }
}

/// A diagnostic just noted, to which more can be said.
pub struct Noted<'a> {
    sources: &'a Sources,
    /// Where it stands; nothing when that is no text, or when it is not kept.
    place: Option<Place>,
    /// Whether it is kept; of one that is not, lines need not be looked at.
    keep: bool,
    diagnostic: &'a mut Diagnostic,
}

impl Noted<'_> {
    /// Says what to write instead.
    pub fn help(self, help: impl Into<String>) -> Self {
        self.diagnostic.help = Some(help.into());
        self
    }

    /// Says what to write instead, if there is something to say.
    pub fn help_if(self, help: Option<String>) -> Self {
        if help.is_some() {
            self.diagnostic.help = help;
        }
        self
    }

    /// Names the key.
    pub fn key(self, key: &str) -> Self {
        self.diagnostic.key = Some(key.to_owned());
        self
    }

    /// Names the second place that belongs to it.
    pub fn also(self, place: Place, label: impl Into<String>) -> Self {
        if self.keep {
            self.diagnostic.also = Some((self.sources.location(place, false), label.into()));
        }
        self
    }

    /// Shows the whole line where [`Shows`](crate::Shows) has a choice: what stands there is no secret.
    pub fn plainly(self) -> Self {
        if let Some(place) = self.place {
            self.diagnostic.location = self.sources.location(place, true);
        }
        self
    }

    /// Shows only what stands before the value: it is one that should not have been written there.
    pub fn without_value(self) -> Self {
        if let Some(place) = self.place {
            self.diagnostic.location = self.sources.location_with(place, name_only);
        }
        self
    }

    /// Shows nothing of the line: it is in the middle of a value.
    pub(crate) fn without_line(self) -> Self {
        if let Some(place) = self.place {
            self.diagnostic.location = self.sources.location_with(place, nothing);
        }
        self
    }
}
