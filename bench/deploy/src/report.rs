//! The figures of all ways side by side, what tend promised and did not keep, and how they are printed.

use std::fmt;

use serde::Serialize;

use crate::run::Figures;

/// All figures.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) cores: usize,
    /// The machine's load averages before and after: times mean little where they are high.
    pub(crate) load_averages: [String; 2],
    /// Seconds that a WebSocket is given on a replica that leaves.
    pub(crate) drain_seconds: u64,
    pub(crate) ways: Vec<Figures>,
    /// What tend did not keep.
    pub(crate) broken: Vec<String>,
}

/// Returns what of tend's promises was not kept. A peer promises nothing here.
pub(crate) fn broken(figures: &Figures) -> Vec<String> {
    let payments = &figures.payments;
    let refused: u64 = payments.refused.values().sum();
    let promises = [
        (
            figures.deploys.len() == figures.asked,
            format!(
                "{} of {} deploys were made in the time",
                figures.deploys.len(),
                figures.asked
            ),
        ),
        (
            figures.failed_deploys() == 0,
            format!("{} deploys failed", figures.failed_deploys()),
        ),
        (
            figures.failed_requests() == 0,
            format!("{} requests failed", figures.failed_requests()),
        ),
        (refused == 0, format!("{refused} payments were refused")),
        (
            figures.sockets.early == 0,
            format!("{} WebSockets ended before their drain deadline", figures.sockets.early),
        ),
        (
            figures.stale_answers() == 0,
            format!(
                "{} answers came from a release that was said to be gone",
                figures.stale_answers()
            ),
        ),
        (payments.books.are_right(), "the books are wrong".to_owned()),
        (payments.acknowledged > 0, "no payment was made".to_owned()),
    ];
    let broken = promises.into_iter().filter(|(kept, _)| !kept);
    broken.map(|(_, what)| what).collect()
}

/// One line of the table: what it is, how a way's figure is written, and its number where ways are compared by it.
struct Row {
    what: &'static str,
    text: fn(&Figures) -> String,
    number: Option<fn(&Figures) -> f64>,
}

const ROWS: [Row; 12] = [
    Row {
        what: "deploys done",
        text: |way| format!("{} of {}", way.deploys.len() - way.failed_deploys(), way.asked),
        number: None,
    },
    Row {
        what: "seconds a deploy, median (max)",
        text: |way| {
            let seconds = sorted_seconds(way);
            let max = seconds.last().copied().unwrap_or_default();
            format!("{:.1} ({max:.1})", median(&seconds))
        },
        number: Some(|way| median(&sorted_seconds(way))),
    },
    Row {
        what: "requests that failed",
        text: |way| way.failed_requests().to_string(),
        number: Some(|way| way.failed_requests() as f64),
    },
    Row {
        what: "  by kind",
        text: by_kind,
        number: None,
    },
    Row {
        what: "deploys with a failed request",
        text: |way| {
            way.deploys
                .iter()
                .filter(|deploy| deploy.failed_requests > 0)
                .count()
                .to_string()
        },
        number: None,
    },
    Row {
        what: "WebSockets ended before their deadline",
        text: |way| format!("{}, {} of them cut", way.sockets.early, way.sockets.early_cut),
        number: Some(|way| way.sockets.early as f64),
    },
    Row {
        what: "WebSockets ended at it or later",
        text: |way| format!("{}, {} of them cut", way.sockets.drained, way.sockets.drained_cut),
        number: None,
    },
    Row {
        what: "answers of the old release after `done`",
        text: |way| way.stale_answers().to_string(),
        number: Some(|way| way.stale_answers() as f64),
    },
    Row {
        what: "payments acknowledged, a second",
        text: |way| {
            format!(
                "{}, {:.0} of {}",
                way.payments.acknowledged, way.payments.rate, way.payments.rate_wanted
            )
        },
        number: None,
    },
    Row {
        what: "payment latency ms, p50, p99, max",
        text: |way| {
            let latency = &way.payments.payment_latency;
            format!("{:.0}, {:.0}, {:.0}", latency.p50_ms, latency.p99_ms, latency.max_ms)
        },
        number: Some(|way| way.payments.payment_latency.p99_ms),
    },
    Row {
        what: "longest gap ms",
        text: |way| format!("{:.0}", way.payments.longest_gap_ms),
        number: Some(|way| way.payments.longest_gap_ms),
    },
    Row {
        what: "books",
        text: |way| {
            let books = &way.payments.books;
            if books.are_right() {
                return "right".to_owned();
            }
            let (missing, repeated) = (books.missing, books.repeated);
            format!(
                "WRONG: {missing} missing, {repeated} twice, balanced {}",
                books.balanced
            )
        },
        number: None,
    },
];

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = &self.load_averages;
        writeln!(
            out,
            "{} processors, load averages {before} before and {after} after; WebSockets have {} s to drain\n",
            self.cores, self.drain_seconds
        )?;
        let line = |out: &mut fmt::Formatter<'_>, what: &str, cells: &[String]| {
            write!(out, "{what:<41}")?;
            for cell in cells {
                write!(out, " {cell:>26}")?;
            }
            writeln!(out)
        };
        let mut head: Vec<String> = self.ways.iter().map(|way| way.name.to_owned()).collect();
        if let [first, second] = &self.ways[..] {
            head.push(format!("{} : {}", second.name, first.name));
        }
        line(out, "", &head)?;
        for row in &ROWS {
            let mut cells: Vec<String> = self.ways.iter().map(row.text).collect();
            if let ([first, second], Some(number)) = (&self.ways[..], row.number) {
                cells.push(ratio(number(second), number(first)));
            }
            line(out, row.what, &cells)?;
        }
        writeln!(out)?;
        for way in &self.ways {
            for (at, deploy) in way.deploys.iter().enumerate() {
                if let Some(why) = &deploy.failed {
                    writeln!(out, "{}: deploy {} failed: {why}", way.name, at + 1)?;
                }
            }
        }
        for broken in &self.broken {
            writeln!(out, "BROKEN: {broken}")?;
        }
        if self.broken.is_empty() && self.ways.iter().any(|way| way.name == "tend") {
            writeln!(out, "tend kept every promise")?;
        }
        Ok(())
    }
}

fn sorted_seconds(way: &Figures) -> Vec<f64> {
    let mut seconds: Vec<f64> = way.deploys.iter().map(|deploy| deploy.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    seconds
}

/// Returns the median by nearest rank; zero of nothing.
fn median(sorted: &[f64]) -> f64 {
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

fn by_kind(way: &Figures) -> String {
    let failed = &way.payments.failed;
    let mut kinds = vec![
        ("refused".to_owned(), failed.connection_refused),
        ("lost".to_owned(), failed.connection_lost),
        ("timed out".to_owned(), failed.timed_out),
    ];
    kinds.extend(
        failed
            .server_error
            .iter()
            .map(|(status, count)| (status.to_string(), *count)),
    );
    kinds.push(("questions".to_owned(), way.failed_questions));
    kinds.push(("handshakes".to_owned(), way.failed_handshakes));
    let met: Vec<String> = (kinds.into_iter())
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    if met.is_empty() { "-".to_owned() } else { met.join(", ") }
}

/// Writes `one : other` as a factor; where the other is nothing, as both numbers.
fn ratio(one: f64, other: f64) -> String {
    if other == 0.0 {
        format!("{one:.0} : 0")
    } else {
        format!("{:.2}", one / other)
    }
}

#[cfg(test)]
mod tests {
    use bench_mps::{Books, FailedRequests, Latency};

    use super::*;
    use crate::run::Deploy;
    use crate::verdict::Sockets;

    fn calm(name: &'static str) -> Figures {
        let latency = Latency::of(Vec::new());
        let deploy = Deploy {
            version: "release-b",
            seconds: 2.0,
            failed: None,
            failed_requests: 0,
            stale_answers: 0,
        };
        Figures {
            name,
            deploys: vec![deploy],
            asked: 1,
            payments: bench_mps::Report {
                rate_wanted: 500,
                rate: 500.0,
                seconds: 1.0,
                due: 500,
                sent: 500,
                acknowledged: 500,
                refused: Default::default(),
                unknown: 0,
                not_sent: 0,
                resent: 0,
                failed: FailedRequests::default(),
                payment_latency: latency,
                request_latency: latency,
                longest_gap_ms: 1.0,
                books: Books {
                    balanced: true,
                    ..Books::default()
                },
            },
            questions: 50,
            failed_questions: 0,
            failed_handshakes: 0,
            sockets: Sockets::default(),
            pushed: 0,
        }
    }

    #[test]
    fn each_promise_is_held_to() {
        assert_eq!(broken(&calm("tend")), Vec::<String>::new());
        let breaks: [fn(&mut Figures); 10] = [
            |way| way.asked = 2,
            |way| way.deploys[0].failed = Some("exit status: 4".to_owned()),
            |way| way.payments.failed.connection_lost = 1,
            |way| way.payments.failed.server_error = [(502, 1)].into(),
            |way| way.failed_questions = 1,
            |way| way.failed_handshakes = 1,
            |way| way.sockets.early = 1,
            |way| way.deploys[0].stale_answers = 1,
            |way| way.payments.books.missing = 1,
            |way| way.payments.books.balanced = false,
        ];
        for (at, break_it) in breaks.into_iter().enumerate() {
            let mut way = calm("tend");
            break_it(&mut way);
            assert_eq!(broken(&way).len(), 1, "break {at}: {:?}", broken(&way));
        }
        let mut drained = calm("tend");
        drained.sockets.drained = 100;
        assert!(broken(&drained).is_empty(), "the drain has an end");
    }

    #[test]
    fn both_ways_stand_side_by_side_with_their_ratio() {
        let mut peer = calm("PM2 and nginx");
        peer.failed_questions = 7;
        peer.payments.failed.timed_out = 5;
        peer.deploys[0].seconds = 3.0;
        let report = Report {
            cores: 2,
            load_averages: [String::new(), String::new()],
            drain_seconds: 5,
            ways: vec![calm("tend"), peer],
            broken: Vec::new(),
        };
        let text = report.to_string();
        let line = |what: &str| text.lines().find(|line| line.starts_with(what)).unwrap_or_default();
        assert!(line("requests that failed").ends_with(" 12 : 0"), "{text}");
        assert!(line("seconds a deploy").ends_with(" 1.50"), "{text}");
        assert!(line("  by kind").contains("5 timed out, 7 questions"), "{text}");
        assert!(text.contains("tend kept every promise"), "{text}");
    }
}
