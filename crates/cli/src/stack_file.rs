//! Finds and loads the stack file from the disk, and shows what is wrong with it.
//!
//! What a stack file means is `tend-stackfile`'s; here are the disk, the command line's choices and the streams.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tend_api::{ChangeSecrets, Client, SecretChange};
use tend_base::Exposed;
use tend_core::model::StackName;
use tend_stackfile::{Diagnostic, Files, Input, Loaded, Location, Owner, Report, Severity};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Paint, Tone};
use crate::target::StackArgument;

/// Which stack file, and how to read it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct StackFileArguments {
    /// Folder of the stack file, or the file itself
    #[arg(value_name = "STACK", default_value = ".")]
    stack: PathBuf,
    /// A stack file; given several times, later ones are laid over earlier ones
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "stack")]
    files: Vec<PathBuf>,
    /// The stack's name, instead of the one in the file or the folder's
    #[arg(short = 'p', long = "project-name", value_name = "NAME")]
    name: Option<String>,
    /// Also the services of this profile; may be given several times
    #[arg(long = "profile", value_name = "PROFILE")]
    profiles: Vec<String>,
    /// Defaults for variables, instead of `.env`; may be given several times
    #[arg(long = "env-file", value_name = "FILE")]
    env_files: Vec<PathBuf>,
}

/// The disk.
#[derive(Default)]
struct Disk {
    /// The `.env` beside the main file, and what is read in its place.
    instead: Option<(PathBuf, Vec<PathBuf>)>,
}

impl Disk {
    /// Returns what is read in the place of `path`, when something is.
    fn instead_of(&self, path: &Path) -> Option<&[PathBuf]> {
        let (replaced, by) = self.instead.as_ref()?;
        (replaced == path).then_some(by)
    }

    /// Corrects a place in what was read for `.env`: it is in one of the files read in its place, which are read as one.
    fn correct(&self, location: &mut Location) {
        let Location::File {
            file: shown, line: at, ..
        } = location
        else {
            return;
        };
        let Some(files) = self.instead_of(shown) else {
            return;
        };
        let mut line = *at;
        for file in files {
            let content = std::fs::read(file)
                .ok()
                .filter(|content| std::str::from_utf8(content).is_ok());
            let Some(content) = content else {
                // Of files that are no text nothing is read, so the first such one is meant, as a whole.
                shown.clone_from(file);
                return;
            };
            // With the line break behind each.
            let newlines = content.iter().filter(|&&byte| byte == b'\n').count();
            let lines = u32::try_from(newlines + 1).unwrap_or(u32::MAX);
            if (1..=lines).contains(&line) {
                shown.clone_from(file);
                *at = line;
                return;
            }
            line = line.saturating_sub(lines);
        }
    }

    /// Returns a diagnostic with its places as the person named them.
    fn corrected(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        let name = |location: &Location| match location {
            Location::File { file, .. } => file.display().to_string(),
            Location::Elsewhere(what) => what.clone(),
        };
        let before = name(&diagnostic.location);
        self.correct(&mut diagnostic.location);
        let named = name(&diagnostic.location);
        diagnostic.message = diagnostic
            .message
            .replace(&format!("`{before}`"), &format!("`{named}`"));
        if let Some((location, _)) = &mut diagnostic.also {
            self.correct(location);
        }
        diagnostic
    }
}

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let Some(files) = self.instead_of(path) else {
            return std::fs::read(path);
        };
        let mut joined = Vec::new();
        for file in files {
            joined.extend(std::fs::read(file)?);
            joined.push(b'\n');
        }
        Ok(joined)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.instead_of(path).is_some() || path.is_file()
    }

    fn owner(&self, path: &Path) -> io::Result<Owner> {
        let metadata = std::fs::metadata(path)?;
        Ok(Owner {
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
    }
}

/// Returns the name of the stack whose file is in the working folder; none where there is no file, or it is wrong.
pub(crate) fn name_here(context: &Context<'_>) -> Option<StackName> {
    let disk = Disk::default();
    let paths = tend_stackfile::find(&disk, &context.surroundings.directory);
    let loaded = (!paths.is_empty()).then(|| {
        tend_stackfile::load(&Input {
            files: &disk,
            paths,
            environment: context.surroundings.environment.clone(),
            profiles: Vec::new(),
            name: None,
        })
    });
    Some(loaded?.ok()?.stack.name)
}

/// Stores the secrets that the stack file has in files and variables: they are current from then on.
pub(crate) async fn store_secrets(client: &Client, loaded: &Loaded) -> Result<()> {
    if loaded.secrets.is_empty() {
        return Ok(());
    }
    let values = loaded
        .secrets
        .iter()
        .map(|(name, value)| (name.clone(), Exposed(value.clone())));
    let change = SecretChange::Import {
        values: values.collect(),
        current: true,
    };
    let stack = loaded.stack.name.clone();
    client.change_secrets(ChangeSecrets { stack, change }).await?;
    Ok(())
}

impl StackFileArguments {
    /// Returns the arguments as if a folder had been typed, and nothing else.
    pub(crate) fn at(folder: &Path) -> Self {
        Self {
            stack: folder.to_owned(),
            ..Self::default()
        }
    }

    /// Returns the stack that is meant as one that is up, for what needs no look into its file.
    pub(crate) fn named(&self) -> StackArgument {
        let file = self.files.first().unwrap_or(&self.stack);
        let place = || (file != Path::new(".")).then(|| file.display().to_string());
        StackArgument::of(self.name.clone().or_else(place))
    }

    /// Loads the stack. What is worth a look is shown on standard error; what is wrong is shown there too, and is the error.
    pub(crate) fn load(&self, context: &mut Context<'_>) -> Result<Loaded> {
        let directory = &context.surroundings.directory;
        let paths = self.paths(directory)?;
        let mut disk = Disk::default();
        if !self.env_files.is_empty() {
            let beside = paths[0].parent().unwrap_or(Path::new("/"));
            let files = self.env_files.iter().map(|path| found(directory, path));
            disk.instead = Some((beside.join(".env"), files.collect::<Result<_>>()?));
        }
        let input = Input {
            files: &disk,
            paths,
            environment: context.surroundings.environment.clone(),
            profiles: self.profiles.clone(),
            name: self.name.clone(),
        };
        let paint = Paint {
            on: context.surroundings.terminal.colour_of_errors,
        };
        match tend_stackfile::load(&input) {
            Ok(loaded) => {
                for note in &loaded.notes {
                    context.note(&shown(&disk.corrected(note.clone()), paint))?;
                }
                Ok(loaded)
            }
            Err(Report(diagnostics)) => {
                for diagnostic in &diagnostics {
                    context.note(&shown(&disk.corrected(diagnostic.clone()), paint))?;
                }
                let errors = Report(diagnostics).errors();
                Err(Error::StackFile(text::errors(errors)))
            }
        }
    }

    /// Returns the files named, or found in the folder named, as absolute paths.
    fn paths(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        if !self.files.is_empty() {
            return self.files.iter().map(|path| found(directory, path)).collect();
        }
        let place = found(directory, &self.stack)?;
        if !place.is_dir() {
            return Ok(vec![place]);
        }
        let paths = tend_stackfile::find(&Disk::default(), &place);
        if paths.is_empty() {
            return Err(Error::NoStackFile { directory: place });
        }
        Ok(paths)
    }
}

/// Returns where a path leads, absolute.
fn found(directory: &Path, path: &Path) -> Result<PathBuf> {
    directory.join(path).canonicalize().map_err(|source| Error::StackPath {
        path: path.to_owned(),
        source,
    })
}

/// Returns the diagnostic with its first word in colour.
fn shown(diagnostic: &Diagnostic, paint: Paint) -> String {
    let text = diagnostic.to_string();
    let tone = match diagnostic.severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Uneasy,
    };
    match text.split_once(':') {
        Some((word, rest)) => format!("{}:{rest}", paint.paint(tone, word)),
        None => text,
    }
}

mod text {
    pub(super) fn errors(count: usize) -> String {
        match count {
            1 => "the stack file has 1 error; nothing was changed".to_owned(),
            many => format!("the stack file has {many} errors; nothing was changed"),
        }
    }
}
