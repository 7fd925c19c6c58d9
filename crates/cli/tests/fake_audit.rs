//! What the daemon with canned answers finds when it looks through what is stored.

use tend_api::messages::{AuditClass, AuditFinding, AuditLine, AuditProgress, AuditReport};
use tend_core::model::StackName;

/// Of the stack `mps` all is clean; of all stacks a value stands in three places and a card in one; of others a file cannot be read.
pub(crate) fn lines(stack: Option<&StackName>) -> Vec<AuditLine> {
    let report = AuditReport {
        clean: true,
        files: 12,
        bytes: 68_157_440,
        rows: 4711,
        values: 9,
        forms: 88,
        took_ms: 520,
        ..AuditReport::default()
    };
    let finding = |file: &str, class, what: &str, form: Option<&str>| AuditFinding {
        file: format!("/var/lib/tend/{file}"),
        row: None,
        line: None,
        offset: 8192,
        class,
        what: what.to_owned(),
        form: form.map(str::to_owned),
    };
    let known = |file: &str, form: &str| finding(file, AuditClass::Known, "mps/db_password@3", Some(form));
    let progress = AuditLine::Progress(AuditProgress {
        files: 3,
        files_all: 12,
        bytes: 4_194_304,
        bytes_all: 68_157_440,
    });
    match stack.map(StackName::as_str) {
        Some("mps") => vec![progress, AuditLine::Finished(report)],
        Some(_) => vec![AuditLine::Finished(AuditReport {
            clean: false,
            unread: vec!["/var/lib/tend/logs/fails/api/1/stdout.log.3: Permission denied".to_owned()],
            ..report
        })],
        None => vec![
            progress,
            AuditLine::Finding(AuditFinding {
                line: Some(1207),
                ..known("logs/mps/api/1/stdout.log.2", "base64 at 1")
            }),
            AuditLine::Finding(AuditFinding {
                row: Some("stack mps".to_owned()),
                ..known("tend.db", "json")
            }),
            AuditLine::Finding(known("tend.db", "plain")),
            AuditLine::Finding(AuditFinding {
                line: Some(3),
                ..finding("logs/mps/api/2/stderr.log", AuditClass::LooksLike, "card number", None)
            }),
            AuditLine::Finished(AuditReport {
                clean: false,
                known: 5,
                looks_like: 1,
                not_listed: 2,
                too_short: vec!["mps/pin@1".to_owned()],
                left_out: vec!["/var/lib/tend/bin: programs of tend".to_owned()],
                ..report
            }),
        ],
    }
}
