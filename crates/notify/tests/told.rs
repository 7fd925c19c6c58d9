//! From a configuration to what was heard, as the monitor does it. Knows no server.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tend_alert::{Alert, Answer, Config, Context, Delivery, Language, Why, notification, read_config};
use tend_base::Exposed;
use tend_notify::{Heard, Limits, Notifier, SecretPlaces, read_secrets};
use tend_template::{Still, Time};

/// The moment of all deliveries here.
pub(crate) const AT: i64 = 1_700_000_000_000;

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// One receiver `r` with one means.
pub(crate) fn config(section: &str, means: &str) -> Config {
    let text = format!(
        "route: {{receiver: r, group_wait: 10s, group_interval: 1m, repeat_interval: 4h}}\nreceivers:\n- name: r\n  {section}: [{means}]\n"
    );
    read_config(Path::new("am.yml"), &text).unwrap_or_else(|report| panic!("{report}"))
}

pub(crate) fn delivery() -> Delivery {
    let labels: BTreeMap<String, String> = [
        ("alertname".to_owned(), "Slow".to_owned()),
        ("severity".to_owned(), "critical".to_owned()),
    ]
    .into();
    Delivery {
        id: 0xabc,
        receiver: "r".to_owned(),
        integration: 0,
        group_key: "{}:{}".to_owned(),
        group_labels: BTreeMap::new(),
        alerts: vec![Alert {
            labels,
            annotations: [("summary".to_owned(), "支付很慢 & slow".to_owned())].into(),
            starts_at: AT - 60_000,
            ends_at: AT + 60_000,
            updated_at: AT,
            timed: false,
            generator_url: String::new(),
        }],
        at: AT,
        why: Why::News,
        changes: BTreeMap::new(),
        attempt: 0,
    }
}

/// Where secrets are in these tests: in files of anybody's, or of one user.
pub(crate) fn places(owner: Option<u32>) -> SecretPlaces<'static> {
    static NONE: BTreeMap<String, Exposed> = BTreeMap::new();
    SecretPlaces {
        folder: Path::new("/"),
        owner,
        stored: &NONE,
    }
}

pub(crate) async fn told(notifier: &Notifier, config: &Config, delivery: &Delivery) -> Heard {
    let integration = &config.receivers[&delivery.receiver].integrations[delivery.integration];
    let secrets = match read_secrets(integration, places(None)).await {
        Ok(secrets) => secrets,
        Err(error) => return Heard::unread(&error),
    };
    let mut world = Still {
        now: Time::from_millis(delivery.at),
        external_url: "http://tend".to_owned(),
    };
    let mut context = Context {
        config,
        templates: &[],
        world: &mut world,
        language: Language::English,
        secrets,
        now: delivery.at,
    };
    match notification(delivery, &mut context) {
        Ok(notification) => notifier.perform(&notification).await,
        Err(error) => Heard::unwritten(&error),
    }
}

/// Tells it once.
pub(crate) fn tell(section: &str, means: &str) -> Heard {
    block_on(told(&Notifier::default(), &config(section, means), &delivery()))
}

/// Someone with little patience.
pub(crate) fn impatient() -> Notifier {
    Notifier::new(Limits {
        within: Duration::from_millis(300),
        ..Limits::default()
    })
}

/// `confirmed`, `failed`, `refused`.
pub(crate) fn word(heard: &Heard) -> &'static str {
    match heard.answer {
        Answer::Confirmed => "confirmed",
        Answer::Failed { .. } => "failed",
        Answer::Refused { .. } => "refused",
    }
}
