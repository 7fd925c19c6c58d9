//! `tend money resolve`: a person says what became of a request.

use clap::Args;
use tend_api::{EXIT_OK, Happened, Resolve as Word};

use crate::context::Context;
use crate::error::Result;

/// Say what became of a request whose outcome is not known
///
/// Says what became of a request whose outcome is not known, once you have looked into the books of the service. Who said so is kept in
/// the journal.
///
/// Example: tend money resolve 8e03978e40d5 --happened '201:{"payment":7}'
#[derive(Debug, Args)]
pub(super) struct Resolve {
    /// The key as the client wrote it, or its id
    #[arg(value_name = "KEY")]
    key: String,
    /// It was carried out; this is its answer from now on, as STATUS or STATUS:BODY
    #[arg(long, value_name = "ANSWER", value_parser = answer, required_unless_present = "did_not_happen")]
    happened: Option<Happened>,
    /// It was not carried out; it may be sent again
    #[arg(long, conflicts_with = "happened")]
    did_not_happen: bool,
}

fn answer(text: &str) -> std::result::Result<Happened, String> {
    let (status, body) = text.split_once(':').unwrap_or((text, ""));
    let status: u16 = status
        .parse()
        .ok()
        .filter(|status| (200..600).contains(status))
        .ok_or("write STATUS or STATUS:BODY, such as 200 or 201:{\"payment\":7}")?;
    let is_json = serde_json::from_str::<serde_json::Value>(body).is_ok();
    Ok(Happened {
        status,
        content_type: if is_json {
            "application/json"
        } else {
            "text/plain; charset=utf-8"
        }
        .to_owned(),
        body: body.to_owned(),
    })
}

impl Resolve {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let word = Word {
            key: self.key,
            happened: self.happened,
        };
        let accepted = client.resolve(word).await?;
        context.line(&accepted.message)?;
        Ok(EXIT_OK)
    }
}
