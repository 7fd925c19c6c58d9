//! The commands a person types, on the reference system and on small ones.

use crate::rig::{Machine, READY, free_port, get, is_alive, routed_web, wait_until, web};

#[test]
fn the_main_job_one_command_starts_fronts_and_keeps_a_payment_system() {
    let machine = Machine::new("main-job");
    let port = free_port();
    let folder = machine.mps(port);
    let said = machine.tend(&["up", &folder]).ok();
    assert!(
        said.contains("mps is up") && said.contains(&format!("http://127.0.0.1:{port}/")),
        "{said}"
    );

    let mut answered = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let answer = get(port, "/api/cards/test-card-id").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answered.extend(answer.replica);
    }
    assert_eq!(answered.len(), 3, "all three replicas serve: {answered:?}");

    let status = machine.tend(&["status", "mps"]).ok();
    assert!(status.contains("3/3"), "{status}");
    assert!(machine.tend(&["ls"]).ok().contains("mps"));
    assert!(machine.tend(&["describe", "api"]).ok().contains("/ready"));
    assert!(
        machine.tend(&["plan", &folder]).ok().to_lowercase().contains("nothing"),
        "nothing is left to be done"
    );

    let logs = machine.tend(&["logs", "api", "-n", "5"]).ok();
    assert!(logs.contains("mps-api"), "{logs}");

    machine.tend(&["scale", "api=1"]).ok();
    machine.wait_ready("mps", "api", 1);
    machine.tend(&["scale", "api=3"]).ok();
    machine.wait_ready("mps", "api", 3);

    let run = machine
        .tend(&["run", "api", "--", "sh", "-c", "echo in $TEND_STACK at $TEND_DATA_DIR"])
        .ok();
    assert!(run.contains("in mps at"), "{run}");
    machine.tend(&["exec", "api/1", "--", "sh", "-c", "exit 3"]);
    // What the command tells of its end is on the way to the journal when it returns.
    wait_until("both ends are in the journal", || {
        machine.events("run.finished").len() == 2
    });
    let (started, finished) = (machine.events("run.started"), machine.events("run.finished"));
    let exits: Vec<_> = finished.iter().map(|event| &event["data"]["exit"]).collect();
    assert_eq!(exits, ["exited with code 0", "exited with code 3"]);
    for (started, finished) in started.iter().zip(&finished) {
        for part in ["command", "purpose", "pid"] {
            assert_eq!(started["data"][part], finished["data"][part], "{part}");
        }
    }

    let pids = machine.pids("mps", "api");
    machine.tend(&["down", "mps"]).ok();
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "down leaves no replica");
    assert!(get(port, "/").is_err(), "down leaves no listener");
    machine.tend(&["events", "verify"]).ok();
    let edge = machine.edge();
    let said = machine.tend(&["shutdown"]).ok();
    assert!(
        said.contains("has ended, and the edge with it: no stack was up"),
        "{said}"
    );
    assert!(!is_alive(edge), "as it was said");
}

#[test]
fn several_stacks_live_side_by_side_on_one_daemon() {
    let machine = Machine::new("two-stacks");
    let port = free_port();
    let service = |path: &str| routed_web(port, path, &[READY]);
    let one = machine.stack("one", &service("/one"));
    let two = machine.stack("two", &service("/two"));
    machine.tend(&["up", &one]).ok();
    machine.tend(&["up", &two]).ok();
    assert_eq!(get(port, "/one/pid").unwrap().replica.as_deref(), Some("one/web/1"));
    assert_eq!(get(port, "/two/pid").unwrap().replica.as_deref(), Some("two/web/1"));
    assert_eq!(get(port, "/three").unwrap().status, 404);
    machine.tend(&["down", "one"]).ok();
    assert_eq!(get(port, "/two/pid").unwrap().status, 200, "the other stack goes on");
}

#[test]
fn stop_and_start_and_restart_do_what_they_say() {
    let machine = Machine::new("stop-start");
    let folder = machine.stack("shop", &web(&["replicas: 2", READY]));
    machine.tend(&["up", &folder]).ok();
    let before = machine.pids("shop", "web");
    machine.tend(&["restart", "shop/web"]).ok();
    machine.wait_ready("shop", "web", 2);
    let after = machine.pids("shop", "web");
    assert!(before.iter().all(|pid| !after.contains(pid)), "{before:?} {after:?}");
    machine.tend(&["stop", "shop/web"]).ok();
    assert!(after.iter().all(|pid| !is_alive(*pid)));
    machine.tend(&["start", "shop/web"]).ok();
    machine.wait_ready("shop", "web", 2);
}

#[test]
fn services_reach_each_other_at_stable_addresses_and_start_in_order() {
    let machine = Machine::new("addresses");
    let folder = machine.stack(
        "shop",
        "services:\n\
         \x20 api:\n    command: ../e2e-service\n    port: PORT\n    readiness: { http: /ready }\n\
         \x20 job:\n    command: sh -c 'echo api at $$TEND_API_URL and ${service.api.url}'\n    restart: \"no\"\n\
         \x20   depends_on: { api: { condition: service_healthy } }\n",
    );
    machine.tend(&["up", &folder]).ok();
    wait_until("the job has completed", || {
        machine.states("shop", "job") == ["completed"]
    });
    let said = machine.tend(&["logs", "shop/job"]).ok();
    let address = said
        .split("api at http://127.0.0.1:")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let port: u16 = address.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    assert_eq!(get(port, "/pid").unwrap().replica.as_deref(), Some("shop/api/1"));
}
