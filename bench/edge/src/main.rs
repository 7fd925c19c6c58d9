//! Runs the edge, nginx (tuned and as in guides) and HAProxy side by side on the same cores and prints figures, ratios and aims.
//!
//! `cargo run --profile dist -p bench-edge` makes the whole comparison in about half an hour; `docs/design/0245-edge-bench.md` says what is
//! compared and what it showed. It needs Debian's packages nginx-light, haproxy, wrk and nghttp2-client. Judges nothing: no time is an error.
//!
//! `--storm` is another program: reloads and replacements of the edge under load, alone, with an exit status of 1 when a client noticed.
//!
//! Map: `storm` is that; `front` starts who is compared, `upstream` stands behind them, `load` runs the clients, `round` is one measurement, `kind` what is
//! compared and aimed at, `report` medians and tables, `machine` and `process` what the kernel knows and does.

mod error;
mod front;
mod kind;
mod load;
mod machine;
mod process;
mod report;
mod round;
mod storm;
mod upstream;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use error::{Error, Result};
use front::{Front, FrontName, Place};
use kind::Kind;
use process::{Folder, Running};
use report::{Missing, Report};
use round::{Idle, Round, Setting};
use upstream::Upstream;

/// A round that others disturbed is made again so often.
const AGAIN_MAX: usize = 2;

/// The headers that every front is configured to add.
const SECURITY_HEADERS: [&str; 5] = [
    "x-frame-options:",
    "x-content-type-options:",
    "x-xss-protection:",
    "referrer-policy:",
    "strict-transport-security:",
];

/// Runs the edge, nginx and HAProxy side by side and prints figures, ratios and aims.
#[derive(Parser)]
#[command(name = "bench-edge")]
struct Arguments {
    /// What to compare; all when left out.
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// Rounds of each front in each way; the fronts take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a round.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Requests a second where the rate is fixed; a multiple of 64.
    #[arg(long, default_value_t = 6400)]
    rate: u32,
    /// Idle connections whose memory is measured; 0 leaves it out.
    #[arg(long, default_value_t = 2000)]
    idle: u32,
    /// A round counts only if other processes used at most so many percent of one core.
    #[arg(long, default_value_t = 20.0)]
    foreign_max: f64,
    /// The core of the fronts.
    #[arg(long, default_value_t = 0)]
    front_core: usize,
    /// The core of clients and upstreams.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// First of ten ports.
    #[arg(long, default_value_t = 14_300)]
    base: u16,
    /// The program `tend-edge`; beside this one when left out.
    #[arg(long)]
    edge: Option<PathBuf>,
    /// No comparison: a storm of snapshots and replaced edges under requests and WebSockets. Exits 1 when a client noticed.
    #[arg(long)]
    storm: bool,
    /// Snapshots a second of the storm, for `--storm-seconds`.
    #[arg(long, default_value_t = 100)]
    snapshots: u32,
    /// Seconds of snapshots in the storm.
    #[arg(long, default_value_t = 20)]
    storm_seconds: u64,
    /// Edges replaced in the storm.
    #[arg(long, default_value_t = 20)]
    replacements: u32,
    /// Requests a second in the storm.
    #[arg(long, default_value_t = 1000)]
    storm_rate: u32,
    /// Open WebSockets in the storm.
    #[arg(long, default_value_t = 500)]
    sockets: usize,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.storm {
        storm(&arguments)
    } else {
        compare(&arguments).map(|report| {
            print(&report, arguments.json);
            ExitCode::SUCCESS
        })
    };
    done.unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        say(&format!("bench-edge: {error}{}", cause.unwrap_or_default()));
        ExitCode::from(2)
    })
}

fn print<T: serde::Serialize + std::fmt::Display>(found: &T, json: bool) {
    let text = if json {
        serde_json::to_string_pretty(found).expect("invariant: figures and texts have a JSON form") + "\n"
    } else {
        found.to_string()
    };
    // A reader that has gone away has had enough.
    drop(std::io::stdout().write_all(text.as_bytes()));
}

fn storm(arguments: &Arguments) -> Result<ExitCode> {
    open_files(arguments.sockets as u64 * 4 + 1000)?;
    let size = storm::Size {
        snapshots: arguments.snapshots,
        seconds: arguments.storm_seconds,
        replacements: arguments.replacements,
        rate: arguments.storm_rate,
        sockets: arguments.sockets,
    };
    let outcome = storm::run(&edge_program(arguments)?, size)?;
    print(&outcome, arguments.json);
    Ok(if outcome.is_kept() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn compare(arguments: &Arguments) -> Result<Report> {
    let edge = prepare(arguments)?;
    let load_before = machine::load_averages();
    let folder = Folder::new()?;
    certificate(&folder)?;
    let upstream = Upstream::start(arguments.load_core)?;
    let place = Place {
        folder: &folder,
        core: arguments.front_core,
        base: arguments.base,
        upstreams: &upstream.ports,
    };
    let mut missing = Vec::new();
    let idle = idle(arguments, &place, &edge, &upstream, &mut missing)?;
    let fronts = Fronts::start(&place, &edge)?;
    let fronts = &fronts.all;
    let log = folder.join("requests.log");
    let setting = Setting {
        load_core: arguments.load_core,
        lasts: Duration::from_secs(arguments.seconds.max(1)),
        rate: arguments.rate,
        foreign_max: arguments.foreign_max,
        log: &log,
    };
    let rounds = rounds(arguments, fronts, &setting, &mut missing)?;
    let figures = report::figures(&rounds);
    Ok(Report {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load_averages: [load_before, machine::load_averages()],
        seconds: setting.lasts.as_secs(),
        rate: arguments.rate,
        debug_build: cfg!(debug_assertions) && arguments.edge.is_none(),
        headers_added: fronts.iter().map(|front| (front.name, headers_added(front))).collect(),
        verdicts: report::verdicts(&figures, &idle),
        figures,
        idle,
        missing,
        rounds,
    })
}

/// Says what is missing before anything is started; returns the program of the edge.
fn prepare(arguments: &Arguments) -> Result<PathBuf> {
    let needs = [
        (front::NGINX, "nginx-light"),
        (front::HAPROXY, "haproxy"),
        ("/usr/bin/wrk", "wrk"),
        ("/usr/bin/h2load", "nghttp2-client"),
        ("/usr/bin/openssl", "openssl"),
        ("/usr/bin/taskset", "util-linux"),
    ];
    let missing: Vec<(&str, &str)> = needs
        .into_iter()
        .filter(|(path, _)| !Path::new(path).exists())
        .collect();
    if !missing.is_empty() {
        let list = |of: fn(&(&'static str, &'static str)) -> &'static str, between| {
            missing.iter().map(of).collect::<Vec<_>>().join(between)
        };
        return Err(Error::Tools {
            missing: list(|(path, _)| path, ", "),
            packages: list(|(_, package)| package, " "),
        });
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Err(Error::Cores { cores });
    }
    let edge = edge_program(arguments)?;
    for port in arguments.base..arguments.base + 8 {
        TcpListener::bind(("127.0.0.1", port)).map_err(|_| Error::PortTaken { port })?;
    }
    open_files(u64::from(arguments.idle) * 2 + 1000)?;
    Ok(edge)
}

/// Returns the program of the edge.
fn edge_program(arguments: &Arguments) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|source| Error::Run {
        command: "bench-edge".to_owned(),
        source,
    })?;
    let beside = own.parent().unwrap_or(Path::new("/")).join("tend-edge");
    let edge = arguments.edge.clone().unwrap_or(beside);
    if !edge.exists() {
        return Err(Error::Missing {
            path: edge,
            hint: "build it with `cargo build --profile dist -p tend-edge`",
        });
    }
    Ok(edge)
}

/// Allows this process, and those it starts, so many open files.
fn open_files(wanted: u64) -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    limit.current = Some(wanted.min(allowed));
    if allowed < wanted || setrlimit(Resource::Nofile, limit).is_err() {
        return Err(Error::OpenFiles { wanted, allowed });
    }
    Ok(())
}

/// Makes the certificate that all fronts show: P-256, as authorities hand them out today.
fn certificate(folder: &Folder) -> Result<()> {
    let (key, chain) = (folder.join("key.pem"), folder.join("chain.pem"));
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    let mut arguments: Vec<String> = words.split(' ').map(str::to_owned).collect();
    for (option, path) in [("-keyout", &key), ("-out", &chain)] {
        arguments.extend([option.to_owned(), path.display().to_string()]);
    }
    process::run(0, "openssl", &arguments)?;
    let mut both = Vec::new();
    for path in [&chain, &key] {
        both.extend(std::fs::read(path).map_err(|source| process::file("read", path, source))?);
    }
    folder.write("both.pem", &both)?;
    Ok(())
}

/// All fronts, up for as long as this lives.
struct Fronts {
    all: [Front; 4],
    _tend: front::Tend,
    _peers: [Running; 2],
}

impl Fronts {
    fn start(place: &Place<'_>, edge: &Path) -> Result<Self> {
        let (tend, running) = front::tend(place, edge)?;
        let ([tuned, guide], nginx) = front::nginx(place)?;
        let (haproxy, other) = front::haproxy(place)?;
        Ok(Self {
            all: [tend, tuned, guide, haproxy],
            _tend: running,
            _peers: [nginx, other],
        })
    }
}

/// Each time with fronts that have just been started: what a front keeps for later would hide what a connection costs.
fn idle(
    arguments: &Arguments,
    place: &Place<'_>,
    edge: &Path,
    upstream: &Upstream,
    missing: &mut Vec<Missing>,
) -> Result<Vec<Idle>> {
    let mut found = Vec::new();
    for (tls, what) in [(false, "plain"), (true, "TLS")] {
        if arguments.idle == 0 {
            break;
        }
        let fronts = Fronts::start(place, edge)?;
        // Both of nginx's configurations are one process.
        for front in fronts.all.iter().filter(|front| front.name != FrontName::Guide) {
            say(&format!("{} idle connections, {what}, {}", arguments.idle, front.name));
            match round::idle(front, tls, arguments.idle, upstream, arguments.load_core)? {
                Some(idle) => found.push(idle),
                None => missing.push(Missing {
                    front: front.name,
                    what: format!("idle connections, {what}"),
                    why: "it does not serve them",
                }),
            }
        }
    }
    Ok(found)
}

fn rounds(
    arguments: &Arguments,
    fronts: &[Front],
    setting: &Setting<'_>,
    missing: &mut Vec<Missing>,
) -> Result<Vec<Round>> {
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| arguments.kinds.is_empty() || arguments.kinds.contains(kind))
        .collect();
    let mut pairs = Vec::new();
    for kind in kinds {
        for front in fronts {
            if load::one(setting.load_core, kind, &round::url(front, kind)) {
                pairs.push((kind, front));
            } else {
                missing.push(Missing {
                    front: front.name,
                    what: kind.what(setting.rate),
                    why: "it does not serve it",
                });
            }
        }
    }
    let mut rounds = Vec::new();
    for number in 1..=arguments.rounds {
        for (kind, front) in &pairs {
            say(&format!("round {number}: {}, {}", kind.what(setting.rate), front.name));
            for again in 0..=AGAIN_MAX {
                let round = round::run(front, *kind, setting)?;
                let done = round.clean || again == AGAIN_MAX;
                if !round.clean {
                    say(&format!("others used {:.0} % of a core", round.foreign_percent));
                }
                rounds.push(round);
                if done {
                    break;
                }
            }
        }
    }
    Ok(rounds)
}

/// Returns how many of the configured headers an answer of the front has.
fn headers_added(front: &Front) -> usize {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", front.plain))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.to_ascii_lowercase())
    };
    let answer = ask().unwrap_or_default();
    SECURITY_HEADERS.iter().filter(|name| answer.contains(**name)).count()
}

/// Says what is being done: the whole takes minutes.
fn say(what: &str) {
    // Nobody may be looking.
    drop(writeln!(std::io::stderr(), "… {what}"));
}
