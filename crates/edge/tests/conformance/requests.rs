//! Requests: what reaches an upstream is what was read, with one meaning, and never more than nginx or HAProxy would let through.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::corpus::{self, Case, Read, Want};
use super::exchange::{self, Front, NEXT, path};
use super::known;
use super::peers::Peer;
use super::recorder::{Answer, Heard, Recorder};
use super::strict;
use tend_core::model::Listener;

use crate::fixture::{Edge, Folder, Plan, config, free_address};

/// Cases under way at once, each on a lane of its own: address, service and upstream.
const LANES: usize = 8;

/// What one proxy made of one case.
#[derive(Clone, Debug, Default)]
struct Verdict {
    answered: Vec<u8>,
    heard: Heard,
}

impl Verdict {
    /// Returns the requests that reached the upstream, without the one that follows each case.
    fn of_case(&self) -> usize {
        let requests = self.heard.requests.iter();
        requests.filter(|(request, _)| path(request) != "/next").count()
    }

    fn reads(&self) -> Vec<Read> {
        let read = |request: &strict::Request| Read {
            method: request.method.clone(),
            target: path(request).to_owned(),
            body: request.body.clone(),
        };
        self.heard.requests.iter().map(|(request, _)| read(request)).collect()
    }

    fn describe(&self) -> String {
        match (self.of_case(), self.heard.wrong.is_empty()) {
            (_, false) => "ambiguous".to_owned(),
            (0, true) => format!("refused {}", exchange::last_status(&self.answered)),
            (1, true) => "forwarded".to_owned(),
            (count, true) => format!("forwarded {count}"),
        }
    }
}

/// An edge with lanes.
pub(super) struct Ours {
    _edge: Edge,
    pub(super) lanes: Vec<(std::net::SocketAddr, Recorder)>,
}

impl Ours {
    /// An edge with so many upstreams that say what they were asked.
    fn start(lanes: usize) -> Self {
        Self::with(
            (0..lanes)
                .map(|_| Recorder::start(strict::request, Answer::echo))
                .collect(),
        )
    }

    /// An edge with these upstreams.
    pub(super) fn with(recorders: Vec<Recorder>) -> Self {
        let folder = Arc::new(Folder::new());
        let mut settings = config(&folder, "edge", Duration::ZERO);
        // What waits is to end; what does not wait is never this slow.
        settings.patience.head = Duration::from_secs(2);
        settings.patience.body = Duration::from_secs(2);
        settings.patience.idle = Duration::from_secs(2);
        let mut edge = Edge::start_with(folder, settings);
        let lanes: Vec<_> = recorders
            .into_iter()
            .map(|recorder| (free_address(), recorder))
            .collect();
        let mut plan = Plan::new(lanes[0].0);
        plan.snapshot.listeners.clear();
        for (lane, (address, recorder)) in lanes.iter().enumerate() {
            let name = format!("lane{lane}");
            plan.snapshot.listeners.push(Listener::plain(*address));
            plan = plan.service(&name, &[recorder.address]).route(None, "/", &name);
            plan.snapshot.routes.last_mut().unwrap().listeners = vec![*address];
        }
        edge.serve(&plan.next());
        Self { _edge: edge, lanes }
    }
}

/// Does `work` for each item, on as many threads as there are lanes; the results are in the order of the items.
pub(super) fn on_lanes<I: Sync, T: Send>(lanes: usize, items: &[I], work: impl Fn(usize, &I) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let (next, work) = (&next, &work);
        let threads: Vec<_> = (0..lanes)
            .map(|lane| {
                scope.spawn(move || {
                    let mut done = Vec::new();
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(at) else { return done };
                        done.push((at, work(lane, item)));
                    }
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Returns the bytes of a case with the request that follows it.
fn sent(case: &Case) -> Vec<u8> {
    let next = if case.alone || case.last { "" } else { NEXT };
    [&case.bytes[..], next.as_bytes()].concat()
}

fn through_edge(ours: &Ours, cases: &[Case], piece: usize) -> Vec<Verdict> {
    on_lanes(LANES, cases, |lane, case| {
        let (address, recorder) = &ours.lanes[lane];
        let (answered, heard) = exchange::run(Front::Tcp(*address), recorder, &sent(case), piece, case.alone);
        Verdict { answered, heard }
    })
}

fn through_peer(peer: &Peer, cases: &[Case]) -> Vec<Verdict> {
    on_lanes(LANES, cases, |lane, case| {
        let (socket, recorder) = &peer.lanes[lane];
        let (answered, heard) = exchange::run(Front::Unix(socket), recorder, &sent(case), usize::MAX, case.alone);
        Verdict { answered, heard }
    })
}

/// Returns what the edge did wrong with a case.
fn complaints(case: &Case, verdict: &Verdict) -> Vec<String> {
    let mut found: Vec<String> = verdict.heard.wrong.clone();
    let got = verdict.reads();
    let next = Read {
        method: "GET".to_owned(),
        target: "/next".to_owned(),
        body: Vec::new(),
    };
    let mut all = case.reads.clone();
    if !case.alone && !case.last && (case.want != Want::Refuse || case.next_may) {
        all.push(next.clone());
    }
    let right = match case.want {
        Want::Forward => got == all,
        Want::Either => all.starts_with(&got),
        Want::Refuse => got == case.reads || case.next_may && got == all,
    };
    // Refused but with a certain end: what follows may be answered though nothing of the case was.
    let skipped = case.next_may
        && got
            .split_last()
            .is_some_and(|(last, before)| *last == next && case.reads.starts_with(before));
    if !right && !skipped {
        found.push(format!(
            "wanted {:?} {all:?}, reached the upstream: {got:?} ({})",
            case.want, case.from
        ));
    }
    for (request, _) in &verdict.heard.requests {
        if let Some(why) = unclean(request) {
            found.push(why);
        }
    }
    if let Err(why) = answers(case, verdict) {
        found.push(why);
    }
    found
}

/// Returns what no upstream should be sent, although it is one request.
fn unclean(request: &strict::Request) -> Option<String> {
    const OF_ONE_HOP: [&str; 5] = ["te", "keep-alive", "proxy-connection", "proxy-authorization", "expect"];
    // Read as the framing by what turns names into variables.
    const ALIKE: [&str; 2] = ["content_length", "transfer_encoding"];
    for (name, value) in &request.fields {
        let name = name.to_ascii_lowercase();
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        let wrong = match &name[..] {
            "connection" => !matches!(&value[..], "close" | "keep-alive" | "upgrade"),
            // Whoever switches to HTTP/2 behind the edge is sent requests that nobody looked at.
            "upgrade" => value.split(',').any(|protocol| protocol.trim().starts_with("h2")),
            name => OF_ONE_HOP.contains(&name) || ALIKE.contains(&name),
        };
        if wrong {
            return Some(format!("forwarded {name}: {value}"));
        }
    }
    None
}

/// Checks that the client was answered in order, each answer whole and for the request it stands in the place of.
fn answers(case: &Case, verdict: &Verdict) -> Result<(), String> {
    let mut rest = &verdict.answered[..];
    let mut asked = verdict.heard.requests.iter().map(|(request, _)| request);
    while !rest.is_empty() {
        let bodiless =
            asked.clone().next().is_some_and(|request| request.method == "HEAD") && rest.starts_with(b"HTTP/1.1 200");
        let (response, used) = strict::response(rest, bodiless, true)
            // A refused HEAD has no body either.
            .or_else(|_| strict::response(rest, true, true))
            .map_err(|stop| format!("{stop:?} in the answers: {}", rest.escape_ascii()))?;
        rest = &rest[used..];
        if response.status != 200 {
            continue;
        }
        let Some(request) = asked.next() else {
            return Err(format!(
                "an answer too many: {}",
                String::from_utf8_lossy(&response.body)
            ));
        };
        let echo = format!("{} {} {}", request.method, request.target, request.body.len());
        if !bodiless && response.body != echo.as_bytes() {
            let body = String::from_utf8_lossy(&response.body);
            return Err(format!("answered {body:?} to {echo:?}"));
        }
    }
    match asked.next() {
        Some(request) if !case.alone => Err(format!("no answer to {} {}", request.method, request.target)),
        _ => Ok(()),
    }
}

/// Returns the case pipelined behind a request that is right.
fn behind_another(case: &Case) -> Case {
    let mut case = case.clone();
    case.bytes
        .splice(0..0, *b"GET /first HTTP/1.1\r\nHost: edge.test\r\n\r\n");
    let first = Read {
        method: "GET".to_owned(),
        target: "/first".to_owned(),
        body: Vec::new(),
    };
    case.reads.insert(0, first);
    case
}

#[test]
fn what_reaches_an_upstream_is_what_was_read_and_nothing_else() {
    let cases = corpus::read("requests");
    let ours = Ours::start(LANES);
    let mut wrong = BTreeMap::new();
    // Thousands of packets of one byte each say nothing that hundreds do not.
    let short = cases.iter().filter(|case| case.bytes.len() < 1024).cloned().collect();
    let behind = cases.iter().map(behind_another).collect();
    // Where a piece ends must not matter, nor what stood before.
    for (how, cases, piece) in [
        ("whole", cases, usize::MAX),
        ("byte by byte", short, 1),
        ("behind another", behind, usize::MAX),
    ] {
        for (case, verdict) in cases.iter().zip(through_edge(&ours, &cases, piece)) {
            let found = complaints(case, &verdict);
            if !found.is_empty() {
                wrong.insert(format!("requests {}, {how}", case.name), found);
            }
        }
    }
    known::compare("requests", &wrong);
}

#[test]
fn the_edge_forwards_nothing_that_both_nginx_and_haproxy_refuse() {
    let cases = corpus::read("requests");
    let ours = Ours::start(LANES);
    let edge = through_edge(&ours, &cases, usize::MAX);
    let (nginx, haproxy) = (Peer::nginx(LANES), Peer::haproxy(LANES));
    let peers = [through_peer(&nginx, &cases), through_peer(&haproxy, &cases)];
    let mut laxer = BTreeMap::new();
    for (at, case) in cases.iter().enumerate() {
        let let_through = edge[at].of_case();
        if peers.iter().all(|peer| peer[at].of_case() < let_through) && case.why.is_none() {
            laxer.insert(
                format!("laxer {}", case.name),
                vec![format!("edge {}", edge[at].describe())],
            );
        }
    }
    // `TEND_CONFORMANCE_TABLE=FILE` keeps the table that docs/design/0230-edge-conformance.md shows.
    if let Some(path) = std::env::var_os("TEND_CONFORMANCE_TABLE") {
        std::fs::write(path, table(&cases, &edge, &peers)).unwrap();
    }
    known::compare("laxer", &laxer);
}

fn table(cases: &[Case], edge: &[Verdict], peers: &[Vec<Verdict>; 2]) -> String {
    let mut text = String::from("| case | wanted | edge | nginx | HAProxy |\n| --- | --- | --- | --- | --- |\n");
    for (at, case) in cases.iter().enumerate() {
        let verdicts = [&edge[at], &peers[0][at], &peers[1][at]];
        let same = |other: &Verdict| other.of_case() == edge[at].of_case() && other.heard.wrong.is_empty();
        if same(&peers[0][at]) && same(&peers[1][at]) {
            continue;
        }
        let cells = verdicts.map(|verdict| verdict.describe());
        let want = format!("{:?}", case.want).to_lowercase();
        let _ = writeln!(text, "| {} | {want} | {} |", case.name, cells.join(" | "));
    }
    text
}

#[test]
fn nginx_and_haproxy_read_what_the_edge_sends_as_the_edge_meant_it() {
    let cases = corpus::read("requests");
    let ours = Ours::start(LANES);
    let edge = through_edge(&ours, &cases, usize::MAX);
    let (nginx, haproxy) = (Peer::nginx(LANES), Peer::haproxy(LANES));
    let mut wrong = BTreeMap::new();
    for peer in [&nginx, &haproxy] {
        let both: Vec<(&Case, &Verdict)> = cases.iter().zip(&edge).collect();
        let found = on_lanes(LANES, &both, |lane, (case, verdict)| reread(peer, lane, case, verdict));
        for (case, found) in cases.iter().zip(found) {
            if let Some(found) = found {
                wrong.insert(format!("read {} by {}", case.name, peer.name), vec![found]);
            }
        }
    }
    known::compare("read", &wrong);
}

/// Sends the bytes that the edge sent to a peer; returns what it read in them if that is anything else.
fn reread(peer: &Peer, lane: usize, case: &Case, verdict: &Verdict) -> Option<String> {
    let mut meant = verdict.reads();
    let bytes: Vec<u8> = verdict.heard.requests.iter().flat_map(|(_, raw)| raw.clone()).collect();
    if bytes.is_empty() {
        return None;
    }
    let (socket, recorder) = &peer.lanes[lane];
    let end = NEXT.replace("/next", "/end");
    meant.push(Read {
        method: "GET".to_owned(),
        target: "/end".to_owned(),
        body: Vec::new(),
    });
    let bytes = [&bytes[..], end.as_bytes()].concat();
    let (answered, heard) = exchange::run(Front::Unix(socket), recorder, &bytes, usize::MAX, false);
    let read = Verdict { heard, answered }.reads();
    // What the standard leaves open a peer may refuse, which nobody can misread; and then it reads nothing behind it.
    if read == meant || case.want != Want::Forward && meant.starts_with(&read) {
        return None;
    }
    Some(format!(
        "meant {meant:?}, read {read:?} of {}",
        &bytes.escape_ascii().to_string()
    ))
}
