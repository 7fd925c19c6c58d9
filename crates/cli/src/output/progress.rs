//! Shows work as it goes: a line for each step that ended, and on a terminal one line below that is drawn again and again.
//!
//! Knows nothing of what the steps do.

use std::time::Duration;

use tend_api::LineReader;
use tend_api::messages::{Finished, Progress, ProgressLine, Stage, StageState};
use tend_base::Mono;

use super::paint::harmless;
use super::table::{shortened, width};
use super::{Paint, Tone};
use crate::context::Context;
use crate::error::{Error, Result};

/// How often the live line is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// One turn of the mark on the live line.
const TURNS: [&str; 4] = ["|", "/", "-", "\\"];

/// How following some work ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With its last line.
    Finished(Finished),
    /// The person pressed Ctrl-C; the work goes on in the daemon.
    Left,
}

/// Shows the work until its last line, which is returned and not shown; with `json` every line as the daemon wrote it.
pub(crate) async fn follow(
    context: &mut Context<'_>,
    mut reader: LineReader<ProgressLine>,
    json: bool,
) -> Result<Ending> {
    let mut view = View::new(context.paint());
    let live = context.is_live() && !json;
    let mut redraw = tokio::time::interval(REDRAW);
    redraw.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            line = reader.next_with_text() => {
                let Some((line, text)) = line? else {
                    return Err(Error::CutShort);
                };
                if json {
                    context.line(&String::from_utf8_lossy(&text))?;
                }
                match line {
                    ProgressLine::Finished(finished) => {
                        if live {
                            context.write(CLEAR_LINE)?;
                        }
                        return Ok(Ending::Finished(finished));
                    }
                    ProgressLine::Progress(_) if json => {}
                    ProgressLine::Progress(progress) => {
                        let now = context.now().mono;
                        if let Some(line) = view.absorb(&progress, now, live) {
                            if live {
                                context.write(CLEAR_LINE)?;
                            }
                            context.line(&line)?;
                        }
                    }
                }
            }
            _ = redraw.tick(), if live => {
                let now = context.now().mono;
                let line = view.live_line(now, context.columns());
                context.write(&format!("{CLEAR_LINE}{line}"))?;
            }
            _ = &mut interrupted => {
                if live {
                    context.write(CLEAR_LINE)?;
                }
                return Ok(Ending::Left);
            }
        }
    }
}

/// Back to the start of the line, and clear it.
const CLEAR_LINE: &str = "\r\u{1b}[2K";

/// What is shown of the work.
struct View {
    paint: Paint,
    running: Vec<Running>,
    subject_width: usize,
    turn: usize,
    /// The last thing said while waiting, so that it is said once.
    said: String,
}

/// A step under way.
struct Running {
    stage: Stage,
    subject: String,
    message: String,
    since: Mono,
}

impl View {
    fn new(paint: Paint) -> Self {
        Self {
            paint,
            running: Vec::new(),
            subject_width: 14,
            turn: 0,
            said: String::new(),
        }
    }

    /// Takes a step's news in and returns the line that stays, if it has one.
    fn absorb(&mut self, progress: &Progress, now: Mono, live: bool) -> Option<String> {
        self.subject_width = self.subject_width.max(width(&progress.subject)).min(40);
        let known = self
            .running
            .iter_mut()
            .find(|step| step.stage == progress.stage && step.subject == progress.subject);
        match progress.state {
            StageState::Begun | StageState::Waiting => {
                match known {
                    Some(step) => step.message.clone_from(&progress.message),
                    None => self.running.push(Running {
                        stage: progress.stage,
                        subject: progress.subject.clone(),
                        message: progress.message.clone(),
                        since: now,
                    }),
                }
                if live || progress.state == StageState::Begun || progress.message.is_empty() {
                    return None;
                }
                let line = self.line(text::WAITING, Tone::Uneasy, progress);
                if line == self.said {
                    return None;
                }
                self.said.clone_from(&line);
                Some(line)
            }
            StageState::Done | StageState::Failed => {
                self.running
                    .retain(|step| step.stage != progress.stage || step.subject != progress.subject);
                let (mark, tone) = if progress.state == StageState::Done {
                    (text::DONE, Tone::Good)
                } else {
                    (text::FAILED, Tone::Bad)
                };
                Some(self.line(mark, tone, progress))
            }
        }
    }

    fn line(&self, mark: &str, tone: Tone, progress: &Progress) -> String {
        let took = progress.took_ms.map_or_else(String::new, took);
        let blanks = " ".repeat(self.subject_width.saturating_sub(width(&progress.subject)));
        let line = format!(
            "  {} {:<9} {}{blanks} {} {}",
            self.paint.paint(tone, &format!("{mark:<6}")),
            progress.stage.as_str(),
            harmless(&progress.subject),
            self.paint.paint(Tone::Faint, &format!("{took:>8}")),
            harmless(&progress.message),
        );
        line.trim_end().to_owned()
    }

    /// Returns the line that is drawn again and again: what is under way, and the oldest step's age.
    fn live_line(&mut self, now: Mono, columns: usize) -> String {
        self.turn = (self.turn + 1) % TURNS.len();
        let Some(oldest) = self.running.iter().min_by_key(|step| step.since) else {
            return String::new();
        };
        let age = now.since(oldest.since);
        let subjects: Vec<&str> = self
            .running
            .iter()
            .filter(|step| step.stage == oldest.stage)
            .map(|step| step.subject.as_str())
            .collect();
        let message = if oldest.message.is_empty() {
            String::new()
        } else {
            format!(" ({})", harmless(&oldest.message))
        };
        let text = format!(
            "  {} {:<4} {:<9} {}{message}",
            TURNS[self.turn],
            format_age(age),
            oldest.stage.as_str(),
            harmless(&subjects.join(", ")),
        );
        self.paint
            .paint(Tone::Faint, &shortened(&text, columns.saturating_sub(1)))
    }
}

fn format_age(age: Duration) -> String {
    format!("{}s", age.as_secs())
}

/// Writes how long something took: `12 ms`, `3.4 s`, `2m 05s`.
pub(crate) fn took(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{}.{} s", millis / 1000, millis / 100 % 10),
        _ => format!("{}m {:02}s", millis / 60_000, millis / 1000 % 60),
    }
}

mod text {
    pub(super) const DONE: &str = "done";
    pub(super) const FAILED: &str = "failed";
    pub(super) const WAITING: &str = "waits";
}

#[cfg(test)]
mod tests {
    use super::*;
    use tend_base::Wall;

    fn progress(stage: Stage, subject: &str, state: StageState, message: &str) -> Progress {
        Progress {
            at: Wall(0),
            stage,
            subject: subject.to_owned(),
            state,
            message: message.to_owned(),
            took_ms: (state == StageState::Done).then_some(1234),
        }
    }

    fn seconds(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    #[test]
    fn the_live_line_tells_what_is_under_way_until_it_ends() {
        let mut view = View::new(Paint { on: false });
        for subject in ["mps/api/1", "mps/api/2"] {
            let begun = progress(Stage::Ready, subject, StageState::Begun, "GET /ready");
            assert_eq!(view.absorb(&begun, seconds(1), true), None);
        }
        assert_eq!(
            view.live_line(seconds(4), 80),
            "  / 3s   ready     mps/api/1, mps/api/2 (GET /ready)"
        );
        assert_eq!(view.live_line(seconds(4), 24), "  - 3s   ready     mps…");
        let done = progress(Stage::Ready, "mps/api/1", StageState::Done, "");
        assert_eq!(
            view.absorb(&done, seconds(4), true).unwrap(),
            "  done   ready     mps/api/1         1.2 s"
        );
        assert!(!view.live_line(seconds(4), 80).contains("api/1"));
    }

    #[test]
    fn without_a_terminal_waiting_is_said_once() {
        let mut view = View::new(Paint { on: false });
        let waits = progress(Stage::Depend, "mps/api", StageState::Waiting, "for db");
        assert!(view.absorb(&waits, seconds(1), false).is_some());
        assert!(view.absorb(&waits, seconds(2), false).is_none());
        assert!(view.absorb(&waits, seconds(2), true).is_none());
    }

    #[test]
    fn durations_are_short() {
        for (millis, text) in [(12, "12 ms"), (3450, "3.4 s"), (125_000, "2m 05s")] {
            assert_eq!(took(millis), text);
        }
    }
}
