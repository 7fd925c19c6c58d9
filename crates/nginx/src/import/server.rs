//! `server` blocks: where they listen, for which hosts, with which certificate.

use super::context::{Context, is_rule};
use super::location::{Place, redirect};
use super::yaml::Yaml;
use super::{Importer, Weight};
use crate::read::Directive;

/// An address that is listened at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) address: String,
    tls: bool,
    proxy_protocol: bool,
}

impl Listener {
    pub(super) fn written(&self) -> Yaml {
        let address = match self.address.parse::<u16>() {
            Ok(port) => Yaml::number(port),
            Err(_) => Yaml::text(&self.address),
        };
        if !self.tls && !self.proxy_protocol {
            return address;
        }
        let mut written = Yaml::flow([("address", address)]);
        if self.tls {
            written.put("tls", Yaml::flag(true));
        }
        if self.proxy_protocol {
            written.put("proxy_protocol", Yaml::flag(true));
        }
        written
    }
}

/// What servers say of TLS.
#[derive(Debug, Default)]
pub(super) struct TlsRules {
    only_13: bool,
    clients: Option<(String, bool)>,
}

impl TlsRules {
    pub(super) fn written(&self, certificates: &[(String, String)]) -> Option<Yaml> {
        if certificates.is_empty() {
            return None;
        }
        let mut tls = Yaml::map();
        if self.only_13 {
            tls.put("version_min", Yaml::Scalar("\"1.3\"".to_owned()));
        }
        let pair =
            |(chain, key): &(String, String)| Yaml::flow([("chain", Yaml::text(chain)), ("key", Yaml::text(key))]);
        tls.put("certificates", Yaml::list(certificates.iter().map(pair)));
        if let Some((roots, optional)) = &self.clients {
            let optional = Yaml::flag(*optional);
            tls.put(
                "clients",
                Yaml::flow([("roots", Yaml::text(roots)), ("optional", optional)]),
            );
        }
        Some(tls)
    }
}

impl Importer {
    pub(super) fn server(&mut self, server: &Directive, http: Context<'_>) {
        let inside = server.inside();
        let context = Context::within(inside, &http);
        let listens = self.listens(inside, server.line);
        if listens.iter().any(|(_, tls)| *tls) {
            self.certificate(context, server.line);
        }
        if let Some(from) = context.value("real_ip_header")
            && !matches!(
                from.to_ascii_lowercase().as_str(),
                "x-forwarded-for" | "forwarded" | "proxy_protocol"
            )
        {
            let text = format!("`real_ip_header {from}`: X-Forwarded-For, Forwarded and PROXY are read here");
            self.note(server.line, Weight::Lost, text);
        }
        self.trusted.extend(
            inside
                .iter()
                .filter(|directive| directive.name == "set_real_ip_from")
                .map(|directive| directive.value().to_owned()),
        );
        let addresses: Vec<String> = listens.into_iter().map(|(address, _)| address).collect();
        for host in self.hosts(inside) {
            let place = Place {
                host: host.as_deref(),
                listen: &addresses,
            };
            // A `return` of the server answers before any of its locations.
            if let Some(answer) = inside.iter().find(|directive| directive.name == "return") {
                match redirect(answer) {
                    Some(redirect) => {
                        let mut route = place.route("/");
                        route.put("redirect", redirect);
                        self.routes.push(route);
                    }
                    None => self.note(answer.line, Weight::Lost, "`return` of a text: a service has to answer"),
                }
                continue;
            }
            self.locations(inside, context, place);
        }
        let own = |name: &str| {
            is_rule(name)
                || matches!(
                    name,
                    "listen"
                        | "server_name"
                        | "return"
                        | "location"
                        | "set_real_ip_from"
                        | "real_ip_recursive"
                        | "http2"
                )
        };
        self.needless(inside, own);
    }

    /// Reads where a server listens; each with whether it speaks TLS.
    fn listens(&mut self, inside: &[Directive], line: u32) -> Vec<(String, bool)> {
        let mut listens = Vec::new();
        for directive in inside.iter().filter(|directive| directive.name == "listen") {
            let written = directive.value();
            if written.starts_with("unix:") {
                self.note(
                    directive.line,
                    Weight::Lost,
                    format!("`listen {written}`: the edge listens at ports"),
                );
                continue;
            }
            let written = written.strip_prefix("*:").unwrap_or(written);
            let address = match written.rsplit_once(':') {
                None if written.parse::<u16>().is_ok() => written.to_owned(),
                None => format!("{written}:80"),
                Some((_, port)) if port.ends_with(']') => format!("{written}:80"),
                Some(_) => written.to_owned(),
            };
            let has = |word: &str| directive.words.iter().any(|one| one == word);
            let listener = Listener {
                address: address.clone(),
                tls: has("ssl"),
                proxy_protocol: has("proxy_protocol"),
            };
            match self.listeners.iter_mut().find(|known| known.address == address) {
                None => self.listeners.push(listener.clone()),
                Some(known) => {
                    known.tls |= listener.tls;
                    known.proxy_protocol |= listener.proxy_protocol;
                }
            }
            listens.push((address, listener.tls));
        }
        if listens.is_empty() {
            self.note(
                line,
                Weight::Changed,
                "a server without `listen`: port 80, as nginx does as root",
            );
            let address = "80".to_owned();
            if self.listeners.iter().all(|known| known.address != address) {
                self.listeners.push(Listener {
                    address: address.clone(),
                    ..Listener::default()
                });
            }
            listens.push((address, false));
        }
        listens
    }

    /// Returns the hosts a server is for; one that is none for any host.
    fn hosts(&mut self, inside: &[Directive]) -> Vec<Option<String>> {
        let mut hosts = Vec::new();
        for directive in inside.iter().filter(|directive| directive.name == "server_name") {
            for name in &directive.words {
                let lower = name.to_ascii_lowercase();
                if matches!(lower.as_str(), "_" | "" | "localhost") {
                    hosts.push(None);
                } else if lower.starts_with('~') || lower.ends_with('*') {
                    let text = format!("`server_name {name}`: hosts are named whole, or as *.example.com");
                    self.note(directive.line, Weight::Lost, text);
                } else if let Some(domain) = lower.strip_prefix('.') {
                    hosts.extend([Some(domain.to_owned()), Some(format!("*.{domain}"))]);
                } else {
                    hosts.push(Some(lower));
                }
            }
        }
        hosts.sort();
        hosts.dedup();
        if hosts.is_empty() {
            hosts.push(None);
        }
        hosts
    }

    fn certificate(&mut self, context: Context<'_>, line: u32) {
        match (context.value("ssl_certificate"), context.value("ssl_certificate_key")) {
            (Some(chain), Some(key)) => {
                let pair = (chain.to_owned(), key.to_owned());
                if !self.certificates.contains(&pair) {
                    self.certificates.push(pair);
                }
            }
            _ => self.note(line, Weight::Lost, "a server with TLS and no certificate"),
        }
        if let Some(protocols) = context.get("ssl_protocols") {
            self.tls.only_13 |= protocols.words == ["TLSv1.3"];
            for old in protocols
                .words
                .iter()
                .filter(|word| !matches!(word.as_str(), "TLSv1.2" | "TLSv1.3"))
            {
                self.note(
                    protocols.line,
                    Weight::Changed,
                    format!("`{old}`: TLS 1.2 is the oldest spoken here"),
                );
            }
        }
        if let (Some(roots), Some(verify)) = (
            context.value("ssl_client_certificate"),
            context.get("ssl_verify_client"),
        ) {
            match verify.value() {
                "on" => self.tls.clients = Some((roots.to_owned(), false)),
                "optional" => self.tls.clients = Some((roots.to_owned(), true)),
                "off" => {}
                other => self.note(verify.line, Weight::Lost, format!("`ssl_verify_client {other}`")),
            }
        }
    }
}
