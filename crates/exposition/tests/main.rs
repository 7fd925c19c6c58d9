//! Tests of the reader and writer of expositions: tables of lines with what is to become of them, a corpus, Debian's promtool, and the
//! fuzz corpus.

mod corpus;
mod lines;
mod promtool;
mod replay;
mod written;

use tend_exposition::{BadLine, Format, Line, Lines, series_labels};

/// Says in a line of text what a body says: the form of the expected output in this folder.
fn told(body: &[u8], format: Format) -> String {
    let mut out = String::new();
    for line in Lines::new(body, format) {
        out.push_str(&one(&line, format));
        out.push('\n');
    }
    out
}

fn one(line: &Line<'_>, format: Format) -> String {
    match line {
        Line::Sample(sample) => {
            let labels = match series_labels(sample.series, format) {
                Ok(labels) => labels,
                Err(reason) => return format!("bad {}: {reason}", sample.number),
            };
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            let at = sample.timestamp_ms.map_or(String::new(), |at| format!(" at {at}"));
            format!(
                "sample {}: {} = {:?}{at}",
                sample.number,
                labels.join(" "),
                sample.value
            )
        }
        Line::Help { name, text } => format!("help {name}: {text:?}"),
        Line::Type { name, metric_type } => format!("type {name}: {metric_type:?}"),
        Line::Unit { name, unit } => format!("unit {name}: {unit:?}"),
        Line::Bad(BadLine { number, reason }) => format!("bad {number}: {reason}"),
    }
}
