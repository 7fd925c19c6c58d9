//! Signed sentences about the chain: anchors, which stand outside the database, and checkpoints, which stand for pruned rows.
//!
//! Knows the text that is signed and how a signature is checked; knows no key file and does not sign.

use std::fmt;
use std::str::FromStr;

use ring::signature::{ED25519, UnparsedPublicKey};
use tend_base::{Wall, from_hex, to_hex};

use super::{EventId, Hash};

/// What a statement says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StatementKind {
    /// The journal had this head, and may have grown since.
    Anchor,
    /// The journal had this head when it was closed, and nothing may have been added before it was opened again.
    Closing,
    /// The rows up to and with this one were removed on purpose.
    Checkpoint,
}

impl StatementKind {
    const ALL: [Self; 3] = [Self::Anchor, Self::Closing, Self::Checkpoint];

    /// Returns the first word of the text that is signed; it carries the version, so no other text can be taken for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Anchor => "tend-anchor-1",
            Self::Closing => "tend-closing-1",
            Self::Checkpoint => "tend-checkpoint-1",
        }
    }
}

/// A sentence about the chain with the machine's signature under it, written as one line:
/// `WORD SEQ HASH AT SIGNATURE`, where what stands before the last space is what is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Statement {
    /// What it says.
    pub kind: StatementKind,
    /// The event it is about.
    pub seq: EventId,
    /// The hash of that event.
    pub hash: Hash,
    /// When it was made.
    pub at: Wall,
    /// Ed25519 over the text.
    pub signature: [u8; 64],
}

/// Says that a line is not a statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a statement of the form WORD SEQ HASH MILLISECONDS SIGNATURE")]
pub struct StatementError(pub String);

impl Statement {
    /// Makes a statement; `sign` is given the text and returns its signature.
    #[must_use]
    pub fn sign(kind: StatementKind, seq: EventId, hash: Hash, at: Wall, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Self {
        let mut statement = Self {
            kind,
            seq,
            hash,
            at,
            signature: [0; 64],
        };
        statement.signature = sign(statement.text().as_bytes());
        statement
    }

    /// Returns the text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {} {} {}", self.kind.word(), self.seq, self.hash, self.at.0)
    }

    /// Tells whether the signature is that of the key with this public half (32 bytes).
    #[must_use]
    pub fn is_signed_by(&self, public_key: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, public_key)
            .verify(self.text().as_bytes(), &self.signature)
            .is_ok()
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text(), to_hex(&self.signature))
    }
}

impl FromStr for Statement {
    type Err = StatementError;
    fn from_str(line: &str) -> Result<Self, StatementError> {
        let read = || {
            let mut words = line.split(' ');
            let word = words.next()?;
            let statement = Self {
                kind: StatementKind::ALL.into_iter().find(|kind| kind.word() == word)?,
                seq: EventId(words.next()?.parse().ok()?),
                hash: words.next()?.parse().ok()?,
                at: Wall(words.next()?.parse().ok()?),
                signature: from_hex(words.next()?)?.try_into().ok()?,
            };
            words.next().is_none().then_some(statement)
        };
        read().ok_or_else(|| StatementError(line.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    #[test]
    fn a_statement_is_read_as_written_and_any_change_breaks_its_signature() {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let sign = |text: &[u8]| key.sign(text).as_ref().try_into().unwrap();
        let statement = Statement::sign(StatementKind::Anchor, EventId(12), Hash([3; 32]), Wall(5), sign);
        let public = key.public_key().as_ref();
        let line = statement.to_string();
        assert_eq!(line.parse(), Ok(statement));
        assert!(statement.is_signed_by(public));
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        assert!(!statement.is_signed_by(other.public_key().as_ref()));
        for (from, to) in [
            ("anchor", "closing"),
            (" 12 ", " 13 "),
            ("0303", "0304"),
            (" 5 ", " 6 "),
        ] {
            let changed: Statement = line.replacen(from, to, 1).parse().unwrap();
            assert!(!changed.is_signed_by(public), "{from} -> {to}");
        }
        for wrong in ["", "tend-anchor-2 1", &line[..line.len() - 1], &format!("{line} x")] {
            assert!(wrong.parse::<Statement>().is_err(), "{wrong}");
        }
    }
}
