//! `tend logs`: output of replicas, each in its colour; `audit` looks for secrets in what is stored.

use clap::{Args, Subcommand, ValueEnum};
use tend_api::messages::{LogLine, LogSource};
use tend_api::{EXIT_OK, LogStreams, LogsQuery};
use tend_core::model::ReplicaId;

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Tone, harmless};
use crate::target::{Named, StackOption};
use crate::when::{When, local_time};

mod audit;

/// Show the output of services
///
/// Shows the output of a stack, a service or a replica, oldest line first.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Logs {
    #[command(subcommand)]
    command: Option<LogsCommand>,
    /// SERVICE, SERVICE/SLOT, STACK/SERVICE or STACK/SERVICE/SLOT; the whole stack when left out
    #[arg(value_name = "TARGET")]
    target: Option<Named>,
    #[command(flatten)]
    stack: StackOption,
    /// Go on with new lines
    #[arg(short, long)]
    follow: bool,
    /// Only lines of this moment or later: an age such as 10m, or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Only the last lines of each replica [default: 100, all with --since]
    #[arg(short = 'n', long, value_name = "COUNT")]
    tail: Option<u32>,
    /// Show when each line came
    #[arg(short, long)]
    timestamps: bool,
    /// Of which stream
    #[arg(long, value_name = "STREAM", default_value = "both")]
    stream: Stream,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, Subcommand)]
enum LogsCommand {
    Audit(audit::Audit),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stream {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
    /// Both
    Both,
}

/// Lines shown of each replica when nothing says how many: what fits a few screens.
const TAIL: u32 = 100;

impl Logs {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        if let Some(LogsCommand::Audit(audit)) = self.command {
            return audit.run(context).await;
        }
        let client = context.client().await?;
        let target = self.stack.target(context, &client, self.target.as_ref()).await?;
        let zone = context.surroundings.time_zone.clone();
        let since = self.since.as_ref().map(|when| when.resolve(context.now().wall, &zone));
        let mut reader = client
            .logs(LogsQuery {
                target,
                since,
                tail: self.tail.or(since.is_none().then_some(TAIL)),
                streams: match self.stream {
                    Stream::Stdout => LogStreams::Stdout,
                    Stream::Stderr => LogStreams::Stderr,
                    Stream::Both => LogStreams::Both,
                },
                follow: self.follow,
            })
            .await?;
        let mut prefixes = Prefixes::default();
        loop {
            // Lines that are there are written together; what was written is shown before waiting for more.
            let next = tokio::select! {
                biased;
                next = reader.next_with_text() => next,
                () = std::future::ready(()) => {
                    context.flush()?;
                    reader.next_with_text().await
                }
            };
            let Some((line, json)) = next? else {
                return Ok(EXIT_OK);
            };
            if self.json.json {
                context.line_later(&String::from_utf8_lossy(&json))?;
                continue;
            }
            let paint = context.paint();
            let (prefix, tone) = prefixes.of(&line.replica);
            let mut shown = paint.paint(tone, &prefix);
            shown.push(' ');
            if self.timestamps {
                let at = line.at.map_or_else(String::new, |at| local_time(at, &zone));
                shown.push_str(&paint.paint(Tone::Faint, &format!("{at:<23} ")));
            }
            shown.push_str(&text_of(&line, paint));
            context.line_later(shown.trim_end())?;
        }
    }
}

fn text_of(line: &LogLine, paint: crate::output::Paint) -> String {
    let text = harmless(&line.text);
    match line.source {
        LogSource::Stdout | LogSource::Stderr => text,
        LogSource::Tend => paint.paint(Tone::Uneasy, &format!("{} {text}", text::BY_TEND)),
    }
}

/// What stands before the lines of each replica: wide enough for the widest so far, in a colour of its own.
#[derive(Default)]
struct Prefixes {
    seen: Vec<ReplicaId>,
    width: usize,
}

impl Prefixes {
    fn of(&mut self, replica: &ReplicaId) -> (String, Tone) {
        let index = match self.seen.iter().position(|seen| seen == replica) {
            Some(index) => index,
            None => {
                self.seen.push(replica.clone());
                self.seen.len() - 1
            }
        };
        let name = format!("{}/{}", replica.service, replica.slot);
        self.width = self.width.max(name.len());
        (format!("{name:<width$} |", width = self.width), Tone::Nth(index))
    }
}

mod text {
    pub(super) const BY_TEND: &str = "tend:";
}
