//! What a shim is told to run: the value, and the file `spec` in which the daemon hands it over.
//!
//! Owns the format `tend-shim-spec`. Knows nothing of stacks or services: everything is resolved before it comes here.
//! The file holds the replica's environment but for what is secret, which never is in it (`secrets`). It has mode 0600, and the shim
//! removes it once read.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::wire::{Pairs, decode_record, encode_record};

pub(crate) const SPEC_FILE: &str = "spec";
const WORD: &str = "tend-shim-spec";
const VERSION: u32 = 1;

/// One replica to run.
#[derive(Clone, PartialEq, Eq)]
pub struct Spec {
    /// The caller's name for this run of the replica; comes back in every report.
    pub incarnation: String,
    /// The release it runs, which the shim attests later; the replica itself is told by its environment.
    pub release: Option<String>,
    /// How it is emptied before it is stopped, in the caller's own words: kept for who finds it, and read by nobody here.
    pub quiesce: Option<String>,
    /// Program and arguments. A program with a `/` is relative to `directory`, one without is searched in `env`'s `PATH`.
    pub argv: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// Working folder.
    pub directory: PathBuf,
    /// Whom to run as; absent means as the shim itself.
    pub user: Option<Credentials>,
    /// Control group (v2) to put the replica in, as a folder; made when it is missing.
    pub cgroup: Option<PathBuf>,
    /// Largest number of open files (`RLIMIT_NOFILE`, soft and hard).
    pub open_files_max: Option<u64>,
    /// Descriptor, 3 or above, at which the replica finds the listening socket given to `spawn_shim`.
    pub listen_descriptor: Option<i32>,
    /// How many secrets come beside it, on the shim's first connection; they are never in this file.
    pub secrets: usize,
    /// What happens to its output.
    pub logs: LogSettings,
}

/// The numbers a process runs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Where output goes and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Folder of `stdout.log`, `stderr.log` and what belongs to them.
    pub directory: PathBuf,
    /// A file is rotated before it would pass this many bytes; at least 1.
    pub file_bytes_max: u64,
    /// Files kept of each stream, the current one included; at least 1.
    pub files_max: u32,
    /// What gives when output cannot be written as fast as it comes.
    pub when_behind: WhenBehind,
    /// Secrets are replaced before anything is written. The shim must then be told for which values to look: until it is, nothing
    /// reaches a file.
    pub redact: bool,
}

/// What gives when output cannot be written as fast as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBehind {
    /// Output is dropped and counted, and a marker line says so; the replica does not wait.
    Drop,
    /// The replica waits in `write`; nothing is lost.
    Block,
}

impl Spec {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut pairs = Pairs::default();
        pairs.push("incarnation", &self.incarnation);
        if let Some(release) = &self.release {
            pairs.push("release", release);
        }
        if let Some(quiesce) = &self.quiesce {
            pairs.push("quiesce", quiesce);
        }
        for argument in &self.argv {
            pairs.push("arg", argument.as_bytes());
        }
        for (name, value) in &self.env {
            let mut both = name.as_bytes().to_vec();
            both.push(b'=');
            both.extend_from_slice(value.as_bytes());
            pairs.push("env", both);
        }
        pairs.push("directory", self.directory.as_os_str().as_bytes());
        if let Some(user) = &self.user {
            pairs.push_number("uid", user.uid);
            pairs.push_number("gid", user.gid);
            for group in &user.groups {
                pairs.push_number("group", group);
            }
        }
        if let Some(cgroup) = &self.cgroup {
            pairs.push("cgroup", cgroup.as_os_str().as_bytes());
        }
        if let Some(files) = self.open_files_max {
            pairs.push_number("open_files_max", files);
        }
        if let Some(descriptor) = self.listen_descriptor {
            pairs.push_number("listen_descriptor", descriptor);
        }
        if self.secrets > 0 {
            pairs.push_number("secrets", self.secrets);
        }
        self.logs.to_pairs(&mut pairs);
        encode_record(WORD, VERSION, &pairs)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let pairs = decode_record(WORD, bytes)?;
        let argv: Vec<OsString> = pairs.all("arg").map(os_string).collect();
        if argv.is_empty() {
            return Err("it names no program");
        }
        let env = pairs
            .all("env")
            .map(|both| {
                let equals = both.iter().position(|&byte| byte == b'=')?;
                Some((os_string(&both[..equals]), os_string(&both[equals + 1..])))
            })
            .collect::<Option<Vec<_>>>()
            .ok_or("an `env` has no `=`")?;
        let user = match (pairs.number("uid"), pairs.number("gid")) {
            (Some(uid), Some(gid)) => Some(Credentials {
                uid,
                gid,
                groups: pairs
                    .all("group")
                    .map(|group| std::str::from_utf8(group).ok()?.parse().ok())
                    .collect::<Option<_>>()
                    .ok_or("a `group` is not a number")?,
            }),
            // A user that cannot be read must never end as the shim's own user, which may be root.
            _ if pairs.get("uid").is_none() && pairs.get("gid").is_none() => None,
            _ => return Err("`uid` and `gid` are not two numbers"),
        };
        Ok(Self {
            incarnation: pairs.text("incarnation").unwrap_or_default(),
            release: pairs.text("release"),
            quiesce: pairs.text("quiesce"),
            argv,
            env,
            directory: path(&pairs, "directory").ok_or("it has no `directory`")?,
            user,
            cgroup: path(&pairs, "cgroup"),
            open_files_max: pairs.number("open_files_max"),
            listen_descriptor: pairs.number("listen_descriptor"),
            secrets: pairs.number("secrets").unwrap_or(0),
            logs: LogSettings::from_pairs(&pairs)?,
        })
    }
}

impl LogSettings {
    pub(crate) fn to_pairs(&self, pairs: &mut Pairs) {
        pairs.push("log_directory", self.directory.as_os_str().as_bytes());
        pairs.push_number("log_file_bytes_max", self.file_bytes_max);
        pairs.push_number("log_files_max", self.files_max);
        pairs.push(
            "log_when_behind",
            match self.when_behind {
                WhenBehind::Drop => "drop",
                WhenBehind::Block => "block",
            },
        );
        if self.redact {
            pairs.push_number("log_redact", 1);
        }
    }

    pub(crate) fn from_pairs(pairs: &Pairs) -> Result<Self, &'static str> {
        Ok(Self {
            directory: path(pairs, "log_directory").ok_or("it has no `log_directory`")?,
            file_bytes_max: pairs
                .number("log_file_bytes_max")
                .filter(|&bytes| bytes > 0)
                .ok_or("`log_file_bytes_max` is not a number above 0")?,
            files_max: pairs
                .number("log_files_max")
                .filter(|&files| files > 0)
                .ok_or("`log_files_max` is not a number above 0")?,
            when_behind: match pairs.get("log_when_behind") {
                Some(b"block") => WhenBehind::Block,
                Some(b"drop") | None => WhenBehind::Drop,
                Some(_) => return Err("`log_when_behind` is neither drop nor block"),
            },
            // Absent in what a daemon older than November 2026 wrote, which tells no values.
            redact: match pairs.get("log_redact") {
                Some(b"1") => true,
                Some(b"0") | None => false,
                Some(_) => return Err("`log_redact` is neither 0 nor 1"),
            },
        })
    }
}

/// Prints the names of the variables only: their values may be secrets.
impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsStr> = self.env.iter().map(|(name, _)| name.as_os_str()).collect();
        f.debug_struct("Spec")
            .field("incarnation", &self.incarnation)
            .field("release", &self.release)
            .field("quiesce", &self.quiesce)
            .field("argv", &self.argv)
            .field("env", &names)
            .field("directory", &self.directory)
            .field("user", &self.user)
            .field("cgroup", &self.cgroup)
            .field("open_files_max", &self.open_files_max)
            .field("listen_descriptor", &self.listen_descriptor)
            .field("secrets", &self.secrets)
            .field("logs", &self.logs)
            .finish()
    }
}

fn os_string(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

pub(crate) fn path(pairs: &Pairs, key: &str) -> Option<PathBuf> {
    pairs
        .get(key)
        .map(|bytes| Path::new(OsStr::from_bytes(bytes)).to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            incarnation: "mps/api/1#7".to_owned(),
            release: Some("17".to_owned()),
            quiesce: Some("{\"path\": \"/q\"}\n".to_owned()),
            argv: vec!["./api".into(), "--name=a b\n".into()],
            env: vec![("DB_PASSWORD".into(), "hunter2 =%".into()), ("EMPTY".into(), "".into())],
            directory: "/srv/mps".into(),
            user: Some(Credentials {
                uid: 1000,
                gid: 1000,
                groups: vec![4, 1000],
            }),
            cgroup: Some("/sys/fs/cgroup/tend/mps.api.1".into()),
            open_files_max: Some(65_536),
            listen_descriptor: Some(3),
            secrets: 2,
            logs: LogSettings {
                directory: "/var/log/tend/mps/api/1".into(),
                file_bytes_max: 10 << 20,
                files_max: 5,
                when_behind: WhenBehind::Block,
                redact: true,
            },
        }
    }

    #[test]
    fn a_spec_survives_its_file() {
        assert_eq!(Spec::decode(&spec().encode()), Ok(spec()));
    }

    #[test]
    fn printing_a_spec_shows_no_value_of_its_environment() {
        let printed = format!("{:?}", spec());
        assert!(
            printed.contains("DB_PASSWORD") && !printed.contains("hunter2"),
            "{printed}"
        );
    }

    #[test]
    fn a_user_that_cannot_be_read_is_an_error_and_not_the_shims_own() {
        let text = String::from_utf8(spec().encode()).unwrap();
        for broken in [text.replace("uid=1000\n", "uid=-1\n"), text.replace("gid=1000\n", "")] {
            assert_eq!(
                Spec::decode(broken.as_bytes()),
                Err("`uid` and `gid` are not two numbers")
            );
        }
    }
}
