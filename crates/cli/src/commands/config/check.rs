//! `tend config check`: whether the configuration of a folder can be taken, without a daemon.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tend_api::EXIT_OK;
use tend_config::{Diagnostic, Location, Report, Schema, SecretVersion, Set};

use crate::arguments::JsonOption;
use crate::config_folder::{ConfigFolder, errors, show};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Tone;

/// Check the schema, files and variables of a folder
///
/// Checks the schema of a stack's configuration, its files, its `.env` and the variables of this shell, and shows everything that is wrong at
/// once, each at its place with what to write instead. Needs no daemon, changes nothing. Of secrets that are not in files of variables it is
/// taken for granted that the store has them; they are named.
///
/// Example: tend config check stacks/mps --environment production
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Folder of the stack file
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// For this environment instead of the stack's own; may be given several times
    #[arg(short = 'e', long = "environment", value_name = "NAME")]
    environments: Vec<String>,
    #[command(flatten)]
    json: JsonOption,
}

/// What the check of one environment came to.
struct Checked {
    environment: String,
    outcome: std::result::Result<Set, Vec<Diagnostic>>,
}

impl Check {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let folder = ConfigFolder::find(context, &self.folder)?;
        let environments = match self.environments.is_empty() {
            true => vec![folder.environment.clone()],
            false => self.environments,
        };
        let schema = match (self.json.json, folder.stand(&folder.environment)?.schema()) {
            (true, Err(Report(found))) => {
                let text = json!({ "schema": found.iter().map(as_json).collect::<Value>() });
                context.line(&text.to_string())?;
                return Err(Error::Configuration(text::wrong(errors(&found))));
            }
            (_, Ok(schema)) => schema,
            (false, Err(_)) => folder.schema(context)?,
        };
        let mut all = Vec::new();
        for environment in environments {
            all.push(Checked {
                outcome: folder.build(&schema, &environment)?,
                environment,
            });
        }
        let wrong = all.iter().filter_map(|checked| checked.outcome.as_ref().err());
        let wrong: usize = wrong.map(|found| errors(found)).sum();
        if self.json.json {
            let each = all.iter().map(|checked| {
                let (found, keys) = match &checked.outcome {
                    Ok(set) => (&set.warnings, Some(set.entries.len())),
                    Err(found) => (found, None),
                };
                let found: Value = found.iter().map(as_json).collect();
                json!({ "environment": checked.environment, "keys_with_a_value": keys, "violations": found })
            });
            let text = json!({ "stack": folder.name(), "environments": each.collect::<Value>() });
            context.line(&text.to_string())?;
        } else {
            for checked in &all {
                tell(context, &folder, &schema, checked)?;
            }
        }
        match wrong {
            0 => Ok(EXIT_OK),
            wrong => Err(Error::Configuration(text::wrong(wrong))),
        }
    }
}

fn tell(context: &mut Context<'_>, folder: &ConfigFolder, schema: &Schema, checked: &Checked) -> Result<()> {
    let set = match &checked.outcome {
        Ok(set) => set,
        Err(found) => return show(context, found),
    };
    show(context, &set.warnings)?;
    let paint = context.paint();
    let fine = text::fine(
        &folder.name(),
        &checked.environment,
        schema.keys.len(),
        set.entries.len(),
    );
    context.line(&paint.paint(Tone::Good, &fine))?;
    let needed = set
        .secrets()
        .filter(|(_, secret)| secret.version == SecretVersion::Stored(0));
    let needed: Vec<&str> = needed.map(|(_, secret)| secret.name.as_str()).collect();
    if !needed.is_empty() {
        let line = text::needed(&needed);
        context.line(&format!("  {}", paint.paint(Tone::Faint, &line)))?;
    }
    Ok(())
}

fn as_json(violation: &Diagnostic) -> Value {
    let place = match &violation.location {
        Location::File { file, line, column, .. } => json!({ "file": file, "line": line, "column": column }),
        Location::Elsewhere(what) => json!(what),
    };
    json!({
        "severity": violation.severity.to_string(),
        "key": violation.key,
        "message": violation.message,
        "place": place,
        "help": violation.help,
    })
}

mod text {
    pub(super) fn fine(name: &str, environment: &str, keys: usize, held: usize) -> String {
        format!("{name} ({environment}) is fine: {held} of {keys} keys have a value")
    }
    pub(super) fn needed(names: &[&str]) -> String {
        format!("the store of secrets has to have {}", names.join(", "))
    }
    pub(super) fn wrong(count: usize) -> String {
        match count {
            1 => "the configuration has 1 error, and would not be taken".to_owned(),
            many => format!("the configuration has {many} errors, and would not be taken"),
        }
    }
}
