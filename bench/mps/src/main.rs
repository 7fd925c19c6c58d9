//! The load driver's command line: arguments in, figures out, exit status from the books.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use bench_mps::{Address, Config, run};
use clap::Parser;

/// Makes real payments against mps at a given rate and checks the books at the end.
///
/// Exits 0 where the books are right, 1 where they are wrong, 2 where the run could not be made or judged.
#[derive(Parser)]
#[command(name = "bench-mps")]
struct Arguments {
    /// A server to pay through, http://HOST:PORT; may be given several times.
    #[arg(long = "url", default_value = "http://127.0.0.1:8080")]
    urls: Vec<Address>,
    /// Payments a second; each is two requests.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// For how many seconds payments are due.
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// Demo cards to pay with.
    #[arg(long, default_value_t = 1000)]
    cards: usize,
    /// Most payments at once.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Milliseconds one request may take.
    #[arg(long, default_value_t = 5000)]
    timeout_ms: u64,
    /// Seconds for which a payment of unknown outcome is sent again.
    #[arg(long, default_value_t = 30)]
    resend_seconds: u64,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = Config {
        rate: arguments.rate,
        duration: Duration::from_secs_f64(arguments.seconds.clamp(0.0, 86_400.0)),
        cards: arguments.cards,
        concurrency: arguments.concurrency,
        timeout: Duration::from_millis(arguments.timeout_ms),
        resend_for: Duration::from_secs(arguments.resend_seconds),
        ..Config::new(arguments.urls)
    };
    match run(&config) {
        Ok(report) => {
            let text = if arguments.json {
                serde_json::to_string_pretty(&report).expect("a report of texts and numbers is valid JSON") + "\n"
            } else {
                report.to_string()
            };
            // A reader that has gone away has had enough; the verdict is the exit status.
            drop(std::io::stdout().write_all(text.as_bytes()));
            if report.books.are_right() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            drop(writeln!(std::io::stderr(), "bench-mps: {error}{cause}"));
            ExitCode::from(2)
        }
    }
}
