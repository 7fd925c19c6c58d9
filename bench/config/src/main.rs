//! From the `rename(2)` of a file of configuration to its value being in use in each of ten replicas: p50 and p99.
//!
//! Three ways side by side, the same file and the same replicas: tend's push (watched file, watch endpoint, client), a poll of the
//! file each second as consul-template does, and one each 30 s as the guide has. What is measured is printed; no time is an
//! error, a replica that never gets a value is.

mod error;
mod push;
mod replica;
mod round;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use error::Error;
use push::Push;
use round::{Figures, Way};

#[derive(Parser)]
#[command(about = "Measures how long a changed file takes to reach ten replicas")]
struct Arguments {
    /// Changes measured with tend's push.
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

/// What this program starts itself as.
#[derive(Subcommand)]
enum Role {
    /// A replica that watches the endpoint.
    #[command(hide = true)]
    Watching {
        /// The socket.
        socket: PathBuf,
    },
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
        Some(Role::Watching { socket }) => replica::watch(socket),
        Some(Role::Polling { file, every, offset }) => {
            replica::poll(file, Duration::from_millis(*every), Duration::from_millis(*offset))
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
    let folder = round::Folder::new()?;
    print(&format!(
        "{} replicas; from rename(2) of the file to the value in use, in milliseconds\n\n\
         way                          changes     p50     p99     max\n",
        arguments.replicas
    ))?;
    let push = Push::start(&folder, arguments.replicas)?;
    report(
        "tend: watched file, push",
        round::measure(&folder, Way::Push(&push), arguments.replicas, arguments.changes)?,
    )?;
    let settings = "   of these 5.0 are waiting until the file has settled\n";
    print(settings)?;
    push.end()?;
    for (name, every, changes) in [
        ("poll each second", Duration::from_secs(1), arguments.changes_1s),
        (
            "poll each 30 s (the guide)",
            Duration::from_secs(30),
            arguments.changes_30s,
        ),
    ] {
        if changes > 0 {
            report(
                name,
                round::measure(&folder, Way::Poll(every), arguments.replicas, changes)?,
            )?;
        }
    }
    Ok(())
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
