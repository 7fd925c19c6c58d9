//! References to secrets, which stand where a variable could: `${secret:NAME}`.
//!
//! A colon cannot follow a variable's name that way, so nothing of Compose's is lost. The forms of a variable are `tend_text`'s.

use std::collections::BTreeMap;

use tend_text::{Fault, Filled, VALUE_BYTES_MAX};

/// What stands at the start of a reference to a secret.
pub(crate) const SECRET: &str = "${secret:";

/// Replaces the variables of one value and leaves references to secrets as they stand.
pub(crate) fn fill(text: &str, variables: &BTreeMap<String, String>) -> Result<Filled, Fault> {
    tend_text::fill(text, variables, SECRET, VALUE_BYTES_MAX)
}

/// Returns the name when the whole text is a reference to a secret.
pub(crate) fn secret_name(text: &str) -> Option<&str> {
    let name = text.strip_prefix(SECRET)?.strip_suffix('}')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    (!name.is_empty() && name.chars().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_from_text() {
        assert_eq!(secret_name("${secret:jwt/secret}"), Some("jwt/secret"));
        assert_eq!(secret_name("${secret:}"), None);
        assert_eq!(secret_name("x${secret:a}"), None);
        let filled = fill("${secret:jwt}$A", &[("A".to_owned(), "a".to_owned())].into());
        assert_eq!(filled.map(|filled| filled.text), Ok("${secret:jwt}a".to_owned()));
    }
}
