//! The store as edges use it: real files, real locks, two at once.

mod spool;
mod window;

#[test]
fn no_test_file_was_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && module != "main" {
            assert!(main.contains(&format!("mod {module};")), "{module}");
        }
    }
}
