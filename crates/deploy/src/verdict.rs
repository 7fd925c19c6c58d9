//! Whether a canary is better, worse or not yet known: a sequential test on the counts of both releases.
//!
//! Owns the statistics. Counts nothing itself, and does not know what a failure is.
//!
//! The counts may be looked at as often as one likes. A test made for one look would be wrong far more often than it says when it
//! is repeated until it says something; this one is not, because it rests on confidence *sequences*: intervals that hold the true
//! share of failures at every instant at once, with the probability they promise.
//!
//! For one group with `s` failures in `n` requests and a share `p`, the likelihood ratio of a mixture over all shares, weighted
//! by Beta(½, ½), is
//!
//! ```text
//!             ∫ θ^s (1−θ)^(n−s) dBeta(½,½)(θ)     Γ(s+½) Γ(n−s+½)
//!  M_n(p) =  ─────────────────────────────────  =  ─────────────────────────
//!                   p^s (1−p)^(n−s)                π Γ(n+1) p^s (1−p)^(n−s)
//! ```
//!
//! If `p` is the true share, M is a martingale that begins at 1, so by Ville's inequality it ever reaches 1/a with probability of
//! at most a. The interval is therefore every `p` with `M_n(p) < 1/a`. Nothing in this is approximate; it holds for five requests
//! as for five million. Each group gets a = [`ERROR_RATE`]/2 = 2.5 %, so both intervals hold together with 95 %.
//!
//! - *fail*: even the lowest share of the new release is more than the margin above the highest of the old one. Said of a release
//!   that is not worse than the margin: at most 5 % of the time.
//! - *promote*: even the highest share of the new release is no more than the margin above the lowest of the old one. Said of a
//!   release that is worse: at most 5 % of the time.
//!
//! What it takes for granted: that the requests of a group fail independently of each other, with a share that stays as it is
//! while the canary runs. A burst of repeats by one client counts for more than it should; the minimum sample is the guard.
//!
//! Sources: J. Ville, *Étude critique de la notion de collectif*, 1939; H. Robbins, *Statistical methods related to the law of the
//! iterated logarithm*, Ann. Math. Statist. 41, 1970 (the mixture); R. Krichevsky and V. Trofimov, *The performance of universal
//! encoding*, IEEE Trans. Inf. Theory 27, 1981 (the weight ½); R. Johari et al., *Always valid inference*, Oper. Res. 70, 2022 (its
//! use for A/B tests).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_core::model::Canary;

/// How often, at most, a canary fails or is promoted wrongly, however often its figures are looked at.
pub const ERROR_RATE: f64 = 0.05;

/// What a group of replicas has answered since the canary began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests answered.
    pub requests: u64,
    /// Those of them that failed. More than `requests`, which counts read at two instants may show, count as all.
    pub failures: u64,
}

/// Where the true share of failures of a group is, from 0 to 1, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// It is not below this.
    pub low: f64,
    /// Nor above this.
    pub high: f64,
}

/// What is said of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not worse than the margin allows, by these figures.
    Promote(String),
    /// It is, for this reason.
    Fail(String),
    /// The figures do not tell yet.
    Wait,
    /// They did not tell within the patience, for this reason: neither promoted nor failed, a person decides.
    Inconclusive(String),
}

/// Judges a canary by what the release before and the target answered since it began, `waited` ago.
///
/// Says nothing before the new release has answered [`Canary::requests_min`] requests, and says what the figures tell even after
/// the patience is over.
#[must_use]
pub fn verdict(before: Counts, target: Counts, canary: &Canary, waited: Duration) -> Verdict {
    let margin = f64::from(canary.worse_permille) / 1000.0;
    let (before_in, target_in) = (interval(before), interval(target));
    let over = waited >= canary.patience;
    if target.requests < canary.requests_min || target.requests == 0 {
        let why = || {
            format!(
                "the new release answered {} requests in {}, and {} are needed before anything can be said",
                target.requests,
                seconds(waited),
                canary.requests_min.max(1)
            )
        };
        return if over {
            Verdict::Inconclusive(why())
        } else {
            Verdict::Wait
        };
    }
    let seen = || {
        format!(
            "the new release failed {} (true share {}), the old one {} ({}), and {} more are allowed",
            of(target),
            shares(target_in),
            of(before),
            shares(before_in),
            percent(margin)
        )
    };
    if target_in.low > before_in.high + margin {
        return Verdict::Fail(seen());
    }
    if target_in.high <= before_in.low + margin {
        return Verdict::Promote(seen());
    }
    match over {
        true => Verdict::Inconclusive(format!("the figures did not tell in {}: {}", seconds(waited), seen())),
        false => Verdict::Wait,
    }
}

/// Returns where the true share of failures of a group is, right at every look together with 97.5 %.
#[must_use]
pub fn interval(counts: Counts) -> Interval {
    let (all, failed) = (counts.requests as f64, counts.failures.min(counts.requests) as f64);
    let good = all - failed;
    // ln of the numerator of M, and of the M at which a share is out.
    let mixture = ln_gamma(failed + 0.5) + ln_gamma(good + 0.5) - ln_gamma(all + 1.0) - std::f64::consts::PI.ln();
    let limit = (2.0 / ERROR_RATE).ln();
    let is_out = |share: f64| mixture - times_ln(failed, share) - times_ln(good, 1.0 - share) >= limit;
    let seen = if all > 0.0 { failed / all } else { 0.5 };
    Interval {
        low: edge(0.0, seen, is_out),
        high: edge(1.0, seen, is_out),
    }
}

/// Returns where between a share that may be out and one that is in the border lies, always on the outer side of it.
fn edge(mut out: f64, mut inside: f64, is_out: impl Fn(f64) -> bool) -> f64 {
    if !is_out(out) {
        return out;
    }
    // 60 halvings of 1 are less than what a float tells apart near 1.
    for _ in 0..60 {
        let middle = out.midpoint(inside);
        match is_out(middle) {
            true => out = middle,
            false => inside = middle,
        }
    }
    out
}

/// `count · ln(share)`, with 0 · ln(0) = 0.
fn times_ln(count: f64, share: f64) -> f64 {
    if count == 0.0 { 0.0 } else { count * share.ln() }
}

/// ln Γ(x) for x > 0, by Stirling's series from 10 on, to which smaller numbers are brought by Γ(x+1) = x Γ(x).
///
/// The first term left out is below 2·10⁻¹¹.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < 10.0 {
        below += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - below
}

fn of(counts: Counts) -> String {
    format!(
        "{} of {} requests",
        counts.failures.min(counts.requests),
        counts.requests
    )
}

fn shares(interval: Interval) -> String {
    format!("{} to {}", percent(interval.low), percent(interval.high))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn seconds(waited: Duration) -> String {
    format!("{} s", waited.as_secs())
}

#[cfg(test)]
mod tests {
    use tend_base::Random;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(600);

    fn canary(requests_min: u64, worse_permille: u32) -> Canary {
        Canary {
            share_permille: 100,
            allow: Vec::new(),
            requests_min,
            worse_permille,
            patience: PATIENCE,
        }
    }

    fn counts(failures: u64, requests: u64) -> Counts {
        Counts { requests, failures }
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Promote(_) => "promote",
            Verdict::Fail(_) => "fail",
            Verdict::Wait => "wait",
            Verdict::Inconclusive(_) => "inconclusive",
        }
    }

    #[test]
    fn the_figures_tell_or_are_waited_for() {
        // Failures of requests of the old release, of the new one; what is said in time, and when the patience is over.
        for (old, new, in_time, over) in [
            // No traffic at all, or none at the canary.
            ((0, 0), (0, 0), "wait", "inconclusive"),
            ((0, 9000), (0, 0), "wait", "inconclusive"),
            // Below the minimum sample nothing is said, however bad it looks.
            ((0, 9000), (99, 99), "wait", "inconclusive"),
            ((0, 9000), (100, 100), "fail", "fail"),
            // Both are fine.
            ((0, 9000), (0, 100), "wait", "inconclusive"),
            ((0, 9000), (0, 1000), "promote", "promote"),
            ((3, 9000), (1, 1500), "promote", "promote"),
            // A few failures among few requests say nothing; the same share of many does.
            ((0, 900), (3, 100), "wait", "inconclusive"),
            ((0, 9000), (30, 1000), "fail", "fail"),
            // The old release fails as well: the new one is no worse, which takes many requests to see.
            ((300, 900), (33, 100), "wait", "inconclusive"),
            ((300_000, 900_000), (100_000, 300_000), "promote", "promote"),
            ((9000, 9000), (1000, 1000), "promote", "promote"),
            // The new one heals what the old one breaks.
            ((4500, 9000), (0, 100), "promote", "promote"),
            // Nobody to compare with: what hardly fails is fine whatever the other does, and nothing can be worse than unknown.
            ((0, 0), (0, 1000), "promote", "promote"),
            ((0, 0), (1000, 1000), "wait", "inconclusive"),
            // Worse for certain, but within the margin of 1 %.
            ((0, 10_000_000), (50_000, 10_000_000), "promote", "promote"),
            // Counts read at two instants.
            ((0, 9000), (101, 100), "fail", "fail"),
        ] {
            let judge = |elapsed| verdict(counts(old.0, old.1), counts(new.0, new.1), &canary(100, 10), elapsed);
            let (early, late) = (judge(Duration::ZERO), judge(PATIENCE));
            assert_eq!((word(&early), word(&late)), (in_time, over), "{old:?} {new:?}");
        }
    }

    #[test]
    fn the_reason_holds_the_figures() {
        let judge = |old, new| verdict(old, new, &canary(100, 10), PATIENCE);
        assert_eq!(
            judge(counts(0, 9000), counts(30, 1000)),
            Verdict::Fail(
                "the new release failed 30 of 1000 requests (true share 1.4 % to 5.5 %), the old one 0 of 9000 requests (0.0 % to 0.1 %), and 1.0 % more are allowed"
                    .to_owned()
            )
        );
        assert_eq!(
            judge(counts(0, 900), counts(0, 7)),
            Verdict::Inconclusive(
                "the new release answered 7 requests in 600 s, and 100 are needed before anything can be said"
                    .to_owned()
            )
        );
        let Verdict::Inconclusive(why) = judge(counts(0, 900), counts(3, 100)) else {
            panic!("the figures do not tell");
        };
        assert!(
            why.starts_with("the figures did not tell in 600 s: the new release failed 3 of 100"),
            "{why}"
        );
    }

    #[test]
    fn the_interval_is_that_of_the_formula() {
        // No request: nothing is known. n requests without a failure: the high end solves Γ(½)Γ(n+½)/(πΓ(n+1)) = 40 (1−p)^n.
        assert_eq!(interval(counts(0, 0)), Interval { low: 0.0, high: 1.0 });
        let mut mixture: f64 = 1.0;
        for n in 1..=200_u32 {
            // The same number by its recurrence, with no Gamma function: the next request succeeds with (n−½)/n.
            mixture *= (f64::from(n) - 0.5) / f64::from(n);
            let high = 1.0 - (mixture / 40.0).powf(1.0 / f64::from(n));
            let found = interval(counts(0, u64::from(n)));
            assert!(
                found.low == 0.0 && (found.high - high).abs() < 1e-9,
                "{n}: {found:?}, not {high}"
            );
            let mirrored = interval(counts(u64::from(n), u64::from(n)));
            assert!(
                mirrored.high == 1.0 && (mirrored.low - (1.0 - high)).abs() < 1e-9,
                "{n}: {mirrored:?}"
            );
        }
    }

    #[test]
    fn any_counts_give_an_interval_around_what_was_seen() {
        for requests in [1, 2, 3, 10, 1000, u64::from(u32::MAX), u64::MAX] {
            for failures in [0, 1, requests / 3, requests / 2, requests - 1, requests, u64::MAX] {
                let found = interval(counts(failures, requests));
                let seen = failures.min(requests) as f64 / requests as f64;
                assert!(
                    0.0 <= found.low && found.low <= seen && seen <= found.high && found.high <= 1.0,
                    "{failures} of {requests}: {found:?}"
                );
            }
        }
    }

    const RUNS: u32 = 400;

    /// Runs canaries with the given true shares, a tenth of the requests at the new release, and returns how many of them ended
    /// with each verdict. Looked at after every 20th request at the new release, 150 times at most.
    fn runs(old: f64, new: f64, judge: impl Fn(Counts, Counts) -> Verdict) -> (u32, u32) {
        let mut random = Random::new(42);
        let (mut promoted, mut failed) = (0, 0);
        for _ in 0..RUNS {
            let (mut of_old, mut of_new) = (Counts::default(), Counts::default());
            for _ in 0..150 {
                for _ in 0..20 {
                    of_new.requests += 1;
                    of_new.failures += u64::from(random.part() <= new);
                    for _ in 0..9 {
                        of_old.requests += 1;
                        of_old.failures += u64::from(random.part() <= old);
                    }
                }
                match judge(of_old, of_new) {
                    Verdict::Promote(_) => promoted += 1,
                    Verdict::Fail(_) => failed += 1,
                    Verdict::Wait | Verdict::Inconclusive(_) => continue,
                }
                break;
            }
        }
        (promoted, failed)
    }

    fn share(of_runs: u32) -> f64 {
        f64::from(of_runs) / f64::from(RUNS)
    }

    #[test]
    fn it_is_wrong_no_more_often_than_it_says_however_often_it_is_looked_at() {
        for (margin, old, new) in [
            // Exactly at the margin, where both words are wrong.
            (10, 0.0, 0.01),
            (10, 0.01, 0.02),
            (20, 0.1, 0.12),
            (50, 0.3, 0.35),
            // As good as the old one: only *fail* is wrong.
            (0, 0.02, 0.02),
            (0, 0.2, 0.2),
            (10, 0.05, 0.05),
        ] {
            let judge = |old, new| verdict(old, new, &canary(20, margin), Duration::ZERO);
            let (promoted, failed) = runs(old, new, judge);
            let at_the_margin = new - old >= f64::from(margin) / 1000.0 - 1e-9;
            assert!(
                share(failed) <= ERROR_RATE,
                "{margin} {old} {new}: {failed} of {RUNS} failed"
            );
            assert!(
                !at_the_margin || share(promoted) <= ERROR_RATE,
                "{margin} {old} {new}: {promoted} of {RUNS} promoted"
            );
        }
    }

    #[test]
    fn a_test_made_for_one_look_would_be_wrong_more_often_than_it_says() {
        // The usual z-test of two shares at 5 %, one-sided. That it breaks its promise here shows that the runs above can tell.
        let z_test = |old: Counts, new: Counts| {
            let (n, m) = (old.requests as f64, new.requests as f64);
            let pooled = (old.failures + new.failures) as f64 / (n + m);
            let spread = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
            let z = (new.failures as f64 / m - old.failures as f64 / n) / spread;
            if z > 1.645 {
                Verdict::Fail(String::new())
            } else {
                Verdict::Wait
            }
        };
        let (_, failed) = runs(0.2, 0.2, z_test);
        assert!(share(failed) > 3.0 * ERROR_RATE, "{failed} of {RUNS} failed");
    }

    #[test]
    fn what_is_clearly_so_is_found() {
        for (margin, old, new, word) in [
            (10, 0.001, 0.05, "fail"),
            (10, 0.0, 1.0, "fail"),
            (20, 0.05, 0.2, "fail"),
            (20, 0.001, 0.001, "promote"),
            (50, 0.01, 0.01, "promote"),
        ] {
            let judge = |old, new| verdict(old, new, &canary(100, margin), Duration::ZERO);
            let (promoted, failed) = runs(old, new, judge);
            let right = if word == "fail" { failed } else { promoted };
            assert!(
                share(right) >= 0.95,
                "{margin} {old} {new}: {promoted} promoted, {failed} failed of {RUNS}"
            );
        }
    }
}
