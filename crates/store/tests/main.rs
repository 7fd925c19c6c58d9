//! Tests of the store on real files. Each module owns one promise.

mod files;
mod following;
mod full_disk;
mod groups;
mod kill;
mod lease;
mod opening;
mod samples;
mod sealing;
mod tampering;

/// Every file under `tests/` that is a module must be named above, or its tests would silently not run.
#[test]
fn no_test_file_was_forgotten() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let main = std::fs::read_to_string(here.join("main.rs")).unwrap();
    for entry in std::fs::read_dir(&here).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(module) = name.strip_suffix(".rs")
            && module != "main"
        {
            assert!(main.contains(&format!("mod {module};")), "{name}");
        }
    }
}
