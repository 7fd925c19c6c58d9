//! A range of addresses: an address and how many of its bits count.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `10.0.0.0/8`, `2001:db8::/32`, or one address. An IPv4 address written in IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not an address, or not a number of bits behind the slash.
    #[error("`{0}` is no address and no prefix such as 10.0.0.0/8")]
    Malformed(String),
    /// More bits than an address has.
    #[error("`{text}` has more than {max} bits")]
    Long {
        /// As it was written.
        text: String,
        /// 32 or 128.
        max: u8,
    },
    /// Bits are set behind the prefix: which range was meant is not clear.
    #[error("`{text}` has bits set behind the prefix; write `{meant}`")]
    Loose {
        /// As it was written.
        text: String,
        /// With those bits cleared.
        meant: Prefix,
    },
}

impl Prefix {
    /// Returns the range of one address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits }
    }

    /// Returns the first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns how many leading bits count, 0 to 32 or 128.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Says whether the address is in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differing = u32::from(ours) ^ u32::from(theirs);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differing = u128::from(ours) ^ u128::from(theirs);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }

    /// Says whether every address of another range is in this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    /// Says whether some address is in both ranges.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    fn cleared(self) -> Self {
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4((u32::from(address) & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6((u128::from(address) & mask).into())
            }
        };
        Self { address, ..self }
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let malformed = || PrefixError::Malformed(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            None => return text.parse().map(Self::of).map_err(|_| malformed()),
            Some((address, bits)) => (address, bits),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let max = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits.parse::<u8>() {
            Ok(bits) if bits <= max => bits,
            _ => {
                return Err(PrefixError::Long {
                    text: text.to_owned(),
                    max,
                });
            }
        };
        let prefix = Self { address, bits };
        let meant = prefix.cleared();
        if meant == prefix {
            Ok(prefix)
        } else {
            Err(PrefixError::Loose {
                text: text.to_owned(),
                meant,
            })
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        if self.bits == whole {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_read_and_written_and_knows_who_is_in_it() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), text);
            assert!(prefix.contains(inside.parse().unwrap()), "{inside} in {text}");
            assert!(!prefix.contains(outside.parse().unwrap()), "{outside} not in {text}");
        }
    }

    #[test]
    fn what_is_no_prefix_is_said_to_be_none() {
        for (text, said) in [
            (
                "10.0.0.1/8",
                "`10.0.0.1/8` has bits set behind the prefix; write `10.0.0.0/8`",
            ),
            ("10.0.0.0/33", "`10.0.0.0/33` has more than 32 bits"),
            ("::/129", "`::/129` has more than 128 bits"),
            ("10.0.0/8", "`10.0.0/8` is no address and no prefix such as 10.0.0.0/8"),
            (
                "10.0.0.0/",
                "`10.0.0.0/` is no address and no prefix such as 10.0.0.0/8",
            ),
            (
                "10.0.0.0/+8",
                "`10.0.0.0/+8` is no address and no prefix such as 10.0.0.0/8",
            ),
            ("here", "`here` is no address and no prefix such as 10.0.0.0/8"),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap_err().to_string(), said);
        }
    }
}
