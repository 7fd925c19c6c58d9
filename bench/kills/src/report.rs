//! The figures of the kills, what was promised of them, and how both are printed. Measures nothing.

use std::fmt;

use bench_mps::FailedRequests;
use serde::Serialize;

use crate::victim::{Round, Victim};

/// What one kind of kill cost.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// What was killed.
    pub(crate) victim: Victim,
    /// Each kill.
    pub(crate) rounds: Vec<Round>,
    /// What the load driver says of the payments made meanwhile.
    pub(crate) payments: bench_mps::Report,
    /// Most requests under way at once.
    pub(crate) concurrency: usize,
    /// Unexpected exits of replicas in the journal.
    pub(crate) crashes: usize,
    /// Payments that the replicas wrote into their output and that are in the log; counted for the shim alone.
    pub(crate) payments_logged: Option<u64>,
}

/// All that was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The machine's load average over a minute, before and after.
    pub(crate) load_average: [f64; 2],
    /// The share of the processors that others used before the start, in percent.
    pub(crate) busy_before_percent: f64,
    /// Processors.
    pub(crate) cores: usize,
    /// By kind of kill.
    pub(crate) figures: Vec<Figures>,
    /// What `tend events verify` said.
    pub(crate) journal: String,
    /// Promises that were not kept.
    pub(crate) broken: Vec<String>,
}

impl Figures {
    /// Returns the promises that were not kept.
    pub(crate) fn broken(&self) -> Vec<String> {
        let name = self.victim.name();
        let failed = self.payments.failed.total();
        let kills = self.rounds.len();
        let books = &self.payments.books;
        let restarted: usize = self.rounds.iter().map(|round| round.restarted).sum();
        let crashes = if self.victim == Victim::Replica { kills } else { 0 };
        // Each kill may take along what was under way at that moment, and nothing that came later.
        let excusable = match self.victim {
            Victim::None | Victim::Daemon | Victim::Shim => 0,
            Victim::Replica | Victim::Edge => (kills * self.concurrency) as u64,
        };
        let lost = self
            .payments_logged
            .map_or(0, |logged| self.payments.acknowledged.saturating_sub(logged));
        let unadopted = self.rounds.iter().filter(|round| round.adopted != 3).count();
        let promises = [
            (
                books.are_right(),
                format!("the books are wrong: {}", books.findings.join("; ")),
            ),
            (
                self.payments.failed.connection_refused == 0,
                format!("{} connections were refused", self.payments.failed.connection_refused),
            ),
            (
                failed <= excusable,
                format!("{failed} requests failed, of which at most {excusable} can have been under way at a kill"),
            ),
            (
                restarted == 0,
                format!("{restarted} replicas were restarted that nobody killed"),
            ),
            (
                self.crashes == crashes,
                format!(
                    "the journal has {} unexpected exits of replicas in place of {crashes}",
                    self.crashes
                ),
            ),
            (
                self.victim != Victim::Daemon || unadopted == 0,
                format!("{unadopted} of {kills} daemons that came back adopted another number than 3 replicas"),
            ),
            (
                lost == 0,
                format!("{lost} acknowledged payments are not in the replicas' output"),
            ),
        ];
        let broken = promises.into_iter().filter(|(kept, _)| !kept);
        broken
            .map(|(_, what)| format!("while {name} was killed: {what}"))
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} processors, {:.0} % of them busy with other work before the start; load average {:.1} before, {:.1} after",
            self.cores, self.busy_before_percent, self.load_average[0], self.load_average[1]
        )?;
        writeln!(
            out,
            "\n{:<11} {:>5} {:>9} {:>12} {:>14} {:>8} {:>8} {:>21} {:>18}",
            "KILLED",
            "TIMES",
            "PAYMENTS",
            "ACKNOWLEDGED",
            "PAYMENTS/S",
            "FAILED",
            "REFUSED",
            "GAP MS median (max)",
            "BACK MS med. (max)"
        )?;
        for figures in &self.figures {
            let payments = &figures.payments;
            let gaps = figures.rounds.iter().map(|round| round.longest_gap_ms);
            let gaps = match figures.rounds.len() {
                0 => format!("({:.0})", payments.longest_gap_ms),
                _ => median_and_max(gaps.collect()),
            };
            let backs = figures.rounds.iter().map(|round| round.back_ms as f64);
            writeln!(
                out,
                "{:<11} {:>5} {:>9} {:>12} {:>14} {:>8} {:>8} {:>21} {:>18}",
                figures.victim.name(),
                figures.rounds.len(),
                payments.sent,
                payments.acknowledged,
                format!("{:.0} of {}", payments.rate, payments.rate_wanted),
                payments.failed.total(),
                payments.failed.connection_refused,
                gaps,
                median_and_max(backs.collect()),
            )?;
        }
        writeln!(out, "\nfailed: {}", self.by_kind())?;
        for figures in &self.figures {
            let name = figures.victim.name();
            if figures.victim == Victim::Daemon {
                let adopted: usize = figures.rounds.iter().map(|round| round.adopted).sum();
                writeln!(
                    out,
                    "{name}: {adopted} times a replica was adopted, none restarted: each has the process it had"
                )?;
            }
            if let Some(logged) = figures.payments_logged {
                writeln!(
                    out,
                    "{name}: {logged} payments are in the replicas' output, {} were acknowledged",
                    figures.payments.acknowledged
                )?;
            }
        }
        let total: u64 = self.figures.iter().map(|figures| figures.payments.acknowledged).sum();
        let missing: u64 = (self.figures.iter())
            .map(|figures| figures.payments.books.missing)
            .sum();
        let repeated: u64 = (self.figures.iter())
            .map(|figures| figures.payments.books.repeated)
            .sum();
        let unknown: u64 = self.figures.iter().map(|figures| figures.payments.unknown).sum();
        let balanced = self.figures.iter().all(|figures| figures.payments.books.balanced);
        writeln!(
            out,
            "books: {total} payments acknowledged, {missing} of them missing, {repeated} twice, {unknown} of unknown outcome; {}",
            if balanced { "balanced" } else { "NOT balanced" }
        )?;
        writeln!(out, "journal: {}", self.journal)?;
        for broken in &self.broken {
            writeln!(out, "BROKEN: {broken}")?;
        }
        if self.broken.is_empty() {
            writeln!(out, "every promise was kept")?;
        }
        Ok(())
    }
}

impl Report {
    fn by_kind(&self) -> String {
        let all = self.figures.iter().map(|figures| {
            let FailedRequests {
                connection_refused,
                connection_lost,
                timed_out,
                server_error,
            } = &figures.payments.failed;
            let mut kinds = vec![
                ("refused".to_owned(), *connection_refused),
                ("lost".to_owned(), *connection_lost),
                ("timed out".to_owned(), *timed_out),
            ];
            kinds.extend(
                server_error
                    .iter()
                    .map(|(status, count)| (format!("status {status}"), *count)),
            );
            let met: Vec<String> = (kinds.into_iter())
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            let met = if met.is_empty() {
                "none".to_owned()
            } else {
                met.join(", ")
            };
            format!("{} {met}", figures.victim.name())
        });
        all.collect::<Vec<_>>().join("; ")
    }
}

/// Returns `median (max)`, by nearest rank; a dash where there is nothing.
fn median_and_max(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    match figures.last() {
        Some(max) => format!("{:.0} ({max:.0})", figures[(figures.len() - 1) / 2]),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failed: u64, refused: u64, missing: u64) -> bench_mps::Report {
        let latency = bench_mps::Latency::of(Vec::new());
        bench_mps::Report {
            rate_wanted: 500,
            rate: 500.0,
            seconds: 1.0,
            due: 500,
            sent: 500,
            acknowledged: 500,
            refused: Default::default(),
            unknown: 0,
            not_sent: 0,
            resent: failed,
            failed: FailedRequests {
                connection_refused: refused,
                connection_lost: failed,
                ..FailedRequests::default()
            },
            payment_latency: latency,
            request_latency: latency,
            longest_gap_ms: 1.0,
            books: bench_mps::Books {
                balanced: true,
                missing,
                ..bench_mps::Books::default()
            },
        }
    }

    fn figures(victim: Victim, payments: bench_mps::Report, round: Round) -> Figures {
        Figures {
            victim,
            rounds: vec![round],
            payments,
            concurrency: 64,
            crashes: usize::from(victim == Victim::Replica),
            payments_logged: None,
        }
    }

    const CALM: Round = Round {
        longest_gap_ms: 1.0,
        back_ms: 1,
        failed_requests: 0,
        restarted: 0,
        adopted: 3,
    };

    #[test]
    fn what_was_under_way_may_fail_with_a_replica_or_the_edge_and_with_nothing_else() {
        for (victim, failed, kept) in [
            (Victim::Replica, 64, true),
            (Victim::Replica, 65, false),
            (Victim::Edge, 64, true),
            (Victim::Daemon, 1, false),
            (Victim::Shim, 1, false),
            (Victim::Shim, 0, true),
        ] {
            let broken = figures(victim, report(failed, 0, 0), CALM).broken();
            assert_eq!(broken.is_empty(), kept, "{victim:?} {failed}: {broken:?}");
        }
    }

    #[test]
    fn each_promise_is_held_to() {
        let one = |figures: Figures| assert_eq!(figures.broken().len(), 1, "{:?}", figures.broken());
        one(figures(Victim::Edge, report(0, 1, 0), CALM));
        one(figures(Victim::Edge, report(0, 0, 1), CALM));
        one(figures(Victim::Daemon, report(0, 0, 0), Round { adopted: 2, ..CALM }));
        one(figures(Victim::Daemon, report(0, 0, 0), Round { restarted: 1, ..CALM }));
        let mut silent = figures(Victim::Shim, report(0, 0, 0), CALM);
        silent.payments_logged = Some(499);
        one(silent);
        let mut crashed = figures(Victim::Shim, report(0, 0, 0), CALM);
        crashed.crashes = 1;
        one(crashed);
    }
}
