//! The first fill of a Vault: values that a person brings are written where the stack's secrets are, and nothing that is there is touched.
//!
//! It is a person's wish and never the daemon's own: a value in an environment is no reason to write one. Which variable is which secret is
//! the command line's to say; how a path is filled is `tend-vault`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tend_api::messages::SecretChanged;
use tend_api::{ApiError, Class, Reply};
use tend_base::{Exposed, Secret};
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::{StackName, Vault};
use tend_secrets::Book;
use tend_vault::{Ask, KvPath, VaultError};

use super::secrets::{blocking, owned, refused, uid_of};
use super::shared::Shared;
use super::vault::{Source, Wanted};

/// Returns values that came over the wire.
pub(super) fn values(values: BTreeMap<String, Exposed>) -> BTreeMap<String, Secret> {
    let each = values.into_iter();
    each.map(|(name, Exposed(value))| (name, value)).collect()
}

/// Looks at every path in which secrets of a stack are, writes what is missing there where it is to `write`, and tells of each secret.
///
/// # Errors
/// When the caller may not, or the Vault cannot be asked. Paths that were filled before stay so.
pub(super) async fn fill(
    shared: &Arc<Shared>,
    stack: &StackName,
    (vault, owner_uid): (Vault, u32),
    values: BTreeMap<String, Secret>,
    write: bool,
    by: &Principal,
) -> Result<Reply, ApiError> {
    let uid = uid_of(by);
    // A caller has no files read that are not theirs.
    let owner_uid = if uid == 0 { owner_uid } else { uid };
    let of = stack.to_string();
    let may = blocking(shared, move |shared| {
        let book = shared.secrets.book(&of).map_err(|error| refused(&error))?;
        owned(&book.unwrap_or_else(|| Book::new(uid)), &of, uid)
    });
    may.await?;
    let failed = |error: &VaultError| {
        let class = match error {
            VaultError::Conflict { .. } => Class::Conflict,
            _ => Class::Unavailable,
        };
        ApiError::from_error(class, error).hint(error.hint())
    };
    let source = Source::new(stack.clone(), Wanted { vault, owner_uid }, shared.uid)
        .map_err(|error| ApiError::from_error(Class::Config, &error).hint(error.hint()))?;
    let login = source
        .login(shared, &Ask::LogIn)
        .await
        .map_err(|failure| ApiError::new(Class::Unavailable, failure.text).hint(failure.hint))?;
    let token = source
        .client
        .log_in(&login)
        .await
        .map_err(|error| failed(&error))?
        .secret;
    let (mut messages, mut waits) = (Vec::new(), false);
    for (path, secrets) in &source.secrets {
        let brought: BTreeMap<String, Secret> = secrets
            .iter()
            .filter_map(|(name, field)| Some((field.clone(), values.get(name)?.clone())))
            .collect();
        // Also where nothing was brought: what is missing is told.
        let asked = secrets.iter().map(|(_, field)| field.clone());
        let looked: BTreeMap<String, Secret> = asked.map(|field| (field, Secret::default())).collect();
        let there = source.client.fill(&token, path, &looked, false).await;
        let there = there.map_err(|error| failed(&error))?;
        let filled = source.client.fill(&token, path, &brought, write).await;
        let filled = filled.map_err(|error| failed(&error))?;
        if let Some(version) = &filled.written {
            let names: Vec<&String> = secrets
                .iter()
                .filter(|(_, field)| filled.missing.contains(field))
                .map(|(name, _)| name)
                .collect();
            let entry = Entry::new(by.clone(), Kind::SecretFilled).on(Subject::from(stack.clone()));
            shared.store.record(vec![entry.with(json!({
                "names": names,
                "path": path.to_string(),
                "fields": filled.missing,
                "version": version.number,
            }))]);
        }
        for (name, field) in secrets {
            let is_brought = brought.contains_key(field);
            let state = match &filled.written {
                _ if there.deleted => "was deleted there, and is left so".to_owned(),
                _ if there.there.contains(field) => "is there, and is left as it is".to_owned(),
                _ if !is_brought => "is not there, and no value was found for it".to_owned(),
                Some(version) => format!("was written as version {}, and read back", version.number),
                None => {
                    waits = true;
                    "is not there, and would be written".to_owned()
                }
            };
            messages.push(message(name, path, field, &state));
        }
    }
    Ok(Reply::json(&SecretChanged {
        messages,
        next_step: waits.then(|| "`tend secret fill --write` writes what would be written".to_owned()),
    }))
}

fn message(name: &str, path: &KvPath, field: &str, state: &str) -> String {
    format!("{name}: {path} {field} {state}")
}
