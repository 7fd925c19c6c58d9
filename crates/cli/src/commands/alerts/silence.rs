//! `tend alerts silence`: keeps alerts quiet for a while, for a reason.

use clap::Args;
use serde_json::{Value, json};
use tend_api::{ApiError, Class, EXIT_OK, MonitorMethod};

use crate::commands::monitored::ask;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::target::StackOption;
use crate::when::When;

/// Keep alerts quiet for a while
///
/// Keeps alerts quiet that all matchers are true of, until a time and for a reason. Before it ends, the journal says so.
///
/// Example: tend alerts silence alertname=DiskFull 'instance=~"db.*"' --until 2h --reason 'disks are being changed'
#[derive(Debug, Args)]
pub(crate) struct Silence {
    /// Which: NAME=VALUE, NAME!=VALUE, NAME=~PATTERN or NAME!~PATTERN
    #[arg(value_name = "MATCHER", required = true)]
    matchers: Vec<String>,
    /// Until when: a duration such as 2h, or a time
    #[arg(long, value_name = "WHEN")]
    until: When,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who wants it; without it the user who asks
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    #[command(flatten)]
    stack: StackOption,
}

impl Silence {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let matchers = self
            .matchers
            .iter()
            .map(|text| matcher(text))
            .collect::<Result<Vec<Value>>>()?;
        let zone = context.surroundings.time_zone.clone();
        let now = context.now().wall;
        let until = self.until.ahead(now, &zone);
        let by = self
            .by
            .or_else(|| context.surroundings.environment.get("USER").cloned())
            .unwrap_or_else(|| "tend".to_owned());
        let body = json!({
            "matchers": matchers,
            "startsAt": now.to_rfc3339(),
            "endsAt": until.to_rfc3339(),
            "createdBy": by,
            "comment": self.reason,
        });
        let answer = ask(
            context,
            &self.stack,
            MonitorMethod::Post,
            "/api/v2/silences",
            &[],
            Some(body),
        )
        .await?;
        context.line(answer["silenceID"].as_str().unwrap_or_default())?;
        Ok(EXIT_OK)
    }
}

/// Reads a matcher as Alertmanager's JSON has it.
fn matcher(text: &str) -> Result<Value> {
    let wrong = || {
        Error::Role(
            ApiError::new(Class::Usage, format!("`{text}` is no matcher"))
                .hint("write NAME=VALUE, NAME!=VALUE, NAME=~PATTERN or NAME!~PATTERN"),
        )
    };
    let at = text.find(['=', '!']).ok_or_else(wrong)?;
    let (name, rest) = text.split_at(at);
    let (operator, is_equal, is_regex) = [
        ("=~", true, true),
        ("!~", false, true),
        ("!=", false, false),
        ("=", true, false),
    ]
    .into_iter()
    .find(|(operator, ..)| rest.starts_with(operator))
    .ok_or_else(wrong)?;
    let value = &rest[operator.len()..];
    let value = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    if name.trim().is_empty() {
        return Err(wrong());
    }
    Ok(json!({ "name": name.trim(), "value": value, "isEqual": is_equal, "isRegex": is_regex }))
}

#[cfg(test)]
mod tests {
    use super::matcher;

    #[test]
    fn matchers_are_read_as_they_are_written_elsewhere() {
        for (text, name, value, equal, regex) in [
            ("a=b", "a", "b", true, false),
            ("a!=b", "a", "b", false, false),
            ("a=~\"b.*\"", "a", "b.*", true, true),
            ("a!~b|c", "a", "b|c", false, true),
            ("a=", "a", "", true, false),
        ] {
            let read = matcher(text).unwrap();
            assert_eq!(
                (&read["name"], &read["value"], &read["isEqual"], &read["isRegex"]),
                (&name.into(), &value.into(), &equal.into(), &regex.into()),
                "{text}"
            );
        }
        for text in ["a", "=b", "a!b", ""] {
            assert!(matcher(text).is_err(), "{text}");
        }
    }
}
