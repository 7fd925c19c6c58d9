//! The tests of the service: the ledger's rules on each database, the HTTP side, and what survives kill -9.

mod command_line;
mod concurrency;
mod contract;
mod durability;
mod fixture;
mod http;
mod live;
mod migrations;
mod releases;
mod sockets;

#[test]
fn no_file_of_tests_was_forgotten() {
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).expect("the tests have a folder") {
        let name = entry
            .expect("the folder can be read")
            .file_name()
            .into_string()
            .expect("names are text");
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(
                main.contains(&format!("mod {module};")),
                "tests/{name} is not in main.rs"
            );
        }
    }
}
