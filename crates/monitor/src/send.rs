//! Sends what is to be told. How it is written is `tend-alert`'s, how it gets there `tend-notify`'s; this joins the two.

use std::collections::BTreeMap;
use std::path::Path;

use tend_alert::{Answer, Config, Context, Delivery, Integration, Language, notification};
use tend_base::{Secret, read_owned, with_causes, without_os_numbers};
use tend_notify::Notifier;

use crate::snapshot::StackPart;
use crate::world::Around;

/// Bytes of a file that holds a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The word before the name of a secret that the snapshot brings, where a file would be named.
const BROUGHT: &str = "secret:";

/// What became of a delivery.
pub(crate) struct Sent {
    pub(crate) answer: Answer,
    /// By which means, and where it was sent.
    pub(crate) means: String,
    /// What was heard.
    pub(crate) said: String,
}

/// Sends a delivery, and says what became of it.
pub(crate) async fn send(
    notifier: &Notifier,
    config: &Config,
    templates: &[(String, String)],
    part: &StackPart,
    delivery: &Delivery,
) -> Sent {
    let integration = (config.receivers.get(&delivery.receiver))
        .and_then(|receiver| receiver.integrations.get(delivery.integration));
    let means = integration.map_or("", |integration| integration.kind.name()).to_owned();
    let refused = |said: String| Sent {
        answer: Answer::Refused { said: said.clone() },
        means: means.clone(),
        said,
    };
    let secrets = match integration {
        None => BTreeMap::new(),
        Some(integration) => match secrets(integration, part).await {
            Ok(secrets) => secrets,
            Err(why) => return refused(why),
        },
    };
    let now = crate::now_ms();
    let mut world = Around {
        now_ms: now,
        external_url: part.external_url.clone(),
    };
    let written = notification(
        delivery,
        &mut Context {
            config,
            templates,
            world: &mut world,
            language: if part.chinese { Language::Chinese } else { Language::English },
            secrets,
            now,
        },
    );
    match written {
        Err(error) => refused(with_causes(&error)),
        Ok(notification) => {
            let heard = notifier.perform(&notification).await;
            let means = match heard.at.as_str() {
                "" => means,
                at => format!("{means} {at}"),
            };
            Sent {
                answer: heard.answer,
                means,
                said: heard.said,
            }
        }
    }
}

/// Returns the secrets that a means names, by the key that each would stand under. Files are read each time: they may be replaced at any time.
async fn secrets(integration: &Integration, part: &StackPart) -> Result<BTreeMap<String, Secret>, String> {
    let mut found = BTreeMap::new();
    for (key, place) in integration.secret_files() {
        let secret = match place.strip_prefix(BROUGHT) {
            Some(name) => (part.secrets.get(name).map(|value| value.0.clone()))
                .ok_or_else(|| format!("the secret `{name}` has no value: `tend secret set {name}` gives it one"))?,
            None => {
                // What is relative is below the folder of the file that names it.
                let folder = part.routing.as_ref().and_then(|file| file.path.parent()).unwrap_or(Path::new("/"));
                let (path, owner) = (folder.join(place), part.owner);
                // A file may lie on a disk that hangs: not on a thread that others wait for.
                let read = tokio::task::spawn_blocking(move || read_owned(&path, owner, SECRET_BYTES_MAX)).await;
                let bytes = read.map_err(|error| error.to_string())?.map_err(|error| {
                    format!("`{place}` of `{key}_file` could not be read: {}", without_os_numbers(&error.to_string()))
                })?;
                let text = String::from_utf8(bytes).map_err(|_| format!("`{place}` of `{key}_file` is no text in UTF-8"))?;
                // An editor leaves a line end behind it.
                Secret::new(text.trim().to_owned())
            }
        };
        if secret.expose().is_empty() {
            return Err(format!("`{place}` of `{key}` is empty"));
        }
        found.insert(key.to_owned(), secret);
    }
    Ok(found)
}
