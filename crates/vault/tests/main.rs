//! The client and the session: at a server that answers as OpenBao was seen to, and as values.

mod authority;
mod limits;
#[cfg(feature = "openbao")]
mod openbao;
mod printing;
mod scenarios;
mod server;
mod session;

scenarios::tests_of_scenarios!(server::Server::start);

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
