//! What a deployment makes of lives that ended: who is told to have failed, and who is excused.

use tend_core::controller::Word;
use tend_core::model::{FailureAction, Port, Workload};
use tend_core::observed::StartFailure;

use crate::machine::{Machine, after, job, service, stack};

fn last(machine: &Machine) -> &str {
    machine.phases.last().expect("something happened")
}

#[test]
fn a_job_that_ended_is_known_to_have_run_also_to_the_next_daemon() {
    let of = |version| stack(vec![job("j", version), after(service("w", version), "j")]);
    let mut machine = Machine::with(of(1));
    machine.ends("s/j/1", 0);
    machine.pass(10);

    machine.deploy(of(2), None);
    machine.ends("s/j/1", 0);
    assert_eq!(last(&machine), "rolling", "w has to prove itself yet");
    machine.restart_daemon();
    machine.pass(60);
    assert_eq!(last(&machine), "committed");
    let runs = machine.starts.iter().filter(|id| *id == "s/j/1").count();
    assert_eq!(runs, 2, "the job ran once for each release: {:?}", machine.starts);
}

/// A stack whose job fails and whose service goes on, deployed with that action and to be confirmed.
fn with_a_failing_job(action: FailureAction) -> Machine {
    let of = |version| stack(vec![job("j", version), service("w", version)]);
    let mut machine = Machine::with(of(1));
    machine.ends("s/j/1", 0);
    machine.pass(10);
    let mut next = of(2);
    for service in next.services.values_mut() {
        service.update.failure_action = action;
    }
    machine.deploy(next, Some(600));
    machine.ends("s/j/1", 1);
    machine.pass(60);
    machine
}

#[test]
fn a_failure_that_the_file_lets_go_by_is_none_while_the_deployment_waits_to_be_confirmed() {
    let mut machine = with_a_failing_job(FailureAction::Continue);
    assert_eq!(last(&machine), "confirming");
    machine.restart_daemon();
    machine.pass(60);
    assert_eq!(last(&machine), "confirming");
    machine.decide(Word::Confirm);
    machine.pass(60);
    assert_eq!(last(&machine), "committed");
}

#[test]
fn a_failure_that_a_person_excused_is_none_while_the_deployment_waits_to_be_confirmed() {
    let mut machine = with_a_failing_job(FailureAction::Pause);
    assert_eq!(last(&machine), "held");
    machine.decide(Word::Approve);
    machine.pass(60);
    assert_eq!(last(&machine), "confirming");
}

#[test]
fn a_port_that_is_taken_is_no_failure_and_an_end_is_while_the_deployment_waits_to_be_confirmed() {
    let of = |version| {
        let mut service = service("w", version);
        service.port = Port::Variable("PORT".to_owned());
        stack(vec![service])
    };
    let mut machine = Machine::with(of(1));
    machine.deploy(of(2), Some(600));
    machine.pass(60);
    assert_eq!(last(&machine), "confirming");

    let taken = StartFailure {
        why: "the port is taken".to_owned(),
        hint: None,
        permanent: false,
        port_taken: true,
    };
    machine.start_failures.insert("s/w/1".to_owned(), vec![taken]);
    let before = machine.starts.len();
    machine.restart("s/w");
    machine.pass(60);
    assert_eq!(machine.starts.len(), before + 2, "it was given another port at once");
    assert_eq!(last(&machine), "confirming");

    machine.ends("s/w/1", 3);
    machine.pass(60);
    assert_eq!(last(&machine), "undone: s/w/1 exited with code 3");
}

/// `prepare` fails here, so that the new definition can never run and what runs is left running.
#[test]
fn a_deployment_ends_also_where_the_file_lets_go_by_that_nothing_new_runs() {
    let mut machine = Machine::with(stack(vec![service("w", 1)]));
    let mut next = service("w", 2);
    if let Workload::Process(process) = &mut next.workload {
        process.prepare = Some(vec!["build".to_owned()]);
    }
    next.update.failure_action = FailureAction::Continue;
    machine.deploy(stack(vec![next]), None);
    machine.pass(60);
    assert_eq!(last(&machine), "settling");
    machine.pass(600);
    let why = "s/w/1 of the release before was still there after 38s";
    assert!(
        last(&machine).starts_with(&format!("undone: {why}")),
        "{}",
        last(&machine)
    );
}
