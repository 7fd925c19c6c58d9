//! Whose certificates are believed on the way to the authority. Knows nothing of ACME.

use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::AcmeError;

/// Returns the roots of this machine, and those of a file where one is named.
///
/// The machine's own, and not a list inside the program: a program is used for years, and whom a machine trusts is its owner's to say.
pub(crate) fn roots(file: Option<&Path>) -> Result<RootCertStore, AcmeError> {
    let mut store = RootCertStore::empty();
    // Single certificates that cannot be read are common on old machines, and no reason to trust none.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(path) = file else {
        return if store.is_empty() {
            Err(AcmeError::NoRoots)
        } else {
            Ok(store)
        };
    };
    let text = std::fs::read(path).map_err(|source| AcmeError::Read {
        path: path.to_owned(),
        source,
    })?;
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| AcmeError::Roots {
        path: path.to_owned(),
        source,
    };
    let known = store.len();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unusable(error.into()))?;
        store.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    if store.len() == known {
        return Err(unusable("there is no certificate in it".into()));
    }
    Ok(store)
}
