//! The figures of a run: medians, ratios, aims, and how they are printed.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::front::FrontName;
use crate::kind::{AIMS, Aim, Kind, Measure};
use crate::round::{Idle, Round};

/// Medians of the rounds of one front in one way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) front: FrontName,
    pub(crate) kind: Kind,
    /// Rounds that count, and those thrown away because others used the machine.
    pub(crate) rounds: usize,
    pub(crate) thrown_away: usize,
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) front_percent: f64,
    pub(crate) errors: u64,
}

/// Something that was not measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) front: FrontName,
    pub(crate) what: String,
    pub(crate) why: &'static str,
}

/// How far an aim is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) aim: Aim,
    /// None where a figure is missing.
    pub(crate) value: Option<f64>,
    pub(crate) reached: Option<bool>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) cores: usize,
    /// Before and after.
    pub(crate) load_averages: [String; 2],
    pub(crate) seconds: u64,
    pub(crate) rate: u32,
    pub(crate) debug_build: bool,
    /// Response headers of the security kind that each front adds; all should add as many.
    pub(crate) headers_added: Vec<(FrontName, usize)>,
    pub(crate) figures: Vec<Figures>,
    pub(crate) idle: Vec<Idle>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) rounds: Vec<Round>,
}

/// Returns the medians of rounds, by kind and front.
pub(crate) fn figures(rounds: &[Round]) -> Vec<Figures> {
    let mut pairs: Vec<(Kind, FrontName)> = rounds.iter().map(|round| (round.kind, round.front)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
        .into_iter()
        .filter_map(|(kind, front)| {
            let all: Vec<&Round> = rounds
                .iter()
                .filter(|round| (round.kind, round.front) == (kind, front))
                .collect();
            let clean: Vec<&Round> = all.iter().copied().filter(|round| round.clean).collect();
            let of =
                |value: &dyn Fn(&Round) -> Option<f64>| median(clean.iter().filter_map(|round| value(round)).collect());
            Some(Figures {
                front,
                kind,
                rounds: clean.len(),
                thrown_away: all.len() - clean.len(),
                per_second: of(&|round| Some(round.per_second))?,
                cpu_us: of(&|round| Some(round.cpu_us))?,
                user_us: of(&|round| Some(round.user_us))?,
                system_us: of(&|round| Some(round.system_us))?,
                p50_us: of(&|round| round.p50_us),
                p99_us: of(&|round| round.p99_us),
                front_percent: of(&|round| Some(round.front_percent))?,
                errors: clean.iter().map(|round| round.errors).sum(),
            })
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Compares the figures with the aims.
pub(crate) fn verdicts(figures: &[Figures], idle: &[Idle]) -> Vec<Verdict> {
    let find = |kind: Kind, front: FrontName| figures.iter().find(|found| (found.kind, found.front) == (kind, front));
    AIMS.iter()
        .map(|aim| {
            let value = match (aim.measure, aim.kind) {
                (Measure::CpuAtLeast(_), Some(kind)) => find(kind, aim.against)
                    .zip(find(kind, FrontName::Tend))
                    .map(|(theirs, ours)| theirs.cpu_us / ours.cpu_us),
                (Measure::P99AtMost(_), Some(kind)) => {
                    let p99 = |front| find(kind, front).and_then(|found| found.p99_us);
                    let better = [p99(FrontName::Tuned), p99(FrontName::Guide)]
                        .into_iter()
                        .flatten()
                        .reduce(f64::min);
                    p99(FrontName::Tend).zip(better).map(|(ours, theirs)| ours / theirs)
                }
                (Measure::IdleAtMost(_), _) => {
                    let ours = idle.iter().find(|idle| idle.front == FrontName::Tend && !idle.tls);
                    ours.map(Idle::each_kib)
                }
                (_, None) => None,
            };
            let reached = value.map(|value| match aim.measure {
                Measure::CpuAtLeast(least) => value >= least,
                Measure::P99AtMost(most) | Measure::IdleAtMost(most) => value <= most,
            });
            Verdict {
                aim: *aim,
                value,
                reached,
            }
        })
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cores, fronts on one and clients with upstreams on another; load averages before and after: {}; rounds of {} s",
            self.cores,
            self.load_averages.join("; "),
            self.seconds
        )?;
        if self.debug_build {
            writeln!(f, "\nThis is a debug build: the figures of tend mean nothing.")?;
        }
        for (front, added) in &self.headers_added {
            if self.headers_added.iter().any(|(_, others)| others != added) {
                writeln!(f, "{front} adds {added} security headers")?;
            }
        }
        for kind in Kind::ALL {
            self.write_kind(kind, f)?;
        }
        self.write_idle(f)?;
        for missing in &self.missing {
            writeln!(
                f,
                "\nNot measured: {} of {}: {}",
                missing.what, missing.front, missing.why
            )?;
        }
        self.write_verdicts(f)
    }
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"))
}

impl Report {
    fn write_kind(&self, kind: Kind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures: Vec<&Figures> = self.figures.iter().filter(|figures| figures.kind == kind).collect();
        if figures.is_empty() {
            return Ok(());
        }
        let ours = figures.iter().find(|figures| figures.front == FrontName::Tend);
        writeln!(f, "\n{}\n", kind.what(self.rate))?;
        writeln!(
            f,
            "| | requests/s | CPU µs/request | user | system | p50 µs | p99 µs | core % | errors | rounds | CPU, theirs : ours |"
        )?;
        writeln!(f, "| --- |{}", " ---: |".repeat(10))?;
        for line in &figures {
            let ratio = ours.map_or_else(|| "-".to_owned(), |ours| format!("{:.2}", line.cpu_us / ours.cpu_us));
            let mut rounds = line.rounds.to_string();
            if line.thrown_away > 0 {
                write!(rounds, " ({} thrown away)", line.thrown_away)?;
            }
            writeln!(
                f,
                "| {} | {:.0} | {:.1} | {:.1} | {:.1} | {} | {} | {:.0} | {} | {rounds} | {ratio} |",
                line.front,
                line.per_second,
                line.cpu_us,
                line.user_us,
                line.system_us,
                cell(line.p50_us),
                cell(line.p99_us),
                line.front_percent,
                line.errors
            )?;
        }
        Ok(())
    }

    fn write_idle(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.idle.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nMemory with idle connections, one request each\n")?;
        writeln!(
            f,
            "| | | connections | PSS before, KiB | PSS with, KiB | RSS with, KiB | PSS each, KiB |"
        )?;
        writeln!(f, "| --- | --- |{}", " ---: |".repeat(5))?;
        for idle in &self.idle {
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {:.2} |",
                idle.front,
                if idle.tls { "TLS" } else { "plain" },
                idle.connections,
                idle.before.pss_kib,
                idle.with.pss_kib,
                idle.with.rss_kib,
                idle.each_kib()
            )?;
        }
        Ok(())
    }

    fn write_verdicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nAims\n\n| what | aim | is | |\n| --- | --- | ---: | --- |")?;
        for verdict in &self.verdicts {
            let kind = verdict.aim.kind.map_or_else(String::new, |kind| kind.what(self.rate));
            let (what, aim) = match verdict.aim.measure {
                Measure::CpuAtLeast(least) => (
                    format!("CPU per request of {} over ours, {kind}", verdict.aim.against),
                    format!("at least {least:.2}"),
                ),
                Measure::P99AtMost(most) => (
                    format!("our p99 over the better of both nginx configurations, {kind}"),
                    format!("at most {most:.2}"),
                ),
                Measure::IdleAtMost(most) => (
                    "PSS for each idle plain HTTP/1.1 connection, KiB".to_owned(),
                    format!("at most {most:.0}"),
                ),
            };
            let value = verdict
                .value
                .map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
            let word = match verdict.reached {
                Some(true) => "reached",
                Some(false) => "short",
                None => "not measured",
            };
            writeln!(f, "| {what} | {aim} | {value} | {word} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Memory;

    fn round(front: FrontName, kind: Kind, cpu_us: f64, p99_us: f64, clean: bool) -> Round {
        Round {
            front,
            kind,
            requests: 1,
            errors: 0,
            per_second: 1.0,
            cpu_us,
            user_us: 0.0,
            system_us: 0.0,
            p50_us: None,
            p99_us: Some(p99_us),
            front_percent: 0.0,
            foreign_percent: 0.0,
            clean,
        }
    }

    #[test]
    fn medians_leave_out_rounds_that_others_disturbed() {
        let rounds = [
            round(FrontName::Tend, Kind::Rate, 10.0, 1.0, true),
            round(FrontName::Tend, Kind::Rate, 90.0, 1.0, false),
            round(FrontName::Tend, Kind::Rate, 14.0, 1.0, true),
            round(FrontName::Guide, Kind::Rate, 90.0, 1.0, false),
        ];
        let figures = figures(&rounds);
        assert_eq!(figures.len(), 1, "a front without a clean round has no figures");
        assert_eq!(
            (figures[0].cpu_us, figures[0].rounds, figures[0].thrown_away),
            (12.0, 2, 1)
        );
    }

    #[test]
    fn aims_are_reached_short_or_not_measured() {
        let rounds = [
            round(FrontName::Tend, Kind::Rate, 10.0, 120.0, true),
            round(FrontName::Tuned, Kind::Rate, 12.0, 110.0, true),
            round(FrontName::Guide, Kind::Rate, 20.0, 100.0, true),
        ];
        let memory = |pss_kib| Memory { pss_kib, rss_kib: 0 };
        let idle = Idle {
            front: FrontName::Tend,
            tls: false,
            connections: 2000,
            before: memory(1000),
            with: memory(6000),
        };
        let found = verdicts(&figures(&rounds), &[idle]);
        let of = |kind, against, wanted: fn(Measure) -> bool| {
            let verdict = found.iter().find(|verdict| {
                verdict.aim.kind == kind && verdict.aim.against == against && wanted(verdict.aim.measure)
            });
            verdict.unwrap().reached
        };
        let cpu = |measure| matches!(measure, Measure::CpuAtLeast(_));
        assert_eq!(of(Some(Kind::Rate), FrontName::Tuned, cpu), Some(false), "1.2 of 1.25");
        assert_eq!(of(Some(Kind::Rate), FrontName::Guide, cpu), Some(true), "2.0 of 1.3");
        assert_eq!(of(Some(Kind::Tls), FrontName::Guide, cpu), None);
        let p99 = |measure| matches!(measure, Measure::P99AtMost(_));
        assert_eq!(
            of(Some(Kind::Rate), FrontName::Tuned, p99),
            Some(false),
            "1.2 of 1.1 by the better one"
        );
        assert_eq!(of(None, FrontName::Tuned, |_| true), Some(true), "2.5 KiB");
    }
}
