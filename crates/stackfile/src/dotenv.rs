//! Files of variables: `.env` and what `env_file` names.
//!
//! Owns which file's values count where, and files that are taken as they are written. Lines with quotes and variables are read by
//! `tend_text`. Invariant: no value is ever part of a message.

use std::collections::BTreeMap;
use std::path::Path;

use tend_text::Shows;

use crate::error::{Findings, Report};
use crate::interpolate::TEMPLATE;
use crate::load::Session;
use crate::source::{Place, SourceId};

/// Returns the variables of a file written as `.env` is, by itself: nothing comes from outside.
///
/// # Errors
/// Everything that is wrong with it; no value is part of it.
pub fn variables(path: &Path, text: String) -> Result<BTreeMap<String, String>, Report> {
    let mut findings = Findings::default();
    let source = findings.sources.add(path, &text, Shows::Variables);
    let found = parse(source, &BTreeMap::new(), &mut findings);
    if findings.failed() {
        return Err(Report(findings.into_diagnostics()));
    }
    Ok(found)
}

/// Reads a file whose values count only where nothing outside set them.
pub(crate) fn read_defaults(
    session: &mut Session<'_>,
    path: &Path,
    directory: &Path,
    named_at: Option<Place>,
    variables: &mut BTreeMap<String, String>,
) {
    let Some(source) = session.read(path, directory, Shows::Variables, named_at) else {
        return;
    };
    for (name, value) in parse(source, variables, &mut session.findings) {
        variables.entry(name).or_insert(value);
    }
}

/// Reads a file that takes every line as it is written (`format: raw`).
pub(crate) fn parse_raw(
    source: SourceId,
    outside: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let text = findings.sources.get(source).text.clone();
    let mut found = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), outside.get(line.trim_end()).cloned()),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
            findings
                .error(source.at(line, 1), "this line has no name before its `=`")
                .help("write NAME=value, or start a remark with `#`");
            continue;
        }
        // A bare name that is not set outside either has no value.
        if let Some(value) = value {
            found.insert(name.to_owned(), value);
        }
    }
    found
}

/// Reads a file of variables; notes every line that is none. Of two lines with one name the later counts.
pub(crate) fn parse(
    source: SourceId,
    outside: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    tend_text::parse_dotenv(source, &BTreeMap::new(), outside, TEMPLATE, findings)
        .into_iter()
        .filter_map(|variable| Some((variable.name, variable.value?)))
        .collect()
}
