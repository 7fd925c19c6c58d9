//! How an error is shown: what, because of what, what next.

use std::io::{self, Write};

use tend_api::Class;
use tend_base::without_os_numbers;

use super::{Paint, Tone};

/// Writes `error: what`, one `because:` for each cause, and `next:`. Lines that quote a replica's output, which begin with `|`,
/// are left as they are.
pub(crate) fn show_error(
    to: &mut dyn Write,
    paint: Paint,
    class: Class,
    what: &str,
    because: &[String],
    next: &str,
) -> io::Result<()> {
    let mut lines = what.lines().map(wording);
    let first = lines.next().unwrap_or_default();
    writeln!(to, "{} {first}", paint.paint(class.colour().into(), "error:"))?;
    for line in lines {
        writeln!(to, "  {line}")?;
    }
    for cause in because {
        labelled(to, paint, "because:", cause)?;
    }
    if !next.is_empty() {
        labelled(to, paint, "next:", next)?;
    }
    to.flush()
}

/// Writes a label and a text whose further lines stand under its first.
fn labelled(to: &mut dyn Write, paint: Paint, label: &str, text: &str) -> io::Result<()> {
    let mut lines = text.lines().map(wording);
    let first = lines.next().unwrap_or_default();
    writeln!(to, "  {} {first}", paint.paint(Tone::Faint, label))?;
    let indent = " ".repeat(label.len() + 3);
    for line in lines {
        writeln!(to, "{}", format!("{indent}{line}").trim_end())?;
    }
    Ok(())
}

/// Returns a line as a person reads it.
fn wording(line: &str) -> String {
    if line.starts_with('|') {
        line.to_owned()
    } else {
        without_os_numbers(line)
    }
}
