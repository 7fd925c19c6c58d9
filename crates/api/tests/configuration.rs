//! The messages about configuration as they are written on the wire, and read again.

use tend_api::messages::*;
use tend_api::{ChangeConfig, ConfigChange};
use tend_base::Wall;

use crate::answers::check;

const AT: Wall = Wall(1_795_265_075_123);

fn place(layer: &str, place: &str) -> ConfigPlace {
    ConfigPlace {
        layer: layer.to_owned(),
        place: place.to_owned(),
        who: None,
        when: None,
    }
}

fn revision(number: u64) -> ConfigRevision {
    ConfigRevision {
        number,
        taken_at: AT,
        taken_by: "ana".to_owned(),
        back_to: None,
        in_force: number == 5,
        confirm_until: (number == 5).then_some(Wall(AT.0 + 600_000)),
    }
}

fn difference() -> ConfigDifference {
    ConfigDifference {
        key: "features.qr_rotation.default_ttl".to_owned(),
        before: Some("900".to_owned()),
        after: Some("600".to_owned()),
        place: Some(ConfigPlace {
            who: Some("ana".to_owned()),
            when: Some("2026-11-21T12:44:35.123Z".to_owned()),
            ..place("set", "tend config set")
        }),
    }
}

fn key() -> ConfigKey {
    ConfigKey {
        key: "features.qr_rotation.default_ttl".to_owned(),
        value: Some("600".to_owned()),
        place: difference().place,
        beneath: vec![ConfigLayer {
            value: Some("900".to_owned()),
            place: place("file", "config/environments/production.yml:38"),
        }],
        secret: false,
        required: false,
        variable: "FEATURES_QR_ROTATION_DEFAULT_TTL".to_owned(),
        takes: "a duration such as `30s` or a number of s from 30 to 24h".to_owned(),
        unit: Some("s".to_owned()),
        reload: "live".to_owned(),
        asks: vec![ConfigAsk {
            service: "api".to_owned(),
            asked: "live".to_owned(),
            keys: Vec::new(),
        }],
        owner: Some("payments".to_owned()),
        description: Some("How long the code of a card may be paid with.".to_owned()),
        held: vec![ConfigHeld {
            replica: "mps/api/1".to_owned(),
            revision: Some(4),
            value: Some("900".to_owned()),
            drift: true,
        }],
    }
}

#[test]
fn every_message_has_its_sample() {
    check(
        "ConfigReport",
        &ConfigReport {
            stack: "mps".parse().unwrap(),
            environment: "production".to_owned(),
            revision: Some(revision(5)),
            keys: vec![key()],
            replicas: vec![ConfigReplica {
                replica: "mps/api/1".to_owned(),
                delivery: "watch".to_owned(),
                revision: Some(4),
                is_replaced: true,
                refused: Some("no such currency".to_owned()),
                drift: vec!["features.qr_rotation.default_ttl".to_owned()],
            }],
            liveness: ConfigLiveness::Late,
            missing: vec!["mps/api/1".to_owned()],
            refused: vec![ConfigViolation {
                severity: "error".to_owned(),
                key: Some("app.port".to_owned()),
                message: "`app.port` is `0`; it must be at least 1".to_owned(),
                place: "config/environments/production.yml:4:9".to_owned(),
                help: Some("write a whole number from 1 to 65535".to_owned()),
                text: "error: `app.port` is `0`; it must be at least 1\n …".to_owned(),
            }],
            warnings: Vec::new(),
            waits_for_deployment: true,
            away: Some(ConfigAway {
                table: "system_config".to_owned(),
                since: AT,
                why: "PostgreSQL at db:5432 refused the connection".to_owned(),
            }),
        },
    );
    check(
        "ConfigHistory",
        &ConfigHistory {
            stack: "mps".parse().unwrap(),
            items: vec![ConfigHistoryItem {
                revision: revision(5),
                changes: vec![difference()],
            }],
        },
    );
    check(
        "ConfigDiff",
        &ConfigDiff {
            stack: "mps".parse().unwrap(),
            from: Some(revision(4)),
            to: revision(5),
            changes: vec![difference()],
        },
    );
    check(
        "ConfigChanged",
        &ConfigChanged {
            stack: "mps".parse().unwrap(),
            revision: Some(revision(5)),
            taken: true,
            changes: vec![difference()],
            asks: vec![ConfigAsk {
                service: "api".to_owned(),
                asked: "live".to_owned(),
                keys: vec!["features.qr_rotation.default_ttl".to_owned()],
            }],
        },
    );
}

/// What is typed may be a secret by mistake: it is refused by the daemon, and must not be in a log before.
#[test]
fn a_change_does_not_show_what_was_typed_when_it_is_formatted() {
    let change = ChangeConfig {
        stack: "mps".parse().unwrap(),
        change: ConfigChange::Set([("jwt.secret".to_owned(), Some("hunter2".to_owned()))].into()),
        confirm_ms: None,
    };
    let shown = format!("{change:?}");
    assert!(shown.contains("jwt.secret") && !shown.contains("hunter2"), "{shown}");
}
