//! Writes either format. Knows no metric: who calls it gives metadata before samples and the samples of a metric together.

use std::fmt::Write as _;

use crate::format::{Format, MetricType};
use crate::number::write_value;
use crate::series::{is_plain_label, is_plain_metric};

/// Writes an exposition into a text. [`Writer::end`] ends it.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut String,
    format: Format,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    #[must_use]
    pub fn new(out: &'a mut String, format: Format) -> Self {
        Self { out, format }
    }

    /// Writes what a metric is, for people.
    pub fn help(&mut self, name: &str, text: &str) {
        self.metadata("HELP", name);
        escape(self.out, text, self.format == Format::OpenMetrics);
        self.out.push('\n');
    }

    /// Writes the type of a metric; of a counter in OpenMetrics the name is to be given without `_total`.
    pub fn metric_type(&mut self, name: &str, metric_type: MetricType) {
        self.metadata("TYPE", name);
        self.out.push_str(metric_type.word(self.format));
        self.out.push('\n');
    }

    /// Writes a sample. `labels` are without the metric's name; `timestamp_ms` is in milliseconds since 1970-01-01 UTC.
    pub fn sample<'l>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: f64,
        timestamp_ms: Option<i64>,
    ) {
        let plain = is_plain_metric(name);
        let mut open = false;
        if plain {
            self.out.push_str(name);
        } else {
            self.out.push('{');
            quote(self.out, name);
            open = true;
        }
        for (label, value) in labels {
            self.out.push(if open { ',' } else { '{' });
            open = true;
            if is_plain_label(label) {
                self.out.push_str(label);
            } else {
                quote(self.out, label);
            }
            self.out.push('=');
            quote(self.out, value);
        }
        if open {
            self.out.push('}');
        }
        self.out.push(' ');
        write_value(self.out, value);
        if let Some(at) = timestamp_ms {
            let _ = match self.format {
                Format::Text => write!(self.out, " {at}"),
                Format::OpenMetrics => {
                    let sign = if at < 0 { "-" } else { "" };
                    let (whole, rest) = (at.unsigned_abs() / 1000, at.unsigned_abs() % 1000);
                    write!(self.out, " {sign}{whole}.{rest:03}")
                }
            };
        }
        self.out.push('\n');
    }

    /// Ends the exposition.
    pub fn end(self) {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
    }

    fn metadata(&mut self, word: &str, name: &str) {
        let _ = write!(self.out, "# {word} ");
        if is_plain_metric(name) {
            self.out.push_str(name);
        } else {
            quote(self.out, name);
        }
        self.out.push(' ');
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text, true);
    out.push('"');
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for one in text.chars() {
        match one {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            _ => out.push(one),
        }
    }
}
