//! `tend cert list`: for which hosts there are certificates, from whom, and until when.

use clap::Args;
use tend_api::messages::{CertificateList, CertificateStatus};
use tend_api::{Call, EXIT_OK};
use tend_base::Wall;

use crate::arguments::JsonOption;
use crate::context::Context;
use crate::error::Result;
use crate::output::{Cell, Table, Tone};
use crate::when::local_time;

/// List the certificates
///
/// Lists all certificates: for which hosts, from whom, until when, and why the last try to renew one failed.
///
/// Example: tend cert list
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    json: JsonOption,
}

impl List {
    pub(crate) async fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let client = context.client().await?;
        let (list, text) = client.json_with_text::<CertificateList>(&Call::Certificates).await?;
        if self.json.json {
            context.line(&text)?;
            return Ok(EXIT_OK);
        }
        if list.certificates.is_empty() {
            context.note(text::NONE)?;
            return Ok(EXIT_OK);
        }
        for line in lines(context, &list) {
            context.line_later(&line)?;
        }
        Ok(EXIT_OK)
    }
}

fn lines(context: &Context<'_>, list: &CertificateList) -> Vec<String> {
    let zone = &context.surroundings.time_zone;
    let day = |at: Option<Wall>| at.map_or_else(String::new, |at| local_time(at, zone).chars().take(16).collect());
    let mut table = Table::new(&text::HEADINGS);
    for certificate in &list.certificates {
        let stack = certificate.stack.as_ref().map_or("", |stack| stack.as_str());
        table.row(vec![
            Cell::new(certificate.names.join(", ")),
            Cell::new(stack),
            Cell::new(certificate.state.as_str()).tone(certificate.state),
            Cell::new(day(certificate.not_after)),
            Cell::new(day(certificate.renew_at)).tone(Tone::Faint),
            Cell::new(certificate.issuer.clone().unwrap_or_default()),
            Cell::new(note(certificate)),
        ]);
    }
    table.lines(context.paint())
}

fn note(certificate: &CertificateStatus) -> String {
    let mut parts: Vec<String> = Vec::new();
    if certificate.stack.is_none() {
        parts.push(text::UNWANTED.to_owned());
    }
    if let Some(chain) = certificate.files.first() {
        parts.push(chain.display().to_string());
    }
    match (&certificate.error, certificate.failures) {
        (Some(error), 0 | 1) => parts.push(error.clone()),
        (Some(error), failures) => parts.push(text::failed(failures, error)),
        (None, _) => {}
    }
    parts.join("; ")
}

mod text {
    pub(super) const HEADINGS: [&str; 7] = ["HOSTS", "STACK", "STATE", "UNTIL", "RENEWED FROM", "ISSUER", "NOTE"];
    pub(super) const NONE: &str = "no stack wants a certificate; `edge: tls:` in a stack file asks for one";
    pub(super) const UNWANTED: &str = "no stack wants it at the moment";

    pub(super) fn failed(failures: u32, error: &str) -> String {
        format!("{failures} tries failed, the last: {error}")
    }
}
