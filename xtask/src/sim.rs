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
    let mut accepted = Vec::new();
    let mut seeds_given = false;
    for pair in options.chunks(2) {
        match *pair {
            [name @ ("--seed" | "--seeds"), value] => {
                if seeds_given {
                    return Err(Error::Usage {
                        what: "sim takes one of --seed and --seeds".into(),
                    });
                }
                if value.parse::<u64>().is_err() {
                    return Err(Error::Usage {
                        what: format!("sim {name} takes a whole number, not `{value}`"),
                    });
                }
                seeds_given = true;
                accepted.extend([name, value]);
            }
            ["--chapter", value] => accepted.extend(["--chapter", value]),
            _ => {
                return Err(Error::Usage {
                    what: format!("sim does not know `{}`", pair.join(" ")),
                });
            }
        }
    }
    if !seeds_given {
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
        ] {
            assert!(check(options).is_err(), "{options:?} was accepted");
        }
    }
}
