//! Reads a script into its commands.
//!
//! Owns `load`, `clear`, `eval` and `expect`. Does not run anything.

use regex::Regex;

use super::values::{Item, items};
use crate::duration::parse_duration;
use crate::labels::Labels;
use crate::parser::parse_series;
use crate::sample::Timestamp;
use crate::text::unquote;

/// Why a script cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub text: String,
}

/// A series to load, its samples a step apart from 0 on.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) labels: Labels,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Clear,
    Load {
        step: i64,
        series: Vec<Loaded>,
        /// Native histograms are made of the buckets too.
        with_native: bool,
        /// Samples have times at which counting began.
        with_starts: bool,
    },
    Eval(Box<Eval>),
}

/// When a query is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    At(Timestamp),
    Range {
        start: Timestamp,
        end: Timestamp,
        step: i64,
    },
}

/// A text that is expected.
#[derive(Debug)]
pub(crate) enum Text {
    Any,
    Same(String),
    Like(Regex),
}

impl Text {
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Same(wanted) => wanted == text,
            Text::Like(regex) => regex.is_match(text),
        }
    }
}

/// A series that is expected: at which position, and its values.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) labels: Labels,
    pub(crate) position: usize,
    pub(crate) items: Vec<Item>,
}

/// A query and what is expected of it.
#[derive(Debug)]
pub(crate) struct Eval {
    pub(crate) line: usize,
    pub(crate) query: String,
    pub(crate) when: When,
    pub(crate) is_ordered: bool,
    pub(crate) fails: Option<Text>,
    pub(crate) warnings: Vec<Text>,
    pub(crate) infos: Vec<Text>,
    pub(crate) no_warning: bool,
    pub(crate) no_info: bool,
    pub(crate) scalar: Option<Item>,
    pub(crate) text: Option<String>,
    /// The times of the samples of a range vector.
    pub(crate) matrix: Option<When>,
    pub(crate) series: Vec<Expected>,
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

type Read<T> = Result<T, ScriptError>;

/// Reads all commands.
pub(crate) fn commands(text: &str) -> Read<Vec<Command>> {
    let lines = text.lines().map(|line| {
        let line = line.trim();
        if line.starts_with('#') { "" } else { line }
    });
    let mut lines = Lines {
        lines: lines.collect(),
        at: 0,
    };
    let mut commands = Vec::new();
    while let Some(line) = lines.lines.get(lines.at).copied() {
        lines.at += 1;
        if line.is_empty() {
            continue;
        }
        let word = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        commands.push(match word.as_str() {
            "clear" => Command::Clear,
            _ if word.starts_with("load") => lines.load(line)?,
            _ if word.starts_with("eval") => Command::Eval(Box::new(lines.eval(line)?)),
            _ => return Err(lines.wrong(format!("`{line}` is no command"))),
        });
    }
    Ok(commands)
}

impl<'a> Lines<'a> {
    /// An error on the line that was taken last.
    fn wrong(&self, text: impl Into<String>) -> ScriptError {
        ScriptError {
            line: self.at,
            text: text.into(),
        }
    }

    /// The next line of a block, which an empty line ends.
    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.at).copied().filter(|line| !line.is_empty())?;
        self.at += 1;
        Some(line)
    }

    fn duration(&self, text: &str) -> Read<i64> {
        parse_duration(text).ok_or_else(|| self.wrong(format!("`{text}` is no duration")))
    }

    fn series(&self, line: &str) -> Read<(Labels, Vec<Item>)> {
        let (pairs, values) = parse_series(line).map_err(|error| self.wrong(error.to_string()))?;
        let items = items(values).map_err(|text| self.wrong(text))?;
        Ok((Labels::from_pairs(pairs), items))
    }

    fn load(&mut self, line: &str) -> Read<Command> {
        let mut words = line.split_whitespace();
        let with_native = words.next() == Some("load_with_nhcb");
        let step = self.duration(words.next().unwrap_or_default())?;
        let (mut series, mut with_starts) = (Vec::new(), false);
        while let Some(line) = self.next() {
            if line.split_whitespace().next().is_some_and(|word| word.ends_with("@st")) {
                with_starts = true;
                continue;
            }
            let (labels, items) = self.series(line)?;
            series.push(Loaded { labels, items });
        }
        Ok(Command::Load {
            step,
            series,
            with_native,
            with_starts,
        })
    }

    /// Cuts the next word off.
    fn word<'t>(&self, rest: &mut &'t str) -> &'t str {
        let text = rest.trim_start();
        let end = text.find([' ', '\t']).unwrap_or(text.len());
        let (word, behind) = text.split_at(end);
        *rest = behind;
        word
    }

    fn keyword(&self, rest: &mut &str, wanted: &str) -> Read<()> {
        match self.word(rest) {
            word if word == wanted => Ok(()),
            word => Err(self.wrong(format!("expected `{wanted}`, found `{word}`"))),
        }
    }

    fn range(&self, rest: &mut &str) -> Read<When> {
        self.keyword(rest, "from")?;
        let start = self.duration(self.word(rest))?;
        self.keyword(rest, "to")?;
        let end = self.duration(self.word(rest))?;
        self.keyword(rest, "step")?;
        let step = self.duration(self.word(rest))?;
        Ok(When::Range { start, end, step })
    }

    fn eval(&mut self, line: &str) -> Read<Eval> {
        let mut rest = line;
        let verb = self.word(&mut rest);
        let when = match self.word(&mut rest) {
            "instant" => {
                let mut behind = rest;
                let at = match self.word(&mut behind) {
                    "at" => {
                        let at = self.duration(self.word(&mut behind))?;
                        rest = behind;
                        at
                    }
                    _ => 0,
                };
                When::At(at)
            }
            "range" => self.range(&mut rest)?,
            word => return Err(self.wrong(format!("expected `instant` or `range`, found `{word}`"))),
        };
        let mut eval = Eval {
            line: self.at,
            query: rest.trim().to_owned(),
            when,
            is_ordered: verb == "eval_ordered",
            fails: (verb == "eval_fail").then_some(Text::Any),
            warnings: if verb == "eval_warn" {
                vec![Text::Any]
            } else {
                Vec::new()
            },
            infos: if verb == "eval_info" {
                vec![Text::Any]
            } else {
                Vec::new()
            },
            no_warning: false,
            no_info: false,
            scalar: None,
            text: None,
            matrix: None,
            series: Vec::new(),
        };
        while let Some(line) = self.next() {
            if !self.expectation(line, &mut eval)? {
                break;
            }
        }
        Ok(eval)
    }

    /// Reads one line of what is expected; whether more may follow.
    fn expectation(&self, line: &str, eval: &mut Eval) -> Read<bool> {
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            eval.fails = Some(Text::Same(text.trim().to_owned()));
            return Ok(false);
        }
        if let Some(text) = line.strip_prefix("expected_fail_regexp") {
            eval.fails = Some(self.like(text)?);
            return Ok(false);
        }
        if let Some(mut rest) = line.strip_prefix("expect range vector") {
            eval.matrix = Some(self.range(&mut rest)?);
            return Ok(true);
        }
        if let Some(text) = line.strip_prefix("expect string") {
            let text = unquote(text.trim()).ok_or_else(|| self.wrong("expected a text in quotes"))?;
            eval.text = Some(text);
            return Ok(true);
        }
        let mut rest = line;
        if self.word(&mut rest) == "expect" {
            let what = self.word(&mut rest);
            let rest = rest.trim();
            let text = if let Some(text) = rest.strip_prefix("msg:") {
                Text::Same(text.trim().to_owned())
            } else if let Some(text) = rest.strip_prefix("regex:") {
                self.like(text)?
            } else {
                Text::Any
            };
            match what {
                "ordered" => eval.is_ordered = true,
                "fail" => eval.fails = Some(text),
                "warn" => eval.warnings.push(text),
                "info" => eval.infos.push(text),
                "no_warn" => eval.no_warning = true,
                "no_info" => eval.no_info = true,
                _ => return Err(self.wrong(format!("`{line}` is not known to be expected"))),
            }
            return Ok(true);
        }
        // A number alone is a scalar; a series begins with a name or a brace.
        if let Ok([item @ Item::Float(_)]) = items(line).as_deref() {
            eval.scalar = Some(*item);
            return Ok(false);
        }
        let (labels, items) = self.series(line)?;
        let position = eval.series.len();
        eval.series.push(Expected {
            labels,
            position,
            items,
        });
        Ok(true)
    }

    fn like(&self, text: &str) -> Read<Text> {
        let regex = Regex::new(text.trim());
        regex.map(Text::Like).map_err(|error| self.wrong(error.to_string()))
    }
}
