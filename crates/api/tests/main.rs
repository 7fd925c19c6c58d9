//! Everything about the API that is seen from outside the crate: calls and answers as they are written, and both ends of a real socket.

mod answers;
mod calls;
mod configuration;
mod folder;
mod reference;
mod refusals;
mod samples;
mod sockets;

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
