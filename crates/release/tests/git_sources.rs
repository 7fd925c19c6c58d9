//! What is built from a checkout is what a commit holds, and the checkout is left as it was.

use std::fs;
use std::path::Path;

use tend_release::{Error, Owner, find, source, verify};

use crate::fixture::{Place, listing, mode, run};

#[test]
fn a_binary_outside_of_the_services_folder_keeps_its_place_beside_it() {
    let mut place = Place::repository();
    let commit = place.git(&["rev-parse", "HEAD"]);
    let built = place.build().unwrap();
    assert_eq!(built.artifact.revision, Some(commit));
    assert!(built.artifact.source.starts_with("git:"), "{}", built.artifact.source);
    assert_eq!(
        listing(&built.artifact.path),
        [
            "555 stacks",
            "555 stacks/shop",
            "555 target",
            "555 target/release",
            "555 target/release/api"
        ]
    );
    // `command: ../../target/release/api` is started in the service's folder of the artifact, which is there for that.
    let command = built.directory.join("../../target/release/api");
    assert_eq!(run(command.to_str().unwrap(), &[], &built.directory), "one\n");
    assert_eq!(
        built
            .source
            .relocate(&built.artifact.path, Path::new("../../target/release/api")),
        built.artifact.path.join("target/release/api")
    );
    verify(&built.artifact).unwrap();
    assert_eq!(
        place.git(&["status", "--porcelain", "--ignored"]),
        "",
        "the checkout is as it was"
    );
}

#[test]
fn paths_land_where_the_artifact_has_them_or_stay() {
    let place = Place::repository();
    let source = place.with_request(source).unwrap();
    let artifact = Path::new("/state/artifacts/0");
    let top = source.root.display().to_string();
    for (path, lands) in [
        ("", "/state/artifacts/0/stacks/shop"),
        (".", "/state/artifacts/0/stacks/shop"),
        ("./bin/api", "/state/artifacts/0/stacks/shop/bin/api"),
        ("../../target/release/api", "/state/artifacts/0/target/release/api"),
        ("../..", "/state/artifacts/0"),
        (&format!("{top}/src/program"), "/state/artifacts/0/src/program"),
        ("/usr/local/bin/api", "/usr/local/bin/api"),
    ] {
        assert_eq!(source.relocate(artifact, Path::new(path)), Path::new(lands), "{path}");
    }
}

#[test]
fn changes_that_are_in_no_commit_are_refused_by_name() {
    let mut place = Place::repository();
    place.write("src/program", "changed");
    place.write("stacks/shop/migrations/2.sql", "new");
    fs::remove_file(place.source().join("stacks/shop/public/index.html")).unwrap();
    let error = place.build().unwrap_err();
    let Error::Dirty { changed, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        changed[..],
        [
            "src/program",
            "stacks/shop/public/index.html",
            "stacks/shop/migrations/2.sql"
        ]
    );
    assert!(error.hint().unwrap().contains("--allow-dirty"));
    assert_eq!(place.artifacts(), [""; 0]);
}

#[test]
fn a_dirty_checkout_that_is_allowed_is_built_as_it_stands() {
    let mut place = Place::repository();
    let commit = place.git(&["rev-parse", "HEAD"]);
    place.write("src/program", "#!/bin/sh\necho changed\n");
    place.write("stacks/shop/new.txt", "new");
    place.write("target/left", "ignored");
    fs::remove_file(place.source().join("stacks/shop/public/index.html")).unwrap();
    place.allow_dirty = true;
    place.keep.push("..".into());
    let (source, none) = place.with_request(find).unwrap();
    assert!(source.dirty && none.is_none());
    let built = place.build().unwrap();
    assert_eq!(built.artifact.revision, Some(format!("{commit}-dirty")));
    assert_eq!(
        built.artifact.source, source.digest,
        "what was found before is what was built"
    );
    assert_eq!(
        listing(&built.artifact.path),
        [
            "555 stacks",
            "555 stacks/shop",
            "444 stacks/shop/new.txt",
            "444 stacks/shop/stack.yml",
            "555 target",
            "555 target/release",
            "555 target/release/api"
        ]
    );
    assert!(place.build().unwrap().reused, "the same changes are not built again");
    place.write("stacks/shop/new.txt", "newer");
    assert!(!place.build().unwrap().reused);
}

#[test]
fn an_earlier_revision_is_built_whatever_is_checked_out() {
    let mut place = Place::repository();
    let first = place.git(&["rev-parse", "HEAD"]);
    place.write("src/program", "#!/bin/sh\necho two\n");
    place.commit();
    place.write("src/program", "not committed");
    place.revision = Some("HEAD~1".to_owned());
    let built = place.build().unwrap();
    assert_eq!(built.artifact.revision, Some(first));
    let program = built.directory.join("../../target/release/api");
    assert_eq!(run(program.to_str().unwrap(), &[], &built.directory), "one\n");

    place.revision = Some("no-such-branch".to_owned());
    let error = place.build().unwrap_err().to_string();
    assert!(error.contains("has no revision `no-such-branch`"), "{error}");
    place.revision = Some("--all".to_owned());
    assert!(matches!(place.build().unwrap_err(), Error::NoRevision { .. }));
}

#[test]
fn a_folder_that_is_in_no_commit_yet_is_named() {
    let mut place = Place::repository();
    place.revision = Some("HEAD".to_owned());
    place.service = "stacks/other";
    place.write("stacks/other/stack.yml", "name: other\n");
    let error = place.build().unwrap_err().to_string();
    assert!(
        error.contains("the folder `stacks/other` is not in revision"),
        "{error}"
    );
}

#[test]
fn only_the_services_folder_counts_when_nothing_else_is_needed() {
    let mut place = Place::repository();
    place.prepare = None;
    place.keep.clear();
    let built = place.build().unwrap();
    assert_eq!(
        listing(&built.artifact.path),
        [
            "555 stacks",
            "555 stacks/shop",
            "555 stacks/shop/public",
            "444 stacks/shop/public/index.html",
            "444 stacks/shop/stack.yml"
        ]
    );
    // Neither a change beside it nor a commit of one makes another artifact.
    place.write("src/program", "changed");
    assert!(place.build().unwrap().reused);
    let commit = place.commit();
    let again = place.build().unwrap();
    assert!(again.reused);
    assert_eq!(
        (again.artifact.digest, again.artifact.revision),
        (built.artifact.digest, Some(commit))
    );
}

#[test]
fn a_folder_that_git_ignores_has_nothing_to_do_with_the_checkout_around_it() {
    let mut place = Place::repository();
    place.service = "target/app";
    place.write("target/app/run", "anything");
    place.prepare = None;
    place.keep.clear();
    let built = place.build().unwrap();
    assert_eq!(built.artifact.revision, None);
    assert_eq!(listing(&built.artifact.path), ["444 run"]);
}

#[test]
fn links_modes_odd_names_and_submodules_are_as_git_has_them() {
    let mut place = Place::repository();
    let inner = place.folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("library"), "text").unwrap();
    run("git", &["init", "--quiet"], &inner);
    run("git", &["add", "--all"], &inner);
    run("git", &["commit", "--quiet", "-m", "one"], &inner);
    let url = inner.display().to_string();
    place.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &url,
        "stacks/shop/inner",
    ]);
    place.write("stacks/shop/-odd *[name] ä", "text");
    std::os::unix::fs::symlink("public/index.html", place.directory().join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", place.directory().join("away")).unwrap();
    run("chmod", &["+x", "stack.yml"], &place.directory());
    place.commit();
    place.prepare = None;
    place.keep.clear();
    let built = place.build().unwrap();
    let listed: Vec<_> = listing(&built.directory);
    assert_eq!(
        listed,
        [
            "444 -odd *[name] ä",
            "777 away",
            "555 inner",
            "444 inner/library",
            "777 link",
            "555 public",
            "444 public/index.html",
            "555 stack.yml"
        ]
    );
    assert_eq!(fs::read_link(built.directory.join("away")).unwrap(), Path::new("/etc"));
    verify(&built.artifact).unwrap();
}

#[test]
fn git_and_the_copy_belong_to_the_owner_and_the_artifact_does_not() {
    let mut place = Place::repository();
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    // Another user where that is possible.
    let owner = if uid == 0 {
        Owner {
            uid: 65_534,
            gid: 65_534,
        }
    } else {
        Owner { uid, gid }
    };
    run("chmod", &["755", "."], place.folder.path());
    run(
        "chown",
        &["-R", &format!("{}:{}", owner.uid, owner.gid), "source"],
        place.folder.path(),
    );
    place.owner = Some(owner);
    place.prepare("id -u > made-by && echo more >> public/index.html");
    place.keep.clear();
    let built = place.build().unwrap();
    assert_eq!(
        fs::read_to_string(built.directory.join("made-by")).unwrap(),
        format!("{}\n", owner.uid)
    );
    let owner_of = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
    assert_eq!(owner_of(&built.directory.join("made-by")), uid);
    assert_eq!(
        (owner_of(&built.artifact.path), mode(&built.artifact.path)),
        (uid, 0o555)
    );
}
