//! The decisions of routing, by cases in files and by seeded random runs.

mod balance;
mod bans;
mod circuit;
mod ejection;
mod hops;
mod leak;
mod limit_key;
mod outlier;
mod proxy_header;
mod retries;
mod routes;
mod snapshot;
mod split;

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

/// Returns the lines of a case file that say something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}
