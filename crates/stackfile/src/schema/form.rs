//! The grammars of single values.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Component, Path};

use std::num::NonZeroU32;
use std::time::Duration;
use tend_base::{parse_bytes, parse_duration};
use tend_core::model::{HashKey, LimitKey, Prefix, StackName};

use crate::yaml::{Kind, Scalar};

/// A grammar of single values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text; numbers are taken as they are written.
    Text,
    /// Text, a number, a switch or nothing: a value of `environment`, `labels` and the like.
    Value,
    /// A switch.
    Bool,
    /// A whole number, 0 or more.
    Count,
    /// A whole number, also below 0.
    Integer,
    /// A number, 0 or more.
    Number,
    /// `30s`.
    Duration,
    /// `512m`.
    Bytes,
    /// A whole number or `max`.
    Replicas,
    /// 1 to 65535.
    PortNumber,
    /// `[[IP:]PUBLISHED:]TARGET[/PROTOCOL]`.
    PortSpec,
    /// `[ADDRESS:]PORT` to listen at.
    Listen,
    /// `[SOURCE:]TARGET[:MODE]`.
    VolumeSpec,
    /// `SIGTERM`.
    Signal,
    /// `no`, `always`, `on-failure[:N]`, `unless-stopped`.
    Restart,
    /// A command in one text.
    Command,
    /// A path with query, from `/`.
    HttpPath,
    /// Where the port comes from: a variable's name, a number or `none`.
    PortSource,
    /// A variable's name.
    VariableName,
    /// A number of a descriptor, 3 or above.
    Descriptor,
    /// A host name or `*.` and one.
    Host,
    /// A whole number, 1 or more.
    Positive,
    /// A number from 0 to 1.
    Ratio,
    /// `10%`, from 0.1% to 99.9%.
    Share,
    /// A status of HTTP.
    Status,
    /// The name of a header or a cookie.
    HttpName,
    /// A path that stays below the folder it starts from.
    Relative,
    /// The name of a stack or an environment.
    Name,
    /// A file of SQLite.
    SqliteFile,
    /// `postgres://…`.
    PostgresUrl,
    /// `postgres://…`, `mysql://…` or `sqlite:…`.
    DatabaseUrl,
    /// A table, with or without its schema.
    TableName,
    /// A column.
    ColumnName,
    /// `10.0.0.0/8`.
    Prefix,
    /// `10/s`.
    Rate,
    /// `client`, `header:NAME`, `claim:NAME` or `route`.
    Counted,
    /// `client`, `header:NAME` or `cookie:NAME`.
    HashKey,
    /// `https://…` or `http://…`.
    WebUrl,
    /// `mysql://…`.
    MysqlUrl,
    /// `redis://…` or `rediss://…`.
    RedisUrl,
    /// `95%`.
    Percent,
    /// `HOST:PORT` of another machine.
    Server,
    /// An address of mail.
    Mail,
}

/// A `ports` entry in its short form, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortSpec {
    /// Where it is published, if said.
    pub(crate) host_ip: Option<IpAddr>,
    /// First and last published port.
    pub(crate) published: Option<(u16, u16)>,
    /// First and last port of the service.
    pub(crate) target: (u16, u16),
    /// `tcp`, `udp` or `sctp`.
    pub(crate) protocol: String,
}

impl Form {
    /// Says what is expected, for messages and the manual.
    pub(crate) fn expects(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Value => "a text or a number",
            Self::Bool => "true or false",
            Self::Count => "a whole number, 0 or more",
            Self::Integer => "a whole number",
            Self::Number => "a number, 0 or more",
            Self::Duration => "a duration such as 30s or 1m30s",
            Self::Bytes => "a size such as 512m or 1.5g",
            Self::Replicas => "a whole number or max",
            Self::PortNumber => "a port from 1 to 65535",
            Self::PortSpec => "a port such as \"8080:3000\"",
            Self::Listen => "a port or an address with a port, such as 8080 or 127.0.0.1:8080",
            Self::VolumeSpec => "a volume such as ./data:/var/lib/data",
            Self::Signal => "a signal such as SIGTERM",
            Self::Restart => "no, always, on-failure, on-failure:N or unless-stopped",
            Self::Command => "a command",
            Self::HttpPath => "a path that starts with /",
            Self::PortSource => "a port number, the name of a variable or none",
            Self::VariableName => "the name of a variable",
            Self::Descriptor => "a descriptor, 3 or above",
            Self::Host => "a host name such as pay.example.com or *.example.com",
            Self::Positive => "a whole number, 1 or more",
            Self::Ratio => "a number from 0 to 1",
            Self::Share => "a share from 0.1% to 99.9%, such as 10%",
            Self::Status => "a status from 200 to 599",
            Self::HttpName => "a name of letters, digits and -, such as X-Canary",
            Self::Relative => "a path below the service's folder, such as dist",
            Self::Name => "a name of lower-case letters, digits, - and _",
            Self::SqliteFile => "the path of a file",
            Self::PostgresUrl => "a URL such as postgres://user@host/database",
            Self::DatabaseUrl => {
                "a URL such as postgres://user@host/database, mysql://user@host/database or sqlite:data/app.db"
            }
            Self::TableName => "the name of a table, such as system_config or public.system_config",
            Self::ColumnName => "the name of a column: letters, digits and _",
            Self::Prefix => "an address or a prefix such as 10.0.0.0/8",
            Self::Rate => "a rate such as 10/s, 300/m or 1000/15m",
            Self::Counted => "client, header:NAME, claim:NAME or route",
            Self::HashKey => "client, header:NAME or cookie:NAME",
            Self::WebUrl => "a URL such as https://host/path",
            Self::MysqlUrl => "a URL such as mysql://user@host",
            Self::RedisUrl => "a URL such as redis://host:6379",
            Self::Percent => "a share in per cent, such as 95%",
            Self::Server => "a name and a port, such as mail.example.com:587",
            Self::Mail => "an address of mail, such as ops@example.com",
        }
    }

    /// Returns a JSON Schema type list and pattern.
    pub(crate) fn json(self) -> (&'static [&'static str], Option<&'static str>) {
        match self {
            Self::Text | Self::Command => (&["string", "number"], None),
            Self::Value => (&["string", "number", "boolean", "null"], None),
            Self::Bool => (&["boolean", "string"], None),
            Self::Count | Self::Integer | Self::PortNumber | Self::Descriptor => (&["integer", "string"], None),
            Self::Number | Self::Bytes => (&["number", "string"], None),
            Self::Replicas => (&["integer", "string"], Some("^(max|[0-9]+|.*\\$.*)$")),
            Self::Duration | Self::VolumeSpec => (&["string"], None),
            Self::PortSpec | Self::Listen | Self::PortSource => (&["integer", "string"], None),
            Self::Signal => (&["string", "integer"], None),
            Self::Restart => (
                &["string"],
                Some("^(no|always|unless-stopped|on-failure(:[0-9]+)?|.*\\$.*)$"),
            ),
            Self::HttpPath => (&["string"], Some("^(/|.*\\$).*$")),
            Self::VariableName => (&["string"], Some("^[A-Za-z_][A-Za-z0-9_]*$|\\$")),
            Self::Host | Self::HttpName | Self::SqliteFile => (&["string"], None),
            Self::Positive | Self::Status => (&["integer", "string"], None),
            Self::Ratio => (&["number", "string"], None),
            Self::Share => (&["string"], Some("^([0-9]+(\\.[0-9])?%|[0-9]+‰)$|\\$")),
            Self::Relative => (&["string", "number"], None),
            Self::Name => (&["string", "number"], Some("^[a-z0-9][a-z0-9_-]*$|\\$")),
            Self::PostgresUrl => (&["string"], Some("^postgres(ql)?://|\\$")),
            Self::DatabaseUrl => (&["string"], Some("^(postgres(ql)?|mysql)://|^sqlite:|\\$")),
            Self::TableName => (
                &["string"],
                Some("^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)?$|\\$"),
            ),
            Self::ColumnName => (&["string"], Some("^[A-Za-z_][A-Za-z0-9_]*$|\\$")),
            Self::Prefix => (&["string"], None),
            Self::Rate => (&["string"], Some("^[0-9]+(r)?/[0-9]*[a-z]+$|\\$")),
            Self::Counted => (&["string"], Some("^(client|route|(header|claim):.+)$|\\$")),
            Self::HashKey => (&["string"], Some("^(client|(header|cookie):.+)$|\\$")),
            Self::WebUrl => (&["string"], Some("^https?://|\\$")),
            Self::MysqlUrl => (&["string"], Some("^mysql://|\\$")),
            Self::RedisUrl => (&["string"], Some("^rediss?://|\\$")),
            Self::Percent => (&["string"], Some("^[0-9]+([.][0-9]+)?%$|\\$")),
            Self::Server => (&["string"], Some(":|\\$")),
            Self::Mail => (&["string"], Some("@|\\$")),
        }
    }

    /// Checks a value; the error says what is wrong beyond "expected …", or nothing more.
    pub(crate) fn check(self, scalar: &Scalar) -> Result<(), Option<String>> {
        let text = scalar.text.as_str();
        let if_true = |good: bool| if good { Ok(()) } else { Err(None) };
        match self {
            Self::Value => Ok(()),
            Self::Text => if_true(scalar.kind != Kind::Bool),
            Self::Bool => if_true(crate::yaml::parse_bool(text).is_some()),
            Self::Count => if_true(text.parse::<u32>().is_ok()),
            Self::Integer => if_true(text.parse::<i64>().is_ok()),
            Self::Number => if_true(
                text.parse::<f64>()
                    .is_ok_and(|number| number.is_finite() && number >= 0.0),
            ),
            Self::Duration => parse_duration(text).map(|_| ()).map_err(|_| {
                text.parse::<f64>()
                    .is_ok()
                    .then(|| "a unit is missing: us, ms, s, m or h".to_owned())
            }),
            Self::Bytes => parse_bytes(text).map(|_| ()).map_err(|_| None),
            Self::Replicas => if_true(text == "max" || text.parse::<u32>().is_ok()),
            Self::PortNumber => if_true(parse_port(text).is_some()),
            Self::PortSpec => parse_port_spec(text).map(|_| ()).map_err(Some),
            Self::Listen => parse_host_port(text).map(|_| ()).map_err(Some),
            Self::VolumeSpec => parse_volume_spec(text).map(|_| ()).map_err(Some),
            Self::Signal => if_true(parse_signal(text).is_some()),
            Self::Restart => if_true(match text.split_once(':') {
                Some((word, count)) => word == "on-failure" && count.parse::<u32>().is_ok(),
                None => matches!(text, "no" | "false" | "always" | "on-failure" | "unless-stopped"),
            }),
            Self::Command => {
                if crate::words::split(text).is_none() {
                    Err(Some("a quote in it is not closed".to_owned()))
                } else {
                    if_true(scalar.kind != Kind::Bool)
                }
            }
            Self::HttpPath => {
                if_true(text.starts_with('/') && !text.contains(|c: char| c.is_whitespace() || c.is_control()))
            }
            Self::PortSource => if_true(text == "none" || parse_port(text).is_some() || is_variable_name(text)),
            Self::VariableName => if_true(is_variable_name(text)),
            Self::Descriptor => if_true(text.parse::<i32>().is_ok_and(|number| (3..1024).contains(&number))),
            Self::Host => if_true(is_host(text)),
            Self::Positive => if_true(text.parse::<u32>().is_ok_and(|number| number > 0)),
            Self::Ratio => if_true(text.parse::<f64>().is_ok_and(|number| (0.0..=1.0).contains(&number))),
            Self::Share => match parse_share(text) {
                Some(1..=999) => Ok(()),
                _ if text.parse::<f64>().is_ok() => Err(Some(format!("the unit is missing: {text}%"))),
                _ => Err(None),
            },
            Self::Status => if_true(text.parse::<u16>().is_ok_and(|status| (200..600).contains(&status))),
            Self::HttpName => if_true(is_http_name(text)),
            Self::Relative => match relative(text) {
                true => Ok(()),
                false if text.is_empty() => Err(None),
                false => Err(Some(
                    "a release holds what is in that folder, nothing beside it".to_owned(),
                )),
            },
            Self::Name => if_true(text.parse::<StackName>().is_ok()),
            Self::SqliteFile => {
                if text.contains("://") || text.starts_with("sqlite:") {
                    Err(Some("write the path alone, such as data/app.db".to_owned()))
                } else {
                    // Whose home `~` is depends on who asks.
                    if_true(!text.is_empty() && !text.starts_with([':', '~']))
                }
            }
            Self::PostgresUrl => if_true(is_url(text, &["postgres://", "postgresql://"])),
            Self::DatabaseUrl => if_true(is_url(text, &["postgres://", "postgresql://", "mysql://", "sqlite:"])),
            Self::WebUrl => if_true(is_url(text, &["https://", "http://"])),
            Self::MysqlUrl => if_true(is_url(text, &["mysql://"])),
            Self::RedisUrl => if_true(is_url(text, &["redis://", "rediss://"])),
            Self::Percent => match parse_percent(text) {
                Some(_) => Ok(()),
                None if text.parse::<f64>().is_ok() => Err(Some(format!("the unit is missing: {text}%"))),
                None => Err(None),
            },
            Self::Server => if_true(is_server(text)),
            Self::Mail => if_true(text.split_once('@').is_some_and(|(name, host)| {
                !name.is_empty() && !host.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
            })),
            // They stand in a statement: nothing that would have to be quoted.
            Self::TableName => if_true(text.splitn(2, '.').all(is_variable_name)),
            Self::ColumnName => if_true(is_variable_name(text)),
            Self::Prefix => text
                .parse::<Prefix>()
                .map(|_| ())
                .map_err(|error| Some(error.to_string())),
            Self::Rate => if_true(parse_rate(text).is_some()),
            Self::Counted => if_true(parse_limit_key(text).is_some()),
            Self::HashKey => if_true(parse_hash_key(text).is_some()),
        }
    }
}

/// Returns whether a text has one of the beginnings, and something behind it.
fn is_url(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty()) && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// `mail.example.com:587`, `[::1]:25`.
fn is_server(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        parse_port(port).is_some()
            && match bare {
                Some(address) => address.parse::<IpAddr>().is_ok(),
                None => is_host(host),
            }
    })
}

/// Reads `95%` or `0.5%` into a share from 0 to 1.
pub(crate) fn parse_percent(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent: f64 = number.parse().ok().filter(|_| plain)?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

fn is_variable_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        })
}

/// RFC 9110, `token`; a cookie's name has the same characters (RFC 6265).
fn is_http_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// Returns whether a path stays below the folder it starts from.
fn relative(text: &str) -> bool {
    let path = Path::new(text);
    !text.is_empty()
        && !text.starts_with('~')
        && path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Reads `10%`, `2.5%` or `25‰` into thousandths; nothing finer than one of them.
pub(crate) fn parse_share(text: &str) -> Option<u32> {
    if text.starts_with('+') {
        return None;
    }
    if let Some(number) = text.strip_suffix('‰') {
        return number.parse().ok();
    }
    let number = text.strip_suffix('%')?;
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let tenth = tenth.parse::<u32>().ok().filter(|_| tenth.len() == 1)?;
    whole.parse::<u32>().ok()?.checked_mul(10)?.checked_add(tenth)
}

/// Reads `10/s`, `300/m`, `1000/15m`; also `10r/s`, as nginx writes it.
pub(crate) fn parse_rate(text: &str) -> Option<(NonZeroU32, Duration)> {
    let (requests, per) = text.split_once('/')?;
    let requests = requests.strip_suffix('r').unwrap_or(requests);
    if !requests.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let per = match per.starts_with(|first: char| first.is_ascii_digit()) {
        true => parse_duration(per).ok()?,
        false => parse_duration(&format!("1{per}")).ok()?,
    };
    Some((requests.parse().ok()?, per)).filter(|(_, per)| !per.is_zero())
}

/// Reads who is counted as one.
pub(crate) fn parse_limit_key(text: &str) -> Option<LimitKey> {
    match text.split_once(':') {
        None if text == "client" => Some(LimitKey::Client),
        None if text == "route" => Some(LimitKey::Route),
        Some(("header", name)) if is_http_name(name) => Some(LimitKey::Header(name.to_ascii_lowercase())),
        Some(("claim", name)) if !name.is_empty() => Some(LimitKey::Claim(name.to_owned())),
        _ => None,
    }
}

/// Reads what is hashed.
pub(crate) fn parse_hash_key(text: &str) -> Option<HashKey> {
    match text.split_once(':') {
        None if text == "client" => Some(HashKey::Client),
        Some(("header", name)) if is_http_name(name) => Some(HashKey::Header(name.to_ascii_lowercase())),
        Some(("cookie", name)) if is_http_name(name) => Some(HashKey::Cookie(name.to_owned())),
        _ => None,
    }
}

/// Reads `8080`, `:8080`, `127.0.0.1:8080` or `[::1]:8080`; without an address, every IPv4 address of the machine is meant.
pub(crate) fn parse_host_port(text: &str) -> Result<SocketAddr, String> {
    let bad_port = || "a port is a number from 1 to 65535".to_owned();
    if let Some(port) = parse_port(text.strip_prefix(':').unwrap_or(text)) {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 {
            Err(bad_port())
        } else {
            Ok(address)
        };
    }
    match text.rsplit_once(':') {
        None => Err(bad_port()),
        Some((_, port)) if parse_port(port).is_none() => Err(bad_port()),
        Some(("localhost", port)) => Ok(SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            parse_port(port).expect("checked above"),
        )),
        Some((host, _)) => Err(format!(
            "`{host}` is not an address of this machine; names go into `routes`"
        )),
    }
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    match text.split_once('-') {
        None => parse_port(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (parse_port(first)?, parse_port(last)?);
            (first <= last).then_some((first, last))
        }
    }
}

/// Reads Compose's short form of a port.
pub(crate) fn parse_port_spec(text: &str) -> Result<PortSpec, String> {
    let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("`{protocol}` is not a protocol: tcp, udp or sctp"));
    }
    let range = |text: &str| {
        parse_range(text)
            .ok_or_else(|| format!("`{text}` is not a port from 1 to 65535, nor a range such as 8000-8010"))
    };
    let (host, target) = match rest.rsplit_once(':') {
        None => (None, range(rest)?),
        Some((host, target)) => (Some(host), range(target)?),
    };
    let (host_ip, published) = match host {
        None => (None, None),
        Some(host) => match host.rsplit_once(':') {
            None => (None, Some(host)),
            Some((ip, published)) => (Some(ip), Some(published)),
        },
    };
    let host_ip = host_ip
        .map(|ip| {
            ip.strip_prefix('[')
                .and_then(|ip| ip.strip_suffix(']'))
                .unwrap_or(ip)
                .parse::<IpAddr>()
                .map_err(|_| format!("`{ip}` is not an IP address"))
        })
        .transpose()?;
    // `127.0.0.1::80` asks for any free port.
    let published = published.filter(|text| !text.is_empty()).map(range).transpose()?;
    if let Some((first, last)) = published {
        let (width, wanted) = (last - first, target.1 - target.0);
        if width != wanted && wanted != 0 {
            return Err("the two ranges have different lengths".to_owned());
        }
    }
    Ok(PortSpec {
        host_ip,
        published,
        target,
        protocol,
    })
}

/// Reads Compose's short form of a volume into source, target and mode.
pub(crate) fn parse_volume_spec(text: &str) -> Result<(Option<&str>, &str, Option<&str>), String> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err("a part between the colons is empty".to_owned());
    }
    match parts[..] {
        [target] => Ok((None, target, None)),
        [source, target] => Ok((Some(source), target, None)),
        [source, target, mode] => match mode.split(',').find(|mode| {
            !matches!(
                *mode,
                "ro" | "rw"
                    | "z"
                    | "Z"
                    | "cached"
                    | "delegated"
                    | "consistent"
                    | "nocopy"
                    | "private"
                    | "rprivate"
                    | "shared"
                    | "rshared"
                    | "slave"
                    | "rslave"
                    | "volume-nocopy"
            )
        }) {
            None => Ok((Some(source), target, Some(mode))),
            Some(mode) => Err(format!("`{mode}` is not a mode: ro, rw, z or Z")),
        },
        _ => Err("there are more than three parts".to_owned()),
    }
}

/// Names and numbers of the signals on Linux (x86, ARM and most others; signal(7)).
const SIGNALS: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// Reads `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`.
pub(crate) fn parse_signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        // 34 is what glibc leaves of the kernel's 32; programs mean that one.
        let offset = if offset.is_empty() {
            0
        } else {
            offset.strip_prefix('+')?.parse::<i32>().ok()?
        };
        return (0..=30).contains(&offset).then_some(34 + offset);
    }
    SIGNALS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_taken_apart() {
        let spec = |text| parse_port_spec(text).unwrap();
        assert_eq!(spec("80").published, None);
        assert_eq!(spec("8080:80").published, Some((8080, 8080)));
        assert_eq!(spec("127.0.0.1:8080:80/udp").protocol, "udp");
        assert_eq!(spec("[::1]:8080:80").host_ip, "::1".parse().ok());
        assert_eq!(spec("9000-9002:9000-9002").target, (9000, 9002));
        assert_eq!(spec("127.0.0.1::80").published, None);
        assert_eq!(spec("8000-8005:80").target, (80, 80));
        for text in [
            "", "0", "65536", "a", "80:b", "x:80:80", "80/http", "1-3:1-2", "3-1", "1:2:3:4",
        ] {
            assert!(parse_port_spec(text).is_err(), "{text}");
        }
    }

    #[test]
    fn listening_addresses_are_read() {
        for (text, address) in [
            ("8080", "0.0.0.0:8080"),
            (":8080", "0.0.0.0:8080"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::]:80", "[::]:80"),
            ("localhost:80", "127.0.0.1:80"),
        ] {
            assert_eq!(parse_host_port(text), Ok(address.parse().unwrap()), "{text}");
        }
        for text in ["", "0", "127.0.0.1:0", "example.com:80", "127.0.0.1", "1:2:3"] {
            assert!(parse_host_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_read_in_thousandths() {
        for (text, permille) in [("10%", 100), ("0.1%", 1), ("2.5%", 25), ("7‰", 7), ("100%", 1000)] {
            assert_eq!(parse_share(text), Some(permille), "{text}");
        }
        for text in [
            "",
            "%",
            "10",
            "0.25%",
            "1.%",
            ".5%",
            "-1%",
            "+-1%",
            "1.+%",
            "4294967295%",
            "ten%",
        ] {
            assert_eq!(parse_share(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_a_number_in_a_time() {
        for (text, requests, per) in [
            ("10/s", 10, 1),
            ("10r/s", 10, 1),
            ("300/m", 300, 60),
            ("1000/15m", 1000, 900),
        ] {
            let wanted = (NonZeroU32::new(requests).unwrap(), Duration::from_secs(per));
            assert_eq!(parse_rate(text), Some(wanted), "{text}");
        }
        for text in [
            "",
            "10",
            "/s",
            "0/s",
            "10/",
            "-1/s",
            "+1/s",
            "10/0s",
            "1.5/s",
            "10/day of",
            "10//s",
        ] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
    }

    #[test]
    fn relative_paths_stay_below_their_folder() {
        for text in ["dist", "./dist/app", ".", "a b/c.js", "migrations/*.sql"] {
            assert!(relative(text), "{text}");
        }
        for text in ["", "/dist", "../dist", "dist/../..", "~/dist"] {
            assert!(!relative(text), "{text}");
        }
    }

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("15", 15),
            ("SIGRTMIN+3", 37),
            ("SIGUSR1", 10),
        ] {
            assert_eq!(parse_signal(text), Some(number), "{text}");
        }
        for text in ["", "SIGNOPE", "0", "65", "SIGRTMIN+99", "SIGRTMIN-1"] {
            assert_eq!(parse_signal(text), None, "{text}");
        }
    }
}
