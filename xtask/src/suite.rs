//! Runs all tests, and the few that failed once more.
//!
//! Owns which failures are looked at a second time. The tests start real servers, a hundred beside each other on two cores, so one that asks for
//! what is chance there fails once in a hundred runs. Such a test is a bug, and named as unsteady until it is mended; what was built beside it is
//! sound all the same. What fails twice is broken, and many failures at once are never chance.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::process;

/// How many tests may be unsteady in one run; with more of them nothing is run again.
const UNSTEADY_MAX: usize = 3;

/// What is passed to cargo.
const ALL: &[&str] = &["test", "--locked", "--workspace", "--no-fail-fast"];

/// Runs the tests and returns the names of those that held only the second time.
pub(crate) fn run(root: &Path, limit: Duration) -> Result<Vec<String>, Error> {
    let begun = Instant::now();
    let (first, told) = process::cargo_read(root, ALL, limit, is_told);
    let failed: BTreeSet<&str> = told.iter().filter_map(|line| named(line, "FAILED")).collect();
    let is_chance = matches!(first, Err(Error::Failed { .. })) && every_program_ended(&told);
    if !is_chance || failed.is_empty() || failed.len() > UNSTEADY_MAX {
        return first.map(|()| Vec::new());
    }
    let unsteady: Vec<String> = failed.into_iter().map(str::to_owned).collect();
    println!("--- once more, by themselves: {}", unsteady.join(", "));
    let mut again = ALL.to_vec();
    again.extend(["--lib", "--bins", "--tests", "--", "--exact"]);
    again.extend(unsteady.iter().map(String::as_str));
    let (second, told) = process::cargo_read(root, &again, limit.saturating_sub(begun.elapsed()), is_told);
    second?;
    // What is not among those that were run, such as a test of documentation, has not held.
    let held: BTreeSet<&str> = told.iter().filter_map(|line| named(line, "ok")).collect();
    match unsteady.iter().all(|name| held.contains(name.as_str())) {
        true => Ok(unsteady),
        false => first.map(|()| Vec::new()),
    }
}

/// Whether libtest tells something by a line: that a program begins, how a test ended, how all of a program did.
fn is_told(line: &str) -> bool {
    line.starts_with("running ") || line.starts_with("test ")
}

/// Whether each program that began its tests told how they ended: one that was ended by a signal names no test.
fn every_program_ended(told: &[String]) -> bool {
    let begun = told.iter().filter(|line| line.starts_with("running "));
    let ended = told.iter().filter(|line| line.starts_with("test result: "));
    begun.count() == ended.count()
}

/// The test that a line of libtest says has ended so.
fn named<'a>(line: &'a str, how: &str) -> Option<&'a str> {
    let name = line.strip_prefix("test ")?.strip_suffix(how)?.strip_suffix(" ... ")?;
    Some(name.trim_end_matches(" - should panic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_from_what_else_is_printed() {
        let told = |line| named(line, "FAILED").unwrap_or_default();
        assert_eq!(told("test rotation::it_goes_back ... FAILED"), "rotation::it_goes_back");
        assert_eq!(told("test broken - should panic ... FAILED"), "broken");
        assert_eq!(told("test rotation::it_goes_back ... ok"), "");
        assert_eq!(told("test result: FAILED. 10 passed; 1 failed"), "");
    }
}
