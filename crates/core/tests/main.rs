//! The controller and the world as values, driven by a chapter made for the test.

mod bans;
mod controller;
mod kept;
mod world;

/// A file under tests/ that no module names is compiled by nobody.
#[test]
fn no_file_under_tests_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let main = std::fs::read_to_string(format!("{folder}/main.rs")).unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(
                main.contains(&format!("mod {module};")),
                "{name} is not a module of main.rs"
            );
        }
    }
}
