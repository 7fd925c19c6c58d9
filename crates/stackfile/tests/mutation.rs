//! Files changed at random, the same way each time: whatever comes out loads or gives errors with places, and never a panic.

use std::path::{Path, PathBuf};

use tend_stackfile::{Input, Location, Severity, load};

use crate::disk::Memory;

/// How many changed files are tried; a few seconds' worth.
const ROUNDS: usize = 6000;

/// A small generator of numbers (xorshift64*, Vigna 2016), so that a failure is the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// Pieces that mean something to YAML or to Compose.
const PIECES: [&str; 24] = [
    ":",
    "- ",
    "\n",
    "\n  ",
    "\t",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: *a",
    "!reset ",
    "!override ",
    "${",
    "${A:-",
    "}",
    "$$",
    "# ",
    "---\n",
    "\u{feff}",
    "é",
];

fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut folders = vec![tests];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|end| end == "yml" || end == "yaml" || end == "env")
            {
                let bytes = std::fs::read(&path).unwrap();
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    found
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(6) {
        0 if at < bytes.len() => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
        1 if at < bytes.len() => {
            let end = (at + 1 + dice.below(8)).min(bytes.len());
            bytes.drain(at..end);
        }
        2 => {
            let piece = PIECES[dice.below(PIECES.len())].as_bytes();
            bytes.splice(at..at, piece.iter().copied());
        }
        3 => bytes.truncate(at),
        4 if !other.is_empty() => {
            let start = dice.below(other.len());
            let end = (start + dice.below(60)).min(other.len());
            bytes.splice(at..at, other[start..end].iter().copied());
        }
        _ => {
            // A line takes the place of another.
            let lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let (from, to) = (dice.below(lines.len()), dice.below(lines.len()));
            let mut lines = lines;
            lines[to] = lines[from].clone();
            *bytes = lines.join(&b'\n');
        }
    }
}

#[test]
fn no_changed_file_makes_it_panic_and_every_error_has_a_place() {
    let seeds = seeds();
    assert!(seeds.len() > 60);
    let mut dice = Dice(0x7E4D_0002);
    let mut accepted = 0;
    for round in 0..ROUNDS {
        let (_, seed) = &seeds[dice.below(seeds.len())];
        let (_, other) = &seeds[dice.below(seeds.len())];
        let mut bytes = seed.clone();
        for _ in 0..=dice.below(4) {
            change(&mut bytes, other, &mut dice);
        }
        let mut files = Memory::one("/s/stack.yml", bytes.clone());
        // What the file may name: a file of variables and another stack.
        files.0.insert("/s/.env".into(), b"A=1\nB=\"$A\"\n".to_vec());
        files.0.insert("/s/broken.env".into(), other.clone());
        files.0.insert("/s/common.yml".into(), other.clone());
        let outcome = std::panic::catch_unwind(|| {
            load(&Input {
                files: &files,
                paths: vec!["/s/stack.yml".into()],
                environment: [].into(),
                profiles: Vec::new(),
                name: None,
            })
        });
        let Ok(outcome) = outcome else {
            panic!("round {round} panicked on:\n{}", String::from_utf8_lossy(&bytes));
        };
        match outcome {
            Ok(_) => accepted += 1,
            Err(report) => {
                let errors: Vec<_> = report.0.iter().filter(|one| one.severity == Severity::Error).collect();
                assert!(
                    !errors.is_empty(),
                    "round {round}: refused without an error: {report}\n{}",
                    String::from_utf8_lossy(&bytes)
                );
                for one in errors {
                    assert!(
                        matches!(
                            one.location,
                            Location::File {
                                line: 1..,
                                column: 1..,
                                ..
                            }
                        ),
                        "round {round}: no place in {one}\n{}",
                        String::from_utf8_lossy(&bytes)
                    );
                }
            }
        }
    }
    // If nothing gets through, nothing behind the parser was tried.
    assert!(accepted > ROUNDS / 100, "only {accepted} of {ROUNDS} were accepted");
}
