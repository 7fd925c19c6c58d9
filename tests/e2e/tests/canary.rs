//! Canaries end to end: real requests at a real edge, whose own counts tell whether the new release is good, bad or not yet known.
//!
//! The statistics are tested in `tend-deploy`, the choice of who answers in `tend-routing`; here both meet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::deploy_rig::{Shop, UNDONE, quietly};
use crate::rig::{get, get_with, is_alive, kill, wait_until};

/// Exit code of a deployment that a person has to decide about.
const HELD: i32 = 12;

/// The header and the cookie that lead to the canary.
const HEADER: &str = "X-Canary: yes\r\n";
const COOKIE: &str = "Cookie: theme=dark; canary=on\r\n";

/// Threads that ask at once.
const ASKERS: usize = 2;

/// A shop whose next releases are tried on a share of the requests.
fn shop(name: &str, canary: &[&str]) -> Shop {
    let shop = Shop::up(name, "", "");
    let path = shop.folder.join("stack.yml");
    let text = std::fs::read_to_string(&path).unwrap();
    let keys = format!(
        "    deploy:\n      strategy: canary\n      canary:\n        {}\n        allow:\n\
         \x20         - {{ header: X-Canary, value: 'yes' }}\n          - {{ cookie: canary, value: 'on' }}\n      update_config:",
        canary.join("\n        ")
    );
    std::fs::write(path, text.replace("    deploy:\n      update_config:", &keys)).unwrap();
    shop
}

/// Clients that pay all the while.
struct Payers {
    go_on: Arc<AtomicBool>,
    asking: Vec<JoinHandle<Vec<Paid>>>,
}

/// What one of them was told: whether it failed, and by which version.
struct Paid {
    failed: bool,
    version: String,
}

impl Payers {
    fn of(shop: &Shop) -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        let asking = (0..ASKERS).map(|_| {
            let (port, go_on) = (shop.port, Arc::clone(&go_on));
            std::thread::spawn(move || {
                let mut told = Vec::new();
                while go_on.load(Ordering::Relaxed) {
                    let answer = get(port, "/pay").unwrap();
                    assert!([200, 500].contains(&answer.status), "{answer:?}");
                    told.push(Paid {
                        failed: answer.status != 200,
                        version: answer.body.trim().to_owned(),
                    });
                }
                told
            })
        });
        let asking = asking.collect();
        Self { go_on, asking }
    }

    /// Stops asking and returns what each was told, one after the other.
    fn stop(self) -> Vec<Vec<Paid>> {
        self.go_on.store(false, Ordering::Relaxed);
        self.asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    }
}

/// Returns what the journal says of the canary of the last deployment: that it began, and with which figures it was let go on.
fn stages(shop: &Shop) -> Vec<(String, Option<String>)> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let stages = shop.machine.events("deploy.stage");
    let last = stages.last().map(|event| event["data"]["deployment"].clone());
    stages
        .iter()
        .map(|event| &event["data"])
        .filter(|data| Some(&data["deployment"]) == last.as_ref())
        .map(|data| (text(&data["stage"]).unwrap_or_default(), text(&data["figures"])))
        .collect()
}

#[test]
fn a_good_canary_is_promoted_by_its_figures_and_a_bad_one_is_undone_having_failed_only_its_share() {
    let shop = shop(
        "figures",
        &["share: 20%", "requests_min: 100", "worse: 5%", "patience: 50s"],
    );
    // What the release before failed before the canary is not among its figures, and no excuse for the new one.
    for _ in 0..300 {
        assert_eq!(get(shop.port, "/fail").unwrap().status, 500);
    }
    let payers = Payers::of(&shop);
    shop.deploy_good("0.2");
    let paid = payers.stop();
    assert!(paid.iter().flatten().all(|paid| !paid.failed), "no request failed");
    let stages = stages(&shop);
    let shifting = (stages.iter().skip_while(|(stage, _)| stage != "canary"))
        .find(|(stage, _)| stage == "shifting")
        .expect("it was a canary, and then went on");
    let figures = shifting.1.clone().expect("the journal has the figures");
    for part in ["the new release failed 0 of", "the old one 0 of"] {
        assert!(figures.contains(part), "`{part}` is missing in: {figures}");
    }
    shop.assert_only("0.2", "committed");

    for _ in 0..300 {
        assert_eq!(get(shop.port, "/fail").unwrap().status, 500);
    }
    shop.serve("0.3", "pay-errors");
    shop.commit("does not pay");
    let payers = Payers::of(&shop);
    let done = shop.deploy(&[]);
    let paid = payers.stop();
    assert_eq!(done.code, UNDONE, "{}", done.said());
    assert!(done.said().contains("the canary of web is worse"), "{}", done.said());
    shop.assert_only("0.2", "undone");
    let why = shop.last_end()["why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("the new release failed"), "{why}");
    for paid in &paid {
        assert!(paid.iter().all(|paid| paid.failed == (paid.version == "0.3")));
        // From its first failure to its last, a client met the canary no more than its share asks for.
        let first = paid.iter().position(|paid| paid.failed).expect("a share failed");
        let last = paid.iter().rposition(|paid| paid.failed).unwrap_or(first);
        let (met, failed) = (last - first + 1, paid.iter().filter(|paid| paid.failed).count());
        assert!(failed * 10 <= met * 3 + 50, "{failed} of {met} failed, more than 20 %");
    }
}

#[test]
fn a_canary_with_too_little_traffic_is_held_as_inconclusive_and_a_person_decides() {
    let shop = shop(
        "inconclusive",
        &["share: 1%", "requests_min: 100000", "worse: 1%", "patience: 1s"],
    );
    shop.serve("0.2", "");
    shop.commit("second");
    let done = shop.deploy(&[]);
    assert_eq!(done.code, HELD, "{}", done.said());
    for part in ["inconclusive", "100000 are needed", "tend approve"] {
        assert!(done.said().contains(part), "`{part}` is missing in: {}", done.said());
    }
    assert_allow_listed(&shop, "0.1", "0.2");
    // What is held is held over the death of the daemon too.
    let daemon = shop.machine.daemon();
    kill(daemon);
    wait_until("it is gone, and its lock with it", || !is_alive(daemon));
    assert_allow_listed(&shop, "0.1", "0.2");
    shop.machine.start_daemon();
    assert_eq!(shop.releases()["deployment"]["phase"], "held");
    assert_allow_listed(&shop, "0.1", "0.2");
    shop.machine
        .tend(&["approve", "shop", "--why", "seen with a header"])
        .ok();
    let stack = shop.stack();
    shop.machine.tend(&["deploy", &stack, "--follow"]).ok();
    shop.assert_only("0.2", "committed");

    shop.serve("0.3", "");
    shop.commit("third");
    assert_eq!(shop.deploy(&[]).code, HELD);
    assert_allow_listed(&shop, "0.2", "0.3");
    shop.machine
        .tend(&["deploy", &stack, "--abort", "--reason", "nobody was there to try it"])
        .ok();
    let end = shop.machine.tend(&["deploy", &stack, "--follow"]);
    assert_eq!(end.code, UNDONE, "{}", end.said());
    assert!(end.said().contains("nobody was there to try it"), "{}", end.said());
    shop.assert_only("0.2", "undone");
    assert_eq!(get_with(shop.port, "/version", HEADER).unwrap().body.trim(), "0.2");
}

#[test]
fn what_the_canary_answered_is_not_forgotten_with_the_daemon() {
    let shop = shop(
        "remembered",
        &["share: 0.1%", "requests_min: 100000", "worse: 1%", "patience: 6s"],
    );
    shop.serve("0.2", "");
    shop.commit("second");
    let stack = shop.stack();
    let mut asking = quietly(&shop, &["deploy", &stack]);
    let mut answered = 0;
    let mut meet = |more: u32| {
        let wanted = answered + more;
        wait_until("the canary answered", || {
            let version = get_with(shop.port, "/version", HEADER).unwrap().body;
            answered += u32::from(version.trim() == "0.2");
            answered == wanted
        });
    };
    meet(30);
    let daemon = shop.machine.daemon();
    kill(daemon);
    wait_until("it is gone, and its lock with it", || !is_alive(daemon));
    meet(5);
    shop.machine.start_daemon();
    meet(5);
    asking.wait().unwrap();
    let end = shop.machine.tend(&["deploy", &stack, "--follow"]);
    assert_eq!(end.code, HELD, "{}", end.said());
    let (said, expected) = (end.said(), format!("the new release answered {answered} requests"));
    assert!(said.contains(&expected), "`{expected}` is missing in: {said}");
}

/// Whoever is on the allow-list meets the canary every time, and hardly anybody else does.
#[track_caller]
fn assert_allow_listed(shop: &Shop, old: &str, new: &str) {
    let ask = |headers: &str| {
        let answer = get_with(shop.port, "/version", headers).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.trim().to_owned()
    };
    for headers in [HEADER, COOKIE] {
        for _ in 0..40 {
            assert_eq!(ask(headers), new, "with {headers:?}");
        }
    }
    for headers in ["", "X-Canary: no\r\n", "Cookie: canary=off\r\n"] {
        let met = (0..40).filter(|_| ask(headers) != old).count();
        // 1 % of 40 is less than one.
        assert!(met <= 8, "{met} of 40 met the canary with {headers:?}");
    }
}
