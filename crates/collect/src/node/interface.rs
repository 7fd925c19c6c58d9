//! What each network interface is: `/sys/class/net`. Knows no counter of traffic.

use crate::CollectError;
use crate::families::Families;
use crate::files::Files;

/// Attributes with a number in them: file, what the metric is called after `node_network_`.
const ATTRIBUTES: [(&str, &str); 14] = [
    ("addr_assign_type", "address_assign_type"),
    ("carrier", "carrier"),
    ("dev_id", "device_id"),
    ("dormant", "dormant"),
    ("flags", "flags"),
    ("ifindex", "iface_id"),
    ("iflink", "iface_link"),
    ("link_mode", "iface_link_mode"),
    ("mtu", "mtu_bytes"),
    ("name_assign_type", "name_assign_type"),
    ("netdev_group", "net_dev_group"),
    ("speed", "speed_bytes"),
    ("tx_queue_len", "transmit_queue_length"),
    ("type", "protocol_type"),
];

const COUNTERS: [(&str, &str); 3] = [
    ("carrier_changes", "carrier_changes_total"),
    ("carrier_up_count", "carrier_up_changes_total"),
    ("carrier_down_count", "carrier_down_changes_total"),
];

/// All interfaces. An attribute that a driver does not answer is left out, as most are of an interface that is down.
pub(super) fn interfaces(files: &Files, out: &mut Families) -> Result<(), CollectError> {
    let folder = "sys/class/net";
    for device in files.names(folder) {
        let path = format!("{folder}/{device}");
        // `bonding_masters` is a file among the interfaces.
        if !files.path(&path).is_dir() {
            continue;
        }
        let word = |attribute: &str| files.word(&format!("{path}/{attribute}"));
        let text = |attribute: &str| word(attribute).unwrap_or_default();
        let state = text("operstate");
        let labels = [("device", device.as_str())];
        out.gauge(
            "node_network_up",
            "Value is 1 if operstate is 'up', 0 otherwise.",
            &labels,
            f64::from(u8::from(state == "up")),
        );
        out.gauge(
            "node_network_info",
            "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
            &[
                ("device", &device),
                ("address", &text("address")),
                ("broadcast", &text("broadcast")),
                ("duplex", &text("duplex")),
                ("operstate", &state),
                ("ifalias", &text("ifalias")),
            ],
            1.0,
        );
        for (attribute, name) in ATTRIBUTES {
            if let Some(mut value) = word(attribute).as_deref().and_then(integer) {
                if attribute == "speed" {
                    // Megabits.
                    value = value * 1_000_000.0 / 8.0;
                }
                let help = format!("Network device property: {name}");
                out.gauge(format!("node_network_{name}"), help, &labels, value);
            }
        }
        for (attribute, name) in COUNTERS {
            if let Some(value) = word(attribute).as_deref().and_then(integer) {
                let help = format!("Network device property: {name}");
                out.counter(format!("node_network_{name}"), help, &labels, value);
            }
        }
    }
    Ok(())
}

/// Some attributes are hexadecimal, with `0x` before them.
fn integer(text: &str) -> Option<f64> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    value.ok().map(|value| value as f64)
}
