//! Certificates for one test, and the authority that signed them. Knows no server.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::Folder;

/// An authority of its own. Its certificates are of elliptic curves, which every TLS knows.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: String,
    folder: Folder,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let roots = params.self_signed(&key).expect("a root").pem();
        Self {
            issuer: Issuer::new(params, key),
            roots,
            folder: Folder::new(),
        }
    }

    /// Returns its own certificate, as PEM.
    #[must_use]
    pub fn roots(&self) -> &str {
        &self.roots
    }

    /// Writes its own certificate to a file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.write("roots.pem", &self.roots)
    }

    /// Signs a certificate for names and addresses, and returns it with its key, both as PEM.
    ///
    /// # Panics
    /// When a name is none.
    #[must_use]
    pub fn sign(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let own = CertificateParams::new(names).expect("names");
        let signed = own.signed_by(&key, &self.issuer).expect("a certificate");
        (signed.pem(), key.serialize_pem())
    }

    /// Writes a client's certificate and its key to files.
    #[must_use]
    pub fn identity(&self) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign(&["client"]);
        (
            self.folder.write("client.pem", certificate),
            self.folder.write("client.key", key),
        )
    }

    /// Returns a server's side of TLS with a certificate for this name; it may ask clients for theirs.
    ///
    /// # Panics
    /// When the name is none.
    #[must_use]
    pub fn server(&self, name: &str, asks_for_identity: bool) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (certificate, key) = self.sign(&[name]);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("own PEM");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("own PEM");
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has the suites");
        let builder = if asks_for_identity {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(self.roots.as_bytes()).expect("own PEM"))
                .expect("own root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(
            builder
                .with_single_cert(vec![certificate], key)
                .expect("own certificate"),
        )
    }
}
