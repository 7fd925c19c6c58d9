//! Colour, where it is wanted. Knows meanings (good, bad), not the things that have them.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use tend_api::Colour;
use tend_api::messages::{CertificateState, ReplicaState, ServiceState};

/// What a piece of text means to the eye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// A heading, or the one thing to look at.
    Strong,
    /// Worth little attention.
    Faint,
    /// As it should be.
    Good,
    /// On its way, or to be corrected.
    Uneasy,
    /// Not as it should be.
    Bad,
    /// A defect of tend.
    Odd,
    /// One of several that are to be told apart.
    Nth(usize),
}

/// Paints, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint {
    pub(crate) on: bool,
}

/// Colours that are told apart on dark and light ground; red and yellow are left for what is wrong.
const TOLD_APART: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Green,
    AnsiColor::BrightCyan,
    AnsiColor::BrightMagenta,
];

impl Paint {
    /// Returns the text in its tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Plain => Style::new(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Uneasy => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
            Tone::Odd => AnsiColor::Magenta.on_default().bold(),
            Tone::Nth(index) => TOLD_APART[index % TOLD_APART.len()].on_default(),
        };
        if !self.on || style == Style::new() || text.is_empty() {
            return text.to_owned();
        }
        let mut painted = String::with_capacity(text.len() + 12);
        // Writing to a String cannot fail.
        let _ = write!(painted, "{style}{text}{style:#}");
        painted
    }
}

impl From<Colour> for Tone {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Yellow => Tone::Uneasy,
            Colour::Red => Tone::Bad,
            Colour::Magenta => Tone::Odd,
        }
    }
}

impl From<ServiceState> for Tone {
    fn from(state: ServiceState) -> Self {
        match state {
            ServiceState::Running | ServiceState::Completed => Tone::Good,
            ServiceState::Stopped => Tone::Faint,
            ServiceState::Starting
            | ServiceState::Waiting
            | ServiceState::Stopping
            | ServiceState::NeedsEngine
            | ServiceState::Degraded => Tone::Uneasy,
            ServiceState::Down => Tone::Bad,
            ServiceState::Unknown => Tone::Plain,
        }
    }
}

impl From<CertificateState> for Tone {
    fn from(state: CertificateState) -> Self {
        match state {
            CertificateState::Valid => Tone::Good,
            CertificateState::Expiring => Tone::Uneasy,
            CertificateState::Expired | CertificateState::Missing => Tone::Bad,
        }
    }
}

impl From<ReplicaState> for Tone {
    fn from(state: ReplicaState) -> Self {
        match state {
            ReplicaState::Ready | ReplicaState::Completed => Tone::Good,
            ReplicaState::Stopped => Tone::Faint,
            ReplicaState::Waiting
            | ReplicaState::Starting
            | ReplicaState::Running
            | ReplicaState::Stopping
            | ReplicaState::NeedsEngine
            | ReplicaState::BackingOff => Tone::Uneasy,
            ReplicaState::Unready | ReplicaState::Failing => Tone::Bad,
            ReplicaState::Unknown => Tone::Plain,
        }
    }
}

/// Returns the text without characters that would move the cursor or change the terminal.
///
/// Output of a replica may hold anything; an escape sequence in it must not act on the operator's terminal.
pub(crate) fn harmless(text: &str) -> String {
    if text.chars().all(|c| !c.is_control() || c == '\t') {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_left_alone_where_colour_is_not_wanted() {
        assert_eq!(Paint { on: false }.paint(Tone::Bad, "x"), "x");
        assert_eq!(Paint { on: true }.paint(Tone::Plain, "x"), "x");
        assert_eq!(Paint { on: true }.paint(Tone::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }

    #[test]
    fn escape_sequences_in_output_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\tb"), "a\tb");
        assert_eq!(harmless("\u{1b}[2Jx\r"), "\u{fffd}[2Jx\u{fffd}");
    }
}
