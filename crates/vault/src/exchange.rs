//! One request and its answer. Knows nothing of what is asked.
//!
//! A connection for each request: a secret is looked at every half minute, and what is not kept cannot be stale.

use std::path::PathBuf;
use std::time::Duration;

use tend_base::Secret;
use tend_fetch::{Client, FetchError, TlsSettings};
use zeroize::Zeroizing;

use crate::wire::{ANSWER_BYTES_MAX, Received, Request};
use crate::{Address, Namespace, VaultError};

/// For the whole of a request. Servers answer within milliseconds; the rest is for slow networks and a change of the active server.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// Makes requests to one server.
pub(crate) struct Exchange {
    pub(crate) address: Address,
    namespace: Option<Namespace>,
    client: Client,
}

impl Exchange {
    /// `roots` is a file of certificates that are believed in the place of the machine's own.
    pub(crate) fn new(address: Address, namespace: Option<Namespace>, roots: Option<PathBuf>) -> Self {
        let tls = TlsSettings {
            ca_file: roots,
            ..TlsSettings::default()
        };
        Self {
            address,
            namespace,
            client: Client::new(tls, 0),
        }
    }

    pub(crate) async fn send(&self, request: &Request, token: Option<&Secret>) -> Result<Received, VaultError> {
        let composed = self.compose(request, token).map_err(|error| self.failed(error))?;
        let answer = self.client.send(&composed).await.map_err(|error| self.failed(error))?;
        if answer.cut {
            return Err(VaultError::NotVault {
                at: self.address.to_string(),
                what: request.what.clone(),
                why: format!("it is longer than {}", tend_base::format_bytes(ANSWER_BYTES_MAX as u64)),
            });
        }
        Ok(Received {
            status: answer.status,
            // Seconds alone: that is what both programs send.
            retry_after: answer
                .header("retry-after")
                .and_then(|text| text.trim().parse().ok())
                .map(Duration::from_secs),
            location: answer.header("location").map(str::to_owned),
            body: Zeroizing::new(answer.body.into_bytes()),
        })
    }

    fn compose(&self, request: &Request, token: Option<&Secret>) -> Result<tend_fetch::Request, FetchError> {
        let url = format!("{}/v1/{}", self.address, request.path);
        let mut composed = tend_fetch::Request::new(request.method, tend_fetch::Address::parse(&url)?);
        composed.within = REQUEST_WITHIN;
        composed.connect_within = REQUEST_WITHIN;
        composed.answer_bytes_max = ANSWER_BYTES_MAX;
        composed.overwrite_answer = true;
        // What unpacks keeps copies that nobody overwrites.
        composed.gzip = false;
        composed.body = request.body.clone().unwrap_or_default();
        // Agents may ask for it, so that no page in a browser can use theirs.
        composed.header("X-Vault-Request", "true");
        if request.body.is_some() {
            composed.header("Content-Type", request.content_type);
        }
        if let Some(namespace) = &self.namespace {
            composed.header("X-Vault-Namespace", namespace.as_str());
        }
        if let Some(token) = token {
            composed.secret_header("X-Vault-Token", token);
        }
        Ok(composed)
    }

    fn failed(&self, error: FetchError) -> VaultError {
        let at = self.address.to_string();
        match error {
            FetchError::NoRoots => VaultError::NoRoots,
            FetchError::File { path, source, .. } => VaultError::Roots { path, source },
            FetchError::Lookup { source, .. } | FetchError::Unreachable { source, .. } => {
                VaultError::Unreachable { at, source }
            }
            FetchError::Unconnected { .. } | FetchError::Silent { .. } => VaultError::Silent {
                at,
                within: REQUEST_WITHIN,
            },
            FetchError::Tls { source, .. } | FetchError::Broken { source, .. } => VaultError::Broken { at, source },
            other => VaultError::Broken {
                at,
                source: other.into(),
            },
        }
    }
}
