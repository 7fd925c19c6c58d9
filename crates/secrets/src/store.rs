//! The files of the store: one for each stack, sealed, replaced as a whole.
//!
//! One file a stack and not one in all: a write costs what the stack has, a file that is damaged takes no other stack with it, and a
//! stack's secrets can be carried to another machine as one file.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::cipher::{self, Closed};
use crate::key::{Keys, read_error, write};
use crate::state_key::{self, StateKey};
use crate::{Book, Passphrase, RecoveryKey, SecretsError};

/// What a file of the store ends with.
const ENDING: &str = ".age";

/// The sealed secrets of all stacks.
pub struct Store {
    folder: PathBuf,
    keys: Keys,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in a folder, which only this user may enter from then on. The first time, the machine's key is made: in a file
    /// of mode 0600, or under the passphrase where there is one.
    ///
    /// # Errors
    /// When the folder or a key cannot be used.
    pub fn open(folder: &Path, passphrase: Option<&Passphrase>) -> Result<Self, SecretsError> {
        let cannot = |source| SecretsError::Write {
            path: folder.to_path_buf(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(cannot)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(cannot)?;
        let sealed = !stacks_in(folder)?.is_empty() || folder.join(state_key::FILE).exists();
        Ok(Self {
            keys: Keys::open(folder, passphrase, sealed)?,
            folder: folder.to_path_buf(),
        })
    }

    /// Returns the secrets of a stack; none when it never had any.
    ///
    /// # Errors
    /// When they cannot be read, are sealed for another key, or were changed by somebody.
    pub fn read(&self, stack: &str) -> Result<Option<Book>, SecretsError> {
        let path = self.path_of(stack);
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(read_error(&path, source)),
        };
        let text = cipher::open(&sealed, self.keys.machine()).map_err(|closed| match closed {
            Closed::WrongKey => SecretsError::WrongKey {
                path: path.clone(),
                key: self.keys.path(),
            },
            Closed::Damaged(source) => SecretsError::Damaged {
                path: path.clone(),
                source,
            },
        })?;
        let damaged = |error: serde_json::Error| SecretsError::Damaged {
            path: path.clone(),
            // Its own words may quote what stands there.
            source: format!("line {} column {} is not as it should be", error.line(), error.column()).into(),
        };
        let Head { format } = serde_json::from_slice(&text).map_err(damaged)?;
        if format > Book::FORMAT {
            return Err(SecretsError::Newer { path, format });
        }
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Replaces the secrets of a stack; durable when this returns.
    ///
    /// # Errors
    /// When they cannot be written; what was there before is there still.
    pub fn write(&self, stack: &str, book: &Book) -> Result<(), SecretsError> {
        let path = self.path_of(stack);
        let not_sealed = |source| SecretsError::Encrypt {
            path: path.clone(),
            source,
        };
        let text = text_of(book).map_err(|error| not_sealed(error.into()))?;
        let sealed = cipher::seal(&text, self.keys.recipients()).map_err(not_sealed)?;
        write(&path, &sealed, 0o600)
    }

    /// Returns the stacks that have secrets.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn stacks(&self) -> Result<Vec<String>, SecretsError> {
        stacks_in(&self.folder)
    }

    /// Returns the public keys that open the store beside the machine's own.
    #[must_use]
    pub fn recovery_keys(&self) -> Vec<String> {
        let own = self.keys.machine().to_public().to_string();
        let all = self.keys.recipients().iter().map(ToString::to_string);
        all.filter(|key| *key != own).collect()
    }

    /// Makes a key to be kept off this machine, or takes the public half of one that is, and seals everything for it too.
    ///
    /// # Errors
    /// When the key is none, or a file cannot be read or written. It is among the keys then if it could be written down; asking again
    /// with the same public half goes on.
    pub fn add_recovery_key(&mut self, public: Option<&str>) -> Result<RecoveryKey, SecretsError> {
        let key = self.keys.add_recovery(public)?;
        for stack in self.stacks()? {
            if let Some(book) = self.read(&stack)? {
                self.write(&stack, &book)?;
            }
        }
        StateKey::reseal(&self.folder, &self.keys)?;
        Ok(key)
    }

    /// Returns the key that the daemon's state is sealed with; it is made when there is none.
    ///
    /// # Errors
    /// When its file cannot be read, opened or made.
    pub fn state_key(&self) -> Result<StateKey, SecretsError> {
        StateKey::open(&self.folder, &self.keys)
    }

    fn path_of(&self, stack: &str) -> PathBuf {
        self.folder.join("stacks").join(format!("{stack}{ENDING}"))
    }
}

/// What is read before the rest, whose form it tells.
#[derive(serde::Deserialize)]
struct Head {
    format: u32,
}

fn stacks_in(folder: &Path) -> Result<Vec<String>, SecretsError> {
    let folder = folder.join("stacks");
    let failed = |source| read_error(&folder, source);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let mut stacks = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        // A name with a dot in front is a write that was killed: sealed, and overwritten by the next.
        let stack = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        stacks.extend(stack.filter(|stack| !stack.starts_with('.')).map(str::to_owned));
    }
    stacks.sort();
    Ok(stacks)
}

/// Returns a book as the text that is sealed, in memory that never moves and is overwritten.
fn text_of(book: &Book) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, book)?;
    let mut text = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *text, book)?;
    Ok(text)
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
