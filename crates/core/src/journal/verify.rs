//! Checks a chain against itself and against what was signed. Knows no disk: rows, anchors and the checkpoint are handed in.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tend_base::Wall;

use super::{EventId, GENESIS, Hash, Kind, Row, Statement, StatementKind};

/// A report names this many findings and counts the rest: a renumbered journal has one for each row.
const FINDINGS_MAX: usize = 100;
/// So many bad rows are kept in memory to find out where they came from; more than that are only counted.
const SUSPECTS_MAX: usize = 256;
/// How far around a bad row its true number is looked for, beside the numbers of the other bad rows.
const MOVED_BY_MAX: u64 = 64;

/// Something that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// A field of the row was changed.
    Changed {
        /// The row.
        seq: u64,
    },
    /// The row was written as another number: rows were swapped or renumbered.
    Moved {
        /// Where it is.
        seq: u64,
        /// Where it was written.
        written_as: u64,
    },
    /// Rows are missing between others.
    Missing {
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        to: u64,
    },
    /// The row does not follow from the row before, though each is well-formed: what is before was written anew.
    Unlinked {
        /// The row that does not follow.
        seq: u64,
    },
    /// The rows before were removed, and the checkpoint that should stand for them is not signed by this machine.
    ForgedCheckpoint {
        /// The last row it claims to stand for.
        seq: u64,
    },
    /// A signed anchor says that the row had another hash: it was written anew together with all that follow it.
    Rewritten {
        /// The row.
        seq: u64,
        /// When the anchor was signed.
        anchored_at: Wall,
    },
    /// A signed anchor says that the journal was longer: its end was cut off, or an older copy was put back.
    CutTail {
        /// The last row there is; 0 when there is none.
        head: u64,
        /// The last row there was.
        anchored: u64,
        /// When the anchor was signed.
        anchored_at: Wall,
    },
    /// Rows follow the one with which the journal was closed, though nothing has opened it since.
    AddedAfterClose {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// A line of the anchor file is not signed by this machine.
    ForgedAnchor {
        /// The line, from 1.
        line: usize,
    },
    /// A line of the anchor file is not an anchor.
    UnreadableAnchor {
        /// The line, from 1.
        line: usize,
    },
    /// There is no anchor, so a cut tail could not be seen.
    NoAnchor,
    /// tend itself found the journal changed, and recorded it.
    Recorded {
        /// The event that says so.
        seq: u64,
        /// What was found then.
        text: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { seq } => write!(f, "event {seq} was changed after it was written"),
            Self::Moved { seq, written_as } => write!(
                f,
                "event {seq} was written as event {written_as}: the order was changed"
            ),
            Self::Missing { from, to } if from == to => write!(f, "event {from} is missing"),
            Self::Missing { from, to } => write!(f, "events {from} to {to} are missing"),
            Self::Unlinked { seq } => write!(
                f,
                "event {seq} does not follow from what stands before it: that was written anew"
            ),
            Self::ForgedCheckpoint { seq } => write!(
                f,
                "the checkpoint that stands for the events up to {seq} does not carry this machine's signature"
            ),
            Self::Rewritten { seq, anchored_at } => write!(
                f,
                "event {seq} is not the one anchored at {anchored_at}: the journal was written anew up to it"
            ),
            Self::CutTail {
                head,
                anchored,
                anchored_at,
            } => write!(
                f,
                "the journal ends at event {head}, but event {anchored} was anchored at {anchored_at}: \
                 its end was cut off, or an older copy was put back"
            ),
            Self::AddedAfterClose { from, to } if from == to => {
                write!(f, "event {from} was added after tend had closed the journal")
            }
            Self::AddedAfterClose { from, to } => {
                write!(f, "events {from} to {to} were added after tend had closed the journal")
            }
            Self::ForgedAnchor { line } => write!(
                f,
                "line {line} of the anchor file does not carry this machine's signature"
            ),
            Self::UnreadableAnchor { line } => {
                write!(f, "line {line} of the anchor file is not an anchor")
            }
            Self::NoAnchor => {
                f.write_str("there is no anchor: whether the end of the journal was cut off cannot be told")
            }
            Self::Recorded { seq, text } => {
                write!(f, "event {seq} records that tend found earlier: {text}")
            }
        }
    }
}

/// What checking a journal found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct VerifyReport {
    /// How many rows were checked.
    pub rows: u64,
    /// The first of them.
    pub first: Option<EventId>,
    /// The last of them.
    pub head: Option<EventId>,
    /// The hash of the last of them.
    pub head_hash: Option<Hash>,
    /// The last row that was pruned, by a checkpoint with a good signature.
    pub pruned_upto: Option<EventId>,
    /// The highest row that an anchor with a good signature vouches for.
    pub anchored_upto: Option<EventId>,
    /// What is wrong, in the order of the rows, then of the anchors; at most 100.
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    pub more_findings: u64,
}

impl VerifyReport {
    /// Tells whether nothing is wrong.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.head) {
            (Some(first), Some(head)) => write!(f, "{} events, {first} to {head}", self.rows)?,
            _ => f.write_str("no events")?,
        }
        if let Some(upto) = self.pruned_upto {
            write!(f, "; pruned up to {upto} with a signed checkpoint")?;
        }
        if let Some(upto) = self.anchored_upto {
            write!(f, "; anchored up to {upto}")?;
        }
        if self.is_intact() {
            return f.write_str(". Nothing was changed, reordered or removed.");
        }
        f.write_str(". Not as it was written:")?;
        for finding in &self.findings {
            write!(f, "\n  {finding}")?;
        }
        if self.more_findings > 0 {
            write!(f, "\n  and {} more", self.more_findings)?;
        }
        Ok(())
    }
}

/// Checks rows one by one, in the order of their numbers, keeping only what it needs of them.
#[derive(Debug)]
pub struct Verifier {
    anchors: BTreeMap<u64, Statement>,
    closing: Option<u64>,
    checkpoint: Option<Statement>,
    previous: Option<Previous>,
    suspects: Vec<Row>,
    of_anchors: Vec<Finding>,
    report: VerifyReport,
}

#[derive(Clone, Copy, Debug)]
struct Previous {
    seq: u64,
    hash: Hash,
    is_sound: bool,
}

impl Verifier {
    /// Starts a check against the public half of the machine's key, the text of the anchor file, and the newest checkpoint.
    #[must_use]
    pub fn new(public_key: &[u8], anchors: &str, checkpoint: Option<&str>) -> Self {
        let mut verifier = Self {
            anchors: BTreeMap::new(),
            closing: None,
            checkpoint: None,
            previous: None,
            suspects: Vec::new(),
            of_anchors: Vec::new(),
            report: VerifyReport {
                rows: 0,
                first: None,
                head: None,
                head_hash: None,
                pruned_upto: None,
                anchored_upto: None,
                findings: Vec::new(),
                more_findings: 0,
            },
        };
        for (index, text) in anchors.lines().enumerate() {
            let line = index + 1;
            match text.parse::<Statement>() {
                Ok(anchor) if anchor.kind == StatementKind::Checkpoint => {
                    verifier.of_anchors.push(Finding::UnreadableAnchor { line });
                }
                Ok(anchor) if anchor.is_signed_by(public_key) => {
                    verifier.closing = (anchor.kind == StatementKind::Closing).then_some(anchor.seq.0);
                    verifier.anchors.insert(anchor.seq.0, anchor);
                }
                Ok(_) => verifier.of_anchors.push(Finding::ForgedAnchor { line }),
                Err(_) => verifier.of_anchors.push(Finding::UnreadableAnchor { line }),
            }
        }
        if let Some(text) = checkpoint {
            match text.parse::<Statement>() {
                Ok(statement) if statement.kind == StatementKind::Checkpoint && statement.is_signed_by(public_key) => {
                    verifier.report.pruned_upto = Some(statement.seq);
                    verifier.checkpoint = Some(statement);
                }
                Ok(statement) => verifier.find(Finding::ForgedCheckpoint { seq: statement.seq.0 }),
                Err(_) => verifier.find(Finding::ForgedCheckpoint { seq: 0 }),
            }
        }
        verifier
    }

    /// Checks the next row.
    pub fn row(&mut self, row: Row) {
        let is_sound = row.digest() == row.hash;
        let (before, before_hash, before_is_sound) = match self.previous {
            Some(previous) => (previous.seq, previous.hash, previous.is_sound),
            None => match &self.checkpoint {
                Some(checkpoint) => (checkpoint.seq.0, checkpoint.hash, true),
                None => (0, GENESIS, true),
            },
        };
        let follows = before.checked_add(1) == Some(row.seq);
        if row.seq > before && !follows {
            self.find(Finding::Missing {
                from: before + 1,
                to: row.seq - 1,
            });
        }
        // A row that stands before the checkpoint was pruned and has been put back.
        if row.seq <= before || (follows && row.prev_hash != before_hash && is_sound && before_is_sound) {
            self.find(Finding::Unlinked { seq: row.seq });
        }
        if is_sound {
            if let Some(anchor) = self.anchors.get(&row.seq)
                && anchor.hash != row.hash
            {
                let anchored_at = anchor.at;
                self.find(Finding::Rewritten {
                    seq: row.seq,
                    anchored_at,
                });
            }
            if row.kind == Kind::JournalDamaged.as_str() {
                self.find(Finding::Recorded {
                    seq: row.seq,
                    text: recorded_finding(&row.data),
                });
            }
        }
        self.pass(row.seq, row.hash, is_sound);
        if !is_sound {
            if self.suspects.len() < SUSPECTS_MAX {
                self.suspects.push(row);
            } else {
                self.report.more_findings += 1;
            }
        }
    }

    /// Takes note of a row that is there but cannot even be read, such as one whose hash has another length.
    pub fn unreadable_row(&mut self, seq: u64) {
        self.find(Finding::Changed { seq });
        self.pass(seq, GENESIS, false);
    }

    /// Ends the check.
    #[must_use]
    pub fn finish(mut self) -> VerifyReport {
        let suspects = std::mem::take(&mut self.suspects);
        for row in &suspects {
            let near = row.seq.saturating_sub(MOVED_BY_MAX)..=row.seq.saturating_add(MOVED_BY_MAX);
            let written_as = suspects
                .iter()
                .map(|other| other.seq)
                .chain(near)
                .find(|seq| *seq != row.seq && row.digest_as(*seq) == row.hash);
            self.find(match written_as {
                Some(written_as) => Finding::Moved {
                    seq: row.seq,
                    written_as,
                },
                None => Finding::Changed { seq: row.seq },
            });
        }
        self.report.findings.sort_by_key(first_row_of);
        let last_pruned = self.checkpoint.as_ref().map_or(0, |statement| statement.seq.0);
        let head = self.previous.map_or(last_pruned, |previous| previous.seq);
        if let Some((_, newest)) = self.anchors.last_key_value() {
            self.report.anchored_upto = Some(newest.seq);
            let (anchored, anchored_at) = (newest.seq.0, newest.at);
            if anchored > head {
                self.find(Finding::CutTail {
                    head,
                    anchored,
                    anchored_at,
                });
            }
        } else if self.report.rows > 0 {
            self.find(Finding::NoAnchor);
        }
        if let Some(closing) = self.closing
            && head > closing
        {
            self.find(Finding::AddedAfterClose {
                from: closing + 1,
                to: head,
            });
        }
        for finding in std::mem::take(&mut self.of_anchors) {
            self.find(finding);
        }
        self.report
    }

    fn pass(&mut self, seq: u64, hash: Hash, is_sound: bool) {
        self.previous = Some(Previous { seq, hash, is_sound });
        self.report.rows += 1;
        self.report.first.get_or_insert(EventId(seq));
        self.report.head = Some(EventId(seq));
        self.report.head_hash = Some(hash);
    }

    fn find(&mut self, finding: Finding) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        } else {
            self.report.more_findings += 1;
        }
    }
}

/// Returns the text of a `journal.damaged` event.
fn recorded_finding(data: &str) -> String {
    serde_json::from_str::<serde_json::Value>(data)
        .ok()
        .and_then(|data| Some(data.get("finding")?.as_str()?.to_owned()))
        .unwrap_or_else(|| "a change from outside".to_owned())
}

/// Returns the row a finding is to be told at; those about the journal as a whole come last.
fn first_row_of(finding: &Finding) -> u64 {
    match finding {
        Finding::Changed { seq }
        | Finding::Moved { seq, .. }
        | Finding::Unlinked { seq }
        | Finding::ForgedCheckpoint { seq }
        | Finding::Rewritten { seq, .. }
        | Finding::Recorded { seq, .. } => *seq,
        Finding::Missing { from, .. } | Finding::AddedAfterClose { from, .. } => *from,
        Finding::CutTail { .. }
        | Finding::ForgedAnchor { .. }
        | Finding::UnreadableAnchor { .. }
        | Finding::NoAnchor => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Entry, Principal};
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::json;
    use tend_base::{Mono, Now};

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn state(kind: StatementKind, row: &Row) -> String {
        let sign = |text: &[u8]| key().sign(text).as_ref().try_into().unwrap();
        Statement::sign(kind, EventId(row.seq), row.hash, Wall(5), sign).to_string()
    }

    fn rows(count: u64) -> Vec<Row> {
        let mut prev = GENESIS;
        (1..=count)
            .map(|seq| {
                let rule = Principal::Rule { name: "r".to_owned() };
                let entry = Entry::new(rule, Kind::ReplicaReady).with(json!({"seq": seq}));
                let now = Now {
                    mono: Mono(seq),
                    wall: Wall(seq),
                };
                let row = Row::chained(prev, &entry, EventId(seq), now);
                prev = row.hash;
                row
            })
            .collect()
    }

    fn check(rows: &[Row], anchors: &[String], checkpoint: Option<&str>) -> VerifyReport {
        let key = key();
        let mut verifier = Verifier::new(key.public_key().as_ref(), &anchors.join("\n"), checkpoint);
        for row in rows {
            verifier.row(row.clone());
        }
        verifier.finish()
    }

    #[test]
    fn a_whole_chain_has_no_findings_and_neither_has_one_that_grew_since_its_anchor() {
        let rows = rows(10);
        let report = check(&rows, &[state(StatementKind::Anchor, &rows[6])], None);
        assert_eq!(report.findings, []);
        assert_eq!(report.head, Some(EventId(10)));
        assert_eq!(report.anchored_upto, Some(EventId(7)));
        assert_eq!(
            report.to_string(),
            "10 events, 1 to 10; anchored up to 7. Nothing was changed, reordered or removed."
        );
    }

    #[test]
    fn a_checkpoint_stands_for_the_rows_before_it_and_for_no_others() {
        let rows = rows(10);
        let anchors = [state(StatementKind::Anchor, &rows[9])];
        let checkpoint = state(StatementKind::Checkpoint, &rows[3]);
        assert_eq!(check(&rows[4..], &anchors, Some(&checkpoint)).findings, []);
        assert_eq!(
            check(&rows[6..], &anchors, Some(&checkpoint)).findings,
            [Finding::Missing { from: 5, to: 6 }]
        );
        assert_eq!(
            check(&rows[3..], &anchors, Some(&checkpoint)).findings,
            [Finding::Unlinked { seq: 4 }]
        );
        // An anchor is no checkpoint, though both are signed.
        let anchor = state(StatementKind::Anchor, &rows[3]);
        assert_eq!(
            check(&rows[4..], &anchors, Some(&anchor)).findings,
            [
                Finding::Missing { from: 1, to: 4 },
                Finding::ForgedCheckpoint { seq: 4 }
            ]
        );
        // Everything after the checkpoint was cut.
        assert!(matches!(
            check(&[], &anchors, Some(&checkpoint)).findings[..],
            [Finding::CutTail {
                head: 4,
                anchored: 10,
                ..
            }]
        ));
    }

    #[test]
    fn many_findings_are_counted() {
        let mut rows = rows(1000);
        let anchors = [state(StatementKind::Anchor, &rows[999])];
        for row in &mut rows {
            row.data.push(' ');
        }
        let report = check(&rows, &anchors, None);
        assert_eq!(report.findings.len(), FINDINGS_MAX);
        assert_eq!(report.findings[0], Finding::Changed { seq: 1 });
        assert_eq!(report.more_findings, 900);
        assert!(report.to_string().ends_with("and 900 more"));
    }
}
