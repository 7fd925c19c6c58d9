//! The process table as `/proc` shows it, pidfds, and what several processes use together.
//!
//! Knows no shim and no replica: whom a process belongs to is told by the caller.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::error::Error;
use crate::exit::Exit;

/// What `/proc/PID/stat` says of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcStat {
    /// Process id.
    pub pid: i32,
    /// `R`, `S`, `D`, `Z`, `T`, … as in `proc(5)`.
    pub state: char,
    /// Parent.
    pub parent: i32,
    /// Process group.
    pub group: i32,
    /// Session.
    pub session: i32,
    /// Processor time of all its threads, user and system, in clock ticks.
    pub cpu_ticks: u64,
    /// Clock ticks from boot to its start.
    pub start_time: u64,
    /// Resident pages.
    pub resident_pages: u64,
    /// Status as `wait(2)` will return it, once it is a zombie and if we may read it.
    pub exit_status: i32,
}

impl ProcStat {
    /// Reads one process.
    ///
    /// # Errors
    /// `NotFound` when there is no such process.
    pub fn read(pid: i32) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).map_err(|error| {
            // A process that vanishes between open and read answers ESRCH.
            if error.raw_os_error() == Some(libc::ESRCH) {
                io::Error::from(io::ErrorKind::NotFound)
            } else {
                error
            }
        })?;
        Self::parse(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Reads the text of `/proc/PID/stat`. The name of the program may hold spaces and brackets, so it ends at the last `)`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|&byte| byte == b'(')?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let pid = std::str::from_utf8(&text[..open]).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        // `rest` begins with field 3 of proc(5).
        let mut fields = [""; 50];
        let mut count = 0;
        for (slot, field) in fields.iter_mut().zip(rest.split_ascii_whitespace()) {
            *slot = field;
            count += 1;
        }
        if count < 22 {
            return None;
        }
        let field = |number: usize| fields[number - 3];
        Some(Self {
            pid,
            state: field(3).chars().next()?,
            parent: field(4).parse().ok()?,
            group: field(5).parse().ok()?,
            session: field(6).parse().ok()?,
            cpu_ticks: field(14).parse::<u64>().ok()? + field(15).parse::<u64>().ok()?,
            start_time: field(22).parse().ok()?,
            resident_pages: field(24).parse().unwrap_or(0),
            exit_status: field(52).parse().unwrap_or(0),
        })
    }

    /// Whether the process has ended and only waits to be collected.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Reads all processes there are. A process that ends meanwhile is left out.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn all_processes() -> io::Result<Vec<ProcStat>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok())
            && let Ok(stat) = ProcStat::read(pid)
        {
            all.push(stat);
        }
    }
    Ok(all)
}

/// Opens a pidfd: a descriptor that becomes readable when the process ends, and that never names another process.
///
/// # Errors
/// When there is no such process.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, Error> {
    pidfd(pid).map_err(|source| Error::Process { pid, source })
}

pub(crate) fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    let number = Pid::from_raw(pid.max(0)).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(rustix::process::pidfd_open(number, PidfdFlags::empty())?)
}

/// Sends a signal through a pidfd. A process that is gone already is not an error.
///
/// # Errors
/// When the number is no signal or we may not send it.
pub fn pidfd_send_signal(pidfd: impl AsFd, number: i32) -> io::Result<()> {
    let signal = Signal::from_named_raw(number).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends a signal to the process that had this number *and* this start time; does nothing when it is gone.
pub(crate) fn signal_exactly(pid: i32, start_time: u64, number: i32) -> io::Result<()> {
    let Ok(descriptor) = pidfd(pid) else {
        return Ok(());
    };
    // The descriptor names whoever has the number now; only the start time tells whether that is the one meant.
    match ProcStat::read(pid) {
        Ok(stat) if stat.start_time == start_time => pidfd_send_signal(descriptor, number),
        _ => Ok(()),
    }
}

/// `struct pidfd_info` of `linux/pidfd.h`, its first published size.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    identity: [u32; 11],
    exit_status: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)` for the 64 bytes above.
const PIDFD_GET_INFO: libc::c_ulong = (3 << 30) | ((size_of::<PidfdInfo>() as libc::c_ulong) << 16) | (0xFF << 8) | 11;

/// Asks the kernel how the process of a pidfd ended; it knows once somebody has collected the process, from Linux 6.15 on.
#[allow(unsafe_code)] // One ioctl that no crate we use wraps.
pub(crate) fn pidfd_exit(pidfd: &OwnedFd) -> Option<Exit> {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the descriptor is open for the whole call, and the kernel writes at most the 64 bytes whose size is part
    // of the request number, into a structure of exactly that size.
    let answer = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    (answer == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| Exit::from_wait_status(info.exit_status))
}

/// Sums the proportional set size of processes, in bytes: shared pages count by their share. Costs about 0.1 ms and more a process.
///
/// Processes that are gone, or that we may not look into, count as their resident size, or nothing.
#[must_use]
pub fn memory_pss(pids: &[i32]) -> u64 {
    pids.iter()
        .map(|pid| {
            fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .ok()
                .and_then(|text| parse_pss(&text))
                .unwrap_or_else(|| memory_rss(&[*pid]))
        })
        .sum()
}

fn parse_pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Sums the resident size of processes, in bytes: never less than [`memory_pss`], and cheap.
#[must_use]
pub fn memory_rss(pids: &[i32]) -> u64 {
    let page = rustix::param::page_size() as u64;
    pids.iter()
        .filter_map(|&pid| ProcStat::read(pid).ok())
        .map(|stat| stat.resident_pages * page)
        .sum()
}

/// Sums the processor time processes have used so far, user and system.
#[must_use]
pub fn cpu_time(pids: &[i32]) -> Duration {
    let ticks: u64 = pids
        .iter()
        .filter_map(|&pid| ProcStat::read(pid).ok())
        .map(|stat| stat.cpu_ticks)
        .sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks.saturating_mul(1000) / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text =
            b"4711 (a) b (c) S 1 4711 4710 0 -1 4194560 1 0 0 0 7 5 0 0 20 0 1 0 987654 1000 25 18446744073709551615 \
            1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 2304\n";
        let stat = ProcStat::parse(text).unwrap();
        assert_eq!(
            stat,
            ProcStat {
                pid: 4711,
                state: 'S',
                parent: 1,
                group: 4711,
                session: 4710,
                cpu_ticks: 12,
                start_time: 987_654,
                resident_pages: 25,
                exit_status: 2304,
            }
        );
    }

    #[test]
    fn a_torn_stat_is_refused() {
        for text in [&b""[..], b"12", b"12 (x", b"12 (x) S 1", b"x (y) S 1 2 3"] {
            assert_eq!(ProcStat::parse(text), None);
        }
    }

    #[test]
    fn this_process_is_found_and_uses_memory() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(all_processes().unwrap().iter().any(|stat| stat.pid == me));
        let (pss, rss) = (memory_pss(&[me]), memory_rss(&[me]));
        assert!(pss > 0 && rss > 0, "{pss} {rss}");
        assert_eq!(parse_pss("Rss: 9 kB\nPss:      12 kB\nPss_Anon: 1 kB\n"), Some(12_288));
    }

    #[test]
    fn a_pidfd_of_nobody_is_an_error() {
        assert!(pidfd_open(0).is_err() && pidfd_open(-1).is_err());
    }
}
