//! The lines a run leaves behind, so that a failure can be read. Knows nothing of what they say.

use std::collections::VecDeque;

use tend_base::Mono;

/// Lines kept for a failure; a whole trace is kept on request only.
const LAST: usize = 40;

/// What happened in a run, one line each.
#[derive(Debug)]
pub struct Trace {
    lines: VecDeque<String>,
    whole: bool,
}

impl Trace {
    /// Starts a trace; `whole` keeps every line.
    #[must_use]
    pub fn new(whole: bool) -> Self {
        Self {
            lines: VecDeque::new(),
            whole,
        }
    }

    /// Adds a line.
    pub fn line(&mut self, at: Mono, text: &str) {
        if self.lines.len() == LAST && !self.whole {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{at:?} {text}"));
    }

    /// Returns the lines kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
