//! Hands a request for simulated runs to the simulator's own program, `tend-sim`.
//!
//! Owns the command line only. What is simulated, and what counts as a failure, is known to `tests/sim`.

use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::process;

/// Seeds per chapter of a run by hand; CI uses fewer, see `ci`.
const SEEDS_BY_HAND: &str = "2000";

/// Runs `tend-sim` with the options given, or over a default number of seeds.
pub(crate) fn run(root: &Path, options: &[&str], limit: Duration) -> Result<(), Error> {
    let options = check(options)?;
    let mut arguments = vec!["run", "--quiet", "--locked", "--package", "tend-sim", "--"];
    arguments.extend(options);
    process::cargo(root, &arguments, limit)
}

/// Refuses a misspelt option before anything is compiled for it.
fn check<'a>(options: &[&'a str]) -> Result<Vec<&'a str>, Error> {
    let usage = |what: String| Err(Error::Usage { what });
    let mut accepted = Vec::new();
    let mut given = Vec::new();
    let mut words = options.iter().copied();
    while let Some(name) = words.next() {
        accepted.push(name);
        given.push(name);
        match name {
            "--keep-going" => {}
            "--seed" | "--seeds" | "--from" => match words.next() {
                Some(value) if value.parse::<u64>().is_ok() => accepted.push(value),
                value => {
                    let value = value.unwrap_or_default();
                    return usage(format!("sim {name} takes a whole number, not `{value}`"));
                }
            },
            "--chapter" => match words.next() {
                Some(value) => accepted.push(value),
                None => return usage("sim --chapter takes the name of one".into()),
            },
            _ => return usage(format!("sim does not know `{name}`")),
        }
    }
    let times = |name: &str| given.iter().filter(|one| **one == name).count();
    if times("--seed") + times("--seeds") > 1 || times("--seed") + times("--from") > 1 {
        return usage("sim takes one of --seed, and --seeds with or without --from".into());
    }
    if times("--seed") + times("--seeds") == 0 {
        accepted.extend(["--seeds", SEEDS_BY_HAND]);
    }
    Ok(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_and_a_chapter_pass_through() {
        assert_eq!(
            check(&["--seed", "7", "--chapter", "supervise"]).unwrap(),
            ["--seed", "7", "--chapter", "supervise"]
        );
    }

    #[test]
    fn a_part_of_many_passes_through() {
        let part = ["--from", "20000", "--seeds", "100", "--keep-going"];
        assert_eq!(check(&part).unwrap(), part);
    }

    #[test]
    fn without_seeds_the_default_count_is_added() {
        assert_eq!(
            check(&["--chapter", "supervise"]).unwrap(),
            ["--chapter", "supervise", "--seeds", SEEDS_BY_HAND]
        );
    }

    #[test]
    fn misspelt_missing_and_doubled_options_are_refused() {
        for options in [
            &["--sed", "1"][..],
            &["--seed"],
            &["--seed", "x"],
            &["--seed", "1", "--seeds", "2"],
            &["--seed", "1", "--from", "2"],
            &["--from", "1", "--from", "2"],
            &["--chapter"],
        ] {
            assert!(check(options).is_err(), "{options:?} was accepted");
        }
    }
}
