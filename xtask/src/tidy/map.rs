//! Compares what ARCHITECTURE.md promises with the crates: the code map, the allowed edges, the purity of crates.
//!
//! Owns the form of the marked tables there and what purity means. Which crates are pure, only the tables say.

use super::Finding;
use super::source::paths;
use super::tree::{Package, Tree};

const MAP: &str = "ARCHITECTURE.md";

/// Crates that reach for the clock, disk, network or kernel: none may stand behind a pure crate.
const IMPURE_CRATES: &[&str] = &[
    "async-std",
    "getrandom",
    "hyper",
    "hyper-util",
    "libc",
    "mio",
    "nix",
    "postgres",
    "rand",
    "reqwest",
    "rusqlite",
    "rustix",
    "signal-hook",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-util",
    "ureq",
];

/// Parts of std that do the same, and those of our ground. Addresses of `std::net` are values and are not here.
const IMPURE_PATHS: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os::unix::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tend_base::SystemClock",
    "tend_base::write_atomically",
];

/// Calls that read a clock, under whatever path their type was brought in.
const IMPURE_CALLS: &[&str] = &["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now"];

pub(crate) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(text) = tree.text(MAP) else {
        findings.push(Finding::new(
            "map",
            MAP,
            0,
            "is missing; it holds the code map, the edges and the pure crates",
        ));
        return;
    };
    code_map(tree, text, findings);
    if let Some(table) = marked(text, "edges", findings) {
        edges(tree, &table, findings);
    }
    if let Some(list) = marked(text, "pure", findings) {
        purity(tree, &list, findings);
    }
}

/// The numbered lines between `<!-- name:begin -->` and `<!-- name:end -->`.
fn marked<'a>(text: &'a str, name: &str, findings: &mut Vec<Finding>) -> Option<Vec<(usize, &'a str)>> {
    let begin = format!("<!-- {name}:begin -->");
    let end = format!("<!-- {name}:end -->");
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let inside: Vec<(usize, &str)> = match lines.by_ref().find(|(_, line)| line.trim() == begin) {
        Some(_) if text.contains(&end) => lines.take_while(|(_, line)| line.trim() != end).collect(),
        _ => {
            let message = format!("has no list between `{begin}` and `{end}`");
            findings.push(Finding::new("map", MAP, 0, message));
            return None;
        }
    };
    Some(inside)
}

/// What stands between backquotes in a line.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

fn code_map(tree: &Tree, text: &str, findings: &mut Vec<Finding>) {
    let mapped: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("### `"))
        .flat_map(|(index, line)| quoted(line).into_iter().map(move |folder| (index + 1, folder)))
        .collect();
    for package in &tree.packages {
        if !mapped.iter().any(|(_, folder)| *folder == package.folder) {
            let message = format!(
                "does not mention the crate; add a section ### `{}` to the code map",
                package.folder
            );
            findings.push(Finding::new("code-map", MAP, 0, message));
        }
    }
    for (line, folder) in mapped {
        if !tree.exists(folder) {
            findings.push(Finding::new(
                "code-map",
                MAP,
                line,
                format!("maps `{folder}`, which does not exist"),
            ));
        }
    }
}

/// A row of the table: a crate's folder, or a pattern such as `tests/*`, and the folders it may depend on.
struct Row<'a> {
    folder: &'a str,
    any: bool,
    allowed: Vec<&'a str>,
}

fn rows<'a>(table: &[(usize, &'a str)]) -> Vec<(usize, Row<'a>)> {
    table
        .iter()
        .filter_map(|(line, text)| {
            let mut cells = text.trim().trim_matches('|').split('|');
            let folder = *quoted(cells.next()?).first()?;
            let allowed = cells.next()?;
            Some((
                *line,
                Row {
                    folder,
                    any: allowed.trim() == "any",
                    allowed: quoted(allowed),
                },
            ))
        })
        .collect()
}

fn edges(tree: &Tree, table: &[(usize, &str)], findings: &mut Vec<Finding>) {
    let rows = rows(table);
    for (line, row) in &rows {
        for folder in row.allowed.iter().chain([&row.folder]) {
            let known = match folder.strip_suffix('*') {
                Some(start) => tree.packages.iter().any(|package| package.folder.starts_with(start)),
                None => tree.packages.iter().any(|package| package.folder == *folder),
            };
            if !known {
                findings.push(Finding::new(
                    "edge",
                    MAP,
                    *line,
                    format!("names `{folder}`, which is no crate here"),
                ));
            }
        }
    }
    for package in &tree.packages {
        let row = rows
            .iter()
            .map(|(_, row)| row)
            .find(|row| covers(row.folder, &package.folder));
        let Some(row) = row else {
            let message = format!("has no row for `{}` in the table of edges", package.folder);
            findings.push(Finding::new("edge", MAP, 0, message));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| !dependency.dev && !row.any)
        {
            let Some(other) = tree.packages.iter().find(|other| other.name == dependency.name) else {
                continue;
            };
            if !row.allowed.contains(&other.folder.as_str()) {
                let message = format!(
                    "depends on `{}`, an edge the table in {MAP} does not allow; take it out, or write a design note for \
                     the new edge and add it there",
                    other.folder
                );
                findings.push(Finding::new(
                    "edge",
                    &format!("{}/Cargo.toml", package.folder),
                    0,
                    message,
                ));
            }
        }
    }
}

fn covers(pattern: &str, folder: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => folder.starts_with(start),
        None => folder == pattern,
    }
}

fn purity(tree: &Tree, list: &[(usize, &str)], findings: &mut Vec<Finding>) {
    for (line, text) in list {
        for folder in quoted(text) {
            match tree.packages.iter().find(|package| package.folder == folder) {
                Some(package) => pure_crate(tree, package, findings),
                None => findings.push(Finding::new(
                    "pure",
                    MAP,
                    *line,
                    format!("names `{folder}`, which is no crate here"),
                )),
            }
        }
    }
}

fn pure_crate(tree: &Tree, package: &Package, findings: &mut Vec<Finding>) {
    for dependency in package.dependencies.iter().filter(|dependency| !dependency.dev) {
        if IMPURE_CRATES.contains(&dependency.name.as_str()) {
            let message = format!(
                "a pure crate depends on `{}`; move what needs it into the shell that calls",
                dependency.name
            );
            findings.push(Finding::new(
                "pure",
                &format!("{}/Cargo.toml", package.folder),
                0,
                message,
            ));
        }
    }
    let sources = format!("{}/src/", package.folder);
    for file in tree.files.iter().filter(|file| file.path.starts_with(&sources)) {
        // `#[cfg(test)] mod tests;` puts the tests of a module into a file or folder of that name.
        let is_test = file.path[sources.len()..]
            .split('/')
            .any(|part| matches!(part, "tests.rs" | "tests"));
        let Some(source) = file.rust.as_ref().filter(|_| !is_test) else {
            continue;
        };
        for (line, path) in paths(&source.code_outside_tests()) {
            if let Some(impure) = impurity(&path) {
                let message =
                    format!("a pure crate uses `{impure}`; take the value as an argument from the shell that calls");
                findings.push(Finding::new("pure", &file.path, line, message));
            }
        }
    }
}

fn impurity(path: &str) -> Option<&'static str> {
    let begins = |impure: &&&str| {
        path.strip_prefix(**impure)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let calls = |call: &&&str| {
        path.strip_suffix(**call)
            .is_some_and(|before| before.is_empty() || before.ends_with("::"))
    };
    IMPURE_PATHS
        .iter()
        .find(begins)
        .or_else(|| IMPURE_CALLS.iter().find(calls))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_durations_are_pure() {
        for path in [
            "std::net::IpAddr",
            "std::time::Duration",
            "std::io::Read",
            "std::fsx::y",
            "Instant::nowhere",
        ] {
            assert_eq!(impurity(path), None, "{path}");
        }
    }

    #[test]
    fn clocks_disks_and_sockets_are_not() {
        for path in [
            "std::fs::read",
            "std::net::TcpStream::connect",
            "time::Instant::now",
            "SystemTime::now",
            "std::env",
        ] {
            assert!(impurity(path).is_some(), "{path}");
        }
    }
}
