//! The rest of what the kernel and the distribution say of a host. Opens nothing.

use tend_linux::ClockState;

use crate::families::Families;
use crate::files::number;

/// `/proc/loadavg`.
pub(super) fn load(text: &str, out: &mut Families) -> Option<()> {
    let mut words = text.split_ascii_whitespace();
    for (name, help) in [
        ("node_load1", "1m load average."),
        ("node_load5", "5m load average."),
        ("node_load15", "15m load average."),
    ] {
        out.gauge(name, help, &[], number(words.next()?)?);
    }
    Some(())
}

/// `/proc/sys/fs/file-nr`: allocated, unused, maximum.
pub(super) fn file_descriptors(text: &str, out: &mut Families) -> Option<()> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [allocated, _, maximum] = words.as_slice() else {
        return None;
    };
    let (allocated, maximum) = (number(allocated)?, number(maximum)?);
    out.gauge(
        "node_filefd_allocated",
        "File descriptor statistics: allocated.",
        &[],
        allocated,
    );
    out.gauge(
        "node_filefd_maximum",
        "File descriptor statistics: maximum.",
        &[],
        maximum,
    );
    Some(())
}

/// `/proc/sys/kernel/random/entropy_avail`.
pub(super) fn entropy(text: &str, out: &mut Families) -> Option<()> {
    out.gauge(
        "node_entropy_available_bits",
        "Bits of available entropy.",
        &[],
        number(text.trim())?,
    );
    Some(())
}

/// `/proc/sys/kernel/random/poolsize`.
pub(super) fn entropy_pool(text: &str, out: &mut Families) -> Option<()> {
    out.gauge(
        "node_entropy_pool_size_bits",
        "Bits of entropy pool.",
        &[],
        number(text.trim())?,
    );
    Some(())
}

/// `os-release`: `NAME="value"`, as a shell reads it.
pub(super) fn os_release(text: &str, out: &mut Families) -> Option<()> {
    let get = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
        unquoted(line.unwrap_or_default())
    };
    let names = [
        "build_id",
        "id",
        "id_like",
        "image_id",
        "image_version",
        "name",
        "pretty_name",
        "variant",
        "variant_id",
        "version",
        "version_codename",
        "version_id",
    ];
    let values = names.map(|name| get(&name.to_ascii_uppercase()));
    let labels: Vec<(&str, &str)> = names.iter().copied().zip(values.iter().map(String::as_str)).collect();
    out.gauge(
        "node_os_info",
        "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.",
        &labels,
        1.0,
    );
    // `22.04.1` is 22.04: what stands before a second dot.
    let version = get("VERSION_ID");
    let mut parts = version.splitn(3, '.');
    let version = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => number(&format!("{major}.{minor}")),
        (Some(major), None) => number(major),
        _ => None,
    };
    if let Some(version) = version.filter(|version| *version > 0.0) {
        out.gauge(
            "node_os_version",
            "Metric containing the major.minor part of the OS version.",
            &[("id", &get("ID")), ("id_like", &get("ID_LIKE")), ("name", &get("NAME"))],
            version,
        );
    }
    Some(())
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            // In double quotes a backslash takes the next character as it is.
            return if quote == '"' {
                inner.replace("\\\"", "\"").replace("\\\\", "\\")
            } else {
                inner.to_owned()
            };
        }
    }
    text.to_owned()
}

/// How well the clock is kept.
pub(super) fn timex(clock: &ClockState, out: &mut Families) {
    /// The bit of the status that says the offset is in nanoseconds.
    const STA_NANO: i32 = 0x2000;
    const MICROSECONDS: f64 = 1e6;
    /// A part per million, in units of 2^-16 of it.
    const MILLION_16: f64 = 1_000_000.0 * 65_536.0;
    let offset_unit = if clock.status & STA_NANO == 0 {
        MICROSECONDS
    } else {
        1e9
    };
    for (name, help, value) in [
        (
            "sync_status",
            "Is clock synchronized to a reliable server (1 = yes, 0 = no).",
            f64::from(u8::from(clock.is_synchronized)),
        ),
        (
            "offset_seconds",
            "Time offset in between local system and reference clock.",
            clock.offset as f64 / offset_unit,
        ),
        (
            "frequency_adjustment_ratio",
            "Local clock frequency adjustment.",
            1.0 + clock.frequency as f64 / MILLION_16,
        ),
        (
            "maxerror_seconds",
            "Maximum error in seconds.",
            clock.error_max as f64 / MICROSECONDS,
        ),
        (
            "estimated_error_seconds",
            "Estimated error in seconds.",
            clock.error_estimated as f64 / MICROSECONDS,
        ),
        ("status", "Value of the status array bits.", f64::from(clock.status)),
        (
            "loop_time_constant",
            "Phase-locked loop time constant.",
            clock.constant as f64,
        ),
        (
            "tick_seconds",
            "Seconds between clock ticks.",
            clock.tick as f64 / MICROSECONDS,
        ),
        (
            "pps_frequency_hertz",
            "Pulse per second frequency.",
            clock.pps_frequency as f64 / MILLION_16,
        ),
        (
            "pps_jitter_seconds",
            "Pulse per second jitter.",
            clock.pps_jitter as f64 / offset_unit,
        ),
        (
            "pps_shift_seconds",
            "Pulse per second interval duration.",
            f64::from(clock.pps_shift),
        ),
        (
            "pps_stability_hertz",
            "Pulse per second stability, average of recent frequency changes.",
            clock.pps_stability as f64 / MILLION_16,
        ),
        (
            "tai_offset_seconds",
            "International Atomic Time (TAI) offset.",
            f64::from(clock.tai_offset),
        ),
    ] {
        out.gauge(format!("node_timex_{name}"), help, &[], value);
    }
    for (name, help, value) in [
        (
            "pps_jitter_total",
            "Pulse per second count of jitter limit exceeded events.",
            clock.pps_jitter_count,
        ),
        (
            "pps_calibration_total",
            "Pulse per second count of calibration intervals.",
            clock.pps_calibration_count,
        ),
        (
            "pps_error_total",
            "Pulse per second count of calibration errors.",
            clock.pps_error_count,
        ),
        (
            "pps_stability_exceeded_total",
            "Pulse per second count of stability limit exceeded events.",
            clock.pps_stability_count,
        ),
    ] {
        out.counter(format!("node_timex_{name}"), help, &[], value as f64);
    }
}
