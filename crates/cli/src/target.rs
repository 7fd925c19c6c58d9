//! What a command is about: reads STACK/SERVICE/SLOT in its shorter forms, and finds the stack that was not named.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use tend_api::messages::StackSummary;
use tend_api::{Client, Target};
use tend_core::model::{NameError, ServiceId, ServiceName, StackName};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::stack_file;

/// A service or replica as it is written: `SERVICE`, `SERVICE/SLOT`, `STACK/SERVICE` or `STACK/SERVICE/SLOT`.
///
/// `a/1` is the first replica of `a`: a service whose name is a number is written with its stack and slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    text: String,
    stack: Option<StackName>,
    service: ServiceName,
    slot: Option<u32>,
}

impl FromStr for Named {
    type Err = NameError;
    fn from_str(text: &str) -> std::result::Result<Self, NameError> {
        let parts: Vec<&str> = text.split('/').collect();
        let wrong = || NameError::Replica(text.to_owned());
        let slot = |text: &str| text.parse::<u32>().ok().filter(|slot| *slot > 0);
        let (stack, service, slot) = match *parts.as_slice() {
            [service] => (None, service, None),
            [first, second] => match slot(second) {
                Some(slot) => (None, first, Some(slot)),
                None => (Some(first), second, None),
            },
            [stack, service, last] => (Some(stack), service, Some(slot(last).ok_or_else(wrong)?)),
            _ => return Err(wrong()),
        };
        Ok(Self {
            text: text.to_owned(),
            stack: stack.map(str::parse).transpose()?,
            service: service.parse()?,
            slot,
        })
    }
}

/// Which stack, for commands that are about a service.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct StackOption {
    /// The stack; without it the one whose file is in this folder, or the only one
    #[arg(short = 's', long = "stack", value_name = "STACK")]
    stack: Option<StackName>,
}

impl StackOption {
    /// Returns whether one was named.
    pub(crate) fn is_given(&self) -> bool {
        self.stack.is_some()
    }

    /// Returns the one that was named.
    pub(crate) fn named(&self) -> Option<&StackName> {
        self.stack.as_ref()
    }

    /// Returns the stack, which need not be up: the one named, that of the file in this folder, or the only one that is up.
    pub(crate) async fn before_it_is_up(&self, context: &Context<'_>, client: &Client) -> Result<StackName> {
        match self.stack.clone().or_else(|| stack_file::name_here(context)) {
            Some(stack) => Ok(stack),
            None => the_stack(client, &context.surroundings.directory).await,
        }
    }

    /// Returns what the command is about: all of the stack where nothing is named.
    pub(crate) async fn target(&self, context: &Context<'_>, client: &Client, named: Option<&Named>) -> Result<Target> {
        let stack = match (&self.stack, named.and_then(|named| named.stack.clone())) {
            (Some(stack), Some(other)) if *stack != other => {
                return Err(Error::TwoStacks {
                    target: named.map(|named| named.text.clone()).unwrap_or_default(),
                    stack: stack.clone(),
                });
            }
            (Some(stack), _) => stack.clone(),
            (None, Some(stack)) => stack,
            (None, None) => the_stack(client, &context.surroundings.directory).await?,
        };
        Ok(Target {
            stack,
            service: named.map(|named| named.service.clone()),
            slot: named.and_then(|named| named.slot),
        })
    }

    /// Returns the service the command is about.
    pub(crate) async fn service(&self, context: &Context<'_>, client: &Client, named: &Named) -> Result<ServiceId> {
        if named.slot.is_some() {
            return Err(Error::SlotNotAllowed(named.text.clone()));
        }
        let target = self.target(context, client, Some(named)).await?;
        Ok(ServiceId {
            stack: target.stack,
            service: named.service.clone(),
        })
    }
}

/// Returns the stack whose file is in the folder or nearest above it, else the only one.
async fn the_stack(client: &Client, directory: &Path) -> Result<StackName> {
    let stacks = client.stacks().await?.stacks;
    if let Some(stack) = of_folder(&stacks, directory) {
        return Ok(stack);
    }
    match stacks.as_slice() {
        [] => Err(Error::NoStacks),
        [only] => Ok(only.name.clone()),
        _ => Err(Error::WhichStack {
            names: stacks.into_iter().map(|stack| stack.name).collect(),
        }),
    }
}

/// Returns the stack of the folder, or of the nearest folder above; none when two stacks are equally near.
fn of_folder(stacks: &[StackSummary], directory: &Path) -> Option<StackName> {
    directory.ancestors().find_map(|folder| {
        let mut here = stacks.iter().filter(|stack| stack.file.parent() == Some(folder));
        match (here.next(), here.next()) {
            (Some(stack), None) => Some(stack.name.clone()),
            _ => None,
        }
    })
}

/// Which stack, for commands that are about a whole one: its name, its folder or its file.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct StackArgument {
    /// The stack: its name, folder or file; without it the one whose file is in this folder, or the only one
    #[arg(value_name = "STACK")]
    stack: Option<String>,
}

impl StackArgument {
    /// Returns the argument as if it had been typed so.
    pub(crate) fn of(stack: Option<String>) -> Self {
        Self { stack }
    }

    /// Returns whether one was named.
    pub(crate) fn is_given(&self) -> bool {
        self.stack.is_some()
    }

    /// Returns the stack's name; it has to be up.
    pub(crate) async fn name(&self, context: &Context<'_>, client: &Client) -> Result<StackName> {
        let directory = &context.surroundings.directory;
        let Some(text) = &self.stack else {
            return the_stack(client, directory).await;
        };
        let stacks = client.stacks().await?.stacks;
        if let Some(stack) = stacks.iter().find(|stack| stack.name.as_str() == text) {
            return Ok(stack.name.clone());
        }
        // The file may be gone by now; then the path is taken as it is written.
        let path: PathBuf = directory.join(text);
        let path = path.canonicalize().unwrap_or(path);
        let by_file = stacks.iter().find(|stack| stack.file == path);
        let in_folder = || {
            let mut here = stacks.iter().filter(|stack| stack.file.parent() == Some(&path));
            here.next().filter(|_| here.next().is_none())
        };
        match by_file.or_else(in_folder) {
            Some(stack) => Ok(stack.name.clone()),
            None => Err(Error::NoSuchStack {
                text: text.clone(),
                names: stacks.into_iter().map(|stack| stack.name).collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tend_api::messages::ServiceState;

    #[test]
    fn a_target_is_read_in_its_four_forms() {
        for (text, expected) in [
            ("api", (None, "api", None)),
            ("api/2", (None, "api", Some(2))),
            ("mps/api", (Some("mps"), "api", None)),
            ("mps/api/2", (Some("mps"), "api", Some(2))),
            ("mps/1/2", (Some("mps"), "1", Some(2))),
        ] {
            let named: Named = text.parse().unwrap();
            let found = (
                named.stack.as_ref().map(StackName::as_str),
                named.service.as_str(),
                named.slot,
            );
            assert_eq!(found, expected, "{text}");
        }
        for text in ["", "a/b/c", "a/b/0", "a/b/1/2", "a/", "/a", "MPS/api"] {
            assert!(text.parse::<Named>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_stack_of_a_folder_is_the_nearest_one() {
        let stack = |name: &str, file: &str| StackSummary {
            name: name.parse().unwrap(),
            file: file.into(),
            revision: 1,
            state: ServiceState::Running,
            services: 1,
            wanted_replicas: 1,
            ready_replicas: 1,
            urls: Vec::new(),
        };
        let stacks = [
            stack("outer", "/srv/stack.yml"),
            stack("inner", "/srv/a/stack.yml"),
            stack("twin-1", "/opt/one.yml"),
            stack("twin-2", "/opt/two.yml"),
        ];
        let of = |folder: &str| of_folder(&stacks, Path::new(folder)).map(String::from);
        assert_eq!(of("/srv/a/b/c").as_deref(), Some("inner"));
        assert_eq!(of("/srv/b").as_deref(), Some("outer"));
        assert_eq!(of("/opt"), None);
        assert_eq!(of("/home"), None);
    }
}
