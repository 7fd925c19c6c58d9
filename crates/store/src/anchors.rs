//! The file outside the database that says, signed, how far the journal went. Knows nothing of when it is written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tend_base::{Wall, write_atomically};
use tend_core::journal::Statement;

use crate::Error;

/// So many anchors are kept; the newest vouches for all rows before it, the others show since when something is wrong.
const KEPT: usize = 16;

/// The anchor file: one [`Statement`] a line, the newest last, replaced as a whole each time.
#[derive(Debug)]
pub struct Anchors {
    path: PathBuf,
    lines: Vec<String>,
}

impl Anchors {
    /// Reads the file; one that does not exist has no lines.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(Error::Anchor {
                    path: path.to_owned(),
                    source: Arc::new(source),
                });
            }
        };
        Ok(Self {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
        })
    }

    /// Returns the lines as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Returns the anchors that can be read as such, oldest first.
    pub fn statements(&self) -> impl Iterator<Item = Statement> {
        self.lines.iter().filter_map(|line| line.parse().ok())
    }

    /// Adds an anchor, durably.
    ///
    /// # Errors
    /// When the file cannot be replaced; it then holds what it held before.
    pub(crate) fn add(&mut self, anchor: &Statement) -> Result<(), Error> {
        let mut lines = self.lines.clone();
        lines.push(anchor.to_string());
        lines.drain(..lines.len().saturating_sub(KEPT));
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        write_atomically(&self.path, text.as_bytes(), 0o644).map_err(|source| Error::Anchor {
            path: self.path.clone(),
            source: Arc::new(source),
        })?;
        self.lines = lines;
        Ok(())
    }

    /// Puts the file aside under a name with the time, so that the anchors to come do not push out the evidence in it.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub(crate) fn set_aside(&mut self, at: Wall) -> Result<(), Error> {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".damaged-{}", at.0));
        match fs::rename(&self.path, name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Anchor {
                path: self.path.clone(),
                source: Arc::new(error),
            }),
            _ => {
                self.lines.clear();
                Ok(())
            }
        }
    }
}
