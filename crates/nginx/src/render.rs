//! A configuration of nginx from what a stack says of its edge; what nginx cannot do stands in it as a comment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tend_core::model::{
    Balance, Edge, HashKey, Limit, LimitKey, Listener, Method, RetryMethods, Rewrite, Route, RoutePolicy, ServerTls,
    ServiceName, Stack, Tls, TlsVersion,
};

/// Returns the text of an `nginx.conf`. `servers` says where a service listens; where it says nothing, a comment asks for it.
#[must_use]
pub fn render(stack: &Stack, servers: &dyn Fn(&ServiceName) -> Vec<SocketAddr>) -> String {
    let mut out = Writer::default();
    out.line(format!(
        "# Rendered from the stack {} by `tend render nginx`.",
        stack.name
    ));
    out.line("events { worker_connections 4096; }");
    out.open("http");
    out.line("include mime.types;");
    if stack.edge.access_log.format == tend_core::model::LogFormat::Combined {
        out.line("access_log /var/log/nginx/access.log combined;");
    }
    let upgrades = "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }";
    out.line(upgrades);
    zones(&stack.edge, &mut out);
    let named: BTreeSet<&ServiceName> = stack
        .edge
        .routes
        .iter()
        .filter_map(|route| route.service.as_ref())
        .collect();
    for service in named {
        upstream(&stack.edge, service, servers, &mut out);
    }
    // nginx takes one server for each host and set of addresses.
    let mut hosts: BTreeMap<(Vec<SocketAddr>, Option<&str>), Vec<&Route>> = BTreeMap::new();
    for route in &stack.edge.routes {
        let at = if route.listeners.is_empty() {
            stack.edge.listeners.iter().map(|listener| listener.address).collect()
        } else {
            route.listeners.clone()
        };
        hosts.entry((at, route.host.as_deref())).or_default().push(route);
    }
    for ((at, host), routes) in &hosts {
        server(&stack.edge, at, *host, routes, &mut out);
    }
    out.close();
    out.text
}

/// Text that is indented as deep as its blocks.
#[derive(Default)]
struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    fn line(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.text, "{:1$}{2}", "", self.depth * 4, line.as_ref());
    }

    fn missing(&mut self, what: &str) {
        self.line(format!("# not carried over: {what}"));
    }

    fn open(&mut self, block: &str) {
        self.line(format!("{block} {{"));
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }
}

/// Returns a word of nginx, quoted.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn time(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

/// Returns a word that a zone or an upstream can have.
fn word(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

fn variable(key: &LimitKey) -> Option<String> {
    match key {
        LimitKey::Client => Some("$binary_remote_addr".to_owned()),
        LimitKey::Header(name) => Some(format!("$http_{}", word(name))),
        LimitKey::Route => Some("$server_name".to_owned()),
        LimitKey::Claim(_) => None,
    }
}

/// nginx counts in whole requests a second or a minute.
fn rate(limit: &Limit) -> Option<String> {
    let requests = u128::from(limit.rate.requests.get());
    let (second, minute) = (Duration::from_secs(1).as_nanos(), Duration::from_secs(60).as_nanos());
    let per = limit.rate.per.as_nanos();
    let whole = |unit: u128| {
        (requests * unit)
            .is_multiple_of(per)
            .then(|| requests * unit / per)
            .filter(|rate| *rate > 0)
    };
    whole(second)
        .map(|rate| format!("{rate}r/s"))
        .or_else(|| whole(minute).map(|rate| format!("{rate}r/m")))
}

fn zones(edge: &Edge, out: &mut Writer) {
    let mut seen = BTreeSet::new();
    for policy in edge.routes.iter().map(|route| &route.policy) {
        for limit in policy.limits.iter().filter(|limit| seen.insert(word(&limit.name))) {
            match (variable(&limit.key), rate(limit)) {
                (Some(variable), Some(rate)) => {
                    out.line(format!(
                        "limit_req_zone {variable} zone={}:10m rate={rate};",
                        word(&limit.name)
                    ));
                }
                _ => out.missing(&format!("the limit {}: nginx cannot count so", limit.name)),
            }
        }
        for limit in policy.in_flight.iter().filter(|limit| !limit.upgraded) {
            if let Some(variable) = variable(&limit.key)
                && seen.insert(conn_zone(&limit.key))
            {
                out.line(format!(
                    "limit_conn_zone {variable} zone={}:10m;",
                    conn_zone(&limit.key)
                ));
            }
        }
    }
}

fn conn_zone(key: &LimitKey) -> String {
    match key {
        LimitKey::Client => "conn_client".to_owned(),
        LimitKey::Header(name) => format!("conn_{}", word(name)),
        LimitKey::Claim(name) => format!("conn_claim_{}", word(name)),
        LimitKey::Route => "conn_route".to_owned(),
    }
}

fn upstream(edge: &Edge, service: &ServiceName, servers: &dyn Fn(&ServiceName) -> Vec<SocketAddr>, out: &mut Writer) {
    let default = Balance::default();
    let known = edge.upstreams.get(service);
    let balance = known.map_or(&default, |upstream| &upstream.balance);
    out.open(&format!("upstream {}", word(service.as_str())));
    match &balance.method {
        Method::LeastConnections => out.line("least_conn;"),
        Method::RoundRobin => {}
        Method::PowerOfTwo => out.line("random two least_conn;"),
        Method::Hash(HashKey::Client) => out.line("hash $binary_remote_addr consistent;"),
        Method::Hash(HashKey::Header(name)) => out.line(format!("hash $http_{} consistent;", word(name))),
        Method::Hash(HashKey::Cookie(name)) => out.line(format!("hash $cookie_{} consistent;", word(name))),
    }
    let rules = format!(
        "max_fails={} fail_timeout={}",
        balance.max_fails,
        time(balance.fail_timeout)
    );
    let connections = balance
        .connections_max
        .map(|max| format!(" max_conns={max}"))
        .unwrap_or_default();
    let outside = known.into_iter().flat_map(|upstream| &upstream.servers);
    let outside: Vec<_> = outside.map(|server| (server.address, server.weight)).collect();
    let all = match outside.is_empty() {
        true => servers(service).into_iter().map(|address| (address, 1)).collect(),
        false => outside,
    };
    if all.is_empty() {
        out.line("# put here where the replicas listen");
        out.line(format!("server 127.0.0.1:3000 {rules}{connections};"));
    }
    for (address, weight) in all {
        out.line(format!("server {address} weight={weight} {rules}{connections};"));
    }
    for (wanted, what) in [
        (balance.outlier.is_some(), "`outlier`"),
        (balance.breaker.is_some(), "`breaker`"),
        (balance.check.is_some(), "`check`"),
        (!balance.slow_start.is_zero(), "`slow_start`"),
    ] {
        if wanted {
            out.missing(what);
        }
    }
    if balance.keepalive > 0 {
        out.line(format!("keepalive {};", balance.keepalive));
    }
    out.close();
}

fn server(edge: &Edge, at: &[SocketAddr], host: Option<&str>, routes: &[&Route], out: &mut Writer) {
    let listeners = edge.listeners.iter().filter(|listener| at.contains(&listener.address));
    let (plain, redirecting): (Vec<&Listener>, Vec<&Listener>) =
        listeners.partition(|listener| listener.redirect_to_https.is_none());
    let name = host.unwrap_or("_");
    for listener in redirecting {
        out.open("server");
        out.line(format!("listen {};", listener.address));
        out.line(format!("server_name {name};"));
        let port = listener
            .redirect_to_https
            .filter(|port| *port != 443)
            .map(|port| format!(":{port}"));
        out.line(format!(
            "return 308 https://$host{}$request_uri;",
            port.unwrap_or_default()
        ));
        out.close();
    }
    if plain.is_empty() {
        return;
    }
    out.open("server");
    for listener in &plain {
        let tls = if listener.tls { " ssl http2" } else { "" };
        let proxy = if listener.proxy_protocol { " proxy_protocol" } else { "" };
        out.line(format!("listen {}{tls}{proxy};", listener.address));
    }
    out.line(format!("server_name {name};"));
    let trusted: BTreeSet<_> = plain.iter().flat_map(|listener| &listener.trusted).collect();
    for prefix in &trusted {
        out.line(format!("set_real_ip_from {prefix};"));
    }
    if !trusted.is_empty() {
        let from = if plain.iter().any(|listener| listener.proxy_protocol) {
            "proxy_protocol"
        } else {
            "X-Forwarded-For"
        };
        out.line(format!("real_ip_header {from};"));
        out.line("real_ip_recursive on;");
    }
    if plain.iter().any(|listener| listener.tls) {
        tls(&edge.tls, out);
    }
    for route in routes {
        location(edge, route, out);
    }
    out.close();
}

fn tls(tls: &Tls, out: &mut Writer) {
    for certificate in &tls.certificates {
        out.line(format!(
            "ssl_certificate {};",
            quoted(&certificate.chain.to_string_lossy())
        ));
        out.line(format!(
            "ssl_certificate_key {};",
            quoted(&certificate.key.to_string_lossy())
        ));
    }
    if tls.acme.is_some() {
        out.missing("certificates by ACME: `certbot` is the way with nginx");
    }
    out.line(match tls.version_min {
        TlsVersion::V12 => "ssl_protocols TLSv1.2 TLSv1.3;",
        TlsVersion::V13 => "ssl_protocols TLSv1.3;",
    });
    if let Some(clients) = &tls.clients {
        out.line(format!(
            "ssl_client_certificate {};",
            quoted(&clients.roots.to_string_lossy())
        ));
        out.line(format!(
            "ssl_verify_client {};",
            if clients.optional { "optional" } else { "on" }
        ));
    }
}

fn location(edge: &Edge, route: &Route, out: &mut Writer) {
    let prefix = route.path_prefix.trim_end_matches('/');
    // The route is for whole segments: /api and what is below it, and not /apix.
    out.open(&if prefix.is_empty() {
        "location /".to_owned()
    } else {
        format!("location ~ ^{}(/|$)", regex(prefix))
    });
    let policy = &route.policy;
    rules(policy, out);
    if let Some(redirect) = &policy.redirect {
        let to = redirect.to.replace("{host}", "$host").replace("{path}", "$request_uri");
        if to.contains("{rest}") {
            out.line(format!("rewrite ^{}(.*)$ {} break;", regex(prefix), "$1"));
        }
        out.line(format!(
            "return {} {};",
            redirect.status,
            quoted(&to.replace("{rest}", "$1"))
        ));
    } else if let Some(files) = &policy.files {
        out.line(format!("rewrite ^{}/?(.*)$ /$1 break;", regex(prefix)));
        out.line(format!("root {};", quoted(&files.root.to_string_lossy())));
        out.line(format!("index {};", quoted(&files.index)));
        if let Some(fallback) = &files.fallback {
            out.line(format!("try_files $uri {};", quoted(&format!("/{fallback}"))));
        }
        match files.max_age {
            Some(age) => out.line(format!("expires {};", time(age))),
            None if files.immutable => out.line("expires 1y;"),
            None => {}
        }
    } else if let Some(service) = &route.service {
        proxy(edge, policy, prefix, service, out);
    }
    out.close();
}

fn regex(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() && !matches!(c, '/' | '-' | '_') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn proxy_tls(tls: &ServerTls, out: &mut Writer) {
    if let Some(name) = &tls.name {
        out.line(format!("proxy_ssl_name {name};"));
        out.line("proxy_ssl_server_name on;");
    }
    if !tls.verify {
        return;
    }
    if tls.name.is_none() {
        out.missing("certificates for addresses: nginx looks for a name in them");
        return;
    }
    out.line("proxy_ssl_verify on;");
    // As Debian has them; nginx does not know the system's by itself, and follows one intermediate only unless told otherwise.
    let roots = (tls.roots.as_deref()).unwrap_or(Path::new("/etc/ssl/certs/ca-certificates.crt"));
    out.line(format!(
        "proxy_ssl_trusted_certificate {};",
        quoted(&roots.to_string_lossy())
    ));
    out.line("proxy_ssl_verify_depth 4;");
}

fn proxy(edge: &Edge, policy: &RoutePolicy, prefix: &str, service: &ServiceName, out: &mut Writer) {
    match &policy.rewrite {
        None => {}
        Some(Rewrite::StripPrefix) => out.line(format!("rewrite ^{}/?(.*)$ /$1 break;", regex(prefix))),
        Some(Rewrite::ReplacePrefix(with)) => {
            let with = with.trim_end_matches('/');
            out.line(format!("rewrite ^{}(.*)$ {with}$1 break;", regex(prefix)));
        }
    }
    let tls = edge
        .upstreams
        .get(service)
        .and_then(|upstream| upstream.balance.tls.as_ref());
    let scheme = if tls.is_some() { "https" } else { "http" };
    out.line(format!("proxy_pass {scheme}://{};", word(service.as_str())));
    out.line("proxy_http_version 1.1;");
    let name = tls.and_then(|tls| tls.name.as_deref());
    if let Some(tls) = tls {
        proxy_tls(tls, out);
    }
    for (name, value) in [
        ("Host", name.unwrap_or("$host")),
        ("X-Real-IP", "$remote_addr"),
        ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
        ("X-Forwarded-Proto", "$scheme"),
        ("Upgrade", "$http_upgrade"),
        ("Connection", "$connection_upgrade"),
    ] {
        out.line(format!("proxy_set_header {name} {value};"));
    }
    let times = policy.timeouts;
    if times
        .read
        .is_some_and(|read| times.answer.is_some_and(|answer| answer != read))
    {
        out.missing("a time for the pieces of an answer that is not the one for its head (`timeouts.read`)");
    }
    for (name, wanted) in [
        ("proxy_connect_timeout", times.connect),
        ("proxy_read_timeout", times.answer.or(times.read)),
        ("client_body_timeout", times.body),
        ("send_timeout", times.send),
    ] {
        if let Some(wanted) = wanted {
            out.line(format!("{name} {};", time(wanted)));
        }
    }
    let retry = &policy.retry;
    let mut next = String::from("error timeout");
    for status in &retry.statuses {
        // nginx knows these and no others (proxy_next_upstream).
        if matches!(status, 403 | 404 | 429 | 500 | 502 | 503 | 504) {
            let _ = write!(next, " http_{status}");
        } else {
            out.missing(&format!("a try elsewhere after {status}"));
        }
    }
    let next = match retry.methods {
        RetryMethods::None => "off".to_owned(),
        RetryMethods::Idempotent => next,
        RetryMethods::All => format!("{next} non_idempotent"),
    };
    out.line(format!(
        "proxy_next_upstream {};",
        if policy.money.is_some() { "off" } else { &next }
    ));
    out.line(format!("proxy_next_upstream_tries {};", retry.tries));
    out.line(format!("proxy_next_upstream_timeout {};", time(retry.total)));
}

fn rules(policy: &RoutePolicy, out: &mut Writer) {
    for limit in &policy.limits {
        if variable(&limit.key).is_none() || rate(limit).is_none() {
            continue;
        }
        let delay = match limit.rate.delay_after {
            None => " nodelay".to_owned(),
            Some(0) => String::new(),
            Some(after) => format!(" delay={after}"),
        };
        let burst = match limit.rate.burst {
            0 => String::new(),
            burst => format!(" burst={burst}{delay}"),
        };
        out.line(format!("limit_req zone={}{burst};", word(&limit.name)));
        if limit.shadow {
            out.line("limit_req_dry_run on;");
        }
    }
    if !policy.limits.is_empty() {
        out.line("limit_req_status 429;");
    }
    for limit in &policy.in_flight {
        match (variable(&limit.key), limit.upgraded) {
            (Some(_), false) => out.line(format!("limit_conn {} {};", conn_zone(&limit.key), limit.max)),
            _ => out.missing("a bound on WebSockets, or by a claim"),
        }
    }
    if policy.body_shadow {
        out.missing("a `body_max` that is only tried out");
    } else if let Some(bytes) = policy.body_bytes_max {
        out.line(format!("client_max_body_size {bytes};"));
    }
    // nginx takes the first that fits.
    for prefix in &policy.deny {
        out.line(format!("deny {prefix};"));
    }
    for prefix in &policy.allow {
        out.line(format!("allow {prefix};"));
    }
    if !policy.allow.is_empty() {
        out.line("deny all;");
    }
    let headers = &policy.headers;
    if headers.security {
        for (name, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "SAMEORIGIN"),
            ("Referrer-Policy", "strict-origin-when-cross-origin"),
        ] {
            if !headers.set.keys().any(|set| set.eq_ignore_ascii_case(name)) {
                out.line(format!("add_header {name} {value} always;"));
            }
        }
    }
    if let Some(hsts) = &headers.hsts {
        out.line(format!("add_header Strict-Transport-Security {} always;", quoted(hsts)));
    }
    for (name, value) in &headers.set {
        out.line(format!("add_header {name} {} always;", quoted(value)));
    }
    for name in &headers.remove {
        out.line(format!("proxy_hide_header {name};"));
    }
    let compress = &policy.compress;
    if compress.enabled && !compress.secret_bearing {
        // nginx has no patterns of types, and text/html without asking.
        let types = compress
            .types
            .iter()
            .map(|one| if one == "text/*" { "text/plain text/css" } else { one });
        let types: Vec<&str> = types.filter(|one| *one != "text/html").collect();
        out.line("gzip on;");
        out.line(format!("gzip_min_length {};", compress.bytes_min));
        if !types.is_empty() {
            out.line(format!("gzip_types {};", types.join(" ")));
        }
    }
    for (wanted, what) in [
        (policy.cors.is_some(), "`cors`"),
        (!policy.error_pages.is_empty(), "`error_pages`"),
        (policy.client_certificate, "`client_certificate` of a route"),
        (policy.timeouts.whole.is_some(), "`timeouts.whole`"),
        (policy.min_upload_rate.is_some(), "`min_upload_rate`"),
        (policy.money.is_some(), "idempotency keys and the spool of `money`"),
    ] {
        if wanted {
            out.missing(what);
        }
    }
}
