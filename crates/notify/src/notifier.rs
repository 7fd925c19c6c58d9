//! Performs notifications: how many at once, by which connection, within which time. Keeps nothing but settings of TLS that were read.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tend_alert::{Notification, Wire};
use tend_base::Secret;
use tend_fetch::{Address, Client, FetchError, Tls, TlsSettings};
use tokio::sync::Semaphore;

use crate::http::{self, tls_settings};
use crate::smtp::{self, Taken};
use crate::{Heard, NotifierError};

/// Settings of TLS that are kept with what was read for them. A configuration has a handful; a template may make more.
const KEPT_MAX: usize = 64;

/// How much is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For one notification, with the time it waits for others. Less than the pipeline waits (`Pace::timeout`): what is given up here is not sent
    /// while the next try is.
    pub within: Duration,
    /// To one host and port.
    pub to_each: usize,
    /// To all.
    pub to_all: usize,
}

impl Default for Limits {
    /// 25 s; 4 to each host, which no robot minds; 256 to all, far below what a process may have open.
    fn default() -> Self {
        Self {
            within: Duration::from_secs(25),
            to_each: 4,
            to_all: 256,
        }
    }
}

/// Sends notifications. It can be shared.
pub struct Notifier {
    limits: Limits,
    all: Semaphore,
    each: Mutex<HashMap<String, Weak<Semaphore>>>,
    /// By settings of TLS and the address of a proxy.
    wires: Mutex<HashMap<(TlsSettings, String), Arc<Ways>>>,
    plain: Client,
    taken: Taken,
}

/// Connections with the same settings.
struct Ways {
    client: Client,
    mail: Tls,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Notifier {
    /// Makes one; nothing is opened.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: Semaphore::new(limits.to_all.max(1)),
            each: Mutex::default(),
            wires: Mutex::default(),
            plain: Client::default(),
            taken: Taken::default(),
        }
    }

    /// The client with the usual settings.
    pub(crate) fn plain(&self) -> &Client {
        &self.plain
    }

    /// Sends, and says how it ended. Never longer than [`Limits::within`]; dropping the future ends the connection, and nobody knows what came of it.
    pub async fn perform(&self, notification: &Notification) -> Heard {
        let within = self.limits.within;
        let (place, wire) = match notification {
            Notification::Http(request) => match Address::parse(request.url.expose()) {
                Ok(address) => (Place::Http(address), &request.wire),
                Err(error) => return Heard::of("", &NotifierError::Connection(error), &request.wire.hidden),
            },
            Notification::Mail(mail) => match smtp::Server::of(mail) {
                Ok(server) => (Place::Mail(server), &mail.wire),
                Err(error) => return Heard::of("", &error, &mail.wire.hidden),
            },
        };
        let at = match &place {
            Place::Http(address) => address.at(),
            Place::Mail(server) => server.at(),
        };
        let timeout = wire.timeout.map(|millis| Duration::from_millis(millis.unsigned_abs()));
        let own = timeout.map_or(within, |timeout| timeout.min(within));
        let sending = async {
            let each = self.gate(&at);
            // First that of the host: who waits there holds nothing that others want. Neither is ever closed.
            let _each = each.acquire().await;
            let _all = self.all.acquire().await;
            let ways = match self.ways(wire) {
                Ok(ways) => ways,
                Err(error) => return Heard::of(&at, &error.into(), &wire.hidden),
            };
            match (place, notification) {
                (Place::Http(address), Notification::Http(request)) => {
                    http::send(&ways.client, address, request, own).await
                }
                (Place::Mail(server), Notification::Mail(mail)) => {
                    let sending = smtp::send(&server, mail, &ways.mail, &self.taken, own);
                    match tokio::time::timeout(own, sending).await {
                        Ok(Ok(said)) => Heard::confirmed(&at, &said, &mail.wire.hidden),
                        Ok(Err(error)) => Heard::of(&at, &error, &mail.wire.hidden),
                        Err(_) => silent(&at, own),
                    }
                }
                _ => unreachable!("invariant: a place is made from its notification"),
            }
        };
        match tokio::time::timeout(within, sending).await {
            Ok(heard) => heard,
            Err(_) => silent(&at, within),
        }
    }

    fn gate(&self, at: &str) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = each.get(at).and_then(Weak::upgrade) {
            return gate;
        }
        each.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Semaphore::new(self.limits.to_each.max(1)));
        each.insert(at.to_owned(), Arc::downgrade(&gate));
        gate
    }

    fn ways(&self, wire: &Wire) -> Result<Arc<Ways>, FetchError> {
        let settings = tls_settings(wire);
        let proxy = wire.proxy_url.as_ref().map(Secret::expose).unwrap_or_default();
        let key = (settings.clone(), proxy.to_owned());
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ways) = wires.get(&key) {
            return Ok(Arc::clone(ways));
        }
        let mut client = Client::new(settings.clone(), 0);
        if !proxy.is_empty() {
            client = client.through(Address::parse(proxy)?)?;
        }
        if wires.len() >= KEPT_MAX {
            wires.clear();
        }
        let ways = Arc::new(Ways {
            client,
            mail: Tls::new(settings, &[]),
        });
        wires.insert(key, Arc::clone(&ways));
        Ok(ways)
    }
}

enum Place {
    Http(Address),
    Mail(smtp::Server),
}

fn silent(at: &str, within: Duration) -> Heard {
    let said = format!("{at} did not answer within {}", tend_base::format_duration(within));
    Heard::failed(at, &said, None, &[])
}
