//! What a snapshot says of TLS, made ready for handshakes: a configuration for each listener that speaks it.
//!
//! What was read for the snapshot before is used again, also in place of what cannot be read now. Invariant: a listener that demands
//! certificates whose authorities cannot be read lets nobody in, rather than everybody.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tend_base::{Clock, SystemClock, with_causes};
use tend_core::model::{ClientCertificates, TlsVersion};
use tend_routing::{Certificate, ListenerTls, Snapshot};

use super::certificate::{Loaded, certificates};
use super::server::ServerSide;
use super::shown::Shown;
use super::ticket::{TicketKeys, Ticketer};
use crate::EdgeError;
use crate::message::{CertificateStats, Unreadable};

/// The protocol of TLS-ALPN-01 (RFC 8737).
pub(super) const ACME: &[u8] = b"acme-tls/1";
/// The protocol of HTTP/2 (RFC 9113).
pub(super) const HTTP2: &[u8] = b"h2";
pub(super) const HTTP1: &[u8] = b"http/1.1";

/// TLS of a snapshot.
#[derive(Debug)]
pub(crate) struct LiveTls {
    tickets: Arc<TicketKeys>,
    provider: Arc<CryptoProvider>,
    listeners: HashMap<SocketAddr, Arc<ListenerConfig>>,
    certificates: Vec<Arc<Loaded>>,
    challenges: Vec<Arc<Loaded>>,
    authorities: Vec<Arc<Authorities>>,
    /// Towards servers, in the order of the snapshot's services.
    servers: Vec<Option<Arc<ServerSide>>>,
    unreadable: Vec<Unreadable>,
}

/// How connections at a listener begin.
#[derive(Debug)]
pub(crate) struct ListenerConfig {
    /// For clients; none where nobody may be let in.
    pub(super) clients: Option<Arc<ServerConfig>>,
    /// For authorities that look whether we control a name.
    pub(super) challenges: Arc<ServerConfig>,
}

/// Whose clients are let in.
#[derive(Debug)]
struct Authorities {
    asked: ClientCertificates,
    /// Of the file's bytes: it may be replaced under its name.
    digest: [u8; 32],
    verifier: Arc<dyn ClientCertVerifier>,
}

impl LiveTls {
    /// Returns what speaks no TLS.
    pub(crate) fn nothing(tickets: Arc<TicketKeys>) -> Self {
        Self {
            tickets,
            provider: Arc::new(provider::default_provider()),
            listeners: HashMap::new(),
            certificates: Vec::new(),
            challenges: Vec::new(),
            authorities: Vec::new(),
            servers: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Puts what a snapshot says into service after `before`. Reads files.
    pub(crate) fn after(before: &Self, snapshot: &Snapshot) -> Self {
        let mut after = Self::nothing(before.tickets.clone());
        after.provider = before.provider.clone();
        after.certificates = after.load(&snapshot.certificates, &before.certificates);
        after.challenges = after.load(&snapshot.challenges.tls_alpn01, &before.challenges);
        let shown = Arc::new(Shown::new(&after.certificates, true));
        let challenges = Arc::new(Shown::new(&after.challenges, false));
        let challenges = Arc::new(after.config(challenges, &[&version::TLS13, &version::TLS12], None, &[ACME]));
        for listener in snapshot.listeners.iter().filter(|listener| listener.tls) {
            let rules = snapshot.tls.iter().find(|rules| rules.listener == listener.address);
            let clients = after.for_clients(rules, before, &shown);
            let config = ListenerConfig {
                clients: clients.map(Arc::new),
                challenges: challenges.clone(),
            };
            after.listeners.insert(listener.address, Arc::new(config));
        }
        after.servers = after.for_servers(snapshot, before);
        after
    }

    fn for_servers(&mut self, snapshot: &Snapshot, before: &Self) -> Vec<Option<Arc<ServerSide>>> {
        // Services with the same rules have the same sessions.
        let mut known: Vec<Arc<ServerSide>> = before.servers.iter().flatten().cloned().collect();
        let services = snapshot.services.iter();
        services
            .map(|service| {
                let rules = service.balance.tls.as_ref()?;
                let side = ServerSide::after(rules, service.balance.protocol, &known);
                if let Some(why) = side.trouble() {
                    self.unreadable.push(Unreadable {
                        names: vec![service.id.to_string()],
                        path: rules.roots.clone().unwrap_or_default(),
                        why: why.to_owned(),
                        last_good: false,
                    });
                }
                known.push(side.clone());
                Some(side)
            })
            .collect()
    }

    /// Returns how TLS is spoken with the servers of the snapshot's service of that number; none where it is not.
    pub(crate) fn server(&self, service: usize) -> Option<&Arc<ServerSide>> {
        self.servers.get(service)?.as_ref()
    }

    fn for_clients(&mut self, rules: Option<&ListenerTls>, before: &Self, shown: &Arc<Shown>) -> Option<ServerConfig> {
        let versions: &[&'static SupportedProtocolVersion] = match rules.map(|rules| rules.version_min) {
            Some(TlsVersion::V13) => &[&version::TLS13],
            _ => &[&version::TLS13, &version::TLS12],
        };
        let authorities = match rules.and_then(|rules| rules.clients.as_ref()) {
            None => None,
            Some(asked) => match self.authorities(asked, before) {
                // Nobody can be verified then, and the routes that want that refuse.
                None if asked.optional => None,
                None => return None,
                some => some,
            },
        };
        Some(self.config(shown.clone(), versions, authorities.as_deref(), &[HTTP2, HTTP1]))
    }

    fn config(
        &self,
        shown: Arc<Shown>,
        versions: &[&'static SupportedProtocolVersion],
        authorities: Option<&Authorities>,
        protocols: &[&[u8]],
    ) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .expect("invariant: ring has ciphers for both versions");
        let builder = match authorities {
            Some(authorities) => builder.with_client_cert_verifier(authorities.verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(shown);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // Tickets say it all; a table of sessions would be one more thing the threads share.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let purpose = match authorities {
            None => [0; 32],
            Some(authorities) => {
                let optional = [1 + u8::from(authorities.asked.optional)];
                sha256(&[&authorities.digest[..], &optional].concat())
            }
        };
        config.ticketer = Arc::new(Ticketer::new(self.tickets.clone(), purpose));
        // Requests in early data can be replayed by anybody who saw them: `max_early_data_size` stays 0.
        config
    }

    /// Returns the certificates of the list that can be shown; in place of one that cannot be read, what was shown for its names before.
    fn load(&mut self, wanted: &[Certificate], before: &[Arc<Loaded>]) -> Vec<Arc<Loaded>> {
        let mut all = Vec::with_capacity(wanted.len());
        for described in wanted {
            if let Some(known) = before.iter().find(|known| known.is(described)) {
                all.push(known.clone());
                continue;
            }
            match Loaded::read(described, &self.provider) {
                Ok(loaded) => all.push(Arc::new(loaded)),
                Err(error) => {
                    let last_good = before.iter().find(|known| known.is_for_any(&described.names));
                    all.extend(last_good.cloned());
                    self.unreadable.push(Unreadable {
                        names: described.names.clone(),
                        path: described.chain.clone(),
                        why: with_causes(&error),
                        last_good: last_good.is_some(),
                    });
                }
            }
        }
        all
    }

    fn authorities(&mut self, asked: &ClientCertificates, before: &Self) -> Option<Arc<Authorities>> {
        if let Some(known) = self.authorities.iter().find(|known| known.asked == *asked) {
            return Some(known.clone());
        }
        let known = before.authorities.iter().find(|known| known.asked == *asked);
        let found = match Authorities::read(asked, known, &self.provider) {
            Ok(found) => Some(found),
            Err(error) => {
                let told = self.unreadable.iter().any(|told| told.path == asked.roots);
                if !told {
                    self.unreadable.push(Unreadable {
                        names: Vec::new(),
                        path: asked.roots.clone(),
                        why: with_causes(&error),
                        last_good: known.is_some(),
                    });
                }
                known.cloned()
            }
        };
        self.authorities.extend(found.clone());
        found
    }

    /// Returns how connections at the address begin; none where clients speak no TLS.
    pub(crate) fn listener(&self, address: SocketAddr) -> Option<Arc<ListenerConfig>> {
        self.listeners.get(&address).cloned()
    }

    /// Returns what the snapshot names and could not be read.
    pub(crate) fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Returns what is shown, and until when.
    pub(crate) fn certificates(&self) -> Vec<CertificateStats> {
        let now = SystemClock.now().wall;
        self.certificates
            .iter()
            .map(|loaded| CertificateStats {
                names: loaded.names.clone(),
                chain: loaded.chain.clone(),
                expires: loaded.expires,
                seconds_left: loaded.expires.0.saturating_sub(now.0) / 1000,
            })
            .collect()
    }
}

impl Authorities {
    fn read(
        asked: &ClientCertificates,
        known: Option<&Arc<Self>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, EdgeError> {
        let roots = certificates(&asked.roots)?;
        let digest = sha256(&roots.iter().flat_map(|root| root.iter().copied()).collect::<Vec<u8>>());
        if let Some(known) = known.filter(|known| known.digest == digest) {
            return Ok(known.clone());
        }
        let unfit = |why: String| EdgeError::Certificate {
            path: asked.roots.clone(),
            why,
        };
        let mut store = RootCertStore::empty();
        for root in roots {
            let why = |error| unfit(format!("it has a certificate that is no authority's: {error}"));
            store.add(root).map_err(why)?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider.clone());
        let builder = if asked.optional {
            builder.allow_unauthenticated()
        } else {
            builder
        };
        Ok(Arc::new(Self {
            asked: asked.clone(),
            digest,
            verifier: builder.build().map_err(|error| unfit(error.to_string()))?,
        }))
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
