//! The command line as it is seen from outside the crate: what is typed, what is asked of the daemon, what is shown.

mod attached;
mod config_corpus;
mod fake;
mod fake_audit;
mod fake_bans;
mod fake_certificates;
mod fake_config;
mod fake_money;
mod fake_monitor;
mod fake_secrets;
mod folder;
mod generated;
mod mps;
mod transcripts;
mod typed;

/// A file that no `mod` names is never compiled, and its tests never run.
#[test]
fn no_test_file_is_forgotten() {
    let own = include_str!("main.rs");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(own.contains(&format!("mod {module};")), "tests/{name}");
        }
    }
}
