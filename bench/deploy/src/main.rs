//! Deploys back and forth under payments and open WebSockets, with tend and with PM2, and counts what clients noticed.
//!
//! `cargo run --release -p bench-deploy` makes twenty deploys each way; `docs/design/0130-deploy-bench.md` says what is compared and what it
//! showed. PM2 comes from npm into `target/bench`, nginx is Debian's package. Exits 1 when tend breaks a promise (`report.rs` lists them), 2
//! when there are no figures. No time is an error, and neither is anything a peer does.

mod clients;
mod error;
mod folder;
mod release;
mod report;
mod run;
mod verdict;
mod way;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use error::{Error, Result};
use folder::Folder;
use report::Report;
use run::Plan;
use way::{Pm2, Tend, Way};

/// Deploys back and forth under payments and open WebSockets, with tend and with PM2, and counts what clients noticed.
///
/// Exits 0 where tend kept every promise, 1 where it broke one, 2 where there are no figures.
#[derive(Parser)]
#[command(name = "bench-deploy")]
struct Arguments {
    /// Only this way; both when left out.
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Deploys of each way.
    #[arg(long, default_value_t = 20)]
    deploys: usize,
    /// Payments a second; each is two requests.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Open WebSockets, each of a merchant of its own.
    #[arg(long, default_value_t = 100)]
    sockets: usize,
    /// Seconds a WebSocket is given on a replica that leaves.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    drain: u64,
    /// Seconds between two deploys.
    #[arg(long, default_value_t = 2)]
    pause: u64,
    /// Minutes after which no more deploys of a way are begun.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=240))]
    limit: u64,
    /// Seconds after which a single deploy is ended and counts as failed.
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=3600))]
    deploy_limit: u64,
    /// The folder of the programs `tend` and `mps-api`; beside this one when left out.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Leave the folders of the run where they are.
    #[arg(long)]
    keep: bool,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// tend alone.
    Tend,
    /// PM2 and nginx alone.
    Pm2,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match compare(&arguments) {
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
            say(&format!("bench-deploy: {}", with_causes(&error)));
            ExitCode::from(2)
        }
    }
}

fn compare(arguments: &Arguments) -> Result<Report> {
    let own = std::env::current_exe().map_err(|source| Error::Run {
        command: "bench-deploy".to_owned(),
        source,
    })?;
    let built = own.parent().unwrap_or(Path::new("/"));
    let programs = arguments.programs.as_deref().unwrap_or(built);
    let plan = Plan {
        deploys: arguments.deploys,
        rate: arguments.rate,
        sockets: arguments.sockets,
        drain: Duration::from_secs(arguments.drain),
        pause: Duration::from_secs(arguments.pause),
        limit: Duration::from_secs(arguments.limit * 60),
        deploy_limit: Duration::from_secs(arguments.deploy_limit),
    };
    let wanted = |way| arguments.only.is_none_or(|only| only == way);
    let service = programs.join("mps-api");
    release::there(&service, "build it with `cargo build --release -p mps-api`")?;
    // What is missing is said before the first payment and not after the last.
    let tend = programs.join("tend");
    if wanted(Only::Tend) {
        release::there(&tend, "build it with `cargo build --release -p tend`")?;
    }
    let pm2 = match wanted(Only::Pm2) {
        true => {
            release::there(
                Path::new(way::NGINX),
                "install it with `apt-get install --no-install-recommends nginx-light`, or compare with nobody: --only tend",
            )?;
            Some(way::install_pm2(&built.parent().unwrap_or(built).join("bench/pm2"))?)
        }
        false => None,
    };

    let load_before = load_averages();
    let program_folder = Folder::new("programs", arguments.keep)?;
    let releases = release::make(&program_folder, &service)?;
    let mut ways = Vec::new();
    if wanted(Only::Tend) {
        let folder = Folder::new("tend", arguments.keep)?;
        let mut way = Tend::new(folder, tend, plan.drain, plan.deploy_limit)?;
        ways.push(run_one(&mut way, &releases, &plan)?);
    }
    if let Some(pm2) = pm2 {
        let folder = Folder::new("pm2", arguments.keep)?;
        let mut way = Pm2::new(folder, pm2, plan.deploy_limit)?;
        ways.push(run_one(&mut way, &releases, &plan)?);
    }
    let ours = ways.iter().filter(|_| wanted(Only::Tend)).take(1);
    Ok(Report {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load_averages: [load_before, load_averages()],
        drain_seconds: arguments.drain,
        broken: ours.flat_map(report::broken).collect(),
        ways,
    })
}

fn run_one(way: &mut dyn Way, releases: &[release::Release; 2], plan: &Plan) -> Result<run::Figures> {
    say(&format!("{}: {} deploys", way.name(), plan.deploys));
    run::run(way, releases, plan)
}

fn load_averages() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// Says what is being done: the whole takes minutes.
pub(crate) fn say(what: &str) {
    // Nobody may be looking.
    drop(writeln!(std::io::stderr(), "… {what}"));
}
