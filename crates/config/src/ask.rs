//! What a change asks of whom: of each service nothing, a message, a signal, new replicas, or that it be stopped first.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tend_core::model::DeliveryForm;

use crate::schema::{Reload, Schema};
use crate::set::Diff;
use crate::value::Held;

/// Which keys a service is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Selection(pub Vec<String>);

impl Selection {
    /// Returns whether a key is given. `a.b` gives one key, `a.*` all below `a`, `*` or no pattern at all everything; secrets are given by
    /// their own name only.
    #[must_use]
    pub fn covers(&self, key: &str, secret: bool) -> bool {
        if self.0.is_empty() {
            return !secret;
        }
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(_) if secret => false,
            Some("") => true,
            Some(group) if group.ends_with('.') => key.starts_with(group),
            _ => pattern == key,
        })
    }

    /// Returns the patterns that give nothing, each with what to write instead.
    #[must_use]
    pub fn strangers(&self, schema: &Schema) -> Vec<(String, String)> {
        let stranger = |pattern: &&String| {
            schema
                .keys
                .values()
                .all(|key| !Self(vec![(*pattern).clone()]).covers(&key.name, key.secret))
        };
        self.0
            .iter()
            .filter(stranger)
            .map(|pattern| {
                let group = pattern.strip_suffix(".*").unwrap_or(pattern);
                let only_secrets = pattern.ends_with('*')
                    && schema
                        .keys
                        .values()
                        .any(|key| key.secret && key.name.starts_with(group));
                let help = if only_secrets {
                    "secrets are given by their own names: write each key".to_owned()
                } else {
                    schema.suggestion(group)
                };
                (pattern.clone(), help)
            })
            .collect()
    }
}

/// A service, as far as its configuration goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taker {
    /// Its name.
    pub service: String,
    /// How it takes it.
    pub delivery: DeliveryForm,
    /// What it takes.
    pub keys: Selection,
}

/// What is asked of one service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Nothing of the change is given to it.
    Nothing,
    /// To take it while it runs, from the watch endpoint or a file it looks at by itself.
    Live,
    /// To read its file again.
    Signal,
    /// New replicas, one at a time.
    Rolling,
    /// To be stopped first: the change is not taken while it runs.
    Refused {
        /// The key, and what would do it.
        reason: String,
    },
}

/// What a change asks of one service, and which keys of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The strongest that any of the keys asks for.
    pub asked: Asked,
    /// The keys that change for it.
    pub keys: Vec<String>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Live => "live",
            Self::Signal => "signal",
            Self::Rolling => "rolling",
            Self::Refused { .. } => "refused",
        })
    }
}

/// Returns what a change asks of each service. A key that the schema does not have any more asks for `rolling`.
#[must_use]
pub fn plan(diff: &Diff, schema: &Schema, takers: &[Taker]) -> BTreeMap<String, Ask> {
    takers
        .iter()
        .map(|taker| {
            let mut ask = Ask {
                asked: Asked::Nothing,
                keys: Vec::new(),
            };
            for change in &diff.0 {
                let is_secret = |held: Option<&Held>| matches!(held, Some(Held::Secret(_)));
                let secret =
                    is_secret(change.before.as_ref()) || is_secret(change.after.as_ref().map(|entry| &entry.held));
                if !taker.keys.covers(&change.key, secret) {
                    continue;
                }
                ask.keys.push(change.key.clone());
                let class = schema.keys.get(&change.key).map(|key| key.reload).unwrap_or_default();
                let asked = asked(&change.key, class, secret, taker);
                // Of several refusals the first is told; all keys are named.
                if asked.strength() > ask.asked.strength() {
                    ask.asked = asked;
                }
            }
            (taker.service.clone(), ask)
        })
        .collect()
}

impl Asked {
    fn strength(&self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Live => 1,
            Self::Signal => 2,
            Self::Rolling => 3,
            Self::Refused { .. } => 4,
        }
    }
}

fn asked(key: &str, class: Reload, secret: bool, taker: &Taker) -> Asked {
    let refused = || Asked::Refused {
        reason: format!(
            "`{key}` cannot change while {service} runs: `tend stop {service}`, make the change, `tend start {service}`",
            service = taker.service
        ),
    };
    match (class, &taker.delivery) {
        (Reload::Refuse, _) => refused(),
        (Reload::Rolling, _) | (_, DeliveryForm::Environment) => Asked::Rolling,
        // Values of secrets do not travel over the watch endpoint.
        (_, DeliveryForm::Watch) if secret => Asked::Rolling,
        (_, DeliveryForm::File { signal: Some(_), .. }) => Asked::Signal,
        // A service without a signal looks at its file by itself.
        (_, DeliveryForm::File { signal: None, .. } | DeliveryForm::Watch) => Asked::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_given_by_their_own_name_only() {
        let keys = Selection(vec![
            "features.*".into(),
            "app.port".into(),
            "jwt.secret".into(),
            "redis*".into(),
        ]);
        for (key, secret, given) in [
            ("features.qr.ttl", false, true),
            ("features.qr.key", true, false),
            ("featuresx", false, false),
            ("app.port", false, true),
            ("app.ports", false, false),
            ("jwt.secret", true, true),
            ("redis.url", false, false),
        ] {
            assert_eq!(keys.covers(key, secret), given, "{key}");
        }
        assert!(Selection(vec!["*".into()]).covers("a", false));
        assert!(!Selection(vec!["*".into()]).covers("a", true));
        assert!(Selection::default().covers("a", false) && !Selection::default().covers("a", true));
    }
}
