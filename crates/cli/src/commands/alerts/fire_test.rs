//! `tend alerts fire-test`: sends a test of an alert the real way, and waits for the receipts.

use clap::Args;
use serde_json::{Value, json};
use tend_api::{ApiError, Class, EXIT_FOUND, EXIT_OK, MonitorMethod};

use super::list::moment;
use crate::arguments::JsonOption;
use crate::commands::monitored::ask;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Cell, Table, Tone, harmless};
use crate::target::StackOption;
use crate::when::local_time;

/// Send a test of an alert to whom it would go
///
/// Sends a test of an alert to everybody whom the rule's alerts go to, by the real routes, templates and means, waits for the receipts, and
/// takes it back. It is marked: its label `tend_test` is `true`, and its texts say that it is a test. Grouping, inhibition, silences and
/// time intervals do not hold it back; it is said where one would have. Exits with 13 when a receiver did not take it, or when there is none.
///
/// Example: tend alerts fire-test HighErrorRate
#[derive(Debug, Args)]
pub(crate) struct FireTest {
    /// The name of the rule, from `tend rules list`
    #[arg(value_name = "RULE")]
    rule: String,
    /// This receiver alone; may be repeated
    #[arg(long = "receiver", value_name = "NAME")]
    receivers: Vec<String>,
    /// A label that the rule's series would add, where routes look at it; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 6] = ["RECEIVER", "MEANS", "TOLD", "ANSWER", "TOOK", "SAID"];

impl FireTest {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let labels = self
            .labels
            .iter()
            .map(|text| label(text))
            .collect::<Result<serde_json::Map<_, _>>>()?;
        let body = json!({ "rule": self.rule, "receivers": self.receivers, "labels": labels });
        let path = "/tend/v1/fire-test";
        let answer = ask(context, &self.stack, MonitorMethod::Post, path, &[], Some(body)).await?;
        let code = if answer["ok"] == true { EXIT_OK } else { EXIT_FOUND };
        if self.json.json {
            context.line(&answer.to_string())?;
            return Ok(code);
        }
        for test in items(&answer["tests"]) {
            show(context, test)?;
        }
        Ok(code)
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    harmless(value.as_str().unwrap_or_default())
}

/// Reads a label.
fn label(written: &str) -> Result<(String, Value)> {
    match written.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.into())),
        _ => Err(Error::Role(
            ApiError::new(Class::Usage, format!("`{written}` is no label")).hint("write NAME=VALUE"),
        )),
    }
}

/// Prints one test: who took it, and what would have kept it quiet.
fn show(context: &mut Context<'_>, test: &Value) -> Result<()> {
    let zone = context.surroundings.time_zone.clone();
    let (firing, resolved) = (items(&test["firing"]), items(&test["resolved"]));
    if firing.is_empty() {
        let severity = text(&test["labels"]["severity"]);
        let of = if severity.is_empty() {
            severity
        } else {
            format!(" of severity {severity}")
        };
        context.note(&format!(
            "nobody is told of {}{of}: no route leads to a receiver",
            text(&test["labels"]["alertname"])
        ))?;
        return Ok(());
    }
    let mut table = Table::new(&HEADINGS);
    for (word, list) in [("", firing), ("its end: ", resolved)] {
        for one in list {
            let taken = one["answer"] == "confirmed";
            // Of what went well once more there is nothing to say.
            if taken && !word.is_empty() {
                continue;
            }
            let told = one["told_at"].as_str().and_then(moment);
            table.row(vec![
                Cell::new(text(&one["receiver"])),
                Cell::new(text(&one["means"])),
                Cell::new(told.map_or_else(String::new, |told| local_time(told, &zone))),
                Cell::new(format!("{word}{}", text(&one["answer"]))).tone(if taken { Tone::Good } else { Tone::Bad }),
                Cell::new(format!("{} ms", one["took_ms"])),
                Cell::new(text(&one["said"])),
            ]);
        }
    }
    for line in table.lines(context.paint()) {
        context.line_later(&line)?;
    }
    let would_be = &test["would_be"];
    for silence in items(&would_be["silenced_by"]) {
        let until = silence["ends_at"].as_str().and_then(moment);
        let until = until.map_or_else(String::new, |until| format!(" until {}", local_time(until, &zone)));
        let (id, by, reason) = (text(&silence["id"]), text(&silence["by"]), text(&silence["reason"]));
        context.note(&format!(
            "a real one would be silenced{until} by {by} ({reason}); `tend alerts unsilence {id}` ends that"
        ))?;
    }
    for other in items(&would_be["inhibited_by"]) {
        context.note(&format!("a real one would not be told while {} fires", text(other)))?;
    }
    for receiver in items(&would_be["muted_for"]) {
        context.note(&format!(
            "a real one would not be told to {} now: a time interval mutes it",
            text(receiver)
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn labels_are_a_name_and_a_value() {
        assert_eq!(label("service=web=1").unwrap(), ("service".to_owned(), "web=1".into()));
        assert_eq!(label("a=").unwrap(), ("a".to_owned(), "".into()));
        for written in ["a", "=b", ""] {
            assert!(label(written).is_err(), "{written}");
        }
    }
}
