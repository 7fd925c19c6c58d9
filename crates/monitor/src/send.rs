//! Sends what is to be told. How it is written is `tend-alert`'s, how it gets there `tend-notify`'s; this joins the two.

use std::collections::BTreeMap;

use tend_alert::{Answer, Config, Context, Delivery, Language, Notification, Verdict, notification};
use tend_base::with_causes;
use tend_fetch::{Address, Client, Request, TlsSettings};

use crate::snapshot::StackPart;
use crate::world::Around;

/// What became of a delivery.
pub(crate) struct Sent {
    pub(crate) answer: Answer,
    /// By which means, for people.
    pub(crate) means: String,
    /// What was heard.
    pub(crate) said: String,
}

/// Sends.
pub(crate) struct Sender {
    client: Client,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            client: Client::new(TlsSettings::default(), 4),
        }
    }
}

impl Sender {
    pub(crate) async fn send(&self, config: &Config, part: &StackPart, delivery: &Delivery) -> Sent {
        let now = crate::now_ms();
        let mut world = Around {
            now_ms: now,
            external_url: part.external_url.clone(),
        };
        let written = notification(
            delivery,
            &mut Context {
                config,
                templates: &[],
                world: &mut world,
                language: if part.chinese { Language::Chinese } else { Language::English },
                secrets: BTreeMap::new(),
                now,
            },
        );
        let refused = |said: String| Sent {
            answer: Answer::Refused { said: said.clone() },
            means: String::new(),
            said,
        };
        match written {
            Err(error) => refused(with_causes(&error)),
            Ok(Notification::Mail(_)) => refused("mail is not sent yet".to_owned()),
            Ok(Notification::Http(request)) => {
                let address = match Address::parse(request.url.expose()) {
                    Ok(address) => address,
                    Err(error) => return refused(with_causes(&error)),
                };
                let mut asking = Request::post(address, "application/json", request.body.into_bytes());
                for (name, value) in &request.headers {
                    asking.secret_header(name, value);
                }
                let (answer, said) = match self.client.send(&asking).await {
                    Err(error) => {
                        let said = with_causes(&error);
                        (Answer::Failed { said: said.clone(), after: None }, said)
                    }
                    Ok(answer) => match request.accepted.verdict(answer.status, &answer.text()) {
                        Verdict::Taken => (Answer::Confirmed, format!("status {}", answer.status)),
                        Verdict::Later(said) => (Answer::Failed { said: said.clone(), after: None }, said),
                        Verdict::Never(said) => (Answer::Refused { said: said.clone() }, said),
                    },
                };
                Sent { answer, means: "http".to_owned(), said }
            }
        }
    }
}
