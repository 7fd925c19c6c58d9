//! A client of TLS that shows what a handshake came to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};
use tend_routing::Certificate;

use crate::certificates::identity;
use crate::fixture::{PATIENCE, Response, read_response};

/// How a client behaves; kept, it remembers the tickets it got.
#[derive(Clone)]
pub(crate) struct Manner {
    pub(crate) config: ClientConfig,
}

impl Manner {
    pub(crate) fn new(roots: RootCertStore) -> Self {
        Self::build(roots, rustls::DEFAULT_VERSIONS, None)
    }

    pub(crate) fn build(
        roots: RootCertStore,
        versions: &[&'static rustls::SupportedProtocolVersion],
        shows: Option<&Certificate>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(shows) => {
                let (chain, key) = identity(shows);
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.resumption = Resumption::in_memory_sessions(16);
        Self { config }
    }

    pub(crate) fn speaking(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Shakes hands.
    pub(crate) fn connect(&self, address: SocketAddr, name: &str) -> io::Result<TlsClient> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(Arc::new(self.config.clone()), name).unwrap();
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(TlsClient(stream))
    }
}

/// A connection after its handshake.
pub(crate) struct TlsClient(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    pub(crate) fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
        self.0.flush().unwrap();
    }

    pub(crate) fn try_get(&mut self, path: &str) -> Option<Response> {
        let text = format!("GET {path} HTTP/1.1\r\nHost: any.test\r\n\r\n");
        self.0.write_all(text.as_bytes()).ok()?;
        read_response(&mut self.0, false)
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.try_get(path).expect("no response")
    }

    /// The certificate the edge showed.
    pub(crate) fn shown(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.0.conn.protocol_version().unwrap()
    }

    pub(crate) fn protocol(&self) -> Option<&str> {
        self.0
            .conn
            .alpn_protocol()
            .map(|name| std::str::from_utf8(name).unwrap())
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Says whether the edge has ended the connection, once it has.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }
}
