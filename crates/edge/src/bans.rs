//! The bans in service: read once from the file that a snapshot names. Knows nothing of connections.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tend_base::{Clock, SystemClock};
use tend_routing::BanSet;

use crate::EdgeError;

/// Who is let in nowhere, and from which file that is known.
#[derive(Debug)]
pub(crate) struct Bans {
    pub(crate) path: PathBuf,
    set: BanSet,
}

impl Bans {
    /// Reads a file.
    ///
    /// # Errors
    /// When there is none, or it is not whole.
    pub(crate) fn read(path: &Path) -> Result<Self, EdgeError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| EdgeError::Bans {
            path: path.to_owned(),
            source,
        };
        let bytes = std::fs::read(path).map_err(|error| failed(error.into()))?;
        let seed = RandomState::new().hash_one(path);
        Ok(Self {
            path: path.to_owned(),
            set: BanSet::read(&bytes, seed).map_err(|error| failed(error.into()))?,
        })
    }

    /// Says whether an address is banned now.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        !self.set.is_empty() && self.set.is_banned(address, SystemClock.now().wall)
    }
}
