//! The configuration of a stack as its files have it: found and read without a daemon.
//!
//! What they mean is `tend-config`'s; here are the disk, the environment of the shell, and how what is wrong is shown. The store of secrets,
//! the table, and what was set by command are the daemon's and not part of it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use tend_base::Secret;
use tend_config::{
    Diagnostic, Report, Schema, Set, SetLayer, Severity, Source, Sources, Stand, assumed_secret, named_secrets,
};
use tend_core::model::{ConfigSources, Stack};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Paint, Tone};
use crate::stack_file::StackFileArguments;

/// Where the schema stands when the stack file does not say.
const SCHEMA: &str = "config/schema.yaml";

/// The environment of a stack that names none.
const ENVIRONMENT: &str = "development";

/// The configuration of a folder.
pub(crate) struct ConfigFolder {
    /// The stack, where there is a stack file.
    pub(crate) stack: Option<Stack>,
    /// The environment that the stack is for.
    pub(crate) environment: String,
    directory: PathBuf,
    sources: ConfigSources,
    /// Of the shell.
    process: BTreeMap<String, String>,
}

impl ConfigFolder {
    /// Finds the configuration of the stack in a folder. A folder without a stack file, or whose file has no chapter `config`, is taken as if
    /// it had an empty one, provided that there is a schema.
    pub(crate) fn find(context: &mut Context<'_>, folder: &Path) -> Result<Self> {
        let stack = match StackFileArguments::at(folder).load(context) {
            Ok(loaded) => Some(loaded.stack),
            Err(Error::NoStackFile { .. }) => None,
            Err(error) => return Err(error),
        };
        let process = context.surroundings.environment.clone();
        let environment = stack.as_ref().and_then(|stack| stack.deploy.environment.clone());
        let environment = environment.unwrap_or_else(|| ENVIRONMENT.to_owned());
        if let Some(stack) = stack.as_ref().filter(|stack| stack.config.is_some()) {
            return Ok(Self {
                environment,
                directory: stack.source.directory.clone(),
                sources: stack.config.clone().ok_or(Error::NoStacks)?,
                process,
                stack: Some(stack.clone()),
            });
        }
        let named = context.surroundings.directory.join(folder);
        let named = named.canonicalize().unwrap_or(named);
        // Who stands in `config/`, or names it, means the folder above.
        let above = named
            .parent()
            .filter(|_| named.file_name().is_some_and(|name| name == "config"));
        let places = [Some(named.as_path()), named.parent().filter(|_| named.is_file()), above];
        let directory = places.into_iter().flatten().find(|place| place.join(SCHEMA).is_file());
        let Some(directory) = directory else {
            return Err(Error::NoConfiguration { directory: named });
        };
        Ok(Self {
            sources: default_sources(directory, &environment),
            directory: directory.to_owned(),
            environment,
            process,
            stack,
        })
    }

    /// Returns the name of the stack, or of the folder.
    pub(crate) fn name(&self) -> String {
        let folder = self
            .directory
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let stack = self.stack.as_ref().map(|stack| stack.name.to_string());
        stack.or(folder).unwrap_or_default()
    }

    /// Returns the folder that paths are relative to.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns where the configuration comes from, as the stack's own environment has it.
    pub(crate) fn sources(&self) -> &ConfigSources {
        &self.sources
    }

    /// Reads what an environment's configuration is made from: the stack's own, or another, whose files are named alike.
    pub(crate) fn stand(&self, environment: &str) -> Result<Stand> {
        let read = |path: &PathBuf| -> Result<Source> {
            let path = self.of_environment(path, environment);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => Some(text),
                Err(source) if source.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(Error::Read { path, source }),
            };
            let shown = path.strip_prefix(&self.directory).unwrap_or(&path);
            Ok(Source {
                path: shown.display().to_string(),
                text,
            })
        };
        let all = |paths: &[PathBuf]| paths.iter().map(read).collect::<Result<Vec<_>>>();
        let mut stand = Stand::of([]);
        stand.sources = Sources {
            environment: environment.to_owned(),
            schema: Some(read(&self.sources.schema)?),
            files: all(&self.sources.files)?,
            dotenv: all(&self.sources.dotenv)?,
            process: self.process.clone(),
            ..Sources::default()
        };
        Ok(stand)
    }

    /// Returns what the files of an environment give, or everything that is wrong with them. Of secrets that are named in them, or have to be
    /// there and stand in no file of variables, it is taken for granted that the store has them: as version 0.
    pub(crate) fn build(
        &self,
        schema: &Schema,
        environment: &str,
    ) -> Result<std::result::Result<Set, Vec<Diagnostic>>> {
        let mut stand = self.stand(environment)?;
        let sources = &mut stand.sources;
        let texts = sources.files.iter().chain(&sources.dotenv);
        sources.secrets = named_secrets(texts.filter_map(|source| source.text.as_deref()));
        let mark = mark();
        let (entries, _) = stand.sketch(schema, &mark);
        let needed = schema.keys.values().filter(|key| {
            let is_named = stand.sources.secrets.iter().any(|secret| secret.name == key.name);
            key.secret && !is_named && key.required.applies(environment) && !entries.contains_key(&key.name)
        });
        let needed: Vec<_> = needed.map(|key| assumed_secret(key.name.clone())).collect();
        stand.sources.secrets.extend(needed);
        let built = stand.build(schema, &SetLayer::default(), &mark);
        Ok(built.map_err(|Report(found)| found))
    }

    /// Returns the file that stands for `path` in an environment: one that is named after the stack's own is named after that one.
    fn of_environment(&self, path: &Path, environment: &str) -> PathBuf {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        match (stem, path.extension().and_then(|extension| extension.to_str())) {
            (Some(stem), Some(extension)) if stem == self.environment => {
                path.with_file_name(format!("{environment}.{extension}"))
            }
            _ => path.to_owned(),
        }
    }

    /// Reads the schema; what is wrong with it is shown, and is the error.
    pub(crate) fn schema(&self, context: &mut Context<'_>) -> Result<Schema> {
        match self.stand(&self.environment)?.schema() {
            Ok(schema) => Ok(schema),
            Err(Report(found)) => {
                show(context, &found)?;
                Err(Error::Configuration(text::schema(errors(&found))))
            }
        }
    }
}

fn default_sources(directory: &Path, environment: &str) -> ConfigSources {
    ConfigSources {
        schema: directory.join(SCHEMA),
        files: vec![directory.join(format!("config/environments/{environment}.yml"))],
        dotenv: vec![
            directory.join(".env"),
            directory.join(format!("config/secrets/{environment}.env")),
        ],
        table: None,
    }
}

/// Returns what tells two values of a secret apart and lets neither be found again: it is keyed with what this process alone has.
pub(crate) fn mark() -> impl Fn(&Secret) -> String {
    let key = RandomState::new();
    move |value| format!("{:016x}", key.hash_one(value.expose()))
}

/// Shows violations on standard error, each with its first word in colour.
pub(crate) fn show(context: &mut Context<'_>, found: &[Diagnostic]) -> Result<()> {
    let paint = Paint {
        on: context.surroundings.terminal.colour_of_errors,
    };
    for violation in found {
        let tone = match violation.severity {
            Severity::Error => Tone::Bad,
            Severity::Warning => Tone::Uneasy,
        };
        let word = violation.severity.to_string();
        let text = violation.to_string();
        let rest = text.strip_prefix(&word).unwrap_or(&text);
        context.note(&format!("{}{rest}", paint.paint(tone, &word)))?;
    }
    Ok(())
}

/// Returns how many of the violations are errors.
pub(crate) fn errors(found: &[Diagnostic]) -> usize {
    found.iter().filter(|one| one.severity == Severity::Error).count()
}

mod text {
    pub(super) fn schema(count: usize) -> String {
        match count {
            1 => "the schema has 1 error".to_owned(),
            many => format!("the schema has {many} errors"),
        }
    }
}
