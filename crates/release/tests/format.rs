//! The digest of an artifact: always the same for the same files, and one that a person can compute.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::fixture::Place;

/// A tree with one of each. A change of its digest is a change of the format: every artifact that is kept would count as changed.
const GOLDEN: &str = "c79829e7b6654282587bc70f684c46a5113df978e8e548c76864c62838ffbb9a";

fn example(place: &Place) {
    place.write("bin/api", "#!/bin/sh\n");
    fs::set_permissions(place.source().join("bin/api"), fs::Permissions::from_mode(0o750)).unwrap();
    place.write("public/a b\\c.txt", "text\n");
    place.write("public/empty", "");
    fs::set_permissions(place.source().join("public/empty"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(place.source().join("none")).unwrap();
    std::os::unix::fs::symlink("bin/api", place.source().join("link -> d")).unwrap();
}

#[test]
fn the_digest_of_a_tree_is_the_golden_one() {
    let mut place = Place::plain();
    example(&place);
    assert_eq!(place.build().unwrap().artifact.digest, GOLDEN);
}

#[test]
fn the_commands_in_the_design_note_compute_the_digest() {
    let note = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/design/0100-releases.md");
    let note = fs::read_to_string(note).unwrap();
    let commands = note
        .split("```sh\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let mut place = Place::plain();
    example(&place);
    let artifact = place.build().unwrap().artifact;
    let output = Command::new("sh")
        .args(["-c", commands])
        .current_dir(&artifact.path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said.split(' ').next(),
        Some(artifact.digest.as_str()),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_change_of_name_mode_content_or_link_shows() {
    let mut place = Place::plain();
    example(&place);
    let mut seen = vec![place.build().unwrap().artifact.digest];
    type Change = fn(&Path);
    let changes: [Change; 6] = [
        |source| fs::write(source.join("public/empty"), "x").unwrap(),
        |source| fs::rename(source.join("public/empty"), source.join("public/other")).unwrap(),
        |source| fs::set_permissions(source.join("bin/api"), fs::Permissions::from_mode(0o644)).unwrap(),
        |source| fs::remove_dir(source.join("none")).unwrap(),
        |source| {
            fs::remove_file(source.join("link -> d")).unwrap();
            std::os::unix::fs::symlink("bin/ap", source.join("link -> d")).unwrap();
        },
        |source| {
            fs::remove_file(source.join("link -> d")).unwrap();
            fs::write(source.join("link -> d"), "bin/ap").unwrap();
        },
    ];
    for change in changes {
        change(&place.source());
        let digest = place.build().unwrap().artifact.digest;
        assert!(!seen.contains(&digest));
        seen.push(digest);
    }
    // Who else may read or write is not part of it, as with git.
    fs::set_permissions(place.source().join("public/other"), fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(Some(&place.build().unwrap().artifact.digest), seen.last());
}
