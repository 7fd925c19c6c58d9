//! The integration tests of tend-linux, one binary; a module for each subject.

mod attest;
mod cgroup;
mod logs;
mod redaction;
mod rig;
mod samples;
mod shim;
mod takeover;
mod tree;

#[test]
fn no_file_under_tests_was_forgotten() {
    let here = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs").filter(|name| *name != "main") else {
            continue;
        };
        assert!(here.contains(&format!("mod {module};")), "{name} is in no test");
    }
}
