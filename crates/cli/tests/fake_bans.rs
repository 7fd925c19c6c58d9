//! What the daemon with canned answers says of bans, and of what the edge counts.

use tend_api::messages::{Accepted, BanList, BanStatus, EdgeMetrics};
use tend_api::{ApiError, Call, Class, Reply};

use crate::fake::{AT, Scene};

/// Answers the calls about them.
pub(crate) fn answer(scene: Scene, call: &Call) -> Reply {
    match call {
        Call::Ban(ask) => match ask.addresses.iter().find(|it| it.to_string() == "10.0.0.5") {
            Some(hop) if !ask.force => Reply::Refused(
                ApiError::new(
                    Class::Conflict,
                    format!("{hop} is not banned: that is a trusted hop of mps at 0.0.0.0:80"),
                )
                .hint("ban a smaller range, or say --force if it is meant"),
            ),
            _ => Reply::json(&Accepted {
                message: format!("{} is banned for ever; the edge enforces it", ask.addresses[0]),
            }),
        },
        Call::Unban(ask) => Reply::json(&Accepted {
            message: format!("{} is banned no more; the edge knows", ask.addresses[0]),
        }),
        Call::EdgeMetrics if scene == Scene::Empty => Reply::Refused(
            ApiError::new(Class::Unavailable, "no edge runs: no stack is up").hint("`tend up` starts one"),
        ),
        Call::EdgeMetrics => Reply::json(&EdgeMetrics {
            text: "# TYPE tend_edge_connections gauge\ntend_edge_connections 3\n".to_owned(),
        }),
        _ => Reply::json(&bans(scene)),
    }
}

/// Two bans where there are two stacks, one of which the edge does not enforce whole; else none.
fn bans(scene: Scene) -> BanList {
    if scene != Scene::Two {
        return BanList {
            bans: Vec::new(),
            enforced: true,
            refused: None,
        };
    }
    BanList {
        bans: vec![
            BanStatus {
                address: "10.0.0.0/8".parse().unwrap(),
                since: AT,
                until: None,
                by: "ana".to_owned(),
                reason: None,
                but: vec!["10.0.0.5".parse().unwrap()],
            },
            BanStatus {
                address: "203.0.113.7".parse().unwrap(),
                since: AT,
                until: Some(AT),
                by: "ana".to_owned(),
                reason: Some("guesses passwords".to_owned()),
                but: Vec::new(),
            },
        ],
        enforced: false,
        refused: Some(412),
    }
}
