//! What is wrong is said in one clear sentence, with what to do next, and exits as its class says.

use std::net::TcpListener;

use crate::rig::{Machine, free_port};

/// Runs `tend up` on a stack that cannot come up and returns what was said.
#[track_caller]
fn refused(machine: &Machine, folder: &str, code: i32) -> String {
    let done = machine.tend(&["up", folder]);
    assert_eq!(done.code, code, "{}", done.said());
    done.said()
}

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_malformed_stack_file_is_refused_at_its_places_all_at_once() {
    let machine = Machine::new("malformed");
    let folder = machine.stack("bad", "services:\n  web:\n    comand: ./x\n    restart: sometimes\n");
    let said = refused(&machine, &folder, 3);
    assert_says(&said, &["stack.yml:4", "`command`", "stack.yml:5", "sometimes"]);
}

#[test]
fn a_port_already_taken_is_refused_before_anything_starts() {
    let machine = Machine::new("port-taken");
    let port = free_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let folder = machine.stack(
        "shop",
        &format!(
            "services:\n  web: {{ command: ../e2e-service, port: PORT }}\n\
             edge:\n  listen: ['127.0.0.1:{port}']\n  routes: [{{ path: /, service: web }}]\n"
        ),
    );
    let said = refused(&machine, &folder, 5);
    assert_says(&said, &[&port.to_string(), "next:"]);
    assert!(
        machine.json(&["ls"])["stacks"].as_array().unwrap().is_empty(),
        "nothing was accepted"
    );
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let machine = Machine::new("no-command");
    let folder = machine.stack("shop", "services:\n  web: { command: ./not-built-yet }\n");
    assert_says(&refused(&machine, &folder, 1), &["not found", "not-built-yet", "next:"]);
}

#[test]
fn a_command_that_is_not_executable_is_named() {
    let machine = Machine::new("not-executable");
    let folder = machine.stack("shop", "services:\n  web: { command: ./stack.yml }\n");
    assert_says(&refused(&machine, &folder, 1), &["not executable", "next:"]);
}

#[test]
fn a_service_that_keeps_crashing_ends_up_with_its_last_lines() {
    let machine = Machine::new("crash-loop");
    let folder = machine.stack(
        "shop",
        "services:\n  web: { command: \"sh -c 'echo cannot reach the ledger; exit 3'\" }\n",
    );
    let said = refused(&machine, &folder, 1);
    assert_says(&said, &["exited with code 3", "cannot reach the ledger", "next:"]);
}

#[test]
fn a_failing_prepare_is_told_with_what_it_said() {
    let machine = Machine::new("prepare");
    let folder = machine.stack(
        "shop",
        "services:\n  web:\n    prepare: sh -c 'echo no compiler here >&2; exit 9'\n    command: ../e2e-service\n    port: PORT\n",
    );
    assert_says(
        &refused(&machine, &folder, 1),
        &["prepare", "no compiler here", "next:"],
    );
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let machine = Machine::new("second-daemon");
    let folder = machine.stack(
        "shop",
        "services:\n  web: { command: sleep 1000, start_period: 100ms }\n",
    );
    machine.tend(&["up", &folder]).ok();
    let done = machine.tend(&["daemon"]);
    assert_ne!(done.code, 0);
    assert_says(&done.said(), &["already", &machine.daemon().to_string()]);
}

#[test]
fn an_unwritable_state_folder_is_named_with_what_to_do() {
    if !rustix::process::geteuid().is_root() {
        // Needs a folder of somebody else's.
        return;
    }
    let machine = Machine::new("unwritable").run_by(4323);
    std::fs::create_dir(machine.folder.join("state")).unwrap();
    let folder = machine.stack("shop", "services:\n  web: { command: sleep 1000 }\n");
    let said = refused(&machine, &folder, 6);
    assert_says(&said, &["state", "ermission denied", "next:"]);
}

#[test]
fn a_full_disk_is_said_and_nothing_is_accepted() {
    if !rustix::process::geteuid().is_root() {
        // Needs a file system of its own, which only root can mount.
        return;
    }
    let machine = Machine::new("full-disk");
    let state = machine.folder.join("state");
    std::fs::create_dir(&state).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=200k", "tmpfs"])
        .arg(&state)
        .status()
        .unwrap();
    assert!(mounted.success(), "a small file system could not be mounted");
    let folder = machine.stack("shop", "services:\n  web: { command: sleep 1000 }\n");
    let done = machine.tend(&["up", &folder]);
    let unmounted = std::process::Command::new("umount")
        .arg("--lazy")
        .arg(&state)
        .status()
        .unwrap();
    assert!(unmounted.success());
    assert_ne!(done.code, 0, "{}", done.said());
    assert_says(&done.said(), &["No space left", "next:"]);
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let machine = Machine::new("unknown");
    let folder = machine.stack(
        "shop",
        "services:\n  web: { command: sleep 1000, start_period: 100ms }\n",
    );
    machine.tend(&["up", &folder]).ok();
    for (arguments, code, parts) in [
        (&["status", "shap"][..], 4, &["shap"][..]),
        (&["restart", "shop/wob"], 4, &["wob", "web"]),
        (&["restart", "shop/web/7"], 4, &["shop/web/7"]),
        (&["upp"], 2, &["up"]),
    ] {
        let done = machine.tend(arguments);
        assert_eq!(done.code, code, "{arguments:?}: {}", done.said());
        assert_says(&done.said(), parts);
    }
}
