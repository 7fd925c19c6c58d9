//! The part of a line that names a series: where it ends, and which labels it says. Knows no value and no metadata.
//!
//! [`scan`] judges all but repeated labels and allocates nothing; [`series_labels`] reads the labels of a text that was judged.

use std::borrow::Cow;

use crate::error::Reason;
use crate::format::Format;

/// The label that carries a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Name and value of a label, without escapes.
pub type LabelPair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Returns how many bytes of `line`, from its begin, name a series.
pub(crate) fn scan(line: &[u8], format: Format) -> Result<usize, Reason> {
    let mut reader = Reader { line, at: 0, format };
    reader.series(&mut |_| {})?;
    Ok(reader.at)
}

/// Returns how many bytes of `line` are labels in braces, without a metric's name: those of an exemplar.
pub(crate) fn scan_exemplar(line: &[u8]) -> Result<usize, Reason> {
    let mut reader = Reader {
        line,
        at: 0,
        format: Format::OpenMetrics,
    };
    reader.at = 1;
    reader.braces(&mut |_| {}).map_err(|_| Reason::Exemplar)?;
    Ok(reader.at)
}

/// Returns the labels that the text of a series says, the metric's name first under [`METRIC_NAME`], the rest in the order they stand.
/// Labels with an empty value are as good as absent and are left out.
///
/// `series` is what a [`crate::SampleLine`] gave, in the format of its body.
///
/// # Errors
/// [`Reason::LabelTwice`] for a name that stands twice; what else is wrong with a text that no sample gave.
pub fn series_labels(series: &[u8], format: Format) -> Result<Vec<LabelPair<'_>>, Reason> {
    let mut labels: Vec<LabelPair<'_>> = Vec::with_capacity(8);
    let mut name = None;
    let mut reader = Reader {
        line: series,
        at: 0,
        format,
    };
    reader.series(&mut |part| match part {
        Part::Metric(text) => name = Some(text),
        Part::Label(label, value) => labels.push((unescape(label), unescape(value))),
    })?;
    if reader.at != series.len() {
        return Err(Reason::Trailing);
    }
    labels.insert(0, (Cow::Borrowed(METRIC_NAME), unescape(name.unwrap_or_default())));
    // Quadratic, and faster than a set for the dozen labels that a series has; a hostile line is bounded by the body's limit, so a
    // sorted copy is taken where there are many.
    let twice = if labels.len() <= 32 {
        (1..labels.len()).any(|at| labels[..at].iter().any(|earlier| earlier.0 == labels[at].0))
    } else {
        let mut names: Vec<&str> = labels.iter().map(|label| label.0.as_ref()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    };
    if twice {
        return Err(Reason::LabelTwice);
    }
    labels.retain(|label| !label.1.is_empty());
    Ok(labels)
}

/// Returns whether `name` needs no quotes as the name of a metric.
pub(crate) fn is_plain_metric(name: &str) -> bool {
    !name.is_empty() && metric_end(name.as_bytes()) == name.len()
}

/// Returns whether `name` needs no quotes as the name of a label.
pub(crate) fn is_plain_label(name: &str) -> bool {
    !name.is_empty() && label_end(name.as_bytes()) == name.len()
}

/// Returns how many bytes of `text` are a metric's name; 0 when it begins with none.
pub(crate) fn metric_end(text: &[u8]) -> usize {
    match text.first() {
        Some(first) if first.is_ascii_alphabetic() || matches!(first, b'_' | b':') => text
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')))
            .unwrap_or(text.len()),
        _ => 0,
    }
}

fn label_end(text: &[u8]) -> usize {
    match text.first() {
        Some(first) if first.is_ascii_alphabetic() || *first == b'_' => text
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
            .unwrap_or(text.len()),
        _ => 0,
    }
}

/// Returns the length of the quoted text at the begin of `text`, both quotes included.
pub(crate) fn quoted_end(text: &[u8]) -> Result<usize, Reason> {
    let mut at = 1;
    loop {
        match memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
            None => return Err(Reason::QuoteOpen),
            Some(found) if text[at + found] == b'"' => {
                let end = at + found + 1;
                return match std::str::from_utf8(&text[..end]) {
                    Ok(_) => Ok(end),
                    Err(_) => Err(Reason::NotUtf8),
                };
            }
            // Whatever is escaped is no quote.
            Some(found) => at += found + 2,
        }
    }
}

/// Undoes the escapes of a label's value or a quoted name: `\\`, `\"` and `\n`; a backslash before anything else stands for itself.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    unescape_with(text, true)
}

/// Undoes the escapes of a help text; in 0.0.4 a quote is not escaped there.
pub(crate) fn unescape_with(text: &str, quotes: bool) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(one) = rest.next() {
        if one != '\\' {
            plain.push(one);
            continue;
        }
        match rest.clone().next() {
            Some('n') => plain.push('\n'),
            Some('\\') => plain.push('\\'),
            Some('"') if quotes => plain.push('"'),
            _ => {
                plain.push('\\');
                continue;
            }
        }
        rest.next();
    }
    Cow::Owned(plain)
}

/// A piece of a series: still escaped, without quotes.
enum Part<'a> {
    Metric(&'a str),
    Label(&'a str, &'a str),
}

struct Reader<'a> {
    line: &'a [u8],
    at: usize,
    format: Format,
}

impl<'a> Reader<'a> {
    fn series(&mut self, give: &mut impl FnMut(Part<'a>)) -> Result<(), Reason> {
        if self.peek() == Some(b'{') {
            self.at += 1;
            return if self.braces(give)? {
                Ok(())
            } else {
                Err(Reason::NoMetricName)
            };
        }
        let end = metric_end(self.line);
        if end == 0 {
            return Err(Reason::MetricName);
        }
        give(Part::Metric(self.text(0, end)?));
        self.at = end;
        self.blanks();
        if self.peek() == Some(b'{') {
            self.at += 1;
            if self.braces(give)? {
                return Err(Reason::TwoMetricNames);
            }
        } else {
            // Blanks after the name belong to what follows.
            self.at = end;
        }
        Ok(())
    }

    /// Reads up to and with the closing brace; returns whether a metric's name stood between them.
    fn braces(&mut self, give: &mut impl FnMut(Part<'a>)) -> Result<bool, Reason> {
        let mut named = false;
        loop {
            self.blanks();
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(named);
            }
            let (name, quoted) = self.name()?;
            self.blanks();
            match self.peek() {
                Some(b',' | b'}') if quoted => {
                    if named {
                        return Err(Reason::TwoMetricNames);
                    }
                    if name.is_empty() {
                        return Err(Reason::NoMetricName);
                    }
                    named = true;
                    give(Part::Metric(name));
                }
                Some(b'=') => {
                    self.at += 1;
                    self.blanks();
                    if self.peek() != Some(b'"') {
                        return Err(Reason::LabelValue);
                    }
                    if name.is_empty() {
                        return Err(Reason::LabelName);
                    }
                    give(Part::Label(name, self.quoted()?));
                    self.blanks();
                }
                _ => return Err(Reason::LabelEqual),
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                // Prometheus asks for a comma in OpenMetrics only.
                Some(_) if self.format == Format::Text => {}
                _ => return Err(Reason::LabelEnd),
            }
        }
    }

    fn name(&mut self) -> Result<(&'a str, bool), Reason> {
        if self.peek() == Some(b'"') {
            return Ok((self.quoted()?, true));
        }
        let begin = self.at;
        let length = label_end(&self.line[begin..]);
        if length == 0 {
            return Err(Reason::LabelName);
        }
        self.at += length;
        Ok((self.text(begin, self.at)?, false))
    }

    fn quoted(&mut self) -> Result<&'a str, Reason> {
        let begin = self.at;
        self.at += quoted_end(&self.line[begin..])?;
        self.text(begin + 1, self.at - 1)
    }

    fn text(&self, begin: usize, end: usize) -> Result<&'a str, Reason> {
        std::str::from_utf8(&self.line[begin..end]).map_err(|_| Reason::NotUtf8)
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn blanks(&mut self) {
        if self.format == Format::Text {
            while matches!(self.peek(), Some(b' ' | b'\t')) {
                self.at += 1;
            }
        }
    }
}
