//! For whom a request comes, when hops before us say so: `X-Forwarded-For` and `Forwarded` (RFC 7239), believed from trusted hops only.
//!
//! ```text
//! X-Forwarded-For: made-up, 203.0.113.9, 10.0.0.2      peer 10.0.0.1, trusted 10.0.0.0/8
//!                           client ◄──── trusted ◄──── trusted     the walk goes from right to left
//! ```
//!
//! The walk ends at the first address that is not trusted: that is the client. It also ends where a value is malformed or missing; then
//! the last hop that was named is the client, since nothing more is known. What stands further left is never looked at.
//!
//! Invariant: what a client writes cannot change the outcome but to the address of a trusted hop (test
//! `a_client_cannot_become_somebody_else`).

use std::net::{IpAddr, Ipv6Addr};

use tend_core::model::Prefix;

use crate::Fields;

/// So many hops are looked at, the nearest first.
pub const HOPS_MAX: usize = 16;

/// The addresses a request came along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hops {
    /// From the peer on, towards the client.
    path: [IpAddr; HOPS_MAX + 1],
    length: usize,
}

impl Hops {
    /// Returns for whom the request comes.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        self.path[self.length - 1]
    }

    /// Returns the addresses in the order `X-Forwarded-For` has them: the client first, the peer last.
    pub fn client_first(&self) -> impl Iterator<Item = IpAddr> {
        self.path[..self.length].iter().rev().copied()
    }

    /// Walks from a trusted peer towards the client.
    ///
    /// A hop that writes one of the two headers may pass on what the client wrote in the other. So where both are there and
    /// lead to different clients, neither is believed and the peer counts: whoever forges shares a bucket with nobody honest.
    #[must_use]
    pub fn walk(peer: IpAddr, trusted: &[Prefix], fields: &Fields<'_>) -> Self {
        let mut listed = Named::default();
        let mut any_listed = false;
        fields("x-forwarded-for", &mut |line| {
            any_listed = true;
            line.split(|byte| *byte == b',')
                .for_each(|item| listed.push(listed_address(item)));
            false
        });
        let mut forwarded = Named::default();
        let mut any_forwarded = false;
        fields("forwarded", &mut |line| {
            any_forwarded = true;
            forwarded_addresses(line, &mut forwarded);
            false
        });
        let by_list = Self::along(peer, trusted, &listed);
        if !any_forwarded {
            return by_list;
        }
        let by_forwarded = Self::along(peer, trusted, &forwarded);
        if !any_listed || by_list.client() == by_forwarded.client() {
            return by_forwarded;
        }
        Self::along(peer, trusted, &Named::default())
    }

    fn along(peer: IpAddr, trusted: &[Prefix], named: &Named) -> Self {
        let peer = peer.to_canonical();
        let mut hops = Self {
            path: [peer; HOPS_MAX + 1],
            length: 1,
        };
        for address in named.nearest_first() {
            if !trusts(trusted, hops.client()) {
                break;
            }
            let Some(address) = address else {
                break;
            };
            hops.path[hops.length] = address;
            hops.length += 1;
        }
        hops
    }
}

/// Says whether an address is that of a trusted hop.
#[must_use]
pub fn trusts(trusted: &[Prefix], address: IpAddr) -> bool {
    trusted.iter().any(|prefix| prefix.contains(address))
}

/// The last addresses that were named; none stands for a value that is no address.
#[derive(Default)]
struct Named {
    ring: [Option<IpAddr>; HOPS_MAX],
    pushed: usize,
}

impl Named {
    fn push(&mut self, address: Option<IpAddr>) {
        self.ring[self.pushed % HOPS_MAX] = address;
        self.pushed += 1;
    }

    fn nearest_first(&self) -> impl Iterator<Item = Option<IpAddr>> {
        let kept = self.pushed.min(HOPS_MAX);
        (1..=kept).map(|back| self.ring[(self.pushed - back) % HOPS_MAX])
    }
}

/// Reads an item of `X-Forwarded-For`: an address, with or without a port.
fn listed_address(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item.trim_ascii()).ok()?;
    text.parse::<IpAddr>()
        .ok()
        .or_else(|| node_address(text))
        .map(|address| address.to_canonical())
}

/// Reads a node of RFC 7239: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`; names are no addresses.
fn node_address(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let ported = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return ported.then_some(IpAddr::V6(address));
    }
    match text.split_once(':') {
        None => text.parse().ok().map(IpAddr::V4),
        Some((address, port)) if is_port(port) => address.parse().ok().map(IpAddr::V4),
        Some(_) => None,
    }
}

fn is_port(text: &str) -> bool {
    // `0.0.0.0:PORT` reads a port as strictly as we want it.
    !text.starts_with('+') && text.parse::<u16>().is_ok()
}

/// Reads a line of `Forwarded` and pushes what each element says of `for`; a line that breaks the grammar names nobody.
fn forwarded_addresses(line: &[u8], named: &mut Named) {
    let mut read = Named::default();
    if elements(line, &mut read).is_none() {
        named.push(None);
        return;
    }
    let addresses: [Option<IpAddr>; HOPS_MAX] = std::array::from_fn(|back| read.nearest_first().nth(back).flatten());
    let kept = read.pushed.min(HOPS_MAX);
    addresses[..kept].iter().rev().for_each(|address| named.push(*address));
}

/// `forwarded-element = [ pair ] *( ";" [ pair ] )`, separated by commas (RFC 7239, 4).
fn elements(line: &[u8], named: &mut Named) -> Option<()> {
    let mut rest = line;
    loop {
        let mut of = None;
        let mut twice = false;
        let mut empty = true;
        loop {
            rest = rest.trim_ascii_start();
            if let Some(end) = rest.iter().position(|byte| !is_token(*byte)).filter(|end| *end > 0) {
                let name = &rest[..end];
                rest = rest[end..].strip_prefix(b"=")?;
                let address;
                (address, rest) = value(rest)?;
                if name.eq_ignore_ascii_case(b"for") {
                    twice = of.is_some();
                    of = Some(address);
                }
                empty = false;
            }
            rest = rest.trim_ascii_start();
            match rest.strip_prefix(b";") {
                Some(more) => rest = more,
                None => break,
            }
        }
        if !empty {
            named.push(of.flatten().filter(|_| !twice));
        }
        match rest {
            [] => return Some(()),
            [b',', more @ ..] => rest = more,
            _ => return None,
        }
    }
}

/// Reads a token or a quoted string and returns the address it is, if any, and what follows.
fn value(text: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
        let token = std::str::from_utf8(&text[..end])
            .ok()
            .filter(|token| !token.is_empty())?;
        return Some((node_address(token).map(|address| address.to_canonical()), &text[end..]));
    };
    // No address is longer, so what does not fit is none.
    let mut room = [0; 64];
    let mut length = 0;
    loop {
        let (byte, more) = match rest {
            [b'"', more @ ..] => {
                let node = room.get(..length).and_then(|node| std::str::from_utf8(node).ok());
                return Some((node.and_then(node_address).map(|address| address.to_canonical()), more));
            }
            [b'\\', byte, more @ ..] | [byte, more @ ..] => (*byte, more),
            [] => return None,
        };
        if let Some(place) = room.get_mut(length) {
            *place = byte;
        }
        length += 1;
        rest = more;
    }
}

/// A character of a token (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
