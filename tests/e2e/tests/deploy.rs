//! Deploys of a small service kept in git: good ones, ways back, and what people say to them.
//!
//! All the while a client asks, and not one of its requests may fail. Releases that are broken stand in `deploy_broken`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::deploy_rig::{Client, REFUSED, Shop, UNDONE, database, migrates, quietly};
use crate::rig::{Machine, free_port, get, is_alive, kill, wait_until};

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
    // The access log says which release answered; what ran in place was none.
    let log = shop.machine.folder.join("state/edge/access.log");
    wait_until("each release stands in the access log", || {
        let text = std::fs::read_to_string(&log).unwrap();
        [2, 3]
            .iter()
            .all(|release| text.contains(&format!("\"release\":{release},")))
    });
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
    let mut deploy = shop.machine.command("tend", &["deploy", &stack]);
    let deploy = deploy
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    let deploy = deploy.spawn().unwrap();
    let said = || std::fs::read_to_string(&marks).unwrap_or_default();
    wait_until("it migrates", || said() == "begin\n");
    let daemon = shop.machine.daemon();
    kill(daemon);
    wait_until("it is gone, and its lock with it", || !is_alive(daemon));
    let told = String::from_utf8(deploy.wait_with_output().unwrap().stderr).unwrap();
    assert!(told.contains("tend deploy shop --follow"), "{told}");
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
    std::fs::remove_dir_all(told.parent().unwrap()).unwrap();
    shop.serve("0.5", "");
    shop.commit("fifth");
    let done = shop.deploy(&[]);
    assert_eq!(done.code, 0, "that nobody was told undoes nothing: {}", done.said());
    assert!(
        done.err.contains("warning:") && done.err.contains("ended with"),
        "{}",
        done.said()
    );
    let list = shop.releases();
    let kept: Vec<u64> = (list["releases"].as_array().unwrap().iter())
        .map(|release| release["number"].as_u64().unwrap())
        .collect();
    assert!(!kept.contains(&3) && kept.contains(&4) && kept.contains(&5), "{kept:?}");
    assert!(!shop.machine.events("release.pruned").is_empty());
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

#[test]
fn a_build_that_fails_says_why_and_one_under_way_is_a_lock_that_can_be_aborted() {
    let shop = Shop::up("build", "", "");
    let path = shop.folder.join("stack.yml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("artifact: [.]", "artifact: [.]\n    prepare: ./build"),
    )
    .unwrap();
    shop.program("build", "#!/bin/sh\necho made > made\n");
    shop.deploy_good("0.2");
    let release = shop.machine.json(&["release", "show", "shop", "2"]);
    let artifact = Path::new(release["artifacts"]["web"]["path"].as_str().unwrap()).to_owned();
    assert!(
        artifact.join("made").is_file() && !shop.folder.join("made").exists(),
        "built in a copy"
    );
    shop.program("build", "#!/bin/sh\necho 'undefined reference to pay' >&2\nexit 2\n");
    shop.commit("does not compile");
    let client = Client::of(&shop);
    let done = shop.deploy(&[]);
    assert_eq!(done.code, REFUSED, "{}", done.said());
    for part in ["`prepare` failed", "exit status: 2", "| undefined reference to pay"] {
        assert!(done.said().contains(part), "`{part}` is missing in: {}", done.said());
    }
    let pid = database("build").with_file_name("pid");
    shop.program(
        "build",
        &format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", pid.display()),
    );
    shop.commit("compiles for ever");
    let stack = shop.stack();
    let mut under_way = quietly(&shop, &["deploy", &stack]);
    let read = || {
        std::fs::read_to_string(&pid)
            .ok()
            .and_then(|text| text.trim().parse().ok())
    };
    wait_until("it builds", || read().is_some());
    let second = shop.deploy(&[]);
    assert_eq!(second.code, 5, "{}", second.said());
    assert!(second.said().contains("now building"), "{}", second.said());
    shop.machine.tend(&["deploy", &stack, "--abort"]).ok();
    assert_eq!(under_way.wait().unwrap().code(), Some(REFUSED));
    wait_until("the command is gone", || read().is_some_and(|pid: i32| !is_alive(pid)));
    assert_eq!(client.versions(), ["0.2"]);
    std::fs::remove_dir_all(pid.parent().unwrap()).unwrap();
}
