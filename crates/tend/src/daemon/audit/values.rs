//! Which values are looked for, and for whom: of the store every version that has a value, and what environments are known to hold.
//!
//! Decides whose secrets a caller may ask about: secrets belong to who stored them, and to root.

use std::sync::Arc;

use tend_api::{ApiError, Caller};
use tend_core::model::StackName;
use tend_redact::{Rules, Value};

use crate::daemon::Shared;
use crate::daemon::handler::no_stack;
use crate::daemon::hub::Hub;
use crate::daemon::secrets::{self, blocking, refused};

/// What is looked for.
pub(super) struct Wanted {
    /// Stacks whose secrets these are.
    pub(super) stacks: Vec<String>,
    /// Each named `STACK/NAME@VERSION`, or `STACK/VARIABLE` where it comes from an environment.
    pub(super) values: Vec<Value>,
}

/// Returns the values of a stack, or of all stacks that are the caller's.
///
/// # Errors
/// When the stack is not there or not the caller's, or the secrets of one cannot be read: then nothing would be proved.
pub(super) async fn wanted(
    shared: &Arc<Shared>,
    hub: &Hub,
    stack: Option<StackName>,
    caller: Caller,
) -> Result<Wanted, ApiError> {
    let known = hub.ask(|controller, _| {
        let stacks = controller.world().stacks.iter();
        stacks
            .map(|(name, wanted)| (name.to_string(), wanted.stack.source.owner_uid))
            .collect::<Vec<_>>()
    });
    let known = known.await;
    blocking(shared, move |shared| {
        let mut names: Vec<String> = known.iter().map(|(name, _)| name.clone()).collect();
        names.extend(shared.secrets.stacks().map_err(|error| refused(&error))?);
        names.sort();
        names.dedup();
        if let Some(stack) = &stack {
            names.retain(|name| name == stack.as_str());
            if names.is_empty() {
                return Err(no_stack(stack));
            }
        }
        let mut wanted = Wanted {
            stacks: Vec::new(),
            values: Vec::new(),
        };
        for name in names {
            let is_owner = |(of, owner): &(String, u32)| *of != name || caller.is_user_or_root(*owner);
            let book = shared.secrets.book(&name).map_err(|error| refused(&error))?;
            let own = match &book {
                Some(book) => secrets::owned(book, &name, caller.uid),
                None => Ok(()),
            };
            match own {
                // Of a stack that was not named, somebody else's is passed over.
                Err(denied) if stack.is_some() => return Err(denied),
                Ok(()) if known.iter().all(is_owner) => {}
                _ => continue,
            }
            let stored = book.iter().flat_map(|book| book.values());
            let mut values: Vec<Value> = stored
                .map(|(secret, version, value)| Value::new(&format!("{name}/{secret}@{version}"), value.expose()))
                .collect();
            let of_environments = shared.known_secrets.values(&name).into_iter();
            let other = of_environments.filter(|value| values.iter().all(|stored| stored.expose() != value.expose()));
            let other: Vec<Value> = other
                .map(|value| Value::new(&format!("{name}/{}", value.name()), value.expose()))
                .collect();
            values.extend(other);
            wanted.values.extend(values);
            wanted.stacks.push(name);
        }
        Ok(wanted)
    })
    .await
}

/// Values to look for, with or without rules, built once for all files.
pub(super) struct Patterns {
    values: Vec<Value>,
    with_rules: Arc<tend_redact::Patterns>,
    values_only: Arc<tend_redact::Patterns>,
}

impl Patterns {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self {
            with_rules: Arc::new(tend_redact::Patterns::new(&values, Rules::All)),
            values_only: Arc::new(tend_redact::Patterns::new(&values, Rules::None)),
            values,
        }
    }

    pub(super) fn of(&self, look: super::places::Look) -> &Arc<tend_redact::Patterns> {
        match look {
            super::places::Look::Closely => &self.with_rules,
            super::places::Look::ForValues => &self.values_only,
        }
    }

    /// Returns how many values are looked for, and how many texts these are in all forms.
    pub(super) fn counts(&self) -> (u64, u64) {
        let short = self.values_only.short();
        let long = self
            .values
            .iter()
            .filter(|value| !short.iter().any(|name| name == value.name()));
        (long.count() as u64, self.values_only.texts() as u64)
    }

    /// Returns the names of values that are too short to be looked for.
    pub(super) fn short(&self) -> &[String] {
        self.values_only.short()
    }

    /// Returns what was found is called, and in which form it stands there.
    pub(super) fn name(&self, label: tend_redact::Label, bytes: &[u8]) -> (String, Option<String>) {
        let plain = |what: &str| (what.to_owned(), None);
        match label {
            tend_redact::Label::Credential => plain("credential"),
            tend_redact::Label::Card => plain("card number"),
            tend_redact::Label::PrivateKey => plain("private key"),
            tend_redact::Label::Value(number) => {
                let name = self
                    .values_only
                    .names()
                    .get(number as usize)
                    .cloned()
                    .unwrap_or_default();
                // Where the name is not shown, any value may be it.
                let named = self
                    .values
                    .iter()
                    .filter(|value| name.is_empty() || value.name() == name);
                let form = named
                    .filter_map(|value| tend_redact::form_in(value.expose(), bytes))
                    .next()
                    .map(|form| form.to_string());
                let name = match name.is_empty() {
                    true => "a secret whose name would tell it".to_owned(),
                    false => name,
                };
                (name, form)
            }
        }
    }
}
