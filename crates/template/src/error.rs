//! What is wrong with a template, or with rendering one: where, what, and what to do. Knows no file and no exit code.

use std::fmt;

/// A place in the text of a template. Both numbers start at 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a template was refused or could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is not a template.
    #[error("template `{template}`, {place}: {what}")]
    Parse {
        /// The name under which the text was given.
        template: String,
        /// Where.
        place: Place,
        /// What is wrong there.
        what: String,
    },
    /// It is a template, and what it asks for cannot be done with this data.
    #[error("template `{template}`, {place}: {what}")]
    Render {
        /// The template that was being rendered; one that was called by name where the fault is in that one.
        template: String,
        /// Where.
        place: Place,
        /// What could not be done.
        what: String,
    },
    /// It would take more than it may.
    #[error("template `{template}`, {place}: it {bound}")]
    Bound {
        /// The template that was being rendered.
        template: String,
        /// Where it was when the bound was met.
        place: Place,
        /// Which bound, as the rest of the sentence.
        bound: String,
    },
    /// No template of that name was given.
    #[error("there is no template `{template}`")]
    Missing {
        /// The name that was asked for.
        template: String,
    },
}

impl TemplateError {
    /// Returns where in the text it is, when it is anywhere.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Parse { place, .. } | Self::Render { place, .. } | Self::Bound { place, .. } => Some(*place),
            Self::Missing { .. } => None,
        }
    }

    /// Returns what is wrong, without where.
    #[must_use]
    pub fn what(&self) -> &str {
        match self {
            Self::Parse { what, .. } | Self::Render { what, .. } => what,
            Self::Bound { bound, .. } => bound,
            Self::Missing { template } => template,
        }
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Parse { what, .. } if what.contains("function") => {
                "functions are those of Go's text/template and of Prometheus or Alertmanager; see the reference of templates"
            }
            Self::Parse { what, .. } if what.contains("undefined variable") => {
                "in a rule `$labels`, `$externalLabels`, `$externalURL` and `$value` are there; others are made with `{{ $name := … }}`"
            }
            Self::Parse { what, .. } if what.contains("{{ end }}") => {
                "every `if`, `with`, `range`, `block` and `define` has exactly one `{{ end }}`"
            }
            Self::Parse { .. } => "look at the action that starts or ends at this place",
            Self::Render { .. } => {
                "look at what the data has: a label that is not there is an empty text, a field that is not there an error"
            }
            Self::Bound { .. } => "make it shorter, or look for a loop or a template that calls itself",
            Self::Missing { .. } => "look at the spelling, and at the files of `templates:`",
        }
    }
}
