//! Deploys of a small service kept in git: good ones, ways back, and releases that are broken in each of the usual ways.
//!
//! All the while a client asks, and not one of its requests may fail.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::rig::{Done, Machine, free_port, get, wait_until};

/// Exit codes of a deployment, as the reference page of the command line has them.
const REFUSED: i32 = 10;
const UNDONE: i32 = 11;

/// A stack of one service in a git checkout of its own.
struct Shop {
    machine: Machine,
    folder: PathBuf,
    port: u16,
}

impl Shop {
    /// Brings release 0.1 of the service up in place; `more` is written below the service, `deploy` at the end of the file.
    fn up(name: &str, more: &str, deploy: &str) -> Self {
        let machine = Machine::new(name);
        let port = free_port();
        let service = machine.folder.join("e2e-service");
        let text = format!(
            "services:\n  web:\n    command: ./serve\n    artifact: [.]\n    port: PORT\n    replicas: 2\n    restart: always\n\
             \x20   environment:\n      E2E_SERVICE: {}\n\
             \x20   readiness: {{ http: /ready, interval: 100ms, start_interval: 50ms, timeout: 1s, retries: 1, start_period: 0s }}\n\
             \x20   smoke:\n      - {{ http: /version, contains: '0.' }}\n\
             \x20   stop_grace_period: 2s\n{more}\
             \x20   deploy:\n      update_config:\n        order: start-first\n        failure_action: rollback\n\
             \x20       monitor: 600ms\n        ready_within: 5s\n        consecutive: 2\n\
             edge:\n  listen: ['127.0.0.1:{port}']\n  routes:\n    - {{ path: /, service: web }}\n{deploy}",
            service.display()
        );
        let folder = PathBuf::from(machine.stack("shop", &text));
        let shop = Self { machine, folder, port };
        shop.git(&["init", "--quiet", "--initial-branch", "main"]);
        shop.serve("0.1", "");
        shop.commit("first");
        shop.machine.tend(&["up", &shop.stack()]).ok();
        shop
    }

    fn stack(&self) -> String {
        self.folder.display().to_string()
    }

    /// Writes the program of the service: which version it says it is, and in which way it is broken.
    fn serve(&self, version: &str, mode: &str) {
        self.program(
            "serve",
            &format!("#!/bin/sh\nexport E2E_VERSION={version} E2E_MODE={mode}\nexec \"$E2E_SERVICE\"\n"),
        );
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C")
            .arg(&self.folder)
            .args(["-c", "user.name=ana", "-c", "user.email=ana@example.com"]);
        let done = self
            .machine
            .in_its_environment(git_in(git, arguments))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    fn deploy(&self, more: &[&str]) -> Done {
        let stack = self.stack();
        let mut arguments = vec!["deploy", stack.as_str()];
        arguments.extend(more);
        self.machine.tend(&arguments)
    }

    /// Deploys a version that is meant to be good.
    #[track_caller]
    fn deploy_good(&self, version: &str) -> String {
        self.serve(version, "");
        self.commit(version);
        self.deploy(&[]).ok()
    }

    fn version(&self) -> String {
        get(self.port, "/version").unwrap().body.trim().to_owned()
    }

    fn releases(&self) -> Value {
        self.machine.json(&["releases", "shop"])
    }

    /// Returns what the journal says of the last deployment's end.
    fn last_end(&self) -> Value {
        self.machine
            .events("deploy.finished")
            .pop()
            .expect("a deployment ended")["data"]
            .clone()
    }

    /// Asserts that the release before serves alone, and that the journal says what became of the other.
    #[track_caller]
    fn assert_only(&self, version: &str, result: &str) {
        assert_eq!(self.version(), version);
        // The journal is written beside the telling, and the last one beyond the wanted number may still be on its way out.
        wait_until("the journal has it", || self.last_end()["result"] == result);
        self.machine.wait_ready("shop", "web", 2);
    }
}

/// Starts a command whose output nobody looks at.
fn quietly(shop: &Shop, arguments: &[&str]) -> std::process::Child {
    let mut command = shop.machine.command("tend", arguments);
    let nowhere = std::process::Stdio::null;
    command.stdout(nowhere()).stderr(nowhere()).spawn().unwrap()
}

fn git_in(mut git: Command, arguments: &[&str]) -> Command {
    git.args(arguments);
    git
}

/// A client that asks all the while.
struct Client {
    go_on: Arc<AtomicBool>,
    asking: JoinHandle<Vec<String>>,
}

impl Client {
    fn of(shop: &Shop) -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        let (port, asks) = (shop.port, Arc::clone(&go_on));
        let asking = std::thread::spawn(move || {
            let mut versions = Vec::new();
            while asks.load(Ordering::Relaxed) {
                let answer = get(port, "/version").unwrap();
                assert_eq!(answer.status, 200, "{}", answer.body);
                let version = answer.body.trim().to_owned();
                if versions.last() != Some(&version) {
                    versions.push(version);
                }
            }
            versions
        });
        Self { go_on, asking }
    }

    /// Stops asking and returns the versions that answered, one after the other; a failed request fails the test.
    fn versions(self) -> Vec<String> {
        self.go_on.store(false, Ordering::Relaxed);
        self.asking.join().unwrap()
    }
}

/// Deploys a broken version and asserts that it does not matter to anybody but the one who deployed it.
#[track_caller]
fn assert_harmless(shop: &Shop, code: i32, reason: &[&str], lines: &[&str]) {
    let client = Client::of(shop);
    let done = shop.deploy(&[]);
    let versions = client.versions();
    let said = done.said();
    assert_eq!(done.code, code, "{said}");
    for part in reason.iter().chain(lines) {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
    assert_eq!(versions, ["0.2"], "only the release before answered clients");
    let result = if code == REFUSED { "refused" } else { "undone" };
    shop.assert_only("0.2", result);
    let why = shop.last_end()["why"].as_str().unwrap_or_default().to_owned();
    for part in reason {
        assert!(why.contains(part), "`{part}` is missing in the journal: {why}");
    }
    assert_eq!(shop.releases()["deployment"], Value::Null);
}

#[test]
fn a_good_release_is_deployed_and_gone_back_from_without_a_failed_request() {
    let shop = Shop::up("good", "", "");
    let client = Client::of(&shop);
    let said = shop.deploy_good("0.2");
    assert!(said.contains("release 2 of shop runs"), "{said}");
    assert_eq!(shop.version(), "0.2");
    let said = shop.deploy(&[]).ok();
    assert!(said.contains("release 2 of shop runs already"), "{said}");
    shop.deploy_good("0.3");
    let list = shop.releases();
    let roles: Vec<&str> = (list["releases"].as_array().unwrap().iter())
        .map(|release| release["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["kept", "back", "running"]);
    shop.machine.tend(&["rollback", "shop", "--check"]).ok();
    shop.machine
        .tend(&["rollback", "shop", "--reason", "refunds fail"])
        .ok();
    assert_eq!(shop.version(), "0.2");
    // And back to what ran in place before the first deploy.
    shop.machine.tend(&["rollback", "shop", "--to", "3"]).ok();
    let versions = client.versions();
    assert_eq!(versions.first().map(String::as_str), Some("0.1"));
    assert_eq!(versions.last().map(String::as_str), Some("0.3"));
    shop.machine.tend(&["events", "verify"]).ok();
}

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

/// What a migration is told in the stack file; the command lies in the checkout.
fn migrates(shop_database: &Path, timeout: &str) -> String {
    format!(
        "deploy:\n  migrate: {{ service: web, command: ./migrate, timeout: {timeout} }}\n  databases:\n    - {{ sqlite: {} }}\n",
        shop_database.display()
    )
}

/// Returns a place for a database that every user may write to, gone with the machine of the test.
fn database(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tend-e2e-database-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    folder.join("shop.sqlite")
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
fn a_second_deploy_is_refused_with_the_holder_of_the_lock_and_the_first_can_be_aborted() {
    let shop = Shop::up("lock", "", "deploy: { approval: true }\n");
    shop.serve("0.2", "");
    shop.commit("second");
    let stack = shop.stack();
    let first = shop
        .machine
        .command("tend", &["deploy", &stack, "--reason", "less latency"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("it waits to be approved", || {
        shop.releases()["deployment"]["phase"] == "waiting for approval"
    });
    let refused = shop.deploy(&[]);
    assert_eq!(refused.code, 5, "{}", refused.said());
    for part in ["release 2", "less latency", "ago by", "waiting for approval", "--abort"] {
        assert!(
            refused.said().contains(part),
            "`{part}` is missing in: {}",
            refused.said()
        );
    }
    for command in [&["up", stack.as_str()][..], &["scale", "shop/web=3"]] {
        assert_eq!(
            shop.machine.tend(command).code,
            5,
            "{command:?} changes what is being deployed"
        );
    }
    // Whoever leaves loses only the telling, and is told so.
    let pid = rustix::process::Pid::from_raw(i32::try_from(first.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let left = first.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&left.stderr).into_owned();
    assert_eq!(left.status.code(), Some(130), "{said}");
    assert!(said.contains("--follow") && said.contains("--abort"), "{said}");
    assert_eq!(shop.releases()["deployment"]["phase"], "waiting for approval");
    shop.machine.tend(&["approve", "shop", "--why", "seen on staging"]).ok();
    shop.machine.tend(&["deploy", &stack, "--follow"]).ok();
    assert_eq!(shop.version(), "0.2");
    let decided = shop.machine.events("deploy.decided").pop().unwrap();
    assert_eq!(decided["data"]["why"], "seen on staging");
    shop.serve("0.3", "");
    shop.commit("third");
    let mut third = quietly(&shop, &["deploy", &stack]);
    wait_until("it waits to be approved", || {
        shop.releases()["deployment"]["phase"] == "waiting for approval"
    });
    shop.machine.tend(&["reject", "shop", "--why", "not on a Friday"]).ok();
    assert_eq!(third.wait().unwrap().code(), Some(REFUSED));
    shop.assert_only("0.2", "refused");
    assert_eq!(shop.machine.tend(&["confirm", "shop"]).code, 5, "nothing is under way");
}

#[test]
fn what_nobody_confirms_is_undone_by_itself_and_what_somebody_does_stays() {
    let shop = Shop::up("confirm", "", "");
    shop.deploy_good("0.2");
    shop.serve("0.3", "");
    shop.commit("third");
    let client = Client::of(&shop);
    let done = shop.deploy(&["--confirm", "1s"]);
    assert_eq!(done.code, UNDONE, "{}", done.said());
    assert!(done.said().contains("nobody confirmed it within 1s"), "{}", done.said());
    shop.assert_only("0.2", "undone");
    let stack = shop.stack();
    let mut again = quietly(&shop, &["deploy", &stack, "--confirm", "10m"]);
    wait_until("it waits to be confirmed", || {
        shop.releases()["deployment"]["phase"] == "waiting to be confirmed"
    });
    assert_eq!(shop.version(), "0.3");
    shop.machine.tend(&["confirm", "shop"]).ok();
    assert_eq!(again.wait().unwrap().code(), Some(0));
    shop.assert_only("0.3", "committed");
    client.versions();
}

#[test]
fn changes_that_are_in_no_commit_are_refused_unless_they_are_meant() {
    let shop = Shop::up("dirty", "", "");
    shop.deploy_good("0.2");
    shop.serve("0.3", "");
    let done = shop.deploy(&[]);
    assert_eq!(done.code, REFUSED, "{}", done.said());
    assert!(done.said().contains("changes that are in no commit"), "{}", done.said());
    shop.assert_only("0.2", "committed");
    shop.deploy(&["--allow-dirty"]).ok();
    assert_eq!(shop.version(), "0.3");
    // A revision that was committed is not what lies in the folder.
    shop.deploy(&["--revision", "HEAD"]).ok();
    assert_eq!(shop.version(), "0.2");
}

#[test]
fn up_does_not_replace_a_release_unless_it_is_told_to() {
    let shop = Shop::up("up", "", "");
    shop.deploy_good("0.2");
    let stack = shop.stack();
    shop.machine.tend(&["up", &stack]).ok();
    assert_eq!(shop.version(), "0.2");
    let path = shop.folder.join("stack.yml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("replicas: 2", "replicas: 1")).unwrap();
    let refused = shop.machine.tend(&["up", &stack]);
    assert_eq!(refused.code, 5, "{}", refused.said());
    assert!(refused.said().contains("tend deploy"), "{}", refused.said());
    let plan = shop.machine.json(&["plan", &stack]);
    assert_eq!((&plan["release"], &plan["from"]), (&Value::from(3), &Value::from(2)));
    shop.serve("0.4", "");
    shop.machine.tend(&["up", &stack, "--in-place"]).ok();
    assert_eq!(shop.machine.states("shop", "web"), ["ready"]);
    assert_eq!(shop.version(), "0.4");
}

#[test]
fn a_stack_that_runs_in_place_alone_is_not_called_deployed() {
    let machine = Machine::new("in-place");
    let folder = machine.stack(
        "shop",
        "services:\n  web:\n    command: ../e2e-service\n    port: PORT\n    readiness: { http: /ready }\n",
    );
    machine.tend(&["up", &folder]).ok();
    let done = machine.tend(&["deploy", &folder]);
    assert_eq!(done.code, REFUSED, "{}", done.said());
    assert!(done.said().contains("in place"), "{}", done.said());
    assert_eq!(
        machine.json(&["releases", "shop"])["releases"],
        Value::Array(Vec::new())
    );
}

#[test]
fn staging_is_promoted_with_the_same_artifact_and_another_configuration() {
    let shop = Shop::up("promote", "", "");
    shop.deploy_good("0.2");
    let port = free_port();
    let service = shop.machine.folder.join("e2e-service");
    let live = shop.machine.stack(
        "live",
        &format!(
            "services:\n  web:\n    command: ./serve\n    artifact: [.]\n    port: PORT\n\
             \x20   environment: {{ E2E_SERVICE: {}, WHERE: live }}\n    readiness: {{ http: /ready }}\n\
             \x20   deploy: {{ update_config: {{ order: start-first, failure_action: rollback, consecutive: 1 }} }}\n\
             edge:\n  listen: ['127.0.0.1:{port}']\n  routes:\n    - {{ path: /, service: web }}\n\
             deploy: {{ promote_from: shop }}\n",
            service.display()
        ),
    );
    std::fs::copy(shop.folder.join("serve"), Path::new(&live).join("serve")).unwrap();
    shop.machine.tend(&["up", &live]).ok();
    let denied = shop.machine.tend(&["promote", "--from", "live", "--to", "shop"]);
    assert_ne!(denied.code, 0, "the other way nobody allowed");
    shop.machine
        .tend(&[
            "promote",
            "--from",
            "shop",
            "--to",
            "live",
            "--reason",
            "a week on staging",
        ])
        .ok();
    let of = |stack: &str, number: &str| shop.machine.json(&["release", "show", stack, number]);
    let (staging, promoted) = (of("shop", "2"), of("live", "2"));
    assert_eq!(promoted["promoted_from"], "shop/2");
    assert_eq!(
        promoted["artifacts"]["web"]["digest"],
        staging["artifacts"]["web"]["digest"]
    );
    assert_ne!(promoted["configuration"], staging["configuration"]);
    assert_eq!(get(port, "/version").unwrap().body.trim(), "0.2");
}

#[test]
fn a_deploy_that_is_to_pause_is_held_until_a_person_decides() {
    let shop = Shop::up("held", "", "");
    shop.deploy_good("0.2");
    let path = shop.folder.join("stack.yml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("failure_action: rollback", "failure_action: pause")).unwrap();
    shop.serve("0.3", "errors");
    shop.commit("answers errors");
    let client = Client::of(&shop);
    let done = shop.deploy(&[]);
    assert_eq!(done.code, 12, "{}", done.said());
    assert!(
        done.said().contains("held half-way") && done.said().contains("tend approve"),
        "{}",
        done.said()
    );
    assert_eq!(shop.deploy(&[]).code, 5, "it still holds the lock");
    let stack = shop.stack();
    shop.machine
        .tend(&["deploy", &stack, "--abort", "--reason", "it is broken"])
        .ok();
    let end = shop.machine.tend(&["deploy", &stack, "--follow"]);
    assert_eq!(end.code, UNDONE, "{}", end.said());
    shop.assert_only("0.2", "undone");
    assert_eq!(client.versions(), ["0.2"]);
}

#[test]
fn a_migration_outlives_a_killed_daemon_and_is_never_run_twice_at_once() {
    let database = database("outlives");
    let shop = Shop::up("outlives", "", &migrates(&database, "30s"));
    shop.program("migrate", "#!/bin/sh\nexit 0\n");
    shop.deploy_good("0.2");
    let (marks, go_on) = (database.with_file_name("marks"), database.with_file_name("go-on"));
    shop.program(
        "migrate",
        &format!(
            "#!/bin/sh\necho begin >> {marks}\nwhile [ ! -e {go_on} ]; do echo still at it; sleep 0.05; done\necho end >> {marks}\n",
            marks = marks.display(),
            go_on = go_on.display()
        ),
    );
    shop.serve("0.3", "");
    shop.commit("third");
    let stack = shop.stack();
    let mut deploy = quietly(&shop, &["deploy", &stack]);
    let said = || std::fs::read_to_string(&marks).unwrap_or_default();
    wait_until("it migrates", || said() == "begin\n");
    crate::rig::kill(shop.machine.daemon());
    deploy.wait().unwrap();
    shop.machine.start_daemon();
    assert_eq!(said(), "begin\n", "the first still runs, and no second beside it");
    std::fs::write(&go_on, "").unwrap();
    let end = shop.machine.tend(&["deploy", &stack, "--follow"]);
    assert_eq!(end.code, 0, "{}", end.said());
    assert_eq!(
        said(),
        "begin\nend\nbegin\nend\n",
        "once more to be sure, one after the other"
    );
    shop.assert_only("0.3", "committed");
    std::fs::remove_dir_all(database.parent().unwrap()).unwrap();
}

#[test]
fn a_contract_migration_is_held_back_while_a_release_that_needs_it_may_have_to_run() {
    let database = database("contract");
    let seen = database.with_file_name("seen");
    let shop = Shop::up(
        "contract",
        "",
        "deploy:\n  migrate: { service: web, command: ./migrate, timeout: 20s, files: 'migrations/*.sql' }\n",
    );
    shop.program("migrate", &format!("#!/bin/sh\nls migrations > {}\n", seen.display()));
    std::fs::create_dir_all(shop.folder.join("migrations")).unwrap();
    let sql = |name: &str, text: &str| std::fs::write(shop.folder.join("migrations").join(name), text).unwrap();
    sql(
        "0001_members.sql",
        "CREATE TABLE members (id bigint PRIMARY KEY, note text);\n",
    );
    shop.deploy_good("0.2");
    sql("0002_drop_note.sql", "ALTER TABLE members DROP COLUMN note;\n");
    let said = shop.deploy_good("0.3");
    assert!(said.contains("held back: 0002_drop_note.sql"), "{said}");
    let files = || std::fs::read_to_string(&seen).unwrap();
    assert_eq!(files(), "0001_members.sql\n");
    // It was not run, so there is a way back.
    shop.machine.tend(&["rollback", "shop", "--check"]).ok();
    // Every release that may have to run knows it by now.
    shop.deploy_good("0.4");
    shop.deploy_good("0.5");
    assert_eq!(files(), "0001_members.sql\n0002_drop_note.sql\n");
    shop.machine.tend(&["rollback", "shop", "--check"]).ok();
    let back = shop.machine.tend(&["rollback", "shop", "--to", "2"]);
    assert_eq!(back.code, REFUSED, "{}", back.said());
    assert!(back.said().contains("0002_drop_note.sql"), "{}", back.said());
    assert_eq!(shop.version(), "0.5");
    std::fs::remove_dir_all(database.parent().unwrap()).unwrap();
}

#[test]
fn who_wants_to_know_is_told_and_what_is_not_kept_is_removed() {
    let place = database("told");
    let told = place.with_file_name("told");
    let shop = Shop::up(
        "told",
        "",
        &format!(
            "deploy:\n  keep: {{ count: 0 }}\n  environment: production\n  notify: \"sh -c 'env | grep ^TEND_DEPLOY_ | sort > {}'\"\n",
            told.display()
        ),
    );
    shop.serve("0.2", "");
    shop.commit("second");
    shop.deploy(&["--reason", "less latency"]).ok();
    let facts = || std::fs::read_to_string(&told).unwrap_or_default();
    for fact in [
        "STACK=shop",
        "ENVIRONMENT=production",
        "RELEASE=2",
        "FROM=1",
        "RUNNING=2",
        "RESULT=committed",
        "REASON=less latency",
    ] {
        assert!(
            facts().contains(&format!("TEND_DEPLOY_{fact}\n")),
            "{fact} is missing in {}",
            facts()
        );
    }
    shop.serve("0.3", "errors");
    shop.commit("third");
    assert_eq!(shop.deploy(&[]).code, UNDONE);
    assert!(
        facts().contains("TEND_DEPLOY_RESULT=undone\n") && facts().contains("TEND_DEPLOY_WHY="),
        "{}",
        facts()
    );
    shop.deploy_good("0.4");
    shop.deploy_good("0.5");
    let list = shop.releases();
    let kept: Vec<u64> = (list["releases"].as_array().unwrap().iter())
        .map(|release| release["number"].as_u64().unwrap())
        .collect();
    assert!(!kept.contains(&3) && kept.contains(&4) && kept.contains(&5), "{kept:?}");
    assert!(!shop.machine.events("release.pruned").is_empty());
    std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
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

#[test]
fn who_does_not_own_a_stack_may_look_at_its_releases_and_nothing_more() {
    if !rustix::process::geteuid().is_root() {
        // Then there is nobody else to be.
        return;
    }
    let shop = Shop::up("owner", "", "");
    shop.deploy_good("0.2");
    shop.deploy_good("0.3");
    let stack = shop.stack();
    let as_somebody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "4323", "--regid", "4323", "--clear-groups"]);
        command.arg(shop.machine.folder.join("tend")).args(arguments);
        let done = shop.machine.in_its_environment(command).output().unwrap();
        done.status.code()
    };
    for arguments in [
        &["deploy", stack.as_str()][..],
        &["deploy", stack.as_str(), "--plan"],
        &["deploy", stack.as_str(), "--abort"],
        &["rollback", "shop"],
        &["approve", "shop", "--why", "me"],
        &["reject", "shop", "--why", "me"],
        &["confirm", "shop"],
        &["promote", "--from", "shop", "--to", "shop"],
    ] {
        assert_eq!(as_somebody(arguments), Some(7), "{arguments:?}");
    }
    for arguments in [
        &["releases", "shop"][..],
        &["release", "show", "shop", "2"],
        &["rollback", "shop", "--check"],
    ] {
        assert_eq!(as_somebody(arguments), Some(0), "{arguments:?}");
    }
    assert_eq!(shop.version(), "0.3");
}

#[test]
fn a_daemon_of_root_builds_nothing_that_the_owner_of_the_stack_may_not_read() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let machine = Machine::new("unreadable");
    let secret = machine.folder.join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("key"), "of root").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o700)).unwrap();
    let folder = machine.stack(
        "shop",
        &format!(
            "services:\n  web:\n    command: sleep 600\n    artifact: [.]\n    working_dir: {}\n    start_period: 0s\n",
            secret.display()
        ),
    );
    std::os::unix::fs::chown(Path::new(&folder).join("stack.yml"), Some(4324), Some(4324)).unwrap();
    machine.tend(&["up", &folder, "--no-wait"]).ok();
    let done = machine.tend(&["deploy", &folder]);
    assert_eq!(done.code, REFUSED, "{}", done.said());
    assert!(
        done.said().contains("may not read") && done.said().contains("secret"),
        "{}",
        done.said()
    );
    assert!(!machine.folder.join("state/artifacts").exists(), "nothing was copied");
}
