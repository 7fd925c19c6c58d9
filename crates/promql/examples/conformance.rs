//! Runs a folder of acceptance cases and prints what passes: `cargo xtask conformance promql DIR`.
//!
//! Owns reading the files and the report. What a case is, the crate's own `testlang` says.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that talks to a terminal"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tend_promql::testlang::{Case, Class, run};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: conformance DIR");
        return ExitCode::from(2);
    };
    match report(&folder) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: could not read {}: {error}", folder.display());
            ExitCode::from(2)
        }
    }
}

/// How many of a class passed, of how many.
fn passed(cases: &[Case], class: Class) -> (usize, usize) {
    let of_class = || cases.iter().filter(|case| case.class == class);
    (
        of_class().filter(|case| case.failure.is_none()).count(),
        of_class().count(),
    )
}

fn line(name: &str, counts: &[(usize, usize)]) -> String {
    let counts = counts
        .iter()
        .map(|(passed, all)| format!("{:>18}", format!("{passed}/{all}")));
    format!("{name:<28}{}", counts.collect::<String>())
}

/// Prints a line for each file; whether every float case on stable syntax passed.
fn report(folder: &Path) -> std::io::Result<bool> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "test"));
    paths.sort();
    let mut totals = [(0, 0); Class::ALL.len()];
    let (mut all_read, mut details) = (true, Vec::new());
    let names = Class::ALL.map(|class| format!("{:>18}", class.as_str()));
    println!("{:<28}{}", "passed/all", names.concat());
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let cases = match run(&std::fs::read_to_string(path)?) {
            Ok(cases) => cases,
            Err(error) => {
                println!("{name:<28}could not be read: {error}");
                all_read = false;
                continue;
            }
        };
        let counts = Class::ALL.map(|class| passed(&cases, class));
        println!("{}", line(&name, &counts));
        for (total, count) in totals.iter_mut().zip(counts) {
            *total = (total.0 + count.0, total.1 + count.1);
        }
        for class in Class::ALL {
            let failed = cases.iter().find(|case| case.class == class && case.failure.is_some());
            details.extend(failed.map(|case| {
                let failure = case.failure.as_deref().unwrap_or_default();
                format!(
                    "{name}:{} ({}) {}\n    {failure}",
                    case.line,
                    class.as_str(),
                    case.query
                )
            }));
        }
    }
    println!("{}", line("all", &totals));
    if !details.is_empty() {
        println!(
            "\nthe first case of each file and class that does not pass:\n{}",
            details.join("\n")
        );
    }
    Ok(all_read && totals[0].0 == totals[0].1 && totals[0].1 > 0)
}
