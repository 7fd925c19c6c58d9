//! A build keeps what is named, once, and leaves nothing behind when it fails.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tend_release::{Error, build, find, remove, verify};
use tend_testkit::wait_until;

use crate::fixture::{Place, listing, mode};

#[test]
fn a_folder_without_git_is_copied_without_what_tendignore_names() {
    let mut place = Place::plain();
    place.write(".tendignore", "node_modules/\n*.log\n");
    place.write("server.js", "text");
    place.write("node_modules/x/index.js", "text");
    place.write("a.log", "text");
    place.write(".git-not", "text");
    fs::create_dir(place.source().join("empty")).unwrap();
    let built = place.build().unwrap();
    assert_eq!(
        listing(&built.artifact.path),
        ["444 .git-not", "444 .tendignore", "555 empty", "444 server.js"]
    );
    assert_eq!(
        (built.artifact.revision.clone(), built.directory.clone()),
        (None, built.artifact.path.clone())
    );
    place.write("a.log", "more");
    assert!(place.build().unwrap().reused, "what is left out makes no other source");
}

#[test]
fn an_unchanged_artifact_is_not_built_again() {
    let mut place = Place::repository();
    let built = place.build().unwrap();
    let (_, found) = place.with_request(find).unwrap();
    assert_eq!(found.unwrap().artifact, built.artifact);
    let again = place.build().unwrap();
    assert!(again.reused);
    assert_eq!((again.artifact, place.prepared), (built.artifact.clone(), 1));

    place.environment.insert("MODE".to_owned(), "fast".to_owned());
    let other = place.build().unwrap();
    assert!(!other.reused, "another environment may give another result");
    assert_eq!(other.artifact.digest, built.artifact.digest, "here it did not");
    assert_eq!((place.prepared, place.artifacts().len()), (2, 1));
}

#[test]
fn an_artifact_that_somebody_changed_is_noticed_and_made_anew() {
    let mut place = Place::repository();
    let built = place.build().unwrap();
    let program = built.artifact.path.join("target/release/api");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&program, "#!/bin/sh\necho evil\n").unwrap();
    let error = verify(&built.artifact).unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
    let again = place.build().unwrap();
    assert!(!again.reused);
    assert_eq!(again.artifact, built.artifact);
    verify(&again.artifact).unwrap();
    assert_eq!(mode(&again.artifact.path), 0o555);
    assert_eq!(place.names("builds/shop"), [""; 0]);
}

#[test]
fn what_cannot_be_kept_is_said_and_nothing_is_left() {
    let mut place = Place::repository();
    for (script, keep, says) in [
        (
            "true",
            "../../target/release/api",
            "`artifact: ../../target/release/api` is not there after `prepare`",
        ),
        ("true", "../../../state", "lies outside of"),
        ("true", "/etc/passwd", "lies outside of"),
        (
            "ln -s /etc out",
            "out/passwd",
            "goes through the symbolic link `stacks/shop/out`",
        ),
        (
            "mkfifo pipe",
            ".",
            "pipe` is neither a file, a folder nor a symbolic link",
        ),
        ("touch \"$(printf 'a\\nb')\"", ".", "holds a line break"),
        (
            "echo cannot compile >&2; exit 3",
            ".",
            "`prepare` failed: cannot compile",
        ),
    ] {
        place.prepare(script);
        place.keep = vec![keep.into()];
        let error = place.build().unwrap_err();
        assert!(error.to_string().contains(says), "{script}: {error}");
        assert_eq!(place.names("builds/shop"), [""; 0], "{script}");
        assert_eq!(place.artifacts(), [""; 0], "{script}");
    }
    place.prepare = None;
    place.keep = vec!["bin/api".into()];
    let error = place.build().unwrap_err();
    assert!(error.hint().unwrap().contains("prepare"), "{error}");
}

#[test]
fn two_builds_of_one_stack_are_never_under_way_at_once() {
    let place = Place::repository();
    let mut second = None;
    let built = place.with_request(|request| {
        build(request, &mut |_| {
            second = Some(build(request, &mut |_| Ok(())));
            Err("enough".to_owned())
        })
    });
    assert!(matches!(built, Err(Error::Prepare { .. })));
    assert!(matches!(second, Some(Err(Error::Building { stack })) if stack == "shop"));
}

#[test]
fn what_a_command_leaves_running_cannot_change_the_artifact() {
    // It holds a file open that is kept; what it writes later goes to the copy, which is thrown away.
    let mut place = Place::plain();
    place.write("data", "first\n");
    let (go, gone) = (place.folder.path().join("go"), place.folder.path().join("gone"));
    place.prepare(&format!(
        "(exec >> data; i=0; while [ ! -e {} ] && [ $i -lt 6000 ]; do sleep 0.01; i=$((i+1)); done; echo later; touch {}) 2> /dev/null &",
        go.display(),
        gone.display()
    ));
    let built = place.build().unwrap();
    fs::write(&go, "").unwrap();
    wait_until(Duration::from_secs(60), "what was left running has written", || {
        gone.exists()
    });
    assert_eq!(fs::read_to_string(built.directory.join("data")).unwrap(), "first\n");
    verify(&built.artifact).unwrap();
}

#[test]
fn removing_frees_what_is_not_needed_and_never_follows_a_link() {
    let mut place = Place::plain();
    let outside = place.folder.write("outside/precious", "text");
    place.write("a", &"x".repeat(100_000));
    std::os::unix::fs::symlink(outside.parent().unwrap(), place.source().join("away")).unwrap();
    let first = place.build().unwrap();
    place.write("a", "second");
    let second = place.build().unwrap();
    let needed = BTreeSet::from([second.artifact.digest.clone()]);

    let spared = remove(&place.state(), &needed, Duration::from_secs(3600)).unwrap();
    assert_eq!(spared.digests, [""; 0], "what was just built may be in no release yet");

    let removed = remove(&place.state(), &needed, Duration::ZERO).unwrap();
    assert_eq!(removed.digests, [first.artifact.digest.as_str()]);
    assert!(removed.bytes >= 100_000, "{}", removed.bytes);
    assert_eq!(place.artifacts(), [second.artifact.digest.as_str()]);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "text");
    assert!(matches!(verify(&first.artifact), Err(Error::NoArtifact { .. })));
    assert_eq!(place.names("artifacts/keys").len(), 1);

    // What was removed is built anew when it is asked for.
    place.write("a", &"x".repeat(100_000));
    let again = place.build().unwrap();
    assert!(!again.reused);
    assert_eq!(again.artifact, first.artifact);
}

#[test]
fn an_interrupted_removal_is_finished_by_the_next() {
    let mut place = Place::plain();
    place.write("a", "text");
    let built = place.build().unwrap();
    let artifacts = place.state().join("artifacts");
    let aside = artifacts.join(format!(".removed-{}", built.artifact.digest));
    fs::rename(&built.artifact.path, &aside).unwrap();
    let left = place.state().join("builds/other/0123-1/copy/sealed");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("file"), "text").unwrap();
    fs::write(place.state().join("builds/other.lock"), "").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o500)).unwrap();
    let removed = remove(&place.state(), &BTreeSet::from([built.artifact.digest]), Duration::ZERO).unwrap();
    assert!(removed.bytes > 0);
    assert_eq!(place.artifacts(), [""; 0]);
    assert!(!place.state().join("builds/other").exists());
}
