//! Finding the program that a command stands for, as a shim finds it. Knows nothing of what it does.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tend_release::Executable;

/// Returns where the program of a command is: one with a `/` is relative to `folder`, one without is searched in `path`.
pub(super) fn find(program: &str, folder: &Path, path: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(plain(folder.join(program)));
    }
    let folders = path.split(':').map(|part| folder.join(part));
    folders
        .map(|folder| plain(folder.join(program)))
        .find(|path| path.is_file())
}

/// Returns a path without the `.` that say nothing.
fn plain(path: PathBuf) -> PathBuf {
    path.components().collect()
}

/// Looks whether the program of a command can run here.
pub(super) fn check(program: &str, folder: &Path, path: &str) -> Result<Executable, String> {
    let found =
        find(program, folder, path).ok_or_else(|| format!("the program `{program}` is not in the PATH ({path})"))?;
    tend_release::executable(&found, Some(OsStr::new(path))).map_err(|error| super::sentence(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_the_shim_finds_it() {
        let folder = Path::new("/srv/app");
        assert_eq!(find("./bin/api", folder, "/bin"), Some("/srv/app/bin/api".into()));
        assert_eq!(find("/opt/api", folder, "/bin"), Some("/opt/api".into()));
        assert_eq!(find("sh", folder, "/nowhere:/bin"), Some("/bin/sh".into()));
        assert_eq!(find("no-such-program", folder, "/bin"), None);
    }

    #[test]
    fn a_program_that_is_missing_is_said_with_where_it_was_looked_for() {
        let error = check("no-such-program", Path::new("/srv"), "/bin:/usr/bin").unwrap_err();
        assert!(
            error.contains("no-such-program") && error.contains("/bin:/usr/bin"),
            "{error}"
        );
        let error = check("bin/api", Path::new("/nowhere"), "/bin").unwrap_err();
        assert!(error.contains("/nowhere/bin/api"), "{error}");
        assert!(check("sh", Path::new("/"), "/bin").is_ok());
    }
}
