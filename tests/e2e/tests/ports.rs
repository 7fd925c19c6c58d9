//! Inner ports that somebody else holds: nobody is sent to a stranger.

use std::net::TcpListener;

use crate::rig::{Machine, READY, get, kill, wait_until, web};

/// Listens on each of some ports that nobody has, as another program would.
fn hold(ports: impl IntoIterator<Item = u16>) -> Vec<TcpListener> {
    let listen = |port| TcpListener::bind(("127.0.0.1", port)).ok();
    ports.into_iter().filter_map(listen).collect()
}

/// The port at which other services reach `web`.
fn inner_port(machine: &Machine, stack: &str) -> u16 {
    let status = machine.json(&["status", stack]);
    let url = status["services"][0]["internal_url"].as_str().unwrap().to_owned();
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// The address that a replica was started with.
fn told(machine: &Machine, stack: &str) -> String {
    let pid = machine.pids(stack, "web")[0];
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let mut variables = environment.split('\0');
    let url = variables.find_map(|variable| variable.strip_prefix("TEND_WEB_URL="));
    url.unwrap().to_owned()
}

#[test]
fn a_service_is_given_no_inner_port_that_somebody_else_holds() {
    let machine = Machine::new("inner-port");
    machine.tend(&["up", &machine.stack("first", &web(&[READY]))]).ok();
    let first = inner_port(&machine, "first");
    wait_until("the edge serves it", || get(first, "/pid").is_ok());
    // What would be given next.
    let held = hold(first + 1..first + 20);
    assert!(held.len() >= 10, "most of them were free");
    machine.tend(&["up", &machine.stack("second", &web(&[READY]))]).ok();
    let second = inner_port(&machine, "second");
    assert!(
        !held.iter().any(|held| held.local_addr().unwrap().port() == second),
        "{second} is held by this test"
    );
    assert_eq!(told(&machine, "second"), format!("http://127.0.0.1:{second}"));
    wait_until("the service answers at its inner address", || {
        get(second, "/pid").is_ok_and(|answer| answer.replica.as_deref() == Some("second/web/1"))
    });
    assert_eq!(machine.events("service.moved").len(), 0);
}

#[test]
fn a_service_whose_inner_port_was_taken_meanwhile_is_moved_and_it_is_said_who_has_the_old_address() {
    let machine = Machine::new("moved");
    machine.tend(&["up", &machine.stack("shop", &web(&[READY]))]).ok();
    let port = inner_port(&machine, "shop");
    wait_until("the edge serves it", || get(port, "/pid").is_ok());
    let (daemon, edge) = (machine.daemon(), machine.edge());
    kill(daemon);
    kill(edge);
    // The port, and what would be given in its place.
    let mut held = Vec::new();
    wait_until("another program has the port", || {
        held.extend(hold([port]));
        !held.is_empty()
    });
    held.extend(hold(port + 1..port + 10));
    machine.start_daemon();
    let moved = machine.events("service.moved");
    assert_eq!(moved.len(), 1, "{moved:?}");
    let data = &moved[0]["data"];
    assert_eq!(data["from"], port);
    assert_eq!(data["restart"], serde_json::json!(["shop/web/1"]));
    assert!(
        data["hint"].as_str().unwrap().contains("tend restart --stack shop"),
        "{data}"
    );
    let to = inner_port(&machine, "shop");
    assert_eq!(data["to"], to);
    assert_ne!(to, port);
    wait_until("the service answers at its new address", || {
        get(to, "/pid").is_ok_and(|answer| answer.replica.as_deref() == Some("shop/web/1"))
    });
    // The replica goes on as it was, with the old address, until somebody restarts it.
    assert_eq!(told(&machine, "shop"), format!("http://127.0.0.1:{port}"));
    machine.tend(&["restart", "--stack", "shop"]).ok();
    assert_eq!(told(&machine, "shop"), format!("http://127.0.0.1:{to}"));
}
