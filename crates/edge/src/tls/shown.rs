//! Which certificate is shown to a client: the one for the name it asks for, then one for the pattern, then the first of all.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Loaded;

/// What can be shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// By name in lower case; patterns without their `*`, with the dot. Several for one name differ in the kind of their key.
    by_name: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// For whoever asks for no name, or one that is not here; none for challenges, which are for their names alone.
    first: Vec<Arc<CertifiedKey>>,
}

impl Shown {
    /// Returns a choice among certificates, in the order of the snapshot's.
    pub(super) fn new<'a>(all: impl IntoIterator<Item = &'a Arc<Loaded>>, with_first: bool) -> Self {
        let mut shown = Self::default();
        for loaded in all {
            if with_first {
                shown.first.push(loaded.key.clone());
            }
            for name in &loaded.names {
                let name = name.strip_prefix('*').unwrap_or(name);
                shown
                    .by_name
                    .entry(name.to_ascii_lowercase().into())
                    .or_default()
                    .push(loaded.key.clone());
            }
        }
        shown
    }

    /// Returns those for a name, the best first.
    fn for_name(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let pattern = name.find('.').map(|dot| &name[dot..]);
        let exact = self.by_name.get(&*name);
        let pattern = pattern.and_then(|pattern| self.by_name.get(pattern));
        exact.into_iter().chain(pattern).flatten()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello.server_name().and_then(|name| self.for_name(name).find(usable));
        named.or_else(|| self.first.iter().find(usable)).cloned()
    }
}
