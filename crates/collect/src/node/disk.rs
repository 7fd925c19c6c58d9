//! Block devices: `/proc/diskstats`, and what udev knows of them. Opens nothing but udev's notes through [`Files`].

use std::collections::BTreeMap;

use tend_exposition::MetricType;

use crate::CollectError;
use crate::families::Families;
use crate::files::{Files, number};

/// The kernel counts in sectors of this size, whatever the device's are.
const SECTOR_BYTES: f64 = 512.0;
const MILLISECONDS: f64 = 1000.0;

/// What the columns after the name are: metric, help, type, and what they are multiplied with.
const COLUMNS: [(&str, &str, MetricType, Unit); 17] = {
    use MetricType::{Counter, Gauge};
    use Unit::{Bytes, One, Seconds};
    [
        (
            "reads_completed_total",
            "The total number of reads completed successfully.",
            Counter,
            One,
        ),
        ("reads_merged_total", "The total number of reads merged.", Counter, One),
        (
            "read_bytes_total",
            "The total number of bytes read successfully.",
            Counter,
            Bytes,
        ),
        (
            "read_time_seconds_total",
            "The total number of seconds spent by all reads.",
            Counter,
            Seconds,
        ),
        (
            "writes_completed_total",
            "The total number of writes completed successfully.",
            Counter,
            One,
        ),
        ("writes_merged_total", "The number of writes merged.", Counter, One),
        (
            "written_bytes_total",
            "The total number of bytes written successfully.",
            Counter,
            Bytes,
        ),
        (
            "write_time_seconds_total",
            "This is the total number of seconds spent by all writes.",
            Counter,
            Seconds,
        ),
        ("io_now", "The number of I/Os currently in progress.", Gauge, One),
        (
            "io_time_seconds_total",
            "Total seconds spent doing I/Os.",
            Counter,
            Seconds,
        ),
        (
            "io_time_weighted_seconds_total",
            "The weighted # of seconds spent doing I/Os.",
            Counter,
            Seconds,
        ),
        (
            "discards_completed_total",
            "The total number of discards completed successfully.",
            Counter,
            One,
        ),
        (
            "discards_merged_total",
            "The total number of discards merged.",
            Counter,
            One,
        ),
        (
            "discarded_sectors_total",
            "The total number of sectors discarded successfully.",
            Counter,
            One,
        ),
        (
            "discard_time_seconds_total",
            "This is the total number of seconds spent by all discards.",
            Counter,
            Seconds,
        ),
        (
            "flush_requests_total",
            "The total number of flush requests completed successfully",
            Counter,
            One,
        ),
        (
            "flush_requests_time_seconds_total",
            "This is the total number of seconds spent by all flush requests.",
            Counter,
            Seconds,
        ),
    ]
};

#[derive(Clone, Copy)]
enum Unit {
    One,
    Bytes,
    Seconds,
}

/// All that is known of block devices.
pub(super) fn diskstats(files: &Files, out: &mut Families) -> Result<(), CollectError> {
    let path = "proc/diskstats";
    let devices = counters(&files.read(path)?, out).ok_or_else(|| files.not_understood(path))?;
    for (device, major, minor) in devices {
        let notes = files
            .word(&format!("run/udev/data/b{major}:{minor}"))
            .unwrap_or_default();
        udev(&device, (&major, &minor), &notes, out);
    }
    Ok(())
}

/// `/proc/diskstats`; returns name, major and minor number of each device that counts.
fn counters(text: &str, out: &mut Families) -> Option<Vec<(String, String, String)>> {
    let mut devices = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (major, minor, device) = (words.next()?, words.next()?, words.next()?);
        if is_left_out(device) {
            continue;
        }
        // Older kernels have fewer columns, newer ones may have more.
        for ((name, help, metric_type, unit), word) in COLUMNS.iter().zip(words) {
            let value = number(word)?;
            let value = match unit {
                Unit::One => value,
                Unit::Bytes => value * SECTOR_BYTES,
                Unit::Seconds => value / MILLISECONDS,
            };
            let name = format!("node_disk_{name}").into();
            out.add(*metric_type, name, (*help).into(), "", &[("device", device)], value);
        }
        devices.push((device.to_owned(), major.to_owned(), minor.to_owned()));
    }
    Some(devices)
}

/// Partitions, and devices in memory: the exporter's default, `^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`.
fn is_left_out(device: &str) -> bool {
    let begin = device.trim_end_matches(|byte: char| byte.is_ascii_digit());
    if begin.len() == device.len() {
        return false;
    }
    if ["ram", "loop", "fd"].contains(&begin) {
        return true;
    }
    if let Some(disk) = ["h", "s", "v", "xv"].iter().find_map(|kind| {
        let rest = begin.strip_prefix(kind)?.strip_prefix('d')?;
        (rest.len() == 1).then_some(rest)
    }) {
        return disk.bytes().all(|byte| byte.is_ascii_lowercase());
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    begin
        .strip_prefix("nvme")
        .and_then(|rest| rest.strip_suffix('p'))
        .and_then(|rest| rest.split_once('n'))
        .is_some_and(|(controller, namespace)| digits(controller) && digits(namespace))
}

/// What udev noted of a device: lines `E:NAME=value`.
fn udev(device: &str, (major, minor): (&str, &str), notes: &str, out: &mut Families) {
    let notes: BTreeMap<&str, &str> = notes
        .lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .collect();
    let get = |name: &str| notes.get(name).copied().unwrap_or_default();
    out.gauge(
        "node_disk_info",
        "Info of /sys/block/<block_device>.",
        &[
            ("device", device),
            ("major", major),
            ("minor", minor),
            ("path", get("ID_PATH")),
            ("wwn", get("ID_WWN")),
            ("model", get("ID_MODEL")),
            ("serial", get("ID_SERIAL_SHORT")),
            ("revision", get("ID_REVISION")),
        ],
        1.0,
    );
    if !get("ID_FS_TYPE").is_empty() {
        out.gauge(
            "node_disk_filesystem_info",
            "Info about disk filesystem.",
            &[
                ("device", device),
                ("type", get("ID_FS_TYPE")),
                ("usage", get("ID_FS_USAGE")),
                ("uuid", get("ID_FS_UUID")),
                ("version", get("ID_FS_VERSION")),
            ],
            1.0,
        );
    }
    if !get("DM_NAME").is_empty() {
        out.gauge(
            "node_disk_device_mapper_info",
            "Info about disk device mapper.",
            &[
                ("device", device),
                ("name", get("DM_NAME")),
                ("uuid", get("DM_UUID")),
                ("vg_name", get("DM_VG_NAME")),
                ("lv_name", get("DM_LV_NAME")),
                ("lv_layer", get("DM_LV_LAYER")),
            ],
            1.0,
        );
    }
    if get("ID_ATA").is_empty() {
        return;
    }
    for (note, name, help) in [
        (
            "ID_ATA_WRITE_CACHE",
            "node_disk_ata_write_cache",
            "ATA disk has a write cache.",
        ),
        (
            "ID_ATA_WRITE_CACHE_ENABLED",
            "node_disk_ata_write_cache_enabled",
            "ATA disk has its write cache enabled.",
        ),
        (
            "ID_ATA_ROTATION_RATE_RPM",
            "node_disk_ata_rotation_rate_rpm",
            "ATA disk rotation rate in RPMs (0 for SSDs).",
        ),
    ] {
        if let Some(value) = number(get(note)) {
            out.gauge(name, help, &[("device", device)], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_devices_in_memory_are_left_out() {
        for (device, left_out) in [
            ("sda", false),
            ("sda1", true),
            ("vda", false),
            ("vda15", true),
            ("xvdb2", true),
            ("hdc3", true),
            ("sdaa1", false),
            ("nvme0n1", false),
            ("nvme0n1p2", true),
            ("loop7", true),
            ("ram0", true),
            ("fd0", true),
            ("zram0", false),
            ("dm-0", false),
            ("md127", false),
            ("mmcblk0p1", false),
        ] {
            assert_eq!(is_left_out(device), left_out, "{device}");
        }
    }

    #[test]
    fn columns_an_older_kernel_lacks_are_not_invented() {
        let mut out = Families::new();
        let text = "   8       0 sda 10 1 16 500 20 2 32 1500 3 2000 2500\n   8       1 sda1 1 1 1 1 1 1 1 1 1 1 1\n";
        let devices = counters(text, &mut out).unwrap();
        assert_eq!(devices, [("sda".to_owned(), "8".to_owned(), "0".to_owned())]);
        udev(
            "sda",
            ("8", "0"),
            "S:disk\nE:ID_MODEL=QEMU\nE:ID_FS_TYPE=ext4\nE:ID_FS_UUID=u-u\nE:ID_ATA=1\nE:ID_ATA_ROTATION_RATE_RPM=7200\n",
            &mut out,
        );
        let text = out.text();
        for line in [
            "node_disk_read_bytes_total{device=\"sda\"} 8192\n",
            "node_disk_read_time_seconds_total{device=\"sda\"} 0.5\n",
            "node_disk_written_bytes_total{device=\"sda\"} 16384\n",
            "node_disk_io_now{device=\"sda\"} 3\n",
            "node_disk_io_time_weighted_seconds_total{device=\"sda\"} 2.5\n",
            "node_disk_info{device=\"sda\",major=\"8\",minor=\"0\",path=\"\",wwn=\"\",model=\"QEMU\",serial=\"\",revision=\"\"} 1\n",
            "node_disk_filesystem_info{device=\"sda\",type=\"ext4\",usage=\"\",uuid=\"u-u\",version=\"\"} 1\n",
            "node_disk_ata_rotation_rate_rpm{device=\"sda\"} 7200\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(
            !text.contains("discard") && !text.contains("flush") && !text.contains("sda1"),
            "{text}"
        );
    }
}
