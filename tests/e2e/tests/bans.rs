//! Bans, from the command line through the daemon to the edge and back: over kills of both, and ending by themselves.

use crate::rig::{Machine, READY, free_port, get, get_with, kill, routed_web, wait_until, web};

/// A stack whose edge believes this machine when it says for whom a request comes.
fn trusting(port: u16) -> String {
    let edge = format!(
        "edge:\n  listen:\n    - {{ address: '127.0.0.1:{port}', trusted: [127.0.0.1] }}\n  routes:\n    - {{ path: /, service: web }}\n"
    );
    format!("{}{edge}", web(&[READY]))
}

/// Asks as this client.
fn status(port: u16, client: &str) -> u16 {
    get_with(port, "/version", &format!("X-Forwarded-For: {client}\r\n"))
        .unwrap()
        .status
}

fn ban_files(machine: &Machine) -> usize {
    std::fs::read_dir(machine.folder.join("state/bans")).map_or(0, Iterator::count)
}

#[test]
fn a_ban_holds_over_killed_edges_and_daemons_until_it_is_ended() {
    let machine = Machine::new("ban");
    let port = free_port();
    machine.tend(&["up", &machine.stack("shop", &trusting(port))]).ok();
    assert_eq!(status(port, "203.0.113.7"), 200);

    let said = machine
        .tend(&["ban", "203.0.113.7", "2001:db8::/32", "--reason", "guesses passwords"])
        .ok();
    assert!(said.contains("the edge enforces it"), "{said}");
    // No waiting: what was said was seen.
    for (client, expected) in [
        ("203.0.113.7", 403),
        ("2001:db8::9", 403),
        ("203.0.113.8", 200),
        ("2001:db9::9", 200),
    ] {
        assert_eq!(status(port, client), expected, "{client}");
    }
    assert_eq!(ban_files(&machine), 1);
    let counted = machine.tend(&["edge", "metrics"]).ok();
    assert!(
        counted.contains("http_requests_total{") && counted.contains("status=\"403\""),
        "{counted}"
    );
    let listed = machine.json(&["bans"]);
    assert_eq!(listed["enforced"], true, "{listed}");
    assert_eq!(listed["refused"], 2, "{listed}");
    assert_eq!(listed["bans"][0]["address"], "203.0.113.7");
    assert_eq!(listed["bans"][0]["reason"], "guesses passwords");
    assert_eq!(listed["bans"][1]["address"], "2001:db8::/32");

    // The edge alone: it begins with what it last served.
    let edge = machine.edge();
    kill(edge);
    wait_until("the next edge to serve", || {
        machine.roles("edge").iter().any(|next| *next != edge) && get(port, "/ready").is_ok()
    });
    assert_eq!(status(port, "203.0.113.7"), 403);
    // Both: the next daemon tells the next edge, though nothing is left of what the first told.
    kill(machine.daemon());
    kill(machine.edge());
    std::fs::remove_dir_all(machine.folder.join("state/bans")).unwrap();
    machine.start_daemon();
    wait_until("the next edge enforces the ban", || {
        machine.json(&["bans"])["enforced"] == true && get(port, "/ready").is_ok()
    });
    assert_eq!(status(port, "203.0.113.7"), 403);
    assert_eq!(status(port, "203.0.113.8"), 200);

    let part = machine.tend(&["unban", "2001:db8::9"]);
    assert_eq!(part.code, 5, "{}", part.said());
    assert!(part.said().contains("a part of 2001:db8::/32"), "{}", part.said());
    machine.tend(&["unban", "203.0.113.7", "2001:db8::/32"]).ok();
    assert_eq!(status(port, "203.0.113.7"), 200);
    assert_eq!(status(port, "2001:db8::9"), 200);
    let again = machine.tend(&["unban", "203.0.113.7"]).ok();
    assert!(again.contains("was not before"), "{again}");
    let begun = machine.events("ban.begun");
    assert_eq!(begun[0]["data"]["reason"], "guesses passwords");
    assert_eq!(machine.events("ban.ended").len(), 1);
    wait_until("the files of bans are gone", || ban_files(&machine) == 0);
}

#[test]
fn a_ban_ends_at_its_time_though_no_daemon_is_there_to_end_it() {
    let machine = Machine::new("ban-ends");
    let port = free_port();
    machine.tend(&["up", &machine.stack("shop", &trusting(port))]).ok();
    machine.tend(&["ban", "203.0.113.7", "--for", "5s"]).ok();
    machine.tend(&["ban", "203.0.113.9", "--for", "1h"]).ok();
    let shorter = machine.tend(&["ban", "203.0.113.9", "--for", "1m"]).ok();
    assert!(shorter.contains("banned for longer before"), "{shorter}");
    kill(machine.daemon());
    wait_until("the ban ends by itself", || status(port, "203.0.113.7") == 200);
    assert_eq!(status(port, "203.0.113.9"), 403);
    machine.start_daemon();
    let listed = machine.json(&["bans"]);
    let addresses: Vec<&str> = (listed["bans"].as_array().unwrap().iter())
        .map(|ban| ban["address"].as_str().unwrap())
        .collect();
    assert_eq!(addresses, ["203.0.113.9"]);
}

#[test]
fn nobody_locks_himself_out_unless_he_insists() {
    let machine = Machine::new("ban-self");
    // Before there is an edge it is written down, and the first edge is told.
    machine.start_daemon();
    let early = machine.tend(&["ban", "203.0.113.7"]).ok();
    assert!(early.contains("no stack is up"), "{early}");
    let nothing = machine.tend(&["edge", "metrics"]);
    assert_eq!(nothing.code, 6, "{}", nothing.said());
    let port = free_port();
    machine.tend(&["up", &machine.stack("shop", &trusting(port))]).ok();
    assert_eq!(status(port, "203.0.113.7"), 403);
    for (address, why) in [
        ("127.0.0.1", "this machine itself"),
        ("126.0.0.0/7", "127.0.0.0/8 is in it"),
        ("0.0.0.0/0", "everybody"),
    ] {
        let refused = machine.tend(&["ban", address]);
        assert!(refused.code != 0 && refused.said().contains(why), "{}", refused.said());
    }
    let all = machine.tend(&["ban", "::/0", "--force"]);
    assert_eq!(all.code, 2, "{}", all.said());
    assert_eq!(status(port, "198.51.100.1"), 200);

    // Insisted on, it holds: the connection is closed before a word is said.
    machine.tend(&["ban", "127.0.0.1", "--force"]).ok();
    assert!(get(port, "/version").is_err());
    machine.tend(&["unban", "127.0.0.1"]).ok();
    assert_eq!(get(port, "/version").unwrap().status, 200);
}

#[test]
fn a_trusted_hop_that_comes_into_the_file_after_its_ban_is_let_in() {
    let machine = Machine::new("ban-hop");
    let port = free_port();
    let folder = machine.stack("shop", &routed_web(port, "/", &[READY]));
    machine.tend(&["up", &folder]).ok();
    machine.tend(&["ban", "10.0.0.0/8"]).ok();
    let file = trusting(port).replace("[127.0.0.1]", "[127.0.0.1, 10.0.0.5]");
    machine.tend(&["up", &machine.stack("shop", &file)]).ok();
    let listed = machine.json(&["bans"]);
    assert_eq!(listed["bans"][0]["but"][0], "10.0.0.5", "{listed}");
    assert_eq!(status(port, "10.0.0.6"), 403);
}
