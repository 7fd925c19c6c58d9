//! What a command works with: its streams, the daemon, the time. Knows no command.

use std::io::Write;

use tend_api::{Client, Paths};
use tend_base::Now;

use crate::Roles;
use crate::error::{Error, Result};
use crate::output::Paint;
use crate::surroundings::Surroundings;

/// Width assumed where there is no terminal to ask.
const COLUMNS: u16 = 100;

/// Height assumed where there is no terminal to ask.
const ROWS: u16 = 24;

/// What a command works with.
pub(crate) struct Context<'a> {
    pub(crate) roles: &'a Roles,
    pub(crate) surroundings: &'a mut Surroundings,
}

impl Context<'_> {
    /// Returns the folders of this user's daemon.
    pub(crate) fn paths(&self) -> Result<Paths> {
        Ok(Paths::resolve(self.surroundings.is_root, |name| {
            self.surroundings
                .environment
                .get(name)
                .filter(|value| !value.is_empty())
                .map(Into::into)
        })?)
    }

    /// Returns a client of the daemon, which has to be there.
    pub(crate) async fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.paths()?.socket()).await?)
    }

    /// Returns a client of the daemon, having started one when there was none.
    pub(crate) async fn client_of_a_started_daemon(&mut self) -> Result<Client> {
        let paths = self.paths()?;
        match Client::connect(&paths.socket()).await {
            Err(tend_api::Error::NoDaemon { .. }) => {
                (self.roles.ensure_daemon)(&paths).map_err(Error::Role)?;
                Ok(Client::connect(&paths.socket()).await?)
            }
            other => Ok(other?),
        }
    }

    /// Returns this moment.
    pub(crate) fn now(&self) -> Now {
        self.surroundings.clock.now()
    }

    /// Returns the brush for standard output.
    pub(crate) fn paint(&self) -> Paint {
        Paint {
            on: self.surroundings.terminal.colour,
        }
    }

    /// Returns whether lines of standard output can be drawn again.
    pub(crate) fn is_live(&self) -> bool {
        self.surroundings.terminal.live
    }

    /// Returns the width of the terminal, now.
    pub(crate) fn columns(&self) -> usize {
        let terminal = &self.surroundings.terminal;
        usize::from(match (terminal.columns, terminal_size()) {
            (Some(columns), _) => columns,
            (None, Some((columns, _))) if terminal.live => columns,
            _ => COLUMNS,
        })
    }

    /// Returns the height of the terminal, now.
    pub(crate) fn rows(&self) -> usize {
        let terminal = &self.surroundings.terminal;
        usize::from(match (terminal.rows, terminal_size()) {
            (Some(rows), _) => rows,
            (None, Some((_, rows))) if terminal.live => rows,
            _ => ROWS,
        })
    }

    /// Writes to standard output and shows it at once.
    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        let stdout = &mut self.surroundings.stdout;
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(Error::Output)
    }

    /// Writes a line to standard output and shows it at once.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        self.line_later(text)?;
        self.flush()
    }

    /// Writes a line to standard output; it shows with the next [`Context::flush`] at the latest.
    pub(crate) fn line_later(&mut self, text: &str) -> Result<()> {
        let stdout = &mut self.surroundings.stdout;
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.write_all(b"\n"))
            .map_err(Error::Output)
    }

    /// Shows what was written.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.surroundings.stdout.flush().map_err(Error::Output)
    }

    /// Writes a line to standard error: what is said to a person beside the result.
    pub(crate) fn note(&mut self, text: &str) -> Result<()> {
        writeln!(self.surroundings.stderr, "{text}").map_err(Error::Output)
    }
}

fn terminal_size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}
