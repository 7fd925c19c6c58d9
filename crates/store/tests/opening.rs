//! What is not a journal of ours is refused with a sentence and a next step, and files have the modes they should.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rusqlite::Connection;
use tend_store::{Error, PublicKey, Reader, Store, verify};

use crate::files::{Folder, in_name_space, options, passed, write};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn secret_files_are_made_for_their_owner_only() {
    let folder = Folder::new();
    let store = folder.open();
    write(&store, 1);
    let files = folder.files();
    assert_eq!(mode(&files.key), 0o600);
    assert_eq!(mode(&files.database), 0o600);
    assert_eq!(mode(&files.database.with_extension("db-wal")), 0o600);
    assert_eq!(mode(&files.public_key), 0o644);
}

#[test]
fn the_key_stays_and_its_public_half_is_made_anew_when_it_is_missing() {
    let folder = Folder::new();
    let files = folder.files();
    drop(folder.open());
    let key = PublicKey::read(&files.public_key).unwrap();
    fs::remove_file(&files.public_key).unwrap();
    drop(folder.open());
    assert_eq!(PublicKey::read(&files.public_key).unwrap(), key);
}

#[test]
fn a_key_that_others_may_read_or_that_is_none_is_refused() {
    let folder = Folder::new();
    let files = folder.files();
    drop(folder.open());
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Store::open(&files, options()).unwrap_err();
    assert!(
        error.to_string().ends_with("may be read by others (mode 0640)"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("chmod 600"));
    fs::write(&files.key, "no key").unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    let error = Store::open(&files, options()).unwrap_err();
    assert!(
        error.to_string().ends_with("does not hold an Ed25519 key of tend"),
        "{error}"
    );
}

#[test]
fn files_of_others_are_refused_and_left_as_they_are() {
    let folder = Folder::new();
    let path = folder.files().database;
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        Store::open(&folder.files(), options()),
        Err(Error::Foreign { .. })
    ));
    assert!(matches!(Reader::open(&path), Err(Error::Foreign { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::write(&path, vec![b'x'; 4096]).unwrap();
    assert!(matches!(
        Store::open(&folder.files(), options()),
        Err(Error::Foreign { .. })
    ));
    assert!(matches!(Reader::open(&path), Err(Error::Foreign { .. })));

    fs::remove_file(&path).unwrap();
    assert!(matches!(Reader::open(&path), Err(Error::Open { .. })));
    assert!(!path.exists());
}

#[test]
fn a_journal_of_a_newer_tend_is_refused() {
    let folder = Folder::new();
    let path = folder.files().database;
    drop(folder.open());
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    for error in [
        Store::open(&folder.files(), options()).unwrap_err(),
        Reader::open(&path).unwrap_err(),
    ] {
        assert!(
            error
                .to_string()
                .ends_with("has format 99, and this tend knows formats up to 2"),
            "{error}"
        );
    }
}

const ON_READ_ONLY: &str = "TEND_STORE_TEST_READ_ONLY";

#[test]
fn a_journal_on_a_medium_that_cannot_be_written_is_read_and_verified() {
    if let Some(state) = std::env::var_os(ON_READ_ONLY).map(PathBuf::from) {
        let files = tend_store::Files::of(&state);
        assert!(fs::write(state.join("x"), "x").is_err());
        let key = PublicKey::read(&files.public_key).unwrap();
        let report = verify(&files.database, key, &files.anchors).unwrap();
        assert!(report.is_intact() && report.rows == 3, "{report}");
        let error = Store::open(&files, options()).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        return;
    }
    let folder = Folder::new();
    let store = folder.open();
    write(&store, 3);
    store.close().unwrap();
    drop(store);
    let state = folder.files().database.parent().unwrap().to_owned();
    // As the last writer leaves it, without a log.
    assert!(!folder.files().database.with_extension("db-wal").exists());
    // Read-only in a name space of the child's own.
    let output = in_name_space()
        .arg("mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && exec \"$2\" --exact \"$3\"")
        .arg("sh")
        .arg(&state)
        .arg(std::env::current_exe().unwrap())
        .arg("opening::a_journal_on_a_medium_that_cannot_be_written_is_read_and_verified")
        .env(ON_READ_ONLY, &state)
        .output()
        .unwrap();
    passed(&output);
}

#[test]
fn a_missing_folder_is_an_error_with_a_next_step() {
    let folder = Folder::new();
    let files = tend_store::Files::of(&folder.files().database.join("nowhere"));
    let error = Store::open(&files, options()).unwrap_err();
    assert!(
        error.to_string().starts_with("could not use the machine's key"),
        "{error}"
    );
}
