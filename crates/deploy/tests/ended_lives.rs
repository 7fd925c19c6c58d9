//! What a deployment makes of lives that ended: who is told to have failed, and who is excused.

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
