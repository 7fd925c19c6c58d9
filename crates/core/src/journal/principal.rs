//! Who did something. Knows nothing of how a caller is recognised.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who caused an event.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Principal {
    /// A person, through the command line, the console or the API.
    Person {
        /// The user id the kernel gave for the caller; none when the caller came over HTTP.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// The login name, or the name of the access token.
        name: String,
        /// The door the call came through.
        via: Via,
    },
    /// The daemon, of its own accord: adopting, checking, keeping its own house.
    Daemon {
        /// Its process id.
        pid: u32,
        /// Its build id.
        build: String,
    },
    /// A rule: a restart policy, a schedule, an alert rule, a scaling rule.
    Rule {
        /// The rule's name as an operator knows it, such as `mps/api restart`.
        name: String,
    },
    /// A kind of principal written by a newer tend; kept as it stands.
    #[serde(untagged)]
    Other(Map<String, Value>),
}

/// The door a person's call came through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The Unix socket, where the kernel says who calls.
    Socket,
    /// HTTP, where a token says who calls.
    Http,
}

impl Principal {
    /// Returns the word that is kept for the kind of principal: `person`, `daemon`, `rule` or a newer one.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::Person { .. } => "person",
            Self::Daemon { .. } => "daemon",
            Self::Rule { .. } => "rule",
            Self::Other(fields) => fields.get("type").and_then(Value::as_str).unwrap_or("other"),
        }
    }

    /// Returns the name of the person or rule; the daemon has none.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Person { name, .. } | Self::Rule { name } => Some(name),
            Self::Daemon { .. } => None,
            Self::Other(fields) => fields.get("name").and_then(Value::as_str),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person { name, .. } => f.write_str(name),
            Self::Daemon { .. } => f.write_str("tend"),
            Self::Rule { name } => write!(f, "rule {name}"),
            Self::Other(_) => match self.name() {
                Some(name) => write!(f, "{} {name}", self.type_name()),
                None => f.write_str(self.type_name()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn principals_are_tagged_and_a_newer_kind_is_kept_as_it_stands() {
        for (value, shown) in [
            (
                json!({"type": "person", "uid": 1000, "name": "ana", "via": "socket"}),
                "ana",
            ),
            (
                json!({"type": "person", "name": "deploy-token", "via": "http"}),
                "deploy-token",
            ),
            (json!({"type": "daemon", "pid": 7, "build": "b1"}), "tend"),
            (
                json!({"type": "rule", "name": "mps/api restart"}),
                "rule mps/api restart",
            ),
            (json!({"type": "cluster", "name": "blue", "node": 3}), "cluster blue"),
            (json!({"type": "person", "name": "eve", "via": "pigeon"}), "person eve"),
        ] {
            let principal: Principal = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(principal.to_string(), shown);
            assert_eq!(serde_json::to_value(&principal).unwrap(), value);
        }
    }
}
