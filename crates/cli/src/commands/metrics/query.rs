//! `tend metrics query`: a PromQL expression, for now or for another moment.

use clap::Args;
use serde_json::Value;
use tend_api::EXIT_OK;

use crate::arguments::JsonOption;
use crate::commands::monitored::shown;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table};
use crate::target::StackOption;
use crate::when::When;

/// Evaluate a PromQL expression
///
/// Evaluates a PromQL expression over what is measured of a stack and of the machine. With --json the answer is that of Prometheus' API.
///
/// Example: tend metrics query 'sum by (job) (up)'
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// The expression
    #[arg(value_name = "EXPRESSION")]
    expression: String,
    /// For another moment than now: a time, or how long ago, such as 10m
    #[arg(long, value_name = "WHEN")]
    at: Option<When>,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

const HEADINGS: [&str; 2] = ["SERIES", "VALUE"];
const NOTHING: &str = "nothing matches";

impl Query {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let zone = context.surroundings.time_zone.clone();
        let at = self.at.map(|when| {
            let at = when.resolve(context.now().wall, &zone).0;
            format!("{}.{:03}", at / 1000, at % 1000)
        });
        let mut pairs = vec![("query", self.expression.as_str())];
        if let Some(at) = &at {
            pairs.push(("time", at));
        }
        let answer = shown(context, &self.stack, "/api/v1/query", &pairs).await?;
        if self.json.json {
            context.line(&answer.to_string())?;
            return Ok(EXIT_OK);
        }
        for kind in ["warnings", "infos"] {
            for said in answer[kind].as_array().into_iter().flatten() {
                context.note(said.as_str().unwrap_or_default())?;
            }
        }
        let data = &answer["data"];
        let result = &data["result"];
        if matches!(data["resultType"].as_str(), Some("scalar" | "string")) {
            context.line(result[1].as_str().unwrap_or_default())?;
            return Ok(EXIT_OK);
        }
        let mut table = Table::new(&HEADINGS);
        let mut count = 0;
        for series in result.as_array().into_iter().flatten() {
            let values = match series["values"].as_array() {
                Some(values) => values.iter().map(sample).collect::<Vec<_>>().join(" "),
                None => series["value"][1].as_str().unwrap_or_default().to_owned(),
            };
            table.row(vec![Cell::new(name(&series["metric"])), Cell::new(values).right()]);
            count += 1;
        }
        if count == 0 {
            context.note(NOTHING)?;
            return Ok(EXIT_OK);
        }
        for line in table.lines(context.paint()) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}

/// A sample of a range, as promtool writes it.
fn sample(pair: &Value) -> String {
    format!("{}@{}", pair[1].as_str().unwrap_or_default(), pair[0])
}

/// A series as it is written in PromQL.
fn name(metric: &Value) -> String {
    let labels: Vec<String> = (metric.as_object().into_iter().flatten())
        .filter(|(label, _)| *label != "__name__")
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    let name = metric["__name__"].as_str().unwrap_or_default();
    match labels.is_empty() && !name.is_empty() {
        true => name.to_owned(),
        false => format!("{name}{{{}}}", labels.join(", ")),
    }
}
