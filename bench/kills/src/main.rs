//! Kills each process of a system under payments, again and again, and prints what it cost.
//!
//! `cargo run --release -p bench-kills` brings `stacks/mps` up in folders and at a port of its own and makes real payments with
//! `bench-mps`, which compares the books at the end; once without a kill, then with a replica, the daemon, a shim and the edge killed
//! ten times each. `docs/design/0080-kills.md` has the figures. Exits 1 when a promise is broken (`report.rs` lists them), 2 when
//! there are no figures. A gap is a figure and no broken promise.

mod error;
mod load;
mod machine;
mod report;
mod victim;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use tend_base::{Clock, SystemClock, with_causes};

use error::{Error, Result};
use load::Load;
use machine::{Machine, wait};
use report::{Figures, Report};
use victim::Victim;

/// Kills each process of stacks/mps under payments, again and again, and prints what it cost.
///
/// Exits 0 where every promise was kept, 1 where one was broken, 2 where there are no figures.
#[derive(Parser)]
#[command(name = "bench-kills")]
struct Arguments {
    /// Payments a second; each is two requests.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How often each is killed.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Seconds from one kill to the next.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    interval: f64,
    /// The folder of the programs `tend` and `mps-api`; when left out they are built, and taken from beside this one.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// How long payments are made with no kill.
const CALM: Duration = Duration::from_secs(10);

/// For how long payments go on after the last kill's interval, and begin before the first.
const MARGIN: Duration = Duration::from_secs(6);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            let text = if arguments.json {
                serde_json::to_string_pretty(&report).expect("invariant: figures and texts have a JSON form") + "\n"
            } else {
                report.to_string()
            };
            // A reader that has gone away has had enough; the verdict is the exit status.
            drop(std::io::stdout().write_all(text.as_bytes()));
            if report.broken.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            say(&format!("bench-kills: {}", with_causes(&error)));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report> {
    let programs = match &arguments.programs {
        Some(folder) => folder.clone(),
        None => built()?,
    };
    let interval = Duration::from_secs_f64(arguments.interval);
    let busy_before_percent = busy_percent();
    let load_before = load_average();
    let machine = Machine::up(&programs)?;
    let mut figures = Vec::new();
    for victim in Victim::ALL {
        let rounds = if victim == Victim::None { 0 } else { arguments.rounds };
        say(&format!("killing {} {rounds} times", victim.name()));
        figures.push(measure(&machine, victim, arguments.rate, rounds, interval)?);
    }
    // What it says is a figure, whether it is well or not.
    let verified = machine.tend(&["events", "verify"]);
    let mut broken: Vec<String> = figures.iter().flat_map(Figures::broken).collect();
    let journal = match verified {
        Ok(said) => said.trim().replace('\n', "; "),
        Err(error) => {
            broken.push("the journal is not whole".to_owned());
            with_causes(&error)
        }
    };
    machine.down()?;
    Ok(Report {
        load_average: [load_before, load_average()],
        busy_before_percent,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        figures,
        journal,
        broken,
    })
}

/// Makes payments and kills one kind of process meanwhile.
fn measure(machine: &Machine, victim: Victim, rate: u32, rounds: usize, interval: Duration) -> Result<Figures> {
    machine.wait_ready()?;
    let begun = SystemClock.now().wall.0;
    let duration = match rounds {
        0 => CALM,
        _ => interval * u32::try_from(rounds).unwrap_or(u32::MAX) + MARGIN,
    };
    let load = Load::begin(&machine.url(), rate, duration)?;
    let concurrency = load.concurrency;
    let rounds = victim.kill_again_and_again(machine, &load, rounds, interval)?;
    let payments = load.end()?;
    let exits = machine.events("replica.exited")?;
    let crashes = exits.iter().filter(|event| event["at"].as_u64() >= Some(begun)).count();
    let payments_logged = match victim {
        Victim::Shim => Some(count_logged(machine, begun, payments.acknowledged)?),
        _ => None,
    };
    Ok(Figures {
        victim,
        rounds,
        payments,
        concurrency,
        crashes,
        payments_logged,
    })
}

/// Returns how many payments are in the replicas' output since a moment. Waits a while for as many as are expected: the service
/// gathers lines before it writes them.
fn count_logged(machine: &Machine, begun: u64, expected: u64) -> Result<u64> {
    let since = format!("{}s", SystemClock.now().wall.0.saturating_sub(begun) / 1000 + 2);
    let mut seen = BTreeSet::new();
    let count = |seen: &mut BTreeSet<String>| -> Result<u64> {
        for line in machine.json(&["logs", "mps/api", "--since", &since])? {
            let later = line["at"].as_u64() >= Some(begun);
            let text: serde_json::Value = line["text"]
                .as_str()
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default();
            let paid = text["endpoint"] == "/api/payment/pay" && text["message"] == "request served";
            if let Some(transaction) = text["transaction_id"].as_str().filter(|_| later && paid) {
                seen.insert(transaction.to_owned());
            }
        }
        Ok(seen.len() as u64)
    };
    let mut looks = 0;
    wait("the output of the replicas was read", || {
        looks += 1;
        let logged = count(&mut seen)?;
        Ok((logged >= expected || looks == LOOKS).then_some(logged))
    })
}

/// How often the output is read until what is missing counts as lost.
const LOOKS: u32 = 5;

/// Builds the programs and returns their folder, this program's own.
fn built() -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|source| Error::Run {
        command: "bench-kills".to_owned(),
        source,
    })?;
    let folder = own.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let command = "cargo build -p tend -p mps-api";
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "-p", "tend", "-p", "mps-api"]);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let status = cargo.status().map_err(|source| Error::Run {
        command: command.to_owned(),
        source,
    })?;
    if status.success() {
        return Ok(folder);
    }
    Err(Error::Failed {
        command: command.to_owned(),
        said: status.to_string(),
    })
}

/// Returns the machine's load average over a minute; zero where the kernel does not tell.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.unwrap_or_default()
}

/// Returns the share of the processors in use over a second.
fn busy_percent() -> f64 {
    let look = || -> (u64, u64) {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = first.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
        // Fields 4 and 5 of proc(5): idle, and waiting for a disk.
        (ticks.iter().sum(), ticks.iter().skip(3).take(2).sum())
    };
    let (all_before, idle_before) = look();
    std::thread::sleep(Duration::from_secs(1));
    let (all, idle) = look();
    let all = all.saturating_sub(all_before).max(1);
    100.0 - 100.0 * idle.saturating_sub(idle_before) as f64 / all as f64
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (2.5..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give 2.5 to 3600 seconds: the daemon alone is left dead for 1.5".to_owned()),
    }
}

fn say(text: &str) {
    // What comes along is for a person who watches; nobody may.
    drop(writeln!(std::io::stderr(), "{text}"));
}
