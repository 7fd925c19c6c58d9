//! The client at servers that are real sockets: good ones, bad ones, and slow ones.

mod encrypted;
mod kept;
mod limits;
mod proxies;
mod redirects;
mod requests;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

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
