//! From paths to a stack: read, replace variables, check, extend, merge, include, choose by profile, lower.
//!
//! Owns the order of these steps. Everything wrong is collected; a step is skipped only where it would stumble over what an
//! earlier one found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use tend_base::Secret;
use tend_core::model::{ServiceName, Stack};
use tend_text::Shows;

use crate::canonical::{canonicalise, write_directories};
use crate::error::{Diagnostic, Findings, Report};
use crate::input::Input;
use crate::interpolate::fill_tree;
use crate::mask::hide_database_passwords;
use crate::schema::{FILE, Shape, check, check_required};
use crate::source::{Place, SourceId, absolute};
use crate::yaml::{self, Node, Tag};
use crate::{dotenv, extends, include, lower, merge, profiles, references, stack_name};

/// Services of one file; keeps the time of a load in bounds, whatever the file.
const SERVICES_MAX: usize = 1000;

/// Bytes of one file. A stack file of 1000 services has about 200 KiB.
const BYTES_MAX: usize = 1 << 20;

/// Files of one load, each counted as often as it is named.
const FILES_MAX: usize = 500;

/// A stack file, loaded.
pub struct Loaded {
    /// What it asks for.
    pub stack: Stack,
    /// What will not be as written, or deserves a look: warnings only.
    pub notes: Vec<Diagnostic>,
    /// The files merged into one, variables replaced and short forms written out.
    pub document: Document,
    /// The whole environment of each service, its files read; for a process it is in the stack too. Holds secrets: not for printing.
    pub environments: Environments,
    /// Values of the secrets of processes that are in files and variables, by the name the store has for them.
    pub secrets: BTreeMap<String, Secret>,
}

/// Variables by service.
pub type Environments = BTreeMap<ServiceName, BTreeMap<String, String>>;

/// Names the stack only: the rest may hold secrets.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("name", &self.stack.name)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

/// The files merged into one, for printing: the passwords of `deploy.databases` are hidden in it.
pub struct Document(pub(crate) Node);

impl Document {
    /// Returns it as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        yaml::to_json(&self.0)
    }

    /// Returns it as YAML that reads back as the same stack, but for hidden passwords.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml::to_yaml(&self.0)
    }
}

/// Loads the stack.
///
/// # Errors
/// Everything that is wrong with it, and the warnings found besides.
///
/// # Panics
/// When `input.paths` is empty.
pub fn load(input: &Input<'_>) -> Result<Loaded, Report> {
    let main = input.paths.first().expect("a caller names at least one file");
    let directory = main.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut session = Session {
        input,
        findings: Findings::default(),
        environments: Environments::new(),
        secrets: BTreeMap::new(),
    };
    let outcome = session.run(&directory);
    let failed = session.findings.failed();
    let diagnostics = session.findings.into_diagnostics();
    match outcome {
        Some((stack, mut tree)) if !failed => {
            hide_database_passwords(&mut tree);
            Ok(Loaded {
                stack,
                notes: diagnostics,
                document: Document(tree),
                environments: session.environments,
                secrets: session.secrets,
            })
        }
        _ => Err(Report(diagnostics)),
    }
}

/// One load under way.
pub(crate) struct Session<'a> {
    pub(crate) input: &'a Input<'a>,
    pub(crate) findings: Findings,
    pub(crate) environments: Environments,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// What the variables of a set of files stand for and where its paths start from.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) directory: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Session<'_> {
    fn run(&mut self, directory: &Path) -> Option<(Stack, Node)> {
        let mut variables = self.input.environment.clone();
        let dot_env = directory.join(".env");
        if self.input.files.is_file(&dot_env) {
            dotenv::read_defaults(self, &dot_env, directory, None, &mut variables);
        }
        let setting = Setting {
            directory: directory.to_path_buf(),
            variables,
        };
        let paths = self.input.paths.clone();
        let mut tree = self.project(&paths, &setting, &mut Vec::new(), None)?;
        merge::settle(&mut tree);
        check_required(&tree, &Shape::Keys(&FILE), "", &mut self.findings);
        write_directories(&mut tree, &self.findings);
        let name = stack_name::choose(&mut tree, &setting, self.input, &mut self.findings);
        let active = profiles::active(&self.input.profiles, &setting.variables);
        let disabled = profiles::choose(&mut tree, &active);
        references::check(&tree, &disabled, &mut self.findings);
        // A stack without a name is not handed out, but what else is wrong with it is to be told.
        let name = name.unwrap_or_else(|| "unnamed".parse().expect("it follows the rule"));
        let stack = lower::lower(self, &tree, name, &setting)?;
        Some((stack, tree))
    }

    /// Loads files that override each other, and what they include.
    pub(crate) fn project(
        &mut self,
        paths: &[PathBuf],
        setting: &Setting,
        including: &mut Vec<PathBuf>,
        named_at: Option<Place>,
    ) -> Option<Node> {
        let mut whole: Option<Node> = None;
        for path in paths {
            let Some(document) = self.document(path, setting, named_at) else {
                continue;
            };
            let document = extends::resolve(self, document, path, setting);
            whole = Some(match whole {
                None => document,
                Some(base) => merge::merge(base, document, &mut self.findings),
            });
        }
        let depth = including.len();
        including.extend(paths.iter().cloned());
        let whole = whole.map(|tree| include::resolve(self, tree, setting, including));
        including.truncate(depth);
        whole
    }

    /// Loads one file by itself; `named_at` is where another file names it.
    pub(crate) fn document(&mut self, path: &Path, setting: &Setting, named_at: Option<Place>) -> Option<Node> {
        let source = self.read(path, &setting.directory, Shows::Masked, named_at)?;
        let mut document = yaml::read(source, &mut self.findings)?;
        fill_tree(&mut document, &setting.variables, &mut self.findings);
        check(&document, &Shape::Keys(&FILE), "", &mut self.findings);
        let services = document.get("services").map_or(&[][..], Node::entries);
        if let Some(entry) = services.get(SERVICES_MAX) {
            self.findings
                .error(entry.place, format!("a stack file may have {SERVICES_MAX} services"))
                .help("make several stacks of it; they share one daemon and one edge");
            return None;
        }
        if document.as_map().is_none() {
            // What else stands there was noted; `!reset` takes away anything, so it is no mistake where a key is.
            if document.tag == Some(Tag::Reset) {
                self.findings
                    .error(document.place, "the whole file is taken away by `!reset`")
                    .help("write `!reset` behind the key that is to go");
            }
            return None;
        }
        canonicalise(&mut document, &self.findings);
        Some(document)
    }

    /// Reads a file into the sources.
    pub(crate) fn read(
        &mut self,
        path: &Path,
        directory: &Path,
        shows: Shows,
        named_at: Option<Place>,
    ) -> Option<SourceId> {
        let path = absolute(directory, path);
        if let Some(place) = named_at
            && self.findings.sources.count() >= FILES_MAX
        {
            self.findings
                .error(place, format!("more than {FILES_MAX} files are named up to here"))
                .help("does a file include others that include the same ones?");
            return None;
        }
        let add = |text: &str, session: &mut Self| {
            let sources = &mut session.findings.sources;
            sources.add_in(directory.into(), path.clone(), text, shows)
        };
        let bytes = match self.input.files.read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let place = named_at.unwrap_or_else(|| add("", self).whole());
                self.findings
                    .error(place, format!("`{}` could not be read: {error}", path.display()))
                    .help("check the path and who may read the file");
                return None;
            }
        };
        if bytes.len() > BYTES_MAX {
            let length = bytes.len();
            let place = add("", self).at(1, 1);
            self.findings
                .error(place, format!("the file has {length} bytes; it may have 1 MiB"))
                .help("this does not look like a file for tend");
            return None;
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => Some(add(text, self)),
            Err(error) => {
                let before = &bytes[..error.valid_up_to()];
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
                // A file has at most a mebibyte of them.
                let count = |value| u32::try_from(value).unwrap_or(u32::MAX);
                let place = add(&String::from_utf8_lossy(&bytes), self).at(count(line), count(column));
                self.findings
                    .error(place, "this is not UTF-8")
                    .help("save the file as UTF-8");
                None
            }
        }
    }
}
