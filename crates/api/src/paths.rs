//! Where the daemon keeps its state and where it is found. Creates nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Longest path of a unix socket: `sun_path` has 108 bytes, one of them for the end.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The two folders of one daemon. Two daemons with different folders do not know each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What must outlive a restart of the machine.
    pub state: PathBuf,
    /// Sockets and FIFOs, gone with the machine.
    pub run: PathBuf,
}

impl Paths {
    /// Returns the folders of this user: root's are the machine's, another user's are in the XDG folders.
    ///
    /// # Errors
    /// When neither `HOME` nor an XDG variable says where, or the socket's path would be too long for the kernel.
    pub fn of_this_user() -> Result<Self> {
        Self::resolve(rustix::process::geteuid().is_root(), |name| {
            std::env::var_os(name).filter(|value| !value.is_empty())
        })
    }

    /// Returns the folders, given whether the user is root and a way to look up environment variables.
    ///
    /// `TEND_STATE` and `TEND_RUN` come first; with only `TEND_STATE` set the other folder is `run` in it, so that a test or a second
    /// daemon needs one variable.
    ///
    /// # Errors
    /// As [`Paths::of_this_user`].
    pub fn resolve(is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        // The XDG specification has relative paths ignored.
        let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let chosen = |name: &str| -> Result<Option<PathBuf>> {
            match variable(name).map(PathBuf::from) {
                Some(path) if path.is_relative() => Err(Error::RelativeFolder {
                    variable: name.to_owned(),
                    path,
                }),
                other => Ok(other),
            }
        };
        let state_chosen = chosen("TEND_STATE")?;
        let run_chosen = chosen("TEND_RUN")?;
        let state = match &state_chosen {
            Some(path) => path.clone(),
            None if is_root => PathBuf::from("/var/lib/tend"),
            None => folder("XDG_STATE_HOME")
                .or_else(|| folder("HOME").map(|home| home.join(".local/state")))
                .ok_or(Error::NoHome)?
                .join("tend"),
        };
        let run = match run_chosen {
            Some(path) => path,
            None if state_chosen.is_some() => state.join("run"),
            None if is_root => PathBuf::from("/run/tend"),
            None => folder("XDG_RUNTIME_DIR").map_or_else(|| state.join("run"), |runtime| runtime.join("tend")),
        };
        let paths = Self { state, run };
        let socket = paths.socket();
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(Error::SocketPathTooLong { path: socket });
        }
        Ok(paths)
    }

    /// Returns the socket the daemon answers at.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run.join("tend.sock")
    }

    /// Returns the folder for state.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(is_root: bool, variables: &[(&str, &str)]) -> Result<(String, String)> {
        let paths = Paths::resolve(is_root, |name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })?;
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        Ok((text(paths.state.clone()), text(paths.run)))
    }

    #[test]
    fn folders_follow_the_user_and_the_environment() {
        let both = |state: &str, run: &str| (state.to_owned(), run.to_owned());
        for (is_root, variables, expected) in [
            (true, vec![], both("/var/lib/tend", "/run/tend")),
            (
                false,
                vec![("HOME", "/home/a")],
                both("/home/a/.local/state/tend", "/home/a/.local/state/tend/run"),
            ),
            (
                false,
                vec![
                    ("HOME", "/home/a"),
                    ("XDG_STATE_HOME", "/s"),
                    ("XDG_RUNTIME_DIR", "/run/user/7"),
                ],
                both("/s/tend", "/run/user/7/tend"),
            ),
            (
                false,
                vec![("HOME", "/home/a"), ("XDG_STATE_HOME", "not/absolute")],
                both("/home/a/.local/state/tend", "/home/a/.local/state/tend/run"),
            ),
            (true, vec![("TEND_STATE", "/t")], both("/t", "/t/run")),
            (true, vec![("TEND_RUN", "/r")], both("/var/lib/tend", "/r")),
            (false, vec![("TEND_STATE", "/t"), ("TEND_RUN", "/r")], both("/t", "/r")),
        ] {
            assert_eq!(resolve(is_root, &variables).unwrap(), expected, "{variables:?}");
        }
    }

    #[test]
    fn folders_that_cannot_work_are_refused() {
        assert!(matches!(resolve(false, &[]), Err(Error::NoHome)));
        assert!(matches!(
            resolve(true, &[("TEND_STATE", "here")]),
            Err(Error::RelativeFolder { .. })
        ));
        let long = format!("/{}", "a".repeat(100));
        assert!(matches!(
            resolve(true, &[("TEND_RUN", &long)]),
            Err(Error::SocketPathTooLong { .. })
        ));
    }
}
