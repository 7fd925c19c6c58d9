//! Random edits, valid and not, of file and table, at once and while the daemon is killed: every replica must always hold one complete valid
//! revision, and all must agree once it is quiet.
//!
//! What a replica holds it judges itself, on every set it is given; here is who says what last, and when.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::round::set_rows;
use crate::stack::{DEADLINE, ROWS_FROM, Stack, content};

/// Edits from one quiet moment to the next.
const BURST: usize = 200;

/// Longest pause between two edits.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Newest events that a failed run shows.
const EVENTS_SHOWN: usize = 12;

/// Kills of the daemon fall on one of so many edits.
const KILL_EACH: u64 = 400;

/// What became of a run.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) edits: usize,
    pub(crate) invalid: usize,
    pub(crate) kills: usize,
    pub(crate) quiet: Vec<Duration>,
    /// The same where the daemon was killed just before.
    pub(crate) quiet_after_kill: Vec<Duration>,
}

/// A generator of numbers (xorshift64*, Vigna 2016): the same seed gives the same edits.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }
}

/// What each replica said last: the file's number and the table's.
struct Heard<'a> {
    stack: &'a Stack,
    last: Vec<(u64, u64)>,
}

impl Heard<'_> {
    /// Listens for a while.
    fn listen(&mut self, patience: Duration) -> Result<(), Error> {
        let end = Instant::now() + patience;
        while let Some(said) = self.stack.ear.next(end.saturating_duration_since(Instant::now()))? {
            self.note(&said);
        }
        Ok(())
    }

    fn note(&mut self, said: &crate::ear::Said) {
        let Some(last) = self.last.get_mut(said.replica) else {
            return;
        };
        match said.number >= ROWS_FROM {
            true => last.1 = said.number,
            false => last.0 = said.number,
        }
    }

    /// Waits until all replicas have these numbers.
    fn agree(&mut self, file: u64, row: u64) -> Result<(), Error> {
        let end = Instant::now() + DEADLINE;
        while let Some(behind) = self.last.iter().position(|last| *last != (file, row)) {
            match self.stack.ear.next(end.saturating_duration_since(Instant::now()))? {
                Some(said) => self.note(&said),
                None => {
                    let last = self.last[behind];
                    let status = self.stack.tend(&["status"]).unwrap_or_default();
                    let events = self.stack.tend(&["events", "--json"]).unwrap_or_default();
                    let events: Vec<&str> = events.lines().rev().take(EVENTS_SHOWN).collect();
                    return Err(Error::Broken {
                        said: format!(
                            "replica {behind} has {last:?} and not ({file}, {row}) after {DEADLINE:?}\n{status}\n{}\n{}",
                            events.join("\n"),
                            self.stack.said_by_daemons()
                        ),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Makes edits; the stack is up.
pub(crate) fn run(stack: &Stack, edits: usize, seed: u64) -> Result<Outcome, Error> {
    let mut random = Random(seed | 1);
    let mut client = stack.client()?;
    let mut outcome = Outcome::default();
    let mut heard = Heard {
        stack,
        last: vec![(0, ROWS_FROM); stack.replicas],
    };
    let (mut file, mut row) = (0, ROWS_FROM);
    let mut killed_in_burst = false;
    for edit in 1..=edits {
        outcome.edits += 1;
        match random.below(10) {
            0..=2 => {
                file += 1;
                stack.rename(file)?;
            }
            3 => {
                file += 1;
                in_place(stack, &content(&file.to_string(), &file.to_string()))?;
            }
            4 | 5 => {
                row += 1;
                rows(&mut client, &row.to_string())?;
            }
            6 => {
                // At once: the file while the rows are in a transaction.
                (file, row) = (file + 1, row + 1);
                let mut transaction = client.transaction()?;
                set_rows(&mut transaction, &row.to_string())?;
                stack.rename(file)?;
                transaction.commit()?;
            }
            7 | 8 => {
                outcome.invalid += 1;
                let broken = broken(&mut random, file);
                stack.replace(&broken)?;
            }
            _ => {
                outcome.invalid += 1;
                let values = ["-1", "2000000", "\"soon\"", "null", "[1]", "1.5"];
                let value = values[usize::try_from(random.below(values.len() as u64)).unwrap_or(0)];
                rows(&mut client, value)?;
            }
        }
        if random.below(KILL_EACH) == 0 {
            stack.kill_daemon()?;
            (outcome.kills, killed_in_burst) = (outcome.kills + 1, true);
        }
        let pause = PAUSE_MAX.mul_f64(random.below(1000) as f64 / 1000.0);
        heard.listen(pause)?;
        if edit % BURST == 0 || edit == edits {
            (file, row) = (file + 1, row + 1);
            stack.rename(file)?;
            rows(&mut client, &row.to_string())?;
            let begun = Instant::now();
            heard.agree(file, row)?;
            match killed_in_burst {
                true => outcome.quiet_after_kill.push(begun.elapsed()),
                false => outcome.quiet.push(begun.elapsed()),
            }
            killed_in_burst = false;
        }
    }
    Ok(outcome)
}

fn rows(client: &mut postgres::Client, json: &str) -> Result<(), Error> {
    let mut transaction = client.transaction()?;
    set_rows(&mut transaction, json)?;
    Ok(transaction.commit()?)
}

/// Writes as a careless editor does: the file is cut to nothing, and filled in two goes.
fn in_place(stack: &Stack, text: &str) -> Result<(), Error> {
    use std::io::Write;
    let path = stack.file();
    let (first, second) = text.split_at(text.len() / 2);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&path)?;
        file.write_all(first.as_bytes())?;
        std::thread::sleep(Duration::from_millis(1));
        file.write_all(second.as_bytes())
    };
    write().map_err(Error::file("write", &path))
}

/// Returns a file that must not be taken.
fn broken(random: &mut Random, number: u64) -> String {
    let good = content(&number.to_string(), &number.to_string());
    match random.below(6) {
        0 => content("-1", "-1"),
        1 => content("\"soon\"", "\"soon\""),
        2 => good.replace("section.key_1\"", "section.kye_1\""),
        3 => good.replace('}', ""),
        4 => good.replacen("\"value 0\"", "\"value 0", 1),
        _ => content("${NO_SUCH_VARIABLE}", "0"),
    }
}
