//! Where a token or an id is: a value that is known, or a file that is read anew at each log-in. Knows nothing of what it opens.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use tend_base::Secret;
use zeroize::Zeroizing;

use crate::VaultError;

/// Tokens have some hundred bytes; more than this is some other file.
const BYTES_MAX: u64 = 16 << 10;

/// A token, the id of a role, or its secret id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// This one.
    Value(Secret),
    /// What a file holds, without white space around it. It is read at each log-in, so that an agent may replace it.
    File {
        /// Which.
        path: PathBuf,
        /// Whose it has to be; anybody's when none. A program of root reads nothing here that this user does not own.
        owner: Option<u32>,
    },
}

impl Credential {
    /// Returns the value. Blocks on the disk.
    ///
    /// # Errors
    /// When the file cannot be read, is another user's, is no ordinary file, or holds no credential.
    pub fn read(&self) -> Result<Secret, VaultError> {
        let (path, owner) = match self {
            Self::Value(value) => return Ok(value.clone()),
            Self::File { path, owner } => (path, *owner),
        };
        let failed = |source| VaultError::Credential {
            path: path.clone(),
            source,
        };
        // A FIFO in its place must not make this wait.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options()
            .read(true)
            .custom_flags(nonblocking)
            .open(path)
            .map_err(failed)?;
        // Of what was opened, and not of what the name leads to by now.
        let metadata = file.metadata().map_err(failed)?;
        let unusable = |why: String| VaultError::CredentialUnusable {
            path: path.clone(),
            why,
        };
        if !metadata.is_file() {
            return Err(unusable("is no file".to_owned()));
        }
        if let Some(owner) = owner.filter(|owner| *owner != metadata.uid()) {
            return Err(unusable(format!(
                "belongs to user {}, and the stack to user {owner}",
                metadata.uid()
            )));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize + 1));
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(unusable("is longer than any credential".to_owned()));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| unusable("holds something else than a text".to_owned()))?;
        let text = text.trim();
        // It becomes the field of a request.
        match text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.is_empty() {
            true => Ok(Secret::new(text.to_owned())),
            false => Err(unusable("does not hold one word".to_owned())),
        }
    }
}
