//! Whether clients are shown a certificate: by a TLS handshake through the edge's own listener, as a client would make it.
//!
//! Believes whatever it is shown, for it only looks; nothing is sent over the connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::wanted::SeenAt;

/// For connection and handshake together, on one machine.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// Looks whether a client that asks a listener for a host is shown the first certificate of a chain; else says what happened.
pub(crate) async fn is_seen(at: SeenAt, host: &str, chain: &[u8]) -> Result<(), String> {
    let wanted = CertificateDer::from_pem_slice(chain).map_err(|error| error.to_string())?;
    match tokio::time::timeout(LOOK_WITHIN, presented(at, host)).await {
        Ok(Ok(presented)) if presented == wanted => Ok(()),
        Ok(Ok(_)) => Err("another certificate was shown".to_owned()),
        Ok(Err(why)) => Err(why),
        Err(_) => Err(format!(
            "no handshake within {}",
            tend_base::format_duration(LOOK_WITHIN)
        )),
    }
}

async fn presented(at: SeenAt, host: &str) -> Result<CertificateDer<'static>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let look = Arc::new(Look {
        provider: Arc::clone(&provider),
        seen: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&look) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let address = reachable(at.address);
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    if at.proxy_protocol {
        stream
            .write_all(b"PROXY UNKNOWN\r\n")
            .await
            .map_err(|error| error.to_string())?;
    }
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    // A listener that wants a certificate of the client ends the handshake after it has shown its own: that is all we want.
    let seen = look.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (seen, handshake) {
        (Some(seen), _) => Ok(seen),
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(_)) => Err("no certificate was shown".to_owned()),
    }
}

/// Returns the address at which this machine reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}

/// Notes what it is shown.
struct Look {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // That it has the key too is part of showing it.
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use std::io::Read;

    /// Serves one connection as the edge would, after a PROXY header where it wants one.
    fn server(proxy_protocol: bool) -> (SeenAt, String, std::thread::JoinHandle<()>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["pay.example.com".to_owned()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        let private = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], private)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LOOK_WITHIN)).unwrap();
            if proxy_protocol {
                let mut head = [0; 15];
                stream.read_exact(&mut head).unwrap();
                assert_eq!(&head, b"PROXY UNKNOWN\r\n");
            }
            let mut tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            // The one who looks leaves when it has seen enough.
            let _ = tls.complete_io(&mut stream);
        });
        let at = SeenAt {
            address,
            proxy_protocol,
        };
        (at, chain, thread)
    }

    fn look(at: SeenAt, chain: &str) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(is_seen(at, "pay.example.com", chain.as_bytes()))
    }

    #[test]
    fn what_a_listener_shows_is_compared_with_what_it_should() {
        for proxy_protocol in [false, true] {
            let (at, chain, thread) = server(proxy_protocol);
            assert_eq!(look(at, &chain), Ok(()));
            thread.join().unwrap();
        }
        let (at, _, thread) = server(false);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["pay.example.com".to_owned()]).unwrap();
        let other = params.self_signed(&key).unwrap().pem();
        assert_eq!(look(at, &other), Err("another certificate was shown".to_owned()));
        thread.join().unwrap();
    }

    #[test]
    fn a_listener_that_speaks_no_tls_shows_nothing() {
        let (at, chain, thread) = server(true);
        let at = SeenAt {
            proxy_protocol: false,
            ..at
        };
        // It gets a greeting where a PROXY header should stand, and goes.
        let why = look(at, &chain).unwrap_err();
        assert!(!why.is_empty());
        assert!(thread.join().is_err());
    }
}
