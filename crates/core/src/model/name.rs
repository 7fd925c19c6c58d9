//! Names of stacks, services and replicas, valid by construction.
//!
//! Shared text: every decision copies names many times, and a copy is to cost no allocation.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Says why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A stack's name has a character it may not have.
    #[error("`{0}` is not a stack name: use lower-case letters, digits, `-` and `_`, starting with a letter or digit")]
    Stack(String),
    /// A service's name has a character it may not have.
    #[error("`{0}` is not a service name: use letters, digits, `.`, `-` and `_`, starting with a letter or digit")]
    Service(String),
    /// Not of the form `STACK/SERVICE/SLOT`.
    #[error("`{0}` is not a replica: write it as STACK/SERVICE/SLOT, such as mps/api/1")]
    Replica(String),
}

/// The name of a stack. The rule is Compose's for project names: `[a-z0-9][a-z0-9_-]*`, at most 63 bytes here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StackName(Arc<str>);

/// The name of a service within its stack. The rule is Compose's: `[a-zA-Z0-9][a-zA-Z0-9._-]*`, at most 63 bytes here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(Arc<str>);

fn is_name(text: &str, first: impl Fn(char) -> bool, rest: impl Fn(char) -> bool) -> bool {
    text.len() <= 63 && text.chars().next().is_some_and(&first) && text.chars().skip(1).all(rest)
}

impl FromStr for StackName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if is_name(text, first, |c| first(c) || c == '-' || c == '_') {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Stack(text.to_owned()))
        }
    }
}

impl FromStr for ServiceName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_name(
            text,
            |c| c.is_ascii_alphanumeric(),
            |c| c.is_ascii_alphanumeric() || "._-".contains(c),
        ) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Service(text.to_owned()))
        }
    }
}

macro_rules! text_name {
    ($name:ident) => {
        impl $name {
            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
text_name!(StackName);
text_name!(ServiceName);

/// One service of one stack, written `mps/api`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId {
    /// The stack.
    pub stack: StackName,
    /// The service in it.
    pub service: ServiceName,
}

impl ServiceId {
    /// Returns the replica in a slot of this service.
    #[must_use]
    pub fn replica(&self, slot: u32) -> ReplicaId {
        ReplicaId {
            stack: self.stack.clone(),
            service: self.service.clone(),
            slot,
        }
    }
}

/// One replica of a service, written `mps/api/1`. Slots count from 1 and are what Compose calls `{{.Task.Slot}}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReplicaId {
    /// The stack.
    pub stack: StackName,
    /// The service in it.
    pub service: ServiceName,
    /// Which of the service's replicas, from 1.
    pub slot: u32,
}

impl ReplicaId {
    /// Returns the service this is a replica of.
    #[must_use]
    pub fn service_id(&self) -> ServiceId {
        ServiceId {
            stack: self.stack.clone(),
            service: self.service.clone(),
        }
    }
}

impl FromStr for ReplicaId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Replica(text.to_owned());
        let mut parts = text.split('/');
        let (Some(stack), Some(service), Some(slot), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let slot = slot.parse().ok().filter(|slot| *slot > 0).ok_or_else(wrong)?;
        Ok(Self {
            stack: stack.parse()?,
            service: service.parse()?,
            slot,
        })
    }
}

impl TryFrom<String> for ReplicaId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ReplicaId> for String {
    fn from(id: ReplicaId) -> String {
        id.to_string()
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stack, self.service)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.stack, self.service, self.slot)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_compose() {
        for good in ["mps", "0", "tron-energy-bot", "a_b"] {
            assert!(good.parse::<StackName>().is_ok(), "{good}");
        }
        for bad in ["", "MPS", "-a", "a.b", "a/b", "支付", "..", &"a".repeat(64)] {
            assert!(bad.parse::<StackName>().is_err(), "{bad}");
        }
        assert!("Web.api_1".parse::<ServiceName>().is_ok());
        assert!("../etc".parse::<ServiceName>().is_err());
    }

    #[test]
    fn a_replica_is_read_as_it_is_written() {
        let id: ReplicaId = "mps/api/2".parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.slot), ("mps/api/2", 2));
        for bad in ["mps/api", "mps/api/0", "mps/api/x", "mps/api/1/2", ""] {
            assert!(bad.parse::<ReplicaId>().is_err(), "{bad}");
        }
    }
}
