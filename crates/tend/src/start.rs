//! What the command line needs of the whole program: the edge's role, a daemon that is there, a journal that is checked.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::{Command as Program, Stdio};
use std::time::Duration;

use tend_api::messages::StackMetrics;
use tend_api::{ApiError, Call, Class, Client, Paths};
use tend_base::{Clock, SystemClock, with_causes};
use tend_cli::{DaemonStart, Verification};
use tend_edge::{ControlClient, EdgeConfig, FromEdge, LogRotation, Patience, ToEdge};
use tend_monitor::{Gather, Gathered, MonitorConfig, monitor_main};
use tend_store::{Files, PublicKey};

/// How long a daemon may take until it answers.
const DAEMON_MAX: Duration = Duration::from_secs(10);

/// How long the edge may take to say what it counts.
const EDGE_MAX: Duration = Duration::from_secs(5);

/// From SIGTERM to the edge's end, whatever is in flight.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// How long the daemon that starts an edge may take to hand over the sockets.
const HANDOVER_MAX: Duration = Duration::from_secs(3);

/// Is the edge until it ends; returns the exit code.
pub(crate) fn edge(_arguments: Vec<OsString>) -> u8 {
    let _ = rustix::process::setsid();
    let paths = match Paths::of_this_user() {
        Ok(paths) => paths,
        Err(error) => return refuse(&error.to_api_error()),
    };
    let handed_over = std::env::var_os("TEND_EDGE_HANDOVER").is_some();
    let config = EdgeConfig {
        control_socket: paths.run.join("edge.sock"),
        state_folder: paths.state.join("edge"),
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        handover_wait: if handed_over { HANDOVER_MAX } else { Duration::ZERO },
        drain_wait: DRAIN_MAX,
        log_rotation: LogRotation::default(),
        patience: Patience::default(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    match tend_edge::edge_main(&config) {
        Ok(()) => 0,
        Err(error) => refuse(&ApiError::from_error(Class::Unavailable, &error).hint(error.hint())),
    }
}

/// Is the monitor until it ends; returns the exit code.
pub(crate) fn monitor() -> u8 {
    let _ = rustix::process::setsid();
    let paths = match Paths::of_this_user() {
        Ok(paths) => paths,
        Err(error) => return refuse(&error.to_api_error()),
    };
    let config = MonitorConfig {
        socket: paths.run.join("monitor.sock"),
        folder: paths.state.join("monitor"),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        edge: Some(|| Box::new(OfEdge)),
        daemon: Some(|stack| Box::new(OfDaemon(stack.to_owned()))),
    };
    match monitor_main(config) {
        Ok(()) => 0,
        Err(error) => refuse(&ApiError::from_error(Class::Unavailable, &error).hint(error.hint())),
    }
}

/// What the edge counts, asked of it as the daemon asks it.
struct OfEdge;

impl Gather for OfEdge {
    fn gather(&mut self) -> Pin<Box<dyn Future<Output = Gathered> + Send + '_>> {
        Box::pin(async {
            let asked = tokio::task::spawn_blocking(|| {
                let paths = Paths::of_this_user().map_err(|error| with_causes(&error))?;
                let client =
                    ControlClient::connect(&paths.run.join("edge.sock")).map_err(|error| with_causes(&error))?;
                client
                    .send(&ToEdge::Metrics, &[])
                    .map_err(|error| with_causes(&error))?;
                let begun = SystemClock.now().mono;
                while SystemClock.now().mono.since(begun) < EDGE_MAX {
                    let said = client.receive(EDGE_MAX).map_err(|error| with_causes(&error))?;
                    if let Some((FromEdge::Metrics { text }, _)) = said {
                        return Ok(text);
                    }
                }
                Err("the edge did not answer in time".to_owned())
            });
            asked.await.unwrap_or_else(|error| Err(error.to_string()))
        })
    }
}

/// What the daemon knows of a stack, asked of it as anybody asks it.
struct OfDaemon(String);

impl Gather for OfDaemon {
    fn gather(&mut self) -> Pin<Box<dyn Future<Output = Gathered> + Send + '_>> {
        Box::pin(async {
            let paths = Paths::of_this_user().map_err(|error| with_causes(&error))?;
            let stack = self.0.parse().map_err(|error| with_causes(&error))?;
            let client = Client::connect(&paths.socket())
                .await
                .map_err(|error| with_causes(&error))?;
            let known = client.json_with_text::<StackMetrics>(&Call::StackMetrics(stack)).await;
            known.map(|(known, _)| known.text).map_err(|error| with_causes(&error))
        })
    }
}

fn refuse(error: &ApiError) -> u8 {
    let mut text = format!("error: {}\n", error.message);
    for detail in &error.details {
        text.push_str(&format!("  because: {detail}\n"));
    }
    // Nobody may be listening any more.
    let _ = std::io::stderr().write_all(text.as_bytes());
    error.class.exit_code()
}

/// Returns once a daemon answers, having started one when there was none.
pub(crate) fn ensure_daemon(paths: &Paths) -> Result<DaemonStart, ApiError> {
    let answers = || UnixStream::connect(paths.socket()).is_ok();
    if answers() {
        return Ok(DaemonStart::Running);
    }
    let unavailable = |what: String| ApiError::new(Class::Unavailable, what);
    let program =
        std::env::current_exe().map_err(|error| unavailable(format!("could not find the own program: {error}")))?;
    std::fs::create_dir_all(&paths.state).map_err(|error| {
        unavailable(format!(
            "the folder `{}` cannot be used: {error}",
            paths.state.display()
        ))
        .hint("make it writable for this user, or name another with TEND_STATE")
    })?;
    let log_path = paths.state.join("daemon.log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path);
    let log = log.map_err(|error| {
        unavailable(format!(
            "the daemon's log `{}` cannot be written: {error}",
            log_path.display()
        ))
        .hint("make the state folder writable for this user, or name another with TEND_STATE")
    })?;
    let before = log.metadata().map_or(0, |data| data.len());
    let mut daemon = Program::new(program)
        .arg("daemon")
        .env("TEND_STATE", &paths.state)
        .env("TEND_RUN", &paths.run)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(|error| unavailable(format!("the daemon could not be started: {error}")))?;
    let begun = SystemClock.now().mono;
    while SystemClock.now().mono.since(begun) < DAEMON_MAX {
        if answers() {
            return Ok(DaemonStart::Started);
        }
        if let Ok(Some(status)) = daemon.try_wait() {
            // Another one may have been quicker.
            if answers() {
                return Ok(DaemonStart::Running);
            }
            return Err(why_not(
                &log_path,
                before,
                &format!("the daemon ended at once with {status}"),
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(why_not(&log_path, before, "the daemon did not answer in time"))
}

/// Returns what the daemon said before it ended, as the error it is.
fn why_not(log: &std::path::Path, before: u64, otherwise: &str) -> ApiError {
    // Where the disk is full, the daemon could not even say so.
    let probe = log.with_extension("probe");
    let full = std::fs::write(&probe, b"tend").is_err_and(|error| error.kind() == std::io::ErrorKind::StorageFull);
    let _ = std::fs::remove_file(&probe);
    if full {
        let folder = log.parent().unwrap_or(log).display();
        return ApiError::new(
            Class::Unavailable,
            format!("No space left for the daemon's state in `{folder}`"),
        )
        .hint("free some space there, or name another folder with TEND_STATE");
    }
    let text = std::fs::read(log).unwrap_or_default();
    let said =
        String::from_utf8_lossy(text.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default()).into_owned();
    let after = |prefix: &str| {
        said.lines()
            .find_map(|line| line.trim_start().strip_prefix(prefix).map(str::to_owned))
    };
    let mut error = ApiError::new(
        Class::Unavailable,
        after("error: ").unwrap_or_else(|| otherwise.to_owned()),
    );
    error.details = said
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("because: ").map(str::to_owned))
        .collect();
    error.hint(after("next: ").unwrap_or_else(|| format!("see `{}`", log.display())))
}

/// Checks the whole journal on the disk.
pub(crate) fn verify_journal(paths: &Paths) -> Result<Verification, ApiError> {
    let files = Files::of(&paths.state);
    let unreadable = |error: &tend_store::Error| {
        ApiError::from_error(Class::Unavailable, error).hint(error.hint().unwrap_or_default())
    };
    let key = PublicKey::read(&files.public_key).map_err(|error| unreadable(&error))?;
    let report = tend_store::verify(&files.database, key, &files.anchors).map_err(|error| unreadable(&error))?;
    Ok(Verification {
        events: report.rows,
        head: report.head.map(|id| id.0),
        anchored: report.anchored_upto.map(|id| id.0),
        findings: report.findings.iter().map(ToString::to_string).collect(),
    })
}
