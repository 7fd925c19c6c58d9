//! What holds at a place of nginx's configuration: its own directives, and those of the blocks around it.

use crate::read::Directive;

/// Directives without meaning here: the edge does it by itself, has no such thing to tune, or has it elsewhere.
pub(super) const NEEDLESS: [&str; 61] = [
    "user",
    "pid",
    "daemon",
    "error_log",
    "worker_processes",
    "worker_rlimit_nofile",
    "worker_cpu_affinity",
    "sendfile",
    "sendfile_max_chunk",
    "tcp_nopush",
    "tcp_nodelay",
    "types",
    "types_hash_max_size",
    "types_hash_bucket_size",
    "server_names_hash_bucket_size",
    "server_names_hash_max_size",
    "default_type",
    "server_tokens",
    "keepalive_timeout",
    "keepalive_requests",
    "reset_timedout_connection",
    "log_format",
    "gzip_vary",
    "gzip_proxied",
    "gzip_comp_level",
    "gzip_buffers",
    "gzip_http_version",
    "gzip_disable",
    "ssl_ciphers",
    "ssl_prefer_server_ciphers",
    "ssl_session_cache",
    "ssl_session_timeout",
    "ssl_session_tickets",
    "ssl_dhparam",
    "ssl_ecdh_curve",
    "ssl_stapling",
    "ssl_stapling_verify",
    "ssl_trusted_certificate",
    "proxy_ssl_server_name",
    "proxy_ssl_session_reuse",
    "proxy_ssl_protocols",
    "proxy_ssl_ciphers",
    "proxy_ssl_verify_depth",
    "proxy_ssl_certificate_key",
    "auth_basic_user_file",
    "resolver",
    "resolver_timeout",
    "proxy_http_version",
    "proxy_buffering",
    "proxy_buffers",
    "proxy_buffer_size",
    "proxy_busy_buffers_size",
    "proxy_request_buffering",
    "proxy_cache_bypass",
    "proxy_redirect",
    "client_body_buffer_size",
    "client_header_buffer_size",
    "client_header_timeout",
    "large_client_header_buffers",
    "open_file_cache",
    "charset",
];

/// Directives that a route is made of, wherever they stand.
const RULES: [&str; 44] = [
    "limit_req",
    "limit_req_status",
    "limit_req_dry_run",
    "limit_conn",
    "limit_conn_status",
    "limit_conn_dry_run",
    "access_log",
    "ssl_certificate",
    "ssl_certificate_key",
    "ssl_protocols",
    "ssl_client_certificate",
    "ssl_verify_client",
    "add_header",
    "proxy_hide_header",
    "proxy_set_header",
    "proxy_pass_header",
    "proxy_connect_timeout",
    "proxy_send_timeout",
    "proxy_read_timeout",
    "client_body_timeout",
    "client_max_body_size",
    "send_timeout",
    "gzip",
    "gzip_types",
    "gzip_min_length",
    "gzip_static",
    "proxy_ssl_name",
    "proxy_ssl_verify",
    "proxy_ssl_trusted_certificate",
    "proxy_ssl_certificate",
    "proxy_next_upstream",
    "proxy_next_upstream_tries",
    "proxy_next_upstream_timeout",
    "allow",
    "deny",
    "auth_basic",
    "auth_request",
    "root",
    "alias",
    "index",
    "try_files",
    "expires",
    "error_page",
    "real_ip_header",
];

/// Says whether a route is made of such directives.
pub(super) fn is_rule(name: &str) -> bool {
    RULES.contains(&name)
}

/// Says whether such directives are taken before any server is looked at.
pub(super) fn is_gathered(name: &str) -> bool {
    matches!(
        name,
        "server"
            | "upstream"
            | "limit_req_zone"
            | "limit_conn_zone"
            | "set_real_ip_from"
            | "real_ip_recursive"
            | "map"
            | "geo"
            | "split_clients"
            | "proxy_cache_path"
    )
}

/// The directives that hold at a place, the innermost block first.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    own: &'a [Directive],
    outer: Option<&'a Context<'a>>,
}

impl<'a> Context<'a> {
    pub(super) fn root(own: &'a [Directive]) -> Self {
        Self { own, outer: None }
    }

    pub(super) fn within(own: &'a [Directive], outer: &'a Context<'a>) -> Self {
        Self {
            own,
            outer: Some(outer),
        }
    }

    /// Returns the directive that holds: the last of the innermost block that has one.
    pub(super) fn get(&self, name: &str) -> Option<&'a Directive> {
        let own = self.own.iter().rev().find(|directive| directive.name == name);
        own.or_else(|| self.outer.and_then(|outer| outer.get(name)))
    }

    /// Returns the first word of the directive that holds.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.get(name).map(Directive::value)
    }

    /// Returns the directives that hold together: all of the innermost block that has any, and none of those around it.
    pub(super) fn all(&self, name: &str) -> Vec<&'a Directive> {
        let own: Vec<_> = self.own.iter().filter(|directive| directive.name == name).collect();
        match (own.is_empty(), self.outer) {
            (true, Some(outer)) => outer.all(name),
            _ => own,
        }
    }
}

/// Turns nginx's `30`, `30s`, `1m30s`, `1d` into a duration of a stack file; nothing where it is no time.
pub(super) fn time(text: &str) -> Option<String> {
    let milliseconds = milliseconds(text)?;
    Some(match milliseconds {
        ms if ms % 1000 != 0 => format!("{ms}ms"),
        ms if ms > 0 && ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms > 0 && ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms => format!("{}s", ms / 1000),
    })
}

/// Reads a time of nginx; a number alone is seconds.
fn milliseconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [
            ("ms", 1),
            ("s", 1000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
            ("w", 604_800_000),
            ("M", 2_592_000_000),
            ("y", 31_536_000_000),
        ];
        let unit = if rest.is_empty() {
            1000
        } else {
            let (name, unit) = units.into_iter().find(|(name, _)| rest.starts_with(name))?;
            rest = &rest[name.len()..];
            unit
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_nginx_become_durations() {
        for (text, wanted) in [
            ("30", "30s"),
            ("60s", "1m"),
            ("1m30s", "90s"),
            ("1d", "24h"),
            ("500ms", "500ms"),
            ("1M", "720h"),
            ("0", "0s"),
        ] {
            assert_eq!(time(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", "s", "x", "1x", "max", "off"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
