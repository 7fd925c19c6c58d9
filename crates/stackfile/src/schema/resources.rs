//! The keys of what containers share: networks, volumes, secrets, configs and models, and how a service names them.

use super::compose::{NAMES_OR_LIST, TEXT, TEXTS, VALUE};
use super::{Form, Record, Shape, container, key, ours, remark};

const BOOL: Shape = Shape::One(Form::Bool);
const COUNT: Shape = Shape::One(Form::Count);
const INTEGER: Shape = Shape::One(Form::Integer);
const BYTES: Shape = Shape::One(Form::Bytes);
const EXTERNAL: Shape = Shape::Either(&[BOOL, Shape::Keys(&EXTERNAL_NAME)]);
/// `secrets` of a service.
pub(super) const SECRET_GRANTS: Shape = Shape::List(&Shape::Either(&[TEXT, Shape::Keys(&SECRET_GRANT)]));
/// `configs` of a service, and `secrets` of a build.
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

/// What is ours of a secret.
static SECRET_KEYS: [super::Key; 2] = [
    super::ours(
        "vault",
        Shape::Keys(&super::vault::SECRET),
        "where it is in the Vault of the chapter `vault`",
    ),
    super::ours(
        "rotation",
        Shape::Keys(&super::rotation::ROTATION),
        "how it is rotated, where its class leaves something open: docs/reference/rotation.md",
    ),
];

pub(super) static SECRET: Record = Record {
    name: "secret",
    required: &[],
    more: &SECRET_KEYS,
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

static SECRET_GRANT: Record = Record {
    name: "secret",
    required: &["source"],
    more: &[],
    keys: &[
        key("source", TEXT, "which"),
        key(
            "target",
            TEXT,
            "name of its file, in the folder that `TEND_SECRETS` names; for a container its path",
        ),
        ours("environment", TEXT, "instead of a file: the variable it is given in"),
        ours(
            "fd",
            COUNT,
            "instead of a file: the open file it is given as, 3 or above",
        ),
        container("uid", TEXT, "its owner"),
        container("gid", TEXT, "its group"),
        container("mode", TEXT, "its permissions"),
    ],
};

/// `pre_start`, `post_start` and `pre_stop`.
pub(super) static HOOK: Record = Record {
    name: "hook",
    required: &[],
    more: &[],
    keys: &[
        key(
            "command",
            Shape::Either(&[Shape::One(Form::Command), TEXTS]),
            "what is run",
        ),
        key("image", TEXT, "in which image"),
        key("user", TEXT, "as whom"),
        key("privileged", BOOL, "with all capabilities"),
        key("working_dir", TEXT, "in which folder"),
        key("environment", NAMES_OR_LIST, "with which variables"),
        key("per_replica", BOOL, "for each replica"),
    ],
};

/// `devices` in their long form.
pub(super) static DEVICE: Record = Record {
    name: "device",
    required: &["source"],
    more: &[],
    keys: &[
        key("source", TEXT, "the device"),
        key("target", TEXT, "where it is seen"),
        key("permissions", TEXT, "what may be done with it"),
    ],
};

/// `gpus` and `deploy.resources.reservations.devices`.
pub(super) static GPU: Record = Record {
    name: "device request",
    required: &[],
    more: &[],
    keys: &[
        key("capabilities", TEXTS, "what it can do"),
        key("count", TEXT, "how many"),
        key("device_ids", TEXTS, "which"),
        key("driver", TEXT, "its driver"),
        key("options", NAMES_OR_LIST, "the driver's options"),
    ],
};

/// `deploy.resources.reservations.generic_resources`.
pub(super) static GENERIC: Record = Record {
    name: "generic resource",
    required: &[],
    more: &[],
    keys: &[key(
        "discrete_resource_spec",
        Shape::Keys(&DISCRETE),
        "a thing that can be counted",
    )],
};

static DISCRETE: Record = Record {
    name: "discrete resource",
    required: &[],
    more: &[],
    keys: &[key("kind", TEXT, "which thing"), key("value", VALUE, "how many")],
};

/// `blkio_config`.
pub(super) static BLKIO: Record = Record {
    name: "blkio_config",
    required: &[],
    more: &[],
    keys: &[
        key("weight", COUNT, "share under contention"),
        key(
            "weight_device",
            Shape::List(&Shape::Keys(&BLKIO_WEIGHT)),
            "share of one device",
        ),
        key("device_read_bps", BLKIO_RATES, "bytes read a second"),
        key("device_read_iops", BLKIO_RATES, "reads a second"),
        key("device_write_bps", BLKIO_RATES, "bytes written a second"),
        key("device_write_iops", BLKIO_RATES, "writes a second"),
    ],
};

const BLKIO_RATES: Shape = Shape::List(&Shape::Keys(&BLKIO_RATE));

static BLKIO_RATE: Record = Record {
    name: "rate",
    required: &["path"],
    more: &[],
    keys: &[key("path", TEXT, "the device"), key("rate", BYTES, "no more than this")],
};

static BLKIO_WEIGHT: Record = Record {
    name: "weight",
    required: &["path"],
    more: &[],
    keys: &[key("path", TEXT, "the device"), key("weight", COUNT, "its share")],
};

/// `develop`.
pub(super) static DEVELOP: Record = Record {
    name: "develop",
    required: &[],
    more: &[],
    keys: &[key(
        "watch",
        Shape::List(&Shape::Keys(&WATCH)),
        "what is done when files change",
    )],
};

static WATCH: Record = Record {
    name: "watch",
    required: &["path", "action"],
    more: &[],
    keys: &[
        key("path", TEXT, "which folder"),
        key(
            "action",
            Shape::Words(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]),
            "what is done",
        ),
        key("target", TEXT, "where to"),
        key("ignore", Shape::Either(&[TEXT, TEXTS]), "files left out"),
        key("include", Shape::Either(&[TEXT, TEXTS]), "files taken"),
        key("exec", Shape::Keys(&HOOK), "what is run"),
        key("initial_sync", BOOL, "once at the start"),
    ],
};

/// `models` of a service.
pub(super) static SERVICE_MODEL: Record = Record {
    name: "model use",
    required: &[],
    more: &[],
    keys: &[
        key("endpoint_var", TEXT, "the variable of its address"),
        key("model_var", TEXT, "the variable of its name"),
    ],
};

/// `credential_spec`.
pub(super) static CREDENTIALS: Record = Record {
    name: "credential_spec",
    required: &[],
    more: &[],
    keys: &[
        key("config", TEXT, "the config it is in"),
        key("file", TEXT, "the file it is in"),
        key("registry", TEXT, "the registry it is in"),
    ],
};
