//! Starts the API: arguments, environment, database, server, in this order.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use mps_api::migrate::NEEDED;
use mps_api::{Breakage, Config, Error, Live, Log, Metrics, http, live, worker};

const USAGE: &str = "\
mps-api: the API of the member payment system

Usage: mps-api [migrate [--to NUMBER] | --check-ledger | --help]

  migrate         bring the database to what this release needs, or to migration NUMBER; never backwards
  --check-ledger  check the books, print the report as JSON, exit 0 where they balance and 1 where not
  --help          print this

Settings come from the environment: PORT, DATABASE_URL, MPS_DATA_DIR, MPS_SEED and others, see stacks/mps/.env.example.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => serve().map(|()| ExitCode::SUCCESS),
        ["migrate"] => migrate(None),
        ["migrate", "--to", to] => migrate(Some(to)),
        ["--check-ledger"] => check_ledger(),
        ["--help" | "-h"] => {
            print(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => {
            print_error(&format!(
                "mps-api: unknown arguments `{}`\n\n{USAGE}",
                arguments.join(" ")
            ));
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|error| {
        let mut text = format!("mps-api: {error}\n");
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            text += &format!("  because: {source}\n");
            cause = source.source();
        }
        print_error(&format!("{text}  next: {}\n", error.hint()));
        ExitCode::FAILURE
    })
}

fn config() -> Result<Config, Error> {
    Config::read(|name| std::env::var(name).ok())
}

fn serve() -> Result<(), Error> {
    let config = config()?;
    if config.breakage == Breakage::Exit {
        return Err(Error::BrokenOnPurpose { mode: "exit" });
    }
    let (log, log_thread) = Log::start(&config.replica, &config.version, config.log_info)?;
    let metrics = Arc::new(Metrics::default());
    let database = worker::Database::start(&config, &metrics)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Runtime { source })?;
    let live = Arc::new(Live::default());
    let watching = live::watch(&config, &live, &log)?;
    let served = runtime.block_on(http::run(&config, database, metrics, log, live));
    // Connections hold the log too, and so does who watches the configuration; they end with the runtime and with this.
    drop(runtime);
    drop(watching);
    log_thread.finish();
    served
}

fn migrate(to: Option<&str>) -> Result<ExitCode, Error> {
    let number = |text: &str| {
        let number = text.parse().ok().filter(|number| (1..=NEEDED).contains(number));
        number.ok_or_else(|| Error::NoSuchMigration {
            asked: text.to_owned(),
            last: NEEDED,
        })
    };
    let to = to.map(number).transpose()?;
    let applied = worker::migrate(&config()?, to, &mut |migration| {
        print(&format!("applied {}\n", migration.name))
    })?;
    let at = applied
        .last()
        .map_or("without any migration".to_owned(), |last| format!("at {}", last.name));
    print(&format!("the database is {at}\n"));
    Ok(ExitCode::SUCCESS)
}

fn check_ledger() -> Result<ExitCode, Error> {
    let report = worker::check_now(&config()?.database)?;
    let json = serde_json::to_string_pretty(&report).expect("a report of texts and numbers is valid JSON");
    print(&format!("{json}\n"));
    Ok(if report.balanced {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Writes to stdout; a reader that has gone away has had enough.
fn print(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

fn print_error(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}
