//! How a message is carried, as the settings say: whose certificates are believed, how long, what must not be shown. Opens nothing.

use std::collections::BTreeMap;

use tend_base::Secret;
use tend_promql::parse_duration;

use crate::config::{Integration, Setting};

/// Secrets shorter than this are not looked for in answers: they would be found everywhere.
const HIDDEN_MIN: usize = 4;

/// How a message is carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// Certificates that are believed in the place of those of the machine: a file.
    pub ca_file: Option<String>,
    /// Our own certificate: a file.
    pub cert_file: Option<String>,
    /// Its key: a file.
    pub key_file: Option<String>,
    /// The name that the other side's certificate has to have, where it is not that of the address.
    pub server_name: Option<String>,
    /// Believes anybody.
    pub insecure_skip_verify: bool,
    /// The proxy to go through; its address may hold a password.
    pub proxy_url: Option<Secret>,
    /// Follows where the other side leads.
    pub follow_redirects: bool,
    /// To whom our own certificate and its key have to belong; set by who sends, where it may read more than the configuration's owner.
    pub owner: Option<u32>,
    /// Milliseconds for the whole.
    pub timeout: Option<i64>,
    /// What must not stand in anything that is told of the answer.
    pub hidden: Vec<Secret>,
}

impl Wire {
    /// `prefix` is where the settings of TLS stand.
    pub(super) fn new(integration: &Integration, prefix: &str, files: &BTreeMap<String, Secret>) -> Self {
        let text = |key: &str| integration.text(&format!("{prefix}{key}")).map(str::to_owned);
        let mut hidden: Vec<Secret> = integration
            .settings
            .values()
            .filter_map(|setting| match setting {
                Setting::Secret(secret) => Some(secret),
                _ => None,
            })
            .chain(files.values())
            .filter(|secret| secret.expose().trim().len() >= HIDDEN_MIN)
            .cloned()
            .collect();
        // A longer one may hold a shorter one, and is looked for first.
        hidden.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self {
            ca_file: text("ca_file"),
            cert_file: text("cert_file"),
            key_file: text("key_file"),
            server_name: text("server_name"),
            insecure_skip_verify: integration.flag(&format!("{prefix}insecure_skip_verify"), false),
            proxy_url: integration.secret("http_config.proxy_url").cloned(),
            owner: None,
            follow_redirects: integration.flag("http_config.follow_redirects", true),
            timeout: integration
                .text("timeout")
                .and_then(parse_duration)
                .filter(|millis| *millis > 0),
            hidden,
        }
    }
}
