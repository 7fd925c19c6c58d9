//! What each service of a stack is given of a revision: values by key, with those of its secrets.
//!
//! A secret's value comes from the store, by the version that the revision names, or from a file of variables, if it still has the value
//! of which the revision has the mark. Where neither is at hand nobody is started: an older value would be a lie.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use tend_base::Secret;
use tend_config::{Held, Revision, Schema, SecretVersion, Taker, given, render, variable};
use tend_core::model::{DeliveryForm, ServiceName};
use tend_secrets::Book;

use super::delivery::{Outside, Part, Way};

/// Where the values of secrets are.
pub(super) struct SecretValues<'a> {
    /// The stack's secrets in the store.
    pub(super) book: Option<Book>,
    /// Values outside of it, by key, as they were last read.
    pub(super) outside: &'a BTreeMap<String, Secret>,
    /// See [`tend_config::Layers::mark`].
    pub(super) mark: &'a dyn Fn(&Secret) -> String,
}

impl SecretValues<'_> {
    /// Returns the value of a secret, or why it is not at hand.
    fn value(&self, key: &str, secret: &tend_config::SecretRef) -> Result<Secret, String> {
        match &secret.version {
            SecretVersion::Stored(version) => {
                let book = self
                    .book
                    .as_ref()
                    .ok_or_else(|| format!("the store of secrets, which has `{}`, cannot be read", secret.name))?;
                let value = book.given(&secret.name, *version);
                value.cloned().map_err(|error| error.with_causes())
            }
            SecretVersion::Outside(mark) => {
                let value = self.outside.get(key).filter(|value| (self.mark)(value) == *mark);
                value.cloned().ok_or_else(|| {
                    format!(
                        "the value of the secret `{key}` that was taken is not in its file any more, and what is there now is not taken"
                    )
                })
            }
        }
    }
}

/// Returns what the services are given.
pub(super) fn parts(
    schema: &Schema,
    revision: &Revision,
    takers: &[Taker],
    secrets: &SecretValues<'_>,
) -> BTreeMap<ServiceName, Part> {
    let parts = takers.iter().filter_map(|taker| {
        let service = taker.service.parse().ok()?;
        Some((service, part(schema, revision, taker, secrets)))
    });
    parts.collect()
}

fn part(schema: &Schema, revision: &Revision, taker: &Taker, secrets: &SecretValues<'_>) -> Part {
    let mut missing = Vec::new();
    let mut values = BTreeMap::new();
    for (key, secret) in revision.secrets().filter(|(key, _)| taker.keys.covers(key, true)) {
        match secrets.value(key, secret) {
            Ok(value) => {
                values.insert(key.to_owned(), value);
            }
            Err(why) => missing.push(why),
        }
    }
    let mut outside = Vec::new();
    let in_file = matches!(taker.delivery, DeliveryForm::File { .. });
    for (key, secret) in revision.secrets().filter(|_| !in_file) {
        if let (Some(value), SecretVersion::Outside(mark)) = (values.get(key), &secret.version) {
            outside.push(Outside {
                variable: variable(schema, key),
                mark: mark.clone(),
                value: value.clone(),
            });
        }
    }
    let mut part = Part {
        revision: revision.number,
        way: Way::Environment,
        outside,
        outside_before: Vec::new(),
        missing,
    };
    match &taker.delivery {
        DeliveryForm::Environment => {}
        // Secrets do not travel there, so none is missed by who runs.
        DeliveryForm::Watch => {
            part.way = Way::Watch(Arc::new(tend_watch::Revision {
                number: revision.number,
                values: plain(revision, taker),
            }));
        }
        // A missing value was said above, and without it the file is not written.
        DeliveryForm::File { .. } if !part.missing.is_empty() => {}
        DeliveryForm::File { format, signal } => {
            let text = given(&revision.entries, &taker.keys, &values);
            match text.and_then(|given| render(schema, &given, *format)) {
                Ok(text) => {
                    part.way = Way::File {
                        format: *format,
                        text,
                        secrets: stored(revision, taker),
                        is_secret: !values.is_empty(),
                        signal: *signal,
                    };
                }
                Err(error) => part.missing.push(format!("{error}; {}", error.hint())),
            }
        }
    }
    part
}

/// Returns the values that may be seen, as JSON.
fn plain(revision: &Revision, taker: &Taker) -> tend_watch::Values {
    let entries = revision.entries.iter();
    let plain = entries.filter_map(|(key, entry)| match &entry.held {
        Held::Value(value) if taker.keys.covers(key, false) => Some((
            key.clone(),
            serde_json::from_str(&value.to_json()).unwrap_or(Json::Null),
        )),
        Held::Value(_) | Held::Secret(_) => None,
    });
    plain.collect()
}

fn stored(revision: &Revision, taker: &Taker) -> BTreeMap<String, u64> {
    let secrets = revision.secrets().filter(|(key, _)| taker.keys.covers(key, true));
    let stored = secrets.filter_map(|(_, secret)| match secret.version {
        SecretVersion::Stored(version) => Some((secret.name.clone(), version)),
        SecretVersion::Outside(_) => None,
    });
    stored.collect()
}

/// Returns the values that a set took from files of variables, with the names of their variables, for whoever must not show them.
pub(super) fn named(schema: &Schema, outside: &BTreeMap<String, Secret>) -> Vec<tend_redact::Value> {
    let values = outside
        .iter()
        .map(|(key, value)| tend_redact::Value::new(&variable(schema, key), value.expose()));
    values.filter(|value| !value.expose().is_empty()).collect()
}
