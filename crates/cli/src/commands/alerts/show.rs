//! `tend alerts show`: all that is known of one alert.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::Value;
use tend_api::EXIT_OK;
use tend_base::format_duration;

use super::list::moment;
use crate::arguments::JsonOption;
use crate::commands::monitored::shown;
use crate::context::Context;
use crate::error::Result;
use crate::output::harmless;
use crate::target::StackOption;
use crate::when::local_time;

/// Show all that is known of an alert
///
/// Shows all that is known of an alert: its rule with the value now, since when it fires, what keeps it quiet, what changed in the half hour
/// before it began, who was told when and answered what, who said that he knows of it. Of one that is over, the last time it fired.
///
/// Example: tend alerts show HighErrorRate
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its name, or its id from `tend alerts list`
    #[arg(value_name = "NAME|ID")]
    which: String,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Show {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let pairs = [("which", self.which.as_str())];
        let answer = shown(context, &self.stack, "/tend/v1/alerts/show", &pairs).await?;
        if self.json.json {
            context.line(&answer.to_string())?;
            return Ok(EXIT_OK);
        }
        let zone = context.surroundings.time_zone.clone();
        for (at, alert) in answer.as_array().into_iter().flatten().enumerate() {
            if at > 0 {
                context.line_later("")?;
            }
            for line in lines(alert, &zone) {
                context.line_later(&line)?;
            }
        }
        Ok(EXIT_OK)
    }
}

/// An alert in words, a line for each thing there is to say.
fn lines(alert: &Value, zone: &TimeZone) -> Vec<String> {
    let text = |value: &Value| harmless(value.as_str().unwrap_or_default());
    let at = |value: &Value| {
        let moment = value.as_str().and_then(moment);
        moment.map_or_else(String::new, |moment| local_time(moment, zone))
    };
    let for_ms = |value: &Value| format_duration(Duration::from_millis(value.as_u64().unwrap_or(0)));
    let mut lines = vec![format!(
        "{} {}, {}",
        text(&alert["alert"]),
        text(&alert["id"]),
        text(&alert["state"])
    )];
    let mut say = |what: &str, words: String| lines.push(format!("  {:<15}{words}", format!("{what}:")));
    let since = format!("{}, for {}", at(&alert["since"]), for_ms(&alert["lasted_ms"]));
    match alert["until"].as_str() {
        Some(_) => say("fired", format!("{since}, until {}", at(&alert["until"]))),
        None => say("fires since", since),
    }
    say("labels", labels(alert));
    for (name, value) in alert["annotations"].as_object().into_iter().flatten() {
        say(&harmless(name), text(value));
    }
    let rule = &alert["rule"];
    if rule.is_object() {
        let hold = match rule["for_ms"].as_u64().unwrap_or(0) {
            0 => String::new(),
            _ => format!(", for {}", for_ms(&rule["for_ms"])),
        };
        say("rule", format!("{}{hold}", text(&rule["expression"])));
        say("of", format!("{}, group {}", text(&rule["file"]), text(&rule["group"])));
        if rule["value"].is_string() {
            say("value", text(&rule["value"]));
        }
    }
    for silence in alert["silences"].as_array().into_iter().flatten() {
        let (by, reason) = (text(&silence["by"]), text(&silence["reason"]));
        say(
            "silenced",
            format!(
                "until {} by {by}: {reason} ({})",
                at(&silence["until"]),
                text(&silence["id"])
            ),
        );
    }
    for by in alert["inhibited_by"].as_array().into_iter().flatten() {
        say("kept quiet by", format!("{} {}", text(&by["alert"]), text(&by["id"])));
    }
    if alert["held"].is_object() {
        let held = &alert["held"];
        say(
            "held back",
            format!("by {}, at most until {}", text(&held["by"]), at(&held["until"])),
        );
    }
    for change in alert["changes"].as_array().into_iter().flatten() {
        let words = format!(
            "{} {} {}",
            at(&change["at"]),
            text(&change["kind"]),
            text(&change["of"])
        );
        say("changed", format!("{}, by {}", words.trim_end(), text(&change["by"])));
    }
    let receivers: Vec<String> = (alert["receivers"].as_array().into_iter().flatten())
        .map(text)
        .collect();
    if !receivers.is_empty() {
        say("tells", receivers.join(", "));
    }
    if alert["owner"].is_string() {
        say("owner", text(&alert["owner"]));
    }
    for mark in alert["marks"].as_array().into_iter().flatten() {
        let word = text(&mark["word"]);
        let told = [&mark["receiver"], &mark["means"]].map(text).join(" by ");
        let rest = match word.as_str() {
            "acknowledged" => format!("by {} {}", text(&mark["by"]), text(&mark["note"])),
            "assigned" => format!("to {} by {}", text(&mark["to"]), text(&mark["by"])),
            "not told" => format!("{told}, {} tries: {}", mark["tries"], text(&mark["said"])),
            _ => format!("{told}: {}", text(&mark["said"])),
        };
        say(&word, format!("{} {}", at(&mark["at"]), rest.trim_end()));
    }
    lines
}

/// Labels beside the name, as `a=b c=d`.
pub(super) fn labels(alert: &Value) -> String {
    let labels = alert["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> = labels
        .filter(|(label, _)| *label != "alertname")
        .map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or_default()))
        .collect();
    harmless(&labels.join(" "))
}

/// The receivers that confirmed to have been told of an alert, each once.
pub(super) fn who_was_told(alert: &Value) -> Vec<String> {
    let marks = alert["marks"].as_array().into_iter().flatten();
    let told = marks.filter(|mark| mark["word"] == "told");
    let names: BTreeSet<&str> = told.filter_map(|mark| mark["receiver"].as_str()).collect();
    names.into_iter().map(harmless).collect()
}
