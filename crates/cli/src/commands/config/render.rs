//! `tend config render`: what a service would be given, made from the files alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tend_api::{ApiError, Class, EXIT_OK};
use tend_base::Secret;
use tend_config::{Selection, given, render};
use tend_core::model::{DeliveryForm, FileFormat, Service};

use crate::config_folder::{ConfigFolder, errors, show};
use crate::context::Context;
use crate::error::{Error, Result};

/// Print what a service would be given, secrets masked
///
/// Prints the configuration that a service would be given, as its files of the environment, its `.env` and the variables of this shell have it,
/// in the form the service takes it in or another. Secrets are masked. Needs no daemon; what a table or `tend config set` adds is not in it.
///
/// Example: tend config render api --format json
#[derive(Debug, Args)]
pub(super) struct Render {
    /// The service; every key that is no secret when left out
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// As what; what the service takes, or variables
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// For this environment instead of the stack's own
    #[arg(short = 'e', long, value_name = "NAME")]
    environment: Option<String>,
    /// The folder of the stack file
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// NAME=value
    Dotenv,
    /// JSON, nested
    Json,
    /// YAML, nested
    Yaml,
    /// TOML, nested
    Toml,
}

impl From<Format> for FileFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Dotenv => FileFormat::Dotenv,
            Format::Json => FileFormat::Json,
            Format::Yaml => FileFormat::Yaml,
            Format::Toml => FileFormat::Toml,
        }
    }
}

impl Render {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let folder = ConfigFolder::find(context, &self.folder)?;
        let service = match &self.service {
            Some(name) => Some(service(&folder, name)?),
            None => None,
        };
        let schema = folder.schema(context)?;
        let environment = self.environment.as_ref().unwrap_or(&folder.environment);
        let set = match folder.build(&schema, environment)? {
            Ok(set) => set,
            Err(found) => {
                show(context, &found)?;
                return Err(Error::Configuration(text::wrong(errors(&found))));
            }
        };
        let delivery = service.and_then(|service| service.config.as_ref());
        let keys = delivery.map(|delivery| delivery.keys.clone()).unwrap_or_default();
        let own = delivery.and_then(|delivery| match delivery.form {
            DeliveryForm::File { format, .. } => Some(format),
            DeliveryForm::Watch => Some(FileFormat::Json),
            DeliveryForm::Environment => None,
        });
        let format = self.format.map(FileFormat::from).or(own).unwrap_or(FileFormat::Dotenv);
        let masks: BTreeMap<String, Secret> = set
            .secrets()
            .map(|(key, _)| (key.to_owned(), Secret::new(text::MASK.to_owned())))
            .collect();
        let refused = |error: tend_config::Error| {
            let hint = error.hint();
            Error::Role(ApiError::from_error(Class::Config, &error).hint(hint))
        };
        let given = given(&set.entries, &Selection(keys), &masks).map_err(refused)?;
        let rendered = render(&schema, &given, format).map_err(refused)?;
        context.write(rendered.expose())?;
        Ok(EXIT_OK)
    }
}

fn service<'a>(folder: &'a ConfigFolder, name: &str) -> Result<&'a Service> {
    let services = folder.stack.iter().flat_map(|stack| stack.services.values());
    let all: Vec<&Service> = services.collect();
    all.iter()
        .find(|service| service.name.as_str() == name)
        .copied()
        .ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|service| service.name.as_str()).collect();
            let error = ApiError::new(Class::NotFound, text::no_service(&folder.name(), name));
            Error::Role(error.hint(text::services(&names)))
        })
}

mod text {
    pub(super) const MASK: &str = "***";

    pub(super) fn wrong(count: usize) -> String {
        match count {
            1 => "the configuration has 1 error, and would not be taken".to_owned(),
            many => format!("the configuration has {many} errors, and would not be taken"),
        }
    }
    pub(super) fn no_service(stack: &str, name: &str) -> String {
        format!("{stack} has no service `{name}`")
    }
    pub(super) fn services(names: &[&str]) -> String {
        format!("its services are {}", names.join(", "))
    }
}
