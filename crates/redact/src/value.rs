//! A secret value and what it is called. Knows no form of it.

use std::fmt;

/// Shortest value that is looked for, in bytes.
///
/// A shorter one stands in ordinary text by chance (`admin`, `12345`), and its base64 at an offset would leave fewer than ten
/// characters to know it by. What is shorter is told by name: [`crate::Patterns::short`].
pub const VALUE_BYTES_MIN: usize = 8;

/// Longest name that a marker shows; what is longer is cut.
const NAME_BYTES_MAX: usize = 80;

/// A secret value with the name that stands in its place.
///
/// Invariant: formatting it shows the name and never the value (test `formatting_a_value_shows_its_name_only`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    name: String,
    bytes: Vec<u8>,
}

impl Value {
    /// Takes a value in. Of the name only letters, digits and `_.-/@` are kept: it is going to be read in logs.
    #[must_use]
    pub fn new(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "_.-/@".contains(*c);
        Self {
            name: name.chars().filter(plain).take(NAME_BYTES_MAX).collect(),
            bytes: bytes.into(),
        }
    }

    /// Returns what it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value itself: for looking for it, never for printing.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=***", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_a_value_shows_its_name_only() {
        let value = Value::new("DB PASS\n[WORD]", "hunter2hunter2");
        assert_eq!(format!("{value:?}"), "DBPASSWORD=***");
    }
}
