//! Files of every version so far, under `tests/samples`: each folder is a store that is opened and says what stands beside it in `told`.
//!
//! `UPDATE=1` writes the folder of the present version anew.

use std::fs;
use std::path::Path;

use tend_metrics::Options;
use tend_testkit::Folder;

use crate::{all, labels, open, round};

/// The version of log and blocks that this code writes.
const VERSION: &str = "1";

fn said(folder: &Path) -> String {
    let copy = Folder::new();
    for entry in fs::read_dir(folder).expect("a sample") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, copy.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    let store = open(copy.path(), Options::default());
    let lines = all(&store)
        .into_iter()
        .map(|(name, samples)| format!("{name} {samples:?}\n"));
    lines.collect()
}

fn write(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    let store = open(
        folder,
        Options {
            memory_ms: 0,
            ..Options::default()
        },
    );
    let mut feed = store.feed(&labels(&[("job", "j"), ("instance", "i")]), true);
    for step in 1..=8 {
        let body = format!(
            "a{{x=\"1\"}} {step}\nb {}\nc{{job=\"own\"}} {:?}\nd{{x=\"{}\"}} NaN\ne 7 {}\n",
            f64::from(step) / 8.0,
            f64::from(step).sqrt(),
            step / 4,
            step * 900
        );
        round(&store, &mut feed, i64::from(step) * 1000, &body);
        if step == 5 {
            store.cut().expect("a block");
        }
    }
    store.sync().expect("synced");
    drop(store);
    fs::remove_file(folder.join("lock")).expect("removed");
}

#[test]
fn samples_of_every_version_are_read() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        write(&samples.join(VERSION));
    }
    let mut versions = 0;
    for entry in fs::read_dir(&samples).expect("samples") {
        let folder = entry.expect("an entry").path();
        if !folder.is_dir() {
            continue;
        }
        let told = folder.with_extension("told");
        let said = said(&folder);
        if update {
            fs::write(&told, &said).expect("written");
        }
        assert_eq!(
            said,
            fs::read_to_string(&told).expect("what it says"),
            "{}",
            folder.display()
        );
        versions += 1;
    }
    assert!(versions > 0);
}
