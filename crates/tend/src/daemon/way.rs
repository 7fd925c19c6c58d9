//! The way of the daemon to a listener of its own edge, as a client would come: over TLS and with a PROXY header where it wants them.
//!
//! Believes whatever certificate it is shown, for it asks its own machine, and notes which it was.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tend_core::model::Listener;
use tend_core::world::World;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How a listener is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    /// A connection begins with a handshake.
    pub(crate) tls: bool,
    /// Before it comes a PROXY header.
    pub(crate) proxy_protocol: bool,
}

/// A connection, whatever is below it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Way {
    /// Returns the way to an address at which plain HTTP is spoken.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self {
            address: reachable(address),
            tls: false,
            proxy_protocol: false,
        }
    }

    /// Returns the way to a listener.
    pub(crate) fn to(listener: &Listener) -> Self {
        Self {
            address: reachable(listener.address),
            tls: listener.tls,
            proxy_protocol: listener.proxy_protocol,
        }
    }

    /// Returns the way to an address of a stack, as the first stack that listens there wants it.
    pub(crate) fn to_address(world: &World, address: SocketAddr) -> Self {
        let stacks = world
            .stacks
            .iter()
            .map(|(name, of_stack)| world.stack_wanted(name).unwrap_or(&of_stack.stack));
        let mut listeners = stacks.flat_map(|stack| &stack.edge.listeners);
        listeners
            .find(|listener| listener.address == address)
            .map_or_else(|| Self::plain(address), Self::to)
    }

    /// Opens a connection for a host; the caller sees to a deadline.
    pub(crate) async fn open(self, host: &str) -> Result<Box<dyn Stream>, String> {
        let stream = self.connect().await?;
        if !self.tls {
            return Ok(Box::new(stream));
        }
        let (_, connector) = connector()?;
        let stream = connector.connect(server_name(host)?, stream).await;
        Ok(Box::new(stream.map_err(|error| self.says(&error))?))
    }

    /// Returns the certificate that a client is shown who asks for a host; the caller sees to a deadline.
    pub(crate) async fn presented(self, host: &str) -> Result<CertificateDer<'static>, String> {
        let (look, connector) = connector()?;
        let handshake = connector.connect(server_name(host)?, self.connect().await?).await;
        // A listener that wants a certificate of the client ends the handshake after it has shown its own: that is all we want.
        let seen = look.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (seen, handshake) {
            (Some(seen), _) => Ok(seen),
            (None, Err(error)) => Err(self.says(&error)),
            (None, Ok(_)) => Err("no certificate was shown".to_owned()),
        }
    }

    async fn connect(self) -> Result<TcpStream, String> {
        let mut stream = TcpStream::connect(self.address)
            .await
            .map_err(|error| self.says(&error))?;
        if self.proxy_protocol {
            let header = stream.write_all(b"PROXY UNKNOWN\r\n").await;
            header.map_err(|error| self.says(&error))?;
        }
        Ok(stream)
    }

    fn says(self, error: &std::io::Error) -> String {
        format!("{}: {error}", self.address)
    }
}

/// Returns the name that is asked for in a handshake: the host without its port.
fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let name = match host.parse::<SocketAddr>() {
        Ok(address) => return Ok(ServerName::from(address.ip())),
        Err(_) => host.split(':').next().unwrap_or_default(),
    };
    ServerName::try_from(name.to_owned()).map_err(|error| format!("{host}: {error}"))
}

/// Returns the address at which this machine reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}

fn connector() -> Result<(Arc<Look>, TlsConnector), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let look = Arc::new(Look {
        provider: Arc::clone(&provider),
        seen: Mutex::default(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&look) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((look, TlsConnector::from(Arc::new(config))))
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
