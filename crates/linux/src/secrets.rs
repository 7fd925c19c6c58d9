//! The secret values a replica is given: how they come from the daemon to its shim, without ever being in a file.
//!
//! Owns the format `tend-shim-secrets`. They travel as the first message on the shim's first connection, in memory alone, and only
//! when a replica is started: a shim that takes over gets none, because it starts nothing.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::net::{RecvFlags, recv};
use tend_base::Secret;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::Error;
use crate::frames::{recv_frame, send_frame};
use crate::wire::{Pairs, decode_record, encode_record};

const WORD: &str = "tend-shim-secrets";
const VERSION: u32 = 1;

/// Secret values for one replica.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Variables of its environment.
    pub env: Vec<(OsString, Secret)>,
    /// Open files, by number, 3 or above, each read from its beginning.
    pub descriptors: Vec<(i32, Secret)>,
}

impl Secrets {
    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.env.len() + self.descriptors.len()
    }

    pub(crate) fn send(&self, socket: BorrowedFd<'_>) -> Result<(), Error> {
        send_frame(socket, &self.encode(), &[])
    }

    /// Takes the first message of a connection when it is the one with the secrets; leaves any other where it is.
    pub(crate) fn receive(socket: impl AsFd) -> Option<Self> {
        let mut first = [0u8; 1];
        let peeked = recv(
            &socket,
            &mut first[..],
            RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::TRUNC,
        );
        // Commands are words; a frame of this other form begins with a control character.
        if peeked.is_err() || !first[0].is_ascii_control() {
            return None;
        }
        let bytes = Zeroizing::new(recv_frame(socket).ok()??.bytes);
        Self::decode(&bytes).ok()
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut pairs = Pairs::default();
        for (name, value) in &self.env {
            let both = Zeroizing::new([name.as_bytes(), b"=", value.expose().as_bytes()].concat());
            pairs.push("env", &*both);
        }
        for (number, value) in &self.descriptors {
            let both = Zeroizing::new(format!("{number}={}", value.expose()));
            pairs.push("descriptor", both.as_bytes());
        }
        let record = Zeroizing::new(encode_record(WORD, VERSION, &pairs));
        pairs.wipe();
        record
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut pairs = decode_record(WORD, bytes)?;
        let text = |value: &[u8]| {
            let text = String::from_utf8(value.to_vec()).map_err(|error| error.into_bytes().zeroize());
            text.map(Secret::new).map_err(|()| "a value is no text")
        };
        let split = |both: &[u8]| -> Result<(Vec<u8>, Secret), &'static str> {
            let equals = both
                .iter()
                .position(|&byte| byte == b'=')
                .ok_or("a secret has no `=`")?;
            Ok((both[..equals].to_vec(), text(&both[equals + 1..])?))
        };
        let mut secrets = Self::default();
        for both in pairs.all("env") {
            let (name, value) = split(both)?;
            secrets.env.push((OsString::from_vec(name), value));
        }
        for both in pairs.all("descriptor") {
            let (number, value) = split(both)?;
            let number = std::str::from_utf8(&number).ok().and_then(|number| number.parse().ok());
            secrets
                .descriptors
                .push((number.ok_or("a `descriptor` has no number")?, value));
        }
        pairs.wipe();
        Ok(secrets)
    }
}

/// Prints names and numbers only.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsString> = self.env.iter().map(|(name, _)| name).collect();
        let numbers: Vec<i32> = self.descriptors.iter().map(|(number, _)| *number).collect();
        f.debug_struct("Secrets")
            .field("env", &names)
            .field("descriptors", &numbers)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let secret = |value: &str| Secret::new(value.to_owned());
        Secrets {
            env: vec![
                ("DB_PASSWORD".into(), secret("hunter2 =%\n")),
                ("KEY".into(), secret("ü")),
            ],
            descriptors: vec![(5, secret("three=3"))],
        }
    }

    #[test]
    fn secrets_survive_their_way() {
        assert_eq!(Secrets::decode(&secrets().encode()), Ok(secrets()));
        let (daemon, shim) = crate::frames::frame_pair().unwrap();
        secrets().send(daemon.as_fd()).unwrap();
        assert_eq!(Secrets::receive(&shim), Some(secrets()));
        assert_eq!(Secrets::receive(&shim), None);
    }

    #[test]
    fn another_message_is_left_where_it_is() {
        let (daemon, shim) = crate::frames::frame_pair().unwrap();
        rustix::net::send(&daemon, b"kill-tree", rustix::net::SendFlags::empty()).unwrap();
        assert_eq!(Secrets::receive(&shim), None);
        let mut bytes = [0u8; 16];
        let (count, _) = recv(&shim, &mut bytes[..], RecvFlags::DONTWAIT).unwrap();
        assert_eq!(&bytes[..count], b"kill-tree");
    }

    #[test]
    fn printing_secrets_shows_no_value() {
        let printed = format!("{:?}", secrets());
        assert!(
            printed.contains("DB_PASSWORD") && !printed.contains("hunter2"),
            "{printed}"
        );
    }

    /// What version 1 looks like, for readers to come: escapes as in every record.
    #[test]
    fn the_recorded_form_is_read() {
        let recorded =
            b"tend-shim-secrets 1\nenv=DB_PASSWORD=hunter2%20=%25%0a\nenv=KEY=%c3%bc\ndescriptor=5=three=3\nlater=1\n";
        assert_eq!(Secrets::decode(recorded), Ok(secrets()));
        assert!(Secrets::decode(b"tend-shim-secrets 1\ndescriptor=x=1\n").is_err());
    }
}
