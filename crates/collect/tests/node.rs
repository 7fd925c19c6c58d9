//! The host beside `prometheus-node-exporter`.

use tend_collect::Node;

use crate::comparison::{Differences, assert_documented, compare};
use crate::exporter::{Exporter, Exposition};

const USED: [&str; 5] = [
    "node_cpu_seconds_total",
    "node_memory_MemAvailable_bytes",
    "node_memory_MemTotal_bytes",
    "node_filesystem_avail_bytes",
    "node_filesystem_size_bytes",
];

const SOCKETS: &str = "the connection that each scrape of the exporter is, and those of other tests";

const DIFFERENCES: Differences = Differences {
    missing: &[
        ("go_*", "the exporter's own runtime"),
        ("process_*", "the exporter's own process; ours are of replicas"),
        ("promhttp_*", "the exporter's own server"),
        ("node_exporter_build_info", "it is not the exporter that answers"),
        (
            "node_textfile_*",
            "files of other programs' metrics are scraped, not included",
        ),
        (
            "node_systemd_*",
            "units are supervised by systemd, services by us; needs D-Bus",
        ),
        (
            "node_time_zone_offset_seconds",
            "nothing of ours reads the local time zone",
        ),
        ("node_cpu_isolated", "special hardware or kernels"),
        ("node_cpu_core_throttles_total", "special hardware"),
        ("node_cpu_package_throttles_total", "special hardware"),
        ("node_cpu_scaling_*", "special hardware"),
        ("node_cpu_frequency_*", "special hardware"),
        ("node_bcache_*", "special hardware"),
        ("node_bonding_*", "special hardware"),
        ("node_btrfs_*", "one file system's own"),
        ("node_cooling_device_*", "special hardware"),
        ("node_dmi_info", "special hardware"),
        ("node_edac_*", "special hardware"),
        ("node_fibrechannel_*", "special hardware"),
        ("node_hwmon_*", "special hardware"),
        ("node_infiniband_*", "special hardware"),
        ("node_ipvs_*", "special kernels"),
        ("node_md_*", "special hardware"),
        ("node_nfs_*", "one file system's own"),
        ("node_nfsd_*", "one file system's own"),
        ("node_nvme_info", "special hardware"),
        ("node_power_supply_*", "special hardware"),
        ("node_rapl_*", "special hardware"),
        ("node_selinux_current_mode", "special kernels"),
        ("node_selinux_config_mode", "special kernels"),
        ("node_tape_*", "special hardware"),
        ("node_thermal_zone_*", "special hardware"),
        ("node_xfs_*", "one file system's own"),
        ("node_zfs_*", "one file system's own"),
    ],
    values: &[
        (
            "node_procs_running",
            "reading wakes processes up: the exporter's threads run while it counts",
        ),
        ("node_disk_io_now", "what is in flight at an instant"),
        (
            "node_scrape_collector_duration_seconds",
            "how long each took is its own",
        ),
        ("node_scrape_collector_success", "the parts are not cut the same way"),
    ],
    labels: &[
        ("node_scrape_collector_duration_seconds", "only the parts there are"),
        ("node_scrape_collector_success", "only the parts there are"),
    ],
    tolerances: &[
        // What does not move is the same to the last byte.
        ("node_memory_MemTotal_bytes", 0.0, ""),
        ("node_memory_SwapTotal_bytes", 0.0, ""),
        ("node_memory_VmallocTotal_bytes", 0.0, ""),
        ("node_memory_Huge*", 0.0, ""),
        (
            "node_memory_*",
            3.2e7,
            "the exporter takes memory while it answers; on an idle machine nothing else moves it",
        ),
        ("node_sockstat_TCP_mem_bytes", 2.7e5, SOCKETS),
        ("node_sockstat_*", 64.0, SOCKETS),
        ("node_netstat_Tcp_CurrEstab", 64.0, SOCKETS),
        ("node_nf_conntrack_entries", 64.0, SOCKETS),
        (
            "node_filefd_allocated",
            4096.0,
            "each reading opens files itself, and the kernel counts them in batches",
        ),
        (
            "node_cpu_seconds_total",
            0.05,
            "the exporter never lets idle time go back, as the kernel does by ticks",
        ),
    ],
    metadata: &[],
};

#[tokio::test]
async fn the_host_is_told_as_the_exporter_tells_it() {
    let exporter = Exporter::start(
        "node",
        "--web.listen-address",
        &[
            "--log.level=error",
            // Debian's default without /mnt and /media.
            "--collector.filesystem.mount-points-exclude=^/(dev|proc|run|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
        ],
        &[],
    );
    let compared = compare(&exporter, &mut Node::new(), &USED, &DIFFERENCES).await;
    assert!(compared > 200, "{compared}");
}

#[test]
fn what_this_machine_lacks_is_documented_too() {
    let told = Exposition::parse(include_str!("samples/host.txt"));
    assert!(told.types.contains_key("node_schedstat_running_seconds_total"));
    assert_documented(told.types.keys());
}
