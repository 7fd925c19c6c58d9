//! Releases that are broken in each of the usual ways: the release before serves on without a failed request, the exit code tells what
//! became of the new one, and the reason stands in one sentence where it was asked for and in the journal.

use crate::deploy_rig::{Client, REFUSED, Shop, UNDONE, assert_harmless, database, migrates};
use crate::rig::wait_until;

#[test]
fn a_release_that_does_not_start_is_undone() {
    let shop = Shop::up("no-start", "", "");
    shop.deploy_good("0.2");
    shop.program("serve", "#!/bin/sh\necho 'cannot open the settings' >&2\nexit 3\n");
    shop.commit("does not start");
    assert_harmless(&shop, UNDONE, &["exited with code 3"], &["| cannot open the settings"]);
}

#[test]
fn a_release_that_is_never_ready_is_undone() {
    let shop = Shop::up("unready", "", "");
    shop.deploy_good("0.2");
    shop.serve("0.3", "unready");
    shop.commit("never ready");
    assert_harmless(&shop, UNDONE, &["did not become ready", "503"], &["listens on"]);
}

#[test]
fn a_release_that_crashes_when_it_was_ready_is_undone() {
    let shop = Shop::up("crash-ready", "", "");
    shop.deploy_good("0.2");
    shop.serve("0.3", "exit-when-ready");
    shop.commit("crashes soon");
    assert_harmless(&shop, UNDONE, &["exited with code 3"], &["| no table called members"]);
}

#[test]
fn a_release_that_answers_the_smoke_test_with_errors_is_undone() {
    let shop = Shop::up("errors", "", "");
    shop.deploy_good("0.2");
    shop.serve("0.3", "errors");
    shop.commit("answers errors");
    assert_harmless(
        &shop,
        UNDONE,
        &["smoke test", "answered 500, 200 was asked for"],
        &["failed smoke"],
    );
}

#[test]
fn a_release_that_leaks_is_killed_at_its_limit_and_undone() {
    // Looked at for longer than the leak takes to reach the limit.
    let shop = Shop::up("leak", "    mem_limit: 64m\n", "");
    shop.deploy_good("0.2");
    shop.serve("0.3", "leak");
    let path = shop.folder.join("stack.yml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("monitor: 600ms", "monitor: 30s")).unwrap();
    shop.commit("leaks");
    assert_harmless(&shop, UNDONE, &["memory"], &[]);
}

#[test]
fn a_release_whose_program_is_missing_is_refused() {
    let shop = Shop::up("missing", "", "");
    shop.deploy_good("0.2");
    std::fs::remove_file(shop.folder.join("serve")).unwrap();
    shop.commit("forgot the program");
    assert_harmless(&shop, REFUSED, &["serve` is missing"], &[]);
}

#[test]
fn a_release_built_for_another_machine_is_refused() {
    let shop = Shop::up("machine", "", "");
    shop.deploy_good("0.2");
    // An ELF header of a 64-bit little-endian executable for IBM's s390x, which no test of ours runs on, and nothing behind it.
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    (header[16], header[18], header[20]) = (2, 22, 1);
    let path = shop.folder.join("serve");
    std::fs::write(&path, header).unwrap();
    shop.commit("built elsewhere");
    assert_harmless(&shop, REFUSED, &["built for"], &[]);
}

#[test]
fn a_migration_that_fails_half_way_leaves_the_release_before_serving_and_a_restore_point() {
    let database = database("half-way");
    let shop = Shop::up("half-way", "", &migrates(&database, "20s"));
    let marks = database.with_file_name("marks");
    let migrate = |text: &str| {
        shop.program(
            "migrate",
            &format!("#!/bin/sh\n{}", text.replace("MARKS", &marks.display().to_string())),
        );
    };
    migrate("echo \"$TEND_RELEASE\" >> MARKS\n");
    shop.deploy_good("0.2");
    assert_eq!(std::fs::read_to_string(&marks).unwrap(), "2\n", "once, for release 2");
    migrate("echo half >> MARKS\necho 'step 1 of 2'\necho 'no such column: points' >&2\nexit 4\n");
    shop.serve("0.3", "");
    shop.commit("migrates badly");
    assert_harmless(
        &shop,
        UNDONE,
        &["migrate", "ended with exit status: 4"],
        &["| step 1 of 2", "| no such column: points"],
    );
    assert_eq!(
        std::fs::read_to_string(&marks).unwrap(),
        "2\nhalf\n",
        "not tried again by itself"
    );
    let acts = shop.machine.events("deploy.acted");
    let taken = acts.iter().filter(|event| event["data"]["act"] == "restore_point");
    assert!(taken.clone().count() == 2 && taken.into_iter().all(|event| event["data"]["outcome"] == "done"));
    std::fs::remove_dir_all(database.parent().unwrap()).unwrap();
}

#[test]
fn a_migration_that_hangs_is_ended_with_all_it_started() {
    let database = database("hangs");
    let shop = Shop::up("hangs", "", &migrates(&database, "2s"));
    shop.program("migrate", "#!/bin/sh\nexit 0\n");
    shop.deploy_good("0.2");
    let pids = database.with_file_name("pids");
    shop.program(
        "migrate",
        &format!(
            "#!/bin/sh\nsetsid sleep 600 &\necho $! $$ > {}\necho waiting for a lock\nsleep 600\n",
            pids.display()
        ),
    );
    shop.serve("0.3", "");
    shop.commit("hangs");
    assert_harmless(&shop, UNDONE, &["did not end within 2s"], &["| waiting for a lock"]);
    for pid in std::fs::read_to_string(&pids).unwrap().split_whitespace() {
        let pid: i32 = pid.parse().unwrap();
        wait_until("what the migration started is gone", || !crate::rig::is_alive(pid));
    }
    std::fs::remove_dir_all(database.parent().unwrap()).unwrap();
}

#[test]
fn what_stands_in_the_way_is_said_all_at_once_before_anything_changes() {
    let shop = Shop::up(
        "preflight",
        "",
        "deploy:\n  disk_free_min: 4096t\n  databases: [{ sqlite: /nowhere/at/all.sqlite }]\n",
    );
    shop.program("serve", "#!/no/such/interpreter\n");
    shop.commit("second");
    let client = Client::of(&shop);
    let done = shop.deploy(&[]);
    assert_eq!(done.code, REFUSED, "{}", done.said());
    for part in ["disk_free_min", "/nowhere/at", "/no/such/interpreter"] {
        assert!(done.said().contains(part), "`{part}` is missing in: {}", done.said());
    }
    assert_eq!(client.versions(), ["0.1"]);
    assert!(shop.machine.events("deploy.stage").is_empty(), "no replica was touched");
}
