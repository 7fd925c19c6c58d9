//! Where the value of a secret comes from: standard input, a prompt without echo, or a file.

use std::io::{self, BufRead as _, Read as _};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use tend_base::Secret;

use crate::context::Context;
use crate::error::{Error, Result};

/// More than any value may have; what is longer is refused by the daemon, with the reason.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a file, as it is.
pub(super) fn of_file(context: &Context<'_>, path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(context.surroundings.directory.join(path));
    text.map(Secret::new).map_err(|source| Error::SecretValue {
        place: format!("`{}`", path.display()),
        source,
    })
}

/// Asks at the terminal, twice and without showing it; else reads standard input to its end.
pub(super) fn asked(context: &mut Context<'_>, name: &str) -> Result<Secret> {
    let failed = |source| Error::SecretValue {
        place: "standard input".to_owned(),
        source,
    };
    if !context.surroundings.stdin_is_terminal {
        let mut text = String::new();
        let stdin = &mut context.surroundings.stdin;
        stdin.take(BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        // `echo` and editors end a line where the value has none.
        let end = text
            .strip_suffix('\n')
            .map(|text| text.strip_suffix('\r').unwrap_or(text).len());
        text.truncate(end.unwrap_or(text.len()));
        return Ok(Secret::new(text));
    }
    let first = prompt(context, &format!("value of {name}: ")).map_err(failed)?;
    let second = prompt(context, "once more: ").map_err(failed)?;
    if first != second {
        return Err(Error::SecretsDiffer);
    }
    Ok(first)
}

/// Reads a line that the terminal does not show.
fn prompt(context: &mut Context<'_>, text: &str) -> io::Result<Secret> {
    let stderr = &mut context.surroundings.stderr;
    write!(stderr, "{text}")?;
    stderr.flush()?;
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    // Whatever came of it, the terminal shows what is typed again.
    tcsetattr(&stdin, OptionalActions::Now, &before)?;
    writeln!(context.surroundings.stderr)?;
    read?;
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(Secret::new(line))
}
