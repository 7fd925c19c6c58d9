//! What a scenario's script says of itself, and what came of its claims.
//!
//! Owns the form of the script's head and of the results. Runs nothing.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::error::Error;

/// A script under `tests/vm` with claims in its head.
///
/// ```text
/// #!/usr/bin/env bash
/// # What the scenario is about, in one line.
/// # seconds: 60               for one boot, at most
/// # disk: 24                  megabytes of a second disk, /dev/ubdb; may be left out
/// # power-cuts: 4             boots that end in a power cut before the last one; may be left out
/// # claim memory: a service that leaks is killed at its limit
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) claims: Vec<Claim>,
    pub(crate) time_max: Duration,
    pub(crate) disk_megabytes: Option<u64>,
    pub(crate) power_cuts: u32,
}

/// One sentence that is true or not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// What came of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// `SCENARIO/CLAIM`.
    pub(crate) claim: String,
    pub(crate) ok: bool,
    text: String,
    /// Figures when it holds, the reason when it does not.
    particulars: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.ok { "ok" } else { "FAILED" };
        write!(formatter, "{word:<8}{:<28}{}", self.claim, self.text)?;
        if !self.particulars.is_empty() {
            write!(formatter, ": {}", self.particulars)?;
        }
        Ok(())
    }
}

impl Scenario {
    /// Reads all scripts of the folder that make claims, by name. One that is sourced by others makes none.
    pub(crate) fn load_all(folder: &Path) -> Result<Vec<Self>, Error> {
        let unreadable = |source| Error::Read {
            path: folder.to_path_buf(),
            source,
        };
        let mut scenarios = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_none_or(|kind| kind != "sh") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let scenario = Self::parse(&name, &text).map_err(|what| Error::Scenario { path, what })?;
            if !scenario.claims.is_empty() {
                scenarios.push(scenario);
            }
        }
        scenarios.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(scenarios)
    }

    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut scenario = Self {
            name: name.to_owned(),
            claims: Vec::new(),
            time_max: Duration::from_secs(60),
            disk_megabytes: None,
            power_cuts: 0,
        };
        // The head ends at the first line that is no comment.
        for line in text.lines().map_while(|line| line.strip_prefix('#')) {
            let Some((word, rest)) = line.trim_start().split_once(": ") else {
                continue;
            };
            let rest = rest.trim();
            let number = || {
                rest.parse::<u64>()
                    .map_err(|_| format!("`{word}` takes a whole number, not `{rest}`"))
            };
            if let Some(claim) = word.strip_prefix("claim ") {
                scenario.claims.push(Claim {
                    name: claim.to_owned(),
                    text: rest.to_owned(),
                });
                continue;
            }
            match word {
                "seconds" => scenario.time_max = Duration::from_secs(number()?),
                "disk" => scenario.disk_megabytes = Some(number()?),
                "power-cuts" => {
                    scenario.power_cuts =
                        u32::try_from(number()?).map_err(|_| format!("`power-cuts` is out of range: {rest}"))?;
                }
                _ => {}
            }
        }
        Ok(scenario)
    }

    /// Returns what came of every claim, given the results the guest wrote and how the machine ended.
    ///
    /// A claim without a result failed, and so did one that has both kinds.
    pub(crate) fn outcomes(&self, results: &str, ended: &str) -> Vec<Outcome> {
        let said = |word: &str, name: &str| -> Vec<String> {
            let all = results.lines().filter_map(|line| {
                let rest = line.strip_prefix(word)?.strip_prefix(' ')?;
                let (claim, particulars) = rest.split_once(' ').unwrap_or((rest, ""));
                (claim == name).then(|| particulars.to_owned())
            });
            all.collect()
        };
        let mut outcomes: Vec<Outcome> = self
            .claims
            .iter()
            .map(|claim| {
                let good = said("ok", &claim.name);
                let bad = said("failed", &claim.name);
                let ok = bad.is_empty() && !good.is_empty();
                let particulars = match (ok, bad.is_empty()) {
                    (true, _) => good.join("; "),
                    (false, false) => bad.join("; "),
                    (false, true) => format!("no result: the script did not come so far ({ended})"),
                };
                Outcome {
                    claim: format!("{}/{}", self.name, claim.name),
                    ok,
                    text: claim.text.clone(),
                    particulars,
                }
            })
            .collect();
        for line in results.lines() {
            let name = line.split(' ').nth(1).unwrap_or_default();
            if !self.claims.iter().any(|claim| claim.name == name) {
                outcomes.push(Outcome {
                    claim: format!("{}/{name}", self.name),
                    ok: false,
                    text: "a result for a claim that the script's head does not make".to_owned(),
                    particulars: line.to_owned(),
                });
            }
        }
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "#!/usr/bin/env bash\n# About: nothing.\n# seconds: 90\n# disk: 24\n# power-cuts: 4\n\
        # claim one: it is one\n# claim two: it is two\nset -u\n# claim late: not in the head\n";

    #[test]
    fn the_head_of_a_script_is_read() {
        let scenario = Scenario::parse("x", HEAD).unwrap();
        assert_eq!(scenario.time_max, Duration::from_secs(90));
        assert_eq!((scenario.disk_megabytes, scenario.power_cuts), (Some(24), 4));
        let names: Vec<&str> = scenario.claims.iter().map(|claim| claim.name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
        assert!(Scenario::parse("x", "# seconds: soon\n").is_err());
    }

    #[test]
    fn a_claim_holds_only_when_it_was_said_to_and_never_to_fail() {
        let scenario = Scenario::parse("x", HEAD).unwrap();
        let ok = |results: &str| -> Vec<bool> {
            let outcomes = scenario.outcomes(results, "it powered off");
            outcomes.iter().map(|outcome| outcome.ok).collect()
        };
        assert_eq!(ok("ok one 3 s\nok two\n"), [true, true]);
        assert_eq!(ok("ok one\n"), [true, false]);
        assert_eq!(ok("ok one\nok two\nfailed two it broke\n"), [true, false]);
        assert_eq!(ok("ok one\nok two\nok three\n"), [true, true, false]);
        let outcomes = scenario.outcomes("failed one it broke\n", "its kernel was killed by signal 9");
        assert!(outcomes[0].to_string().ends_with(": it broke"), "{}", outcomes[0]);
        assert!(
            outcomes[1].to_string().contains("killed by signal 9"),
            "{}",
            outcomes[1]
        );
    }
}
