//! Who can be banned, for how long, and what is kept of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tend_base::{Mono, Now, Wall};
use tend_core::ban::{BANS_AT_ONCE_MAX, BANS_MAX, Ban, BanChange, BanRefusal, Bans, Protected, protected};
use tend_core::controller::{Chapter, Controller, Input, restore};
use tend_core::door::{DoorChange, Maintenance};
use tend_core::journal::{Kind, Principal};
use tend_core::model::{DeployPolicy, Edge, Prefix, Stack, StackSource};
use tend_core::world::{Wanted, World};

const NOW: Wall = Wall(1_795_265_075_000);

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn begin(texts: &[&str], until: Option<u64>) -> BanChange {
    BanChange::Begin {
        prefixes: prefixes(texts),
        until: until.map(Wall),
        reason: None,
        forced: false,
    }
}

fn forced(texts: &[&str]) -> BanChange {
    BanChange::Begin {
        prefixes: prefixes(texts),
        until: None,
        reason: None,
        forced: true,
    }
}

fn end(texts: &[&str]) -> BanChange {
    BanChange::End {
        prefixes: prefixes(texts),
    }
}

fn stack() -> World {
    let edge: Edge = serde_json::from_value(serde_json::json!({
        "listeners": [{ "address": "0.0.0.0:80", "trusted": ["10.1.0.0/16", "0.0.0.0/0"] }],
        "routes": [{ "listeners": [], "host": null, "path_prefix": "/admin", "service": "web", "policy": { "allow": ["192.0.2.7"] } }],
    }))
    .unwrap();
    let stack = Stack {
        name: "shop".parse().unwrap(),
        source: StackSource {
            files: Vec::new(),
            directory: "/".into(),
            owner_uid: 0,
            owner_gid: 0,
        },
        services: BTreeMap::new(),
        config: None,
        vault: None,
        metrics: None,
        alerts: None,
        rotations: Default::default(),
        edge,
        deploy: DeployPolicy::default(),
    };
    let mut wanted = Wanted {
        stack,
        revision: 1,
        adjustments: BTreeMap::new(),
        removing: false,
        doors: Default::default(),
    };
    let closed = Maintenance {
        allow: prefixes(&["2001:db8:1::/48"]),
        ..Maintenance::default()
    };
    wanted.doors.change(None, &DoorChange::Close(closed), NOW, "ana");
    let mut world = World::default();
    world.stacks.insert("shop".parse().unwrap(), wanted);
    world
}

#[test]
fn nobody_bans_himself_a_hop_or_whom_a_stack_lets_in_unless_he_insists() {
    let own = ["198.51.100.5".parse().unwrap()];
    let protected = protected(&stack(), &own, Some("203.0.113.99".parse().unwrap()));
    let refused = |text: &str| {
        let refused = Bans::default().check(&begin(&[text], None), &protected, NOW);
        refused.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for (text, said) in [
        (
            "127.0.0.1",
            "it is in 127.0.0.0/8, and that is this machine itself (loopback)",
        ),
        ("::1", "that is this machine itself (loopback)"),
        (
            "::ffff:127.0.0.1",
            "it is in 127.0.0.0/8, and that is this machine itself (loopback)",
        ),
        (
            "198.51.100.0/24",
            "198.51.100.5 is in it, and that is an address of this machine",
        ),
        (
            "10.1.2.3",
            "it is in 10.1.0.0/16, and that is a trusted hop of shop at 0.0.0.0:80",
        ),
        (
            "10.0.0.0/8",
            "10.1.0.0/16 is in it, and that is a trusted hop of shop at 0.0.0.0:80",
        ),
        ("192.0.2.7", "that is in `allow` of the route /admin of shop"),
        (
            "2001:db8::/32",
            "2001:db8:1::/48 is in it, and that is let in while shop is in maintenance",
        ),
        ("203.0.113.99", "that is where you are logged in from"),
    ] {
        let said_now = refused(text);
        assert!(
            said_now.ends_with(&format!("is not banned: {said}")),
            "{text}: {said_now}"
        );
        assert_eq!(
            Bans::default().check(&forced(&[text]), &protected, NOW),
            Ok(()),
            "{text}"
        );
    }
    for text in ["10.2.0.1", "203.0.113.7", "192.0.2.8", "2001:db9::/32"] {
        assert_eq!(refused(text), "", "{text}");
    }
    for text in ["0.0.0.0/0", "::/0"] {
        let all = prefixes(&[text])[0];
        let refused = Bans::default().check(&forced(&[text]), &[], NOW);
        assert_eq!(refused, Err(BanRefusal::Everybody(all)));
    }
}

#[test]
fn banning_again_extends_and_never_shortens() {
    let hour = NOW.0 + 3_600_000;
    for (first, second, expected) in [
        (Some(hour), Some(hour + 1), Some(hour + 1)),
        (Some(hour), Some(hour - 1), Some(hour)),
        (Some(hour), None, None),
        (None, Some(hour), None),
    ] {
        let mut bans = Bans::default();
        bans.change(&begin(&["203.0.113.7"], first), "ana", NOW);
        bans.change(&begin(&["203.0.113.7"], second), "bob", Wall(NOW.0 + 1));
        let all: Vec<&Ban> = bans.iter().map(|(_, ban)| ban).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].until, all[0].since), (expected.map(Wall), NOW));
        assert_eq!(all[0].by, "bob");
    }
}

#[test]
fn what_has_ended_by_itself_is_forgotten_and_does_not_count() {
    let mut bans = Bans::default();
    bans.change(&begin(&["203.0.113.7", "203.0.113.8"], Some(NOW.0 + 1)), "ana", NOW);
    assert_eq!(bans.at(NOW).count(), 2);
    let later = Wall(NOW.0 + 1);
    assert_eq!(bans.at(later).count(), 0);
    let touched = bans.change(&begin(&["203.0.113.8"], None), "ana", later);
    assert_eq!(bans.iter().count(), 1);
    assert_eq!(bans.get(&prefixes(&["203.0.113.8"])[0]).unwrap().since, later);
    assert!(touched.contains(&prefixes(&["203.0.113.7"])[0]), "its document goes");
    let past = Bans::default().check(&begin(&["203.0.113.8"], Some(NOW.0)), &[], NOW);
    assert_eq!(past, Err(BanRefusal::Past(NOW)));
}

#[test]
fn one_address_of_a_banned_range_is_not_let_in_alone() {
    let mut bans = Bans::default();
    bans.change(&begin(&["203.0.113.0/24", "203.0.113.7"], None), "ana", NOW);
    let refused = bans.check(&end(&["203.0.113.7"]), &[], NOW).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "203.0.113.7 is banned as a part of 203.0.113.0/24, and stays so"
    );
    let both = end(&["203.0.113.7", "203.0.113.0/24"]);
    assert_eq!(bans.check(&both, &[], NOW), Ok(()));
    assert_eq!(bans.change(&both, "ana", NOW).len(), 2);
    assert!(bans.is_empty());
    assert_eq!(bans.check(&both, &[], NOW), Ok(()), "twice is as good as once");
}

#[test]
fn there_are_only_so_many() {
    let mut bans = Bans::default();
    let ban = Ban {
        until: None,
        since: NOW,
        by: "ana".to_owned(),
        reason: None,
        forced: false,
    };
    for number in 0..u32::try_from(BANS_MAX).unwrap() {
        let address = std::net::Ipv4Addr::from(0x1400_0000 + number);
        bans.insert(Prefix::of(address.into()), ban.clone());
    }
    let refused = bans.check(&begin(&["203.0.113.7"], None), &[], NOW);
    assert!(
        matches!(refused, Err(BanRefusal::TooMany { asked: 1, .. })),
        "{refused:?}"
    );
    assert_eq!(bans.check(&begin(&["20.0.0.1"], None), &[], NOW), Ok(()), "one of them");
    let many = BanChange::End {
        prefixes: vec![prefixes(&["203.0.113.7"])[0]; BANS_AT_ONCE_MAX + 1],
    };
    assert_eq!(
        bans.check(&many, &[], NOW),
        Err(BanRefusal::TooManyAtOnce(BANS_AT_ONCE_MAX + 1))
    );
}

#[test]
fn a_hop_that_comes_later_is_let_in_unless_its_ban_was_insisted_on() {
    let hops = || prefixes(&["10.1.0.0/16", "10.9.0.1", "10.1.0.0/16"]).into_iter();
    let mut bans = Bans::default();
    bans.change(&begin(&["10.0.0.0/8"], None), "ana", NOW);
    assert_eq!(bans.hops_let_in(hops()), prefixes(&["10.1.0.0/16", "10.9.0.1"]));
    bans.change(&forced(&["10.1.4.0/24"]), "ana", NOW);
    assert_eq!(bans.hops_let_in(hops()), prefixes(&["10.9.0.1"]));
}

#[test]
fn bans_survive_the_daemon_and_each_change_is_told_to_the_edge_and_the_journal() {
    let daemon = Principal::Daemon {
        pid: 1,
        build: "test".to_owned(),
    };
    let chapters: Arc<[Box<dyn Chapter>]> = Arc::from(Vec::new());
    let now = Now {
        mono: Mono(1),
        wall: NOW,
    };
    let mut controller = Controller::new(World::default(), chapters, daemon.clone());
    let mut documents = BTreeMap::new();
    let mut ask = |change: BanChange| {
        let before = controller.world().revisions();
        let input = Input::Ban {
            change,
            by: daemon.clone(),
        };
        let reaction = controller.handle(input, now);
        for document in reaction.documents {
            assert_eq!(document.kind.as_str(), "ban");
            documents.insert(document.id, document.value);
        }
        let told = controller.world().revisions() != before;
        let kinds: Vec<Kind> = reaction.entries.into_iter().map(|entry| entry.kind).collect();
        (told, kinds)
    };
    let banned = begin(&["203.0.113.7", "2001:db8::/32"], Some(NOW.0 + 60_000));
    assert_eq!(ask(banned.clone()), (true, vec![Kind::BanBegun]));
    assert_eq!(ask(end(&["203.0.113.8"])), (false, vec![]), "nobody is let in anew");
    assert_eq!(ask(end(&["203.0.113.7"])), (true, vec![Kind::BanEnded]));
    let world = restore(
        1,
        20_000..20_010,
        documents
            .into_iter()
            .filter_map(|(id, value)| Some(("ban".to_owned(), id, value?))),
    )
    .unwrap();
    let kept: Vec<String> = world.bans.iter().map(|(prefix, _)| prefix.to_string()).collect();
    assert_eq!(kept, ["2001:db8::/32"]);
    assert_eq!(world.bans, controller.world().bans);
}

#[test]
fn who_is_protected_is_said_with_whom() {
    let all = protected(&World::default(), &[], None);
    let loopback = |text: &str| Protected {
        prefix: text.parse().unwrap(),
        who: "this machine itself (loopback)".to_owned(),
    };
    assert_eq!(all, [loopback("127.0.0.0/8"), loopback("::1")]);
}
