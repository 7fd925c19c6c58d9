//! End-to-end tests: real processes, real kills. Each test has a tend of its own.

mod alerting;
mod alerting_mps;
mod audit;
mod bad_input;
mod bans;
mod canary;
mod certificates;
mod commands;
mod config;
mod configuration;
mod deploy;
mod deploy_broken;
mod deploy_config;
mod deploy_kills;
mod deploy_rig;
mod kills;
mod money;
mod monitor;
mod monitor_others;
mod ports;
mod readme;
mod rig;
mod rotation;
mod secrets;
mod state;
mod supervision;
mod vault;

/// Every file beside this one is compiled.
#[test]
fn no_test_file_was_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let this = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(
            module == "main" || this.contains(&format!("mod {module};")),
            "{name} is compiled by nobody"
        );
    }
}
