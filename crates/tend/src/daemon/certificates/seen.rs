//! Whether clients are shown a certificate: by a TLS handshake through the edge's own listener, as a client would make it.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::daemon::way::Way;

/// For connection and handshake together, on one machine.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// Looks whether a client that asks a listener for a host is shown the first certificate of a chain; else says what happened.
pub(crate) async fn is_seen(at: Way, host: &str, chain: &[u8]) -> Result<(), String> {
    let wanted = CertificateDer::from_pem_slice(chain).map_err(|error| error.to_string())?;
    match tokio::time::timeout(LOOK_WITHIN, at.presented(host)).await {
        Ok(Ok(presented)) if presented == wanted => Ok(()),
        Ok(Ok(_)) => Err("another certificate was shown".to_owned()),
        Ok(Err(why)) => Err(tend_base::without_os_numbers(&why)),
        Err(_) => Err(format!(
            "no handshake within {}",
            tend_base::format_duration(LOOK_WITHIN)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use std::io::Read;
    use std::sync::Arc;

    /// Serves one connection as the edge would, after a PROXY header where it wants one.
    fn server(proxy_protocol: bool) -> (Way, String, std::thread::JoinHandle<()>) {
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
        let at = Way {
            address,
            tls: true,
            proxy_protocol,
        };
        (at, chain, thread)
    }

    fn look(at: Way, chain: &str) -> Result<(), String> {
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
        let at = Way {
            proxy_protocol: false,
            ..at
        };
        // It gets a greeting where a PROXY header should stand, and goes.
        let why = look(at, &chain).unwrap_err();
        assert!(!why.is_empty());
        assert!(thread.join().is_err());
    }
}
