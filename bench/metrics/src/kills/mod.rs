//! Kills the monitor and the daemon again and again under ingest, fills the disk twice meanwhile, and says whether what is promised was kept.
//!
//! Promises: no sample is missing that was a synchronisation old when its monitor was killed; nothing is told twice but where a kill came
//! between the receipt and keeping it; every alert is told, that it fires and that it ended; the store opens after each kill; the
//! journal is whole and has every alert. Exits 1 where one was broken, 2 where there are no figures.
//!
//! All of it runs in name spaces of its own, for mounts and for processes: the small disk and whatever was started go with them.

mod exporter;
mod machine;
mod receiver;
mod verdict;

use std::io::{Error, Result, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tend_base::{Clock, Random, SystemClock};

use exporter::Exporters;
use machine::Machine;
use receiver::Receiver;
use verdict::{Full, Kill, Seen, Victim};

/// Set in the process that runs in name spaces of its own; the folder of the small disk.
const INSIDE: &str = "BENCH_METRICS_KILLS_DISK";

/// Bytes of the disk beside the copy of the program that lies on it: ten minutes of samples, and a segment of the log for each kill.
const DISK_BYTES: u64 = 128 << 20;

/// How many alerts are under way at a time.
const FLIPPERS: usize = 4;

/// After this long an alert counts as lost.
const TOLD_MAX: Duration = Duration::from_secs(90);

/// How long the disk is full each time: long enough for several kills.
const FULL_FOR: Duration = Duration::from_secs(15);

/// How long the store may need after there is room until all is durable again: it tries every 15 seconds.
const HEALS_WITHIN: Duration = Duration::from_secs(18);

/// From one kill to the next, in milliseconds: at least, and by how much more at most.
const PAUSE_MS: (u64, u64) = (1500, 4000);

/// How the run is to be.
#[derive(clap::Args)]
pub(crate) struct Kills {
    /// For how long, in minutes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// The folder of the program `tend`; beside this one when absent.
    #[arg(long)]
    programs: Option<PathBuf>,
}

impl Kills {
    /// Where the program is.
    fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.programs {
            return Ok(folder.clone());
        }
        let this = std::env::current_exe()?;
        let folder = this
            .parent()
            .ok_or_else(|| Error::other("this program has no folder"))?;
        Ok(folder.to_owned())
    }
}

/// Runs it all; the verdict is printed and is the exit status.
pub(crate) fn kills(out: &mut impl Write, kills: &Kills) -> Result<ExitCode> {
    match std::env::var_os(INSIDE) {
        None => inside(kills),
        Some(disk) => run(out, kills, PathBuf::from(disk)),
    }
}

/// Runs this program again, on a small disk of its own.
fn inside(kills: &Kills) -> Result<ExitCode> {
    let program = kills.folder()?.join("tend");
    let size = DISK_BYTES + std::fs::metadata(&program)?.len();
    let disk = std::env::temp_dir().join(format!("bench-metrics-kills-{}", std::process::id()));
    std::fs::create_dir_all(&disk)?;
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    // The shell stays as the first process, which buries whoever loses his parent.
    let ended = command
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"])
        .arg("mount -t tmpfs -o \"$1\" tmpfs \"$2\" || exit 2; shift 2; \"$@\"; exit $?")
        .args(["sh", &format!("size={size}")])
        .arg(&disk)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, &disk)
        .status();
    std::fs::remove_dir_all(&disk)?;
    // It is not there where nothing came so far.
    let _ = std::fs::remove_dir_all(machine::beside(&disk));
    let code = ended?.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(2)))
}

fn run(out: &mut impl Write, kills: &Kills, disk: PathBuf) -> Result<ExitCode> {
    let programs = kills.folder()?;
    let exporters = Arc::new(Exporters::start()?);
    let receiver = Arc::new(Receiver::start()?);
    let machine = Machine::up(&programs, disk, exporters.ports(), receiver.port)?;
    let over = Arc::new(AtomicBool::new(false));
    let lost: Arc<Mutex<Vec<String>>> = Arc::default();
    let flippers: Vec<_> = (0..FLIPPERS)
        .map(|_| {
            let (exporters, receiver) = (Arc::clone(&exporters), Arc::clone(&receiver));
            let (over, lost) = (Arc::clone(&over), Arc::clone(&lost));
            std::thread::spawn(move || flip(&exporters, &receiver, &over, &lost))
        })
        .collect();
    let mut done = Done::default();
    let killed = kill_all_along(out, kills, &machine, &mut done);
    over.store(true, Ordering::SeqCst);
    for flipper in flippers {
        flipper
            .join()
            .map_err(|_| Error::other("a thread that flips alerts broke"))?;
    }
    killed?;
    // At once: who did not come back may not answer at the end either, and then there are no figures.
    for line in &done.late {
        writeln!(out, "BROKEN: {line}")?;
    }
    let late = !done.late.is_empty();
    // What came last is synced, and what was noted is taken.
    std::thread::sleep(Duration::from_secs(3));
    let told = receiver.told();
    let mut broken = std::mem::take(&mut *lost.lock().unwrap_or_else(PoisonError::into_inner));
    let seen = Seen {
        served: exporters.served(),
        kept: machine.serials()?,
        told,
        noted: machine.alerts_in_journal()?,
        kills: done.kills,
        full: done.full,
    };
    let judged = verdict::judge(&seen);
    broken.extend(judged.broken);
    if let Err(error) = machine.verify() {
        broken.push(format!("the journal is not whole: {error}"));
    }
    let by = |victim: Victim| seen.kills.iter().filter(|kill| kill.victim == victim).count();
    writeln!(
        out,
        "kills                {:6} of the monitor, {} of the daemon; the disk was full {} times",
        by(Victim::Monitor),
        by(Victim::Daemon),
        seen.full.len()
    )?;
    writeln!(
        out,
        "back after a kill    {:6} ms at the longest until it answers",
        done.slowest.as_millis()
    )?;
    writeln!(
        out,
        "scrapes              {:6} answered; {} missing, {} of them synced before",
        seen.served.len(),
        judged.missing,
        judged.missing_synced
    )?;
    writeln!(
        out,
        "alerts               {:6} told; {} told again after a kill that came before the receipt was kept, {} without",
        judged.alerts, judged.told_again, judged.told_twice
    )?;
    for line in &broken {
        writeln!(out, "BROKEN: {line}")?;
    }
    writeln!(
        out,
        "{}",
        if broken.is_empty() && !late {
            "every promise was kept"
        } else {
            "not every promise was kept"
        }
    )?;
    machine.down();
    Ok(ExitCode::from(u8::from(late || !broken.is_empty())))
}

/// What was done.
#[derive(Default)]
struct Done {
    kills: Vec<Kill>,
    full: Vec<Full>,
    slowest: Duration,
    /// Monitors that did not come back in time.
    late: Vec<String>,
}

/// Kills until the time is over. The disk is filled twice: once without a kill until all is durable again, so nothing at all may be lost, and
/// once with kills of the monitor, which has to open its store there, too.
fn kill_all_along(out: &mut impl Write, kills: &Kills, machine: &Machine, done: &mut Done) -> Result<()> {
    let length = Duration::from_secs_f64(kills.minutes * 60.0);
    let (begun, mut random) = (Instant::now(), Random::new(now_ms()));
    let mut filled = 0;
    while begun.elapsed() < length {
        std::thread::sleep(Duration::from_millis(PAUSE_MS.0 + random.below(PAUSE_MS.1)));
        let calm = filled == 0 && begun.elapsed() > length / 5;
        let killing = filled == 1 && begun.elapsed() > length * 3 / 5;
        if calm || killing {
            filled += 1;
            writeln!(out, "the disk is full for {} s", FULL_FOR.as_secs())?;
            let from = now_ms();
            let fill = machine.fill()?;
            let until = Instant::now() + FULL_FOR;
            while killing && Instant::now() + Duration::from_secs(3) < until {
                done.kill(machine, Victim::Monitor)?;
                std::thread::sleep(Duration::from_millis(PAUSE_MS.0));
            }
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            fill.end()?;
            if calm {
                std::thread::sleep(HEALS_WITHIN);
            }
            done.full.push(Full {
                from,
                to: now_ms() + if calm { 0 } else { as_ms(HEALS_WITHIN) },
            });
            continue;
        }
        let victim = if random.below(4) == 0 {
            Victim::Daemon
        } else {
            Victim::Monitor
        };
        // A daemon needs room to start, and that it says so is another test's.
        let healing = done.full.last().is_some_and(|full| now_ms() < full.to);
        done.kill(machine, if healing { Victim::Monitor } else { victim })?;
    }
    Ok(())
}

impl Done {
    fn kill(&mut self, machine: &Machine, victim: Victim) -> Result<()> {
        // What was killed before may still be on its way.
        let at = machine.kill(victim)?;
        self.kills.push(Kill { at, victim });
        let begun = Instant::now();
        match machine.wait_back(victim) {
            Ok(()) => self.slowest = self.slowest.max(begun.elapsed()),
            Err(error) => self.late.push(error.to_string()),
        }
        Ok(())
    }
}

/// Has one alert after another begin and end, and waits each time until it was told.
fn flip(exporters: &Exporters, receiver: &Receiver, over: &AtomicBool, lost: &Mutex<Vec<String>>) {
    while !over.load(Ordering::SeqCst) {
        let number = exporters.raise();
        for (status, word) in [("firing", "fires"), ("resolved", "ended")] {
            let begun = Instant::now();
            while !receiver.was_told(number, status) && begun.elapsed() < TOLD_MAX {
                std::thread::sleep(Duration::from_millis(50));
            }
            if !receiver.was_told(number, status) {
                let why = format!(
                    "that the alert {number} {word} was not told in {} s",
                    TOLD_MAX.as_secs()
                );
                lost.lock().unwrap_or_else(PoisonError::into_inner).push(why);
            }
            if status == "firing" {
                std::thread::sleep(Duration::from_millis(700 + number % 5 * 300));
                exporters.end(number);
            }
        }
    }
}

fn now_ms() -> u64 {
    SystemClock.now().wall.0
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
