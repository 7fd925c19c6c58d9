//! Random edits, valid and not, of file and table, at once and while the daemon is killed: every replica must always hold one complete valid
//! revision, and all must agree once it is quiet.
//!
//! What a replica holds it judges itself, whatever it is given; all of them together are judged by `judge`.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::judge::Judge;
use crate::round::set_rows;
use crate::stack::{ROWS_FROM, Stack, content};

/// Edits from one quiet moment to the next.
const BURST: usize = 200;

/// Longest pause between two edits.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Longest pause from an edit to the kill: it falls before a revision is taken, while it is written down, while it is given out, and after.
const KILL_MAX: Duration = Duration::from_millis(60);

/// What is edited.
pub(crate) struct Plan {
    pub(crate) edits: usize,
    /// One kill of the daemon in so many edits, anywhere among them.
    pub(crate) kill_each: usize,
    pub(crate) seed: u64,
}

/// What became of a run.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) edits: usize,
    pub(crate) invalid: usize,
    pub(crate) kills: usize,
    /// How often somebody held something else than before.
    pub(crate) changes: usize,
    /// Revisions that were taken, and those told to be live.
    pub(crate) taken: usize,
    pub(crate) live: usize,
    pub(crate) told: Quiet,
    pub(crate) started: Quiet,
}

/// From quiet to everybody having the last edit. Where the daemon was killed shortly before, it is quiet when the next one answers.
#[derive(Default)]
pub(crate) struct Quiet {
    pub(crate) times: Vec<Duration>,
    pub(crate) after_kill: Vec<Duration>,
}

impl Quiet {
    fn push(&mut self, time: Duration, after_kill: bool) {
        match after_kill {
            true => self.after_kill.push(time),
            false => self.times.push(time),
        }
    }
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

    fn up_to(&mut self, range: Range<usize>) -> usize {
        let count = u64::try_from(range.len()).unwrap_or(1);
        range.start + usize::try_from(self.below(count)).unwrap_or(0)
    }

    fn part_of(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.below(1000) as f64 / 1000.0)
    }
}

/// Makes edits; the stack is up.
pub(crate) fn run(stack: &Stack, plan: &Plan) -> Result<Outcome, Error> {
    let mut random = Random(plan.seed | 1);
    let mut client = stack.client()?;
    let mut outcome = Outcome::default();
    let mut judge = Judge::new(stack);
    judge.agree((0, ROWS_FROM), |_| true)?;
    let (mut file, mut row) = (0, ROWS_FROM);
    let mut kill_at = 0;
    let mut killed_in_burst = false;
    for edit in 1..=plan.edits {
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
                std::thread::scope(|scope| {
                    let renaming = scope.spawn(|| stack.rename(file).map(drop));
                    let committed = transaction.commit();
                    renaming.join().unwrap_or(Ok(()))?;
                    Ok::<(), Error>(committed?)
                })?;
            }
            7 | 8 => {
                outcome.invalid += 1;
                let broken = broken(&mut random, file);
                stack.replace(&broken)?;
            }
            _ => {
                outcome.invalid += 1;
                let values = ["-1", "2000000", "\"soon\"", "[1]", "1.5"];
                let value = values[usize::try_from(random.below(values.len() as u64)).unwrap_or(0)];
                rows(&mut client, value)?;
            }
        }
        if edit % plan.kill_each == 1 || plan.kill_each == 1 {
            kill_at = edit + random.up_to(0..plan.kill_each);
        }
        if edit == kill_at {
            judge.listen(random.part_of(KILL_MAX))?;
            stack.kill_daemon()?;
            (outcome.kills, killed_in_burst) = (outcome.kills + 1, true);
        }
        judge.listen(random.part_of(PAUSE_MAX))?;
        if edit % BURST == 0 || edit == plan.edits {
            (file, row) = (file + 1, row + 1);
            stack.rename(file)?;
            rows(&mut client, &row.to_string())?;
            if killed_in_burst {
                // It is quiet when a daemon is there again.
                judge.until_answered()?;
            }
            let begun = Instant::now();
            judge.agree((file, row), |name| !name.starts_with("environment/"))?;
            outcome.told.push(begun.elapsed(), killed_in_burst);
            judge.agree((file, row), |_| true)?;
            outcome.started.push(begun.elapsed(), killed_in_burst);
            killed_in_burst = false;
        }
    }
    (outcome.taken, outcome.live) = judge.compare()?;
    outcome.changes = judge.changes;
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
