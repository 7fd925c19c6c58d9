//! An error with what led to it. Knows nothing of what went wrong.

use std::error::Error;

/// Returns an error's text and those of its causes, as one sentence.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::with_causes;

    #[derive(Debug, thiserror::Error)]
    #[error("could not begin")]
    struct Outer {
        source: Inner,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("nothing is there")]
    struct Inner;

    #[test]
    fn every_cause_is_told_the_outermost_first() {
        assert_eq!(
            with_causes(&Outer { source: Inner }),
            "could not begin: nothing is there"
        );
        assert_eq!(with_causes(&Inner), "nothing is there");
    }
}
