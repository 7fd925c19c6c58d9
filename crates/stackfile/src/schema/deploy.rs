//! The keys of deploys: Compose's `update_config` and `rollback_config` with what is ours in them, and the chapter `deploy`.

use super::{Form, Key, Record, Shape, key, ours};

const DURATION: Shape = Shape::One(Form::Duration);
const COUNT: Shape = Shape::One(Form::Count);
const PATH: Shape = Shape::One(Form::HttpPath);
const TEXT: Shape = Shape::One(Form::Text);
const COMMAND: Shape = Shape::Either(&[Shape::One(Form::Command), Shape::List(&TEXT)]);
const ORDER: Shape = Shape::Words(&["start-first", "stop-first"]);

/// `deploy.update_config` of a service. Defaults in the descriptions are those of a block that is written.
pub(super) static UPDATE: Record = Record {
    name: "update_config",
    required: &[],
    more: &UPDATE_MORE,
    keys: &[
        key(
            "parallelism",
            COUNT,
            "so many replicas are replaced at once, 0 being all; default 1",
        ),
        key("delay", DURATION, "between two portions; default 0s"),
        key(
            "failure_action",
            Shape::Words(&["continue", "pause", "rollback"]),
            "what follows when more replicas fail than `max_failure_ratio` allows; default pause",
        ),
        key(
            "monitor",
            DURATION,
            "how long a new replica is watched once it is ready; default 0s",
        ),
        key(
            "max_failure_ratio",
            Shape::One(Form::Ratio),
            "the part of the replicas that may fail; default 0",
        ),
        key(
            "order",
            ORDER,
            "whether the new replica is there before the old one goes; default stop-first",
        ),
    ],
};

/// `deploy.rollback_config` of a service.
pub(super) static ROLLBACK: Record = Record {
    name: "rollback_config",
    required: &[],
    more: &UPDATE_MORE,
    keys: &[
        key(
            "parallelism",
            COUNT,
            "so many replicas go back at once, 0 being all; default 1",
        ),
        key("delay", DURATION, "between two portions; default 0s"),
        key(
            "failure_action",
            Shape::Words(&["continue", "pause"]),
            "what follows when going back fails too; default pause",
        ),
        key(
            "monitor",
            DURATION,
            "how long a replica is watched once it is ready; default 0s",
        ),
        key(
            "max_failure_ratio",
            Shape::One(Form::Ratio),
            "the part of the replicas that may fail; default 0",
        ),
        key(
            "order",
            ORDER,
            "whether the replica gone back to is there before the other goes; default stop-first",
        ),
    ],
};

static UPDATE_MORE: [Key; 2] = [
    ours(
        "ready_within",
        DURATION,
        "a replica that is not ready this long after its start has failed; default 5m",
    ),
    ours(
        "consecutive",
        Shape::One(Form::Positive),
        "so many readiness answers in a row make a replica ready; default 3",
    ),
];

/// What is ours in `deploy` of a service.
pub(super) static SERVICE_DEPLOY_KEYS: [Key; 2] = [
    ours(
        "strategy",
        Shape::Words(&["rolling", "canary"]),
        "portion by portion, or a first portion that serves a share of the requests until its figures tell; default rolling",
    ),
    ours(
        "canary",
        Shape::Keys(&CANARY),
        "the share of a canary and when it is believed; for `strategy: canary`",
    ),
];

static CANARY: Record = Record {
    name: "canary",
    required: &[],
    more: &[],
    keys: &[
        key(
            "share",
            Shape::One(Form::Share),
            "the share of the requests it is given; default 10%",
        ),
        key(
            "allow",
            Shape::List(&Shape::Keys(&ALLOW)),
            "requests that go to it whatever the share",
        ),
        key(
            "requests_min",
            Shape::One(Form::Positive),
            "requests it must have answered before anything is said of it; default 500",
        ),
        key(
            "worse",
            Shape::One(Form::Share),
            "how much larger its share of failures may be than that of the old release; default 1%",
        ),
        key(
            "patience",
            DURATION,
            "after this long without a verdict it is held, and a person decides; default 30m",
        ),
    ],
};

static ALLOW: Record = Record {
    name: "allow",
    required: &["value"],
    more: &[],
    keys: &[
        key("header", Shape::One(Form::HttpName), "the name of a request header"),
        key("cookie", Shape::One(Form::HttpName), "the name of a cookie"),
        key("value", TEXT, "its value, compared exactly"),
    ],
};

const SMOKE_TEST: Shape = Shape::Either(&[PATH, Shape::Keys(&SMOKE)]);

/// `smoke` of a service.
pub(super) const SMOKE_TESTS: Shape = Shape::Either(&[PATH, Shape::List(&SMOKE_TEST)]);

static SMOKE: Record = Record {
    name: "smoke test",
    required: &["http"],
    more: &[],
    keys: &[
        key("http", PATH, "GET this path, query included"),
        key(
            "status",
            Shape::One(Form::Status),
            "the status it has to answer with; default 200",
        ),
        key("contains", TEXT, "what the body has to hold"),
        key(
            "timeout",
            DURATION,
            "an answer later than this is a failure; default 5s",
        ),
    ],
};

/// `quiesce` of a service.
pub(super) static QUIESCE: Record = Record {
    name: "quiesce",
    required: &["post", "in_flight"],
    more: &[],
    keys: &[
        key("post", PATH, "POST to this path tells a replica to take no new work"),
        key(
            "in_flight",
            PATH,
            "GET of this path answers how much it has in flight: a number, or samples of Prometheus",
        ),
        key("metric", TEXT, "the sample to read there"),
        key(
            "deadline",
            DURATION,
            "after this long it is stopped all the same, and the journal says so; default 60s",
        ),
    ],
};

/// The chapter `deploy`.
pub(super) static POLICY: Record = Record {
    name: "deploy",
    required: &[],
    more: &[],
    keys: &[
        key("keep", Shape::Keys(&KEEP), "which releases are kept"),
        key(
            "migrate",
            Shape::Keys(&MIGRATE),
            "brings the database to what the new release needs",
        ),
        key(
            "databases",
            Shape::List(&Shape::Keys(&DATABASE)),
            "what a restore point is taken of before anything changes",
        ),
        key(
            "notify",
            COMMAND,
            "run after a deploy ended, whatever its end; the facts are in its environment as TEND_DEPLOY_…",
        ),
        key(
            "environment",
            Shape::One(Form::Name),
            "the name of the environment this stack is, such as production",
        ),
        key(
            "promote_from",
            Shape::One(Form::Name),
            "the stack whose running release may be promoted to this one",
        ),
        key(
            "approval",
            Shape::One(Form::Bool),
            "a person has to approve before the first replica is replaced; default false",
        ),
        key(
            "disk_free_min",
            Shape::One(Form::Bytes),
            "what must be free on the disk of the state folder before anything begins; default 512m",
        ),
    ],
};

static KEEP: Record = Record {
    name: "keep",
    required: &[],
    more: &[],
    keys: &[
        key(
            "count",
            COUNT,
            "so many beside the running one and the way back; default 5",
        ),
        key(
            "age",
            DURATION,
            "older ones go, whatever `count` would leave; default no limit",
        ),
    ],
};

static MIGRATE: Record = Record {
    name: "migrate",
    required: &["service", "command"],
    more: &[],
    keys: &[
        key("service", TEXT, "in whose environment and artifact it runs"),
        key(
            "command",
            COMMAND,
            "program and arguments; it must be safe to run again, since a machine may die in the middle",
        ),
        key("timeout", DURATION, "how long it may take; default 10m"),
        key(
            "files",
            Shape::One(Form::Relative),
            "the SQL files it applies, such as `migrations/*.sql`: read for what they allow and for long locks",
        ),
    ],
};

static DATABASE: Record = Record {
    name: "database",
    required: &[],
    more: &[],
    keys: &[
        key(
            "sqlite",
            Shape::One(Form::SqliteFile),
            "a file of SQLite; may be absent before the first deploy",
        ),
        key(
            "postgres",
            Shape::One(Form::PostgresUrl),
            "a URL of PostgreSQL; its password is never printed",
        ),
    ],
};
