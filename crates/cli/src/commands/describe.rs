//! `tend describe`: one service, how it is, how it is defined, and what happened to it.

use clap::Args;
use tend_api::messages::{Definition, ServiceDescription};
use tend_api::{Call, EXIT_OK};

use crate::arguments::JsonOption;
use crate::commands::status;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Paint, Tone, harmless};
use crate::target::{Named, StackOption};

/// Show a service: how it is, how it is defined, what happened to it
///
/// Shows a service: how it is, how it is defined, and what happened to it. Values of its environment are not shown.
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// SERVICE or STACK/SERVICE
    #[arg(value_name = "SERVICE")]
    service: Named,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

impl Describe {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let service = self.stack.service(context, &client, &self.service).await?;
        let (description, text) = client
            .json_with_text::<ServiceDescription>(&Call::Describe(service))
            .await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        for line in lines(&description, context.paint()) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}

fn lines(description: &ServiceDescription, paint: Paint) -> Vec<String> {
    let service = &description.status;
    let mut lines = vec![
        format!(
            "{}   {}   {}",
            paint.paint(Tone::Strong, &format!("{}/{}", description.stack, service.name)),
            paint.paint(service.state.into(), service.state.as_str()),
            paint.paint(Tone::Faint, &service.why),
        )
        .trim_end()
        .to_owned(),
    ];
    let mut facts = Vec::new();
    if !service.urls.is_empty() {
        facts.push((text::REACH, service.urls.join("\n")));
    }
    if let Some(url) = &service.internal_url {
        facts.push((text::INTERNAL, url.clone()));
    }
    facts.extend(defined(&description.definition));
    lines.push(String::new());
    for (label, value) in facts {
        let mut label = label;
        for line in value.lines() {
            lines.push(format!("{}{line}", paint.paint(Tone::Faint, &format!("{label:<20}"))));
            label = "";
        }
    }
    lines.push(String::new());
    lines.extend(status::replicas(service).lines(paint));
    if !description.recent.is_empty() {
        lines.push(String::new());
        lines.push(paint.paint(Tone::Faint, text::RECENT));
        for event in &description.recent {
            lines.push(format!("  {}", harmless(event)));
        }
    }
    lines
}

/// Returns the definition line by line; what is not defined is left out.
fn defined(definition: &Definition) -> Vec<(&'static str, String)> {
    let words = |words: &Vec<String>| words.join(" ");
    let facts = [
        (text::IMAGE, definition.image.clone()),
        (text::COMMAND, Some(words(&definition.command))),
        (text::PREPARE, definition.prepare.as_ref().map(words)),
        (
            text::DIRECTORY,
            definition.directory.as_ref().map(|path| path.display().to_string()),
        ),
        (text::USER, definition.user.clone()),
        (text::PORT, Some(definition.port.clone())),
        (text::REPLICAS, Some(definition.replicas.clone())),
        (text::DEPENDS_ON, Some(definition.depends_on.join("\n"))),
        (text::LIVENESS, definition.liveness.clone()),
        (text::READINESS, definition.readiness.clone()),
        (text::RESTART, Some(definition.restart.clone())),
        (text::SCHEDULE, definition.restart_schedule.clone()),
        (text::LIMITS, Some(definition.limits.join(", "))),
        (text::STOP, Some(definition.stop.clone())),
        (text::LOGS, Some(definition.logs.clone())),
        (text::ENVIRONMENT, Some(definition.environment.join(" "))),
    ];
    facts
        .into_iter()
        .filter_map(|(label, value)| Some((label, value.filter(|value| !value.is_empty())?)))
        .collect()
}

mod text {
    pub(super) const REACH: &str = "reach";
    pub(super) const INTERNAL: &str = "reach from inside";
    pub(super) const IMAGE: &str = "image";
    pub(super) const COMMAND: &str = "command";
    pub(super) const PREPARE: &str = "prepare";
    pub(super) const DIRECTORY: &str = "folder";
    pub(super) const USER: &str = "user";
    pub(super) const PORT: &str = "port";
    pub(super) const REPLICAS: &str = "replicas";
    pub(super) const DEPENDS_ON: &str = "depends on";
    pub(super) const LIVENESS: &str = "alive when";
    pub(super) const READINESS: &str = "ready when";
    pub(super) const RESTART: &str = "restart";
    pub(super) const SCHEDULE: &str = "restart on purpose";
    pub(super) const LIMITS: &str = "limits";
    pub(super) const STOP: &str = "stop";
    pub(super) const LOGS: &str = "logs";
    pub(super) const ENVIRONMENT: &str = "environment";
    pub(super) const RECENT: &str = "Lately";
}
