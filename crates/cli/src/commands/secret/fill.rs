//! `tend secret fill`: the first values of secrets that are in a Vault, from variables. Decides which variable is which secret; the rest
//! is the daemon's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use tend_api::{ApiError, ChangeSecrets, Class, SecretChange};
use tend_base::{Exposed, Secret};
use tend_core::model::{SecretDelivery, Stack};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::harmless;
use crate::stack_file::StackFileArguments;

/// Write to the Vault what it does not have yet, from variables
///
/// Looks which secrets of a stack its Vault does not have yet, and says which variable has a value for them: one of the name in which a
/// service is given the secret, or the secret's own name, in upper case too. Variables are those of this command and of the `.env` beside
/// the stack file, or those of the file that is named. With --write the values are written there, each path upon the version that was
/// read, and read back.
///
/// What the Vault has is never changed, whatever its value is, and what was deleted there stays so. The stack need not be up.
///
/// Example: tend secret fill --from config/secrets/production.env
#[derive(Debug, Args)]
pub(super) struct Fill {
    #[command(flatten)]
    file: StackFileArguments,
    /// Take values from this file alone, written as `.env` is
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Write, and not only say what would be written
    #[arg(long)]
    write: bool,
}

impl Fill {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let stack = self.file.load(context)?.stack;
        let Some(vault) = stack.vault.clone() else {
            let error = ApiError::new(Class::Config, format!("{} has no Vault", stack.name));
            return Err(Error::Role(
                error.hint("a chapter `vault` of the stack file says where it is"),
            ));
        };
        let variables = match &self.from {
            Some(path) => of_file(context, path)?,
            None => {
                let beside = stack.source.directory.join(".env");
                let mut variables = match beside.exists() {
                    true => of_file(context, &beside)?,
                    false => BTreeMap::new(),
                };
                // As everywhere: what is said now is above what a file says.
                variables.extend(context.surroundings.environment.clone());
                variables
            }
        };
        let mut values = BTreeMap::new();
        for name in vault.secrets.keys() {
            let Some((variable, value)) = found(&stack, name, &variables)? else {
                continue;
            };
            context.note(&format!("{} is taken from {}", harmless(name), harmless(&variable)))?;
            values.insert(name.clone(), Exposed(Secret::new(value)));
        }
        let client = context.client_of_a_started_daemon().await?;
        let change = SecretChange::FillVault {
            vault: Box::new(vault),
            owner_uid: stack.source.owner_uid,
            values,
            write: self.write,
        };
        let changed = client
            .change_secrets(ChangeSecrets {
                stack: stack.name,
                change,
            })
            .await?;
        super::tell(context, changed)
    }
}

fn of_file(context: &mut Context<'_>, path: &std::path::Path) -> Result<BTreeMap<String, String>> {
    let path = context.surroundings.directory.join(path);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::SecretValue {
        place: format!("`{}`", path.display()),
        source,
    })?;
    match tend_stackfile::variables(&path, text) {
        Ok(variables) => Ok(variables.into_iter().collect()),
        Err(report) => {
            context.note(&report.to_string())?;
            Err(Error::StackFile(
                "the file of variables is wrong; nothing was written".to_owned(),
            ))
        }
    }
}

/// Returns the variable that has the value of a secret, and the value.
fn found(stack: &Stack, secret: &str, variables: &BTreeMap<String, String>) -> Result<Option<(String, String)>> {
    let grants = stack.services.values().flat_map(|service| &service.secrets);
    let given = grants.filter_map(|grant| match &grant.delivery {
        SecretDelivery::Environment(variable) if grant.secret == secret => Some(variable.clone()),
        _ => None,
    });
    let upper = secret.to_ascii_uppercase().replace(['-', '.'], "_");
    let names: BTreeSet<String> = given.chain([secret.to_owned(), upper]).collect();
    let mut set: Vec<(String, String)> = names
        .into_iter()
        .filter_map(|name| {
            let value = variables.get(&name).filter(|value| !value.is_empty())?.clone();
            Some((name, value))
        })
        .collect();
    if set.windows(2).any(|two| two[0].1 != two[1].1) {
        let names: Vec<&str> = set.iter().map(|(name, _)| name.as_str()).collect();
        let error = ApiError::new(
            Class::Usage,
            format!(
                "{} have different values, and each could be {secret}",
                names.join(" and ")
            ),
        );
        return Err(Error::Role(
            error.hint("unset all but one of them; nothing was written"),
        ));
    }
    Ok((!set.is_empty()).then(|| set.swap_remove(0)))
}
