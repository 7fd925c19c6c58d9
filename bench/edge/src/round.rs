//! One measurement of one front in one way, and of its idle connections.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::front::{Front, FrontName};
use crate::kind::Kind;
use crate::load;
use crate::machine::{self, Memory};
use crate::process::LOOK;
use crate::upstream::Upstream;

/// How long idle connections may take to be there.
const IDLE_WITHIN: Duration = Duration::from_secs(30);

/// Between two requests of a connection that is to idle, as `h2load` has it: longer than they are looked at.
const IDLE_RATE: &str = "0.1";

/// How a measurement is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// The core of clients and upstreams.
    pub(crate) load_core: usize,
    pub(crate) lasts: Duration,
    /// Requests a second of [`Kind::Rate`].
    pub(crate) rate: u32,
    /// Percent of one core that other processes may use in a round that counts.
    pub(crate) foreign_max: f64,
    /// Where a client may write.
    pub(crate) log: &'a Path,
}

/// The figures of one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) front: FrontName,
    pub(crate) kind: Kind,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) per_second: f64,
    /// Microseconds of the front's processor time for each request.
    pub(crate) cpu_us: f64,
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// Percent of its core that the front used; well below 100 the clients were the limit.
    pub(crate) front_percent: f64,
    /// Percent of one core that others used.
    pub(crate) foreign_percent: f64,
    /// Whether it counts.
    pub(crate) clean: bool,
}

/// Measures a front.
pub(crate) fn run(front: &Front, kind: Kind, setting: &Setting<'_>) -> Result<Round> {
    let mut own: BTreeSet<u32> = front.pids.iter().copied().collect();
    own.insert(std::process::id());
    let (others, before, begun) = (machine::cpu_of_others(&own), machine::cpu(&front.pids), Instant::now());
    let load = load::run(
        setting.load_core,
        kind,
        &url(front, kind),
        setting.lasts,
        setting.rate,
        setting.log,
    )?;
    let (used, took) = (machine::cpu(&front.pids) - before, begun.elapsed().as_secs_f64());
    let foreign_percent = (machine::cpu_of_others(&own) - others).max(0.0) / took * 100.0;
    let each = 1e6 / load.requests.max(1) as f64;
    Ok(Round {
        front: front.name,
        kind,
        requests: load.requests,
        errors: load.errors,
        per_second: load.per_second,
        cpu_us: used.total() * each,
        user_us: used.user * each,
        system_us: used.system * each,
        p50_us: load.p50_us,
        p99_us: load.p99_us,
        front_percent: used.total() / took * 100.0,
        foreign_percent,
        clean: foreign_percent <= setting.foreign_max && load.requests > 0,
    })
}

/// Returns where a front is asked in one way.
pub(crate) fn url(front: &Front, kind: Kind) -> String {
    match kind.is_tls() {
        true => format!("https://127.0.0.1:{}/", front.tls),
        false => format!("http://127.0.0.1:{}/", front.plain),
    }
}

/// Memory of one front with idle connections.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) front: FrontName,
    pub(crate) tls: bool,
    pub(crate) connections: u32,
    pub(crate) before: Memory,
    pub(crate) with: Memory,
}

impl Idle {
    /// Returns PSS for each connection, in KiB.
    pub(crate) fn each_kib(&self) -> f64 {
        self.with.pss_kib.saturating_sub(self.before.pss_kib) as f64 / f64::from(self.connections)
    }
}

/// Opens connections to a front, has each make one request, and looks at the front's memory while they idle.
pub(crate) fn idle(
    front: &Front,
    tls: bool,
    connections: u32,
    upstream: &Upstream,
    core: usize,
) -> Result<Option<Idle>> {
    let kind = if tls { Kind::Tls } else { Kind::Saturation };
    // Also wakes what every front sets up with its first request.
    if !load::one(core, kind, &url(front, kind)) {
        return Ok(None);
    }
    let before = machine::memory(&front.pids);
    let with = match tls {
        false => one_by_one(front, connections)?,
        true => crowd(front, kind, connections, upstream, core)?,
    };
    Ok(with.map(|with| Idle {
        front: front.name,
        tls,
        connections,
        before,
        with,
    }))
}

/// What follows the last answer is the front's own tidying up.
fn settled(front: &Front) -> Memory {
    std::thread::sleep(Duration::from_secs(1));
    machine::memory(&front.pids)
}

/// Opens connections one after the other: what a front needs for many requests at once is not what an idle connection costs.
fn one_by_one(front: &Front, connections: u32) -> Result<Option<Memory>> {
    let open = || -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", front.plain))?;
        stream.set_read_timeout(Some(IDLE_WITHIN))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut answer = Vec::new();
        // The upstream's answer ends so, and nothing else in it does.
        while !answer.ends_with(b"]}") {
            let mut piece = [0; 4096];
            match stream.read(&mut piece)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => answer.extend_from_slice(&piece[..read]),
            }
        }
        Ok(stream)
    };
    let opened: std::io::Result<Vec<TcpStream>> = (0..connections).map(|_| open()).collect();
    // Held until the memory was looked at.
    Ok(opened.ok().map(|_held| settled(front)))
}

/// Opens connections all at once with `h2load`, which speaks TLS; a front's peak is in the figure.
fn crowd(front: &Front, kind: Kind, connections: u32, upstream: &Upstream, core: usize) -> Result<Option<Memory>> {
    let answered = upstream.answered();
    let (core, lasts) = (core.to_string(), (IDLE_WITHIN.as_secs() * 2).to_string());
    let mut client = Command::new("taskset")
        .args([
            "-c",
            &core,
            "h2load",
            "--h1",
            "-t1",
            "-c",
            &connections.to_string(),
            "-D",
            &lasts,
            "--rps",
            IDLE_RATE,
        ])
        .arg(url(front, kind))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| Error::Run {
            command: "h2load".to_owned(),
            source,
        })?;
    let begun = Instant::now();
    let mut with = None;
    while begun.elapsed() < IDLE_WITHIN {
        if upstream.answered() - answered >= u64::from(connections) {
            with = Some(settled(front));
            break;
        }
        std::thread::sleep(LOOK);
    }
    // By its pid, as everything here.
    let _ = client.kill();
    let _ = client.wait();
    Ok(with)
}
