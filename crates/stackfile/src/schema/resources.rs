//! The keys of what containers share: networks, volumes, secrets, configs and models, and how a service names them.

use super::compose::{NAMES_OR_LIST, TEXT, TEXTS, VALUE};
use super::{Form, Record, Shape, key, remark};

const BOOL: Shape = Shape::One(Form::Bool);
const COUNT: Shape = Shape::One(Form::Count);
const INTEGER: Shape = Shape::One(Form::Integer);
const BYTES: Shape = Shape::One(Form::Bytes);
const EXTERNAL: Shape = Shape::Either(&[BOOL, Shape::Keys(&EXTERNAL_NAME)]);
/// `secrets` and `configs` of a service.
pub(super) const GRANTS: Shape = Shape::List(&Shape::Either(&[TEXT, Shape::Keys(&GRANT)]));

static EXTERNAL_NAME: Record = Record {
    name: "external",
    required: &[],
    more: &[],
    keys: &[key("name", TEXT, "the name it has outside")],
};

pub(super) static NETWORK: Record = Record {
    name: "network",
    required: &[],
    more: &[],
    keys: &[
        key("name", TEXT, "its name in the engine"),
        key("driver", TEXT, "its driver"),
        key("driver_opts", Shape::Names(&VALUE), "the driver's options"),
        key("ipam", Shape::Keys(&IPAM), "addresses"),
        key("external", EXTERNAL, "it is there already"),
        key("internal", BOOL, "no way out"),
        key("enable_ipv4", BOOL, "with IPv4"),
        key("enable_ipv6", BOOL, "with IPv6"),
        key("attachable", BOOL, "others may join"),
        remark("labels", NAMES_OR_LIST, "remarks"),
    ],
};

static IPAM: Record = Record {
    name: "ipam",
    required: &[],
    more: &[],
    keys: &[
        key("driver", TEXT, "its driver"),
        key("config", Shape::List(&Shape::Keys(&IPAM_CONFIG)), "its blocks"),
        key("options", Shape::Names(&VALUE), "the driver's options"),
    ],
};

static IPAM_CONFIG: Record = Record {
    name: "ipam.config",
    required: &[],
    more: &[],
    keys: &[
        key("subnet", TEXT, "the block"),
        key("ip_range", TEXT, "where addresses are taken from"),
        key("gateway", TEXT, "the gateway"),
        key("aux_addresses", Shape::Names(&TEXT), "addresses taken already"),
    ],
};

pub(super) static VOLUME: Record = Record {
    name: "volume",
    required: &[],
    more: &[],
    keys: &[
        key("name", TEXT, "its name in the engine"),
        key("driver", TEXT, "its driver"),
        key("driver_opts", Shape::Names(&VALUE), "the driver's options"),
        key("external", EXTERNAL, "it is there already"),
        remark("labels", NAMES_OR_LIST, "remarks"),
    ],
};

pub(super) static SECRET: Record = Record {
    name: "secret",
    required: &[],
    more: &[],
    keys: &[
        key("name", TEXT, "its name in the engine"),
        key("file", TEXT, "the file it is in"),
        key("environment", TEXT, "the variable it is in"),
        key("external", EXTERNAL, "it is there already"),
        remark("labels", NAMES_OR_LIST, "remarks"),
        key("driver", TEXT, "its driver"),
        key("driver_opts", Shape::Names(&VALUE), "the driver's options"),
        key("template_driver", TEXT, "its template driver"),
    ],
};

pub(super) static CONFIG: Record = Record {
    name: "config",
    required: &[],
    more: &[],
    keys: &[
        key("name", TEXT, "its name in the engine"),
        key("file", TEXT, "the file it is in"),
        key("content", TEXT, "what it says"),
        key("environment", TEXT, "the variable it is in"),
        key("external", EXTERNAL, "it is there already"),
        remark("labels", NAMES_OR_LIST, "remarks"),
        key("template_driver", TEXT, "its template driver"),
    ],
};

pub(super) static MODEL: Record = Record {
    name: "model",
    required: &["model"],
    more: &[],
    keys: &[
        key("name", TEXT, "its name in the engine"),
        key("model", TEXT, "the model"),
        key("context_size", COUNT, "its context"),
        key("runtime_flags", TEXTS, "its flags"),
    ],
};

pub(super) static SERVICE_NETWORK: Record = Record {
    name: "network",
    required: &[],
    more: &[],
    keys: &[
        key("aliases", TEXTS, "further names"),
        key("interface_name", TEXT, "name of the interface"),
        key("ipv4_address", TEXT, "fixed address"),
        key("ipv6_address", TEXT, "fixed address"),
        key("link_local_ips", TEXTS, "further addresses"),
        key("mac_address", TEXT, "hardware address"),
        key("driver_opts", Shape::Names(&VALUE), "the driver's options"),
        key("priority", INTEGER, "which is joined first"),
        key("gw_priority", INTEGER, "whose gateway is used"),
    ],
};

pub(super) static MOUNT: Record = Record {
    name: "volume",
    required: &["type"],
    more: &[],
    keys: &[
        key(
            "type",
            Shape::Words(&["volume", "bind", "tmpfs", "cluster", "npipe", "image"]),
            "what kind",
        ),
        key("source", TEXT, "which volume, or which folder of the machine"),
        key("target", TEXT, "where it is seen"),
        key("read_only", BOOL, "cannot be written"),
        key("consistency", TEXT, "read and kept"),
        key("bind", Shape::Keys(&MOUNT_BIND), "for a folder"),
        key("volume", Shape::Keys(&MOUNT_VOLUME), "for a volume"),
        key("tmpfs", Shape::Keys(&MOUNT_TMPFS), "for a folder in memory"),
        key("image", Shape::Keys(&MOUNT_IMAGE), "for an image"),
    ],
};

static MOUNT_BIND: Record = Record {
    name: "bind",
    required: &[],
    more: &[],
    keys: &[
        key("propagation", TEXT, "how mounts below it spread"),
        key("create_host_path", BOOL, "make the folder"),
        key(
            "recursive",
            Shape::Words(&["enabled", "disabled", "writable", "readonly"]),
            "with mounts below it",
        ),
        key("selinux", Shape::Words(&["z", "Z"]), "label"),
    ],
};

static MOUNT_VOLUME: Record = Record {
    name: "volume",
    required: &[],
    more: &[],
    keys: &[
        key("nocopy", BOOL, "starts empty"),
        key("subpath", TEXT, "a folder of it"),
        key("labels", NAMES_OR_LIST, "remarks"),
    ],
};

static MOUNT_TMPFS: Record = Record {
    name: "tmpfs",
    required: &[],
    more: &[],
    keys: &[key("size", BYTES, "its size"), key("mode", TEXT, "its permissions")],
};

static MOUNT_IMAGE: Record = Record {
    name: "image",
    required: &[],
    more: &[],
    keys: &[key("subpath", TEXT, "a folder of it")],
};

static GRANT: Record = Record {
    name: "grant",
    required: &["source"],
    more: &[],
    keys: &[
        key("source", TEXT, "which"),
        key("target", TEXT, "where it is seen"),
        key("uid", TEXT, "its owner"),
        key("gid", TEXT, "its group"),
        key("mode", TEXT, "its permissions"),
    ],
};
