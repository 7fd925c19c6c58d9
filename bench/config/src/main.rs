//! From a change of configuration to its value being in use in each of ten replicas: p50 and p99; and whether that ends well whatever is edited.
//!
//! The real daemon, from the `rename(2)` of a file and from the COMMIT of a transaction in PostgreSQL, beside a poll of the file each second as
//! consul-template does, and one each 30 s as the guide has. What is measured is printed; no time is an error, a replica that never
//! gets a value is, and so is one that is given half a change.

mod ear;
mod edits;
mod error;
mod held;
mod judge;
mod replica;
mod round;
mod stack;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use edits::{Outcome, Plan};
use error::Error;
use round::Figures;
use stack::{DEADLINE, Runs, Stack};

#[derive(Parser)]
#[command(about = "Measures how long a change takes to reach ten replicas")]
struct Arguments {
    /// Changes measured with tend's push, of the file and of the table.
    #[arg(long, default_value_t = 300)]
    changes: usize,
    /// Changes measured with the poll each second.
    #[arg(long, default_value_t = 20)]
    changes_1s: usize,
    /// Changes measured with the poll each 30 s, half a minute each; 0 leaves it out.
    #[arg(long, default_value_t = 4)]
    changes_30s: usize,
    /// Replicas.
    #[arg(long, default_value_t = 10)]
    replicas: usize,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Random edits of file and table with the daemon killed in between, instead of times.
    Edits {
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        edits: usize,
        /// The same seed gives the same edits.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// One kill -9 of the daemon in so many edits, anywhere among them.
        #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
        kill_each: u32,
        /// Replicas that are told (by socket and file) have to agree so many milliseconds after it is quiet; those that are started with
        /// variables take as long as they take.
        #[arg(long, default_value_t = 1000)]
        agree_within: u64,
    },
    /// A replica that watches the endpoint.
    #[command(hide = true)]
    Watching,
    /// A replica that says what it holds.
    #[command(hide = true)]
    Holding,
    /// A replica that looks at the file.
    #[command(hide = true)]
    Polling {
        /// The file.
        file: PathBuf,
        /// From one look to the next, in milliseconds.
        every: u64,
        /// Before the first look, in milliseconds: replicas do not start at the same moment.
        offset: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.role {
        Some(Role::Watching) => replica::watch(),
        Some(Role::Polling { file, every, offset }) => {
            replica::poll(file, Duration::from_millis(*every), Duration::from_millis(*offset))
        }
        Some(Role::Holding) => held::hold(),
        Some(Role::Edits {
            edits,
            seed,
            kill_each,
            agree_within,
        }) => {
            let plan = Plan {
                edits: *edits,
                kill_each: *kill_each as usize,
                seed: *seed,
            };
            edit(arguments.replicas, &plan, Duration::from_millis(*agree_within))
        }
        None => bench(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            // Nobody left to tell when this fails.
            let _ = std::io::stderr().write_all(format!("bench-config: {error}{causes}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> Result<(), Error> {
    print(&format!(
        "{} replicas; from rename(2) of the file, or COMMIT, to the value in use, in milliseconds\n\n\
         way                          changes     p50     p99     max\n",
        arguments.replicas
    ))?;
    {
        let stack = Stack::make(Runs::Watching(arguments.replicas))?;
        stack.up()?;
        stack.ear.all(stack.replicas, 0, DEADLINE)?;
        report("tend: a file", round::file(&stack, arguments.changes)?)?;
        print("   of these 5.0 are waiting until the file has settled\n")?;
        report("tend: rows of PostgreSQL", round::rows(&stack, arguments.changes)?)?;
    }
    let stack = Stack::make(Runs::Watching(arguments.replicas))?;
    for (name, every, changes) in [
        ("poll each second", Duration::from_secs(1), arguments.changes_1s),
        (
            "poll each 30 s (the guide)",
            Duration::from_secs(30),
            arguments.changes_30s,
        ),
    ] {
        if changes > 0 {
            report(name, round::poll(&stack, every, changes)?)?;
        }
    }
    Ok(())
}

fn edit(replicas: usize, plan: &Plan, agree_within: Duration) -> Result<(), Error> {
    let stack = Stack::make(Runs::Holding(replicas))?;
    stack.up()?;
    let outcome = edits::run(&stack, plan)?;
    let Outcome {
        edits,
        invalid,
        kills,
        changes,
        taken,
        live,
        told,
        started,
    } = outcome;
    print(&format!(
        "{edits} edits of file and table, {invalid} of them invalid; the daemon killed {kills} times (seed {})\n\
         {taken} revisions taken, {live} of them told to be live; {replicas} replicas held {changes} sets, each of them whole and one that was taken\n\
         from quiet to all agreeing, in milliseconds                times     p50     max\n",
        plan.seed
    ))?;
    let mut slowest = Duration::ZERO;
    for (name, quiet) in [("told by socket and file", told), ("started with variables", started)] {
        for (when, mut times) in [("", quiet.times), (", after a kill", quiet.after_kill)] {
            times.sort_unstable();
            let at = |index: usize| times.get(index).copied().unwrap_or_default();
            let (p50, max) = (at(times.len() / 2), at(times.len().saturating_sub(1)));
            if name.starts_with("told") {
                slowest = slowest.max(max);
            }
            let ms = |time: Duration| time.as_secs_f64() * 1000.0;
            let name = format!("{name}{when}");
            print(&format!(
                "  {name:<52} {:>7} {:>7.0} {:>7.0}\n",
                times.len(),
                ms(p50),
                ms(max)
            ))?;
        }
    }
    if slowest > agree_within {
        let said = format!("replicas agreed {slowest:?} after it was quiet, and were to within {agree_within:?}");
        return Err(Error::Broken { said });
    }
    print("holds\n")
}

fn report(name: &str, figures: Figures) -> Result<(), Error> {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let Figures { changes, p50, p99, max } = figures;
    print(&format!(
        "{name:<28} {changes:>7} {:>7.1} {:>7.1} {:>7.1}\n",
        ms(p50),
        ms(p99),
        ms(max)
    ))
}

fn print(text: &str) -> Result<(), Error> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|source| Error::Say { source })
}
