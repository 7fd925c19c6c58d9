//! Runs what CI runs, stage by stage, and says how long each took.
//!
//! Owns the list of stages and their order. A failed stage does not stop the next ones: all that is wrong shows in one run.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::{process, sim, suite, tidy};

/// Seeds per chapter in CI; by hand `cargo xtask sim` runs more.
const SEEDS_IN_CI: &str = "300";

enum Work {
    Cargo(&'static [&'static str]),
    Tidy,
    Tests,
    Sim,
}

struct Stage {
    name: &'static str,
    what: &'static str,
    /// Several times what the stage takes on two cores with nothing built; all together stay below the 90 minutes after which
    /// CI gives up without a word, so that what hangs is named.
    limit: Duration,
    work: Work,
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// Quick ones first. `programs` builds with the feature set of `tests` (the whole workspace), so the end-to-end tests find
/// the programs current and cargo does not build one dependency in two shapes.
const STAGES: &[Stage] = &[
    Stage {
        name: "format",
        what: "formatting",
        limit: minutes(2),
        work: Work::Cargo(&["fmt", "--all", "--check"]),
    },
    Stage {
        name: "tidy",
        what: "the repository's own rules",
        limit: minutes(3),
        work: Work::Tidy,
    },
    Stage {
        name: "clippy",
        what: "lints, warnings are errors",
        limit: minutes(15),
        work: Work::Cargo(&[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    },
    Stage {
        name: "release",
        what: "the programs as the README builds them",
        limit: minutes(18),
        work: Work::Cargo(&["build", "--locked", "--release"]),
    },
    Stage {
        name: "programs",
        what: "the programs the end-to-end tests start",
        limit: minutes(12),
        work: Work::Cargo(&["build", "--locked", "--workspace", "--bins"]),
    },
    Stage {
        name: "tests",
        what: "all tests, fuzz corpora among them",
        limit: minutes(28),
        work: Work::Tests,
    },
    Stage {
        name: "sim",
        what: "the simulator, 300 seeds a chapter",
        limit: minutes(7),
        work: Work::Sim,
    },
];

/// Runs the stages named, or all.
pub(crate) fn run(root: &Path, wanted: &[&str]) -> Result<(), Error> {
    if wanted == ["--list"] {
        for stage in STAGES {
            println!("{:<10}{}", stage.name, stage.what);
        }
        return Ok(());
    }
    if let Some(unknown) = wanted
        .iter()
        .find(|name| !STAGES.iter().any(|stage| stage.name == **name))
    {
        return Err(Error::Usage {
            what: format!("ci has no stage `{unknown}`; `cargo xtask ci --list` names them"),
        });
    }
    let chosen: Vec<&Stage> = STAGES
        .iter()
        .filter(|stage| wanted.is_empty() || wanted.contains(&stage.name))
        .collect();

    let begun = Instant::now();
    let mut results = Vec::new();
    let mut unsteady = Vec::new();
    for stage in chosen {
        println!("\n=== {}: {}", stage.name, stage.what);
        let stage_begun = Instant::now();
        let outcome = match stage.work {
            Work::Cargo(arguments) => process::cargo(root, arguments, stage.limit),
            Work::Tidy => tidy::run(root),
            Work::Tests => suite::run(root, stage.limit).map(|names| unsteady = names),
            Work::Sim => sim::run(root, &["--seeds", SEEDS_IN_CI], stage.limit),
        };
        let took = stage_begun.elapsed();
        match &outcome {
            Ok(()) => println!("=== {}: ok in {}", stage.name, seconds(took)),
            Err(error) => println!("=== {}: FAILED after {}: {error}", stage.name, seconds(took)),
        }
        results.push((stage.name, took, outcome.is_ok()));
    }
    summary(root, &results, &unsteady, begun.elapsed())
}

fn summary(root: &Path, results: &[(&str, Duration, bool)], unsteady: &[String], total: Duration) -> Result<(), Error> {
    println!("\n=== summary");
    for (name, took, ok) in results {
        println!(
            "{:<10}{:>9}  {}",
            name,
            seconds(*took),
            if *ok { "ok" } else { "FAILED" }
        );
    }
    println!("{:<10}{:>9}", "total", seconds(total));
    let tests_ran = results.iter().any(|(name, _, _)| *name == "tests");
    if tests_ran && !root.join("../shared").exists() {
        println!("note: no ../shared beside this checkout; each test that reads it says above that it did not run");
    }
    for name in unsteady {
        println!("unsteady: {name} failed beside the others and held by itself; mend it");
    }
    let failed: Vec<&str> = results
        .iter()
        .filter(|(_, _, ok)| !ok)
        .map(|(name, _, _)| *name)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::Stages {
        count: failed.len(),
        total: results.len(),
        names: failed.join(", "),
    })
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_in_every_stage_is_named_before_ci_gives_up() {
        let together: Duration = STAGES.iter().map(|stage| stage.limit).sum();
        assert!(together <= minutes(85), "{together:?}");
    }
}
