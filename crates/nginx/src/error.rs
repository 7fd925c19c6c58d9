//! What makes a text no configuration of nginx.

/// A text that nginx would not read either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A quote is open at the end.
    #[error("line {line}: a quote is not closed")]
    Quote {
        /// Where it was opened, from 1.
        line: u32,
    },
    /// A block is open at the end.
    #[error("line {line}: the block `{name}` is not closed")]
    Block {
        /// Where it was opened, from 1.
        line: u32,
        /// Its directive.
        name: String,
    },
    /// A `}` with nothing to close.
    #[error("line {line}: there is no block to close")]
    Close {
        /// Where, from 1.
        line: u32,
    },
    /// Words that no `;` ends.
    #[error("line {line}: `{name}` is not ended by `;`")]
    Unended {
        /// Where it begins, from 1.
        line: u32,
        /// The first word.
        name: String,
    },
    /// A `;` or `{` with no directive before it.
    #[error("line {line}: there is no directive before `{found}`")]
    Nothing {
        /// Where, from 1.
        line: u32,
        /// What stands there.
        found: char,
    },
    /// Blocks within blocks without end.
    #[error("line {line}: blocks stand within one another more than {max} deep")]
    Deep {
        /// Where, from 1.
        line: u32,
        /// What is read.
        max: usize,
    },
}

impl ReadError {
    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "`nginx -t -c FILE` says more of what is wrong with it"
    }
}
