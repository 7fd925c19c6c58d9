//! Everything a command can stumble over before, or beside, what the daemon says.

use std::io;
use std::path::PathBuf;

use tend_api::{ApiError, Class};
use tend_core::model::StackName;

/// Result of a command.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What a command attempted and could not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The daemon could not be asked, or said no.
    #[error(transparent)]
    Api(#[from] tend_api::Error),
    /// What `main` handed in failed.
    #[error("{0}")]
    Role(ApiError),
    /// Standard output is closed or full.
    #[error("could not write the output")]
    Output(#[source] io::Error),
    /// The daemon's answer ended without its last line.
    #[error("the daemon went away in the middle of the work")]
    CutShort,
    /// There is no stack file where one was looked for.
    #[error("there is no stack file in `{directory}`", directory = directory.display())]
    NoStackFile {
        /// Where was looked.
        directory: PathBuf,
    },
    /// The path given leads nowhere.
    #[error("could not find `{path}`", path = path.display())]
    StackPath {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The stack file is wrong; all of it was said already.
    #[error("{0}")]
    StackFile(String),
    /// There is no configuration where one was looked for.
    #[error("there is no configuration in `{directory}`", directory = directory.display())]
    NoConfiguration {
        /// Where was looked.
        directory: PathBuf,
    },
    /// A configuration is wrong; all of it was said already.
    #[error("{0}")]
    Configuration(String),
    /// There is no stack at all.
    #[error("no stack is up")]
    NoStacks,
    /// Several stacks, and nothing says which.
    #[error("several stacks are up: {}", listed(.names))]
    WhichStack {
        /// Theirs.
        names: Vec<StackName>,
    },
    /// No stack of that name, nor in that folder.
    #[error("there is no stack `{text}`")]
    NoSuchStack {
        /// What was written.
        text: String,
        /// Those there are.
        names: Vec<StackName>,
    },
    /// The stack is named twice, differently.
    #[error("`{target}` is of another stack than `--stack {stack}`")]
    TwoStacks {
        /// What was written.
        target: String,
        /// And as well.
        stack: StackName,
    },
    /// A replica was named where a whole service is meant.
    #[error("`{0}` is one replica, and this is about a whole service")]
    SlotNotAllowed(String),
    /// The value of a secret could not be read.
    #[error("could not read the value from {place}")]
    SecretValue {
        /// From where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Two different values were typed.
    #[error("the two values differ; nothing was stored")]
    SecretsDiffer,
    /// The program could not be started.
    #[error("could not start `{program}`")]
    Program {
        /// As it was written.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The service's user could not be taken on.
    #[error("could not become user {uid}, group {gid}")]
    Identity {
        /// Numeric user.
        uid: u32,
        /// Numeric group.
        gid: u32,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("could not read `{path}`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no configuration of nginx.
    #[error("`{path}` is no configuration that nginx would read", path = path.display())]
    Nginx {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        source: tend_nginx::ReadError,
    },
    /// A file could not be written.
    #[error("could not write `{path}`", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// This program does not know where it lies.
    #[error("could not find out which file this program is")]
    OwnPath(#[source] io::Error),
    /// A machine-wide unit is root's.
    #[error("only root can install a unit for the whole machine")]
    NotRoot,
    /// There is no folder for this user's units.
    #[error("there is no folder for this user's units: neither XDG_CONFIG_HOME nor HOME is set")]
    NoUnitFolder,
    /// Nothing is shown live into a file.
    #[error("`top` needs a terminal")]
    NoTerminal,
    /// The operating system refused what every program needs.
    #[error("could not begin")]
    Begin(#[source] io::Error),
}

fn listed(names: &[StackName]) -> String {
    let names: Vec<&str> = names.iter().map(StackName::as_str).collect();
    names.join(", ")
}

impl Error {
    /// Returns what the error means to a program.
    pub(crate) fn class(&self) -> Class {
        match self {
            Error::Api(error) => error.class(),
            Error::Role(error) => error.class,
            Error::StackFile(_) | Error::Configuration(_) => Class::Config,
            Error::NoStackFile { .. }
            | Error::NoConfiguration { .. }
            | Error::StackPath { .. }
            | Error::NoStacks
            | Error::NoSuchStack { .. } => Class::NotFound,
            Error::WhichStack { .. }
            | Error::TwoStacks { .. }
            | Error::SlotNotAllowed(_)
            | Error::NoUnitFolder
            | Error::SecretsDiffer
            | Error::NoTerminal => Class::Usage,
            Error::NotRoot | Error::Identity { .. } => Class::Denied,
            Error::Nginx { .. } => Class::Config,
            Error::Program { source, .. }
            | Error::Read { source, .. }
            | Error::SecretValue { source, .. }
            | Error::Write { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Class::NotFound,
                io::ErrorKind::PermissionDenied => Class::Denied,
                _ => Class::Unavailable,
            },
            Error::Output(_) | Error::CutShort | Error::OwnPath(_) | Error::Begin(_) => Class::Unavailable,
        }
    }

    /// Returns what to do next; empty when there is nothing to say.
    pub(crate) fn hint(&self) -> String {
        match self {
            Error::Api(error) => error.hint().to_owned(),
            Error::Role(error) => error.hint.clone(),
            Error::CutShort => {
                "what was begun is finished or undone when the daemon is back: `tend status` tells".to_owned()
            }
            Error::Nginx { source, .. } => source.hint().to_owned(),
            Error::NoStackFile { .. } => format!(
                "name the folder or the file, or write one of {}",
                tend_stackfile::FILE_NAMES.join(", ")
            ),
            Error::NoConfiguration { .. } => {
                "write the schema into config/schema.yaml beside the stack file, or name another: `config: {schema: …}`"
                    .to_owned()
            }
            Error::NoStacks => "`tend up` in the folder of a stack file brings it up".to_owned(),
            Error::WhichStack { .. } => "name one with `--stack NAME`, or go to the folder of its file".to_owned(),
            Error::NoSuchStack { names, .. } if !names.is_empty() => {
                format!("there are: {}", listed(names))
            }
            Error::NoSuchStack { .. } => "`tend up` in the folder of a stack file brings it up".to_owned(),
            Error::SlotNotAllowed(_) => {
                "leave the slot out; `tend restart`, `stop`, `start`, `logs` and `exec` take one".to_owned()
            }
            Error::NotRoot => "run it with sudo, or use `tend install --user`".to_owned(),
            Error::Identity { .. } => "run the command as root, or as that user".to_owned(),
            Error::NoTerminal => "use `tend status`, with `--json` for programs".to_owned(),
            Error::Program { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "it is looked for in the PATH of the service, and relative to the service's folder".to_owned()
            }
            Error::SecretValue { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                "a value is text; encode other bytes first, as with `base64`".to_owned()
            }
            Error::SecretsDiffer => "type it again".to_owned(),
            Error::Output(_)
            | Error::SecretValue { .. }
            | Error::StackPath { .. }
            | Error::StackFile(_)
            | Error::Configuration(_)
            | Error::TwoStacks { .. }
            | Error::Program { .. }
            | Error::Read { .. }
            | Error::Write { .. }
            | Error::OwnPath(_)
            | Error::NoUnitFolder
            | Error::Begin(_) => String::new(),
        }
    }

    /// Returns why, from the outermost cause to the innermost.
    pub(crate) fn because(&self) -> Vec<String> {
        match self {
            Error::Api(tend_api::Error::Refused(refused)) | Error::Role(refused) => refused.details.clone(),
            other => ApiError::from_error(other.class(), other).details,
        }
    }

    /// Returns whether nobody reads the output any more, which is no error: `tend logs | head`.
    pub(crate) fn is_closed_output(&self) -> bool {
        matches!(self, Error::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}
