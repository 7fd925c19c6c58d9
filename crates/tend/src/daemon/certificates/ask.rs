//! What people ask about certificates: which there are, and to renew some now or only to try it out.

use std::collections::BTreeMap;

use serde_json::json;
use tend_acme::rehearse;
use tend_api::messages::{
    CertificateList, CertificateSource, CertificateState, CertificateStatus, Finished, Progress, ProgressLine, Stage,
    StageState,
};
use tend_api::{ApiError, Class, LineSender, Lines, RenewCertificates, lines};
use tend_base::{Clock, Mono, SystemClock, Wall};
use tend_certificate::{Due, Names, Warning, renew_at};
use tend_core::journal::{Kind, Principal};
use tend_core::model::StackName;
use tokio::sync::mpsc;

use super::shelf::{Shelf, Shown};
use super::status::days_left;
use super::wanted::{Wanted, WantedByAcme, wanted};
use super::{Failed, Keeper, directory, record, stage, wish};
use crate::daemon::hub::Hub;

/// Lines that wait for a client who is behind: there are few.
const LINES_WAITING: usize = 64;

/// A renewal that a person asked for.
pub(crate) struct Ask {
    renew: RenewCertificates,
    by: Principal,
    lines: LineSender<ProgressLine>,
}

/// Hands a question to who looks after certificates.
pub(crate) async fn ask(
    hub: &Hub,
    asks: &mpsc::Sender<Ask>,
    renew: RenewCertificates,
    by: Principal,
) -> Result<Lines, ApiError> {
    let wanted = hub.ask(|controller, _| wanted(controller.world())).await;
    if chosen(&wanted, &renew).is_empty() {
        let what = match &renew.host {
            Some(host) => format!("no certificate for {host} is got by ACME for the stack {}", renew.stack),
            None => format!("no certificate is got by ACME for the stack {}", renew.stack),
        };
        return Err(ApiError::new(Class::NotFound, what)
            .hint("`tend cert list` shows them; `edge: tls: acme:` in the stack file, with `terms_agreed: true`, asks for one"));
    }
    let (sender, lines) = lines(LINES_WAITING);
    let ask = Ask {
        renew,
        by,
        lines: sender,
    };
    asks.try_send(ask).map_err(|_| {
        ApiError::new(Class::Unavailable, "too many renewals were asked for at once").hint("try again in a minute")
    })?;
    Ok(lines)
}

fn chosen<'a>(wanted: &'a Wanted, renew: &RenewCertificates) -> Vec<(&'a Names, &'a WantedByAcme)> {
    let of_stack = wanted.by_acme.iter().filter(|(_, by)| by.stack == renew.stack);
    let host = renew.host.as_deref();
    of_stack
        .filter(|(names, _)| host.is_none_or(|host| names.iter().any(|name| name.eq_ignore_ascii_case(host))))
        .collect()
}

/// Returns all certificates that are wanted, or that are kept though nobody wants them at the moment.
pub(crate) async fn list(hub: &Hub, shelf: &Shelf) -> CertificateList {
    let wanted = hub.ask(|controller, _| wanted(controller.world())).await;
    let now = SystemClock.now().wall;
    let mut certificates = Vec::new();
    for given in &wanted.given {
        let known = shelf.given(&given.files);
        let mut status = status(&Names::default(), known.shown.as_ref(), now);
        status.stack = Some(given.stack.clone());
        status.source = CertificateSource::Files;
        status.files = vec![given.files.chain.clone(), given.files.key.clone()];
        status.error = known.not_taken.as_ref().map(|not_taken| not_taken.why.clone());
        status.hint = known.not_taken.map(|not_taken| not_taken.hint);
        certificates.push(status);
    }
    let mut issued: BTreeMap<Names, _> = shelf
        .all_issued()
        .into_iter()
        .map(|issued| (issued.record.names.clone(), issued))
        .collect();
    for (names, by) in &wanted.by_acme {
        let known = issued.remove(names);
        let mut status = status(names, known.as_ref().and_then(|known| known.shown.as_ref()), now);
        status.stack = Some(by.stack.clone());
        status.authority = Some(directory(&by.acme).to_owned());
        if let Some(known) = known {
            let history = known.record.history;
            let failures = history.failures();
            status.renew_at = known.shown.as_ref().map(|shown| renew_at(&shown.certificate));
            status.error = history.last_error;
            status.failures = failures;
        }
        certificates.push(status);
    }
    for (names, known) in issued {
        let mut status = status(&names, known.shown.as_ref(), now);
        status.authority = known.record.authority;
        certificates.push(status);
    }
    CertificateList { certificates }
}

/// Returns the certificates that a stack wants.
pub(crate) async fn of_stack(hub: &Hub, shelf: &Shelf, stack: &StackName) -> Vec<CertificateStatus> {
    let mut certificates = list(hub, shelf).await.certificates;
    certificates.retain(|certificate| certificate.stack.as_ref() == Some(stack));
    certificates
}

fn status(names: &Names, shown: Option<&Shown>, now: Wall) -> CertificateStatus {
    let certificate = shown.map(|shown| &shown.certificate);
    let names = certificate.map_or(names, |certificate| &certificate.names);
    CertificateStatus {
        names: names.iter().map(str::to_owned).collect(),
        stack: None,
        source: CertificateSource::Acme,
        state: match certificate.map(|certificate| Warning::of(certificate, now)) {
            None => CertificateState::Missing,
            Some(None) => CertificateState::Valid,
            Some(Some(Warning::Expiring)) => CertificateState::Expiring,
            Some(Some(Warning::Expired)) => CertificateState::Expired,
        },
        authority: None,
        files: Vec::new(),
        issuer: certificate.map(|certificate| certificate.issuer.clone()),
        serial: certificate.map(|certificate| certificate.serial.clone()),
        not_before: certificate.map(|certificate| certificate.not_before),
        not_after: certificate.map(|certificate| certificate.not_after),
        days_left: certificate.map(|certificate| days_left(certificate.not_after, now)),
        renew_at: None,
        failures: 0,
        error: None,
        hint: None,
    }
}

impl Keeper {
    /// Does what a person asked for, and tells how it goes.
    pub(super) async fn answer(&mut self, ask: Ask) {
        let begun = SystemClock.now().mono;
        let wanted = self.wanted().await;
        let mut refused: Vec<(String, Failed)> = Vec::new();
        for (names, by) in chosen(&wanted, &ask.renew) {
            let one = SystemClock.now().mono;
            tell(&ask, names, StageState::Begun, String::new(), None).await;
            let done = if ask.renew.dry_run {
                self.try_out(names, by, &ask.by).await
            } else {
                self.renew_for(names, by, &ask).await
            };
            match done {
                Ok(message) => tell(&ask, names, StageState::Done, message, Some(one)).await,
                Err(failed) => {
                    tell(&ask, names, StageState::Failed, failed.why.clone(), Some(one)).await;
                    refused.push((names.to_string(), failed));
                }
            }
        }
        let took_ms = since(begun);
        let finished = match refused.first() {
            None => Finished {
                ok: true,
                took_ms,
                ..Finished::default()
            },
            Some((names, failed)) => Finished {
                took_ms,
                reason: format!("{names}: {}", failed.why),
                next_step: failed.hint.clone(),
                ..Finished::default()
            },
        };
        // A client that is gone is no longer told; the journal has it.
        let _ = ask.lines.send(&ProgressLine::Finished(finished)).await;
    }

    async fn renew_for(&self, names: &Names, by: &WantedByAcme, ask: &Ask) -> Result<String, Failed> {
        let failed = |why: String, hint: &str| Failed {
            why,
            hint: hint.to_owned(),
        };
        let reason = match self.due(names, by, true) {
            Ok(Due::Now(reason)) => reason,
            Ok(Due::At { at, held }) => {
                let why = held.map_or_else(String::new, |held| format!(": {held}"));
                return Err(failed(
                    format!("not before {}{why}", at.to_rfc3339()),
                    "the authority's limits are kept from further away than it does; --dry-run tries without counting",
                ));
            }
            Err(error) => return Err(failed(error.with_causes(), error.hint())),
        };
        let seen = self.renew(names, by, reason, Some(&ask.by)).await?;
        match seen.unseen.iter().next() {
            Some((listener, why)) => Err(failed(
                format!("it was issued and is kept, but not seen at {listener}: {why}"),
                "`tend info` says whether the edge runs; another certificate for the same host may stand before it",
            )),
            None if seen.seen.is_empty() => Ok("issued; no listener speaks TLS yet".to_owned()),
            None => {
                let seen: Vec<&str> = seen.seen.iter().map(String::as_str).collect();
                Ok(format!("issued, and seen at {}", seen.join(", ")))
            }
        }
    }

    /// Looks whether a certificate would be issued.
    async fn try_out(&self, names: &Names, by: &WantedByAcme, person: &Principal) -> Result<String, Failed> {
        let tried = async {
            let folder = self.folder()?;
            let (_, wish) = wish(names, &by.acme)?;
            let (authority, rehearsal) = stage(&by.acme)?;
            let tried = rehearse(&authority, folder, &wish, &self.answers(), rehearsal, &SystemClock).await;
            tried.map(|_| authority.directory().to_owned())
        };
        let tried = tried.await;
        let data = json!({
            "names": names,
            "authority": directory(&by.acme),
            "error": tried.as_ref().err().map(|error| error.with_causes()),
        });
        record(
            &self.shared,
            Some(&by.stack),
            Kind::CertificateRehearsed,
            Some(person),
            data,
        );
        match tried {
            Ok(directory) => Ok(format!("it would be issued, says {directory}; nothing was changed")),
            Err(error) => Err(Failed {
                why: error.with_causes(),
                hint: error.hint().to_owned(),
            }),
        }
    }
}

async fn tell(ask: &Ask, names: &Names, state: StageState, message: String, begun: Option<Mono>) {
    let progress = Progress {
        at: SystemClock.now().wall,
        stage: Stage::Certificate,
        subject: names.to_string(),
        state,
        message,
        took_ms: begun.map(since),
    };
    let _ = ask.lines.send(&ProgressLine::Progress(progress)).await;
}

fn since(begun: Mono) -> u64 {
    u64::try_from(SystemClock.now().mono.since(begun).as_millis()).unwrap_or(u64::MAX)
}
