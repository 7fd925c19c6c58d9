//! What is rehearsed is what is done.

use std::time::Duration;

use tend_core::controller::Input;
use tend_core::plan::Step;

use crate::script::Script;

/// Does what was asked on a host where everything succeeds at once, and returns the steps that go into the journal.
fn carry_out(script: &mut Script, input: Input) -> Vec<Step> {
    let until = script.now.mono + Duration::from_secs(60);
    let mut done = Vec::new();
    let mut outcomes = vec![input];
    loop {
        while !outcomes.is_empty() {
            script.feed(outcomes.remove(0));
            for step in script.take_under_way() {
                outcomes.extend(script.succeeds(&step));
                done.extend(Some(step).filter(Step::is_recorded));
            }
        }
        match script.wake_at().filter(|at| *at <= until) {
            Some(at) => script.later(at.since(script.now.mono)),
            None => return done,
        }
        outcomes.push(Input::Tick);
    }
}

#[test]
fn what_is_rehearsed_is_what_is_done() {
    for wish in [
        "restart api",
        "restart api 2",
        "restart db",
        "scale api 5",
        "scale api 1",
        "change api",
        "stop db",
        "remove",
        "apply",
    ] {
        let mut script = Script::new();
        script.service("db readiness port");
        script.service("api replicas=3 port readiness needs=db:healthy prepare=build");
        script.service("worker replicas=2 needs=api:started");
        script.service("cache needs=db:healthy:restart");
        script.route("api");
        for before in ["apply", wish] {
            let words: Vec<&str> = before.split(' ').collect();
            let input = script.wish(&words);
            let planned = script
                .controller
                .rehearse(&script.stack.name, input.clone(), script.now);
            let planned: Vec<String> = planned.steps.iter().map(|planned| planned.step.to_string()).collect();
            let done: Vec<String> = carry_out(&mut script, input).iter().map(Step::to_string).collect();
            assert_eq!(planned, done, "{before}, on the way to {wish}");
            assert!(!done.is_empty(), "{wish} does something");
        }
    }
}

#[test]
fn a_rehearsal_finishes_what_is_under_way() {
    let mut script = Script::new();
    script.service("api replicas=2 port readiness");
    script.route("api");
    let apply = script.wish(&["apply"]);
    carry_out(&mut script, apply);
    // A probe of every replica is on its way when the plan is asked for.
    script.later(Duration::from_secs(30));
    script.feed(Input::Tick);
    let restart = script.wish(&["restart", "api"]);
    let plan = script.controller.rehearse(&script.stack.name, restart, script.now);
    let starts = plan
        .steps
        .iter()
        .filter(|planned| matches!(planned.step, Step::Start { .. }));
    assert_eq!(
        starts.count(),
        2,
        "both replicas are restarted, the second once the first answered"
    );
}
