//! Whom certificates are asked of. Knows its address and how it is reached, nothing of what is asked.

use std::fmt;
use std::path::Path;

use hyper::Uri;
use instant_acme::{HttpClient, LetsEncrypt};

use crate::connection::{Connection, place};
use crate::{AcmeError, roots};

/// The directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = LetsEncrypt::Production.url();

/// The directory of Let's Encrypt for trying things out: the same ways, far wider limits, certificates that nobody trusts.
pub const LETS_ENCRYPT_STAGING: &str = LetsEncrypt::Staging.url();

/// Returns the directory at which what would be asked of an authority can be tried out; none where none is known.
#[must_use]
pub fn staging_of(directory: &str) -> Option<&'static str> {
    (directory == LETS_ENCRYPT).then_some(LETS_ENCRYPT_STAGING)
}

/// An authority.
#[derive(Clone)]
pub struct Authority {
    directory: String,
    pub(crate) connection: Connection,
}

impl Authority {
    /// Names the authority by the address of its directory; connections are believed that a root of this machine vouches for, or
    /// one in the file `root`. Nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, or the roots cannot be read.
    pub fn new(directory: &str, root: Option<&Path>) -> Result<Self, AcmeError> {
        let wrong = |_| AcmeError::Address {
            url: directory.to_owned(),
        };
        place(&Uri::try_from(directory).map_err(wrong)?)?;
        Ok(Self {
            directory: directory.to_owned(),
            connection: Connection::new(roots::roots(root)?),
        })
    }

    /// Returns the way to it, for what is rarely asked of an authority: to close an account, to revoke a certificate.
    #[must_use]
    pub fn http_client(&self) -> Box<dyn HttpClient> {
        Box::new(self.connection.clone())
    }

    /// Returns the address of its directory.
    #[must_use]
    pub fn directory(&self) -> &str {
        &self.directory
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.directory)
    }
}
