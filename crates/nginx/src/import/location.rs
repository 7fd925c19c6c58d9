//! `location` blocks: which requests, who answers, under which rules.

use super::context::{Context, is_rule, time};
use super::upstream::{Spoken, spoken_tls};
use super::yaml::Yaml;
use super::{Importer, Weight};
use crate::read::Directive;

/// Headers that the edge sets by itself for every service.
const FORWARDED: [&str; 10] = [
    "host",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-request-id",
    "upgrade",
    "connection",
    "x-forwarded-server",
];

/// What the routes of a server have in common.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) listen: &'a [String],
}

impl Place<'_> {
    /// Begins a route.
    pub(super) fn route(&self, path: &str) -> Yaml {
        let mut route = Yaml::map();
        if let Some(host) = self.host {
            route.put("host", Yaml::text(host));
        }
        route.put("path", Yaml::text(path));
        let listen = self.listen.iter().map(|address| match address.parse::<u16>() {
            Ok(port) => Yaml::number(port),
            Err(_) => Yaml::text(address),
        });
        route.put("listen", Yaml::Flow(Box::new(Yaml::list(listen))));
        route
    }
}

/// Turns `return 301 https://$host$request_uri` into a redirect; nothing when it is none.
pub(super) fn redirect(answer: &Directive) -> Option<Yaml> {
    let (status, to) = match answer.words.as_slice() {
        [to] if to.contains("://") => ("302", to),
        [status, to] if matches!(status.as_str(), "301" | "302" | "303" | "307" | "308") => (status.as_str(), to),
        _ => return None,
    };
    let to = to
        .replace("$scheme", "https")
        .replace("$server_name", "{host}")
        .replace("$http_host", "{host}")
        .replace("$host", "{host}")
        .replace("$request_uri", "{path}")
        .replace("$uri", "{path}");
    (!to.contains('$')).then(|| Yaml::flow([("to", Yaml::text(&to)), ("status", Yaml::number(status))]))
}

impl Importer {
    pub(super) fn locations(&mut self, inside: &[Directive], server: Context<'_>, place: Place<'_>) {
        let mut has_root = false;
        for location in inside.iter().filter(|directive| directive.name == "location") {
            let (modifier, path) = match location.words.as_slice() {
                [path] => ("", path.as_str()),
                [modifier, path] => (modifier.as_str(), path.as_str()),
                _ => continue,
            };
            match modifier {
                "" | "^~" => {}
                "=" => {
                    let text = format!("`location = {path}`: what is below {path} is answered alike");
                    self.note(location.line, Weight::Changed, text);
                }
                _ => {
                    let text = format!(
                        "`location {modifier} {path}`: routes are told apart by host and path, not by patterns"
                    );
                    self.note(location.line, Weight::Lost, text);
                    continue;
                }
            }
            if !path.starts_with('/') {
                self.note(
                    location.line,
                    Weight::Lost,
                    format!("`location {path}` is for nginx itself"),
                );
                continue;
            }
            has_root |= path == "/";
            let context = Context::within(location.inside(), &server);
            self.location(location, path, context, place);
        }
        // Requests that no location takes are answered with files, where nginx knows a folder.
        if !has_root && server.get("root").is_some() {
            let mut route = place.route("/");
            if self.files(&mut route, "/", server) {
                self.rules(&mut route, server, "/");
                self.routes.push(route);
            }
        }
    }

    fn location(&mut self, location: &Directive, path: &str, context: Context<'_>, place: Place<'_>) {
        let inside = location.inside();
        let own = |name: &str| is_rule(name) || matches!(name, "proxy_pass" | "return");
        self.needless(inside, own);
        let find = |name: &str| inside.iter().find(|directive| directive.name == name);
        let mut route = place.route(path);
        if let Some(answer) = find("return") {
            match redirect(answer) {
                Some(redirect) => {
                    route.put("redirect", redirect);
                    self.routes.push(route);
                }
                None => {
                    let text = format!(
                        "`return` of `location {path}`: the edge does not answer for a service; one that is asked says how it is"
                    );
                    self.note(answer.line, Weight::Lost, text);
                }
            }
            return;
        }
        if let Some(pass) = find("proxy_pass") {
            if !self.pass(&mut route, pass, path, context) {
                return;
            }
        } else if !self.files(&mut route, path, context) {
            self.note(
                location.line,
                Weight::Lost,
                format!("`location {path}` leads neither to a server nor to files"),
            );
            return;
        }
        self.rules(&mut route, context, path);
        self.routes.push(route);
    }

    /// Writes where `proxy_pass` leads; false when nowhere that is known here.
    fn pass(&mut self, route: &mut Yaml, pass: &Directive, path: &str, context: Context<'_>) -> bool {
        let url = pass.value();
        let (tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => {
                let text = format!("`proxy_pass {url}`: there are no variables here");
                self.note(pass.line, Weight::Lost, text);
                return false;
            }
        };
        let (authority, uri) = match rest.find('/') {
            Some(slash) => (&rest[..slash], Some(&rest[slash..])),
            None => (rest, None),
        };
        if authority.contains('$') || authority.starts_with("unix:") {
            self.note(
                pass.line,
                Weight::Lost,
                format!("`proxy_pass {url}`: servers are named by address or as a service"),
            );
            return false;
        }
        let spoken = match tls {
            false => Spoken::Plain,
            true => spoken_tls(authority, context),
        };
        let Some(service) = self.passed_to(authority, &spoken, pass.line) else {
            return false;
        };
        if let Spoken::Tls { name, .. } = &spoken {
            self.tls_notes(authority, name.as_deref(), context, pass.line);
        }
        route.put("service", Yaml::text(&service));
        match uri {
            None => {}
            Some(uri) if uri == path => {}
            Some("/") => route.put("strip_prefix", Yaml::flag(true)),
            Some(uri) if uri.contains('$') => {
                self.note(pass.line, Weight::Lost, format!("`{uri}`: there are no variables here"));
            }
            Some(uri) => route.put("replace_prefix", Yaml::text(uri)),
        }
        true
    }

    /// Writes who may ask. What nginx keeps closed stays closed.
    fn access(&mut self, route: &mut Yaml, context: Context<'_>, path: &str) {
        let everybody = ["0.0.0.0/0".to_owned(), "::/0".to_owned()];
        let this_machine = ["127.0.0.1".to_owned(), "::1".to_owned()];
        let asking = ["auth_basic", "auth_request"]
            .into_iter()
            .filter_map(|name| context.get(name));
        if let Some(asking) = asking.into_iter().find(|asking| asking.value() != "off") {
            let text = format!(
                "`{}`: the edge asks for no password; `{path}` is open to this machine alone (`allow`)",
                asking.name
            );
            self.note(asking.line, Weight::Lost, text);
            route.put("allow", Yaml::texts(&this_machine));
            return;
        }
        let listed = |name: &str| {
            let all = context.all(name).into_iter().map(|rule| rule.value().to_owned());
            all.partition::<Vec<String>, _>(|who| who != "all")
        };
        let (allowed, _) = listed("allow");
        let (denied, all_denied) = listed("deny");
        if !allowed.is_empty() {
            route.put("allow", Yaml::texts(&allowed));
        }
        if allowed.is_empty() && !all_denied.is_empty() {
            route.put("deny", Yaml::texts(&everybody));
        } else if !denied.is_empty() {
            route.put("deny", Yaml::texts(&denied));
        }
    }

    /// Writes from where files are answered; false when no folder is known.
    fn files(&mut self, route: &mut Yaml, path: &str, context: Context<'_>) -> bool {
        let root = match (context.value("alias"), context.value("root")) {
            (Some(alias), _) => alias.to_owned(),
            (None, Some(root)) => format!("{}{path}", root.trim_end_matches('/')),
            (None, None) => return false,
        };
        let mut files = Yaml::flow([("root", Yaml::text(&root))]);
        if let Some(index) = context.value("index").filter(|index| *index != "index.html") {
            files.put("index", Yaml::text(index));
        }
        if let Some(tries) = context.get("try_files") {
            match tries.words.last().map(String::as_str) {
                Some(last) if last.starts_with('/') => files.put("fallback", Yaml::text(last.trim_start_matches('/'))),
                Some("=404") => {}
                _ => self.note(
                    tries.line,
                    Weight::Lost,
                    "`try_files`: its last word is a file or =404 here",
                ),
            }
        }
        let cached = context.all("add_header").into_iter().any(|header| {
            header.value().eq_ignore_ascii_case("cache-control")
                && header.words.iter().any(|word| word.contains("immutable"))
        });
        if let Some(expires) = context.get("expires") {
            match time(expires.value()) {
                Some(time) => files.put("max_age", Yaml::text(&time)),
                None if expires.value() == "max" => files.put("max_age", Yaml::text("8760h")),
                None if matches!(expires.value(), "off" | "epoch") => {}
                None => self.note(expires.line, Weight::Lost, format!("`expires {}`", expires.value())),
            }
        }
        if cached {
            files.put("immutable", Yaml::flag(true));
        }
        if context.value("gzip_static") == Some("on") {
            files.put("precompressed", Yaml::flag(true));
        }
        route.put("files", files);
        true
    }

    /// Writes the rules that hold at a place.
    fn rules(&mut self, route: &mut Yaml, context: Context<'_>, path: &str) {
        self.limits(route, context);
        if let Some(size) = context.value("client_max_body_size") {
            route.put("body_max", Yaml::text(&size.to_ascii_lowercase()));
        }
        // nginx waits as long for the head of an answer as for each piece, and as long while nothing passes on an upgraded connection.
        let upgrades =
            (context.all("proxy_set_header").iter()).any(|header| header.value().eq_ignore_ascii_case("upgrade"));
        let times = [
            ("connect", "proxy_connect_timeout"),
            ("answer", "proxy_read_timeout"),
            ("read", "proxy_read_timeout"),
            ("upgraded_idle", if upgrades { "proxy_read_timeout" } else { "" }),
            ("body", "client_body_timeout"),
            ("send", "send_timeout"),
        ];
        if let Some(sending) = context.get("proxy_send_timeout")
            && time(sending.value()) != context.value("proxy_read_timeout").and_then(time)
        {
            let text = "`proxy_send_timeout`: a service that takes nothing of a request is waited for as long as for its answer (`answer`)";
            self.note(sending.line, Weight::Changed, text);
        }
        let timeouts = times.into_iter().filter_map(|(key, name)| {
            let time = time(context.value(name)?)?;
            Some((key, Yaml::text(&time)))
        });
        let timeouts: Vec<_> = timeouts.collect();
        if !timeouts.is_empty() {
            route.put("timeouts", Yaml::flow(timeouts));
        }
        self.retries(route, context);
        self.headers(route, context);
        if context.value("gzip") == Some("on") {
            let compress = match (context.get("gzip_types"), context.value("gzip_min_length")) {
                (None, None) => Yaml::flag(true),
                (types, min) => {
                    let min = min.map(|min| ("min", Yaml::text(&format!("{min}b"))));
                    // text/html is always among nginx's.
                    let types = types.map(|types| {
                        let mut all = types.words.clone();
                        if !all.iter().any(|one| one == "text/html") {
                            all.insert(0, "text/html".to_owned());
                        }
                        ("types", Yaml::texts(&all))
                    });
                    Yaml::flow(min.into_iter().chain(types))
                }
            };
            route.put("compress", compress);
        }
        self.access(route, context, path);
        if let Some(log) = context.get("access_log") {
            match log.value() {
                "off" => route.put("health_paths", Yaml::texts(&[path.trim_end_matches('/').to_owned()])),
                _ if log.words.iter().any(|word| word == "combined") || log.words.len() == 1 => {
                    self.access_log = Some("combined");
                }
                _ => {}
            }
        }
        for page in context.all("error_page") {
            let text = "`error_page`: write `error_pages` of the route, with the file's place on disk";
            self.note(page.line, Weight::Lost, text);
        }
    }

    fn limits(&mut self, route: &mut Yaml, context: Context<'_>) {
        let mut limits = Vec::new();
        for limit in context.all("limit_req") {
            let value = |name: &str| limit.words.iter().find_map(|word| word.strip_prefix(name));
            let name = value("zone=").unwrap_or_default();
            let Some((key, rate)) = self
                .zones
                .get(name)
                .and_then(|zone| Some((zone.key.clone()?, zone.rate.clone()?)))
            else {
                self.note(limit.line, Weight::Lost, format!("the limit of the zone `{name}`"));
                continue;
            };
            let mut written = Yaml::flow([
                ("name", Yaml::text(name)),
                ("key", Yaml::text(&key)),
                ("rate", Yaml::text(&rate)),
            ]);
            if let Some(burst) = value("burst=") {
                written.put("burst", Yaml::number(burst));
                match (value("delay="), limit.words.iter().any(|word| word == "nodelay")) {
                    (_, true) => {}
                    (delay, false) => written.put("delay_after", Yaml::number(delay.unwrap_or("0"))),
                }
            }
            if context.value("limit_req_dry_run") == Some("on") {
                written.put("shadow", Yaml::flag(true));
            }
            if context.value("limit_req_status").unwrap_or("503") != "429" {
                self.note(
                    limit.line,
                    Weight::Changed,
                    "`limit_req`: clients who are refused get 429, nginx says 503",
                );
            }
            limits.push(written);
        }
        if !limits.is_empty() {
            route.put("limits", Yaml::list(limits));
        }
        let mut in_flight = Vec::new();
        for limit in context.all("limit_conn") {
            let key = self.zones.get(limit.value()).and_then(|zone| zone.key.clone());
            match (key, limit.words.get(1)) {
                (Some(key), Some(max)) => {
                    in_flight.push(Yaml::flow([("key", Yaml::text(&key)), ("max", Yaml::number(max))]));
                }
                _ => self.note(
                    limit.line,
                    Weight::Lost,
                    format!("the limit of the zone `{}`", limit.value()),
                ),
            }
        }
        if !in_flight.is_empty() {
            route.put("in_flight", Yaml::list(in_flight));
        }
    }

    fn retries(&mut self, route: &mut Yaml, context: Context<'_>) {
        let mut retry = Vec::new();
        if let Some(next) = context.get("proxy_next_upstream") {
            let has = |word: &str| next.words.iter().any(|one| one == word);
            if has("off") {
                retry.push(("tries", Yaml::number(1)));
            }
            if has("non_idempotent") {
                retry.push(("methods", Yaml::text("all")));
                let text = "`non_idempotent`: a request that moves money may be carried out twice; see `money`";
                self.note(next.line, Weight::Changed, text);
            }
            let statuses = next.words.iter().filter_map(|word| word.strip_prefix("http_"));
            let statuses: Vec<Yaml> = statuses.map(Yaml::number).collect();
            if !statuses.is_empty() {
                retry.push(("statuses", Yaml::Flow(Box::new(Yaml::list(statuses)))));
            }
        }
        if let Some(tries) = context.value("proxy_next_upstream_tries").filter(|tries| *tries != "0") {
            retry.push(("tries", Yaml::number(tries)));
        }
        if let Some(total) = context.value("proxy_next_upstream_timeout").and_then(time) {
            retry.push(("total", Yaml::text(&total)));
        }
        if !retry.is_empty() {
            route.put("retry", Yaml::flow(retry));
        }
    }

    fn headers(&mut self, route: &mut Yaml, context: Context<'_>) {
        let mut set = Vec::new();
        let mut hsts = None;
        for header in context.all("add_header") {
            let [name, value, ..] = header.words.as_slice() else {
                continue;
            };
            let lower = name.to_ascii_lowercase();
            if value.contains('$') {
                self.note(
                    header.line,
                    Weight::Lost,
                    format!("`add_header {name}`: there are no variables here"),
                );
            } else if lower == "strict-transport-security" {
                hsts = Some(Yaml::text(value));
            } else if lower == "cache-control" && route.has("files") {
                // Said by the rules of the files.
            } else if lower.starts_with("access-control-") {
                let text = format!("`add_header {name}`: write `cors` of the route, which also answers preflights");
                self.note(header.line, Weight::Lost, text);
            } else {
                set.push((name.as_str(), Yaml::text(value)));
            }
        }
        let hidden = context.all("proxy_hide_header").into_iter();
        let hidden: Vec<String> = hidden.map(|header| header.value().to_owned()).collect();
        for header in context.all("proxy_set_header") {
            if !FORWARDED.contains(&header.value().to_ascii_lowercase().as_str()) {
                let text = format!(
                    "`proxy_set_header {}`: services get the headers of clients and the forwarded ones",
                    header.value()
                );
                self.note(header.line, Weight::Lost, text);
            }
        }
        let mut headers = Yaml::map();
        let mut any = false;
        if let Some(hsts) = hsts {
            headers.put("hsts", hsts);
            any = true;
        }
        if !set.is_empty() {
            headers.put("set", Yaml::flow(set));
            any = true;
        }
        if !hidden.is_empty() {
            headers.put("remove", Yaml::texts(&hidden));
            any = true;
        }
        if any {
            route.put("headers", headers);
        }
    }
}
