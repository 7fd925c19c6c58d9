//! Texts changed at random, the same way each time: whatever comes out is a set or errors with places, and never a panic.

use crate::case::{Case, folder};
use crate::cases::has_places;

/// How many changed texts are tried; a few seconds' worth.
const ROUNDS: usize = 4000;

/// A small generator of numbers (xorshift64*, Vigna 2016), so that a failure is the same on every machine.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Pieces that mean something to YAML, to `.env` or to us.
const PIECES: [&str; 30] = [
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
    "${",
    "${A:-",
    "}",
    "$$",
    "# ",
    "---\n",
    "\u{feff}",
    "é",
    "${secret:",
    "null",
    "1e30",
    "-0.0",
    ".",
    "x-",
    "\\",
    "1h",
];

fn seeds() -> Vec<String> {
    let mut found = Vec::new();
    for of in ["cases", "malformed"] {
        for entry in std::fs::read_dir(folder().join(of)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "case") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let common = std::fs::read_to_string(folder().join("common.schema.yaml")).unwrap();
    found.push(format!("#--- schema\n{common}"));
    found.sort();
    found
}

fn change(text: &mut Vec<char>, other: &[char], dice: &mut Dice) {
    let at = dice.below(text.len() + 1);
    match dice.below(6) {
        0 if at < text.len() => text[at] = char::from(u8::try_from(dice.below(128)).unwrap()),
        1 if at < text.len() => {
            let end = (at + 1 + dice.below(8)).min(text.len());
            text.drain(at..end);
        }
        2 => {
            let piece: Vec<char> = dice.pick(&PIECES).chars().collect();
            text.splice(at..at, piece);
        }
        3 => text.truncate(at),
        4 if !other.is_empty() => {
            let start = dice.below(other.len());
            let end = (start + dice.below(60)).min(other.len());
            text.splice(at..at, other[start..end].iter().copied());
        }
        _ => {
            // A line takes the place of another.
            let mut lines: Vec<Vec<char>> = text.split(|c| *c == '\n').map(<[char]>::to_vec).collect();
            let (from, to) = (dice.below(lines.len()), dice.below(lines.len()));
            lines[to] = lines[from].clone();
            *text = lines.join(&'\n');
        }
    }
}

#[test]
fn no_changed_text_makes_it_panic_and_every_error_has_a_place() {
    let seeds = seeds();
    let common = std::fs::read_to_string(folder().join("common.schema.yaml")).unwrap();
    let mut dice = Dice(0x7E4D_0300);
    let mut accepted = 0;
    for round in 0..ROUNDS {
        let other: Vec<char> = dice.pick(&seeds).chars().collect();
        let mut text: Vec<char> = dice.pick(&seeds).chars().collect();
        for _ in 0..=dice.below(4) {
            change(&mut text, &other, &mut dice);
        }
        // What divides the parts stays what it is.
        let heads = [
            "schema",
            "environment ",
            "file ",
            "dotenv ",
            "process",
            "secrets",
            "rows",
            "set",
        ];
        let text: String = text.into_iter().collect();
        let text: String = text
            .split_inclusive('\n')
            .filter(|line| match line.strip_prefix("#--- ") {
                Some(head) => heads
                    .iter()
                    .any(|one| head.trim() == *one || one.ends_with(' ') && head.starts_with(one)),
                None => true,
            })
            .collect();
        match std::panic::catch_unwind(|| Case::parse(&text, &common).build()) {
            Err(_) => panic!("round {round} panicked on:\n{text}"),
            Ok(Ok(_)) => accepted += 1,
            Ok(Err(report)) => {
                let _ = report.to_string();
                assert!(has_places(&report), "round {round}: {report}\n{text}");
            }
        }
    }
    // If nothing gets through, nothing behind the parsers was tried.
    assert!(accepted > ROUNDS / 100, "only {accepted} of {ROUNDS} were accepted");
}
