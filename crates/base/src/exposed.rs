//! A secret on its way to where its value has to be: written down on purpose. Knows neither the way nor its end.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Secret;

/// A secret that is written down with its value.
///
/// For the socket of a caller who was checked, for files of mode 0600 and for what is encrypted as a whole; nowhere else. It prints
/// as little as [`Secret`] does.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Exposed(pub Secret);

impl Deref for Exposed {
    type Target = Secret;
    fn deref(&self) -> &Secret {
        &self.0
    }
}

impl From<Secret> for Exposed {
    fn from(secret: Secret) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Exposed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Exposed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|value| Self(Secret::new(value)))
    }
}
