//! Makes payments through the edge while replicas and the edge are killed, and checks the books; then calls back through a maintenance
//! window.
//!
//! `cargo run --release -p bench-money` (with `tend-edge` built beside it). The service protects nothing by itself, so what is proven is
//! the edge's doing. Exits 1 when a promise is broken: a key with two effects, two answers, or none and no doubt; books that do not
//! balance; a callback that is lost, twice in the ledger, or out of order. No time is an error.

mod callbacks;
mod ledger;
mod payments;
mod random;
mod rig;
mod wire;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

use payments::Clients;
use random::Random;
use rig::Rig;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Make payments through the edge while replicas and the edge are killed, and check the books
#[derive(Parser)]
#[command(name = "bench-money")]
struct Arguments {
    /// So many payments, each with a key of its own
    #[arg(long, default_value_t = 100_000)]
    payments: u64,
    /// So many clients at once
    #[arg(long, default_value_t = 32)]
    clients: u64,
    /// So many replicas
    #[arg(long, default_value_t = 3)]
    replicas: usize,
    /// Milliseconds from one kill to the next, on average; one in four is the edge's
    #[arg(long, default_value_t = 500)]
    kill_every_ms: u64,
    /// So many callbacks in the maintenance window
    #[arg(long, default_value_t = 1000)]
    callbacks: u64,
    /// Seconds the maintenance window lasts
    #[arg(long, default_value_t = 60)]
    window: u64,
    /// Which choices are made
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program `tend-edge`; beside this one when left out
    #[arg(long)]
    edge: Option<PathBuf>,
    /// Be a replica at this address
    #[arg(long, hide = true, requires = "folder")]
    ledger: Option<String>,
    /// The folder of the books
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (&arguments.ledger, &arguments.folder) {
        (Some(address), Some(folder)) => ledger::serve(address, &rig::books(folder))
            .map(|()| true)
            .map_err(Into::into),
        _ => run(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench-money: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let edge = match &arguments.edge {
        Some(edge) => edge.clone(),
        None => std::env::current_exe()?.with_file_name("tend-edge"),
    };
    if !edge.exists() {
        return Err(format!(
            "there is no `{}`; build it with cargo build -p tend-edge",
            edge.display()
        )
        .into());
    }
    let folder = Folder(std::env::temp_dir().join(format!("bench-money-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0)?;
    ledger::open(&rig::books(&folder.0))?;
    let mut rig = Rig::start(&folder.0, &edge, arguments.replicas)?;
    let mut broken = pay(arguments, &mut rig, &folder.0)?;
    let window = Duration::from_secs(arguments.window);
    let outcome = callbacks::run(&mut rig, &folder.0, arguments.callbacks, window, arguments.seed)?;
    drop(rig);
    let mut out = std::io::stdout();
    writeln!(
        out,
        "callbacks   {} sent in {} s of maintenance, {} in the ledger in order, by {} deliveries, {:.1} s after it ended",
        outcome.sent,
        arguments.window,
        outcome.taken,
        outcome.deliveries,
        outcome.after.as_secs_f64()
    )?;
    broken.extend(outcome.broken);
    for line in broken.iter().take(20) {
        writeln!(out, "BROKEN      {line}")?;
    }
    writeln!(out, "promises    {}", if broken.is_empty() { "kept" } else { "broken" })?;
    Ok(broken.is_empty())
}

/// Makes the payments under kills; returns the promises that were broken.
fn pay(arguments: &Arguments, rig: &mut Rig, folder: &Path) -> Result<Vec<String>> {
    let clients = Clients::default();
    let over = AtomicBool::new(false);
    let listen = rig.listen;
    let began = Instant::now();
    let (mut replicas_killed, mut edges_killed) = (0, 0);
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..arguments.clients)
            .map(|me| {
                let clients = &clients;
                scope.spawn(move || clients.run(listen, me, arguments.clients, arguments.payments, arguments.seed))
            })
            .collect();
        let watcher = scope.spawn(|| {
            for worker in workers {
                let _ = worker.join();
            }
            over.store(true, Ordering::Release);
        });
        let mut random = Random::new(arguments.seed);
        while !over.load(Ordering::Acquire) {
            let pause = random.below(2 * arguments.kill_every_ms) + 1;
            std::thread::sleep(Duration::from_millis(pause));
            if random.below(4) == 0 {
                rig.kill_edge()?;
                edges_killed += 1;
            } else {
                rig.kill_replica(random.below(100) as usize)?;
                replicas_killed += 1;
            }
        }
        let _ = watcher.join();
        Ok(())
    })?;
    let took = began.elapsed();
    let outcome = clients.judge(listen, folder, arguments.payments)?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "payments    {} keys by {} requests in {:.1} s, {} replayed; {replicas_killed} replicas and {edges_killed} edges killed",
        outcome.keys,
        clients.requests.load(Ordering::Relaxed),
        took.as_secs_f64(),
        clients.replayed.load(Ordering::Relaxed),
    )?;
    writeln!(
        out,
        "outcomes    {} answered, {} in doubt (of which {} are in the books), each resolved",
        outcome.answered, outcome.in_doubt, outcome.doubts_done
    )?;
    Ok(outcome.broken)
}
