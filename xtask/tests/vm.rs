//! What can be said of the virtual machine's scripts without booting one: they parse, and their claims are each decided.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::run;

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vm");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("could not read {}: {error}", folder.display()));
    let scripts: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "sh"))
        .collect();
    assert!(!scripts.is_empty(), "no scripts in {}", folder.display());
    scripts
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()))
}

#[test]
fn every_script_parses() {
    for script in scripts() {
        let output = Command::new("bash").arg("-n").arg(&script).output();
        let output = output.unwrap_or_else(|error| panic!("could not start bash: {error}"));
        assert!(
            output.status.success(),
            "{}: {}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn every_claim_of_a_script_is_decided_by_it_and_no_other() {
    for script in scripts() {
        let text = read(&script);
        let claims: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| Some(line.strip_prefix("# claim ")?.split_once(':')?.0))
            .collect();
        let mut decided = BTreeSet::new();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            for pair in words.windows(2) {
                // A name that is put together, such as `"$service-card"`, decides the claims that end like it.
                let name = pair[1].trim_matches(['"', ';']);
                match pair[0] {
                    "ok" | "failed" | "same_after" => match name.strip_prefix('$') {
                        Some(composed) => {
                            let end = composed.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
                            let like = |claim: &&&str| !end.is_empty() && claim.ends_with(end);
                            decided.extend(claims.iter().filter(like).copied());
                        }
                        None => {
                            decided.insert(name);
                        }
                    },
                    _ => {}
                }
            }
        }
        if !claims.is_empty() {
            assert_eq!(claims, decided, "claims and results differ in {}", script.display());
        }
    }
}

#[test]
fn the_list_names_every_script_that_makes_claims() {
    let (passed, printed) = run(&["vm", "--list"]);
    assert!(passed, "{printed}");
    for script in scripts() {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let makes_claims = read(&script).lines().any(|line| line.starts_with("# claim "));
        assert_eq!(
            printed.lines().any(|line| line == name),
            makes_claims,
            "{name} in: {printed}"
        );
    }
}

#[test]
fn an_unknown_scenario_is_refused_with_the_known_ones() {
    let (passed, printed) = run(&["vm", "limit"]);
    assert!(!passed && printed.contains("limits"), "{printed}");
}
