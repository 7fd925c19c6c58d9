//! The addresses of this machine, as the kernel lists them. Knows no interface and no route.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the addresses at which this machine itself is reached, loopback among them; those of a family whose list cannot be read are
/// left out.
#[must_use]
pub fn own_addresses() -> Vec<IpAddr> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut all = four(&read("/proc/net/fib_trie"));
    all.extend(six(&read("/proc/net/if_inet6")));
    all.sort_unstable();
    all.dedup();
    all
}

/// Reads `/proc/net/fib_trie`: an address stands behind `|--`, and what it is in the lines below it.
fn four(trie: &str) -> Vec<IpAddr> {
    let mut last: Option<Ipv4Addr> = None;
    let mut all = Vec::new();
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            all.extend(last.map(IpAddr::V4));
        }
    }
    all
}

/// Reads `/proc/net/if_inet6`: each line begins with an address in 32 digits.
fn six(list: &str) -> impl Iterator<Item = IpAddr> {
    list.lines().filter_map(|line| {
        let digits = line.split(' ').next().filter(|digits| digits.len() == 32)?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_the_kernel_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 192.0.2.0/24 2 0 2\n        \
                    |-- 192.0.2.0\n           /24 link UNICAST\n        |-- 192.0.2.2\n           /32 host LOCAL\n     |-- 192.0.2.255\n        \
                    /32 link BROADCAST\n";
        assert_eq!(four(trie), ["192.0.2.2".parse::<IpAddr>().unwrap()]);
        let list = "20010db8000000000000000000000007 02 40 00 80     eth0\nshort 01 80 10 80       lo\n";
        let read: Vec<IpAddr> = six(list).collect();
        assert_eq!(read, ["2001:db8::7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn this_machine_is_reached_at_loopback() {
        assert!(own_addresses().contains(&"127.0.0.1".parse().unwrap()));
    }
}
