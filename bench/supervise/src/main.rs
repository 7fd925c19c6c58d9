//! Runs tend, PM2 and supervisord side by side on the same services and prints their figures with ratios.
//!
//! `cargo run --release -p bench-supervise` makes the whole comparison in about ten minutes; `docs/design/0070-supervise-bench.md` says
//! what it showed. PM2 comes from npm into `target/bench`, supervisord is Debian's package `supervisor`. Judges nothing: no time is
//! an error. Where other work keeps the processors busy, times mean something under `chrt -r 1`, which all supervisors then inherit.
//!
//! Map: `supervisor` has the three of them, `part` what is compared, `service` what they look after, `report` the figures.

mod error;
mod figures;
mod http;
mod part;
mod process;
mod report;
mod service;
mod supervisor;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Parser, ValueEnum};

use error::{Error, Result};
use part::crash::Victims;
use report::Report;
use supervisor::{Form, Job, Keep, Pm2, Supervisor, Supervisord, Tend, Up};

/// The version of PM2 compared with.
const PM2: &str = "pm2@7.0.4";

/// Services where the number does not matter.
const FEW: usize = 3;

/// Services where it does.
const MANY: usize = 50;

/// From one supervisor's first port to the next one's.
const PORTS_EACH: u16 = 100;

/// Runs tend, PM2 and supervisord side by side and prints figures and ratios.
#[derive(Parser)]
#[command(name = "bench-supervise")]
struct Arguments {
    /// What to compare; all when left out.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// The program under test; beside this one when left out.
    #[arg(long)]
    tend: Option<PathBuf>,
    /// Processes killed of each supervisor.
    #[arg(long, default_value_t = 30)]
    kills: usize,
    /// Seconds over which processor time is measured, silent and talking each.
    #[arg(long, default_value_t = 60)]
    window: u64,
    /// Megabytes of log a second.
    #[arg(long, default_value_t = 50)]
    megabytes: u64,
    /// Seconds of it.
    #[arg(long, default_value_t = 20)]
    flood: u64,
    /// First of 500 ports for the services.
    #[arg(long, default_value_t = 12_000)]
    base: u16,
    /// Only tend, without its peers.
    #[arg(long)]
    alone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From kill -9 of a process to its successor's first answer.
    Kill,
    /// Memory and processor time.
    Load,
    /// A service that writes without end.
    Flood,
    /// kill -9 of the supervisor itself.
    Crash,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|role| role == service::ROLE) {
        return service::run();
    }
    let arguments = Arguments::parse();
    match Bench::new(&arguments).and_then(|bench| bench.run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            drop(writeln!(std::io::stderr(), "bench-supervise: {error}{cause}"));
            ExitCode::FAILURE
        }
    }
}

/// Where everything is.
struct Bench {
    tend: PathBuf,
    service: PathBuf,
    folder: PathBuf,
    pm2: Option<PathBuf>,
    base: u16,
}

impl Bench {
    fn new(arguments: &Arguments) -> Result<Self> {
        let service = std::env::current_exe().map_err(|source| Error::Run {
            command: "bench-supervise".to_owned(),
            source,
        })?;
        let built = service.parent().unwrap_or(Path::new("/"));
        let tend = arguments.tend.clone().unwrap_or_else(|| built.join("tend"));
        there(&tend, "build it with `cargo build --release -p tend`")?;
        let folder = built.parent().unwrap_or(built).join("bench");
        let pm2 = if arguments.alone {
            None
        } else {
            there(
                Path::new(supervisor::SUPERVISORD),
                "install it with `apt-get install --no-install-recommends supervisor`",
            )?;
            Some(install_pm2(&folder.join("pm2"))?)
        };
        Ok(Self {
            tend,
            service,
            folder: folder.join("supervise"),
            pm2,
            base: arguments.base,
        })
    }

    fn job(&self, name: &str, at: u16, count: usize, keep: Keep) -> Result<Job> {
        let first = self.base + at * PORTS_EACH;
        let ports = (0..count).filter_map(|port| first.checked_add(u16::try_from(port).ok()?));
        Job::new(self.folder.join(name), &self.service, ports.collect(), keep)
    }

    fn tend(&self, form: Form, at: u16, count: usize, keep: Keep) -> Result<Box<dyn Supervisor>> {
        let name = if form == Form::Plain { "tend" } else { "fronted" };
        Ok(Box::new(Tend::new(
            self.job(name, at, count, keep)?,
            self.tend.clone(),
            form,
        )))
    }

    /// Returns the peers, none when tend is alone.
    fn peers(&self, count: usize, keep: Keep) -> Result<Vec<Box<dyn Supervisor>>> {
        let Some(pm2) = &self.pm2 else {
            return Ok(Vec::new());
        };
        Ok(vec![
            Box::new(Pm2::new(self.job("pm2", 2, count, keep)?, pm2.clone())),
            Box::new(Supervisord::new(self.job("supervisord", 3, count, keep)?)),
        ])
    }

    /// Returns tend and its peers.
    fn all(&self, count: usize, keep: Keep) -> Result<Vec<Box<dyn Supervisor>>> {
        let mut all = vec![self.tend(Form::Plain, 0, count, keep)?];
        all.extend(self.peers(count, keep)?);
        Ok(all)
    }

    fn fronted(&self) -> Form {
        Form::Fronted {
            edge: self.base + 4 * PORTS_EACH,
        }
    }

    fn run(&self, arguments: &Arguments) -> Result<()> {
        let wanted = |part: Part| arguments.parts.is_empty() || arguments.parts.contains(&part);
        let mut report = Report::begin();
        if wanted(Part::Kill) {
            say("kill -9 of a service's process");
            report.bare = part::kill::bare(&self.service, self.base, 30)?;
            report.kills = self.kill(arguments.kills)?;
        }
        if wanted(Part::Load) {
            say("memory and processor time");
            let window = Duration::from_secs(arguments.window);
            for (form, count) in [(Form::Plain, MANY), (self.fronted(), FEW)] {
                let mut up = vec![Up::new(self.tend(form, 0, count, Keep::Default)?)?];
                for peer in self.peers(count, Keep::Default)? {
                    up.push(Up::new(peer)?);
                }
                report.loads.push(part::load::run(&up, window));
            }
        }
        if wanted(Part::Flood) {
            for keep in [Keep::Default, Keep::All] {
                for supervisor in self.all(FEW, keep)? {
                    say(&format!("flood of {}, keep {keep:?}", supervisor.name()));
                    let up = Up::new(supervisor)?;
                    let lasts = Duration::from_secs(arguments.flood);
                    report.floods.push(part::flood::run(&up, arguments.megabytes, lasts));
                }
            }
        }
        if wanted(Part::Crash) {
            for supervisor in self.all(FEW, Keep::Default)? {
                say(&format!("kill -9 of {}", supervisor.name()));
                report
                    .crashes
                    .push(part::crash::run(&mut Up::new(supervisor)?, Victims::Deciding)?);
            }
            say("kill -9 of all of tend");
            let tend = self.tend(Form::Plain, 0, FEW, Keep::Default)?;
            report
                .crashes
                .push(part::crash::run(&mut Up::new(tend)?, Victims::All)?);
        }
        report.end();
        let path = self.folder.join("results.json");
        let json = serde_json::to_string_pretty(&report).expect("invariant: figures and texts have a JSON form");
        std::fs::write(&path, json).map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
        // A reader that has gone away has had enough.
        drop(writeln!(std::io::stdout(), "{report}\nAll figures: {}", path.display()));
        Ok(())
    }

    fn kill(&self, kills: usize) -> Result<Vec<part::kill::Kills>> {
        let form = self.fronted();
        let edge = match form {
            Form::Fronted { edge } => Some(edge),
            Form::Plain => None,
        };
        let mut up = Vec::new();
        for supervisor in self.all(FEW, Keep::Default)? {
            up.push((Up::new(supervisor)?, None));
        }
        up.push((Up::new(self.tend(form, 1, FEW, Keep::Default)?)?, edge));
        Ok(part::kill::run(&up, kills))
    }
}

fn there(path: &Path, hint: &'static str) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    Err(Error::Missing {
        path: path.to_path_buf(),
        hint,
    })
}

/// Returns the command `pm2`, installed into `folder` when it is not there.
fn install_pm2(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("node_modules/.bin/pm2");
    if !program.exists() {
        say("installing PM2");
        std::fs::create_dir_all(folder).map_err(|source| Error::Write {
            path: folder.to_path_buf(),
            source,
        })?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder)
            .arg(PM2);
        supervisor::run(&mut npm)?;
    }
    there(&program, "install it with `npm install pm2`")?;
    Ok(program)
}

/// Says what is being done: the whole takes minutes.
fn say(what: &str) {
    // Nobody may be looking.
    drop(writeln!(std::io::stderr(), "… {what}"));
}
