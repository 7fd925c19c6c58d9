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
    let (first, failed) = process::cargo_picking(root, ALL, limit, failure);
    let failed: BTreeSet<String> = failed.into_iter().collect();
    let Err(Error::Failed { .. }) = &first else {
        return first.map(|()| Vec::new());
    };
    if failed.is_empty() || failed.len() > UNSTEADY_MAX {
        return first.map(|()| Vec::new());
    }
    let unsteady: Vec<String> = failed.into_iter().collect();
    println!("--- once more, by themselves: {}", unsteady.join(", "));
    let mut again = ALL.to_vec();
    again.extend(["--lib", "--bins", "--tests", "--", "--exact"]);
    again.extend(unsteady.iter().map(String::as_str));
    process::cargo(root, &again, limit.saturating_sub(begun.elapsed()))?;
    Ok(unsteady)
}

/// The test that a line of libtest says has failed.
fn failure(line: &str) -> Option<String> {
    let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
    Some(name.trim_end_matches(" - should panic").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_from_what_else_is_printed() {
        let told = |line| failure(line).unwrap_or_default();
        assert_eq!(told("test rotation::it_goes_back ... FAILED"), "rotation::it_goes_back");
        assert_eq!(told("test broken - should panic ... FAILED"), "broken");
        assert_eq!(told("test rotation::it_goes_back ... ok"), "");
        assert_eq!(told("test result: FAILED. 10 passed; 1 failed"), "");
    }
}
