//! Replicas that crash, hang, leak, refuse to go, and who they run as.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::rig::{Machine, READY, free_port, get, is_alive, kill, routed_web, wait_until, web};

#[test]
fn nobody_but_root_has_a_daemon_of_root_run_a_service_as_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        // Then the daemon is not root's, and nobody can be anybody else.
        return;
    }
    let machine = Machine::new("somebody");
    let mine = machine.stack(
        "mine",
        "services:\n  web:\n    command: sleep 600\n    start_period: 0s\n",
    );
    machine.tend(&["up", &mine]).ok();
    for (name, user, code) in [
        ("as-root", "root", 7),
        ("in-roots-group", "\"4323:0\"", 7),
        ("as-oneself", "\"4323\"", 0),
    ] {
        let text = format!("services:\n  web:\n    command: sleep 600\n    start_period: 0s\n    user: {user}\n");
        let folder = machine.stack(name, &text);
        std::os::unix::fs::chown(format!("{folder}/stack.yml"), Some(4323), Some(4323)).unwrap();
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid", "4323", "--regid", "4323", "--clear-groups"]);
        command.arg(machine.folder.join("tend")).args(["up", &folder]);
        let done = machine.in_its_environment(command).output().unwrap();
        assert_eq!(
            done.status.code(),
            Some(code),
            "{user}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

#[test]
fn a_crash_is_answered_at_once_and_leaves_a_card_with_the_last_lines() {
    let machine = Machine::new("crash");
    let port = free_port();
    let folder = machine.stack("shop", &routed_web(port, "/", &[READY]));
    machine.tend(&["up", &folder]).ok();
    assert!(get(port, "/exit?7").map_or(true, |answer| answer.status == 502));
    wait_until("it is back", || {
        get(port, "/pid").is_ok_and(|answer| answer.status == 200)
    });
    let cards = machine.events("replica.exited");
    let card = &cards.last().expect("a crash card")["data"];
    assert_eq!(card["exit"], "exited with code 7");
    let lines = card["last_lines"].as_array().unwrap();
    assert!(
        lines.iter().any(|line| line.as_str().unwrap().contains("listens on")),
        "{lines:?}"
    );
}

#[test]
fn a_replica_that_hangs_is_killed_by_its_liveness_and_started_again() {
    let machine = Machine::new("liveness");
    let port = free_port();
    let folder = machine.stack(
        "shop",
        &routed_web(
            port,
            "/",
            &[
                "readiness: { tcp: true }",
                "liveness: { http: /ready, interval: 200ms, timeout: 500ms, retries: 2, start_period: 0s }",
            ],
        ),
    );
    machine.tend(&["up", &folder]).ok();
    let before = machine.pids("shop", "web")[0];
    get(port, "/unready").unwrap();
    wait_until("it was replaced", || {
        !is_alive(before) && machine.states("shop", "web") == ["ready"]
    });
    let cards = machine.events("replica.exited");
    let exit = cards.last().unwrap()["data"]["exit"].as_str().unwrap().to_owned();
    assert!(exit.contains("liveness"), "{exit}");
}

#[test]
fn a_replica_over_its_memory_limit_is_killed_and_told_apart() {
    let machine = Machine::new("memory");
    let port = free_port();
    let folder = machine.stack(
        "shop",
        &routed_web(
            port,
            "/",
            &[READY, "deploy: { resources: { limits: { memory: 64m } } }"],
        ),
    );
    machine.tend(&["up", &folder]).ok();
    let before = machine.pids("shop", "web")[0];
    // With a cgroup the kernel kills it while it answers, without one tend does soon after.
    let _ = get(port, "/leak?200");
    wait_until("it was replaced", || {
        !is_alive(before) && machine.states("shop", "web") == ["ready"]
    });
    let cards = machine.events("replica.exited");
    let exit = cards.last().unwrap()["data"]["exit"].as_str().unwrap().to_owned();
    assert!(exit.contains("memory"), "{exit}");
}

#[test]
fn a_tree_that_ignores_the_stop_signal_is_killed_whole_after_the_grace_period() {
    let machine = Machine::new("stubborn");
    let folder = machine.stack(
        "shop",
        "services:\n  stubborn:\n    stop_grace_period: 500ms\n    start_period: 100ms\n\
         \x20   command: sh -c 'trap \"\" TERM; sleep 1000 & echo child $$!; while true; do sleep 1; done'\n",
    );
    machine.tend(&["up", &folder]).ok();
    let said = machine.tend(&["logs", "shop/stubborn"]).ok();
    let child: i32 = said
        .split("child ")
        .nth(1)
        .unwrap_or_else(|| panic!("{said}"))
        .trim()
        .parse()
        .unwrap();
    assert!(is_alive(child));
    let parent = machine.pids("shop", "stubborn")[0];
    machine.tend(&["down", "shop"]).ok();
    assert!(!is_alive(parent));
    wait_until("what it started is gone too", || !is_alive(child));
}

#[test]
fn a_rolling_restart_under_load_fails_no_request() {
    let machine = Machine::new("rolling");
    let port = free_port();
    let folder = machine.stack("shop", &routed_web(port, "/", &["replicas: 3", READY]));
    machine.tend(&["up", &folder]).ok();
    let before = machine.pids("shop", "web");
    let asking = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let go_on = std::sync::Arc::clone(&asking);
    let load = std::thread::spawn(move || {
        let mut answers = 0;
        while go_on.load(std::sync::atomic::Ordering::Relaxed) {
            let answer = get(port, "/slow?5").unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            answers += 1;
        }
        answers
    });
    for _ in 0..5 {
        machine.tend(&["restart", "shop/web"]).ok();
        machine.wait_ready("shop", "web", 3);
    }
    asking.store(false, std::sync::atomic::Ordering::Relaxed);
    assert!(load.join().unwrap() > 10);
    assert!(machine.pids("shop", "web").iter().all(|pid| !before.contains(pid)));
}

/// How the service of the tests is emptied, by its number alone.
const QUIESCE: &str = "quiesce: { post: /quiesce, in_flight: /in-flight, deadline: 10m }";

/// Returns a machine with a worker that has one job in flight, and the worker's own port.
fn with_a_job_in_flight(name: &str, quiesce: &str) -> (Machine, u16) {
    let machine = Machine::new(name);
    let port = free_port();
    let folder = machine.stack("shop", &routed_web(port, "/", &[READY, quiesce]));
    machine.tend(&["up", &folder]).ok();
    assert_eq!(get(port, "/begin").unwrap().status, 200);
    let own = machine.events("replica.started")[0]["data"]["port"].as_u64().unwrap();
    (machine, u16::try_from(own).unwrap())
}

/// Begins `tend restart shop/web` and waits until the worker has said that it still has a job in flight.
fn restart_up_to_the_job(machine: &Machine) -> std::process::Child {
    let mut command = machine.command("tend", &["restart", "shop/web"]);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let restart = command.spawn().unwrap();
    let said = |machine: &Machine| machine.json(&["status", "shop"]).to_string();
    wait_until("it says what it has in flight", || {
        said(machine).contains("it has 1 in flight")
    });
    restart
}

#[test]
fn what_a_worker_has_in_flight_is_finished_before_it_is_stopped() {
    let (machine, own) = with_a_job_in_flight("quiesce", QUIESCE);
    let before = machine.pids("shop", "web")[0];
    let mut restart = restart_up_to_the_job(&machine);
    assert_eq!(get(own, "/begin").unwrap().status, 503, "it takes no new work");
    assert!(is_alive(before));
    assert_eq!(get(own, "/finish").unwrap().status, 200);
    wait_until("it was replaced", || {
        !is_alive(before) && machine.states("shop", "web") == ["ready"]
    });
    wait_until("the command has ended", || restart.try_wait().unwrap().is_some());
    let lines = machine.tend(&["logs", "shop/web"]).ok();
    assert!(lines.contains("finished"), "{lines}");
    assert_eq!(machine.events("replica.quiesced")[0]["data"]["in_flight"], 0);
    assert_eq!(machine.events("replica.stopped")[0]["data"]["in_flight"], 0);
    let steps = machine.events("step.started");
    let what = |step: &serde_json::Value| step["data"]["what"].as_str().unwrap().to_owned();
    let stop = steps.iter().find(|step| what(step).starts_with("stop shop/web/1 "));
    assert_eq!(stop.unwrap()["data"]["in_flight"], 0);
    assert!(machine.events("replica.quiesce_gave_up").is_empty());
}

#[test]
fn a_worker_that_never_has_nothing_in_flight_is_stopped_at_its_deadline_and_the_journal_says_with_how_much() {
    let quiesce = "quiesce: { post: /quiesce, in_flight: /metrics, metric: jobs_in_flight, deadline: 1s }";
    let (machine, _) = with_a_job_in_flight("quiesce-deadline", quiesce);
    let before = machine.pids("shop", "web")[0];
    machine.tend(&["down", "shop"]).ok();
    assert!(!is_alive(before));
    assert_eq!(machine.events("replica.quiesce_gave_up")[0]["data"]["in_flight"], 1);
    assert_eq!(machine.events("replica.stopped")[0]["data"]["in_flight"], 1);
    assert!(machine.events("replica.quiesced").is_empty());
}

#[test]
fn a_daemon_that_comes_back_empties_the_worker_that_another_began_to() {
    let (machine, own) = with_a_job_in_flight("quiesce-kill", QUIESCE);
    let before = machine.pids("shop", "web")[0];
    let mut restart = restart_up_to_the_job(&machine);
    let daemon = machine.daemon();
    kill(daemon);
    wait_until("the daemon is gone", || !is_alive(daemon));
    wait_until("the command has ended", || restart.try_wait().unwrap().is_some());
    machine.start_daemon();
    wait_until("the next one asks too", || {
        machine
            .json(&["status", "shop"])
            .to_string()
            .contains("it has 1 in flight")
    });
    assert!(is_alive(before));
    assert_eq!(get(own, "/finish").unwrap().status, 200);
    wait_until("it was replaced", || {
        !is_alive(before) && machine.states("shop", "web") == ["ready"]
    });
    assert_eq!(machine.events("replica.quiesced")[0]["data"]["in_flight"], 0);
}

#[test]
fn a_restart_on_schedule_happens_by_itself() {
    let machine = Machine::new("schedule");
    let folder = machine.stack("shop", &web(&[READY, "restart_every: 1s"]));
    machine.tend(&["up", &folder]).ok();
    let before = machine.pids("shop", "web");
    wait_until("it was restarted", || machine.pids("shop", "web") != before);
    wait_until("it says why", || {
        machine
            .events("replica.stopping")
            .iter()
            .any(|event| event["data"]["reason"] == "its scheduled restart is due")
    });
}

#[test]
fn a_replica_never_runs_silently_as_root() {
    if !rustix::process::geteuid().is_root() {
        // Then it can only run as this very user, which the other tests see.
        return;
    }
    let machine = Machine::new("users");
    let text = |user: &str| format!("services:\n  web:\n    command: ../e2e-service\n    port: PORT\n{user}");
    let uid = |stack: &str| {
        let pid = machine.pids(stack, "web")[0];
        std::fs::metadata(format!("/proc/{pid}")).unwrap().uid()
    };
    let of_root = machine.stack("of-root", &text(""));
    machine.tend(&["up", &of_root]).ok();
    assert!(
        (61_184..65_520).contains(&uid("of-root")),
        "a user of the stack's own, not {}",
        uid("of-root")
    );

    let of_owner = machine.stack("of-owner", &text(""));
    std::os::unix::fs::chown(
        std::path::Path::new(&of_owner).join("stack.yml"),
        Some(4321),
        Some(4321),
    )
    .unwrap();
    machine.tend(&["up", &of_owner]).ok();
    assert_eq!(uid("of-owner"), 4321, "the file's owner");

    let named = machine.stack("named", &text("    user: nobody\n"));
    machine.tend(&["up", &named]).ok();
    assert_eq!(uid("named"), 65_534, "the user the file names");

    let asked = machine.stack("asked", &text("    user: root\n"));
    machine.tend(&["up", &asked]).ok();
    assert_eq!(uid("asked"), 0, "root only where the file says so");
}

#[test]
fn an_unprivileged_user_has_a_tend_of_his_own() {
    if !rustix::process::geteuid().is_root() {
        // Then every test is this one.
        return;
    }
    let machine = Machine::new("unprivileged").run_by(4322);
    let port = free_port();
    let folder = machine.mps(port);
    machine.tend(&["up", &folder]).ok();
    assert_eq!(get(port, "/health").unwrap().status, 200);
    let pid = machine.pids("mps", "api")[0];
    assert_eq!(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(), 4322);
    kill(pid);
    wait_until("it was replaced", || !machine.pids("mps", "api").contains(&pid));
    machine.wait_ready("mps", "api", 3);
    machine.tend(&["down", "mps"]).ok();
    machine.tend(&["events", "verify"]).ok();
}

#[test]
fn the_card_of_an_end_while_the_daemon_was_away_says_how_long_it_really_ran() {
    let machine = Machine::new("away");
    let begun = Instant::now();
    machine.tend(&["up", &machine.stack("shop", &web(&[READY]))]).ok();
    let ready = Instant::now();
    let replica = machine.pids("shop", "web")[0];
    let daemon = machine.daemon();
    kill(daemon);
    wait_until("the daemon is gone", || !is_alive(daemon));
    let seen_running = ready.elapsed();
    kill(replica);
    wait_until("the replica has ended", || !is_alive(replica));
    let most = begun.elapsed();
    // Longer than it ran at most, so that one time cannot be taken for the other.
    let ended = Instant::now();
    wait_until("the daemon was away for a while", || ended.elapsed() > most);
    machine.start_daemon();
    wait_until("the end is in the journal", || {
        !machine.events("replica.exited").is_empty()
    });
    let card = &machine.events("replica.exited")[0]["data"];
    let uptime = Duration::from_millis(card["uptime_ms"].as_u64().unwrap());
    assert!(
        seen_running <= uptime && uptime <= most,
        "between {seen_running:?} and {most:?}: {card}"
    );
}
