//! `tend events`: the journal, and `tend events verify`, which checks that nobody changed it.

use clap::{Args, Subcommand};
use serde_json::Value;
use tend_api::{EXIT_FAILED, EXIT_OK, EventsQuery};
use tend_core::journal::{CrashCard, Event, EventId, Filter, KindPattern};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Tone, harmless, shortened};
use crate::target::{Named, StackOption};
use crate::when::{When, local_time};

/// Show what happened, as the journal has it
///
/// Shows what happened, oldest first: who did what to which stack, service or replica, and why.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Events {
    #[command(subcommand)]
    command: Option<EventsCommand>,
    /// SERVICE, SERVICE/SLOT, STACK/SERVICE or STACK/SERVICE/SLOT; everything when left out
    #[arg(value_name = "TARGET")]
    target: Option<Named>,
    #[command(flatten)]
    stack: StackOption,
    /// Only of this kind, such as replica.exited, or of a group, such as 'replica.*'; may be given several times
    #[arg(short, long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Go on with new events
    #[arg(short, long)]
    follow: bool,
    /// Only events of this moment or later: an age such as 10m, or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Only events before this moment
    #[arg(long, value_name = "WHEN", conflicts_with = "follow")]
    until: Option<When>,
    /// Only the story of this event: what led to it, and what it led to
    #[arg(long, value_name = "EVENT")]
    story: Option<u64>,
    /// Only the last events [default: 50, all with --since, --until or --story]
    #[arg(short = 'n', long, value_name = "COUNT")]
    tail: Option<u32>,
    /// Show all particulars
    #[arg(short, long)]
    long: bool,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum EventsCommand {
    /// Check that no event was changed, moved or removed since it was written
    Verify(JsonOption),
}

/// Events shown when nothing says how many.
const TAIL: u32 = 50;

impl Events {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            Some(EventsCommand::Verify(json)) => verify(context, json.json),
            None => self.show(context).await,
        }
    }

    async fn show(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let target = if self.target.is_some() || self.stack.is_given() {
            let named = self.target.as_ref();
            Some(self.stack.target(context, &client, named).await?)
        } else {
            None
        };
        let zone = context.surroundings.time_zone.clone();
        let now = context.now().wall;
        let resolve = |when: &When| when.resolve(now, &zone);
        let bounded = self.since.is_some() || self.until.is_some() || self.story.is_some();
        let query = EventsQuery {
            filter: Filter {
                since: self.since.as_ref().map(resolve),
                until: self.until.as_ref().map(resolve),
                kinds: self.kinds.iter().map(|kind| KindPattern::from(kind.as_str())).collect(),
                stack: target.as_ref().map(|target| target.stack.clone()),
                service: target.as_ref().and_then(|target| target.service.clone()),
                slot: target.as_ref().and_then(|target| target.slot),
                story_of: self.story.map(EventId),
                ..Filter::default()
            },
            tail: self.tail.or((!bounded).then_some(TAIL)),
            follow: self.follow,
        };
        let mut reader = client.events(query).await?;
        let room = context
            .columns()
            .saturating_sub(HEAD_COLUMNS)
            .max(PARTICULARS_COLUMNS_MIN);
        while let Some((event, text)) = reader.next_with_text().await? {
            if self.json.json {
                context.line(&String::from_utf8_lossy(&text))?;
                continue;
            }
            let subject = event.subject.to_string();
            let paint = context.paint();
            let head = format!(
                "{} {} {:<21} {subject:<14} {}",
                paint.paint(Tone::Faint, &local_time(event.at, &zone)),
                paint.paint(Tone::Faint, &format!("{:>5}", event.id.0)),
                event.kind.as_str(),
                paint.paint(Tone::Faint, &text::by(&event.principal.to_string())),
            );
            let particulars = match (self.long, context.is_live()) {
                (true, _) => String::new(),
                (false, true) => shortened(&particulars(&event), room),
                (false, false) => particulars(&event),
            };
            context.line(format!("{head}  {particulars}").trim_end())?;
            if self.long {
                show_all(context, &event)?;
            }
        }
        Ok(EXIT_OK)
    }
}

/// Columns before the particulars, with a principal of usual length.
const HEAD_COLUMNS: usize = 23 + 1 + 5 + 1 + 21 + 1 + 14 + 1 + 10;

/// Particulars have at least so many columns, though the line may then wrap.
const PARTICULARS_COLUMNS_MIN: usize = 20;

/// Returns the particulars in one line: a crash in words, anything else as `name=value`.
fn particulars(event: &Event) -> String {
    if let Ok(card) = serde_json::from_value::<CrashCard>(event.data.clone()) {
        return harmless(&text::crash(&card));
    }
    let Value::Object(fields) = &event.data else {
        return String::new();
    };
    // What a step does says it all in words; its undo is for `--long` and `tend plan`.
    let fields: Vec<String> = fields
        .iter()
        .filter(|(name, _)| *name != "undo")
        .map(|(name, value)| match value {
            Value::String(what) if name == "what" => what.clone(),
            Value::String(text) if !text.is_empty() && !text.contains(' ') => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    harmless(&fields.join(" "))
}

fn show_all(context: &mut Context<'_>, event: &Event) -> Result<()> {
    let text = match serde_json::from_value::<CrashCard>(event.data.clone()) {
        Ok(card) => card.to_string(),
        Err(_) if event.data.as_object().is_some_and(serde_json::Map::is_empty) => {
            return Ok(());
        }
        Err(_) => serde_json::to_string_pretty(&event.data).unwrap_or_default(),
    };
    for line in text.lines() {
        context.line(&format!("    {}", harmless(line)))?;
    }
    Ok(())
}

fn verify(context: &mut Context<'_>, json: bool) -> Result<u8> {
    let paths = context.paths()?;
    let found = (context.roles.verify_journal)(&paths).map_err(Error::Role)?;
    let whole = found.findings.is_empty();
    if json {
        let value = serde_json::json!({
            "whole": whole,
            "events": found.events,
            "head": found.head,
            "anchored": found.anchored,
            "findings": found.findings,
        });
        context.line(&value.to_string())?;
    } else {
        let paint = context.paint();
        if whole {
            context.line(&paint.paint(Tone::Good, &text::whole(found.events, found.head)))?;
        } else {
            context.line(&paint.paint(Tone::Bad, text::DAMAGED))?;
            for finding in &found.findings {
                context.line(&format!("  {finding}"))?;
            }
        }
        context.line(&text::anchored(found.anchored))?;
    }
    Ok(if whole { EXIT_OK } else { EXIT_FAILED })
}

mod text {
    use tend_core::journal::CrashCard;

    pub(super) fn by(principal: &str) -> String {
        format!("by {principal}")
    }
    pub(super) fn crash(card: &CrashCard) -> String {
        match card.next.as_str() {
            "" => card.exit.clone(),
            next => format!("{}; {next}", card.exit),
        }
    }
    pub(super) const DAMAGED: &str = "the journal was changed from outside:";
    pub(super) fn whole(events: u64, head: Option<u64>) -> String {
        match head {
            Some(head) => format!("the journal is whole: {events} events, the last is {head}"),
            None => "the journal is whole: it is empty".to_owned(),
        }
    }
    pub(super) fn anchored(anchored: Option<u64>) -> String {
        match anchored {
            Some(event) => {
                format!("a signature outside the database vouches for all up to event {event}")
            }
            None => "no signature outside the database vouches for it yet".to_owned(),
        }
    }
}
