//! What a `prometheus.yml` may say and nobody here does, with what follows from that. Owns the words; the order of reading is elsewhere.

use tend_text::{Keys, Place};

use super::Reading;

/// Keys of the file itself.
pub(super) const TOP: &[(&str, &str)] = &[
    (
        "remote_write",
        "samples go into the store of this machine and to nobody else",
    ),
    ("remote_read", "queries are answered from the store of this machine"),
    ("storage", "how long and how much is kept is set where the monitor is"),
    ("tracing", "no traces are written"),
    ("otlp", "OTLP is not taken in"),
    ("runtime", "it is about Go"),
    (
        "scrape_config_files",
        "jobs are read from this file only; put them under `scrape_configs`",
    ),
];

/// Keys of `global`.
pub(super) const GLOBAL: &[(&str, &str)] = &[
    ("query_log_file", "queries are not written to a file"),
    ("scrape_failure_log_file", FAILURES),
    ("scrape_native_histograms", NATIVE),
    ("convert_classic_histograms_to_nhcb", NATIVE),
    ("extra_scrape_metrics", EXTRA),
];

/// Keys of a job.
pub(super) const JOB: &[(&str, &str)] = &[
    (
        "track_timestamps_staleness",
        "a series whose exporter gives it times of its own ends five minutes after its last sample",
    ),
    ("scrape_failure_log_file", FAILURES),
    ("scrape_native_histograms", NATIVE),
    ("convert_classic_histograms_to_nhcb", NATIVE),
    ("native_histogram_bucket_limit", NATIVE),
    ("native_histogram_min_bucket_factor", NATIVE),
    ("extra_scrape_metrics", EXTRA),
];

/// Keys of an Alertmanager.
pub(super) const ALERTMANAGER: &[(&str, &str)] = &[
    ("relabel_configs", "all Alertmanagers listed are told"),
    ("alert_relabel_configs", "write it under `alerting`, for all of them"),
    ("sigv4", "requests are not signed for AWS"),
];

/// Keys of whatever speaks HTTP.
pub(super) const HTTP: &[(&str, &str)] = &[
    (
        "oauth2",
        "no token is got, so the other side will refuse what needs one",
    ),
    ("proxy_url", PROXY),
    ("no_proxy", PROXY),
    ("proxy_from_environment", PROXY),
    ("proxy_connect_header", PROXY),
];

/// Keys of `tls_config`.
pub(super) const TLS: &[(&str, &str)] = &[
    ("ca", "write the certificate into a file, and its path as `ca_file`"),
    ("cert", "write the certificate into a file, and its path as `cert_file`"),
    ("key", "write the key into a file, and its path as `key_file`"),
];

const FAILURES: &str = "why a scrape failed is shown beside its target";
const NATIVE: &str = "native histograms are not read; classic ones are, always";
const EXTRA: &str = "the five usual series of a scrape are written";
const PROXY: &str = "the other side is asked directly";

/// Ways of finding targets.
const DISCOVERIES: [&str; 29] = [
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "eureka_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "http_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "openstack_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
];

/// The ways of finding targets that a chapter names and nobody here knows.
pub(super) fn discoveries(keys: &mut Keys<'_>) -> Vec<(Place, &'static str)> {
    let found = DISCOVERIES
        .iter()
        .filter_map(|key| Some((keys.entry(key)?.place, *key)));
    found.collect()
}

/// Keys whose value decides whether there is anything to say.
pub(super) fn schemes(reading: &mut Reading<'_>, keys: &mut Keys<'_>) {
    for (key, done, why) in [
        (
            "metric_name_validation_scheme",
            &["utf8"][..],
            "names may have any characters",
        ),
        (
            "metric_name_escaping_scheme",
            &["allow-utf-8"][..],
            "exporters are not asked to write names in another way",
        ),
        (
            "fallback_scrape_protocol",
            &["PrometheusText0.0.4", "PrometheusText1.0.0"][..],
            "an answer that does not say what it is is read as Prometheus' text",
        ),
        // Classic histograms are taken whatever else there is.
        ("scrape_classic_histograms", &["true", "false"][..], ""),
        ("always_scrape_classic_histograms", &["true", "false"][..], ""),
    ] {
        if let Some((text, place)) = keys.text(key, reading.findings)
            && !done.contains(&text.as_str())
        {
            let message = format!("`{key}: {text}` is not done: {why}");
            reading.findings.warning(place, message).plainly();
        }
    }
}
