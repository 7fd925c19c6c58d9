//! A string that cannot be printed or kept by accident. Knows nothing of where secrets come from.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that must not show in logs, errors, the journal or the console.
///
/// It has no `Display` and no `Serialize`: what writes it down names [`Secret::expose`] or [`crate::Exposed`], so that the few
/// places which do can be found. `Debug`, which values around it derive, prints `***` (test `debugging_a_secret_prints_stars`).
///
/// ```compile_fail
/// let secret = tend_base::Secret::new("hunter2".to_owned());
/// println!("{secret}");
/// ```
///
/// ```compile_fail
/// fn kept<T: serde::Serialize>(_: T) {}
/// kept(tend_base::Secret::new("hunter2".to_owned()));
/// ```
///
/// Two are compared in a time that depends on their lengths only, and the memory of one is overwritten when it goes.
#[derive(Clone, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes a value in.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// Returns the value itself: for handing to a process, never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugging_a_secret_prints_stars() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
    }

    #[test]
    fn secrets_are_the_same_when_their_values_are() {
        let of = |value: &str| Secret::new(value.to_owned());
        assert_eq!(of("hunter2"), of("hunter2"));
        for other in ["hunter3", "hunter", "hunter22", ""] {
            assert_ne!(of("hunter2"), of(other), "{other}");
        }
    }
}
