//! Targets that send, somebody who asks and somebody who cuts blocks, all at once: nobody waits for ever, and no sample is missing at any
//! moment.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tend_metrics::Options;
use tend_testkit::Folder;

use crate::{labels, matcher, open, round, select};

/// At least so many, and on until blocks were cut beside them.
const ROUNDS: i64 = 400;
const ROUNDS_MAX: i64 = 20_000;
const CUTS: i64 = 4;
const TARGETS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn nothing_is_missing_while_others_append_and_cut() {
    let folder = Folder::new();
    let options = Options {
        block_ms: 20_000,
        memory_ms: 3_000,
        retention_ms: i64::MAX,
        ..Options::default()
    };
    let store = Arc::new(open(folder.path(), options));
    let done = Arc::new(AtomicBool::new(false));
    let committed: Arc<Vec<AtomicI64>> = Arc::new((0..TARGETS).map(|_| AtomicI64::new(0)).collect());
    let cuts = Arc::new(AtomicI64::new(0));
    let (tell, told) = mpsc::sync_channel(TARGETS + 2);
    for at in 0..TARGETS {
        let (store, committed, tell) = (Arc::clone(&store), Arc::clone(&committed), tell.clone());
        let cuts = Arc::clone(&cuts);
        std::thread::spawn(move || {
            let mut feed = store.feed(&labels(&[("n", &at.to_string())]), true);
            let goes_on = |step: &i64| *step <= ROUNDS || cuts.load(Ordering::SeqCst) < CUTS;
            for step in (1..=ROUNDS_MAX).take_while(goes_on) {
                let churn = step / 50;
                let body: String = (0..40)
                    .map(|one| format!("s{{one=\"{one}\"}} {step}\nc{{one=\"{one}\",churn=\"{churn}\"}} 1\n"))
                    .collect();
                round(&store, &mut feed, step * 1000, &body);
                committed[at].store(step, Ordering::SeqCst);
            }
            tell.send(()).expect("the test waits");
        });
    }
    for job in 0..2 {
        let (store, committed, tell, done) = (
            Arc::clone(&store),
            Arc::clone(&committed),
            tell.clone(),
            Arc::clone(&done),
        );
        let cuts = Arc::clone(&cuts);
        std::thread::spawn(move || {
            let asked = [matcher("__name__", tend_promql::MatchOp::Equal, "s")];
            while !done.load(Ordering::SeqCst) {
                if job == 0 {
                    store.sync().expect("synced");
                    let done = store.maintain(0).expect("maintained");
                    cuts.fetch_add(i64::from(done.cut_samples > 0), Ordering::SeqCst);
                    continue;
                }
                let before: Vec<i64> = committed.iter().map(|step| step.load(Ordering::SeqCst)).collect();
                let found = select(&*store, &asked, 0, i64::MAX);
                for (at, least) in before.into_iter().enumerate().filter(|(_, least)| *least > 0) {
                    for one in 0..40 {
                        let name = format!("s{{n=\"{at}\", one=\"{one}\"}}");
                        let times: Vec<i64> = found[&name].iter().map(|sample| sample.0 / 1000).collect();
                        assert!(times.len() as i64 >= least, "{name}: {} of {least}", times.len());
                        assert_eq!(times, (1..=times.len() as i64).collect::<Vec<_>>(), "{name}");
                    }
                }
            }
            tell.send(()).expect("the test waits");
        });
    }
    for finished in 0..TARGETS + 2 {
        if finished == TARGETS {
            done.store(true, Ordering::SeqCst);
        }
        told.recv_timeout(PATIENCE).expect("everybody ends");
    }
    assert!(cuts.load(Ordering::SeqCst) >= CUTS, "{:?}", store.status());
}
