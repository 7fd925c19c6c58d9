//! `tend logs audit`: whether a secret stands in anything that tend stored. Shows places and names, never a value.

use clap::Args;
use tend_api::messages::{AuditClass, AuditFinding, AuditLine, AuditProgress, AuditReport};
use tend_api::{EXIT_FAILED, EXIT_FOUND, EXIT_OK};

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{Tone, harmless, shortened, took};
use crate::target::StackOption;

/// Prove that no secret stands in what tend stored
///
/// Looks through what tend stored (output of replicas, logs of the edge, the journal, the state, what was built and written for
/// replicas) for every secret value it knows, staged and retired ones too, in every form that programs write one in; and for what looks
/// like a secret. Tells where something stands and which secret it is, never the value.
///
/// The daemon's user and root have everything looked through, others the output of their stacks. Without a stack, the secrets of all
/// that are yours are looked for.
///
/// Ends with 0 where no known value was found, with 13 where one was, and with 1 where something could not be read.
///
/// Example: tend logs audit
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    stack: StackOption,
    /// End with 13 also for what only looks like a secret
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    json: JsonOption,
}

impl Audit {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let mut reader = client.audit_logs(self.stack.named().cloned()).await?;
        let live = context.is_live() && !self.json.json;
        while let Some((line, text)) = reader.next_with_text().await? {
            if live {
                context.write(CLEAR_LINE)?;
            }
            match &line {
                AuditLine::Progress(progress) => {
                    if live {
                        let line = shortened(&text::progress(progress), context.columns().saturating_sub(1));
                        context.write(&line)?;
                    }
                }
                _ if self.json.json => context.line(&String::from_utf8_lossy(&text))?,
                AuditLine::Finding(finding) => {
                    let tone = match finding.class {
                        AuditClass::Known => Tone::Bad,
                        AuditClass::LooksLike => Tone::Uneasy,
                    };
                    let paint = context.paint();
                    let what = paint.paint(tone, &harmless(&text::what(finding)));
                    context.line(&format!("{}: {what}", harmless(&text::place(finding))))?;
                }
                AuditLine::Finished(report) => show(context, report)?,
            }
            if let AuditLine::Finished(report) = line {
                return Ok(code(&report, self.strict));
            }
        }
        Err(Error::CutShort)
    }
}

/// Back to the start of the line, and clear it.
const CLEAR_LINE: &str = "\r\u{1b}[2K";

fn code(report: &AuditReport, strict: bool) -> u8 {
    if report.known > 0 || (strict && report.looks_like > 0) {
        EXIT_FOUND
    } else if report.clean {
        EXIT_OK
    } else {
        EXIT_FAILED
    }
}

fn show(context: &mut Context<'_>, report: &AuditReport) -> Result<()> {
    for left in &report.left_out {
        context.note(&text::left_out(&harmless(left)))?;
    }
    for name in &report.too_short {
        context.note(&text::too_short(&harmless(name)))?;
    }
    for unread in &report.unread {
        context.note(&text::unread(&harmless(unread)))?;
    }
    if report.not_listed > 0 {
        context.note(&text::not_listed(report.not_listed))?;
    }
    context.line(&text::looked_through(report))?;
    let paint = context.paint();
    let (tone, line) = match (report.known, report.unread.len()) {
        (0, 0) => (Tone::Good, text::CLEAN.to_owned()),
        (0, _) => (Tone::Bad, text::UNPROVED.to_owned()),
        (known, _) => (Tone::Bad, text::known(known)),
    };
    context.line(&paint.paint(tone, &line))?;
    if report.looks_like > 0 {
        context.line(&paint.paint(Tone::Uneasy, &text::looks_like(report.looks_like)))?;
    }
    if report.known > 0 {
        context.note(text::NEXT)?;
    }
    Ok(())
}

mod text {
    use tend_base::format_bytes;

    use super::{AuditClass, AuditFinding, AuditProgress, AuditReport, took};

    pub(super) const CLEAN: &str = "no known secret stands in any of it";
    pub(super) const UNPROVED: &str = "no known secret was found, but not everything could be read";
    pub(super) const NEXT: &str = "next: rotate what was found (`tend secret rotate`), then remove the files";

    pub(super) fn place(finding: &AuditFinding) -> String {
        let AuditFinding { file, offset, .. } = finding;
        match (&finding.row, finding.line) {
            (Some(row), _) => format!("{file} ({row}, byte {offset})"),
            (None, Some(line)) => format!("{file}:{line}"),
            (None, None) => format!("{file} (byte {offset})"),
        }
    }

    pub(super) fn what(finding: &AuditFinding) -> String {
        let form = finding
            .form
            .as_ref()
            .map(|form| format!(" ({form})"))
            .unwrap_or_default();
        match finding.class {
            AuditClass::Known => format!("{}{form}", finding.what),
            AuditClass::LooksLike => format!("looks like a {}", finding.what),
        }
    }

    pub(super) fn progress(progress: &AuditProgress) -> String {
        format!(
            "{} of {} files, {} of {}",
            progress.files,
            progress.files_all,
            format_bytes(progress.bytes),
            format_bytes(progress.bytes_all)
        )
    }

    pub(super) fn looked_through(report: &AuditReport) -> String {
        // A byte a millisecond is a kilobyte a second.
        let rate = format_bytes(report.bytes.saturating_mul(1000) / report.took_ms.max(1));
        format!(
            "looked through {} files, {}, and {} rows for {} values in {} forms ({}, {rate}/s)",
            report.files,
            format_bytes(report.bytes),
            report.rows,
            report.values,
            report.forms,
            took(report.took_ms)
        )
    }

    pub(super) fn known(count: u64) -> String {
        match count {
            1 => "a known secret stands in 1 place".to_owned(),
            count => format!("known secrets stand in {count} places"),
        }
    }

    pub(super) fn looks_like(count: u64) -> String {
        match count {
            1 => "1 place looks like a secret".to_owned(),
            count => format!("{count} places look like a secret"),
        }
    }

    pub(super) fn not_listed(count: u64) -> String {
        format!("{count} more places are not listed")
    }

    pub(super) fn left_out(what: &str) -> String {
        format!("not looked at: {what}")
    }

    pub(super) fn too_short(name: &str) -> String {
        format!("too short to be looked for: {name}")
    }

    pub(super) fn unread(what: &str) -> String {
        format!("could not be read: {what}")
    }
}
