//! Files that hold what is written on the wire. `UPDATE=1` rewrites them; a difference in review is a change of the protocol.

use std::path::PathBuf;

/// Returns the path of a sample of this version of the protocol.
pub(crate) fn path(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/v1");
    PathBuf::from(folder).join(name)
}

/// Compares with the sample, or writes it when `UPDATE` is set.
pub(crate) fn assert_is(name: &str, text: &str) {
    let path = path(name);
    if std::env::var_os("UPDATE").is_some() && std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Whole at once: another test of this run may be reading it for the reference page.
        tend_base::write_atomically(&path, text.as_bytes(), 0o644).unwrap();
    }
    let sample =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; run with UPDATE=1", path.display()));
    assert_eq!(text, sample, "{}: run with UPDATE=1 if this is meant", path.display());
}

/// Returns the names of all samples in a folder of this version.
pub(crate) fn names(folder: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
