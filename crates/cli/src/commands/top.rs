//! `tend top`: a stack live, drawn again each second.

use std::io::Read;
use std::time::Duration;

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tend_api::messages::StackStatus;
use tend_api::{Client, EXIT_OK};
use tend_core::model::StackName;

use crate::commands::status;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Paint, Tone};
use crate::target::StackArgument;
use crate::when::local_time_of_day;

/// Show a stack live
///
/// Shows a stack live: services, replicas, what they use. Ends with q or Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Top {
    #[command(flatten)]
    stack: StackArgument,
    /// Seconds from one picture to the next
    #[arg(short = 'd', long, value_name = "SECONDS", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=3600))]
    delay: u32,
    /// End after so many pictures
    #[arg(short = 'n', long, value_name = "COUNT")]
    iterations: Option<u32>,
}

/// How often the keyboard is looked at.
const KEYBOARD: Duration = Duration::from_millis(50);

/// Other screen, no cursor; and back.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

impl Top {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        if !context.is_live() {
            return Err(Error::NoTerminal);
        }
        let client = context.client().await?;
        // None stands for all, when nothing says which.
        let stack = match self.stack.name(context, &client).await {
            Ok(name) => Some(name),
            Err(Error::WhichStack { .. }) if !self.stack.is_given() => None,
            Err(error) => return Err(error),
        };
        let keyboard = Keyboard::quiet();
        context.write(ENTER)?;
        let shown = self.show(context, &client, stack).await;
        drop(keyboard);
        context.write(LEAVE)?;
        shown.map(|()| EXIT_OK)
    }

    async fn show(&self, context: &mut Context<'_>, client: &Client, stack: Option<StackName>) -> Result<()> {
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        let mut keyboard = tokio::time::interval(KEYBOARD);
        let mut drawn = 0;
        let mut next = tokio::time::Instant::now();
        loop {
            tokio::select! {
                _ = &mut interrupted => return Ok(()),
                _ = keyboard.tick() => {
                    if quit_was_typed() {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep_until(next) => {
                    let picture = picture(context, client, stack.as_ref()).await?;
                    context.write(&picture)?;
                    drawn += 1;
                    if self.iterations.is_some_and(|iterations| drawn >= iterations) {
                        return Ok(());
                    }
                    next = tokio::time::Instant::now() + Duration::from_secs(self.delay.into());
                }
            }
        }
    }
}

/// Returns the whole picture with what moves the cursor. A daemon that is away for a moment is said so, not an end.
async fn picture(context: &Context<'_>, client: &Client, stack: Option<&StackName>) -> Result<String> {
    let paint = context.paint();
    let zone = &context.surroundings.time_zone;
    let time = local_time_of_day(context.now().wall, zone);
    let mut lines = vec![paint.paint(Tone::Faint, &text::head(&time))];
    match read(client, stack).await {
        Ok(stacks) => {
            for stack in &stacks {
                lines.push(String::new());
                lines.extend(status::lines(stack, paint));
            }
        }
        Err(error) if error.is_transient() => {
            lines.push(String::new());
            lines.push(paint.paint(Tone::Bad, &text::away(&error.to_string())));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(frame(&lines, context.rows(), context.columns(), paint))
}

async fn read(client: &Client, stack: Option<&StackName>) -> tend_api::Result<Vec<StackStatus>> {
    let names = match stack {
        Some(name) => vec![name.clone()],
        None => {
            let list = client.stacks().await?;
            list.stacks.into_iter().map(|stack| stack.name).collect()
        }
    };
    let mut stacks = Vec::with_capacity(names.len());
    for name in names {
        stacks.push(client.stack_status(&name).await?);
    }
    Ok(stacks)
}

/// Puts lines on the screen: each over the old one and the rest of it cleared, so that nothing flickers.
fn frame(lines: &[String], rows: usize, columns: usize, paint: Paint) -> String {
    let mut frame = String::from("\u{1b}[H");
    let fit = rows.max(2) - 1;
    let (shown, more) = if lines.len() > fit {
        (&lines[..fit - 1], lines.len() - (fit - 1))
    } else {
        (lines, 0)
    };
    for line in shown {
        frame.push_str(&cut(line, columns));
        frame.push_str("\u{1b}[K\r\n");
    }
    if more > 0 {
        frame.push_str(&paint.paint(Tone::Faint, &text::more(more)));
        frame.push_str("\u{1b}[K");
    }
    frame.push_str("\u{1b}[J");
    frame
}

/// Returns as much of a line as fits, with all of its colour changes: a line that wraps would push the others down.
fn cut(line: &str, columns: usize) -> String {
    let mut cut = String::new();
    let mut left = columns;
    let mut in_escape = false;
    for c in line.chars() {
        if c == '\u{1b}' {
            in_escape = true;
        }
        if in_escape {
            cut.push(c);
            in_escape = !c.is_ascii_alphabetic();
            continue;
        }
        let wide = crate::output::width(c.encode_utf8(&mut [0; 4]));
        if wide <= left {
            cut.push(c);
            left -= wide;
        } else {
            left = 0;
        }
    }
    cut
}

/// Keys come at once and are not shown, until this is dropped. Ctrl-C stays a signal.
struct Keyboard(Option<Termios>);

impl Keyboard {
    fn quiet() -> Self {
        let stdin = std::io::stdin();
        // Without a keyboard there is nothing to make quiet.
        let Ok(before) = tcgetattr(&stdin) else {
            return Self(None);
        };
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        match tcsetattr(&stdin, OptionalActions::Now, &quiet) {
            Ok(()) => Self(Some(before)),
            Err(_) => Self(None),
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing more can be done for a terminal that is gone.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Returns whether `q` is waiting, without waiting for it: a reader thread would hold this process up at its end.
fn quit_was_typed() -> bool {
    let stdin = std::io::stdin();
    if tcgetattr(&stdin).is_err() {
        return false;
    }
    let now = Timespec::default();
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    while poll(&mut ready, Some(&now)).is_ok_and(|ready| ready > 0) {
        let mut key = [0];
        match stdin.lock().read(&mut key) {
            Ok(1) if key[0].eq_ignore_ascii_case(&b'q') => return true,
            Ok(1) => {}
            _ => return false,
        }
    }
    false
}

mod text {
    pub(super) fn head(time: &str) -> String {
        format!("tend top   {time}   q ends it")
    }
    pub(super) fn away(why: &str) -> String {
        format!("{why}; replicas go on, and so does this when it is back")
    }
    pub(super) fn more(lines: usize) -> String {
        format!("… {lines} more lines; make the window larger, or name a stack")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_never_has_more_lines_than_the_screen() {
        let lines: Vec<String> = (1..=5).map(|n| format!("line {n}")).collect();
        let all = frame(&lines, 24, 80, Paint { on: false });
        assert!(all.contains("line 5") && !all.contains("more"));
        let some = frame(&lines, 4, 80, Paint { on: false });
        assert!(some.contains("line 2") && !some.contains("line 3") && some.contains("… 3 more"));
        assert_eq!(some.matches("\r\n").count(), 2);
    }

    #[test]
    fn a_line_is_cut_where_the_screen_ends_and_its_colour_is_ended() {
        assert_eq!(cut("\u{1b}[31mabc支\u{1b}[0m", 4), "\u{1b}[31mabc\u{1b}[0m");
        assert_eq!(cut("abc", 3), "abc");
    }
}
