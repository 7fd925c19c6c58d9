//! Listening on TCP ports: groups of sockets for one address, who holds a port, and ports for replicas.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt};

use crate::error::Error;

/// Connections the kernel completes and keeps waiting for each socket: an edge that restarts finds them there.
const BACKLOG: i32 = 4096;
/// Ports for replicas when the kernel's ephemeral range leaves it free: below Linux's default of 32768, above what
/// services commonly use by habit.
const REPLICA_PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// Who listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortHolder {
    /// Its process.
    pub pid: i32,
    /// Name of its program.
    pub name: String,
}

/// Listens on one address with `count` sockets, among which the kernel shares out connections (`SO_REUSEPORT`).
///
/// All are bound in one go, before any is handed out, and refused when anybody else listens there, even with
/// `SO_REUSEPORT` and the same user: two daemons must never share a port unknowingly. With port 0 all get the same free
/// port. Close-on-exec and non-blocking.
///
/// # Errors
/// [`Error::PortTaken`] with who has it where that can be found out, or [`Error::Listen`].
pub fn listen_group(address: SocketAddr, count: usize) -> Result<Vec<OwnedFd>, Error> {
    let failed = |errno: Errno| listen_error(address, errno);
    // Without SO_REUSEPORT the bind fails when anybody listens there; the option is set afterwards, which the kernel
    // honours for sockets that come later. Only then do the others join.
    let first = socket(address).map_err(failed)?;
    bind(&first, &address).map_err(failed)?;
    sockopt::set_socket_reuseport(&first, true).map_err(failed)?;
    let bound = match getsockname(&first).map_err(failed)?.try_into() {
        Ok(bound) => bound,
        Err(_) => address,
    };
    let mut group = vec![first];
    for _ in 1..count {
        let next = socket(address).map_err(failed)?;
        sockopt::set_socket_reuseport(&next, true).map_err(failed)?;
        let bound: SocketAddr = bound;
        bind(&next, &bound).map_err(failed)?;
        group.push(next);
    }
    for socket in &group {
        listen(socket, BACKLOG).map_err(failed)?;
    }
    Ok(group)
}

fn socket(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    // On Linux this lets a port be bound whose old connections are in TIME_WAIT; it does not let two listen on it.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

fn listen_error(address: SocketAddr, errno: Errno) -> Error {
    let source = io::Error::from(errno);
    if errno == Errno::ADDRINUSE {
        Error::PortTaken {
            address,
            holder: port_holder(address),
            source,
        }
    } else {
        Error::Listen { address, source }
    }
}

/// Returns who listens on an address, or on all addresses with its port; nothing when that cannot be seen.
///
/// Reads `/proc/net/tcp` and `tcp6` and the descriptors of processes: without privilege only one's own processes are found.
#[must_use]
pub fn port_holder(address: SocketAddr) -> Option<PortHolder> {
    let inodes: Vec<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, address))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path())
                .is_ok_and(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str()))
        });
        if holds {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            holders.push(PortHolder {
                pid,
                name: name.trim_end().to_owned(),
            });
        }
    }
    // A socket may have been inherited by children; the oldest number is most likely who made it.
    holders.into_iter().min_by_key(|holder| holder.pid)
}

/// Reads `/proc/net/tcp` or `tcp6`: inodes of sockets that listen on the address or on all addresses of its port.
fn listening_inodes(table: &str, address: SocketAddr) -> Vec<u64> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (ip, port) = fields.get(1)?.split_once(':')?;
            let same_port = u16::from_str_radix(port, 16).ok()? == address.port();
            let ip = parse_ip(ip)?;
            let overlaps = ip == address.ip()
                || ip.is_unspecified()
                || address.ip().is_unspecified()
                || ip.to_canonical() == address.ip().to_canonical();
            (same_port && overlaps && *fields.get(3)? == LISTEN).then_some(())?;
            fields.get(9)?.parse().ok()
        })
        .collect()
}

/// Reads an address as the kernel prints it: 32-bit words in the machine's own byte order, as hexadecimal.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0u8; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// Returns the ports for replicas: 20000 to 29999, or what the kernel's ephemeral range leaves of it, or, where it leaves
/// little, the larger part beside that range. Never a port that an outgoing connection may take by itself.
#[must_use]
pub fn replica_ports() -> RangeInclusive<u16> {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| parse_range(&text))
        .map_or(REPLICA_PORTS, ports_beside)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

fn ports_beside(ephemeral: RangeInclusive<u16>) -> RangeInclusive<u16> {
    let (first, last) = (*ephemeral.start(), *ephemeral.end());
    if last < *REPLICA_PORTS.start() || first > *REPLICA_PORTS.end() {
        return REPLICA_PORTS;
    }
    // 1024 to 10000 is where people put services by hand; above it a thousand ports are plenty for one machine.
    let below = 10_000..=first.saturating_sub(1);
    let above = last.saturating_add(1)..=65_535;
    let clear = |range: &RangeInclusive<u16>| {
        if last == u16::MAX && range.start() == above.start() {
            0
        } else {
            range.len()
        }
    };
    if clear(&below) == 0 && clear(&above) == 0 {
        // The kernel was told to use all: a conflict is then found at the bind, and another port tried.
        return REPLICA_PORTS;
    }
    if clear(&below) >= clear(&above) { below } else { above }
}

/// Returns a port of `range` that `is_taken` does not refuse and that can be bound on loopback right now.
///
/// Tries upwards from the first. It is not held: another process may take it before the replica does, and the replica
/// is then started again with another.
///
/// # Errors
/// [`Error::NoFreePort`].
pub fn free_port(range: RangeInclusive<u16>, is_taken: impl Fn(u16) -> bool) -> Result<u16, Error> {
    let (first, last) = (*range.start(), *range.end());
    range
        .into_iter()
        .filter(|&port| !is_taken(port))
        // A replica may listen on all addresses, so all have to be free.
        .find(|&port| can_bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)))
        .ok_or(Error::NoFreePort { first, last })
}

fn can_bind(address: SocketAddr) -> bool {
    socket(address).is_ok_and(|socket| bind(&socket, &address).is_ok() && listen(&socket, 1).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
    }

    fn port_of(socket: &OwnedFd) -> u16 {
        let address: SocketAddr = getsockname(socket).unwrap().try_into().unwrap();
        address.port()
    }

    #[test]
    fn a_group_shares_one_port_and_takes_connections() {
        let group = listen_group(loopback(0), 3).unwrap();
        let port = port_of(&group[0]);
        assert!(group.iter().all(|socket| port_of(socket) == port));
        // The kernel shares them out by a hash of the addresses: that sixty all meet one of three sockets does not happen.
        let clients: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(loopback(port)).unwrap()).collect();
        let accepted: Vec<usize> = group
            .iter()
            .map(|socket| std::iter::from_fn(|| rustix::net::accept(socket).ok()).count())
            .collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn a_taken_port_is_refused_with_who_has_it() {
        let other = TcpListener::bind(loopback(0)).unwrap();
        let address = other.local_addr().unwrap();
        let error = listen_group(address, 2).unwrap_err();
        let me = i32::try_from(std::process::id()).unwrap();
        match &error {
            Error::PortTaken { holder, .. } => assert_eq!(holder.as_ref().unwrap().pid, me),
            error => panic!("{error}"),
        }
        let start = format!("port {} on 127.0.0.1 is already taken by `", address.port());
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.hint().unwrap().contains(&me.to_string()));
    }

    #[test]
    fn even_a_group_of_our_own_is_not_joined() {
        let group = listen_group(loopback(0), 2).unwrap();
        let error = listen_group(loopback(port_of(&group[0])), 2).unwrap_err();
        assert!(matches!(error, Error::PortTaken { .. }), "{error}");
    }

    #[test]
    fn an_address_of_no_interface_says_so() {
        let error = listen_group("192.0.2.1:0".parse().unwrap(), 1).unwrap_err();
        assert!(
            matches!(error, Error::Listen { .. }) && error.hint().is_some(),
            "{error}"
        );
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   \
            1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n   \
            2: 0100007F:1F90 0100007F:D000 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n";
        assert_eq!(listening_inodes(table, loopback(8080)), [4711]);
        assert_eq!(listening_inodes(table, loopback(8081)), [4712]);
        assert_eq!(listening_inodes(table, loopback(8082)), [0u64; 0]);
        assert_eq!(
            parse_ip("00000000000000000000000001000000"),
            Some(IpAddr::V6(Ipv6Addr::LOCALHOST))
        );
    }

    #[test]
    fn replica_ports_stay_clear_of_the_ephemeral_range() {
        for (ephemeral, ports) in [
            (32_768..=60_999, 20_000..=29_999),
            (1024..=10_999, 20_000..=29_999),
            (15_000..=60_999, 10_000..=14_999),
            (1024..=60_999, 61_000..=65_535),
            (1024..=65_535, 20_000..=29_999),
        ] {
            assert_eq!(ports_beside(ephemeral.clone()), ports, "{ephemeral:?}");
        }
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
    }

    #[test]
    fn a_free_port_is_neither_listened_on_nor_refused_by_the_caller() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(matches!(
            free_port(port..=port, |_| false),
            Err(Error::NoFreePort { .. })
        ));
        let range = replica_ports();
        let first = free_port(range.clone(), |_| false).unwrap();
        let second = free_port(range, |port| port == first).unwrap();
        assert_ne!(first, second);
    }
}
