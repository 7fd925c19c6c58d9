//! The chapter `edge`: listeners, upstreams, certificates, and the rules of routes.

use super::{Form, Key, Record, Shape, key};

const DURATION: Shape = Shape::One(Form::Duration);
const BYTES: Shape = Shape::One(Form::Bytes);
const COUNT: Shape = Shape::One(Form::Count);
const POSITIVE: Shape = Shape::One(Form::Positive);
const BOOL: Shape = Shape::One(Form::Bool);
const TEXT: Shape = Shape::One(Form::Text);
const TEXTS: Shape = Shape::List(&TEXT);
const PATH: Shape = Shape::One(Form::HttpPath);
const NAME: Shape = Shape::One(Form::HttpName);
const NAMES: Shape = Shape::List(&NAME);
const PREFIXES: Shape = Shape::List(&Shape::One(Form::Prefix));
const STATUSES: Shape = Shape::List(&Shape::One(Form::Status));
const SHARE: Shape = Shape::One(Form::Share);
const COUNTED: Shape = Shape::One(Form::Counted);

const fn record(name: &'static str, required: &'static [&'static str], keys: &'static [Key]) -> Record {
    Record {
        name,
        required,
        more: &[],
        keys,
    }
}

/// The chapter `edge`.
pub(super) static EDGE: Record = record(
    "edge",
    &[],
    &[
        key(
            "listen",
            Shape::Either(&[
                Shape::List(&Shape::Either(&[Shape::One(Form::Listen), Shape::Keys(&LISTENER)])),
                Shape::One(Form::Listen),
            ]),
            "where the edge accepts connections: a port, or an address with a port",
        ),
        key(
            "trusted",
            PREFIXES,
            "hops before us that may say for whom a request comes (`X-Forwarded-For`, `Forwarded`, PROXY); default nobody",
        ),
        key(
            "routes",
            Shape::List(&Shape::Keys(&ROUTE)),
            "which service answers which request; the longest path wins, a named host before any host",
        ),
        key(
            "defaults",
            Shape::Keys(&DEFAULTS),
            "rules of every route that does not say otherwise, key by key",
        ),
        key(
            "upstreams",
            Shape::Names(&Shape::Keys(&UPSTREAM)),
            "how requests to a service are divided, and servers that tend does not run, under a name of their own",
        ),
        key("tls", Shape::Keys(&TLS), "certificates, for listeners with `tls`"),
        key(
            "access_log",
            Shape::Keys(&ACCESS_LOG),
            "the form of the access log, and of which requests",
        ),
    ],
);

static LISTENER: Record = record(
    "listener",
    &["address"],
    &[
        key("address", Shape::One(Form::Listen), "a port, or an address with a port"),
        key("tls", BOOL, "clients speak TLS here; HTTP/2 too; default false"),
        key(
            "redirect_to_https",
            Shape::One(Form::PortNumber),
            "requests here are sent to the same place over TLS at this port",
        ),
        key(
            "proxy_protocol",
            BOOL,
            "every connection begins with a PROXY header, version 1 or 2; default false",
        ),
        key("trusted", PREFIXES, "as `edge.trusted`, here only"),
        key(
            "connections_per_client",
            Shape::Either(&[POSITIVE, Shape::Keys(&CONNECTIONS)]),
            "connections open at once from one address; default any number",
        ),
    ],
);

static ROUTE: Record = Record {
    name: "route",
    required: &[],
    more: &RULES,
    keys: &[
        key(
            "host",
            Shape::One(Form::Host),
            "only requests for this host; `*.example.com` stands for one label",
        ),
        key(
            "path",
            PATH,
            "only requests below this path, by whole segments; default /",
        ),
        key(
            "service",
            TEXT,
            "who answers: a service, or a name of `edge.upstreams`; not needed with `files` or `redirect`",
        ),
        key(
            "listen",
            Shape::Either(&[Shape::One(Form::Listen), Shape::List(&Shape::One(Form::Listen))]),
            "only at these of the addresses in `edge.listen`; default all",
        ),
    ],
};

static DEFAULTS: Record = Record {
    name: "defaults",
    required: &[],
    more: &RULES,
    keys: &[],
};

/// The rules of a route.
static RULES: [Key; 19] = [
    key(
        "retry",
        Shape::Keys(&RETRY),
        "when a failed try goes to another replica",
    ),
    key(
        "limits",
        Shape::List(&Shape::Keys(&LIMIT)),
        "how often it may be asked, by whom",
    ),
    key(
        "in_flight",
        Shape::List(&Shape::Keys(&IN_FLIGHT)),
        "how much of it may go on at once, for whom",
    ),
    key(
        "body_max",
        Shape::Either(&[BYTES, Shape::Keys(&BODY)]),
        "the largest body of a request, more is 413; 0 for any; default 10m",
    ),
    key(
        "min_upload_rate",
        Shape::Either(&[BYTES, Shape::Keys(&UPLOAD_RATE)]),
        "a request's body that comes more slowly, in bytes a second, is refused with 408; 0 or default any speed",
    ),
    key("timeouts", Shape::Keys(&TIMEOUTS), "how long each side is waited for"),
    key(
        "allow",
        PREFIXES,
        "only these addresses; the others get 403; default all",
    ),
    key("deny", PREFIXES, "not these addresses, whatever `allow` says"),
    key(
        "client_certificate",
        BOOL,
        "only clients that showed a certificate; the others get 403; default false",
    ),
    key("headers", Shape::Keys(&HEADERS), "headers of responses"),
    key(
        "cors",
        Shape::Keys(&CORS),
        "cross-origin requests, answered here; default left to the service",
    ),
    key(
        "compress",
        Shape::Either(&[BOOL, Shape::Keys(&COMPRESS)]),
        "compression of responses with gzip, brotli or zstd; default false",
    ),
    key(
        "files",
        Shape::Either(&[TEXT, Shape::Keys(&FILES)]),
        "a folder of files that the edge answers by itself",
    ),
    key(
        "strip_prefix",
        BOOL,
        "the service is asked without the route's `path`: /api/pay becomes /pay; default false",
    ),
    key(
        "replace_prefix",
        PATH,
        "the service is asked with this in place of the route's `path`",
    ),
    key(
        "redirect",
        Shape::Either(&[TEXT, Shape::Keys(&REDIRECT)]),
        "clients are sent elsewhere: a URL, in which {host}, {path} and {rest} stand for those of the request",
    ),
    key(
        "error_pages",
        Shape::List(&Shape::Keys(&ERROR_PAGE)),
        "what is answered in place of the edge's own texts",
    ),
    key(
        "money",
        Shape::Either(&[BOOL, Shape::Keys(&MONEY)]),
        "it moves money: nothing that is not idempotent is repeated, and idempotency keys are honoured; default false",
    ),
    key(
        "health_paths",
        Shape::List(&PATH),
        "paths left out of the access log and served during maintenance, beside those of the service's probes",
    ),
];

static RETRY: Record = record(
    "retry",
    &[],
    &[
        key(
            "methods",
            Shape::Words(&["idempotent", "none", "all"]),
            "what may be repeated once a byte of it may have been sent; default idempotent",
        ),
        key(
            "statuses",
            STATUSES,
            "answers with these statuses count as failures and are repeated elsewhere; default none",
        ),
        key("tries", POSITIVE, "at most so many replicas; default 3"),
        key("total", DURATION, "no new try begins after this; default 10s"),
    ],
);

static LIMIT: Record = record(
    "limit",
    &["rate"],
    &[
        key(
            "name",
            TEXT,
            "limits of the same name count together; default one of its own",
        ),
        key(
            "key",
            COUNTED,
            "who is counted as one: client, header:NAME, claim:NAME or route; default client",
        ),
        key("rate", Shape::One(Form::Rate), "how often: 10/s, 300/m, 1000/15m"),
        key("burst", COUNT, "so many more may come early; default 0"),
        key(
            "delay_after",
            COUNT,
            "of those that come early, the first so many are let through at once and the others wait; default all at once",
        ),
        key("shadow", BOOL, "counted and told, not enforced; default false"),
        key("message", TEXT, "what a client who is refused is told"),
    ],
);

static IN_FLIGHT: Record = record(
    "in_flight",
    &["max"],
    &[
        key("key", COUNTED, "who is counted as one; default client"),
        key("max", POSITIVE, "so many at once"),
        key(
            "upgraded",
            BOOL,
            "only connections that changed their protocol, such as WebSockets; default false",
        ),
        key("shadow", BOOL, "counted and told, not enforced; default false"),
    ],
);

static BODY: Record = record(
    "body_max",
    &["max"],
    &[
        key("max", BYTES, "the largest body of a request; 0 for any"),
        key("shadow", BOOL, "counted and told, not enforced; default false"),
    ],
);

static CONNECTIONS: Record = record(
    "connections_per_client",
    &["max"],
    &[
        key("max", POSITIVE, "so many at once"),
        key("shadow", BOOL, "counted and told, not enforced; default false"),
    ],
);

static UPLOAD_RATE: Record = record(
    "min_upload_rate",
    &["rate"],
    &[
        key(
            "rate",
            BYTES,
            "bytes a second, over the time in which the client is waited for",
        ),
        key("after", DURATION, "for so long any speed is good; default 20s"),
        key("shadow", BOOL, "counted and told, not enforced; default false"),
    ],
);

static TIMEOUTS: Record = record(
    "timeouts",
    &[],
    &[
        key("connect", DURATION, "for a replica to accept a connection; default 1s"),
        key("answer", DURATION, "for the head of a response; default 60s"),
        key("read", DURATION, "for the next piece of a response; default for ever"),
        key("body", DURATION, "for the next piece of a request's body; default 60s"),
        key(
            "send",
            DURATION,
            "for a client to take some of its response; default 60s",
        ),
        key(
            "upgraded_idle",
            DURATION,
            "for anything on a WebSocket; default for ever",
        ),
        key(
            "events_idle",
            DURATION,
            "for the next piece of an event stream; default as `read`",
        ),
        key(
            "whole",
            DURATION,
            "for the whole request, answer included, but not for WebSockets and event streams; default for ever",
        ),
    ],
);

static HEADERS: Record = record(
    "headers",
    &[],
    &[
        key(
            "security",
            BOOL,
            "X-Content-Type-Options, X-Frame-Options and Referrer-Policy where the service sets none; default true",
        ),
        key(
            "hsts",
            Shape::Either(&[BOOL, TEXT]),
            "Strict-Transport-Security over TLS: true for a year with sub-domains, or its value; default none",
        ),
        key("set", Shape::Names(&TEXT), "set, whatever the service says"),
        key("remove", NAMES, "taken out"),
    ],
);

static CORS: Record = record(
    "cors",
    &["origins"],
    &[
        key(
            "origins",
            TEXTS,
            "`https://shop.example.com`, `https://*.example.com` for one label, or `*`",
        ),
        key("methods", NAMES, "beside GET, HEAD and POST"),
        key("headers", NAMES, "request headers beside the safe ones"),
        key("expose", NAMES, "response headers that scripts may read"),
        key(
            "credentials",
            BOOL,
            "cookies and Authorization are allowed; default false",
        ),
        key("max_age", DURATION, "a preflight's answer may be kept so long"),
    ],
);

static COMPRESS: Record = record(
    "compress",
    &[],
    &[
        key(
            "min",
            BYTES,
            "bodies known to be shorter are left as they are; default 1k",
        ),
        key(
            "types",
            TEXTS,
            "media types, `text/*` for all of a kind; default text and JSON",
        ),
        key(
            "secret_bearing",
            BOOL,
            "answers carry secrets beside what a client may choose: never compressed; default false",
        ),
    ],
);

static FILES: Record = record(
    "files",
    &["root"],
    &[
        key(
            "root",
            TEXT,
            "the folder; what follows the route's path is looked up in it",
        ),
        key("index", TEXT, "what a folder is answered with; default index.html"),
        key(
            "fallback",
            TEXT,
            "what is answered where there is no such file, as for an application of one page",
        ),
        key(
            "or_service",
            BOOL,
            "where there is no such file the service is asked; default false",
        ),
        key("max_age", DURATION, "how long clients may keep a file"),
        key(
            "immutable",
            BOOL,
            "files with a hash in their name are kept for a year; default false",
        ),
        key(
            "precompressed",
            BOOL,
            "`app.js.br`, `.zst` or `.gz` beside `app.js` are used; default false",
        ),
    ],
);

static REDIRECT: Record = record(
    "redirect",
    &["to"],
    &[
        key(
            "to",
            TEXT,
            "a URL or a path; {host}, {path} and {rest} stand for those of the request",
        ),
        key(
            "status",
            Shape::One(Form::Status),
            "301, 302, 303, 307 or 308; default 302",
        ),
    ],
);

static ERROR_PAGE: Record = record(
    "error page",
    &["statuses", "file"],
    &[
        key("statuses", STATUSES, "for these statuses"),
        key("file", TEXT, "the file that is answered"),
        key(
            "intercept",
            BOOL,
            "also in place of what the service answers; default false",
        ),
    ],
);

static MONEY: Record = record(
    "money",
    &[],
    &[
        key(
            "key_header",
            NAME,
            "the request header with the key; default Idempotency-Key",
        ),
        key(
            "key_required",
            BOOL,
            "a request without a key is refused; default false",
        ),
        key(
            "account_header",
            NAME,
            "the request header that tells accounts apart; default none",
        ),
        key(
            "window",
            DURATION,
            "how long an answer is kept and replayed; default 24h",
        ),
        key(
            "upstream_idempotent",
            BOOL,
            "the service honours the key by itself, so a request in doubt may be sent again; default false",
        ),
        key(
            "wait",
            DURATION,
            "a concurrent duplicate waits so long for the first answer; default 10s",
        ),
        key(
            "request_max",
            BYTES,
            "the largest body of a request with a key; default 1m",
        ),
        key("answer_max", BYTES, "the largest answer that is kept; default 1m"),
        key(
            "spool",
            Shape::Either(&[BOOL, Shape::Keys(&SPOOL)]),
            "callbacks are kept while the service is away and delivered afterwards in order; default false",
        ),
    ],
);

static SPOOL: Record = record(
    "spool",
    &[],
    &[
        key(
            "status",
            Shape::One(Form::Status),
            "what the provider takes for received; default 200",
        ),
        key("content_type", TEXT, "of that answer; default text/plain"),
        key("body", TEXT, "of that answer; default success"),
        key(
            "signature_header",
            NAME,
            "only callbacks with this header are kept; default all",
        ),
        key("max", POSITIVE, "so many at most are kept; default 100000"),
        key("bytes_max", BYTES, "the largest callback; default 256k"),
        key(
            "retry_first",
            DURATION,
            "the first pause after a delivery that failed; default 1s",
        ),
        key("retry_max", DURATION, "the longest pause; default 60s"),
    ],
);

static UPSTREAM: Record = record(
    "upstream",
    &[],
    &[
        key(
            "servers",
            Shape::List(&Shape::Either(&[Shape::One(Form::Listen), Shape::Keys(&SERVER)])),
            "servers that tend does not run; without it the name is that of a service",
        ),
        key(
            "method",
            Shape::Words(&["least_conn", "round_robin", "power_of_two", "hash"]),
            "how requests are divided; default least_conn",
        ),
        key(
            "hash",
            Shape::One(Form::HashKey),
            "for `method: hash`: client, header:NAME or cookie:NAME; default client",
        ),
        key(
            "max_fails",
            COUNT,
            "so many failures within `fail_timeout` leave a server out; default 3",
        ),
        key("fail_timeout", DURATION, "and for so long; default 30s"),
        key(
            "slow_start",
            DURATION,
            "a new server gets its whole share only after so long; default 0s",
        ),
        key(
            "keepalive",
            COUNT,
            "idle connections kept to each server by each thread; default 128",
        ),
        key(
            "connections_max",
            POSITIVE,
            "connections open at once to each server; default any number",
        ),
        key(
            "protocol",
            Shape::Words(&["http1", "http2"]),
            "what the servers speak; default http1",
        ),
        key(
            "tls",
            Shape::Either(&[BOOL, Shape::Keys(&SERVER_TLS)]),
            "TLS is spoken with outside servers, and their certificates are verified; default false",
        ),
        key(
            "outlier",
            Shape::Either(&[BOOL, Shape::Keys(&OUTLIER)]),
            "leaves out who answers worse than the others; default false",
        ),
        key(
            "breaker",
            Shape::Either(&[BOOL, Shape::Keys(&BREAKER)]),
            "stops asking for a while when most answers are failures; default false",
        ),
        key(
            "check",
            Shape::Keys(&CHECK),
            "asks outside servers whether they are well",
        ),
    ],
);

static SERVER: Record = record(
    "server",
    &["address"],
    &[
        key("address", Shape::One(Form::Listen), "an IP address with a port"),
        key(
            "weight",
            POSITIVE,
            "its share relative to the others, 1 to 1000; default 1",
        ),
    ],
);

static SERVER_TLS: Record = record(
    "tls",
    &[],
    &[
        key(
            "name",
            TEXT,
            "the name their certificates are for, which they are told (SNI); default their IP address",
        ),
        key(
            "roots",
            TEXT,
            "the file with the authorities that are trusted, in PEM; default those of the system",
        ),
        key(
            "verify",
            BOOL,
            "false takes any certificate: whoever is between can read and change everything; default true",
        ),
    ],
);

static OUTLIER: Record = record(
    "outlier",
    &[],
    &[
        key("interval", DURATION, "looked at so often; default 10s"),
        key(
            "requests_min",
            POSITIVE,
            "only with so many answers in the interval; default 100",
        ),
        key(
            "worse",
            SHARE,
            "its share of failures is above that of the others by so much; default 20%",
        ),
        key("ejection", DURATION, "left out for so long at first; default 30s"),
        key(
            "ejected_max",
            SHARE,
            "never more than this share of the servers; default 50%",
        ),
    ],
);

static BREAKER: Record = record(
    "breaker",
    &[],
    &[
        key(
            "failures",
            SHARE,
            "opens at this share of failures within `window`; default 50%",
        ),
        key(
            "requests_min",
            POSITIVE,
            "only with so many answers in the window; default 20",
        ),
        key("window", DURATION, "see `failures`; default 10s"),
        key(
            "open",
            DURATION,
            "stays open so long, then one request is a trial; default 5s",
        ),
    ],
);

static CHECK: Record = record(
    "check",
    &[],
    &[
        key("path", PATH, "asked for by GET; 200 to 399 is well; default /health"),
        key("interval", DURATION, "how often; default 5s"),
        key("timeout", DURATION, "an answer may take so long; default 2s"),
        key("fails", POSITIVE, "so many failures in a row leave it out; default 3"),
        key(
            "passes",
            POSITIVE,
            "so many successes in a row bring it back; default 2",
        ),
    ],
);

static TLS: Record = record(
    "tls",
    &[],
    &[
        key(
            "version_min",
            Shape::Words(&["1.2", "1.3"]),
            "the oldest version spoken; default 1.2",
        ),
        key(
            "certificates",
            Shape::List(&Shape::Keys(&CERTIFICATE)),
            "certificates in files that somebody else renews",
        ),
        key("acme", Shape::Keys(&ACME), "certificates that tend gets and renews"),
        key("clients", Shape::Keys(&CLIENTS), "certificates of clients"),
    ],
);

static CERTIFICATE: Record = record(
    "certificate",
    &["chain", "key"],
    &[
        key(
            "chain",
            TEXT,
            "the file with the certificate and those that lead to a root, in PEM",
        ),
        key("key", TEXT, "the file with its key, in PEM"),
    ],
);

static ACME: Record = record(
    "acme",
    &["terms_agreed"],
    &[
        key("terms_agreed", BOOL, "the authority's terms were read and agreed to"),
        key("email", TEXT, "whom the authority writes to"),
        key("directory", TEXT, "the authority's directory; default Let's Encrypt"),
        key(
            "staging_first",
            BOOL,
            "try the staging server first; default true with Let's Encrypt",
        ),
        key(
            "challenge",
            Shape::Words(&["http-01", "tls-alpn-01"]),
            "how control of a name is shown; default http-01",
        ),
        key(
            "names",
            Shape::List(&Shape::One(Form::Host)),
            "for these names; default the hosts of the routes",
        ),
        key(
            "root",
            TEXT,
            "the file with certificates of a private authority's server, in PEM",
        ),
    ],
);

static CLIENTS: Record = record(
    "clients",
    &["roots"],
    &[
        key(
            "roots",
            TEXT,
            "the file with certificates of the authorities whose clients are let in, in PEM",
        ),
        key(
            "optional",
            BOOL,
            "clients without a certificate are let in too; default false",
        ),
    ],
);

static ACCESS_LOG: Record = record(
    "access log",
    &[],
    &[
        key("format", Shape::Words(&["json", "combined"]), "default json"),
        key(
            "sample",
            SHARE,
            "so many of the requests; those that failed are always written; default all",
        ),
    ],
);
