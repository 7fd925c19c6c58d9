//! Money routes, maintenance and pauses, from the command line through the daemon to the edge and back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::rig::{Machine, READY, free_port, get, kill, routed_web, wait_until, web};

/// Posts nothing but a key, and returns the whole answer.
fn post(port: u16, path: &str, key: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: any.test\r\nIdempotency-Key: {key}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.to_ascii_lowercase()
}

#[test]
fn a_key_has_one_effect_over_killed_edges_and_a_person_ends_a_doubt() {
    let machine = Machine::new("money");
    let port = free_port();
    let edge =
        format!("edge:\n  listen: ['127.0.0.1:{port}']\n  routes:\n    - {{ path: /, service: web, money: true }}\n");
    machine
        .tend(&["up", &machine.stack("shop", &format!("{}{edge}", web(&[READY])))])
        .ok();

    let first = post(port, "/begin", "one");
    assert!(
        first.starts_with("http/1.1 200") && !first.contains("idempotent-replayed"),
        "{first}"
    );
    let again = post(port, "/begin", "one");
    assert!(again.contains("idempotent-replayed: true"), "{again}");
    let before = machine.edge();
    kill(before);
    wait_until("the next edge to serve", || {
        machine.edge() != before && get(port, "/ready").is_ok()
    });
    let replayed = post(port, "/begin", "one");
    assert!(replayed.contains("idempotent-replayed: true"), "{replayed}");
    assert_eq!(get(port, "/in-flight").unwrap().body.trim(), "1", "one effect");

    // The replica ends in the middle of the request: nobody knows what became of it.
    let lost = post(port, "/exit?1", "two");
    assert!(lost.contains("x-tend-outcome: unknown"), "{lost}");
    wait_until("the doubt is in the journal", || {
        machine.events("money.in_doubt").len() == 1
    });
    let doubt = post(port, "/exit?1", "two");
    assert!(
        doubt.starts_with("http/1.1 409") && doubt.contains("x-tend-error: key_in_doubt"),
        "{doubt}"
    );
    let listed = machine.tend(&["money", "list"]).ok();
    assert!(listed.contains("two") && listed.contains("in doubt"), "{listed}");
    assert!(machine.tend(&["status", "shop"]).ok().contains("outcome is not known"));
    machine
        .tend(&["money", "resolve", "two", "--happened", "201:{\"payment\":7}"])
        .ok();
    let resolved = post(port, "/exit?1", "two");
    assert!(
        resolved.starts_with("http/1.1 201") && resolved.ends_with("{\"payment\":7}"),
        "{resolved}"
    );
    assert_eq!(machine.events("money.resolved")[0]["data"]["happened"], true);
    assert!(machine.tend(&["money", "show", "two"]).ok().contains("answered"));
}

#[test]
fn a_stack_in_maintenance_says_so_until_it_is_opened_whatever_runs_meanwhile() {
    let machine = Machine::new("maintenance");
    let port = free_port();
    let file = machine.stack("shop", &routed_web(port, "/", &[READY]));
    machine.tend(&["up", &file]).ok();
    let said = machine
        .tend(&[
            "maintenance",
            "on",
            "shop",
            "--until",
            "1h",
            "--message",
            "We move to new disks.",
        ])
        .ok();
    assert!(said.contains("the edge serves it so"), "{said}");
    let closed = get(port, "/").unwrap();
    assert_eq!(closed.status, 503);
    assert!(closed.body.contains("We move to new disks."), "{}", closed.body);
    assert_eq!(get(port, "/ready").unwrap().status, 200, "health is served");
    assert!(
        machine
            .tend(&["status", "shop"])
            .ok()
            .contains("shop is in maintenance since")
    );
    // It outlives an edge, and a daemon.
    let (edge, daemon) = (machine.edge(), machine.daemon());
    kill(edge);
    wait_until("the next edge to serve", || {
        machine.edge() != edge && get(port, "/").is_ok()
    });
    assert_eq!(get(port, "/").unwrap().status, 503);
    kill(daemon);
    machine.start_daemon();
    machine.tend(&["maintenance", "off", "shop"]).ok();
    assert_eq!(get(port, "/version").unwrap().status, 200);
    assert!(!machine.tend(&["status", "shop"]).ok().contains("maintenance"));
    let begun = machine.events("maintenance.begun");
    assert_eq!(begun[0]["data"]["what"]["message"], "We move to new disks.");
    assert_eq!(machine.events("maintenance.ended").len(), 1);

    machine.tend(&["pause", "shop/web"]).ok();
    let waiting: Vec<_> = (0..5)
        .map(|_| std::thread::spawn(move || get(port, "/version").unwrap().status))
        .collect();
    assert_eq!(get(port, "/ready").unwrap().status, 200);
    machine.tend(&["resume", "shop/web"]).ok();
    for request in waiting {
        assert_eq!(request.join().unwrap(), 200);
    }
    assert_eq!(
        (machine.events("pause.begun").len(), machine.events("pause.ended").len()),
        (1, 1)
    );
}
