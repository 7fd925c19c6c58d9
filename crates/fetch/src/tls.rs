//! Whose certificates are believed, and with which one we show who we are. Knows nothing of what is asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tend_base::read_owned;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Anything;
use crate::{FetchError, Stream};

/// How long certificates are used before they are read again. A package of the system that brings new ones is rare; files that are named are
/// looked at for each connection.
const ROOTS_FOR: Duration = Duration::from_secs(60 * 60);

/// Bytes of a file of certificates. All roots of a machine have a quarter of a megabyte.
const PEM_BYTES_MAX: u64 = 8 << 20;

/// How TLS is done. The default is what one wants: the roots of this machine, and the name of the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    /// Certificates that are believed, as PEM, in the place of those of this machine. Not beside them: who names the authority of an own
    /// server wants no other to be able to stand in for it.
    pub ca_file: Option<PathBuf>,
    /// The name that the certificate has to have, where it is not the host of the address.
    pub server_name: Option<String>,
    /// Believes anybody. What is sent can then be read and changed by whoever stands in between.
    pub insecure_skip_verify: bool,
    /// With what we show who we are.
    pub identity: Option<Identity>,
    /// To whom certificate and key have to belong: a program of root that does as some user's file says reads for him only what is his.
    pub owner: Option<u32>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The certificate, and those between it and its root, as PEM.
    pub cert_file: PathBuf,
    /// Its key, as PEM.
    pub key_file: PathBuf,
}

/// Makes connections encrypted. Files are read when they are needed, and again when they changed.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    /// What ALPN offers.
    protocols: Vec<Vec<u8>>,
    ready: Mutex<Option<Ready>>,
}

/// All that is needed for encrypted connections, read and understood.
pub struct Prepared {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
}

#[derive(Clone)]
struct Ready {
    config: Arc<ClientConfig>,
    stamps: Vec<Option<(SystemTime, u64)>>,
    until: Instant,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ready")
    }
}

impl Tls {
    /// Takes settings, and what ALPN is to offer (nothing: ALPN is not used). No file is read yet.
    #[must_use]
    pub fn new(settings: TlsSettings, protocols: &[&[u8]]) -> Self {
        Self {
            settings,
            protocols: protocols.iter().map(|name| name.to_vec()).collect(),
            ready: Mutex::new(None),
        }
    }

    /// Reads what has to be read. Before connecting: nobody is connected to whose certificate could not be looked at.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub async fn prepare(&self) -> Result<Prepared, FetchError> {
        Ok(Prepared {
            config: self.config().await?,
            server_name: self.settings.server_name.clone(),
        })
    }

    /// Files are read on a thread that nobody waits for: those of a machine take milliseconds.
    async fn config(&self) -> Result<Arc<ClientConfig>, FetchError> {
        let (settings, protocols, now) = (self.settings.clone(), self.protocols.clone(), Instant::now());
        let known = self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = tokio::task::spawn_blocking(move || {
            let stamps = settings.stamps();
            match known {
                Some(known) if known.stamps == stamps && now < known.until => Ok(known),
                _ => {
                    let mut config = settings.config()?;
                    config.alpn_protocols = protocols;
                    Ok(Ready {
                        config: Arc::new(config),
                        stamps,
                        until: now + ROOTS_FOR,
                    })
                }
            }
        });
        let ready = read.await.unwrap_or_else(|error| {
            Err(FetchError::Tls {
                at: "this machine".to_owned(),
                source: error.into(),
            })
        })?;
        let config = Arc::clone(&ready.config);
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready);
        Ok(config)
    }
}

impl Prepared {
    /// Encrypts a connection to a host; `within` is how long that may take.
    ///
    /// # Errors
    /// When the other side does not speak TLS, or its certificate is not believed.
    pub async fn wrap<S: Stream>(
        self,
        stream: S,
        host: &str,
        port: u16,
        within: Duration,
    ) -> Result<TlsStream<S>, FetchError> {
        let at = || format!("{host}:{port}");
        let failed = |source: Anything| FetchError::Tls { at: at(), source };
        let name = self.server_name.unwrap_or_else(|| host.to_owned());
        let name = ServerName::try_from(name).map_err(|error| failed(error.into()))?;
        match timeout(within, TlsConnector::from(self.config).connect(name, stream)).await {
            Ok(connected) => connected.map_err(|error| failed(error.into())),
            Err(_) => Err(FetchError::Unconnected { at: at(), within }),
        }
    }
}

impl TlsSettings {
    fn files(&self) -> impl Iterator<Item = &Path> {
        let identity = self.identity.iter();
        let identity = identity.flat_map(|identity| [identity.cert_file.as_path(), identity.key_file.as_path()]);
        self.ca_file.as_deref().into_iter().chain(identity)
    }

    /// What the files are told by, whether they changed.
    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        self.files()
            .map(|path| {
                let metadata = std::fs::metadata(path).ok()?;
                Some((metadata.modified().ok()?, metadata.len()))
            })
            .collect()
    }

    /// Reads all files. Blocks.
    fn config(&self) -> Result<ClientConfig, FetchError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("invariant: ring has the suites of TLS 1.2 and 1.3");
        let builder = if self.insecure_skip_verify {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let Some(identity) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates("the client certificate", &identity.cert_file, self.owner)?;
        let unusable = |source: Anything| FetchError::File {
            what: "the key of the client certificate",
            path: identity.key_file.clone(),
            source,
        };
        let text = read_owned(&identity.key_file, self.owner, PEM_BYTES_MAX).map_err(|error| unusable(error.into()))?;
        let text = zeroize::Zeroizing::new(text);
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| unusable(error.into()))?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| unusable(error.into()))
    }

    fn roots(&self) -> Result<RootCertStore, FetchError> {
        let mut store = RootCertStore::empty();
        let Some(path) = &self.ca_file else {
            // Single certificates that cannot be read are common on old machines, and no reason to trust none.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return if store.is_empty() {
                Err(FetchError::NoRoots)
            } else {
                Ok(store)
            };
        };
        let what = "the root certificates";
        // Of these nothing but that they are certificates becomes known, so they may be anybody's: the system's, most often.
        for certificate in certificates(what, path, None)? {
            store.add(certificate).map_err(|error| FetchError::File {
                what,
                path: path.clone(),
                source: error.into(),
            })?;
        }
        Ok(store)
    }
}

fn certificates(
    what: &'static str,
    path: &Path,
    owner: Option<u32>,
) -> Result<Vec<CertificateDer<'static>>, FetchError> {
    let unusable = |source: Anything| FetchError::File {
        what,
        path: path.to_owned(),
        source,
    };
    let text = read_owned(path, owner, PEM_BYTES_MAX).map_err(|error| unusable(error.into()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| unusable(error.into()))?;
    if found.is_empty() {
        return Err(unusable("there is no certificate in it".into()));
    }
    Ok(found)
}

/// Believes any certificate; only that the other side has its key is still looked at.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
