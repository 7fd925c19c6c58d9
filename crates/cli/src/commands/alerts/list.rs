//! `tend alerts list`: what fires now.

use clap::Args;
use serde_json::Value;
use tend_api::{EXIT_FOUND, EXIT_OK};
use tend_base::Wall;

use crate::arguments::JsonOption;
use crate::commands::monitored::shown;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone, harmless};
use crate::target::StackOption;
use crate::when::{age, local_time};

/// List what fires
///
/// Lists what fires: since when, whether it is kept quiet, and what it says. Exits with 13 when something fires that nobody keeps quiet.
/// What keeps one quiet, who was told and what changed before says `tend alerts show`; what fired before, `tend alerts history`.
///
/// Example: tend alerts list
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 6] = ["ID", "ALERT", "SEVERITY", "SINCE", "STATE", "SAYS"];
const NONE: &str = "nothing fires";

/// The alert that proves by being told that alerts get there (`alerts.heartbeat`).
const WATCHDOG: &str = "TendWatchdog";

impl List {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let mut alerts = shown(context, &self.stack, "/api/v2/alerts", &[]).await?;
        if let Some(list) = alerts.as_array_mut() {
            // It fires as long as all is well.
            list.retain(|alert| alert["labels"]["alertname"] != WATCHDOG);
        }
        let list = alerts.as_array().cloned().unwrap_or_default();
        let fires = list.iter().any(|alert| alert["status"]["state"] == "active");
        let code = if fires { EXIT_FOUND } else { EXIT_OK };
        if self.json.json {
            context.line(&alerts.to_string())?;
            return Ok(code);
        }
        if list.is_empty() {
            context.note(NONE)?;
            return Ok(code);
        }
        let now = context.now().wall;
        let zone = context.surroundings.time_zone.clone();
        let mut table = Table::new(&HEADINGS);
        for alert in &list {
            let label = |name: &str| harmless(alert["labels"][name].as_str().unwrap_or_default());
            let severity = label("severity");
            let since = alert["startsAt"]
                .as_str()
                .and_then(moment)
                .map_or_else(String::new, |at| {
                    format!("{} ({})", local_time(at, &zone), age(now.0.saturating_sub(at.0) / 1000))
                });
            let state = match alert["held"].is_object() {
                true => "held",
                false => alert["status"]["state"].as_str().unwrap_or_default(),
            };
            let tone = if state == "active" { Tone::Bad } else { Tone::Faint };
            table.row(vec![
                Cell::new(alert["fingerprint"].as_str().unwrap_or_default()).tone(Tone::Faint),
                Cell::new(label("alertname")).tone(tone),
                Cell::new(severity),
                Cell::new(since),
                Cell::new(state),
                Cell::new(says(alert)),
            ]);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(code)
    }
}

/// What an alert says: its summary, or what else there is.
fn says(alert: &Value) -> String {
    let annotation = |name: &str| alert["annotations"][name].as_str();
    harmless(
        annotation("summary")
            .or(annotation("description"))
            .or(annotation("message"))
            .unwrap_or_default(),
    )
}

/// Reads a time as RFC 3339 has it.
pub(in crate::commands) fn moment(text: &str) -> Option<Wall> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Wall(u64::try_from(at.as_millisecond()).ok()?))
}
