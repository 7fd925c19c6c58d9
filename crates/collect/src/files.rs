//! The thin reader of the kernel's files. Knows no file's meaning.

use std::fs;
use std::path::{Path, PathBuf};

use crate::CollectError;
use crate::families::Families;

/// Takes what a file says into samples, or returns `None` when it does not say what it should.
pub(crate) type Parser = fn(&str, &mut Families) -> Option<()>;

/// The folder below which `/proc`, `/sys` and the rest are: `/`, but for tests.
#[derive(Clone, Debug)]
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self(root)
    }

    /// Returns where a file of the host is; `path` has no `/` at its beginning.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// Reads a file. What is not UTF-8 in it, such as the name of a mount, is replaced.
    pub(crate) fn read(&self, path: &str) -> Result<String, CollectError> {
        let path = self.path(path);
        match fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(source) => Err(CollectError::Read { path, source }),
        }
    }

    /// Reads a file with one word or line in it; `None` when it is not there or cannot be read now, as many attributes of devices cannot.
    pub(crate) fn word(&self, path: &str) -> Option<String> {
        self.read(path).ok().map(|text| text.trim().to_owned())
    }

    /// Reads a file into samples.
    pub(crate) fn parse(&self, path: &str, out: &mut Families, parser: Parser) -> Result<(), CollectError> {
        parser(&self.read(path)?, out).ok_or_else(|| self.not_understood(path))
    }

    pub(crate) fn not_understood(&self, path: &str) -> CollectError {
        CollectError::Parse { path: self.path(path) }
    }

    /// Returns the names in a folder, in their order; empty when there is no such folder.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }
}

/// Returns a decimal number.
pub(crate) fn number(text: &str) -> Option<f64> {
    tend_exposition::parse_value(text.as_bytes())
}
