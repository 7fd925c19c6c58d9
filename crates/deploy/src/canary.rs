//! A share of the clients' requests tells whether the target is worse: asked of the edge every second until the figures tell.

use std::time::Duration;

use serde::Deserialize;
use tend_core::deployment::{Act, Exposure, Stage};
use tend_core::model::{Canary, ServiceName};

use crate::chapter::Case;
use crate::verdict::{Counts, Verdict, verdict};

/// Between two looks at the figures. The test may be looked at any number of times.
const AGAIN: Duration = Duration::from_secs(1);

/// The evidence of [`Act::Count`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Evidence {
    before: Counts,
    target: Counts,
}

pub(crate) fn advance(case: &mut Case<'_>, name: &ServiceName, canary: &Canary) {
    let lane = case.deployment.lanes[name].clone();
    let since = lane.since.unwrap_or(case.now.mono);
    let act = Act::Count(name.clone());
    if let Some(asked) = lane.good.filter(|asked| case.now.mono < *asked + AGAIN) {
        case.wake(asked + AGAIN);
        return;
    }
    let Some(outcome) = case.outcome(act.clone()) else {
        return;
    };
    // Asked anew the next time.
    case.change().acts.remove(&act);
    let now = case.now.mono;
    case.lane(name).good = Some(now);
    // An edge that cannot be asked at the moment says nothing about the target.
    let evidence = outcome
        .ok()
        .and_then(|value| serde_json::from_value::<Evidence>(value).ok());
    let Evidence { before, target } = evidence.unwrap_or_default();
    match verdict(before, target, canary, now.since(since)) {
        Verdict::Wait => case.wake(now + AGAIN),
        Verdict::Promote(figures) => {
            let lane = case.lane(name);
            lane.figures = Some(figures);
            (lane.stage, lane.exposure, lane.since, lane.good) = (Stage::Shifting, Exposure::Both, Some(now), None);
        }
        Verdict::Fail(why) => case.fail(format!("the canary of {name} is worse: {why}")),
        Verdict::Inconclusive(why) => case.hold(format!("the canary of {name} is inconclusive: {why}")),
    }
}
