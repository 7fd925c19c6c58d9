//! Session tickets: what lets a client that was here before come back without a full handshake.
//!
//! The keys are shared by the threads, replaced every [`TURN_SECONDS`], and shared with the edge before and after this one through a
//! small file beside the control socket, so that a new edge does not cost every client a handshake. The key of the next turn is in
//! that file a turn before it is used: two edges that run side by side never disagree about it. That folder is meant to be one in
//! memory (`/run`): a key that was once in use and is not any more is nowhere.
//!
//! A ticket seals what it is for: what a listener asks of clients is part of the key, since a session that is taken up again is
//! not asked for a certificate anew.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use rustls::server::ProducesTickets;
use tend_base::{Clock, SystemClock, write_atomically};

/// A key is used so long, and accepted for as long again.
const TURN_SECONDS: u64 = 6 * 60 * 60;

/// The keys are looked at so often: a clock that was set, or a machine that slept, is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

const NAME_BYTES: usize = 8;

/// The keys of all threads.
pub(crate) struct TicketKeys {
    file: PathBuf,
    secrets: RwLock<Secrets>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Secrets {
    /// The turn whose secret new tickets are sealed with.
    turn: u64,
    /// By turn, ascending.
    all: Vec<(u64, [u8; 32])>,
}

impl TicketKeys {
    /// Returns keys that are shared with other edges through a file; with nobody, where it cannot be read or written.
    pub(crate) fn shared(file: &Path) -> Arc<Self> {
        let keys = Self {
            file: file.to_owned(),
            secrets: RwLock::default(),
        };
        keys.turn();
        Arc::new(keys)
    }

    /// Takes the keys of the present turn into use.
    fn turn(&self) {
        let now = SystemClock.now().wall.0 / 1000;
        let mut secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone();
        let found =
            std::fs::read_to_string(&self.file).map_or_else(|_| Secrets::default(), |text| Secrets::parse(&text));
        let before = found.all.clone();
        // What another edge has written holds; ours are added where it has none.
        found
            .all
            .into_iter()
            .for_each(|(turn, secret)| secrets.put(turn, secret));
        secrets.advance(now / TURN_SECONDS, random);
        if secrets.all != before {
            // Without the file clients of the next edge shake hands in full, and nothing else is lost.
            let _ = write_atomically(&self.file, secrets.text().as_bytes(), 0o600);
        }
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

    fn with<T>(&self, look: impl FnOnce(&Secrets) -> T) -> T {
        look(&self.secrets.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Replaces the keys in time, for ever.
pub(crate) async fn keep_turning(keys: Arc<TicketKeys>) {
    loop {
        let now = SystemClock.now().wall.0 / 1000;
        let left = TURN_SECONDS - now % TURN_SECONDS;
        tokio::time::sleep(Duration::from_secs(left).min(LOOK_EVERY)).await;
        keys.turn();
    }
}

fn random() -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty()).ok()?;
    Some(secret)
}

impl Secrets {
    fn put(&mut self, turn: u64, secret: [u8; 32]) {
        match self.all.binary_search_by_key(&turn, |(turn, _)| *turn) {
            Ok(at) => self.all[at].1 = secret,
            Err(at) => self.all.insert(at, (turn, secret)),
        }
    }

    /// Makes `turn` the present one: has a secret for it and the next, and none older than the one before.
    fn advance(&mut self, turn: u64, mut draw: impl FnMut() -> Option<[u8; 32]>) {
        self.turn = turn;
        self.all
            .retain(|(of, _)| (turn.saturating_sub(1)..=turn + 1).contains(of));
        for wanted in [turn, turn + 1] {
            if self.all.iter().all(|(of, _)| *of != wanted)
                && let Some(secret) = draw()
            {
                self.put(wanted, secret);
            }
        }
    }

    /// Reads lines of a turn and its secret; whatever else is there is left out.
    fn parse(text: &str) -> Self {
        let mut secrets = Self::default();
        for line in text.lines() {
            let Some((turn, secret)) = line.split_once(' ') else {
                continue;
            };
            if let (Ok(turn), Some(secret)) = (turn.parse(), from_hex(secret)) {
                secrets.put(turn, secret);
            }
        }
        secrets
    }

    fn text(&self) -> String {
        let hex = |secret: &[u8; 32]| secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.all
            .iter()
            .map(|(turn, secret)| format!("{turn} {}\n", hex(secret)))
            .collect()
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(secret)
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

/// Seals and opens the tickets of listeners that ask the same of clients.
pub(super) struct Ticketer {
    keys: Arc<TicketKeys>,
    /// What is asked of clients.
    purpose: [u8; 32],
}

impl Ticketer {
    pub(super) fn new(keys: Arc<TicketKeys>, purpose: [u8; 32]) -> Self {
        Self { keys, purpose }
    }

    /// Returns the key for this purpose, and the name by which a ticket tells with which it was sealed.
    fn key(&self, secret: &[u8; 32]) -> Option<(LessSafeKey, [u8; NAME_BYTES])> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derive = |label: &[u8]| {
            let mut context = hmac::Context::with_key(&secret);
            context.update(label);
            context.update(&self.purpose);
            context.sign()
        };
        let key = UnboundKey::new(&AES_256_GCM, derive(b"tend ticket key").as_ref()).ok()?;
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&derive(b"tend ticket name").as_ref()[..NAME_BYTES]);
        Some((LessSafeKey::new(key), name))
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Ticketer").finish_non_exhaustive()
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TURN_SECONDS).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let secret = self.keys.with(|secrets| {
            let present = secrets.all.iter().find(|(turn, _)| *turn == secrets.turn);
            present.map(|(_, secret)| *secret)
        })?;
        let (key, name) = self.key(&secret)?;
        let mut nonce = [0; NONCE_LEN];
        rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty()).ok()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(&name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(name), &mut ticket[NAME_BYTES + NONCE_LEN..])
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME_BYTES)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let secrets = self.keys.with(Secrets::clone);
        let (key, name) = secrets
            .all
            .iter()
            .filter_map(|(_, secret)| self.key(secret))
            .find(|(_, known)| known[..] == *name)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = key.open_in_place(nonce, Aad::from(name), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(turn: u64, secrets: &[(u64, u8)]) -> Arc<TicketKeys> {
        let all = secrets.iter().map(|(turn, byte)| (*turn, [*byte; 32])).collect();
        Arc::new(TicketKeys {
            file: PathBuf::new(),
            secrets: RwLock::new(Secrets { turn, all }),
        })
    }

    #[test]
    fn a_ticket_is_good_in_its_turn_and_the_next_and_for_its_purpose_alone() {
        let now = Ticketer::new(keys(7, &[(7, 1), (8, 2)]), [0; 32]);
        let ticket = now.encrypt(b"session").unwrap();
        assert_eq!(now.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let next = Ticketer::new(keys(8, &[(7, 1), (8, 2), (9, 3)]), [0; 32]);
        assert_eq!(next.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let after = Ticketer::new(keys(9, &[(8, 2), (9, 3), (10, 4)]), [0; 32]);
        assert_eq!(after.decrypt(&ticket), None);
        let other = Ticketer::new(keys(7, &[(7, 1), (8, 2)]), [1; 32]);
        assert_eq!(other.decrypt(&ticket), None);
    }

    #[test]
    fn a_ticket_that_was_touched_is_none() {
        let ticketer = Ticketer::new(keys(7, &[(7, 1)]), [0; 32]);
        let ticket = ticketer.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut touched = ticket.clone();
            touched[at] ^= 1;
            assert_eq!(ticketer.decrypt(&touched), None, "{at}");
            assert_eq!(ticketer.decrypt(&ticket[..at]), None, "{at}");
        }
    }

    #[test]
    fn secrets_turn_and_old_ones_are_forgotten() {
        let mut drawn = 0;
        let mut draw = || {
            drawn += 1;
            Some([drawn; 32])
        };
        let mut secrets = Secrets::default();
        secrets.advance(5, &mut draw);
        assert_eq!(secrets.all, [(5, [1; 32]), (6, [2; 32])]);
        secrets.advance(6, &mut draw);
        assert_eq!(secrets.all, [(5, [1; 32]), (6, [2; 32]), (7, [3; 32])]);
        secrets.advance(7, &mut draw);
        assert_eq!(secrets.all, [(6, [2; 32]), (7, [3; 32]), (8, [4; 32])]);
        // A clock that was set back far.
        secrets.advance(2, &mut draw);
        assert_eq!(secrets.all, [(2, [5; 32]), (3, [6; 32])]);
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_what_is_broken_is_left_out() {
        let mut secrets = Secrets::default();
        secrets.put(3, [0xab; 32]);
        secrets.put(2, [7; 32]);
        assert!(Secrets::parse(&secrets.text()).all == secrets.all);
        let broken = format!("x\n4 zz\n5 {}\n{}", "é".repeat(32), secrets.text());
        assert!(Secrets::parse(&broken).all == secrets.all);
    }
}
