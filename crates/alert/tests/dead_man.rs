//! The dead man: with a real pipeline between the watchdog and its receipt.

use std::collections::BTreeMap;
use std::path::Path;

use tend_alert::{
    Answer, CHAIN_UNPROVEN, ChainProof, Config, Heartbeat, Kept, Pace, Pipeline, Posted, Proof, parse_matchers,
    read_config,
};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const WITHIN: i64 = 15 * MINUTE;

fn config(repeat: &str) -> Config {
    let text = format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 10s, group_interval: 1m, repeat_interval: {repeat}}}\nreceivers:\n- name: r\n  webhook_configs: [{{url: http://a}}]\n- name: nobody\n"
    );
    read_config(Path::new("am.yml"), &text).unwrap_or_else(|report| panic!("{report}"))
}

fn labels(name: &str) -> BTreeMap<String, String> {
    [("alertname".to_owned(), name.to_owned())].into()
}

fn proof(now: i64) -> ChainProof {
    ChainProof::new(parse_matchers("alertname=\"Watchdog\"").unwrap(), WITHIN, None, now)
}

/// The whole way in small: a rule that fires while its target is scraped, a pipeline, a receiver.
struct Way {
    pipeline: Pipeline,
    proof: ChainProof,
    now: i64,
    scraped: bool,
    answer: Answer,
}

impl Way {
    fn new() -> Self {
        Self {
            pipeline: Pipeline::new(config("5m"), Kept::default(), Pace::default(), 0),
            proof: proof(0),
            now: 0,
            scraped: true,
            answer: Answer::Confirmed,
        }
    }

    /// Lets minutes pass; returns what was posted about the way.
    fn pass(&mut self, minutes: i64) -> Vec<Posted> {
        let mut out = Vec::new();
        let end = self.now + minutes * MINUTE;
        while self.now < end {
            self.now += 10 * SECOND;
            if self.scraped && self.now % MINUTE == 0 {
                let watchdog = Posted {
                    labels: labels("Watchdog"),
                    ends_at: Some(self.now + 4 * MINUTE),
                    ..Posted::default()
                };
                assert!(self.pipeline.receive(vec![watchdog], self.now).is_empty());
            }
            let due = self.pipeline.tick(self.now, &|_, _| None);
            for delivery in due.deliveries {
                self.proof.answered(&delivery, &self.answer, self.now);
                self.pipeline.answered(delivery.id, self.answer.clone(), self.now);
            }
            out.extend(self.proof.post(self.now));
        }
        out
    }
}

fn failed() -> Answer {
    Answer::Failed {
        said: "no".to_owned(),
        after: None,
    }
}

#[test]
fn a_receipt_of_the_watchdog_proves_the_way() {
    let mut way = Way::new();
    assert!(way.pass(180).is_empty());
    assert!(way.now - way.proof.proven().unwrap() < 10 * MINUTE);
    assert!(matches!(way.proof.standing(way.now), Proof::Proven { .. }));
}

#[test]
fn whatever_breaks_is_told_in_time_and_its_end_once() {
    let broken: [fn(&mut Way); 2] = [|way| way.scraped = false, |way| way.answer = failed()];
    for breaks in broken {
        let mut way = Way::new();
        way.pass(60);
        breaks(&mut way);
        let from = way.now;
        let posted = way.pass(30);
        // What was on its way when it broke may still have been a proof, of the moment before.
        let last = way.proof.proven().unwrap();
        let first = &posted[0];
        assert_eq!(first.labels["alertname"], CHAIN_UNPROVEN);
        assert!(
            first.starts_at.unwrap() - from <= WITHIN,
            "no later than a proof is good for"
        );
        assert_eq!(first.starts_at, Some(last + WITHIN));
        assert!(
            posted
                .iter()
                .all(|posted| posted.ends_at.is_none() && posted.starts_at == first.starts_at)
        );
        way.scraped = true;
        way.answer = Answer::Confirmed;
        let posted = way.pass(30);
        let ends: Vec<_> = posted.iter().filter(|posted| posted.ends_at.is_some()).collect();
        assert_eq!(ends.len(), 1);
        assert_eq!(
            posted.last().unwrap().ends_at,
            ends[0].ends_at,
            "nothing is posted after it"
        );
    }
}

#[test]
fn what_is_no_watchdog_or_an_old_one_proves_nothing() {
    let mut pipeline = Pipeline::new(config("5m"), Kept::default(), Pace::default(), 0);
    let other = Posted {
        labels: labels("Slow"),
        ends_at: Some(90 * MINUTE),
        ..Posted::default()
    };
    let watchdog = Posted {
        labels: labels("Watchdog"),
        ends_at: Some(90 * MINUTE),
        ..Posted::default()
    };
    assert!(pipeline.receive(vec![other, watchdog], 0).is_empty());
    let deliveries = pipeline.tick(MINUTE, &|_, _| None).deliveries;
    let of = |name: &str| {
        deliveries
            .iter()
            .find(|delivery| delivery.alerts[0].name() == name)
            .unwrap()
    };
    let mut proof = proof(0);
    proof.answered(of("Slow"), &Answer::Confirmed, MINUTE);
    proof.answered(of("Watchdog"), &failed(), MINUTE);
    // On its way for longer than a proof is good for.
    proof.answered(of("Watchdog"), &Answer::Confirmed, WITHIN);
    assert_eq!(proof.proven(), None);
    assert_eq!(proof.standing(WITHIN), Proof::Unproven { since: WITHIN });
    proof.answered(of("Watchdog"), &Answer::Confirmed, WITHIN - 1);
    assert_eq!(proof.proven(), Some(0));
    // Its end is none, however it is confirmed.
    let mut over = of("Watchdog").clone();
    over.at = 91 * MINUTE;
    over.alerts[0].updated_at = 91 * MINUTE;
    proof.answered(&over, &Answer::Confirmed, 91 * MINUTE);
    assert_eq!(proof.proven(), Some(0));
}

#[test]
fn a_restart_and_a_clock_that_jumps_make_nobody_wait_for_ever() {
    let matchers = || parse_matchers("alertname=Watchdog").unwrap();
    // Away for days: there is as long again as at the beginning.
    let now = 10_000 * MINUTE;
    let proof = ChainProof::new(matchers(), WITHIN, Some(5), now);
    assert_eq!(proof.proven(), Some(5));
    assert_eq!(proof.standing(now), Proof::Proven { until: now + WITHIN });
    assert_eq!(proof.standing(now + WITHIN), Proof::Unproven { since: now + WITHIN });
    // Set back by a week, it is from now on that is counted, at most.
    let back = now - 10_080 * MINUTE;
    assert_eq!(proof.standing(back), Proof::Proven { until: back + WITHIN });
    let mut heartbeat = Heartbeat::new(MINUTE);
    let good = Proof::Proven { until: i64::MAX };
    assert!(heartbeat.due(now, good));
    assert_eq!(heartbeat.next(back), back + MINUTE);
}

#[test]
fn signs_of_life_stop_when_the_way_is_not_proven() {
    let (good, bad) = (Proof::Proven { until: 0 }, Proof::Unproven { since: 0 });
    let mut heartbeat = Heartbeat::new(30 * SECOND);
    let sent: Vec<i64> = (0..20)
        .map(|step| step * 10 * SECOND)
        .filter(|now| heartbeat.due(*now, if (60..120).contains(&(now / SECOND)) { bad } else { good }))
        .map(|now| now / SECOND)
        .collect();
    assert_eq!(sent, [0, 30, 120, 150, 180]);
}

#[test]
fn a_configuration_that_cannot_prove_it_is_told() {
    let proof = proof(0);
    assert_eq!(proof.check(&config("5m"), &labels("Watchdog")), None);
    let told = proof.check(&config("4h"), &labels("Watchdog")).unwrap();
    assert!(
        told.contains("each 14460 s at best") && told.contains("repeat_interval"),
        "{told}"
    );
    assert!(proof.check(&config("5m"), &labels("Slow")).is_some());
    let text = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    let nobody = read_config(Path::new("am.yml"), text).unwrap_or_else(|report| panic!("{report}"));
    assert!(
        proof
            .check(&nobody, &labels("Watchdog"))
            .unwrap()
            .contains("no receiver")
    );
}
