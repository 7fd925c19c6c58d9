//! Sends what is to be told. How it is written is `tend-alert`'s, how it gets there `tend-notify`'s; this joins the two.

use std::collections::BTreeMap;
use std::path::Path;

use tend_alert::{Config, Context, Delivery, Language, notification};
use tend_notify::{Heard, Notifier, SecretPlaces, read_secrets};

use crate::snapshot::StackPart;
use crate::world::Around;

/// Sends a delivery; returns what was heard, and by which means.
pub(crate) async fn send(
    notifier: &Notifier,
    config: &Config,
    templates: &[(String, String)],
    part: &StackPart,
    delivery: &Delivery,
) -> (Heard, &'static str) {
    let integration =
        (config.receivers.get(&delivery.receiver)).and_then(|receiver| receiver.integrations.get(delivery.integration));
    let means = integration.map_or("", |integration| integration.kind.name());
    let secrets = match integration {
        None => BTreeMap::new(),
        Some(integration) => {
            let places = SecretPlaces {
                // What is relative is below the folder of the file that names it.
                folder: (part.routing.as_ref().and_then(|file| file.path.parent())).unwrap_or(Path::new("/")),
                owner: part.owner,
                stored: &part.secrets,
            };
            match read_secrets(integration, places).await {
                Ok(secrets) => secrets,
                Err(error) => return (Heard::unread(&error), means),
            }
        }
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
            language: if part.chinese {
                Language::Chinese
            } else {
                Language::English
            },
            secrets,
            now,
        },
    );
    let heard = match written {
        Err(error) => Heard::unwritten(&error),
        Ok(mut notification) => {
            // Who may read more than the owner of the configuration reads no certificate for him that is not his.
            notification.wire_mut().owner = part.owner;
            notifier.perform(&notification).await
        }
    };
    (heard, means)
}
