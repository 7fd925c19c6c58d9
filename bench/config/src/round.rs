//! One way of learning of changes, measured: a change, what each replica says, and how long that took.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tend_base::{Clock, Mono, SystemClock};

use crate::ear::VARIABLE;
use crate::error::Error;
use crate::stack::{DEADLINE, PAIRS, ROWS_FROM, Stack};

/// Times over all replicas and changes.
pub(crate) struct Figures {
    pub(crate) changes: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

/// A replica that looks by itself; ended by its id.
struct Replica(Child);

impl Drop for Replica {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures changes of the file that tend pushes; the stack is up.
pub(crate) fn file(stack: &Stack, changes: usize) -> Result<Figures, Error> {
    measure(stack, changes, |number| stack.rename(number))
}

/// Measures rows committed in PostgreSQL that tend pushes; the stack is up.
pub(crate) fn rows(stack: &Stack, changes: usize) -> Result<Figures, Error> {
    let mut client = stack.client()?;
    measure_from(ROWS_FROM + 1, stack, changes, |number| {
        let mut transaction = client.transaction()?;
        set_rows(&mut transaction, &number.to_string())?;
        let now = SystemClock.now().mono;
        transaction.commit()?;
        Ok(now)
    })
}

/// Gives the rows that change together a value, as JSON.
pub(crate) fn set_rows(client: &mut impl postgres::GenericClient, json: &str) -> Result<(), Error> {
    for key in PAIRS[1] {
        let sql =
            "UPDATE system_config SET value = $2::text::jsonb, updated_at = now(), updated_by = 'bench' WHERE key = $1";
        client.execute(sql, &[&key, &json])?;
    }
    Ok(())
}

/// Measures changes of the file at which replicas look by themselves; the stack is not up.
pub(crate) fn poll(stack: &Stack, every: Duration, changes: usize) -> Result<Figures, Error> {
    stack.rename(0)?;
    let program: PathBuf = std::env::current_exe().map_err(|source| Error::StartReplica { source })?;
    let mut replicas = Vec::new();
    for replica in 0..stack.replicas {
        let count = u32::try_from(stack.replicas).unwrap_or(1);
        let offset = every * u32::try_from(replica).unwrap_or(0) / count;
        let mut command = Command::new(&program);
        command
            .arg("polling")
            .arg(stack.file())
            .arg(every.as_millis().to_string())
            .arg(offset.as_millis().to_string())
            .env(VARIABLE, stack.ear.path())
            .env("TEND_SLOT", (replica + 1).to_string())
            .stdin(Stdio::null());
        let child = command.spawn().map_err(|source| Error::StartReplica { source })?;
        replicas.push(Replica(child));
    }
    stack.ear.all(stack.replicas, 0, DEADLINE)?;
    let mut change = 0_u32;
    measure(stack, changes, |number| {
        // Changes fall anywhere between two looks.
        std::thread::sleep(every.mul_f64(f64::from(change) * 0.618 % 1.0));
        change += 1;
        stack.rename(number)
    })
}

fn measure(stack: &Stack, changes: usize, change: impl FnMut(u64) -> Result<Mono, Error>) -> Result<Figures, Error> {
    measure_from(1, stack, changes, change)
}

/// Makes changes one after the other, each when all replicas have the one before.
fn measure_from(
    first: u64,
    stack: &Stack,
    changes: usize,
    mut change: impl FnMut(u64) -> Result<Mono, Error>,
) -> Result<Figures, Error> {
    let mut times = Vec::new();
    for number in (first..).take(changes) {
        let begun = change(number)?;
        let moments = stack.ear.all(stack.replicas, number, DEADLINE)?;
        times.extend(moments.into_iter().map(|moment| moment.since(begun)));
    }
    times.sort_unstable();
    let at = |share: f64| {
        let rank = (times.len() as f64 * share).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    Ok(Figures {
        changes,
        p50: at(0.5),
        p99: at(0.99),
        max: at(1.0),
    })
}
