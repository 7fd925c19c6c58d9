//! Asking the monitor of a stack: writes the question, and reads what went wrong out of its answer. Knows no command.

use serde_json::Value;
use tend_api::messages::MonitorAnswer;
use tend_api::{ApiError, Call, Class, MonitorAsk, MonitorMethod};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::target::StackOption;

/// Returns what the monitor says to a question that shows something.
pub(crate) async fn shown(
    context: &Context<'_>,
    stack: &StackOption,
    path: &str,
    pairs: &[(&str, &str)],
) -> Result<Value> {
    ask(context, stack, MonitorMethod::Get, path, pairs, None).await
}

/// Asks the monitor; an answer that is no success is an error.
pub(crate) async fn ask(
    context: &Context<'_>,
    stack: &StackOption,
    method: MonitorMethod,
    path: &str,
    pairs: &[(&str, &str)],
    body: Option<Value>,
) -> Result<Value> {
    let client = context.client().await?;
    let stack = stack.before_it_is_up(context, &client).await?;
    let mut target = path.to_owned();
    if !pairs.is_empty() {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            query.append_pair(name, value);
        }
        target = format!("{path}?{}", query.finish());
    }
    let ask = MonitorAsk {
        stack,
        method,
        target,
        body,
    };
    let (answer, _) = client.json_with_text::<MonitorAnswer>(&Call::AskMonitor(ask)).await?;
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    let said = match &answer.body {
        Value::String(text) => text.trim().to_owned(),
        body => body["error"]
            .as_str()
            .or(body["message"].as_str())
            .unwrap_or_default()
            .to_owned(),
    };
    let class = match answer.status {
        404 => Class::NotFound,
        400..=499 => Class::Usage,
        _ => Class::Unavailable,
    };
    Err(Error::Role(ApiError::new(class, said)))
}
