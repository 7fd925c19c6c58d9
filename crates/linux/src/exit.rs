//! How a process ended, as far as the kernel tells. Knows nothing of restarts or of what an exit means for a service.

use std::fmt;

use crate::wire::Pairs;

/// How a replica ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself with this code, 0 to 255.
    Exited(i32),
    /// A signal ended it.
    Signalled {
        /// Number of the signal, such as 9.
        signal: i32,
        /// The kernel wrote a core dump.
        core: bool,
    },
    /// The kernel killed it, or a process of its cgroup, because the cgroup had reached its memory limit.
    OomKilled,
    /// It is gone and nobody saw how; the text says why.
    Unknown(String),
}

impl Exit {
    /// Reads a status as `wait(2)` returns it.
    #[must_use]
    pub fn from_wait_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Exited((status >> 8) & 0xff),
            signal => Self::Signalled {
                signal,
                core: status & 0x80 != 0,
            },
        }
    }

    /// Turns a SIGKILL into [`Exit::OomKilled`] when the cgroup counted an out-of-memory kill meanwhile.
    #[must_use]
    pub fn with_oom_kills(self, kills: u64) -> Self {
        match self {
            Self::Signalled {
                signal: libc::SIGKILL, ..
            } if kills > 0 => Self::OomKilled,
            other => other,
        }
    }

    /// Whether the process ended by itself with code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }

    pub(crate) fn to_pairs(&self, pairs: &mut Pairs) {
        match self {
            Self::Exited(code) => pairs.push_number("code", code),
            Self::Signalled { signal, core } => {
                pairs.push_number("signal", signal);
                pairs.push_number("core", u8::from(*core));
            }
            Self::OomKilled => {
                pairs.push_number("signal", libc::SIGKILL);
                pairs.push("oom", "1");
            }
            Self::Unknown(why) => pairs.push("unknown", why),
        }
    }

    pub(crate) fn from_pairs(pairs: &Pairs) -> Self {
        if pairs.number::<u8>("oom") == Some(1) {
            return Self::OomKilled;
        }
        if let Some(signal) = pairs.number("signal") {
            return Self::Signalled {
                signal,
                core: pairs.number::<u8>("core") == Some(1),
            };
        }
        if let Some(code) = pairs.number("code") {
            return Self::Exited(code);
        }
        Self::Unknown(
            pairs
                .text("unknown")
                .unwrap_or_else(|| "its shim did not say how it ended".to_owned()),
        )
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signalled { signal, core } => {
                match signal_name(*signal) {
                    Some(name) => write!(f, "was ended by {name}")?,
                    None => write!(f, "was ended by signal {signal}")?,
                }
                f.write_str(if *core { " and dumped core" } else { "" })
            }
            Self::OomKilled => f.write_str("was killed at its memory limit"),
            Self::Unknown(why) => write!(f, "ended, it is not known how: {why}"),
        }
    }
}

/// Returns the name of a signal, such as `SIGTERM`, for the classical ones.
#[must_use]
pub fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_told_apart() {
        assert_eq!(Exit::from_wait_status(0), Exit::Exited(0));
        assert_eq!(Exit::from_wait_status(7 << 8), Exit::Exited(7));
        assert_eq!(Exit::from_wait_status(9), Exit::Signalled { signal: 9, core: false });
        assert_eq!(
            Exit::from_wait_status(11 | 0x80),
            Exit::Signalled { signal: 11, core: true }
        );
    }

    #[test]
    fn only_a_sigkill_is_put_down_to_memory() {
        assert_eq!(Exit::from_wait_status(9).with_oom_kills(1), Exit::OomKilled);
        assert_eq!(Exit::from_wait_status(9).with_oom_kills(0), Exit::from_wait_status(9));
        assert_eq!(Exit::from_wait_status(1 << 8).with_oom_kills(1), Exit::Exited(1));
    }

    #[test]
    fn an_exit_survives_its_encoding() {
        for exit in [
            Exit::Exited(3),
            Exit::Signalled { signal: 6, core: true },
            Exit::OomKilled,
            Exit::Unknown("the machine was restarted".to_owned()),
        ] {
            let mut pairs = Pairs::default();
            exit.to_pairs(&mut pairs);
            assert_eq!(Exit::from_pairs(&pairs), exit);
        }
    }
}
