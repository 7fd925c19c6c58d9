//! What the daemon with canned answers says of configurations.

use tend_api::messages::*;
use tend_api::{ApiError, Call, ChangeConfig, Class, ConfigChange, Reply};
use tend_base::Wall;

use crate::fake::AT;

/// Answers what is asked of a configuration.
pub(crate) fn answer(call: &Call) -> Reply {
    match call {
        Call::Config(query) => match query.key.as_deref() {
            None => Reply::json(&report(all())),
            Some("qr.ttl") => Reply::json(&report(vec![ttl()])),
            Some("jwt.secret") => Reply::json(&report(vec![secret()])),
            Some("app.contact") => Reply::json(&report(vec![unset()])),
            Some(other) => Reply::Refused(
                ApiError::new(Class::NotFound, format!("mps has no key `{other}`")).hint("did you mean `qr.ttl`?"),
            ),
        },
        Call::ConfigHistory(query) => Reply::json(&ConfigHistory {
            stack: query.stack.clone(),
            items: history(query.limit.unwrap_or(9)),
        }),
        Call::ConfigDiff(query) => Reply::json(&ConfigDiff {
            stack: query.stack.clone(),
            from: Some(revision(query.from.unwrap_or(4))),
            to: revision(query.to.unwrap_or(5)),
            changes: match query.to {
                Some(4) => Vec::new(),
                _ => differences(),
            },
        }),
        Call::ChangeConfig(asked) => change(asked),
        Call::ConfirmConfig(confirm) => match confirm.revision {
            Some(3) => Reply::Refused(
                ApiError::new(Class::Conflict, "nothing waits for a confirmation of revision 3")
                    .hint("revision 5 waits: `tend config confirm 5`"),
            ),
            _ => Reply::json(&Accepted {
                message: "mps: revision 5 stays".to_owned(),
            }),
        },
        other => unreachable!("{other:?} has an answer of its own"),
    }
}

fn change(asked: &ChangeConfig) -> Reply {
    let changed = |changes: Vec<ConfigDifference>, asks: &[(&str, &str)]| {
        let asks = asks.iter().map(|(service, asked)| ConfigAsk {
            service: (*service).to_owned(),
            asked: (*asked).to_owned(),
            keys: vec!["qr.ttl".to_owned()],
        });
        let mut revision = revision(5);
        revision.confirm_until = asked.confirm_ms.map(|ms| Wall(AT.0 + ms));
        Reply::json(&ConfigChanged {
            stack: asked.stack.clone(),
            taken: true,
            revision: Some(revision),
            changes,
            asks: asks.collect(),
        })
    };
    match &asked.change {
        ConfigChange::Set(keys) if keys.contains_key("jwt.secret") => Reply::Refused(
            ApiError::new(Class::Config, "the configuration of mps is not taken")
                .detail(
                    "error: `jwt.secret` is secret\n --> tend config set, by ana\n  = help: store it with `tend secret set jwt.secret`, \
                     which reads it without showing it\n\n1 error",
                ),
        ),
        ConfigChange::Set(keys) if keys.values().all(Option::is_none) => changed(
            vec![ConfigDifference {
                key: "qr.ttl".to_owned(),
                before: Some("900".to_owned()),
                after: None,
                place: None,
            }],
            &[("api", "live"), ("worker", "rolling"), ("cron", "signal")],
        ),
        ConfigChange::Set(_) | ConfigChange::Preset(_) => changed(differences(), &[("api", "live")]),
        ConfigChange::Clear(_) => changed(Vec::new(), &[]),
        ConfigChange::Back(_) => Reply::json(&ConfigChanged {
            stack: asked.stack.clone(),
            taken: false,
            revision: Some(revision(5)),
            changes: Vec::new(),
            asks: Vec::new(),
        }),
    }
}

fn place(layer: &str, place: &str, who: Option<&str>) -> ConfigPlace {
    ConfigPlace {
        layer: layer.to_owned(),
        place: place.to_owned(),
        who: who.map(str::to_owned),
        when: who.map(|_| "2026-11-21T12:44:35.123Z".to_owned()),
    }
}

fn revision(number: u64) -> ConfigRevision {
    ConfigRevision {
        number,
        taken_at: AT,
        taken_by: if number == 5 {
            "ana"
        } else {
            "config/environments/staging.yml"
        }
        .to_owned(),
        back_to: (number == 3).then_some(1),
        in_force: number == 5,
        confirm_until: (number == 5).then_some(Wall(AT.0 + 600_000)),
    }
}

fn differences() -> Vec<ConfigDifference> {
    let difference = |key: &str, before: Option<&str>, after: &str| ConfigDifference {
        key: key.to_owned(),
        before: before.map(str::to_owned),
        after: Some(after.to_owned()),
        place: Some(place("set", "tend config set", Some("ana"))),
    };
    vec![
        difference("app.contact", None, "ops@example.com"),
        difference(
            "jwt.secret",
            Some("*** (secret jwt.secret, version 2)"),
            "*** (secret jwt.secret, version 3)",
        ),
        difference("qr.ttl", Some("900"), "600"),
    ]
}

fn history(limit: u32) -> Vec<ConfigHistoryItem> {
    let first = (0..20).map(|number| ConfigDifference {
        key: format!("key.{number}"),
        before: None,
        after: Some("1".to_owned()),
        place: None,
    });
    let items = [
        (5, differences()),
        (4, Vec::new()),
        (3, differences()[2..].to_vec()),
        (1, first.collect()),
    ];
    let items = items.into_iter().map(|(number, changes)| ConfigHistoryItem {
        revision: revision(number),
        changes,
    });
    items.take(limit as usize).collect()
}

fn key(name: &str, value: Option<&str>, place: Option<ConfigPlace>) -> ConfigKey {
    ConfigKey {
        key: name.to_owned(),
        value: value.map(str::to_owned),
        place,
        beneath: Vec::new(),
        secret: false,
        required: false,
        variable: name.to_uppercase().replace('.', "_"),
        takes: "a text".to_owned(),
        unit: None,
        reload: "rolling".to_owned(),
        asks: Vec::new(),
        owner: None,
        description: None,
        held: Vec::new(),
    }
}

/// Set by command above a file; one replica has it, one does not, of one it is not known.
fn ttl() -> ConfigKey {
    let held = |slot: u32, revision: Option<u64>, value: Option<&str>, drift: bool| ConfigHeld {
        replica: format!("mps/api/{slot}"),
        revision,
        value: value.map(str::to_owned),
        drift,
    };
    ConfigKey {
        beneath: vec![
            ConfigLayer {
                value: Some("900".to_owned()),
                place: place("table", "the row `qr.ttl` of system_config", Some("panel")),
            },
            ConfigLayer {
                value: None,
                place: place("file", "config/environments/staging.yml:4", None),
            },
            ConfigLayer {
                value: Some("900".to_owned()),
                place: place("default", "config/schema.yaml:15", None),
            },
        ],
        takes: "a duration such as `30s` or a number of s from 30 to 24h".to_owned(),
        unit: Some("s".to_owned()),
        reload: "live".to_owned(),
        asks: [
            ("api", "live"),
            ("cron", "signal"),
            ("worker", "rolling"),
            ("vault", "refused"),
        ]
        .map(|(service, asked)| ConfigAsk {
            service: service.to_owned(),
            asked: asked.to_owned(),
            keys: Vec::new(),
        })
        .into(),
        owner: Some("payments".to_owned()),
        description: Some("How long the code of a card may be paid with.".to_owned()),
        held: vec![
            held(1, Some(5), Some("600"), false),
            held(2, Some(4), Some("900"), true),
            held(3, None, None, false),
        ],
        ..key(
            "qr.ttl",
            Some("600"),
            Some(place("set", "tend config set", Some("ana"))),
        )
    }
}

fn secret() -> ConfigKey {
    ConfigKey {
        secret: true,
        required: true,
        ..key(
            "jwt.secret",
            Some("*** (secret jwt.secret, version 3)"),
            Some(place("secret", "the secret jwt.secret", None)),
        )
    }
}

fn unset() -> ConfigKey {
    key("app.contact", None, None)
}

fn all() -> Vec<ConfigKey> {
    vec![
        unset(),
        key(
            "app.name",
            Some("Members of the house, and their guests: a name that is longer than the screen has room for"),
            Some(place("default", "config/schema.yaml:3", None)),
        ),
        ConfigKey {
            required: true,
            ..key("app.public_url", None, None)
        },
        secret(),
        ttl(),
    ]
}

fn report(keys: Vec<ConfigKey>) -> ConfigReport {
    let is_all = keys.len() > 1;
    let is_late = keys.iter().any(|key| key.key == "qr.ttl");
    ConfigReport {
        stack: "mps".parse().unwrap(),
        environment: "staging".to_owned(),
        revision: Some(revision(5)),
        keys,
        replicas: vec![ConfigReplica {
            replica: "mps/api/2".to_owned(),
            delivery: "watch".to_owned(),
            revision: Some(4),
            is_replaced: false,
            refused: Some("no such currency".to_owned()),
            drift: vec!["qr.ttl".to_owned()],
        }],
        liveness: match is_late {
            true => ConfigLiveness::Late,
            false => ConfigLiveness::Live,
        },
        missing: vec!["mps/api/2".to_owned(), "mps/api/3".to_owned()],
        refused: match is_all {
            true => vec![violation()],
            false => Vec::new(),
        },
        warnings: Vec::new(),
        waits_for_deployment: is_all,
        away: is_all.then(|| ConfigAway {
            table: "system_config".to_owned(),
            since: AT,
            why: "PostgreSQL at db:5432 refused the connection".to_owned(),
        }),
    }
}

fn violation() -> ConfigViolation {
    let text = "error: `app.port` is `0`; it must be at least 1\n --> config/environments/staging.yml:2:9\n  |\n2 |   port: 0\n  \
                |         ^\n  = help: write a whole number from 1 to 65535\n";
    ConfigViolation {
        severity: "error".to_owned(),
        key: Some("app.port".to_owned()),
        message: "`app.port` is `0`; it must be at least 1".to_owned(),
        place: "config/environments/staging.yml:2:9".to_owned(),
        help: Some("write a whole number from 1 to 65535".to_owned()),
        text: text.to_owned(),
    }
}
