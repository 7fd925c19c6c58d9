//! `tend scale`: changes how many replicas services have.

use clap::Args;
use tend_api::EXIT_OK;
use tend_core::model::Replicas;

use crate::arguments::JsonOption;
use crate::commands::follow_to_the_end;
use crate::context::Context;
use crate::error::Result;
use crate::target::{Named, StackOption};

/// Change how many replicas services have
///
/// Changes how many replicas services have, until the stack is brought up again with what its file says.
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// SERVICE=COUNT, or SERVICE=max for one per core
    #[arg(value_name = "SERVICE=COUNT", required = true, value_parser = read)]
    services: Vec<(Named, Replicas)>,
    #[command(flatten)]
    stack: StackOption,
    #[command(flatten)]
    json: JsonOption,
}

fn read(text: &str) -> std::result::Result<(Named, Replicas), String> {
    let (service, count) = text.split_once('=').ok_or(text::FORM)?;
    let service = service
        .parse()
        .map_err(|error: tend_core::model::NameError| error.to_string())?;
    let replicas = match count {
        "max" => Replicas::Max,
        count => Replicas::Count(count.parse().map_err(|_| text::FORM)?),
    };
    Ok((service, replicas))
}

impl Scale {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        // All are found before the first is changed.
        let mut scales = Vec::new();
        for (named, replicas) in &self.services {
            let service = self.stack.service(context, &client, named).await?;
            scales.push(tend_api::Scale {
                service,
                replicas: *replicas,
            });
        }
        for scale in scales {
            let summary = text::done(&scale);
            let failure = text::not_done(&scale);
            let reader = client.scale(scale).await?;
            let code = follow_to_the_end(context, reader, self.json.json, &summary, &failure).await?;
            if code != EXIT_OK {
                return Ok(code);
            }
        }
        Ok(EXIT_OK)
    }
}

mod text {
    use tend_api::Scale;
    use tend_core::model::Replicas;

    pub(super) const FORM: &str = "write SERVICE=COUNT, such as api=3 or api=max";

    fn count(replicas: Replicas) -> String {
        match replicas {
            Replicas::Count(1) => "1 replica".to_owned(),
            Replicas::Count(count) => format!("{count} replicas"),
            Replicas::Max => "one replica per core".to_owned(),
        }
    }
    pub(super) fn done(scale: &Scale) -> String {
        format!("{} has {}", scale.service, count(scale.replicas))
    }
    pub(super) fn not_done(scale: &Scale) -> String {
        format!("{} does not have {}", scale.service, count(scale.replicas))
    }
}
