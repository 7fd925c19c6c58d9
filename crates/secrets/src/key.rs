//! The keys the store opens with: the machine's own, made at first use, and public keys that are kept elsewhere.
//!
//! Files, in the store's folder, readable by the real `age`:
//!
//! ```text
//!   key             the machine's key, mode 0600: a start needs nobody
//!   key.age         the same under a passphrase, where one is given; then `key` is not there
//!   recipients      public keys for which everything is sealed, one a line: the machine's, and those kept off this machine
//! ```

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use age::secrecy::SecretString;
use age::x25519;
use tend_base::{Secret, write_atomically};
use zeroize::Zeroizing;

use crate::SecretsError;
use crate::cipher::{self, Closed};

/// Name of the systemd credential (`LoadCredential=`, `SetCredentialEncrypted=`) that holds the passphrase.
pub const PASSPHRASE_CREDENTIAL: &str = "tend-secrets-passphrase";

/// Others than the owner.
const OTHERS: u32 = 0o077;

/// What protects the machine's key where a file of mode 0600 is not enough.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Passphrase {
    /// Takes a passphrase.
    #[must_use]
    pub fn new(text: &Secret) -> Self {
        Self(SecretString::from(text.expose().to_owned()))
    }

    /// Reads a passphrase from a file; its last line end does not count.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub fn of_file(path: &Path) -> Result<Self, SecretsError> {
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|source| read_error(path, source))?;
        match text.trim_end_matches(['\n', '\r']) {
            "" => Err(read_error(path, io::Error::other("it is empty"))),
            text => Ok(Self(SecretString::from(text.to_owned()))),
        }
    }
}

/// A key that opens the store and is kept elsewhere; its value is shown once.
#[derive(Debug)]
pub struct RecoveryKey {
    /// Opens what is sealed from now on.
    pub secret: Secret,
    /// What is kept here of it.
    pub public: String,
}

/// The keys of a store, opened.
pub(crate) struct Keys {
    folder: PathBuf,
    machine: x25519::Identity,
    recipients: Vec<x25519::Recipient>,
}

impl Keys {
    /// Opens the keys in a folder; makes the machine's key when there is none and nothing is sealed for one.
    pub(crate) fn open(folder: &Path, passphrase: Option<&Passphrase>, sealed: bool) -> Result<Self, SecretsError> {
        let (plain, protected) = (folder.join("key"), folder.join("key.age"));
        let machine = match (exists(&protected)?, exists(&plain)?, passphrase) {
            (true, plain_too, Some(passphrase)) => {
                let machine = read_protected(&protected, passphrase)?;
                if plain_too {
                    // Killed after the protected one was written and before this one was removed.
                    remove(&plain)?;
                }
                machine
            }
            (true, false, None) => return Err(SecretsError::NoPassphrase { path: protected }),
            (_, true, None) => read_plain(&plain)?,
            (false, true, Some(passphrase)) => {
                let machine = read_plain(&plain)?;
                write_protected(&protected, &machine, passphrase)?;
                remove(&plain)?;
                machine
            }
            (false, false, _) if sealed => return Err(SecretsError::KeyGone { path: plain }),
            (false, false, passphrase) => {
                let machine = x25519::Identity::generate();
                match passphrase {
                    Some(passphrase) => write_protected(&protected, &machine, passphrase)?,
                    None => write(&plain, cipher::key_text(&machine).as_bytes(), 0o600)?,
                }
                machine
            }
        };
        let mut keys = Self {
            folder: folder.to_path_buf(),
            recipients: Vec::new(),
            machine,
        };
        keys.recipients = keys.read_recipients()?;
        let own = keys.machine.to_public();
        // The machine's key is always one: the file may be missing, or the key be another since (the recovery key in its place).
        if !keys.recipients.iter().any(|other| other.to_string() == own.to_string()) {
            keys.recipients.insert(0, own);
            keys.write_recipients()?;
        }
        Ok(keys)
    }

    pub(crate) fn machine(&self) -> &x25519::Identity {
        &self.machine
    }

    pub(crate) fn recipients(&self) -> &[x25519::Recipient] {
        &self.recipients
    }

    /// Returns where the machine's key is.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// Makes another key for which everything is sealed from now on, or takes the public half of one.
    pub(crate) fn add_recovery(&mut self, public: Option<&str>) -> Result<RecoveryKey, SecretsError> {
        let (secret, recipient) = match public {
            Some(text) => {
                let recipient = x25519::Recipient::from_str(text.trim())
                    .map_err(|_| SecretsError::Recipient { text: text.to_owned() })?;
                (Secret::default(), recipient)
            }
            None => {
                let key = x25519::Identity::generate();
                (Secret::new(cipher::key_text(&key).to_string()), key.to_public())
            }
        };
        let public = recipient.to_string();
        if !self.recipients.iter().any(|other| other.to_string() == public) {
            self.recipients.push(recipient);
            self.write_recipients()?;
        }
        Ok(RecoveryKey { secret, public })
    }

    fn recipients_path(&self) -> PathBuf {
        self.folder.join("recipients")
    }

    fn read_recipients(&self) -> Result<Vec<x25519::Recipient>, SecretsError> {
        let path = self.recipients_path();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(read_error(&path, source)),
        };
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                x25519::Recipient::from_str(line).map_err(|_| SecretsError::Recipient { text: line.to_owned() })
            })
            .collect()
    }

    fn write_recipients(&self) -> Result<(), SecretsError> {
        let mut text = String::from("# Everything here is sealed for each of these keys (age -R reads this file).\n");
        for recipient in &self.recipients {
            text.push_str(&format!("{recipient}\n"));
        }
        write(&self.recipients_path(), text.as_bytes(), 0o600)
    }
}

fn exists(path: &Path) -> Result<bool, SecretsError> {
    path.try_exists().map_err(|source| read_error(path, source))
}

/// Refuses a key that others could have read.
fn check_private(path: &Path) -> Result<(), SecretsError> {
    let facts = std::fs::metadata(path).map_err(|source| read_error(path, source))?;
    let own = rustix::process::geteuid().as_raw();
    if facts.uid() != own {
        return Err(SecretsError::KeyOwner {
            path: path.to_path_buf(),
            owner: facts.uid(),
            own,
        });
    }
    match facts.mode() & 0o7777 {
        mode if mode & OTHERS != 0 => Err(SecretsError::KeyOpen {
            path: path.to_path_buf(),
            mode,
        }),
        _ => Ok(()),
    }
}

fn read_plain(path: &Path) -> Result<x25519::Identity, SecretsError> {
    check_private(path)?;
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    parse(path, &text.map_err(|source| read_error(path, source))?)
}

fn read_protected(path: &Path, passphrase: &Passphrase) -> Result<x25519::Identity, SecretsError> {
    check_private(path)?;
    let sealed = std::fs::read(path).map_err(|source| read_error(path, source))?;
    let text = cipher::open_by_passphrase(&sealed, &passphrase.0).map_err(|closed| match closed {
        Closed::WrongKey => SecretsError::Passphrase {
            path: path.to_path_buf(),
        },
        Closed::Damaged(source) => SecretsError::Damaged {
            path: path.to_path_buf(),
            source,
        },
    })?;
    parse(path, &String::from_utf8_lossy(&text))
}

fn write_protected(path: &Path, machine: &x25519::Identity, passphrase: &Passphrase) -> Result<(), SecretsError> {
    let text = cipher::key_text(machine);
    let sealed =
        cipher::seal_by_passphrase(text.as_bytes(), &passphrase.0).map_err(|source| SecretsError::Encrypt {
            path: path.to_path_buf(),
            source,
        })?;
    write(path, &sealed, 0o600)
}

/// Reads a key file of age: comments, and one line with the key.
fn parse(path: &Path, text: &str) -> Result<x25519::Identity, SecretsError> {
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    line.and_then(|line| x25519::Identity::from_str(line).ok())
        .ok_or_else(|| SecretsError::KeyFormat {
            path: path.to_path_buf(),
        })
}

fn remove(path: &Path) -> Result<(), SecretsError> {
    std::fs::remove_file(path).map_err(|source| SecretsError::Write {
        path: path.to_path_buf(),
        source,
    })
}

pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), SecretsError> {
    write_atomically(path, content, mode).map_err(|source| SecretsError::Write {
        path: path.to_path_buf(),
        source,
    })
}

pub(crate) fn read_error(path: &Path, source: io::Error) -> SecretsError {
    SecretsError::Read {
        path: path.to_path_buf(),
        source,
    }
}
