//! Whatever the bytes, a configuration is read or refused with places that are there, and its targets are found.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tend_scrape::{Scraper, read_config, read_targets};
use tend_testkit::Folder;
use tend_text::Location;

use crate::open;

/// What the fuzz target does with an input. Says whether it is a configuration.
fn judge(text: &str, scraper: &Scraper) -> bool {
    let file = Path::new("/nowhere/prometheus.yml");
    let lines = u32::try_from(text.matches('\n').count()).expect("fewer than 2^32 lines") + 1;
    let is_config = match read_config(file, text) {
        Ok((mut config, _)) => {
            // Their files are none of this input.
            config.jobs.iter_mut().for_each(|job| job.files.clear());
            scraper.set(config.jobs);
            _ = scraper.targets();
            true
        }
        Err(report) => {
            assert!(report.errors() > 0);
            for one in &report.0 {
                let Location::File { line, .. } = &one.location else {
                    panic!("nowhere: {one}");
                };
                assert!(*line <= lines, "no such line: {one}");
            }
            false
        }
    };
    _ = read_targets(file, text);
    is_config
}

#[test]
fn fuzz_corpus_prometheus_config() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/prometheus_config");
    let store = Folder::new();
    let scraper = Scraper::new(Arc::new(open(store.path())));
    let (mut replayed, mut accepted) = (0, 0);
    for entry in fs::read_dir(&folder).expect("fuzz/corpus/prometheus_config") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("an input");
        accepted += usize::from(judge(&String::from_utf8_lossy(&bytes), &scraper));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
    assert!(accepted > 0, "none of {} is a configuration", folder.display());
}

#[test]
fn no_cut_or_changed_line_makes_it_panic() {
    let store = Folder::new();
    let scraper = Scraper::new(Arc::new(open(store.path())));
    let whole = include_str!("config/whole.yml");
    let lines: Vec<&str> = whole.lines().collect();
    let mut accepted = 0;
    for at in 0..lines.len() {
        let without: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(line, _)| *line != at)
            .map(|(_, line)| *line)
            .collect();
        accepted += usize::from(judge(&without.join("\n"), &scraper));
        for word in ["[", "x: {", "-", "'", "\t", "null", ": 中", "&a *a", "!x"] {
            let mut changed = lines.clone();
            let line = format!("{}{word}", changed[at]);
            changed[at] = &line;
            judge(&changed.join("\n"), &scraper);
        }
    }
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)).step_by(3) {
        judge(&whole[..end], &scraper);
    }
    assert!(accepted > 20, "only {accepted}");
}
