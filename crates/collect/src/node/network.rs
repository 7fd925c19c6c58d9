//! The network as the kernel counts it: `/proc/net`. Opens nothing.

use crate::CollectError;
use crate::families::Families;
use crate::files::{Files, number};

/// What the columns of `/proc/net/dev` are.
const DEVICE_COLUMNS: [&str; 16] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
];

fn device_counter(out: &mut Families, device: &str, what: &str, value: f64) {
    let help = format!("Network device statistic {what}.");
    out.counter(format!("node_network_{what}_total"), help, &[("device", device)], value);
}

/// `/proc/net/dev`, without the loopback: Debian's default.
pub(super) fn devices(files: &Files, out: &mut Families) -> Result<(), CollectError> {
    let path = "proc/net/dev";
    let devices = device_counters(&files.read(path)?, out).ok_or_else(|| files.not_understood(path))?;
    for device in devices {
        // The one counter of the exporter that this file lacks.
        if let Some(count) = files
            .word(&format!("sys/class/net/{device}/statistics/rx_nohandler"))
            .as_deref()
            .and_then(number)
        {
            device_counter(out, &device, "receive_nohandler", count);
        }
    }
    Ok(())
}

fn device_counters(text: &str, out: &mut Families) -> Option<Vec<String>> {
    let mut devices = Vec::new();
    // Two lines of headings.
    for line in text.lines().skip(2) {
        let (device, counters) = line.rsplit_once(':')?;
        let device = device.trim();
        if device == "lo" {
            continue;
        }
        for (what, word) in DEVICE_COLUMNS.iter().zip(counters.split_ascii_whitespace()) {
            device_counter(out, device, what, number(word)?);
        }
        devices.push(device.to_owned());
    }
    Some(devices)
}

/// `/proc/net/arp`.
pub(super) fn arp(text: &str, out: &mut Families) -> Option<()> {
    let mut entries = std::collections::BTreeMap::<&str, u32>::new();
    for line in text.lines().skip(1) {
        *entries.entry(line.split_ascii_whitespace().nth(5)?).or_default() += 1;
    }
    for (device, count) in entries {
        out.gauge(
            "node_arp_entries",
            "ARP entries by device",
            &[("device", device)],
            f64::from(count),
        );
    }
    Some(())
}

/// Connection tracking, where the module is loaded.
pub(super) fn conntrack(files: &Files, out: &mut Families) -> Result<(), CollectError> {
    for (file, name, help) in [
        (
            "nf_conntrack_count",
            "node_nf_conntrack_entries",
            "Number of currently allocated flow entries for connection tracking.",
        ),
        (
            "nf_conntrack_max",
            "node_nf_conntrack_entries_limit",
            "Maximum size of connection tracking table.",
        ),
    ] {
        let path = format!("proc/sys/net/netfilter/{file}");
        let count = number(files.read(&path)?.trim()).ok_or_else(|| files.not_understood(&path))?;
        out.gauge(name, help, &[], count);
    }
    files.parse("proc/net/stat/nf_conntrack", out, conntrack_statistics)
}

/// `/proc/net/stat/nf_conntrack`: headings, then a line for each processor, hexadecimal.
fn conntrack_statistics(text: &str, out: &mut Families) -> Option<()> {
    let mut lines = text.lines();
    let headings: Vec<&str> = lines.next()?.split_ascii_whitespace().collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_ascii_whitespace().collect()).collect();
    for (heading, help) in [
        ("found", "Number of searched entries which were successful."),
        ("invalid", "Number of packets seen which can not be tracked."),
        (
            "ignore",
            "Number of packets seen which are already connected to a conntrack entry.",
        ),
        ("insert", "Number of entries inserted into the list."),
        (
            "insert_failed",
            "Number of entries for which list insertion was attempted but failed.",
        ),
        ("drop", "Number of packets dropped due to conntrack failure."),
        (
            "early_drop",
            "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
        ),
        (
            "search_restart",
            "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
        ),
    ] {
        let Some(column) = headings.iter().position(|name| *name == heading) else {
            continue;
        };
        let mut sum = 0.0;
        for row in &rows {
            sum += f64::from(u32::from_str_radix(row.get(column)?, 16).ok()?);
        }
        out.gauge(format!("node_nf_conntrack_stat_{heading}"), help, &[], sum);
    }
    Some(())
}

/// `/proc/net/netstat` and `/proc/net/snmp`: a line of names, then a line of values, both behind the protocol.
pub(super) fn netstat(text: &str, out: &mut Families) -> Option<()> {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (protocol, names) = names.split_once(':')?;
        let (_, values) = values.split_once(':')?;
        for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
            netstat_value(protocol, name, number(value)?, out);
        }
    }
    Some(())
}

/// `/proc/net/snmp6`: `Ip6InReceives 17`.
pub(super) fn netstat6(text: &str, out: &mut Families) -> Option<()> {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        if let Some(six) = name.find('6') {
            let (protocol, name) = name.split_at(six + 1);
            netstat_value(protocol, name, number(value)?, out);
        }
    }
    Some(())
}

fn netstat_value(protocol: &str, name: &str, value: f64, out: &mut Families) {
    if is_wanted(protocol, name) {
        let help = format!("Statistic {protocol}{name}.");
        out.untyped(format!("node_netstat_{protocol}_{name}"), help, &[], value);
    }
}

/// The exporter's default: `^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|...)$`.
fn is_wanted(protocol: &str, name: &str) -> bool {
    match (protocol, name) {
        (_, "InErrors" | "InErrs")
        | ("Ip", "Forwarding")
        | ("Ip6" | "IpExt", "InOctets" | "OutOctets")
        | ("Icmp" | "Icmp6", "InMsgs" | "OutMsgs")
        | ("TcpExt", "TCPSynRetrans" | "TCPTimeouts")
        | ("Tcp", "ActiveOpens" | "InSegs" | "OutSegs" | "OutRsts" | "PassiveOpens" | "RetransSegs" | "CurrEstab")
        | ("Udp" | "Udp6", "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors") => true,
        ("TcpExt", name) => name.starts_with("Listen") || name.starts_with("Syncookies"),
        _ => false,
    }
}

/// `/proc/net/sockstat` and `/proc/net/sockstat6`: `TCP: inuse 7 orphan 0`; `page_bytes` is the unit of `mem`.
pub(super) fn sockstat(text: &str, page_bytes: f64, out: &mut Families) -> Option<()> {
    for line in text.lines() {
        let (protocol, pairs) = line.split_once(':')?;
        let words: Vec<&str> = pairs.split_ascii_whitespace().collect();
        for pair in words.chunks(2) {
            let [state, count] = pair else {
                return None;
            };
            let count = number(count)?;
            if protocol == "sockets" {
                out.gauge(
                    "node_sockstat_sockets_used",
                    "Number of IPv4 sockets in use.",
                    &[],
                    count,
                );
                continue;
            }
            let mut sample = |state: &str, value| {
                let help = format!("Number of {protocol} sockets in state {state}.");
                out.gauge(format!("node_sockstat_{protocol}_{state}"), help, &[], value);
            };
            sample(state, count);
            if *state == "mem" {
                sample("mem_bytes", count * page_bytes);
            }
        }
    }
    Some(())
}

/// `/proc/net/udp` and `/proc/net/udp6`: the bytes that wait in all queues.
pub(super) fn udp_queues(ip: &str, text: &str, out: &mut Families) -> Option<()> {
    let (mut sent, mut received) = (0.0, 0.0);
    for line in text.lines().skip(1) {
        let (tx, rx) = line.split_ascii_whitespace().nth(4)?.split_once(':')?;
        sent += f64::from(u32::from_str_radix(tx, 16).ok()?);
        received += f64::from(u32::from_str_radix(rx, 16).ok()?);
    }
    for (queue, bytes) in [("tx", sent), ("rx", received)] {
        out.gauge(
            "node_udp_queues",
            "Number of allocated memory in the kernel for UDP datagrams in bytes.",
            &[("queue", queue), ("ip", ip)],
            bytes,
        );
    }
    Some(())
}
