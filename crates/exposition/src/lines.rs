//! Goes through a body line by line. Owns what a line may be; what a series says is read in `series`, what a number is in `number`.

use std::borrow::Cow;

use crate::error::Reason;
use crate::format::{Format, MetricType};
use crate::number::parse_value;
use crate::series::{metric_end, quoted_end, scan, scan_exemplar, unescape, unescape_with};

/// What a line says. Comments and empty lines of 0.0.4 say nothing and are passed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// A sample of a series.
    Sample(SampleLine<'a>),
    /// What a metric is, for people.
    Help {
        /// The metric.
        name: Cow<'a, str>,
        /// The text, without escapes.
        text: Cow<'a, str>,
    },
    /// What type a metric has.
    Type {
        /// The metric, in OpenMetrics without the suffix of its samples.
        name: Cow<'a, str>,
        /// Its type.
        metric_type: MetricType,
    },
    /// What a metric is measured in; OpenMetrics only.
    Unit {
        /// The metric.
        name: Cow<'a, str>,
        /// Its unit, such as `seconds`; may be empty.
        unit: &'a str,
    },
    /// A line that was not taken.
    Bad(BadLine),
}

/// A sample as it stands in the body. Its labels are read by [`crate::series_labels`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleLine<'a> {
    /// Counts from 1.
    pub number: u32,
    /// Name and labels as they stand. The same series of the same exporter has the same bytes in each body, so they serve as a key.
    pub series: &'a [u8],
    /// The number as it stands.
    pub value_text: &'a [u8],
    /// The number.
    pub value: f64,
    /// When the exporter says the sample was taken, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: Option<i64>,
}

/// A line that was not taken, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counts from 1; for [`Reason::NoEof`] the line after the last.
    pub number: u32,
    /// Why.
    pub reason: Reason,
}

/// The lines of a body. An iterator, and with [`Lines::next_like`] one that is told which series it will probably see.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: u32,
    format: Format,
    /// `# EOF` was seen, or its absence was told.
    ended: bool,
}

impl<'a> Lines<'a> {
    /// Begins with the first line of `body`.
    #[must_use]
    pub fn new(body: &'a [u8], format: Format) -> Self {
        Self {
            rest: body,
            number: 0,
            format,
            ended: false,
        }
    }

    /// Returns what the next line that says something says; `None` at the end of the body.
    ///
    /// `expected` is the text of a series that was taken before from a body of this format, or empty. Where the line begins with it,
    /// the series is not judged again: that is the common case of a scrape, in which each line names the series it named last time.
    pub fn next_like(&mut self, expected: &[u8]) -> Option<Line<'a>> {
        while !self.rest.is_empty() {
            if self.ended {
                // One is enough, however much follows.
                self.rest = &[];
                return Some(self.bad(self.number + 1, Reason::AfterEof));
            }
            let (line, rest) = match memchr::memchr(b'\n', self.rest) {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &self.rest[self.rest.len()..]),
            };
            self.rest = rest;
            self.number = self.number.saturating_add(1);
            match self.line(line, expected) {
                Ok(Some(said)) => return Some(said),
                Ok(None) => {}
                Err(reason) => return Some(self.bad(self.number, reason)),
            }
        }
        if self.format == Format::OpenMetrics && !self.ended {
            self.ended = true;
            return Some(self.bad(self.number.saturating_add(1), Reason::NoEof));
        }
        None
    }

    fn bad(&self, number: u32, reason: Reason) -> Line<'a> {
        Line::Bad(BadLine { number, reason })
    }

    fn line(&mut self, line: &'a [u8], expected: &[u8]) -> Result<Option<Line<'a>>, Reason> {
        if !expected.is_empty()
            && let Some(after) = line.strip_prefix(expected)
            && let Some(said) = self.after_known(&line[..expected.len()], after)
        {
            return Ok(Some(said));
        }
        let line = match self.format {
            Format::Text => trim_blanks(line),
            Format::OpenMetrics => line,
        };
        match line.first() {
            None if self.format == Format::OpenMetrics => Err(Reason::Comment),
            None => Ok(None),
            Some(b'#') => self.hash(line),
            Some(_) => {
                let (series, after) = line.split_at(scan(line, self.format)?);
                self.sample(series, after).map(Some)
            }
        }
    }

    /// Reads the rest of a line that begins with the text of a known series; `None` where the series may go on, as in `a {b="c"} 1`
    /// after `a`, or where the rest is wrong: the full reading then says why.
    fn after_known(&self, series: &'a [u8], after: &'a [u8]) -> Option<Line<'a>> {
        let begin = after.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
        if begin == 0 || after[begin] == b'{' {
            return None;
        }
        self.sample(series, after).ok()
    }

    /// Reads value and timestamp.
    fn sample(&self, series: &'a [u8], after: &'a [u8]) -> Result<Line<'a>, Reason> {
        let (value_text, after) = match self.format {
            Format::Text => token(trim_begin(after)),
            Format::OpenMetrics => token(after.strip_prefix(b" ").ok_or(Reason::NoValue)?),
        };
        if value_text.is_empty() {
            return Err(Reason::NoValue);
        }
        let value = parse_value(value_text).ok_or(Reason::Value)?;
        let timestamp_ms = match self.format {
            Format::Text => {
                let (text, rest) = token(trim_begin(after));
                if !trim_begin(rest).is_empty() {
                    return Err(Reason::Trailing);
                }
                if text.is_empty() {
                    None
                } else {
                    Some(milliseconds(text)?)
                }
            }
            Format::OpenMetrics => openmetrics_end(after)?,
        };
        Ok(Line::Sample(SampleLine {
            number: self.number,
            series,
            value_text,
            value,
            timestamp_ms,
        }))
    }

    /// Reads a line that begins with `#`.
    fn hash(&mut self, line: &'a [u8]) -> Result<Option<Line<'a>>, Reason> {
        let strict = self.format == Format::OpenMetrics;
        if strict && line == b"# EOF" {
            self.ended = true;
            return Ok(None);
        }
        let Some(said) = line[1..].strip_prefix(b" ").or(line[1..].strip_prefix(b"\t")) else {
            return if strict { Err(Reason::Comment) } else { Ok(None) };
        };
        let said = if strict { said } else { trim_begin(said) };
        let (word, after) = token(said);
        if after.is_empty() || !(matches!(word, b"HELP" | b"TYPE") || strict && word == b"UNIT") {
            return if strict { Err(Reason::Comment) } else { Ok(None) };
        }
        let after = if strict { &after[1..] } else { trim_begin(after) };
        let (name, text) = metadata_name(after)?;
        let text = match text {
            // Prometheus takes exactly one blank away before a help text.
            [b' ', text @ ..] => text,
            [b'\t', text @ ..] if !strict => text,
            [] if !strict => text,
            _ => return Err(Reason::MetadataName),
        };
        let text = std::str::from_utf8(text).map_err(|_| Reason::NotUtf8)?;
        Ok(Some(match word {
            b"HELP" => Line::Help {
                name,
                text: unescape_with(text, strict),
            },
            b"TYPE" => {
                let word = if strict { text } else { text.trim_matches([' ', '\t']) };
                let metric_type = MetricType::parse(word, self.format).ok_or(Reason::MetricType)?;
                Line::Type { name, metric_type }
            }
            _ => {
                let is_suffix = |rest: &str| rest.len() > 1 && rest.ends_with('_');
                if !text.is_empty() && !name.strip_suffix(text).is_some_and(is_suffix) {
                    return Err(Reason::Unit);
                }
                Line::Unit { name, unit: text }
            }
        }))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        self.next_like(b"")
    }
}

/// Reads the name after `HELP`, `TYPE` or `UNIT`; plain or quoted.
fn metadata_name(text: &[u8]) -> Result<(Cow<'_, str>, &[u8]), Reason> {
    let (name, after) = if text.first() == Some(&b'"') {
        let end = quoted_end(text)?;
        (&text[1..end - 1], &text[end..])
    } else {
        text.split_at(metric_end(text))
    };
    if name.is_empty() {
        return Err(Reason::MetadataName);
    }
    let name = std::str::from_utf8(name).map_err(|_| Reason::NotUtf8)?;
    Ok((unescape(name), after))
}

/// Reads what follows the value in OpenMetrics: nothing, a timestamp, an exemplar, or both. The exemplar is judged and left out.
fn openmetrics_end(after: &[u8]) -> Result<Option<i64>, Reason> {
    let mut after = after;
    let mut timestamp = None;
    if !after.is_empty() && !after.starts_with(b" #") {
        let (text, rest) = token(after.strip_prefix(b" ").ok_or(Reason::Trailing)?);
        timestamp = Some(seconds(text)?);
        after = rest;
    }
    if after.is_empty() {
        return Ok(timestamp);
    }
    let exemplar = after.strip_prefix(b" # ").ok_or(Reason::Trailing)?;
    if exemplar.first() != Some(&b'{') {
        return Err(Reason::Exemplar);
    }
    let numbers = &exemplar[scan_exemplar(exemplar)?..];
    let (value, rest) = token(numbers.strip_prefix(b" ").ok_or(Reason::Exemplar)?);
    parse_value(value).ok_or(Reason::Exemplar)?;
    if !rest.is_empty() {
        let (time, rest) = token(&rest[1..]);
        seconds(time).map_err(|_| Reason::Exemplar)?;
        if !rest.is_empty() {
            return Err(Reason::Trailing);
        }
    }
    Ok(timestamp)
}

/// Reads the whole milliseconds of 0.0.4. Prometheus takes digits only, so a time before 1970 is none.
fn milliseconds(text: &[u8]) -> Result<i64, Reason> {
    if !text.iter().all(u8::is_ascii_digit) {
        return Err(Reason::Timestamp);
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Reason::Timestamp)
}

/// Reads the seconds of OpenMetrics; what is finer than a millisecond is cut off, as Prometheus does.
fn seconds(text: &[u8]) -> Result<i64, Reason> {
    let milliseconds = parse_value(text).ok_or(Reason::Timestamp)? * 1000.0;
    // The bounds of an i64 are beyond what a double holds exactly; no clock is near them.
    if milliseconds.abs() < 9e18 {
        Ok(milliseconds as i64)
    } else {
        Err(Reason::Timestamp)
    }
}

/// Splits before the first blank.
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t'))
        .unwrap_or(text.len());
    text.split_at(end)
}

fn trim_begin(text: &[u8]) -> &[u8] {
    let begin = text
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t'))
        .unwrap_or(text.len());
    &text[begin..]
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    let text = trim_begin(text);
    let end = text
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .map_or(0, |last| last + 1);
    &text[..end]
}
