//! A disk that is full is told, leaves nothing half done, and what was there before stays.
//!
//! Runs in a child, on a small file system of its own that goes with it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use tend_core::model::Database;
use tend_release::{restore_point, verify};
use tend_testkit::Folder;

use crate::fixture::Place;

const CHILD: &str = "TEND_RELEASE_TEST_FULL_DISK";
const TEST: &str = "full_disk::a_full_disk_is_told_and_nothing_half_done_is_left";

fn scenario(disk: &Path) {
    let mut place = Place::plain();
    // Its state folder is on the small disk, its source is not.
    std::os::unix::fs::symlink(disk, place.state()).unwrap();
    place.write("server", "first");
    let first = place.build().unwrap();
    let database = place.folder.path().join("books.sqlite");
    let books = Connection::open(&database).unwrap();
    books.execute_batch("CREATE TABLE a (x BLOB)").unwrap();
    let points = disk.join("points");
    let take = || {
        let options = restore_point::Options {
            keep: 1,
            timeout: Duration::from_secs(60),
            owner: None,
        };
        restore_point::take(&Database::Sqlite(database.clone()), &points, &options)
    };
    let point = take().unwrap();

    let ballast = disk.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    place.write("server", &"x".repeat(1 << 20));
    books.execute("INSERT INTO a VALUES (zeroblob(1000000))", []).unwrap();

    let error = place.build().unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("make room")), "{error:?}");
    assert_eq!(place.artifacts(), [first.artifact.digest.as_str()]);
    assert_eq!(place.names("builds/shop"), [""; 0]);
    verify(&first.artifact).unwrap();

    let error = take().unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("make room")), "{error:?}");
    assert_eq!(restore_point::list(&points).unwrap(), [point]);

    fs::remove_file(&ballast).unwrap();
    assert!(!place.build().unwrap().reused);
    assert_eq!(take().unwrap().tables["a"], 1);
}

#[test]
fn a_full_disk_is_told_and_nothing_half_done_is_left() {
    if let Some(disk) = std::env::var_os(CHILD).map(PathBuf::from) {
        return scenario(&disk);
    }
    let folder = Folder::new();
    let mut child = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        child.arg("--map-root-user");
    }
    let output = child
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=16m tmpfs \"$1\" && exec \"$2\" --exact \"$3\"")
        .arg("sh")
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .arg(TEST)
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{said}");
}
