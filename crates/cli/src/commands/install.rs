//! `tend install`: a systemd unit that keeps the daemon started, and one whose control group holds the replicas'.

use std::path::PathBuf;

use clap::Args;
use tend_api::EXIT_OK;
use tend_base::write_atomically;

use crate::context::Context;
use crate::error::{Error, Result};

/// Have systemd keep the daemon started
///
/// Writes a systemd unit that keeps the daemon started, and prints what to do next. Starts nothing.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// For this user only, without root
    #[arg(long)]
    user: bool,
    /// Print the unit instead of writing it
    #[arg(long)]
    print: bool,
    /// The program the unit starts, instead of this one
    #[arg(long, value_name = "PROGRAM")]
    program: Option<PathBuf>,
}

impl Install {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let program = match self.program {
            Some(program) => context.surroundings.directory.join(program),
            None => std::env::current_exe().map_err(Error::OwnPath)?,
        };
        let variable = |name: &str| {
            let value = context.surroundings.environment.get(name);
            value.filter(|value| !value.is_empty()).cloned()
        };
        let settings: Vec<(&str, String)> = ["TEND_STATE", "TEND_RUN"]
            .into_iter()
            .filter_map(|name| Some((name, variable(name)?)))
            .collect();
        let unit = unit(&program.display().to_string(), &settings, self.user);
        if self.print {
            context.write(&format!("# {UNIT}\n{unit}\n# {REPLICAS_UNIT}\n{}", replicas_unit()))?;
            return Ok(EXIT_OK);
        }
        let folder = if self.user {
            let folder = variable("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")))
                .ok_or(Error::NoUnitFolder)?;
            folder.join("systemd/user")
        } else if context.surroundings.is_root {
            PathBuf::from("/etc/systemd/system")
        } else {
            return Err(Error::NotRoot);
        };
        for (name, text) in [(REPLICAS_UNIT, replicas_unit()), (UNIT, unit)] {
            let path = folder.join(name);
            let written =
                std::fs::create_dir_all(&folder).and_then(|()| write_atomically(&path, text.as_bytes(), 0o644));
            written.map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
            context.line(&text::written(&path.display().to_string()))?;
        }
        context.line(text::NEXT)?;
        for line in text::next(self.user) {
            context.line(line)?;
        }
        Ok(EXIT_OK)
    }
}

/// The daemon's unit.
const UNIT: &str = "tend.service";

/// The unit whose control group holds those of the replicas; `tend-linux` looks for it by this name beside the daemon's.
const REPLICAS_UNIT: &str = "tend-replicas.service";

/// Returns the unit whose control group holds those of the replicas. It runs nothing and stays.
///
/// The daemon's own group cannot hold them: a group that hands controllers on may hold no process, and systemd puts the daemon it starts
/// again right there (seen with systemd 252: «Failed at step CGROUP», for ever). systemd 254 has `DelegateSubgroup=` for it.
fn replicas_unit() -> String {
    "[Unit]\n\
     Description=control groups of the services that tend looks after\n\
     \n\
     [Service]\n\
     Type=oneshot\n\
     ExecStart=/bin/true\n\
     RemainAfterExit=yes\n\
     KillMode=process\n\
     Delegate=yes\n\
     TasksMax=infinity\n"
        .to_owned()
}

/// Returns the daemon's unit.
///
/// `KillMode=process`: stopping or restarting the daemon leaves replicas, shims and edge alone. `Delegate=yes`: where the other unit
/// is missing, the groups below its own are the daemon's to arrange. `StartLimitIntervalSec=0`: a daemon that keeps ending is always
/// tried again.
fn unit(program: &str, settings: &[(&str, String)], user: bool) -> String {
    let target = if user { "default.target" } else { "multi-user.target" };
    let network = if user {
        ""
    } else {
        "Wants=network-online.target\nAfter=network-online.target\n"
    };
    let settings: String = settings
        .iter()
        .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
        .collect();
    format!(
        "[Unit]\n\
         Description=tend, which looks after the services of this {}\n\
         Documentation=man:tend(1)\n\
         {network}\
         Wants={REPLICAS_UNIT}\n\
         After={REPLICAS_UNIT}\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=exec\n\
         ExecStart={} daemon\n\
         {settings}\
         Restart=always\n\
         RestartSec=1\n\
         KillMode=process\n\
         Delegate=yes\n\
         TasksMax=infinity\n\
         LimitNOFILE=1048576\n\
         \n\
         [Install]\n\
         WantedBy={target}\n",
        if user { "user" } else { "machine" },
        quoted(program),
    )
}

/// Quotes a word for a unit file where it has to be (systemd.syntax(7)): `%` starts a specifier, `$` a variable.
fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%").replace('$', "$$");
    if word.contains([' ', '\t', '"', '\'', '\\', ';']) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        word
    }
}

mod text {
    pub(super) fn written(path: &str) -> String {
        format!("wrote {path}")
    }
    pub(super) const NEXT: &str = "\nNext:";
    pub(super) fn next(user: bool) -> &'static [&'static str] {
        if user {
            &[
                "  systemctl --user daemon-reload",
                "  systemctl --user enable --now tend",
                "  loginctl enable-linger    # so that it starts with the machine and outlives your sessions",
            ]
        } else {
            &["  systemctl daemon-reload", "  systemctl enable --now tend"]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        for (word, text) in [
            ("/usr/bin/tend", "/usr/bin/tend"),
            ("/opt/my tend/tend", "\"/opt/my tend/tend\""),
            ("/a%b$c", "/a%%b$$c"),
            ("a\"b", "\"a\\\"b\""),
        ] {
            assert_eq!(quoted(word), text);
        }
    }
}
