//! Restarts on schedule while a service is deployed.

use std::time::Duration;

use tend_core::model::{Replicas, Schedule, Stack};

use crate::machine::{Machine, service, stack};

/// Each replica is restarted every eight seconds and then has to be good for three: of four, one always is not.
fn of(version: u32) -> Stack {
    let mut service = service("w", version);
    service.replicas = Replicas::Count(4);
    service.restart_schedule = Some(Schedule::Every(Duration::from_secs(8)));
    stack(vec![service])
}

#[test]
fn a_schedule_waits_for_the_deployment_and_then_goes_on() {
    let mut machine = Machine::with(of(1));
    machine.deploy(of(2), None);
    machine.pass(60);
    assert_eq!(machine.phases.last().map(String::as_str), Some("committed"));
    let before = machine.starts.len();
    machine.pass(60);
    assert!(machine.starts.len() >= before + 20, "{:?}", machine.starts);
}

#[test]
fn a_schedule_does_not_wait_for_a_person() {
    let mut machine = Machine::with(of(1));
    machine.deploy(of(2), Some(3600));
    machine.pass(60);
    assert_eq!(machine.phases.last().map(String::as_str), Some("confirming"));
    let before = machine.starts.len();
    machine.pass(60);
    assert!(machine.starts.len() >= before + 20, "{:?}", machine.starts);
}
