//! What can go wrong between a query's text and its result.
//!
//! Owns the texts a person reads. Where a text is known from Prometheus, it is the same.

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A regular expression that cannot be compiled.
    #[error("could not read the regular expression `{pattern}`")]
    Pattern {
        /// The expression as written.
        pattern: String,
        /// Where and why.
        source: Box<regex::Error>,
    },
}
