//! Runs the claims that need a kernel of their own: limits of control groups, systemd, a power cut, a full disk.
//!
//! Owns the command line, the order and the table at the end. What is claimed, and how it is tried, stands in the scripts
//! under `tests/vm`, which run as root inside; see `docs/design/0060-vm.md`. Knows nothing of the product but the names of
//! its two programs.

mod image;
mod machine;
mod mirror;
mod scenario;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::Error;
use crate::process;
use machine::Machine;
use scenario::{Outcome, Scenario};

/// Where the scripts are.
const SCRIPTS: &str = "tests/vm";

/// The programs under test, as cargo names them.
const PROGRAMS: [&str; 2] = ["tend", "mps-api"];

/// The power is cut at a random moment this long after the guest began to write. The longer end lets ext4's own commit
/// (every five seconds) fall between two cuts now and then, so both what it wrote and what it did not are met.
const CUT_AFTER: std::ops::Range<u64> = 2_000..7_500;

/// What was asked for on the command line.
struct Request<'a> {
    /// None means all.
    scenarios: Vec<&'a str>,
    debug: bool,
    /// Whether cargo is asked first; otherwise the programs are taken as they stand in its folder.
    build: bool,
}

/// Boots one machine for each scenario asked for and prints what came of each claim.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), Error> {
    let all = Scenario::load_all(&root.join(SCRIPTS))?;
    if arguments == ["--list"] {
        for scenario in &all {
            println!("{}", scenario.name);
            for claim in &scenario.claims {
                println!("  {:<22}{}", claim.name, claim.text);
            }
        }
        return Ok(());
    }
    let request = parse(arguments, &all)?;
    let begun = Instant::now();
    let target = target_folder(root)?;
    let folder = target.join("vm");
    make_folder(&folder)?;
    let base = image::prepare(&folder)?;
    let profile = if request.debug { "debug" } else { "release" };
    if request.build {
        build(root, request.debug)?;
    }
    println!("programs: {profile}; made ready in {}", seconds(begun.elapsed()));

    let mut outcomes = Vec::new();
    for scenario in &all {
        if !request.scenarios.is_empty() && !request.scenarios.contains(&scenario.name.as_str()) {
            continue;
        }
        let scenario_begun = Instant::now();
        let run = folder.join("run").join(&scenario.name);
        furnish(root, &run, &target.join(profile), scenario)?;
        let ended = perform(scenario, &base, &run)?;
        let came = scenario.outcomes(&read_if_there(&run.join("host/out/results"))?, &ended);
        println!("\n{}  ({})", scenario.name, seconds(scenario_begun.elapsed()));
        for outcome in &came {
            println!("  {outcome}");
        }
        if came.iter().any(|outcome| !outcome.ok) {
            println!("  what was seen: {}", run.join("host/out/log").display());
        }
        outcomes.extend(came);
    }
    conclude(&outcomes, begun.elapsed())
}

fn conclude(outcomes: &[Outcome], took: Duration) -> Result<(), Error> {
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| !outcome.ok)
        .map(|outcome| outcome.claim.as_str())
        .collect();
    println!(
        "\n{} of {} claims hold; {} in all",
        outcomes.len() - failed.len(),
        outcomes.len(),
        seconds(took)
    );
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::Claims {
            count: failed.len(),
            total: outcomes.len(),
            names: failed.join(", "),
        })
    }
}

fn parse<'a>(arguments: &[&'a str], all: &[Scenario]) -> Result<Request<'a>, Error> {
    let mut request = Request {
        scenarios: Vec::new(),
        debug: false,
        build: true,
    };
    for argument in arguments {
        if *argument == "--debug" {
            request.debug = true;
        } else if *argument == "--no-build" {
            request.build = false;
        } else if all.iter().any(|scenario| scenario.name == *argument) {
            request.scenarios.push(argument);
        } else {
            let names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
            return Err(Error::Usage {
                what: format!("vm has no scenario `{argument}`; there are: {}", names.join(", ")),
            });
        }
    }
    Ok(request)
}

/// Asks cargo where it puts what it builds.
fn target_folder(root: &Path) -> Result<PathBuf, Error> {
    let arguments = ["metadata", "--no-deps", "--locked", "--format-version", "1"];
    let output = process::cargo_output(root, &arguments)?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|source| Error::Metadata {
        command: process::shown(&arguments),
        source,
    })?;
    Ok(metadata["target_directory"]
        .as_str()
        .map_or_else(|| root.join("target"), PathBuf::from))
}

fn build(root: &Path, debug: bool) -> Result<(), Error> {
    let mut arguments = vec!["build", "--locked", "--quiet"];
    if !debug {
        arguments.push("--release");
    }
    process::cargo(root, &arguments, process::NO_LIMIT)
}

/// Makes the folder a scenario runs in; what an earlier run left there goes.
fn furnish(root: &Path, run: &Path, programs: &Path, scenario: &Scenario) -> Result<(), Error> {
    if run.exists() {
        fs::remove_dir_all(run).map_err(|source| Error::Write {
            path: run.to_path_buf(),
            source,
        })?;
    }
    for folder in ["host/out", "host/bin", "host/vm", "host/stacks"] {
        make_folder(&run.join(folder))?;
    }
    for name in PROGRAMS {
        copy(&programs.join(name), &run.join("host/bin").join(name))?;
    }
    for (from, to) in [(SCRIPTS, "host/vm"), ("stacks/mps", "host/stacks")] {
        copy_files(&root.join(from), &run.join(to))?;
    }
    if let Some(megabytes) = scenario.disk_megabytes {
        image::make_disk(&run.join(machine::DISK), megabytes)?;
    }
    Ok(())
}

/// Copies the files of a folder, not those of folders in it.
fn copy_files(from: &Path, to: &Path) -> Result<(), Error> {
    let unreadable = |source| Error::Read {
        path: from.to_path_buf(),
        source,
    };
    for entry in fs::read_dir(from).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

/// Runs a scenario to its end, with its power cuts; returns how the last machine ended, for a person.
fn perform(scenario: &Scenario, base: &Path, run: &Path) -> Result<String, Error> {
    for round in 1..=scenario.power_cuts {
        let mut machine = Machine::boot(base, run, &scenario.name, round, scenario.time_max)?;
        let writing = run.join(format!("host/out/writing-{round}"));
        if let Some(early) = machine.wait_for_file(&writing)? {
            return Ok(format!("before power cut {round}: {early}"));
        }
        let wait = Duration::from_millis(random_in(CUT_AFTER));
        std::thread::sleep(wait);
        machine.cut_power()?;
        println!(
            "{}: power cut {round}, {} after writing began",
            scenario.name,
            seconds(wait)
        );
    }
    Machine::boot(base, run, &scenario.name, 0, scenario.time_max)?.wait()
}

/// Where in its own doing the guest is cut must differ from run to run; the figure is printed.
fn random_in(range: std::ops::Range<u64>) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library's only source of randomness: each `RandomState` has keys of its own.
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    range.start + random % (range.end - range.start)
}

fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| Error::Write {
        path: path.to_path_buf(),
        source,
    })
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map(drop).map_err(|source| Error::Read {
        path: from.to_path_buf(),
        source,
    })
}

fn read_if_there(path: &Path) -> Result<String, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(Error::Read {
            path: path.to_path_buf(),
            source,
        }),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
