//! `upstream` blocks, and what `proxy_pass` names.

use super::context::{Context, time};
use super::yaml::Yaml;
use super::{Importer, Weight};
use crate::read::Directive;

/// An upstream as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Addresses with their weights; empty where nginx names hosts: those are taken for a service.
    servers: Vec<(String, u32)>,
    rules: Vec<(&'static str, Yaml)>,
    /// What is spoken with them, once something is sent there.
    spoken: Option<Spoken>,
}

/// What nginx speaks with servers. It says so where it sends requests, a stack where it names the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP as it is.
    Plain,
    /// TLS.
    Tls {
        /// The name their certificates have to be for; their addresses when absent.
        name: Option<String>,
        /// The file with the authorities that are trusted; those of the system when absent.
        roots: Option<String>,
    },
}

impl Spoken {
    fn written(&self) -> Option<Yaml> {
        let Self::Tls { name, roots } = self else {
            return None;
        };
        let keys = [("name", name), ("roots", roots)];
        let keys = keys
            .into_iter()
            .filter_map(|(key, value)| Some((key, Yaml::text(value.as_ref()?))));
        let keys: Vec<_> = keys.collect();
        Some(match keys.is_empty() {
            true => Yaml::flag(true),
            false => Yaml::flow(keys),
        })
    }
}

impl Found {
    pub(super) fn written(&self) -> Yaml {
        let mut written = Yaml::map();
        if !self.servers.is_empty() {
            let server = |(address, weight): &(String, u32)| match weight {
                1 => Yaml::text(address),
                weight => Yaml::flow([("address", Yaml::text(address)), ("weight", Yaml::number(weight))]),
            };
            written.put("servers", Yaml::list(self.servers.iter().map(server)));
        }
        if let Some(tls) = self.spoken.as_ref().and_then(Spoken::written) {
            written.put("tls", tls);
        }
        for (key, value) in &self.rules {
            written.put(key, value.clone());
        }
        written
    }
}

/// Returns a name that a service can have.
pub(super) fn service_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let lower = name.to_ascii_lowercase();
    let name: String = lower.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() {
        "app".to_owned()
    } else {
        name.to_owned()
    }
}

/// Says whether a text is an IP address with a port.
fn is_address(text: &str) -> bool {
    text.parse::<std::net::SocketAddr>().is_ok()
}

impl Importer {
    pub(super) fn upstream(&mut self, directive: &Directive) {
        let name = directive.value();
        let mut servers: Vec<(&str, u32, u32)> = Vec::new();
        let mut rules: Vec<(&'static str, Yaml)> = Vec::new();
        let mut method = ("round_robin", None);
        for inner in directive.inside() {
            let line = inner.line;
            match inner.name.as_str() {
                "server" => {
                    let Some(weight) = self.server_rules(inner, &mut rules) else {
                        continue;
                    };
                    servers.push((inner.value(), weight, line));
                }
                "least_conn" => method = ("least_conn", None),
                "ip_hash" => method = ("hash", Some("client".to_owned())),
                "random" => {
                    method = ("power_of_two", None);
                    if inner.value() != "two" {
                        self.note(
                            line,
                            Weight::Changed,
                            "`random`: the less loaded of two at random is taken",
                        );
                    }
                }
                "hash" => match hash_key(inner.value()) {
                    Some(key) => method = ("hash", Some(key)),
                    None => {
                        let text = format!("`hash {}`: the client's address is hashed", inner.value());
                        self.note(line, Weight::Changed, text);
                        method = ("hash", Some("client".to_owned()));
                    }
                },
                "keepalive" => rules.push(("keepalive", Yaml::number(inner.value()))),
                "zone" | "keepalive_timeout" | "keepalive_requests" | "keepalive_time" => {
                    self.note(line, Weight::Needless, format!("`{}`", inner.name));
                }
                other => self.note(
                    line,
                    Weight::Lost,
                    format!("`{other}` of an upstream is not known here"),
                ),
            }
        }
        rules.insert(0, ("method", Yaml::text(method.0)));
        if let Some(key) = method.1 {
            rules.insert(1, ("hash", Yaml::text(&key)));
        }
        let outside = servers.iter().all(|(server, ..)| is_address(server));
        let name = service_name(name);
        if outside {
            if servers
                .iter()
                .any(|(server, ..)| server.starts_with("127.") || server.starts_with("[::1]"))
            {
                let text =
                    format!("`{name}` is on this machine: tend can run it as a service, then delete its `servers`");
                self.note(directive.line, Weight::Changed, text);
            }
            let servers = servers
                .iter()
                .map(|(server, weight, _)| ((*server).to_owned(), *weight));
            let servers = servers.collect();
            let spoken = None;
            self.upstreams.insert(name, Found { servers, rules, spoken });
            return;
        }
        for (server, weight, line) in &servers {
            if *weight != 1 {
                let text = format!("the weight of `{server}`: replicas of a service are alike");
                self.note(*line, Weight::Lost, text);
            }
        }
        let hosts: Vec<String> = servers.iter().map(|(server, ..)| (*server).to_owned()).collect();
        let text = format!(
            "`{name}` is taken for a service with {} replica(s): {}",
            hosts.len(),
            hosts.join(", ")
        );
        self.note(directive.line, Weight::Changed, text);
        self.services.insert(name.clone(), hosts);
        self.upstreams.insert(
            name,
            Found {
                servers: Vec::new(),
                rules,
                spoken: None,
            },
        );
    }

    /// Reads what stands behind a server's address; its weight, or nothing when it is not to be asked.
    fn server_rules(&mut self, server: &Directive, rules: &mut Vec<(&'static str, Yaml)>) -> Option<u32> {
        let mut weight = 1;
        for word in server.words.iter().skip(1) {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let rule = match key {
                "weight" => {
                    weight = value.parse().unwrap_or(1);
                    continue;
                }
                "max_fails" => Some(("max_fails", Yaml::number(value))),
                "fail_timeout" => time(value).map(|time| ("fail_timeout", Yaml::text(&time))),
                "slow_start" => time(value).map(|time| ("slow_start", Yaml::text(&time))),
                "max_conns" => Some(("connections_max", Yaml::number(value))),
                "down" => {
                    let text = format!("`{}` is down and left out", server.value());
                    self.note(server.line, Weight::Changed, text);
                    return None;
                }
                "backup" => {
                    let text = format!(
                        "`{}` is asked like the others, not only when they are away",
                        server.value()
                    );
                    self.note(server.line, Weight::Lost, text);
                    continue;
                }
                _ => None,
            };
            match rule {
                Some((key, value)) => match rules.iter().find(|(known, _)| *known == key) {
                    None => rules.push((key, value)),
                    Some((_, first)) if first.to_string() == value.to_string() => {}
                    Some(_) => {
                        let text = format!("`{word}`: the first server's counts for all");
                        self.note(server.line, Weight::Changed, text);
                    }
                },
                None => self.note(
                    server.line,
                    Weight::Lost,
                    format!("`{word}` of a server is not known here"),
                ),
            }
        }
        Some(weight)
    }

    /// Returns who answers what `proxy_pass` sends to `authority`, making an upstream of a bare address; nothing when it cannot be said here.
    pub(super) fn passed_to(&mut self, authority: &str, spoken: &Spoken, line: u32) -> Option<String> {
        let name = service_name(authority);
        let is_plain = *spoken == Spoken::Plain;
        if let Some(found) = self.upstreams.get(&name) {
            if found.servers.is_empty() && !is_plain {
                let text = format!(
                    "`proxy_pass https://{authority}`: replicas are reached without TLS, over loopback; servers elsewhere are named by \
                     address in `edge.upstreams`"
                );
                self.note(line, Weight::Lost, text);
                return None;
            }
            return Some(self.spoken_with(&name, spoken));
        }
        let with_port = match authority.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
            _ => format!("{authority}:{}", if is_plain { 80 } else { 443 }),
        };
        if is_address(&with_port) {
            let name = format!("to-{}", service_name(&with_port));
            self.upstreams.entry(name.clone()).or_insert_with(|| Found {
                servers: vec![(with_port, 1)],
                rules: Vec::new(),
                spoken: None,
            });
            return Some(self.spoken_with(&name, spoken));
        }
        let host = with_port.rsplit_once(':').map_or(authority, |(host, _)| host);
        if !is_plain {
            let text = format!(
                "`proxy_pass https://{authority}`: no names are looked up here; write its addresses into `edge.upstreams`, with \
                 `tls: {{ name: {host} }}`"
            );
            self.note(line, Weight::Lost, text);
            return None;
        }
        let name = service_name(host.split('.').next().unwrap_or(host));
        let text = format!("`{authority}` is taken for the service `{name}`");
        self.note(line, Weight::Changed, text);
        self.services
            .entry(name.clone())
            .or_insert_with(|| vec![authority.to_owned()]);
        Some(name)
    }

    /// Returns the upstream `name` that speaks so. One that nginx asks in two ways is two upstreams here.
    fn spoken_with(&mut self, name: &str, spoken: &Spoken) -> String {
        let Some(found) = self.upstreams.get_mut(name) else {
            return name.to_owned();
        };
        let first = found.spoken.get_or_insert_with(|| spoken.clone());
        if first == spoken {
            return name.to_owned();
        }
        let mut found = found.clone();
        let servers = found.servers.clone();
        found.spoken = Some(spoken.clone());
        let mut number = 2;
        loop {
            let other = format!("{name}-{number}");
            let entry = self.upstreams.entry(other.clone()).or_insert_with(|| found.clone());
            if entry.servers == servers && entry.spoken.as_ref() == Some(spoken) {
                return other;
            }
            number += 1;
        }
    }

    /// Notes what is otherwise where TLS is spoken with the servers of `authority`.
    pub(super) fn tls_notes(&mut self, authority: &str, name: Option<&str>, context: Context<'_>, line: u32) {
        if context.value("proxy_ssl_verify") != Some("on") {
            let whose = name.unwrap_or("the servers' addresses; else say their name in `tls`");
            let text = format!("`https://{authority}`: nginx looks at no certificate; here it has to be for {whose}");
            self.note(line, Weight::Changed, text);
        }
        if let (Some(name), Some(host)) = (name, host(context))
            && host != name
        {
            let text = format!("`proxy_set_header Host {host}`: servers that speak TLS are asked as `{name}`");
            self.note(line, Weight::Changed, text);
        }
        if let Some(shown) = context.get("proxy_ssl_certificate") {
            let text = "`proxy_ssl_certificate`: the edge shows servers no certificate of its own";
            self.note(shown.line, Weight::Lost, text);
        }
    }
}

/// Reads how nginx speaks TLS with the servers of `authority`: the name it is told to look for, or else the one it asks for.
pub(super) fn spoken_tls(authority: &str, context: Context<'_>) -> Spoken {
    let is_name = |text: &str| !text.contains('$') && text.contains('.') && text.parse::<std::net::IpAddr>().is_err();
    let asked = authority.split(':').next();
    let name = [context.value("proxy_ssl_name"), host(context), asked];
    Spoken::Tls {
        name: name.into_iter().flatten().find(|name| is_name(name)).map(str::to_owned),
        roots: context.value("proxy_ssl_trusted_certificate").map(str::to_owned),
    }
}

/// The `Host` that servers are asked with, where it is set.
fn host(context: Context<'_>) -> Option<&str> {
    let headers = context.all("proxy_set_header");
    let host = headers
        .into_iter()
        .find(|header| header.value().eq_ignore_ascii_case("host"))?;
    host.words.get(1).map(String::as_str)
}

/// Turns a variable into what is hashed here.
fn hash_key(variable: &str) -> Option<String> {
    if matches!(variable, "$binary_remote_addr" | "$remote_addr") {
        return Some("client".to_owned());
    }
    if let Some(cookie) = variable.strip_prefix("$cookie_") {
        return Some(format!("cookie:{cookie}"));
    }
    let header = variable.strip_prefix("$http_")?;
    Some(format!("header:{}", header.replace('_', "-")))
}
