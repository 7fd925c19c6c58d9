//! Whose certificates are believed on the way to the server. Knows nothing of what is asked.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use crate::VaultError;

/// Returns how connections are made: with the roots of a file alone where one is named, else with those of this machine.
///
/// A file stands in their place and not beside them: who names the authority of an own Vault wants no other to be able to stand in for it.
pub(crate) fn connector(file: Option<&Path>) -> Result<TlsConnector, VaultError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("invariant: ring has the suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots(file)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, VaultError> {
    let mut store = RootCertStore::empty();
    let Some(path) = file else {
        // Single certificates that cannot be read are common on old machines, and no reason to trust none.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if store.is_empty() {
            Err(VaultError::NoRoots)
        } else {
            Ok(store)
        };
    };
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| VaultError::Roots {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read(path).map_err(|error| unusable(error.into()))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unusable(error.into()))?;
        store.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    if store.is_empty() {
        return Err(unusable("there is no certificate in it".into()));
    }
    Ok(store)
}
