//! The keys of the chapter `metrics`, and of `metrics` on a service.

use super::{Form, Key, Record, Shape, key};

const TEXT: Shape = Shape::One(Form::Text);
const DURATION: Shape = Shape::One(Form::Duration);

/// Where a text is that may be secret.
pub(super) static REFERENCE: Record = Record {
    name: "reference",
    required: &[],
    more: &[],
    keys: &[
        key("file", TEXT, "the file it is in, which is read each time it is needed"),
        key("secret", TEXT, "the secret it is, one of `secrets`"),
    ],
};

/// A key, token or password: written, or where it is.
pub(super) const KEY: Shape = Shape::Either(&[TEXT, Shape::Keys(&REFERENCE)]);
/// A URL: written, or where it is.
pub(super) const URL: Shape = Shape::Either(&[Shape::One(Form::WebUrl), Shape::Keys(&REFERENCE)]);

/// The chapter.
pub(super) static METRICS: Record = Record {
    name: "metrics",
    required: &[],
    more: &[],
    keys: &[
        key(
            "listen",
            Shape::One(Form::Listen),
            "where the APIs of Prometheus and Alertmanager are served over HTTP, for Grafana, promtool and amtool, such as 127.0.0.1:9090; left out, nowhere",
        ),
        key(
            "listen_public",
            Shape::One(Form::Bool),
            "allows `listen` at an address that others reach: whoever does may read and silence everything; default false",
        ),
        key(
            "prometheus",
            URL,
            "a Prometheus or VictoriaMetrics that answers queries and rules in the place of the store that is built in",
        ),
        key(
            "config",
            TEXT,
            "a prometheus.yml whose `scrape_configs` are carried out beside `metrics` of services",
        ),
        key(
            "interval",
            DURATION,
            "how often each target is asked, where nothing else is said; default 15s",
        ),
        key(
            "timeout",
            DURATION,
            "an answer later than this is none; default 10s, and never more than the interval",
        ),
        key(
            "retention",
            Shape::Either(&[DURATION, Shape::Keys(&RETENTION)]),
            "for how long samples are kept; default 15d",
        ),
        key(
            "remote_write",
            Shape::List(&Shape::Keys(&REMOTE_WRITE)),
            "who else is sent every sample, by Prometheus' remote write",
        ),
        key(
            "collect",
            Shape::Keys(&COLLECT),
            "what is measured without an exporter, under the exporters' names",
        ),
        key(
            "score",
            Shape::Keys(&SCORE),
            "what of the scorecard is another here than in the table of reference values",
        ),
    ],
};

static RETENTION: Record = Record {
    name: "retention",
    required: &[],
    more: &[],
    keys: &[
        key("time", DURATION, "until they are this old; default 15d"),
        key(
            "size",
            Shape::One(Form::Bytes),
            "until they take so much of the disk, such as 10GiB; left out, any",
        ),
    ],
};

static REMOTE_WRITE: Record = Record {
    name: "remote_write",
    required: &["url"],
    more: &[],
    keys: &[
        key("url", URL, "where to"),
        key("bearer", KEY, "what is sent as `Authorization: Bearer …`"),
    ],
};

static COLLECT: Record = Record {
    name: "collect",
    required: &[],
    more: &[],
    keys: &[
        key(
            "node",
            Shape::One(Form::Bool),
            "the machine, as node_exporter tells it; default true",
        ),
        key(
            "processes",
            Shape::One(Form::Bool),
            "each replica's process; default true",
        ),
        key(
            "edge",
            Shape::One(Form::Bool),
            "the edge, see edge-metrics.md; default true",
        ),
        key(
            "postgres",
            Shape::List(&Shape::Keys(&POSTGRES)),
            "PostgreSQL servers, as postgres_exporter tells them",
        ),
        key(
            "mysql",
            Shape::List(&Shape::Keys(&MYSQL)),
            "MySQL and MariaDB servers, as mysqld_exporter tells them",
        ),
        key(
            "redis",
            Shape::List(&Shape::Keys(&REDIS)),
            "Redis servers, as redis_exporter tells them",
        ),
    ],
};

const NAME: Key = key(
    "name",
    TEXT,
    "what it is called, the label `instance` of its series; default what kind of server it is",
);

const fn server(name: &'static str, keys: &'static [Key]) -> Record {
    Record {
        name,
        required: &["url"],
        more: &[],
        keys,
    }
}

static POSTGRES: Record = server(
    "postgres",
    &[
        NAME,
        key(
            "url",
            Shape::Either(&[Shape::One(Form::PostgresUrl), Shape::Keys(&REFERENCE)]),
            "where it is; the password in it is never printed",
        ),
    ],
);

static MYSQL: Record = server(
    "mysql",
    &[
        NAME,
        key(
            "url",
            Shape::Either(&[Shape::One(Form::MysqlUrl), Shape::Keys(&REFERENCE)]),
            "where it is; the password in it is never printed",
        ),
    ],
);

static REDIS: Record = server(
    "redis",
    &[
        NAME,
        key(
            "url",
            Shape::Either(&[Shape::One(Form::RedisUrl), Shape::Keys(&REFERENCE)]),
            "where it is; the password in it is never printed",
        ),
    ],
);

const QUERY: Key = key(
    "query",
    TEXT,
    "the PromQL that gives it; of several series the worst counts",
);

const fn figure(name: &'static str, keys: &'static [Key]) -> Record {
    Record {
        name,
        required: &[],
        more: &[],
        keys,
    }
}

static FIGURE_TIME: Record = figure(
    "figure in time",
    &[
        key("warning", DURATION, "from here on it is no longer normal"),
        key("critical", DURATION, "beyond this it is critical"),
        QUERY,
    ],
);

static FIGURE_SHARE: Record = figure(
    "figure in per cent",
    &[
        key(
            "warning",
            Shape::One(Form::Percent),
            "from here on it is no longer normal",
        ),
        key("critical", Shape::One(Form::Percent), "beyond this it is critical"),
        QUERY,
    ],
);

static FIGURE_BYTES: Record = figure(
    "figure in bytes",
    &[
        key(
            "warning",
            Shape::One(Form::Bytes),
            "from here on it is no longer normal",
        ),
        key("critical", Shape::One(Form::Bytes), "beyond this it is critical"),
        QUERY,
    ],
);

static FIGURE_COUNT: Record = figure(
    "figure",
    &[
        key(
            "warning",
            Shape::One(Form::Number),
            "from here on it is no longer normal",
        ),
        key("critical", Shape::One(Form::Number), "beyond this it is critical"),
        QUERY,
    ],
);

const TIME: Shape = Shape::Either(&[Shape::Keys(&FIGURE_TIME), Shape::One(Form::Bool)]);
const SHARE: Shape = Shape::Either(&[Shape::Keys(&FIGURE_SHARE), Shape::One(Form::Bool)]);
const BYTES: Shape = Shape::Either(&[Shape::Keys(&FIGURE_BYTES), Shape::One(Form::Bool)]);
const COUNT: Shape = Shape::Either(&[Shape::Keys(&FIGURE_COUNT), Shape::One(Form::Bool)]);

static SCORE: Record = Record {
    name: "score",
    required: &[],
    more: &[],
    keys: &[
        key(
            "response_time",
            TIME,
            "mean time to an answer; normal below 200ms, critical above 500ms; `false` to leave it out",
        ),
        key(
            "success_rate",
            SHARE,
            "transactions that succeeded; normal above 95%, critical below 90%",
        ),
        key(
            "database_p95",
            TIME,
            "95th percentile of queries of databases; normal below 300ms, critical above 1s",
        ),
        key(
            "memory",
            BYTES,
            "memory of a process; normal below 512m, critical above 1g",
        ),
        key("cpu", SHARE, "processors in use; normal below 30%, critical above 70%"),
        key(
            "websockets",
            COUNT,
            "WebSockets open; normal below 100, critical above 500",
        ),
        key(
            "cache_hits",
            SHARE,
            "look-ups that the cache answered; normal above 70%, critical below 50%",
        ),
        key(
            "errors",
            SHARE,
            "requests answered with a 5xx; normal below 1%, critical above 5%",
        ),
    ],
};

/// `metrics` of a service.
pub(super) static SERVICE: Record = Record {
    name: "metrics",
    required: &[],
    more: &[],
    keys: &[
        key(
            "port",
            Shape::One(Form::PortNumber),
            "the port that is asked, on this machine; default the replica's own",
        ),
        key(
            "path",
            Shape::One(Form::HttpPath),
            "what is asked for; default /metrics",
        ),
        key(
            "job",
            TEXT,
            "the label `job` of its series, which rules name; default the service's name",
        ),
        key("interval", DURATION, "how often; default that of the chapter `metrics`"),
        key(
            "timeout",
            DURATION,
            "an answer later than this is none; default that of the chapter `metrics`",
        ),
        key(
            "labels",
            Shape::Names(&Shape::One(Form::Text)),
            "more labels of its series, beside `stack`, `service`, `replica`, `instance` and `job`",
        ),
    ],
};
