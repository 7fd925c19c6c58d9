//! The keys that are Compose's, from the Compose specification and its JSON schema (compose-spec, mid-2026).

use super::resources::{
    BLKIO, CONFIG, CREDENTIALS, DEVELOP, DEVICE, GENERIC, GPU, GRANTS, HOOK, MODEL, MOUNT, NETWORK, SECRET,
    SECRET_GRANTS, SERVICE_MODEL, SERVICE_NETWORK, VOLUME,
};
use super::{Form, Record, Shape, container, key, ours, remark};

pub(super) const TEXT: Shape = Shape::One(Form::Text);
pub(super) const VALUE: Shape = Shape::One(Form::Value);
const BOOL: Shape = Shape::One(Form::Bool);
const COUNT: Shape = Shape::One(Form::Count);
const INTEGER: Shape = Shape::One(Form::Integer);
const NUMBER: Shape = Shape::One(Form::Number);
const BYTES: Shape = Shape::One(Form::Bytes);
const DURATION: Shape = Shape::One(Form::Duration);
pub(super) const TEXTS: Shape = Shape::List(&TEXT);
const TEXT_OR_TEXTS: Shape = Shape::Either(&[TEXT, TEXTS]);
pub(super) const NAMES_OR_LIST: Shape = Shape::Either(&[Shape::Names(&VALUE), TEXTS]);
const COMMAND: Shape = Shape::Either(&[Shape::One(Form::Command), TEXTS, Shape::Nothing]);

/// The whole file.
pub(crate) static FILE: Record = Record {
    name: "stack file",
    required: &[],
    more: &[],
    keys: &[
        key("name", TEXT, "the stack's name; default the folder's"),
        remark("version", TEXT, "obsolete; read and ignored"),
        key(
            "include",
            Shape::List(&Shape::Either(&[TEXT, Shape::Keys(&INCLUDE)])),
            "other stack files whose services join this stack",
        ),
        key("services", Shape::Names(&Shape::Keys(&SERVICE)), "what runs"),
        ours(
            "edge",
            Shape::Keys(&super::edge::EDGE),
            "where requests come in and which service answers them",
        ),
        ours(
            "deploy",
            Shape::Keys(&super::deploy::POLICY),
            "what is wanted of deploys of the stack as a whole",
        ),
        ours(
            "config",
            Shape::Keys(&super::config::CONFIG),
            "where the configuration of the services comes from",
        ),
        ours(
            "vault",
            Shape::Keys(&super::vault::VAULT),
            "the Vault, or OpenBao, that secrets come from",
        ),
        container(
            "networks",
            Shape::Names(&Shape::Either(&[Shape::Keys(&NETWORK), Shape::Nothing])),
            "networks of containers",
        ),
        container(
            "volumes",
            Shape::Names(&Shape::Either(&[Shape::Keys(&VOLUME), Shape::Nothing])),
            "volumes of containers",
        ),
        key(
            "secrets",
            Shape::Names(&Shape::Keys(&SECRET)),
            "secrets, and where each is: in tend's store (`external`), a file, a variable or a Vault",
        ),
        container(
            "configs",
            Shape::Names(&Shape::Keys(&CONFIG)),
            "configuration files of containers",
        ),
        container("models", Shape::Names(&Shape::Keys(&MODEL)), "models of containers"),
    ],
};

static INCLUDE: Record = Record {
    name: "include",
    required: &["path"],
    more: &[],
    keys: &[
        key("path", TEXT_OR_TEXTS, "the file, or several that override each other"),
        key(
            "project_directory",
            TEXT,
            "where its relative paths start from; default its own folder",
        ),
        key(
            "env_file",
            TEXT_OR_TEXTS,
            "where its variables come from; default `.env` in that folder",
        ),
    ],
};

/// A service.
pub(crate) static SERVICE: Record = Record {
    name: "service",
    required: &[],
    more: &super::ours::SERVICE_KEYS,
    keys: &[
        // What runs.
        key("image", TEXT, "the image; the service is a container"),
        key(
            "build",
            Shape::Either(&[TEXT, Shape::Keys(&BUILD)]),
            "how the image is built; the service is a container",
        ),
        key(
            "command",
            COMMAND,
            "program and arguments; without `image` and `build` the service is a process",
        ),
        key("entrypoint", COMMAND, "put before `command`"),
        key("working_dir", TEXT, "the folder it runs in; default the stack file's"),
        key(
            "user",
            TEXT,
            "USER or USER:GROUP it runs as; default the stack file's owner",
        ),
        key(
            "environment",
            NAMES_OR_LIST,
            "its variables; one without a value is taken from tend's own environment",
        ),
        key(
            "env_file",
            Shape::Either(&[TEXT, Shape::List(&Shape::Either(&[TEXT, Shape::Keys(&ENV_FILE)]))]),
            "files of variables, the later winning",
        ),
        key(
            "extends",
            Shape::Either(&[TEXT, Shape::Keys(&EXTENDS)]),
            "another service that this one adds to",
        ),
        key("profiles", TEXTS, "only with one of these profiles"),
        key(
            "provider",
            Shape::Keys(&PROVIDER),
            "something outside that provides the service",
        ),
        // When and how many.
        key(
            "depends_on",
            Shape::Either(&[Shape::Names(&Shape::Keys(&DEPENDENCY)), TEXTS]),
            "services that have to be there first",
        ),
        key(
            "deploy",
            Shape::Either(&[Shape::Keys(&DEPLOY), Shape::Nothing]),
            "how many, within which limits, restarted when, replaced how",
        ),
        key("scale", Shape::One(Form::Replicas), "the same as `deploy.replicas`"),
        key(
            "restart",
            Shape::One(Form::Restart),
            "when a replica that ended is started again; default always for a process",
        ),
        key(
            "healthcheck",
            Shape::Keys(&HEALTHCHECK),
            "how its health is asked; for a process, its readiness",
        ),
        key(
            "stop_signal",
            Shape::One(Form::Signal),
            "the first signal to stop it; default SIGTERM",
        ),
        key(
            "stop_grace_period",
            DURATION,
            "from that signal to SIGKILL; default 10s",
        ),
        key("init", BOOL, "reap orphans; a process always has that from its shim"),
        // Limits.
        key("mem_limit", BYTES, "the same as `deploy.resources.limits.memory`"),
        key(
            "mem_reservation",
            BYTES,
            "the same as `deploy.resources.reservations.memory`",
        ),
        key("cpus", NUMBER, "the same as `deploy.resources.limits.cpus`"),
        key(
            "pids_limit",
            INTEGER,
            "the same as `deploy.resources.limits.pids`; below 1 is no limit",
        ),
        key(
            "ulimits",
            Shape::Names(&Shape::Either(&[INTEGER, Shape::Keys(&ULIMIT)])),
            "limits of the kernel; for a process, `nofile`",
        ),
        // Where it is reached and what it says.
        key(
            "ports",
            Shape::List(&Shape::Either(&[Shape::One(Form::PortSpec), Shape::Keys(&PORTS)])),
            "published ports; for a process, where the edge listens for it",
        ),
        key(
            "logging",
            Shape::Keys(&LOGGING),
            "what happens to its output; for a process, `max-size` and `max-file`",
        ),
        // Remarks.
        remark("labels", NAMES_OR_LIST, "remarks"),
        remark("label_file", TEXT_OR_TEXTS, "files of remarks"),
        remark("annotations", NAMES_OR_LIST, "remarks"),
        remark(
            "expose",
            Shape::List(&Shape::One(Form::Text)),
            "ports that others may use",
        ),
        remark("attach", BOOL, "whether `up` shows its output"),
        remark(
            "develop",
            Shape::Either(&[Shape::Keys(&DEVELOP), Shape::Nothing]),
            "what a developer's watcher does",
        ),
        remark("platform", TEXT, "the image's platform"),
        remark("pull_policy", TEXT, "when the image is fetched"),
        remark("pull_refresh_after", TEXT, "when the image is fetched again"),
        // What only a container has.
        container("container_name", TEXT, "its name in the engine"),
        container(
            "networks",
            Shape::Either(&[
                Shape::Names(&Shape::Either(&[Shape::Keys(&SERVICE_NETWORK), Shape::Nothing])),
                TEXTS,
            ]),
            "networks it joins",
        ),
        container("network_mode", TEXT, "instead of networks"),
        container(
            "volumes",
            Shape::List(&Shape::Either(&[Shape::One(Form::VolumeSpec), Shape::Keys(&MOUNT)])),
            "volumes it sees",
        ),
        container("volumes_from", TEXTS, "services whose volumes it sees"),
        container("tmpfs", TEXT_OR_TEXTS, "folders in memory"),
        key("secrets", SECRET_GRANTS, "secrets it is given"),
        container("configs", GRANTS, "configuration files it sees"),
        container(
            "models",
            Shape::Either(&[
                Shape::Names(&Shape::Either(&[Shape::Keys(&SERVICE_MODEL), Shape::Nothing])),
                TEXTS,
            ]),
            "models it uses",
        ),
        container("hostname", TEXT, "its host name"),
        container("domainname", TEXT, "its domain"),
        container("dns", TEXT_OR_TEXTS, "name servers"),
        container("dns_opt", TEXTS, "options of name look-up"),
        container("dns_search", TEXT_OR_TEXTS, "search domains"),
        container(
            "extra_hosts",
            Shape::Either(&[Shape::Names(&TEXT_OR_TEXTS), TEXTS]),
            "names and addresses",
        ),
        container("links", TEXTS, "obsolete names of services"),
        container("external_links", TEXTS, "obsolete names of containers"),
        container("mac_address", TEXT, "its hardware address"),
        container("cap_add", TEXTS, "capabilities added"),
        container("cap_drop", TEXTS, "capabilities dropped"),
        container("privileged", BOOL, "all capabilities"),
        container("security_opt", TEXTS, "security options"),
        container("userns_mode", TEXT, "user namespace"),
        container("group_add", TEXTS, "further groups"),
        container("credential_spec", Shape::Keys(&CREDENTIALS), "credentials on Windows"),
        container("read_only", BOOL, "its file system cannot be written"),
        container("shm_size", BYTES, "size of /dev/shm"),
        container("storage_opt", Shape::Names(&VALUE), "storage options"),
        container("sysctls", NAMES_OR_LIST, "settings of the kernel"),
        container(
            "devices",
            Shape::List(&Shape::Either(&[TEXT, Shape::Keys(&DEVICE)])),
            "devices it sees",
        ),
        container("device_cgroup_rules", TEXTS, "rules for devices"),
        container(
            "gpus",
            Shape::Either(&[Shape::Words(&["all"]), Shape::List(&Shape::Keys(&GPU))]),
            "graphics processors it sees",
        ),
        container("blkio_config", Shape::Keys(&BLKIO), "limits of disks"),
        container("cgroup", TEXT, "cgroup namespace"),
        container("cgroup_parent", TEXT, "parent cgroup"),
        container("cpu_count", INTEGER, "processors, on Windows"),
        container("cpu_percent", NUMBER, "share of the processors, on Windows"),
        container("cpu_shares", NUMBER, "share under contention"),
        container("cpu_quota", VALUE, "quota"),
        container("cpu_period", VALUE, "period of the quota"),
        container("cpu_rt_period", VALUE, "real-time period"),
        container("cpu_rt_runtime", VALUE, "real-time runtime"),
        container("cpuset", TEXT, "processors it may use"),
        container("mem_swappiness", INTEGER, "eagerness to swap"),
        container(
            "memswap_limit",
            Shape::Either(&[BYTES, INTEGER]),
            "memory and swap together",
        ),
        container("oom_kill_disable", BOOL, "not killed when memory is short"),
        container("oom_score_adj", INTEGER, "who is killed first when memory is short"),
        container("ipc", TEXT, "IPC namespace"),
        container("pid", Shape::Either(&[TEXT, Shape::Nothing]), "process namespace"),
        container("uts", TEXT, "UTS namespace"),
        container("isolation", TEXT, "isolation"),
        container("runtime", TEXT, "runtime"),
        container("stdin_open", BOOL, "keep the input open"),
        container("tty", BOOL, "give it a terminal"),
        container("pre_start", Shape::List(&Shape::Keys(&HOOK)), "run before it starts"),
        container("post_start", Shape::List(&Shape::Keys(&HOOK)), "run after it started"),
        container("pre_stop", Shape::List(&Shape::Keys(&HOOK)), "run before it stops"),
        container("use_api_socket", BOOL, "may use the engine"),
    ],
};

static BUILD: Record = Record {
    name: "build",
    required: &[],
    more: &[],
    keys: &[
        key("context", TEXT, "the folder; default ."),
        key("dockerfile", TEXT, "the recipe"),
        key("dockerfile_inline", TEXT, "the recipe itself"),
        key("args", NAMES_OR_LIST, "arguments"),
        key("target", TEXT, "the stage"),
        key("labels", NAMES_OR_LIST, "remarks"),
        key("cache_from", TEXTS, "caches read"),
        key("cache_to", TEXTS, "caches written"),
        key("no_cache", BOOL, "without cache"),
        key("no_cache_filter", TEXT_OR_TEXTS, "stages without cache"),
        key("additional_contexts", NAMES_OR_LIST, "further folders"),
        key("entitlements", TEXTS, "what the build may do"),
        key(
            "extra_hosts",
            Shape::Either(&[Shape::Names(&TEXT_OR_TEXTS), TEXTS]),
            "names and addresses",
        ),
        key("isolation", TEXT, "isolation"),
        key("network", TEXT, "network"),
        key("platforms", TEXTS, "platforms"),
        key("privileged", BOOL, "all capabilities"),
        key("provenance", VALUE, "attestation"),
        key("pull", BOOL, "fetch the base image"),
        key("sbom", VALUE, "bill of materials"),
        key("secrets", GRANTS, "secrets it sees"),
        key("shm_size", BYTES, "size of /dev/shm"),
        key("ssh", NAMES_OR_LIST, "keys it may use"),
        key("tags", TEXTS, "further names"),
        key(
            "ulimits",
            Shape::Names(&Shape::Either(&[INTEGER, Shape::Keys(&ULIMIT)])),
            "limits of the kernel",
        ),
    ],
};

static ENV_FILE: Record = Record {
    name: "env_file",
    required: &["path"],
    more: &[],
    keys: &[
        key("path", TEXT, "the file"),
        key("required", BOOL, "whether it has to be there; default true"),
        key(
            "format",
            Shape::Words(&["raw"]),
            "`raw` takes every line as it is written",
        ),
    ],
};

static EXTENDS: Record = Record {
    name: "extends",
    required: &["service"],
    more: &[],
    keys: &[
        key("service", TEXT, "the other service"),
        key("file", TEXT, "the file it is in; default this one"),
    ],
};

static PROVIDER: Record = Record {
    name: "provider",
    required: &["type"],
    more: &[],
    keys: &[
        key("type", TEXT, "what provides it"),
        key("options", Shape::Names(&Shape::Any), "its options"),
    ],
};

static DEPENDENCY: Record = Record {
    name: "depends_on",
    required: &["condition"],
    more: &[],
    keys: &[
        key(
            "condition",
            Shape::Words(&["service_started", "service_healthy", "service_completed_successfully"]),
            "what has to be true of it",
        ),
        key("restart", BOOL, "restart this one after that one was"),
        key("required", BOOL, "when false, start anyway if it is not there"),
    ],
};

static HEALTHCHECK: Record = Record {
    name: "healthcheck",
    required: &[],
    more: &[],
    keys: &[
        key(
            "test",
            TEXT_OR_TEXTS,
            "a text for a shell, or a list that starts with CMD, CMD-SHELL or NONE",
        ),
        key("interval", DURATION, "from one question to the next; default 30s"),
        key(
            "timeout",
            DURATION,
            "an answer later than this is a failure; default 30s",
        ),
        key("retries", COUNT, "so many failures in a row count; default 3"),
        key(
            "start_period",
            DURATION,
            "failures this soon after the start do not count; default 0s",
        ),
        key(
            "start_interval",
            DURATION,
            "from one question to the next in that time; default 5s",
        ),
        key("disable", BOOL, "no questions"),
    ],
};

static DEPLOY: Record = Record {
    name: "deploy",
    required: &[],
    more: &super::deploy::SERVICE_DEPLOY_KEYS,
    keys: &[
        key(
            "mode",
            Shape::Words(&["replicated", "global", "replicated-job", "global-job"]),
            "read; a process is always replicated",
        ),
        key(
            "replicas",
            Shape::One(Form::Replicas),
            "how many; `max` is one for each core",
        ),
        key("endpoint_mode", TEXT, "read and kept"),
        key("labels", NAMES_OR_LIST, "remarks"),
        key("resources", Shape::Keys(&RESOURCES), "limits and reservations"),
        key(
            "restart_policy",
            Shape::Keys(&RESTART_POLICY),
            "when and how a replica that ended is started again",
        ),
        key(
            "update_config",
            Shape::Keys(&super::deploy::UPDATE),
            "how the replicas are replaced by those of another release",
        ),
        key(
            "rollback_config",
            Shape::Keys(&super::deploy::ROLLBACK),
            "how they are replaced when going back; default all at once, and otherwise as `update_config`",
        ),
        key(
            "placement",
            Shape::Keys(&PLACEMENT),
            "read and kept; there is one machine",
        ),
    ],
};

static RESOURCES: Record = Record {
    name: "resources",
    required: &[],
    more: &[],
    keys: &[
        key("limits", Shape::Keys(&LIMITS), "no more than this"),
        key("reservations", Shape::Keys(&RESERVATIONS), "at least this"),
    ],
};

static LIMITS: Record = Record {
    name: "limits",
    required: &[],
    more: &[],
    keys: &[
        key("cpus", NUMBER, "processors, 0.5 being half of one"),
        key("memory", BYTES, "memory; more and the replica is killed"),
        key("pids", INTEGER, "processes and threads"),
    ],
};

static RESERVATIONS: Record = Record {
    name: "reservations",
    required: &[],
    more: &[],
    keys: &[
        key("cpus", NUMBER, "processors under contention"),
        key("memory", BYTES, "memory the kernel tries to leave it"),
        key(
            "generic_resources",
            Shape::List(&Shape::Keys(&GENERIC)),
            "read and kept",
        ),
        key("devices", Shape::List(&Shape::Keys(&GPU)), "read and kept"),
    ],
};

/// `restart_policy`.
pub(crate) static RESTART_POLICY: Record = Record {
    name: "restart_policy",
    required: &[],
    more: &[],
    keys: &[
        key(
            "condition",
            Shape::Words(&["any", "on-failure", "none"]),
            "on which exits; default any",
        ),
        key(
            "delay",
            DURATION,
            "before the second restart in a row, doubled each time; default 100ms",
        ),
        key(
            "max_attempts",
            COUNT,
            "after so many failures in a row the replica counts as failing; default 10",
        ),
        key("window", DURATION, "up for this long is stable; default 1s"),
        ours(
            "delay_max",
            DURATION,
            "the delay grows no longer than this; default 30s",
        ),
    ],
};

static PLACEMENT: Record = Record {
    name: "placement",
    required: &[],
    more: &[],
    keys: &[
        key("constraints", TEXTS, "where"),
        key("preferences", Shape::List(&Shape::Keys(&SPREAD)), "preferably where"),
        key("max_replicas_per_node", COUNT, "so many on one machine"),
    ],
};

static SPREAD: Record = Record {
    name: "preference",
    required: &[],
    more: &[],
    keys: &[key("spread", TEXT, "over what")],
};

static ULIMIT: Record = Record {
    name: "ulimit",
    required: &["soft", "hard"],
    more: &[],
    keys: &[
        key("soft", INTEGER, "what it starts with"),
        key("hard", INTEGER, "what it may raise it to"),
    ],
};

static PORTS: Record = Record {
    name: "port",
    required: &["target"],
    more: &[],
    keys: &[
        key("name", TEXT, "a remark"),
        key("target", Shape::One(Form::PortNumber), "the service's port"),
        key("published", TEXT, "the port on this machine"),
        key("host_ip", TEXT, "the address on this machine; default all"),
        key("protocol", Shape::Words(&["tcp", "udp"]), "default tcp"),
        key("app_protocol", TEXT, "a remark"),
        key("mode", Shape::Words(&["host", "ingress"]), "read and kept"),
    ],
};

static LOGGING: Record = Record {
    name: "logging",
    required: &[],
    more: &[],
    keys: &[
        key(
            "driver",
            TEXT,
            "for a process, `json-file` and `local` mean tend's own files",
        ),
        key(
            "options",
            Shape::Names(&VALUE),
            "for a process, `max-size` (default 10m) and `max-file` (default 5)",
        ),
    ],
};
