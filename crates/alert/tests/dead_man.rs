//! The dead man: with a real pipeline between the watchdog and its receipt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tend_alert::{
    Answer, CHAIN_UNPROVEN, ChainProof, Config, Heartbeat, Kept, KeptProof, Language, Link, Missing, Pace, Pipeline,
    Posted, Proof, Silence, WATCHDOG, read_config, watchdog_interval,
};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const WITHIN: i64 = 10 * MINUTE;

/// As the short form of a stack file has it, and worse: somebody inhibits and mutes everything.
const TEXT: &str = "
route:
  receiver: nobody
  routes:
    - {receiver: a, matchers: ['severity=\"critical\"'], continue: true}
    - {receiver: b, matchers: ['severity=~\".+\"'], mute_time_intervals: [always]}
receivers:
- name: nobody
- {name: a, webhook_configs: [{url: http://a, send_resolved: true}]}
- {name: b, webhook_configs: [{url: http://b}, {url: http://c}]}
inhibit_rules: [{source_matchers: ['alertname=\"Down\"'], target_matchers: ['severity=~\".+\"']}]
time_intervals: [{name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]
";

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn config(watchdogs: &[&str]) -> Config {
    let mut config = read_config(Path::new("am.yml"), TEXT).unwrap_or_else(|report| panic!("{report}"));
    assert!(config.route_dead_man(&names(watchdogs), WITHIN).is_empty());
    config
}

/// The whole way in small: a rule that is evaluated, a target that is scraped, a pipeline, receivers.
struct Way {
    pipeline: Pipeline,
    proof: ChainProof,
    heartbeat: Heartbeat,
    now: i64,
    evaluated: bool,
    scraped: bool,
    /// Who does not answer.
    dead: BTreeSet<String>,
    beats: Vec<i64>,
    /// By receiver and name of the alert, when it was told.
    told: BTreeMap<(String, String), Vec<i64>>,
}

impl Way {
    fn new(watchdogs: &[&str]) -> Self {
        Self {
            pipeline: Pipeline::new(config(watchdogs), Kept::default(), Pace::default(), 0),
            proof: ChainProof::new(WITHIN, names(watchdogs), None, 0),
            heartbeat: Heartbeat::new(MINUTE, None),
            now: 0,
            evaluated: true,
            scraped: true,
            dead: BTreeSet::new(),
            beats: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// Lets minutes pass; returns what was posted about the way.
    fn pass(&mut self, minutes: i64) -> Vec<Posted> {
        let mut out = Vec::new();
        let end = self.now + minutes * MINUTE;
        while self.now < end {
            self.now += 5 * SECOND;
            let now = self.now;
            if self.evaluated && now % watchdog_interval(WITHIN) == 0 {
                let posted = self.proof.evaluated(now, self.scraped.then_some(now - SECOND));
                assert!(self.pipeline.receive(posted.into_iter().collect(), now).is_empty());
            }
            let proof = self.proof.standing(&self.pipeline.owed(), now);
            let posted = self.proof.post(&proof, Language::English, now);
            self.pipeline.receive(posted.clone().into_iter().collect(), now);
            out.extend(posted);
            if self.heartbeat.due(now, &proof) {
                self.beats.push(now);
            }
            for delivery in self.pipeline.tick(now, &|_, _| None).deliveries {
                let answer = match self.dead.contains(&delivery.receiver) {
                    true => failed(),
                    false => Answer::Confirmed,
                };
                for alert in delivery.alerts.iter().filter(|_| answer == Answer::Confirmed) {
                    let key = (delivery.receiver.clone(), alert.name().to_owned());
                    self.told.entry(key).or_default().push(now);
                }
                self.proof.answered(&delivery, &answer, now);
                self.pipeline.answered(delivery.id, answer, now);
            }
        }
        out
    }

    fn told(&self, receiver: &str, alert: &str) -> usize {
        (self.told.get(&(receiver.to_owned(), alert.to_owned()))).map_or(0, Vec::len)
    }

    fn standing(&self) -> Proof {
        self.proof.standing(&self.pipeline.owed(), self.now)
    }

    #[track_caller]
    fn missing(&self) -> Missing {
        match self.standing() {
            Proof::Unproven { missing, .. } => missing,
            other => panic!("{other:?}"),
        }
    }
}

fn failed() -> Answer {
    Answer::Failed {
        said: "no".to_owned(),
        after: None,
    }
}

fn alert(name: &str) -> Posted {
    Posted {
        labels: [("alertname", name), ("severity", "critical")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ends_at: Some(10_000 * MINUTE),
        ..Posted::default()
    }
}

#[test]
fn while_every_link_is_seen_to_work_signs_of_life_go_out() {
    let mut way = Way::new(&["a"]);
    assert!(way.pass(180).is_empty());
    assert!(matches!(way.standing(), Proof::Proven { .. }));
    // From the first receipt on, which is when the first watchdog was told.
    assert!((170..=180).contains(&way.beats.len()), "{:?}", way.beats);
    assert!(way.beats.windows(2).all(|two| two[1] - two[0] == MINUTE));
    let told = way.told("a", WATCHDOG);
    assert!((45..=75).contains(&told), "some four times within ten minutes: {told}");
    assert_eq!(way.told("b", WATCHDOG), 0, "nobody else is told");
}

#[test]
fn nothing_keeps_the_watchdog_quiet() {
    let mut way = Way::new(&["a", "b"]);
    way.pipeline.receive(vec![alert("Down")], 0);
    let silence = Silence {
        id: "s".to_owned(),
        matchers: vec!["alertname=~\".+\"".to_owned()],
        starts_at: 0,
        ends_at: 10_000 * MINUTE,
        created_by: "ana".to_owned(),
        reason: "a test".to_owned(),
        updated_at: 0,
        reminded: false,
    };
    way.pipeline.silence(silence, 0).unwrap();
    assert!(way.pass(60).is_empty());
    assert!(matches!(way.standing(), Proof::Proven { .. }));
}

#[test]
fn whatever_breaks_is_told_to_everybody_in_time_with_the_link_and_its_end_once() {
    let broken = [(Link::Rules, &[][..]), (Link::Scrape, &[]), (Link::Delivery, &["a"])];
    for (link, receivers) in broken {
        let mut way = Way::new(&["a"]);
        way.pass(60);
        match link {
            Link::Rules => way.evaluated = false,
            Link::Scrape => way.scraped = false,
            Link::Delivery => way.dead = names(&["a"]),
        }
        let from = way.now;
        let posted = way.pass(30);
        let first = &posted[0];
        assert_eq!(first.labels["alertname"], CHAIN_UNPROVEN);
        assert_eq!(first.annotations["link"], link.word());
        let since = first.starts_at.unwrap();
        assert!(since - from <= WITHIN, "{link:?}: no later than a proof is good for");
        assert!(
            posted
                .iter()
                .all(|posted| posted.ends_at.is_none() && posted.starts_at == first.starts_at),
            "{link:?}"
        );
        let missing = way.missing();
        assert_eq!(
            (missing.link, missing.receivers),
            (link, receivers.iter().map(|name| (*name).to_owned()).collect())
        );
        assert!(
            way.beats.iter().all(|beat| *beat < since),
            "{link:?}: none goes out any more"
        );
        // Each means of everybody is told, whatever the routes of the user say.
        assert_eq!(way.told("b", CHAIN_UNPROVEN), 2, "{link:?}");
        assert_eq!(way.told("a", CHAIN_UNPROVEN), usize::from(link != Link::Delivery));
        (way.evaluated, way.scraped, way.dead) = (true, true, BTreeSet::new());
        let back = way.now;
        let posted = way.pass(30);
        let ends: Vec<_> = posted.iter().filter(|posted| posted.ends_at.is_some()).collect();
        assert_eq!(ends.len(), 1, "{link:?}");
        assert_eq!(
            posted.last().unwrap().ends_at,
            ends[0].ends_at,
            "nothing is posted after it"
        );
        assert!(way.beats.iter().any(|beat| *beat > back), "{link:?}: they go out again");
    }
}

#[test]
fn without_receivers_of_the_watchdog_what_is_owed_counts() {
    let mut way = Way::new(&[]);
    assert!(way.pass(60).is_empty());
    assert!(matches!(way.standing(), Proof::Proven { .. }));
    assert_eq!(way.told("a", WATCHDOG) + way.told("b", WATCHDOG), 0);
    // A dead receiver is not known of while there is nothing to tell it.
    way.dead = names(&["a"]);
    assert!(way.pass(60).is_empty());
    let at = way.now;
    way.pipeline.receive(vec![alert("Slow")], at);
    way.pass(9);
    assert!(
        matches!(way.standing(), Proof::Proven { .. }),
        "it has the whole time to take it"
    );
    way.pass(3);
    let missing = way.missing();
    assert_eq!(
        (missing.link, &missing.receivers[..]),
        (Link::Delivery, &["a".to_owned()][..])
    );
    assert!(missing.last.unwrap() - at <= MINUTE);
    way.dead.clear();
    way.pass(5);
    assert!(
        matches!(way.standing(), Proof::Proven { .. }),
        "it has taken what it owed"
    );
    assert_eq!(way.told("a", "Slow"), 1);
}

#[test]
fn what_is_no_watchdog_or_an_old_one_proves_nothing() {
    let mut pipeline = Pipeline::new(config(&["a"]), Kept::default(), Pace::default(), 0);
    let mut proof = ChainProof::new(WITHIN, names(&["a"]), None, 0);
    let watchdog = proof.evaluated(0, Some(0)).unwrap();
    assert!(pipeline.receive(vec![alert("Slow"), watchdog], 0).is_empty());
    let deliveries = pipeline.tick(MINUTE, &|_, _| None).deliveries;
    let of = |name: &str| {
        let found = deliveries
            .iter()
            .find(|delivery| delivery.alerts[0].name() == name && delivery.receiver == "a");
        found.unwrap_or_else(|| panic!("{name}: {deliveries:?}"))
    };
    let standing = |proof: &mut ChainProof, now: i64| {
        proof.evaluated(now, Some(now));
        proof.standing(&BTreeMap::new(), now)
    };
    proof.answered(of("Slow"), &Answer::Confirmed, MINUTE);
    proof.answered(of(WATCHDOG), &failed(), MINUTE);
    assert!(matches!(standing(&mut proof, MINUTE), Proof::Waiting { .. }));
    // On its way for longer than a proof is good for: it says how it was then.
    let mut late = proof.clone();
    late.answered(of(WATCHDOG), &Answer::Confirmed, WITHIN);
    assert!(matches!(standing(&mut late, WITHIN), Proof::Unproven { since, .. } if since == WITHIN));
    // Its end is none, however it is confirmed.
    let mut over = of(WATCHDOG).clone();
    over.at = 91 * MINUTE;
    proof.answered(&over, &Answer::Confirmed, WITHIN - 1);
    assert!(matches!(standing(&mut proof, WITHIN - 1), Proof::Waiting { .. }));
    proof.answered(of(WATCHDOG), &Answer::Confirmed, WITHIN - 1);
    assert_eq!(standing(&mut proof, WITHIN - 1), Proof::Proven { until: WITHIN });
}

#[test]
fn a_restart_a_crash_loop_and_a_clock_that_jumps_make_nobody_wait_for_ever() {
    let none = BTreeMap::new();
    let again = |proof: &ChainProof, now: i64| {
        let text = serde_json::to_string(proof.kept()).unwrap();
        let kept: KeptProof = serde_json::from_str(&text).unwrap();
        ChainProof::new(WITHIN, BTreeSet::new(), Some(kept), now)
    };
    let mut proof = ChainProof::new(WITHIN, BTreeSet::new(), None, 0);
    proof.evaluated(MINUTE, Some(MINUTE));
    // Killed and back at once: it is as it was.
    let back = again(&proof, 2 * MINUTE);
    assert_eq!(
        back.standing(&none, 2 * MINUTE),
        Proof::Proven { until: WITHIN + MINUTE }
    );
    // Killed each minute, and never evaluating anything: found out in time.
    let mut looping = back;
    for minute in 3..12 {
        looping = again(&looping, minute * MINUTE);
    }
    assert!(
        matches!(looping.standing(&none, WITHIN + MINUTE), Proof::Unproven { since, .. } if since == WITHIN + MINUTE)
    );
    // Away for days: nothing is proven, and there is as long again as at the beginning.
    let now = 10_000 * MINUTE;
    let away = again(&proof, now);
    assert_eq!(away.standing(&none, now), Proof::Waiting { until: now + WITHIN });
    assert!(matches!(away.standing(&none, now + WITHIN), Proof::Unproven { since, .. } if since == now + WITHIN));
    // Another setting begins anew.
    let other = ChainProof::new(WITHIN, names(&["a"]), Some(proof.kept().clone()), 2 * MINUTE);
    assert_eq!(
        other.standing(&none, 2 * MINUTE),
        Proof::Waiting {
            until: WITHIN + 2 * MINUTE
        }
    );
    // Set back by a week, it is from now on that is counted, at most.
    let back = now - 10_080 * MINUTE;
    let mut fresh = away.clone();
    fresh.evaluated(now, Some(now));
    assert_eq!(fresh.standing(&none, back), Proof::Proven { until: back + WITHIN });
    let mut heartbeat = Heartbeat::new(MINUTE, None);
    let good = Proof::Proven { until: i64::MAX };
    assert!(heartbeat.due(now, &good));
    assert_eq!(heartbeat.next(back), back + MINUTE);
    assert_eq!(
        Heartbeat::new(MINUTE, heartbeat.last()).next(now),
        now + MINUTE,
        "a restart sends none more"
    );
}

#[test]
fn signs_of_life_go_out_only_while_the_way_is_proven() {
    let good = Proof::Proven { until: 0 };
    let waiting = Proof::Waiting { until: 0 };
    let bad = Proof::Unproven {
        since: 0,
        missing: Missing {
            link: Link::Scrape,
            receivers: Vec::new(),
            last: None,
        },
    };
    let mut heartbeat = Heartbeat::new(30 * SECOND, None);
    let sent: Vec<i64> = (0..20)
        .map(|step| step * 10 * SECOND)
        .filter(|now| {
            let proof = match now / SECOND {
                0..20 => &waiting,
                60..120 => &bad,
                _ => &good,
            };
            heartbeat.due(*now, proof)
        })
        .map(|now| now / SECOND)
        .collect();
    assert_eq!(sent, [20, 50, 120, 150, 180]);
}

#[test]
fn who_is_to_be_told_of_the_watchdog_and_cannot_be_is_named() {
    let mut config = read_config(Path::new("am.yml"), TEXT).unwrap_or_else(|report| panic!("{report}"));
    let unknown = config.route_dead_man(&names(&["a", "nobody", "nowhere"]), WITHIN);
    assert_eq!(unknown, ["nobody", "nowhere"]);
}

#[test]
fn it_is_told_in_chinese_too() {
    for link in [Link::Rules, Link::Scrape, Link::Delivery] {
        let proof = Proof::Unproven {
            since: WITHIN,
            missing: Missing {
                link,
                receivers: vec!["duty".to_owned()],
                last: Some(0),
            },
        };
        let mut chain = ChainProof::new(WITHIN, BTreeSet::new(), None, 0);
        let posted = chain.post(&proof, Language::Chinese, WITHIN + 5 * SECOND).unwrap();
        let text = format!("{}{}", posted.annotations["summary"], posted.annotations["description"]);
        assert!(
            text.contains("告警可能无法送达") && text.contains(link.word()),
            "{text}"
        );
        assert!(text.contains("605 秒前"), "{text}");
        assert_eq!(text.contains("duty"), link == Link::Delivery, "{text}");
        assert!(
            chain.post(&proof, Language::Chinese, WITHIN + 6 * SECOND).is_none(),
            "each minute"
        );
    }
}
