//! `tend import nginx`: a configuration of nginx as the chapter `edge`.

use std::path::{Path, PathBuf};

use clap::Args;
use tend_api::EXIT_OK;
use tend_nginx::{Imported, Weight};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::Tone;

/// Print a configuration of nginx as the chapter `edge` of a stack file
///
/// Prints what a configuration of nginx means as the chapter `edge` of a stack file, and says on the error stream, with its line, what
/// could not be carried over, what changes a little, and which services the stack file has to have. Files that it includes are read too.
/// Nothing is changed.
///
/// Example: tend import nginx /etc/nginx/nginx.conf > edge.yml
#[derive(Debug, Args)]
pub(crate) struct Nginx {
    /// The configuration: a whole one, or a file of `conf.d`
    file: PathBuf,
    /// Also say what has no place here and is not missed
    #[arg(long)]
    verbose: bool,
}

impl Nginx {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let path = context.surroundings.directory.join(&self.file);
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let imported = tend_nginx::import(&text, &mut |name| included(&folder, name))
            .map_err(|source| Error::Nginx { path, source })?;
        context.write(&imported.chapter)?;
        self.tell(context, &imported)?;
        Ok(EXIT_OK)
    }

    fn tell(&self, context: &mut Context<'_>, imported: &Imported) -> Result<()> {
        let paint = context.paint();
        for note in &imported.notes {
            let (tone, word) = match note.weight {
                Weight::Lost => (Tone::Bad, text::LOST),
                Weight::Changed => (Tone::Uneasy, text::CHANGED),
                Weight::Needless if self.verbose => (Tone::Faint, text::NEEDLESS),
                Weight::Needless => continue,
            };
            let place = format!("{}:{}", self.file.display(), note.line);
            context.note(&format!("{} {place}: {}", paint.paint(tone, word), note.text))?;
        }
        for (service, servers) in &imported.services {
            context.note(&text::service(service, servers))?;
        }
        Ok(())
    }
}

/// Returns the text of an included file. A pattern, as `conf.d/*.conf`, has one star in its last part.
fn included(folder: &Path, name: &str) -> Option<String> {
    let path = folder.join(name);
    let Some((before, after)) = path.file_name()?.to_str()?.split_once('*') else {
        return std::fs::read_to_string(path).ok();
    };
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after))
        .collect();
    names.sort();
    let texts = names
        .iter()
        .map(|name| std::fs::read_to_string(path.with_file_name(name)).ok());
    // No file of such a name is no mistake of nginx either.
    texts.collect::<Option<Vec<String>>>().map(|texts| texts.join("\n"))
}

mod text {
    pub(super) const LOST: &str = "not carried over:";
    pub(super) const CHANGED: &str = "a little different:";
    pub(super) const NEEDLESS: &str = "not needed:";

    pub(super) fn service(service: &str, servers: &[String]) -> String {
        format!(
            "the stack file has to have the service `{service}`; nginx sent to {}",
            servers.join(", ")
        )
    }
}
