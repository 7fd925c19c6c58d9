//! Files as replicas find them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use tend_testkit::Folder;
use tend_watch::{Error, Owner, Rendered, Written, write_rendered};

fn file(folder: &Folder, mode: u32) -> Rendered {
    Rendered {
        path: folder.path().join("app.env"),
        owner: None,
        mode,
    }
}

#[test]
fn a_file_is_replaced_and_one_that_holds_the_text_is_left_alone() {
    let folder = Folder::new();
    let app = file(&folder, 0o640);
    assert_eq!(write_rendered(&app, b"A=1\n").expect("own folder"), Written::Changed);
    let first = fs::metadata(&app.path).expect("written");
    assert_eq!(first.permissions().mode() & 0o7777, 0o640);
    assert_eq!(write_rendered(&app, b"A=1\n").expect("own folder"), Written::Unchanged);
    let same = fs::metadata(&app.path).expect("there");
    assert_eq!((same.ino(), same.mtime_nsec()), (first.ino(), first.mtime_nsec()));

    assert_eq!(write_rendered(&app, b"A=2\n").expect("own folder"), Written::Changed);
    assert_eq!(fs::read(&app.path).expect("there"), b"A=2\n");
    assert_eq!(fs::read_dir(folder.path()).expect("own folder").count(), 1);
}

#[test]
fn mode_and_owner_are_part_of_what_it_has_to_be() {
    let folder = Folder::new();
    let app = file(&folder, 0o600);
    write_rendered(&app, b"A=1\n").expect("own folder");
    fs::set_permissions(&app.path, fs::Permissions::from_mode(0o644)).expect("own file");
    assert_eq!(write_rendered(&app, b"A=1\n").expect("own folder"), Written::Changed);
    assert_eq!(
        fs::metadata(&app.path).expect("there").permissions().mode() & 0o777,
        0o600
    );

    // To another user only root may give it; anybody else is told, and the old file stays.
    let ours = fs::metadata(&app.path).expect("there");
    let other = Owner {
        uid: 65_534,
        gid: 65_534,
    };
    let given = Rendered {
        owner: Some(other),
        ..app.clone()
    };
    match write_rendered(&given, b"A=2\n") {
        Ok(written) => {
            let now = fs::metadata(&app.path).expect("there");
            assert_eq!(
                (written, now.uid(), now.gid()),
                (Written::Changed, other.uid, other.gid)
            );
        }
        Err(error) => {
            assert_ne!(ours.uid(), 0, "root may: {error}");
            assert_eq!(fs::read(&app.path).expect("there"), b"A=1\n");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).expect("own folder").count(), 1);
}

#[test]
fn links_are_replaced_and_not_followed() {
    let folder = Folder::new();
    let elsewhere = folder.write("elsewhere", "not for you");
    let app = file(&folder, 0o600);
    symlink(&elsewhere, &app.path).expect("own folder");
    // Even the name beside it, which can be guessed.
    let beside = folder.path().join(format!(".app.env.{}.tmp", std::process::id()));
    symlink(&elsewhere, &beside).expect("own folder");
    assert_eq!(
        write_rendered(&app, b"not for you").expect("own folder"),
        Written::Changed
    );
    assert!(fs::symlink_metadata(&app.path).expect("there").is_file());
    write_rendered(&app, b"A=1\n").expect("own folder");
    assert_eq!(fs::read_to_string(&elsewhere).expect("there"), "not for you");
    assert!(!beside.exists());
}

#[test]
fn what_cannot_be_written_is_said_with_its_place() {
    let folder = Folder::new();
    let nowhere = Rendered {
        path: folder.path().join("no/app.env"),
        owner: None,
        mode: 0o600,
    };
    let error = write_rendered(&nowhere, b"").expect_err("no folder");
    assert!(
        matches!(error, Error::Render { .. }) && error.to_string().contains("no/app.env"),
        "{error}"
    );
    let folder_in_its_place = Rendered {
        path: folder.path().to_owned(),
        owner: None,
        mode: 0o600,
    };
    assert!(write_rendered(&folder_in_its_place, b"").is_err());
}
