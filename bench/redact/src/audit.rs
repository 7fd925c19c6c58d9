//! What `tend logs audit` costs: a file read in blocks, and each place where a secret stands told.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tend_redact::{Finder, Label, Patterns, Rules, forms};

use crate::corpus;

/// The file that is looked through.
const FILE_BYTES: usize = 256 << 20;

/// Read at once, as the daemon does.
const BLOCK_BYTES: usize = 64 << 10;

/// With more secrets it is not looked for each form by itself.
const COMPARED_MAX: usize = 100;

/// What came of one number of secrets.
pub(crate) struct Audit {
    /// Texts looked for.
    pub(crate) forms: usize,
    /// Megabytes a second with rules, the best of three.
    pub(crate) rate: f64,
    /// The same for known values only.
    pub(crate) known_rate: f64,
    /// Lines of a part of the file in which a known value stands, found by looking for each form by itself, and lines that were told
    /// there; not for so many secrets that it would take minutes.
    pub(crate) lines: Option<(usize, usize)>,
}

/// Looks through a file of log lines for so many secrets.
pub(crate) fn audit(count: usize) -> io::Result<Audit> {
    let path = std::env::temp_dir().join(format!("tend-bench-audit-{}", std::process::id()));
    let done = in_file(&path, count);
    let _ = std::fs::remove_file(&path);
    done
}

fn in_file(path: &Path, count: usize) -> io::Result<Audit> {
    let values = corpus::values(count);
    let text = corpus::text(&values, FILE_BYTES);
    std::fs::write(path, &text)?;
    let rates = [Rules::All, Rules::None].map(|rules| {
        let patterns = Arc::new(Patterns::new(&values, rules));
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let begun = Instant::now();
            look(&patterns, File::open(path)?)?;
            best = best.min(begun.elapsed().as_secs_f64());
        }
        Ok::<f64, io::Error>(text.len() as f64 / 1e6 / best)
    });
    let [rate, known_rate] = rates;
    // A megabyte is enough to compare with, one form after the other.
    let part = &text[..1 << 20];
    let all: Vec<Vec<u8>> = values.iter().flat_map(|value| forms(value.expose())).collect();
    let lines_with = |line: &&[u8]| {
        all.iter()
            .any(|form| line.windows(form.len()).any(|bytes| bytes == form.as_slice()))
    };
    let lines = if count <= COMPARED_MAX {
        let planted = part.split(|byte| *byte == b'\n').filter(lines_with).count();
        let told = look(&Arc::new(Patterns::new(&values, Rules::None)), part)?;
        Some((planted, told))
    } else {
        None
    };
    Ok(Audit {
        forms: all.len(),
        rate: rate?,
        known_rate: known_rate?,
        lines,
    })
}

/// Returns in how many lines a known value was told.
fn look(patterns: &Arc<Patterns>, mut from: impl Read) -> io::Result<usize> {
    let mut finder = Finder::new(Arc::clone(patterns));
    let mut block = vec![0; BLOCK_BYTES];
    let (mut lines, mut last) = (0, 0);
    let mut tell = |found: tend_redact::Found<'_>| {
        if matches!(found.label, Label::Value(_)) && found.line != last {
            last = found.line;
            lines += 1;
        }
    };
    loop {
        let length = from.read(&mut block)?;
        if length == 0 {
            finder.end(&mut tell);
            return Ok(lines);
        }
        finder.push(&block[..length], &mut tell);
    }
}
