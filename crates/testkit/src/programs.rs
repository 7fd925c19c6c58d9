//! Where the real programs are; builds them when they were not built yet. Knows the layout of cargo's target folder.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Returns the path of a program of the workspace, such as `tend`, of the profile this test was built with.
///
/// The first call of a test binary asks cargo to bring all programs up to date, which takes no time when `cargo xtask ci` or a developer
/// built them before, and holds no lock a test could wait for: tests start when their binary is built.
///
/// # Panics
/// When the programs cannot be built, or there is none of that name.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let path = FOLDER.get_or_init(build).join(name);
    assert!(path.is_file(), "there is no program `{}`", path.display());
    path
}

fn build() -> PathBuf {
    // target/debug/deps/main-0123456789abcdef: the folder above `deps` is that of the profile.
    let this = std::env::current_exe().expect("this test has a path");
    let folder = this
        .ancestors()
        .nth(2)
        .expect("a test lies in target/PROFILE/deps")
        .to_owned();
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Not the variables by which cargo tells this test of its own package: build scripts that watch them would run again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
        .args(["build", "--quiet", "--workspace", "--bins"])
        .current_dir(workspace);
    if let Some(target) = folder.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => {
            cargo.args(["--profile", profile]);
        }
    }
    let status = cargo
        .status()
        .unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
    assert!(status.success(), "cargo build --workspace --bins failed: {status}");
    folder
}
