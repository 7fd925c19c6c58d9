//! What the daemon with canned answers says of bans.

use tend_api::messages::{BanList, BanStatus};

use crate::fake::{AT, Scene};

/// Two bans where there are two stacks, one of which the edge does not enforce whole; else none.
pub(crate) fn bans(scene: Scene) -> BanList {
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
