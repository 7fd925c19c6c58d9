//! `tend run` and `tend exec`: real commands, in the environment the daemon says.

use std::path::PathBuf;

use crate::fake::{Fake, Scene};
use crate::folder::Folder;
use crate::typed::{Outcome, Typist};

fn stacks() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stacks"))
}

/// Has a shell do something for a service and returns what it wrote to `$0`.
fn typed(words: &[&str], script: &str) -> (Outcome, String, Vec<String>) {
    let fake = Fake::start(Scene::One, &stacks());
    let folder = Folder::new();
    // Also for a user who may not write into the folder.
    let out = folder.path().join("out");
    std::fs::write(&out, "").unwrap();
    let mut permissions = std::fs::metadata(&out).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o666);
    std::fs::set_permissions(&out, permissions).unwrap();
    let mut words = words.to_vec();
    words.extend(["--", "sh", "-c", script, out.to_str().unwrap()]);
    let mut typist = Typist::at(fake.run(), &stacks());
    typist.environment.insert("TERM".to_owned(), "vt100".to_owned());
    typist.environment.insert("OF_THE_CALLER".to_owned(), "x".to_owned());
    let outcome = typist.types(&words);
    (outcome, std::fs::read_to_string(out).unwrap(), fake.asked())
}

#[test]
fn a_command_has_the_services_environment_and_folder_and_nothing_of_the_callers() {
    let script = r#"echo "$PURPOSE $GREETING $TERM $PWD ${OF_THE_CALLER-none}" > "$0""#;
    let (outcome, written, asked) = typed(&["run", "api"], script);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let expected = format!("run hello vt100 {} none\n", stacks().display());
    assert_eq!(written, expected);
    let query = r#"{"stack":"mps","service":"api","purpose":"run","program":"sh""#;
    assert_eq!(asked[0], format!("POST /v1/environment {query}}}"));
    let finished = format!(r#"POST /v1/runs/finished {query},"ending":{{"ended":{{"exited":0}}}},"after_ms":"#);
    assert!(asked.len() == 2 && asked[1].starts_with(&finished), "{asked:?}");
}

#[test]
fn how_a_command_ended_is_reported_also_when_it_never_ran() {
    let (_, _, asked) = typed(&["exec", "api"], "kill -KILL $$");
    let killed = r#""ending":{"ended":{"signalled":{"signal":9,"core_dumped":false}}}"#;
    assert!(asked[1].contains(killed), "{asked:?}");
    let fake = Fake::start(Scene::One, &stacks());
    Typist::at(fake.run(), &stacks()).types(&["run", "api", "--", "no-such-program"]);
    let asked = fake.asked();
    assert!(
        asked[1].contains(r#""ending":{"not_started":"could not start `no-such-program`: No such file or directory"}"#),
        "{asked:?}"
    );
}

#[test]
fn exec_is_about_a_replica_and_the_first_one_unless_named() {
    let (_, _, asked) = typed(&["exec", "api"], "exit 0");
    assert!(asked[0].contains(r#""slot":1,"purpose":"exec""#), "{asked:?}");
    let (_, _, asked) = typed(&["exec", "mps/api/3"], "exit 0");
    assert!(asked[0].contains(r#""slot":3,"purpose":"exec""#), "{asked:?}");
}

#[test]
fn the_exit_code_is_the_commands() {
    assert_eq!(typed(&["run", "api"], "exit 7").0.code, 7);
    assert_eq!(typed(&["run", "api"], "kill -KILL $$").0.code, 128 + 9);
}

#[test]
fn root_becomes_the_services_user_and_another_user_is_refused() {
    let script = r#"echo "$(id -u) $(id -g) $(id -G)" > "$0""#;
    let (outcome, written, _) = typed(&["run", "nobody"], script);
    if rustix::process::geteuid().is_root() {
        assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
        assert_eq!(written, "65534 65534 65534 4242\n");
        // This process is still root: only the thread that ran the command is not.
        assert!(rustix::process::geteuid().is_root());
    } else {
        assert_eq!(outcome.code, 7);
        assert!(
            outcome.stderr.contains("could not become user 65534"),
            "{}",
            outcome.stderr
        );
        assert_eq!(written, "");
    }
}

#[test]
fn a_command_that_does_not_exist_is_not_found() {
    let fake = Fake::start(Scene::One, &stacks());
    let typist = Typist::at(fake.run(), &stacks());
    let outcome = typist.types(&["run", "api", "--", "no-such-program"]);
    assert_eq!(outcome.code, 4);
    assert!(
        outcome.stderr.starts_with("error: could not start `no-such-program`\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_whole_service_is_run_not_a_replica() {
    let fake = Fake::start(Scene::One, &stacks());
    let typist = Typist::at(fake.run(), &stacks());
    assert_eq!(typist.types(&["run", "api/2", "--", "true"]).code, 2);
}
