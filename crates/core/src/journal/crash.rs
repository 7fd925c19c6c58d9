//! What is kept of an unexpected exit. Knows nothing of how it was observed.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tend_base::{Wall, format_duration};

use super::Subject;

/// Everything a person asks first after a crash, kept in the event `replica.exited`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CrashCard {
    /// The replica, with incarnation and release as far as they are known.
    pub replica: Subject,
    /// How it ended, in words that follow the replica's name: `exited with code 1`, `was killed by SIGSEGV`,
    /// `was killed: out of memory (512 MB)`, `ended, and nobody saw how: its shim was killed`.
    pub exit: String,
    /// How long it had run, in milliseconds.
    pub uptime_ms: u64,
    /// How often it was started again before, since it was last stable.
    pub restarts: u32,
    /// The last lines it wrote, oldest first, both streams as they came. Kept short by who makes the card.
    pub last_lines: Vec<String>,
    /// When it was last stable; none when it never was.
    pub stable_until: Option<Wall>,
    /// What was changed since then, oldest first.
    pub changes_since_stable: Vec<Change>,
    /// What is done next: `started again in 4s`, `left as it is: restart: no`.
    pub next: String,
}

/// A change that may have led to a crash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: Wall,
    /// By whom, as shown to a person.
    pub by: String,
    /// What, as shown to a person: `stack applied, revision 4`.
    pub what: String,
}

impl fmt::Display for CrashCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.replica)?;
        if let Some(release) = &self.replica.release {
            write!(f, " (release {release})")?;
        }
        write!(
            f,
            " {} after {}",
            self.exit,
            format_duration(Duration::from_millis(self.uptime_ms))
        )?;
        match self.restarts {
            0 => {}
            1 => f.write_str(", having been started again once")?,
            times => write!(f, ", having been started again {times} times")?,
        }
        if self.next.is_empty() {
            writeln!(f)?;
        } else {
            writeln!(f, "; {}", self.next)?;
        }
        if self.last_lines.is_empty() {
            writeln!(f, "It wrote nothing.")?;
        } else {
            writeln!(f, "Its last lines:")?;
            for line in &self.last_lines {
                writeln!(f, "  | {line}")?;
            }
        }
        match (self.stable_until, self.changes_since_stable.is_empty()) {
            (Some(at), true) => write!(f, "Nothing was changed since it was last stable, at {at}."),
            (None, true) => write!(f, "It was never stable."),
            (Some(at), false) => write!(f, "Changed since it was last stable, at {at}:"),
            (None, false) => write!(f, "It was never stable. Changed before:"),
        }?;
        for change in &self.changes_since_stable {
            write!(f, "\n  {} {} by {}", change.at, change.what, change.by)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReplicaId;

    #[test]
    fn a_card_reads_as_a_person_would_tell_it() {
        let replica: ReplicaId = "mps/api/2".parse().unwrap();
        let mut card = CrashCard {
            replica: Subject::from(replica).release("r7"),
            exit: "exited with code 1".to_owned(),
            uptime_ms: 250_000,
            restarts: 3,
            last_lines: vec!["loading".to_owned(), "error: no such table".to_owned()],
            stable_until: Some(Wall(1_795_265_075_123)),
            changes_since_stable: vec![Change {
                at: Wall(1_795_265_080_000),
                by: "ana".to_owned(),
                what: "stack applied, revision 4".to_owned(),
            }],
            next: "started again in 4s".to_owned(),
        };
        assert_eq!(
            card.to_string(),
            "mps/api/2 (release r7) exited with code 1 after 4m10s, having been started again 3 times; started again in 4s\n\
             Its last lines:\n  | loading\n  | error: no such table\n\
             Changed since it was last stable, at 2026-11-21T12:44:35.123Z:\n  \
             2026-11-21T12:44:40.000Z stack applied, revision 4 by ana"
        );
        let value = serde_json::to_value(&card).unwrap();
        assert_eq!(serde_json::from_value::<CrashCard>(value).unwrap(), card);
        card.last_lines.clear();
        card.changes_since_stable.clear();
        card.stable_until = None;
        card.restarts = 0;
        card.next.clear();
        assert_eq!(
            card.to_string(),
            "mps/api/2 (release r7) exited with code 1 after 4m10s\nIt wrote nothing.\nIt was never stable."
        );
    }
}
