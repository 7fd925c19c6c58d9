//! Our monitor alone, as the bench of the peers runs an engine: a `prometheus.yml`, a folder and an address, in one process.
//!
//! What the daemon does for a stack is done here for a file: it is read with the rules it names and handed to the monitor, again at each
//! SIGHUP. Alerts are told as `am.yml` beside it says, so our own routing takes the place of Alertmanager. Where the file cannot be read, what
//! stood before stands, and the error is printed.

use std::io::{Error, Read as _, Result, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tend_base::{Secret, with_causes};
use tend_monitor::{FileText, MonitorConfig, Pace, SNAPSHOT_VERSION, Snapshot, StackPart, monitor_main};
use tokio::signal::unix::{SignalKind, signal};

/// The one stack.
const STACK: &str = "bench";

/// How long the monitor may take until its socket answers: it may have a log to read.
const START_MAX: Duration = Duration::from_secs(60);

/// What is to be served.
#[derive(clap::Args)]
pub(crate) struct Serve {
    /// A prometheus.yml; its rule files are read with it.
    #[arg(long)]
    config: PathBuf,
    /// The folder of the store and of all else that is kept.
    #[arg(long)]
    data: PathBuf,
    /// Where the APIs of Prometheus and Alertmanager are served.
    #[arg(long)]
    listen: SocketAddr,
    /// An alertmanager.yml; `am.yml` beside the prometheus.yml when absent, and nobody is told where that is not there either.
    #[arg(long)]
    routing: Option<PathBuf>,
}

/// Serves until it is ended by a signal.
pub(crate) fn serve(serve: Serve) -> Result<()> {
    std::fs::create_dir_all(&serve.data)?;
    let config = MonitorConfig {
        socket: serve.data.join("monitor.sock"),
        folder: serve.data.clone(),
        build: "bench".to_owned(),
        edge: None,
        daemon: None,
    };
    let socket = config.socket.clone();
    // Bound by the monitor once it has its store; one that was killed left its own behind.
    let _ = std::fs::remove_file(&socket);
    // Before the monitor's own event loop is there, so that no SIGHUP ends the process.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut again = {
        let _inside = runtime.enter();
        signal(SignalKind::hangup())?
    };
    std::thread::spawn(move || {
        let mut generation = 0;
        loop {
            generation += 1;
            if let Err(error) = read(&serve, generation).and_then(|snapshot| hand(&socket, &snapshot)) {
                let _ = writeln!(std::io::stderr(), "bench-metrics serve: {}", with_causes(&error));
            }
            if runtime.block_on(again.recv()).is_none() {
                return;
            }
        }
    });
    monitor_main(config).map_err(Error::other)
}

/// Reads what is to be measured and told.
fn read(serve: &Serve, generation: u64) -> Result<Snapshot> {
    let scrape = file(&serve.config)?;
    let (config, _) = tend_scrape::read_config(&scrape.path, scrape.text.expose())
        .map_err(|report| Error::other(report.to_string()))?;
    let mut rules = Vec::new();
    for pattern in &config.rule_files {
        for path in tend_scrape::expand(pattern)? {
            rules.push(file(&path)?);
        }
    }
    let beside = serve.config.with_file_name("am.yml");
    let routing = match &serve.routing {
        Some(path) => Some(file(path)?),
        None if beside.exists() => Some(file(&beside)?),
        None => None,
    };
    let part = StackPart {
        owner: None,
        listen: Some(serve.listen),
        prometheus: None,
        remote_write: Vec::new(),
        pace: Pace::default(),
        scrape: Some(scrape),
        rules,
        routing,
        secrets: Default::default(),
        chinese: false,
        external_url: String::new(),
        // As a stack has it that says nothing of it.
        absent: true,
        heartbeat: None,
        quiet_deploys_ms: None,
        daemon: false,
        replicas: Vec::new(),
        processes: Vec::new(),
        servers: Vec::new(),
        score: serde_json::Value::Null,
    };
    Ok(Snapshot {
        version: SNAPSHOT_VERSION,
        generation,
        stacks: [(STACK.to_owned(), part)].into(),
        ..Snapshot::default()
    })
}

fn file(path: &Path) -> Result<FileText> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::new(error.kind(), format!("`{}` cannot be read: {error}", path.display())))?;
    Ok(FileText {
        path: path.to_owned(),
        text: Secret::new(text).into(),
    })
}

/// Hands a snapshot to the monitor, as the daemon does; prints what of it was refused.
fn hand(socket: &Path, snapshot: &Snapshot) -> Result<()> {
    let begun = Instant::now();
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if begun.elapsed() > START_MAX => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let body = serde_json::to_vec(snapshot)?;
    let head = format!(
        "PUT /tend/v1/snapshot HTTP/1.1\r\nHost: monitor\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") || !answer.contains("\"refused\":{}") {
        let said = answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, body)| body);
        writeln!(std::io::stderr(), "bench-metrics serve: the monitor says {said}")?;
    }
    Ok(())
}
