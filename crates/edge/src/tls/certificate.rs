//! A certificate with its key, read from files, and what became of those that could not be read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tend_base::Wall;
use tend_certificate::Facts;
use tend_routing::Certificate;

use crate::EdgeError;

/// A certificate that can be shown.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) names: Vec<String>,
    pub(crate) chain: PathBuf,
    key_file: PathBuf,
    pub(crate) expires: Wall,
    pub(super) key: Arc<CertifiedKey>,
}

impl Loaded {
    /// Reads what the snapshot names.
    pub(super) fn read(described: &Certificate, provider: &CryptoProvider) -> Result<Self, EdgeError> {
        let chain = certificates(&described.chain)?;
        let unfit = |why: String| EdgeError::Certificate {
            path: described.chain.clone(),
            why,
        };
        let facts = chain.first().and_then(|first| Facts::read(first));
        let facts = facts.ok_or_else(|| unfit("its first certificate is not one of X.509".to_owned()))?;
        let key = read(&described.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| EdgeError::Certificate {
            path: described.key.clone(),
            // Only what was expected and not found: nothing of a key is in these texts.
            why: format!("it has no private key: {error}"),
        })?;
        let no_match = |error: rustls::Error| {
            unfit(format!(
                "it does not go with the key `{}`: {error}",
                described.key.display()
            ))
        };
        let signing = provider.key_provider.load_private_key(key).map_err(no_match)?;
        let key = CertifiedKey::new(chain, signing);
        match key.keys_match() {
            // A certificate for ACME's challenge has a critical extension that nobody else knows (RFC 8737): it cannot be compared.
            Ok(()) | Err(rustls::Error::InvalidCertificate(_)) => {}
            Err(error) => return Err(no_match(error)),
        }
        Ok(Self {
            names: described.names.clone(),
            chain: described.chain.clone(),
            key_file: described.key.clone(),
            expires: Wall(facts.not_after_ms),
            key: Arc::new(key),
        })
    }

    /// Says whether it is this one: its files never change.
    pub(super) fn is(&self, described: &Certificate) -> bool {
        self.chain == described.chain && self.key_file == described.key && self.names == described.names
    }

    /// Says whether it was for one of the names.
    pub(super) fn is_for_any(&self, names: &[String]) -> bool {
        self.names.iter().any(|name| names.contains(name))
    }
}

/// Reads certificates in PEM; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EdgeError> {
    let bytes = read(path)?;
    let unfit = |why: String| EdgeError::Certificate {
        path: path.to_owned(),
        why,
    };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|error| unfit(format!("it is not PEM: {error}")))?;
    if all.is_empty() {
        return Err(unfit("it has no certificate in PEM".to_owned()));
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<u8>, EdgeError> {
    std::fs::read(path).map_err(|source| EdgeError::ReadCertificate {
        path: path.to_owned(),
        source,
    })
}
