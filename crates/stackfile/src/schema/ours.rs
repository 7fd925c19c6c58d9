//! The keys that are ours on services that run as processes. Those of deploys are in `deploy`, those of the edge in `edge`.

use super::{Form, Key, Record, Shape, key, ours};

/// Chapters of the design that this version refuses. `secrets` and `configs` are Compose's; `logs` is one on a service only.
pub(crate) const CHAPTERS_TO_COME: [&str; 8] = [
    "logs",
    "backup",
    "recovery",
    "maintenance",
    "security",
    "incidents",
    "autoscale",
    "checklists",
];

const DURATION: Shape = Shape::One(Form::Duration);
const COMMAND: Shape = Shape::Either(&[Shape::One(Form::Command), Shape::List(&Shape::One(Form::Text))]);

/// `readiness` and `liveness`.
pub(crate) static PROBE: Record = Record {
    name: "probe",
    required: &[],
    more: &[],
    keys: &[
        key(
            "http",
            Shape::One(Form::HttpPath),
            "GET this path; a status from 200 to 399 is a success",
        ),
        key(
            "tcp",
            Shape::Either(&[Shape::One(Form::PortNumber), Shape::One(Form::Bool)]),
            "connect to this port, or with `true` to the service's own",
        ),
        key(
            "command",
            COMMAND,
            "run this in the replica's environment; exit 0 is a success",
        ),
        key(
            "port",
            Shape::One(Form::PortNumber),
            "a port other than the service's own, for `http`",
        ),
        key(
            "interval",
            DURATION,
            "from one question to the next once the replica was ready; default 30s",
        ),
        key(
            "timeout",
            DURATION,
            "an answer later than this is a failure; default 3s",
        ),
        key(
            "retries",
            Shape::One(Form::Count),
            "so many failures in a row count; default 3",
        ),
        key(
            "start_period",
            DURATION,
            "failures this soon after the start do not count; default 5s",
        ),
        key(
            "start_interval",
            DURATION,
            "from one question to the next until the first success; default 5s",
        ),
    ],
};

static PORT: Record = Record {
    name: "port",
    required: &[],
    more: &[],
    keys: &[
        key(
            "variable",
            Shape::One(Form::VariableName),
            "the replica finds its port in this variable",
        ),
        key(
            "fd",
            Shape::One(Form::Descriptor),
            "the replica inherits the listening socket as this descriptor, with LISTEN_FDS set",
        ),
    ],
};

static LOGS: Record = Record {
    name: "logs",
    required: &[],
    more: &[],
    keys: &[key(
        "when_behind",
        Shape::Words(&["drop", "block"]),
        "what gives when output comes faster than it can be kept: output (`drop`, counted and marked) or the replica, which waits (`block`); default drop",
    )],
};

/// Keys on services.
pub(crate) static SERVICE_KEYS: [Key; 15] = [
    ours(
        "port",
        Shape::Either(&[Shape::One(Form::PortSource), Shape::Keys(&PORT)]),
        "how a replica learns where to listen: the name of a variable (default PORT where the service is routed to or asked by a probe), a number it always listens at, `{fd: 3}` or `none`",
    ),
    ours(
        "readiness",
        Shape::Keys(&PROBE),
        "while this fails the replica gets no requests; `healthcheck` stands in for it",
    ),
    ours(
        "liveness",
        Shape::Keys(&PROBE),
        "when this fails the replica is killed and started again",
    ),
    ours(
        "start_period",
        DURATION,
        "without a readiness probe, a replica is ready once it stayed up for this long; default 1s",
    ),
    ours(
        "prepare",
        COMMAND,
        "run once before the first start on `up`, such as a build",
    ),
    ours(
        "restart_every",
        DURATION,
        "restart each replica this long after its start, one at a time",
    ),
    ours(
        "restart_policy",
        Shape::Keys(&super::compose::RESTART_POLICY),
        "the same as `deploy.restart_policy`",
    ),
    ours(
        "replicas",
        Shape::One(Form::Replicas),
        "the same as `deploy.replicas`; `max` is one for each core",
    ),
    ours("logs", Shape::Keys(&LOGS), "what happens to the output"),
    ours(
        "artifact",
        Shape::Either(&[Shape::One(Form::Relative), Shape::List(&Shape::One(Form::Relative))]),
        "what a release keeps of the folder after `prepare`, `.` being all of it; with neither it runs in place; default all",
    ),
    ours(
        "smoke",
        super::deploy::SMOKE_TESTS,
        "what a new release has to answer before it counts as good",
    ),
    ours(
        "quiesce",
        Shape::Keys(&super::deploy::QUIESCE),
        "how a replica is brought to have nothing in flight before it is stopped, beside requests through the edge",
    ),
    ours(
        "drain_timeout",
        DURATION,
        "longest wait for the requests and WebSockets a replica has in flight before it is stopped; default 30s",
    ),
    ours(
        "config",
        Shape::Either(&[
            Shape::Words(super::config::FORMS),
            Shape::Keys(&super::config::DELIVERY),
        ]),
        "how its replicas are given the stack's configuration; left out, not at all",
    ),
    ours(
        "metrics",
        Shape::Either(&[
            Shape::One(Form::Bool),
            Shape::One(Form::PortNumber),
            Shape::Keys(&super::metrics::SERVICE),
        ]),
        "how its replicas are asked for their metrics: `true` at their own port, a number at that one; left out, not at all",
    ),
];
