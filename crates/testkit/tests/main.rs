//! What the kit promises to the tests that use it.

use std::process::Command;
use std::time::Duration;

use tend_testkit::{Folder, Tend, wait_until};

#[test]
fn a_folder_is_private_and_removed() {
    let folder = Folder::new();
    let other = Folder::new();
    let file = folder.write("a/b.txt", "text");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
    assert_ne!(folder.path(), other.path());
    let path = folder.path().to_owned();
    drop(folder);
    assert!(!path.exists());
}

#[test]
fn a_folder_is_kept_when_the_test_fails() {
    let failed = std::thread::spawn(|| {
        let folder = Folder::new();
        std::panic::panic_any(folder.path().to_owned());
        #[expect(unreachable_code, reason = "keeps the folder alive until the panic")]
        drop(folder);
    });
    let path = *failed.join().unwrap_err().downcast::<std::path::PathBuf>().unwrap();
    assert!(path.is_dir());
    std::fs::remove_dir(path).unwrap();
}

#[test]
#[should_panic(expected = "not within 50ms: the moon is green")]
fn waiting_in_vain_says_what_for() {
    wait_until(Duration::from_millis(50), "the moon is green", || false);
}

#[test]
fn nothing_is_left_running() {
    let tend = Tend::new();
    // A process of its own session that nobody waits for, as a daemon is, known by its environment alone.
    let mut command = Command::new("setsid");
    command.args(["sleep", "1000"]).env("TEND_STATE", tend.folder().path());
    let mut orphan = command.spawn().unwrap();
    wait_until(Duration::from_secs(20), "it is seen", || {
        tend.processes().contains(&orphan.id())
    });
    drop(tend);
    assert!(!orphan.wait().unwrap().success());
}

#[test]
fn output_is_kept_while_it_runs_and_after() {
    let tend = Tend::new();
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo err >&2; exec sleep 1000"]);
    let running = tend.start(command);
    wait_until(Duration::from_secs(20), "it wrote", || {
        running.stdout() == "out\n" && running.stderr() == "err\n"
    });
    let finished = running.kill();
    assert!(!finished.status.success());
    assert_eq!(finished.stdout, "out\n");
}
