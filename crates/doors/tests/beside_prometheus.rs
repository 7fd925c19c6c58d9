//! The doors beside Debian's Prometheus: the same samples by our own remote write, the same requests, and the answers compared.
//!
//! What is not compared, and why, is the list of [`Difference`]s here; everything else has to be the same.

use serde_json::Value;
use tend_doors::encode_write;
use tend_promql::{Labels, Sample};

use crate::peer::Peer;
use crate::requests::{Asked, read};
use crate::samples::series;
use crate::world::{Clock, World, wall};

/// Values may differ by so much of themselves: sums are made in another order.
const RELATIVE: f64 = 1e-9;

/// What Prometheus 2.42, Debian's, answers otherwise than the Prometheus of today, or than we do.
struct Difference {
    /// The line holds this.
    of: &'static str,
    /// Whether status and kind of error are still the same, and only the text differs.
    only_text: bool,
}

const fn of(of: &'static str) -> Difference {
    Difference { of, only_text: false }
}

const fn text_of(of: &'static str) -> Difference {
    Difference { of, only_text: true }
}

const DIFFERENCES: &[Difference] = &[
    // Since 3.0 a step of a subquery on the left end of its window is left out.
    of("query=up[30s:10s]"),
    // Since 3.0 what a counter grew before its first sample is bounded before it is added.
    of("query=increase(http_requests_total[10m]) | start"),
    of("query=avg_over_time(rate(http_requests_total[2m])[7m13s:1m]) | start"),
    // 2.42 does not know the parameter.
    of("lookback_delta"),
    // The path is not cleaned and sent on.
    of("GET /api/v1/label//values"),
    of("GET /api/v1/query/"),
    // The name of the program.
    text_of("GET /-/"),
    // Regular expressions are explained in the words of another library.
    text_of("query=up{job=~\"(\"}"),
    // A selector is expected, and not whatever comes next.
    text_of("match[]=up[5m]"),
    text_of("match[]=sum(up)"),
    // Which of two that clash is named first.
    text_of("query=up + on (job) up"),
    // Where it was when the time was over, is chance.
    text_of("timeout=0"),
    // Worded anew in 3.x.
    text_of("query=topk(NaN, up)"),
];

/// The known difference that a request meets.
fn difference(line: &str) -> Option<&'static Difference> {
    DIFFERENCES.iter().find(|known| line.contains(known.of))
}

fn ask_both(world: &World, peer: &Peer, asked: &Asked) -> ((u16, Vec<u8>), (u16, Vec<u8>)) {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let (query, headers, body) = match asked.method.as_str() {
        "POST" => ("", &form[..], asked.params.as_bytes()),
        _ => (asked.params.as_str(), &[][..], &b""[..]),
    };
    let ours = world.ask(&asked.method, &asked.path, query, headers, body);
    let target = if query.is_empty() {
        asked.path.clone()
    } else {
        format!("{}?{query}", asked.path)
    };
    let theirs = peer.ask(&asked.method, &target, headers, body);
    let theirs = theirs.unwrap_or_else(|| panic!("no answer to {}", asked.line));
    ((ours.status, ours.body), theirs)
}

#[test]
fn what_prometheus_answers_is_answered() {
    let world = World::new(Clock::Goes);
    let peer = Peer::prometheus();
    let base = (wall() - 50 * 60_000) / 60_000 * 60_000;
    let mut all = series(base);
    let fresh = |name: &str, instance: &str, value: f64| tend_doors::WrittenSeries {
        labels: Labels::from_pairs(
            [("__name__", name), ("instance", instance), ("b\\\"", "x\ny")]
                .into_iter()
                .filter(|pair| pair.0 != "b\\\""),
        ),
        samples: vec![Sample {
            time: wall() - 5000,
            value,
        }],
    };
    all.extend([
        fresh("fresh", "a:1", 1.5),
        fresh("fresh", "", f64::INFINITY),
        fresh("fresh_two", "a \"b\"", 1e9),
    ]);
    for batch in all.chunks(10) {
        let body = encode_write(batch, &[]);
        let headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ];
        let (status, said) = peer.ask("POST", "/api/v1/write", &headers, &body).expect("an answer");
        assert_eq!((status, String::from_utf8_lossy(&said)), (204, "".into()));
        let ours = world.ask("POST", "/api/v1/write", "", &headers, &body);
        assert_eq!((ours.status, String::from_utf8_lossy(&ours.body)), (204, "".into()));
    }

    let mut asked = read(include_str!("requests/prometheus.txt"), base);
    for query in include_str!("requests/queries.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let instant = format!("GET /api/v1/query | query={query} | time={{1200}}");
        let range = format!("POST /api/v1/query_range | query={query} | start={{300}} | end={{2340}} | step=47");
        asked.extend(read(&format!("{instant}\n{range}"), base));
    }
    let mut faults = Vec::new();
    for asked in &asked {
        let known = difference(&asked.line);
        let (ours, theirs) = ask_both(&world, &peer, asked);
        let is_same = match known {
            Some(known) if !known.only_text => true,
            _ => ours.0 == theirs.0 && same_body(asked, known.is_some(), &ours.1, &theirs.1),
        };
        if !is_same {
            let shown = |answer: &(u16, Vec<u8>)| format!("{} {:.600}", answer.0, String::from_utf8_lossy(&answer.1));
            faults.push(format!(
                "{}\n  ours   {}\n  theirs {}",
                asked.line,
                shown(&ours),
                shown(&theirs)
            ));
        }
    }
    assert!(asked.len() > 300, "{} requests", asked.len());
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        asked.len(),
        faults.join("\n")
    );
}

fn same_body(asked: &Asked, but_text: bool, ours: &[u8], theirs: &[u8]) -> bool {
    let line = &asked.line;
    let (Ok(mut ours), Ok(mut theirs)) = (
        serde_json::from_slice::<Value>(ours),
        serde_json::from_slice::<Value>(theirs),
    ) else {
        return but_text || ours == theirs;
    };
    // Only `sort` and `topk` say in which order a vector is.
    let ordered = line.contains("=sort") || line.contains("topk");
    for side in [&mut ours, &mut theirs] {
        if let Some(object) = side.as_object_mut() {
            // 2.42 knows no notes on a result.
            object.remove("warnings");
            object.remove("infos");
        }
        if let Some(list) = side
            .pointer_mut("/data/result")
            .and_then(Value::as_array_mut)
            .filter(|_| !ordered)
            && list.iter().all(Value::is_object)
        {
            list.sort_by_key(|one| one["metric"].to_string());
        }
        if let Some(list) = side.pointer_mut("/data").and_then(Value::as_array_mut) {
            list.sort_by_key(Value::to_string);
        }
    }
    if let (Some(one), Some(two)) = (ours["error"].as_str(), theirs["error"].as_str()) {
        // Since 3.0 it begins small, and since 2.46 a range query names the parameter, too.
        let mut two = two.replace("Invalid time value", "invalid time value");
        if asked.path.ends_with("query_range")
            && theirs["errorType"] == "bad_data"
            && !two.starts_with("invalid parameter")
            && !two.starts_with("exceeded")
        {
            two = format!("invalid parameter \"query\": {two}");
        }
        return (but_text || one == two) && ours["errorType"] == theirs["errorType"];
    }
    same(&ours, &theirs)
}

fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len()
                && one
                    .iter()
                    .all(|(key, value)| two.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same(one, two))
        }
        (Value::String(one), Value::String(two)) => {
            one == two
                || one
                    .parse()
                    .ok()
                    .zip(two.parse().ok())
                    .is_some_and(|(one, two): (f64, f64)| {
                        (one - two).abs() <= RELATIVE * one.abs().max(two.abs()) || (one.is_nan() && two.is_nan())
                    })
        }
        (one, two) => one == two,
    }
}
