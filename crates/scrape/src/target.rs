//! Who is asked: from what a job says of its targets to labels and a URL. Pure.
//!
//! Source of the labels that begin with `__`, of defaults and of the order: Prometheus' `scrape` package. An address without a port keeps none
//! in its label `instance`, as since Prometheus 3; the port is that of the scheme.

use tend_promql::{Labels, LabelsBuilder, format_duration, parse_duration};
use tend_relabel::relabel;

use crate::config::Settings;
use crate::schedule::{Schedule, hash};

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";
const RESERVED: &str = "__";

/// Somebody to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The labels of all its series.
    pub(crate) labels: Labels,
    /// The labels before relabelling.
    pub(crate) discovered: Labels,
    /// Where it is asked.
    pub(crate) url: String,
    /// It is gathered within this process.
    pub(crate) built_in: bool,
    pub(crate) interval_ms: i64,
    pub(crate) timeout_ms: i64,
}

impl Target {
    /// When it is due, as a target of the job of this name.
    pub(crate) fn schedule(&self, job: &str) -> Schedule {
        let labels = self.labels.iter().flat_map(|(name, value)| [name, value]);
        Schedule::new(
            self.interval_ms,
            hash([job, self.url.as_str()].into_iter().chain(labels)),
        )
    }
}

/// What became of what a job found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A target.
    Target(Target),
    /// Relabelling dropped it.
    Dropped {
        /// The labels before relabelling.
        discovered: Labels,
    },
    /// It cannot be asked.
    Refused {
        /// The labels before relabelling.
        discovered: Labels,
        /// Why, for a person.
        why: String,
    },
}

/// Makes a target of an address and the labels it was found with. `url`: what is shown of one that is not asked over HTTP.
pub(crate) fn find<'a>(
    job: &str,
    settings: &Settings,
    address: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    url: Option<&str>,
) -> Found {
    let mut builder = LabelsBuilder::default();
    for (name, value) in [
        ("job", job),
        (INTERVAL, &format_duration(settings.interval_ms)),
        (TIMEOUT, &format_duration(settings.timeout_ms)),
        (PATH, &settings.metrics_path),
        (SCHEME, &settings.scheme),
    ] {
        builder.set(name, value);
    }
    for (name, value) in labels.filter(|(_, value)| !value.is_empty()) {
        builder.set(name, value);
    }
    builder.set(ADDRESS, address);
    for (name, values) in &settings.params {
        if let Some(first) = values.first() {
            builder.set(&format!("{PARAM}{name}"), first);
        }
    }
    let discovered = builder.finish();
    let Some(mut set) = relabel(&discovered, &settings.relabel) else {
        return Found::Dropped { discovered };
    };
    let judged = judge(&set, url.is_none());
    let (interval_ms, timeout_ms) = match judged {
        Ok(times) => times,
        Err(why) => return Found::Refused { discovered, why },
    };
    if !set.has("instance") {
        set = set.with("instance", set.get(ADDRESS));
    }
    Found::Target(Target {
        url: url.map_or_else(|| http_url(&set, settings), str::to_owned),
        labels: set.retain(|name| !name.starts_with(RESERVED)),
        discovered,
        built_in: url.is_some(),
        interval_ms,
        timeout_ms,
    })
}

/// Says what is wrong with a set of labels; interval and timeout where nothing is.
fn judge(set: &Labels, over_http: bool) -> Result<(i64, i64), String> {
    let address = set.get(ADDRESS);
    if address.is_empty() {
        return Err("it has no address: the label `__address__` is empty after relabelling".to_owned());
    }
    if over_http
        && (address.contains('/') || address.contains(['@', '?', '#']) || address.contains(char::is_whitespace))
    {
        return Err(format!("`{address}` is not `host:port`"));
    }
    let scheme = set.get(SCHEME);
    if over_http && !["http", "https"].contains(&scheme) {
        return Err(format!("the scheme `{scheme}` is neither http nor https"));
    }
    let time = |name: &str| match parse_duration(set.get(name)) {
        Some(ms) if ms > 0 => Ok(ms),
        _ => Err(format!(
            "the label `{name}` is `{}`, which is no length of time",
            set.get(name)
        )),
    };
    let (interval_ms, timeout_ms) = (time(INTERVAL)?, time(TIMEOUT)?);
    if timeout_ms > interval_ms {
        return Err(format!(
            "its timeout of {} is longer than its interval of {}",
            set.get(TIMEOUT),
            set.get(INTERVAL)
        ));
    }
    Ok((interval_ms, timeout_ms))
}

fn http_url(set: &Labels, settings: &Settings) -> String {
    let mut params = settings.params.clone();
    for (name, value) in set.iter() {
        let Some(name) = name.strip_prefix(PARAM) else {
            continue;
        };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }
    let mut url = format!("{}://{}", set.get(SCHEME), set.get(ADDRESS));
    let path = set.get(PATH);
    if !path.starts_with('/') {
        url.push('/');
    }
    push_path(&mut url, path);
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, values) in &params {
        values.iter().for_each(|value| _ = query.append_pair(name, value));
    }
    let query = query.finish();
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query);
    }
    url
}

/// Appends a path, with what may not stand in one as `%20`. A `?` is one of them, as in Prometheus: the query comes from `params`.
fn push_path(url: &mut String, path: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~$&+,:;=@!*'()".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let digit = |four: u8| char::from(HEX[usize::from(four & 15)]);
            url.extend(['%', digit(byte >> 4), digit(byte)]);
        }
    }
}
