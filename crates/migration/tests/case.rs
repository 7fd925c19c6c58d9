//! A case of `tests/cases`: a migration, what is found in it, and what PostgreSQL really does.
//!
//! ```text
//! --> given        tables that are there before
//! --> migration    the file
//! --> finds        its class, then a line `LINE RULE` for each finding
//! --> postgres     what is seen on a server, see `facts`; absent where nothing is to be seen
//! ```
//!
//! `UPDATE=1` writes the last two anew, for review in the diff.

use std::fs;
use std::path::{Path, PathBuf};

/// One case.
pub(crate) struct Case {
    path: PathBuf,
    pub(crate) name: String,
    sections: Vec<(String, String)>,
}

impl Case {
    /// Reads all of them, in the order of their names.
    pub(crate) fn all() -> Vec<Case> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
        let entries = fs::read_dir(&folder).expect("the folder of cases");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths.into_iter().map(Case::read).collect()
    }

    fn read(path: PathBuf) -> Case {
        let text = fs::read_to_string(&path).expect("a case");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let mut sections: Vec<(String, String)> = Vec::new();
        for line in text.split_inclusive('\n') {
            match line.strip_prefix("--> ") {
                Some(section) => sections.push((section.trim().to_owned(), String::new())),
                None => {
                    let (_, body) = sections.last_mut().expect("a case begins with a section");
                    body.push_str(line);
                }
            }
        }
        Case { path, name, sections }
    }

    /// Returns a section; empty where there is none.
    pub(crate) fn section(&self, name: &str) -> &str {
        let found = self.sections.iter().find(|(section, _)| section == name);
        found.map_or("", |(_, body)| body)
    }

    /// Returns whether there is such a section.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.sections.iter().any(|(section, _)| section == name)
    }

    /// Compares a section with what came out, or writes it.
    pub(crate) fn compare(&mut self, name: &str, actual: &str, wrong: &mut Vec<String>) {
        if self.section(name) == actual {
            return;
        }
        if std::env::var_os("UPDATE").is_none() {
            let expected = self.section(name);
            wrong.push(format!("{}\n--- expected\n{expected}--- came out\n{actual}", self.name));
            return;
        }
        for (section, body) in &mut self.sections {
            if section == name {
                actual.clone_into(body);
            }
        }
        let text: String = self
            .sections
            .iter()
            .map(|(section, body)| format!("--> {section}\n{body}"))
            .collect();
        fs::write(&self.path, text).expect("a case can be written");
    }
}
