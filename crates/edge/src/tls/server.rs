//! TLS towards servers that tend does not run: who is trusted, the handshake, and why one came to nothing.
//!
//! Knows no HTTP but the names of its versions. Invariant: a certificate is taken unseen only where the stack file says so.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tend_base::with_causes;
use tend_core::model::{Protocol, ServerTls};
use tend_routing::Failure;
use tokio::net::TcpStream;

use super::certificate::certificates;
use super::live::{HTTP1, HTTP2, sha256};
use super::stream::{Socket, TlsStream, write_out};
use crate::EdgeError;

/// Sessions kept of all servers under one set of rules, for all threads: asked only by handshakes.
const SESSIONS_MAX: usize = 256;

/// How TLS is spoken under one set of rules, made ready.
#[derive(Debug)]
pub(crate) struct ServerSide {
    rules: ServerTls,
    protocol: Protocol,
    /// Of the file of authorities: it may be replaced under its name.
    digest: [u8; 32],
    /// Or why nobody can be verified.
    config: Result<Arc<ClientConfig>, String>,
}

/// How TLS is spoken with one server.
#[derive(Debug)]
pub(crate) struct Toward {
    pub(crate) side: Arc<ServerSide>,
    name: ServerName<'static>,
}

/// Why no TLS came about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Untold {
    pub(crate) why: Failure,
    /// For a person.
    pub(crate) text: String,
}

impl ServerSide {
    /// Makes rules ready; what `before` has is used again where it is the same. Reads files, those of the system only once: they are
    /// more than a hundred, and snapshots come often.
    pub(super) fn after(rules: &ServerTls, protocol: Protocol, before: &[Arc<Self>]) -> Arc<Self> {
        let known = before
            .iter()
            .find(|known| known.rules == *rules && known.protocol == protocol && known.config.is_ok());
        if let (Some(known), None) = (known, &rules.roots) {
            return known.clone();
        }
        let trusted = trusted(rules);
        let digest = match &trusted {
            Ok((_, digest)) => *digest,
            Err(_) => [0; 32],
        };
        // What can no longer be read is trusted as it was.
        if let Some(known) = known.filter(|known| known.digest == digest || trusted.is_err()) {
            return known.clone();
        }
        Arc::new(Self {
            config: trusted.map(|(roots, _)| Arc::new(config(rules, protocol, roots))),
            rules: rules.clone(),
            protocol,
            digest,
        })
    }

    /// Returns why nobody can be verified, where that is so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.config.as_ref().err().map(String::as_str)
    }
}

/// Returns whom the rules trust, and the digest of the file that says so; nobody where nothing is looked at.
fn trusted(rules: &ServerTls) -> Result<(RootCertStore, [u8; 32]), String> {
    let mut store = RootCertStore::empty();
    if !rules.verify {
        return Ok((store, [0; 32]));
    }
    let Some(path) = &rules.roots else {
        // Single certificates that cannot be read are common on old machines.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match store.is_empty() {
            true => Err(
                "this machine trusts no authorities: install the package ca-certificates, or name a file in `tls.roots`"
                    .to_owned(),
            ),
            false => Ok((store, [0; 32])),
        };
    };
    authorities(path).map_err(|error| with_causes(&error))
}

/// Reads a file of authorities, and the digest of what it says.
fn authorities(path: &Path) -> Result<(RootCertStore, [u8; 32]), EdgeError> {
    let mut store = RootCertStore::empty();
    let roots = certificates(path)?;
    let digest = sha256(&roots.iter().flat_map(|root| root.iter().copied()).collect::<Vec<u8>>());
    for root in roots {
        store.add(root).map_err(|error| EdgeError::Certificate {
            path: path.to_owned(),
            why: format!("it has a certificate that is no authority's: {error}"),
        })?;
    }
    Ok((store, digest))
}

/// Says whether the edge could verify certificates by the authorities in a file. Blocks on the disk.
///
/// # Errors
/// When the file cannot be read, or has something else than certificates of authorities in PEM.
pub fn check_authorities(path: &Path) -> Result<(), EdgeError> {
    authorities(path).map(|_| ())
}

fn config(rules: &ServerTls, protocol: Protocol, roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(provider::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("invariant: ring has ciphers for both versions");
    let mut config = if rules.verify {
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        let anybody = Arc::new(Anybody(provider));
        builder
            .dangerous()
            .with_custom_certificate_verifier(anybody)
            .with_no_client_auth()
    };
    config.alpn_protocols = vec![spoken(protocol).to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    config
}

fn spoken(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Http1 => HTTP1,
        Protocol::Http2 => HTTP2,
    }
}

impl Toward {
    /// Returns how TLS is spoken with the server at an address.
    pub(crate) fn new(side: &Arc<ServerSide>, address: IpAddr) -> Self {
        let named = side.rules.name.clone().and_then(|name| ServerName::try_from(name).ok());
        Self {
            name: named.unwrap_or_else(|| ServerName::from(address)),
            side: side.clone(),
        }
    }

    /// Returns the name of the server, where it has one.
    pub(crate) fn host(&self) -> Option<&str> {
        match &self.name {
            ServerName::DnsName(name) => Some(name.as_ref()),
            _ => None,
        }
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// Why no TLS came about.
    pub(crate) async fn shake(&self, mut socket: TcpStream) -> Result<TlsStream, Untold> {
        let config = self.side.config.clone().map_err(|text| Untold {
            why: Failure::Certificate,
            text,
        })?;
        let mut session = ClientConnection::new(config, self.name.clone()).map_err(|error| self.untold(&error))?;
        poll_fn(|cx| {
            loop {
                // Our last flight too: the server waits for it.
                match write_out(&mut session, &mut socket, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(closed(&error))),
                    Poll::Pending => return Poll::Pending,
                }
                if !session.is_handshaking() {
                    return Poll::Ready(Ok(()));
                }
                match session.read_tls(&mut Socket(&mut socket, cx)) {
                    Ok(read) if read > 0 => {
                        if let Err(error) = session.process_new_packets() {
                            // Whether the alert still reaches it is its own affair.
                            let _ = write_out(&mut session, &mut socket, cx);
                            return Poll::Ready(Err(self.untold(&error)));
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                    Ok(_) => return Poll::Ready(Err(closed(&io::ErrorKind::UnexpectedEof.into()))),
                    Err(error) => return Poll::Ready(Err(closed(&error))),
                }
            }
        })
        .await?;
        let agreed = session.alpn_protocol();
        // A server that chooses nothing speaks HTTP/1.1, which is as old as that.
        if self.side.protocol == Protocol::Http2 && agreed != Some(HTTP2) {
            return Err(self.speaks_another());
        }
        Ok(TlsStream::new(socket, session.into()))
    }

    fn speaks_another(&self) -> Untold {
        Untold {
            why: Failure::Tls,
            text: match self.side.protocol {
                Protocol::Http1 => "it does not agree to speak HTTP/1.1: try `protocol: http2`".to_owned(),
                Protocol::Http2 => "it does not agree to speak HTTP/2: leave `protocol: http2` out".to_owned(),
            },
        }
    }

    fn untold(&self, error: &rustls::Error) -> Untold {
        use CertificateError as Bad;
        use rustls::Error;
        let name = self.name.to_str();
        let (why, text) = match error {
            Error::InvalidCertificate(bad) => (
                Failure::Certificate,
                match bad {
                    Bad::UnknownIssuer => {
                        "its certificate is from an authority that is not trusted: name the authority's file in `tls.roots`"
                            .to_owned()
                    }
                    Bad::NotValidForNameContext { presented, .. } => {
                        format!("its certificate is not for {name}, but for {}", presented.join(", "))
                    }
                    Bad::NotValidForName => format!("its certificate is not for {name}"),
                    Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired".to_owned(),
                    Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                        "its certificate is not valid yet: is the clock of this machine right?".to_owned()
                    }
                    other => format!("its certificate is not taken: {other}"),
                },
            ),
            Error::AlertReceived(AlertDescription::NoApplicationProtocol) => return self.speaks_another(),
            Error::AlertReceived(alert) => (Failure::Tls, format!("it refuses the handshake: {alert:?}")),
            Error::InvalidMessage(_) => (Failure::Tls, "what it speaks is no TLS".to_owned()),
            other => (Failure::Tls, other.to_string()),
        };
        Untold { why, text }
    }
}

fn closed(error: &io::Error) -> Untold {
    Untold {
        why: Failure::Tls,
        text: format!(
            "it ended the connection during the handshake: {}",
            tend_base::without_os_numbers(&error.to_string())
        ),
    }
}

/// Takes any certificate, whose key the server has to have all the same.
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
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
