//! Certificates: kept up to date for the stacks that want some, one at a time, by a thread of its own.
//!
//! Map: `wanted` which the stacks want, `shelf` which there are and what the snapshot says of them, `given` those in files, `answers`
//! what an authority is shown, `seen` whether clients are shown one, `ask` what a person asks for. When one is due is decided in
//! `tend-certificate`, how it is got in `tend-acme`.
//!
//! A thread of its own because files are made durable between the steps, which would hold up all else in the daemon.

mod answers;
mod ask;
mod given;
mod seen;
mod shelf;
mod status;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tend_acme::{AcmeError, Authority, Challenge, Folder, LETS_ENCRYPT, Patience, Rehearsal, Wish, renew, staging_of};
use tend_base::{Clock, SystemClock, Wall};
use tend_certificate::{Asked, Due, History, Names, Reason, Warning, next};
use tend_core::controller::Input;
use tend_core::journal::{Entry, Kind, Principal, Subject};
use tend_core::model::{Acme, StackName};
use tokio::sync::mpsc;

pub(crate) use ask::{Ask, ask, list, of_stack};
pub(crate) use given::{NotTaken, can_be_served, key_owner};
pub(crate) use shelf::Shelf;
pub(crate) use status::warnings;

use super::hub::Hub;
use super::shared::Shared;
use super::way::Way;
use answers::{ThroughEdge, served};
use given::Mark;
use shelf::{Given, Shown};
use wanted::{Wanted, WantedByAcme, WantedGiven, wanted};

/// Questions of people that wait; more are refused.
const ASKS_MAX: usize = 16;

/// How often files given are looked at. A person who replaced them looks within minutes; the sum of it is two `stat` a file.
const GIVEN_AGAIN: Duration = Duration::from_secs(10);

/// At the latest so often all is looked at again: the time of day may have been set.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// Before it is begun anew after a defect.
const AFTER_A_DEFECT: Duration = Duration::from_secs(60);

/// What is kept beside the shelf while the daemon lives.
struct Keeper {
    shared: Arc<Shared>,
    hub: Hub,
    /// Opened when it is first needed.
    folder: OnceLock<Folder>,
    /// What people were told of which certificate, by its serial number.
    told: BTreeMap<Names, (String, Warning)>,
}

/// Starts to look after certificates; returns where people's questions go.
pub(crate) fn start(shared: Arc<Shared>, hub: Hub) -> mpsc::Sender<Ask> {
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    tokio::spawn(async move {
        // Most stacks want none: then there is no thread.
        let mut changes = hub.changes();
        loop {
            changes.mark_unchanged();
            let any = hub.ask(|controller, _| {
                let wanted = wanted(controller.world());
                !wanted.by_acme.is_empty() || !wanted.given.is_empty()
            });
            if any.await {
                break;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            hub,
            folder: OnceLock::new(),
            told: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("certificates".to_owned());
        if let Err(error) = thread.spawn(move || look_after(keeper, asked)) {
            gone(&shared, &format!("certificates are not looked after: {error}"));
        }
    });
    asks
}

/// Looks after certificates until the daemon ends, whatever goes wrong.
fn look_after(mut keeper: Keeper, mut asked: mpsc::Receiver<Ask>) {
    let shared = Arc::clone(&keeper.shared);
    loop {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return gone(&shared, &format!("certificates are not looked after: {error}")),
        };
        let kept = catch_unwind(AssertUnwindSafe(|| runtime.block_on(keeper.keep(&mut asked))));
        if kept.is_ok() {
            return;
        }
        // A defect in one try must not leave all certificates to expire.
        gone(
            &shared,
            "a defect of tend ended the looking after certificates; it begins anew in a minute",
        );
        std::thread::sleep(AFTER_A_DEFECT);
    }
}

fn gone(shared: &Shared, why: &str) {
    record(shared, None, Kind::CertificateFailed, None, json!({ "error": why }));
}

impl Keeper {
    /// Looks after certificates until the daemon ends.
    async fn keep(&mut self, asked: &mut mpsc::Receiver<Ask>) {
        let mut changes = self.hub.changes();
        self.forget_expired().await;
        loop {
            changes.mark_unchanged();
            let wanted = self.wanted().await;
            self.look_at_given(&wanted).await;
            let at = self.renew_due(&wanted).await;
            self.warn(&wanted);
            let now = SystemClock.now().wall;
            let again = if wanted.given.is_empty() {
                LOOK_AGAIN
            } else {
                GIVEN_AGAIN
            };
            let wait = Duration::from_millis(at.map_or(u64::MAX, |at| at.0.saturating_sub(now.0))).min(again);
            let deadline = tokio::time::Instant::now() + wait;
            // Most of what changes in the daemon is nothing to us.
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(deadline) => break,
                    changed = changes.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        changes.mark_unchanged();
                        if self.wanted().await != wanted {
                            break;
                        }
                    }
                    ask = asked.recv() => {
                        match ask {
                            Some(ask) => self.answer(ask).await,
                            None => return,
                        }
                        break;
                    }
                }
            }
        }
    }

    fn folder(&self) -> Result<&Folder, AcmeError> {
        match self.folder.get() {
            Some(folder) => Ok(folder),
            None => {
                let opened = Folder::open(self.shared.certificates.folder())?;
                Ok(self.folder.get_or_init(|| opened))
            }
        }
    }

    async fn wanted(&self) -> Wanted {
        self.hub.ask(|controller, _| wanted(controller.world())).await
    }

    /// Forgets what nobody wants any more and no client would take.
    async fn forget_expired(&self) {
        let (wanted, now) = (self.wanted().await, SystemClock.now().wall);
        let shelf = &self.shared.certificates;
        let Ok(folder) = self.folder() else {
            // Whoever is to write there says so.
            return;
        };
        for issued in shelf.all_issued() {
            let names = issued.record.names;
            let over = issued.shown.is_none_or(|shown| shown.certificate.not_after < now);
            if over && !wanted.by_acme.contains_key(&names) && folder.forget(&names).is_ok() {
                shelf.forget(&names);
            }
        }
    }

    /// Takes the files that are new or have changed.
    async fn look_at_given(&self, wanted: &Wanted) {
        let shelf = &self.shared.certificates;
        let folder = shelf.given_folder();
        let mut taken = Vec::new();
        for WantedGiven {
            stack,
            owner_uid,
            files,
        } in &wanted.given
        {
            let before = shelf.given(files);
            let mark = Mark::of(files);
            if before.mark == Some(mark) {
                continue;
            }
            // The daemon of a user reads what that user can; root's must not lend its eyes.
            let owner = given::key_owner(self.shared.uid, *owner_uid);
            let mut now = Given {
                mark: Some(mark),
                ..before.clone()
            };
            let data = json!({ "files": [files.chain, files.key] });
            match given::take(&folder, files, owner) {
                Ok(shown) => {
                    now.not_taken = None;
                    if now.shown.as_ref() != Some(&shown) {
                        taken.push((stack, files, shown.clone()));
                        now.shown = Some(shown);
                    }
                }
                Err(not_taken) => {
                    if before.not_taken.as_ref() != Some(&not_taken) {
                        let mut data = data;
                        data["error"] = json!(not_taken.why);
                        data["hint"] = json!(not_taken.hint);
                        data["kept_until"] = json!(before.shown.map(|shown| shown.certificate.not_after));
                        record(&self.shared, Some(stack), Kind::CertificateFailed, None, data);
                    }
                    now.not_taken = Some(not_taken);
                }
            }
            shelf.put_given(files, now);
        }
        if taken.is_empty() {
            return;
        }
        self.hub.input(Input::EdgeRulesChanged).await;
        for (stack, files, shown) in taken {
            let mut data = said_of(&shown);
            data["files"] = json!([files.chain, files.key]);
            record(&self.shared, Some(stack), Kind::CertificateRead, None, data);
        }
        if served(&self.hub).await.is_ok() {
            let shown = shelf.shown(&self.wanted().await);
            let paths: Vec<PathBuf> = shown
                .into_iter()
                .flat_map(|(_, shown)| [shown.chain, shown.key])
                .collect();
            given::sweep(&folder, &paths);
        }
    }

    /// Asks for every certificate that is due; returns when the next is.
    async fn renew_due(&mut self, wanted: &Wanted) -> Option<Wall> {
        let mut soonest: Option<Wall> = None;
        for (names, by) in &wanted.by_acme {
            let due = match self.due(names, by, false) {
                // The answers go through it. It says by itself when it serves.
                Ok(Due::Now(_)) if !wanted.edge_serves => continue,
                Ok(Due::Now(reason)) => {
                    // What came of it is in the journal.
                    let _ = self.renew(names, by, reason, None).await;
                    self.due(names, by, false)
                }
                due => due,
            };
            let at = match due {
                Ok(Due::At { at, .. }) => at,
                // Nothing was noted of the try: not before a while, or it would be asked for without a pause.
                Ok(Due::Now(_)) | Err(_) => later(SystemClock.now().wall, Duration::from_secs(60)),
            };
            soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
        }
        soonest
    }

    /// Decides about one.
    fn due(&self, names: &Names, by: &WantedByAcme, by_person: bool) -> Result<Due, AcmeError> {
        let shelf = &self.shared.certificates;
        let directory = directory(&by.acme);
        let issued = shelf.issued(names);
        let none = History::default();
        let orders: Vec<Wall> = shelf
            .all_issued()
            .iter()
            .flat_map(|issued| issued.record.history.tries.iter().map(|t| t.at))
            .collect();
        let under_way = match &issued {
            Some(issued) => self.folder()?.is_under_way(&issued.record, directory)?,
            None => false,
        };
        let kept = issued
            .as_ref()
            .filter(|issued| issued.record.authority.as_deref() == Some(directory));
        Ok(next(&Asked {
            wanted: names,
            kept: kept.and_then(|kept| Some(&kept.shown.as_ref()?.certificate)),
            history: issued.as_ref().map_or(&none, |issued| &issued.record.history),
            orders: &orders,
            under_way,
            by_person,
            now: SystemClock.now().wall,
        }))
    }

    /// Tries to get one, and writes what came of it into the journal.
    async fn renew(
        &self,
        names: &Names,
        by: &WantedByAcme,
        reason: Reason,
        person: Option<&Principal>,
    ) -> Result<Seen, Failed> {
        let begun = SystemClock.now().mono;
        let directory = directory(&by.acme);
        let before = self.shared.certificates.issued(names).and_then(|issued| issued.shown);
        let tried = self.try_to_renew(names, by).await;
        let after_ms = SystemClock.now().mono.since(begun).as_millis();
        match tried {
            Ok(shown) => {
                let seen = self.look(names, by, &shown).await;
                let mut data = said_of(&shown);
                data["authority"] = json!(directory);
                data["reason"] = json!(in_words(reason));
                data["after_ms"] = json!(u64::try_from(after_ms).unwrap_or(u64::MAX));
                data["seen"] = json!(seen.seen);
                data["unseen"] = json!(seen.unseen);
                let kind = if before.is_some() {
                    Kind::CertificateRenewed
                } else {
                    Kind::CertificateIssued
                };
                record(&self.shared, Some(&by.stack), kind, person, data);
                Ok(seen)
            }
            Err(error) => {
                let failed = Failed {
                    why: error.with_causes(),
                    hint: error.hint().to_owned(),
                };
                let next_try = match self.due(names, by, false) {
                    Ok(Due::At { at, .. }) => Some(at),
                    _ => None,
                };
                let data = json!({
                    "names": names,
                    "authority": directory,
                    "error": failed.why,
                    "hint": failed.hint,
                    "next_try": next_try,
                    "kept_until": before.map(|shown| shown.certificate.not_after),
                });
                record(&self.shared, Some(&by.stack), Kind::CertificateFailed, person, data);
                Err(failed)
            }
        }
    }

    async fn try_to_renew(&self, names: &Names, by: &WantedByAcme) -> Result<Shown, AcmeError> {
        let shelf = &self.shared.certificates;
        let folder = self.folder()?;
        let (authority, wish) = wish(names, &by.acme)?;
        let renewed = renew(&authority, folder, &wish, &self.answers(), &SystemClock).await;
        let (record, certificate) = match renewed {
            Ok(renewed) => renewed,
            Err(error) => {
                // It says what was tried, for the next decision.
                let record = folder.record(names)?;
                let shown = shelf::shown(folder, &record);
                shelf.put(record, shown);
                return Err(error);
            }
        };
        let files = record
            .current
            .as_ref()
            .expect("invariant: the record of what was issued names its files");
        let (chain, key) = folder.paths(files);
        let shown = Shown {
            certificate,
            chain,
            key,
        };
        shelf.put(record, Some(shown.clone()));
        self.hub.input(Input::EdgeRulesChanged).await;
        Ok(shown)
    }

    fn answers(&self) -> ThroughEdge {
        ThroughEdge {
            shared: Arc::clone(&self.shared),
            hub: self.hub.clone(),
        }
    }

    /// Looks where clients are shown a certificate.
    async fn look(&self, names: &Names, by: &WantedByAcme, shown: &Shown) -> Seen {
        let mut seen = Seen::default();
        let served = served(&self.hub).await;
        let chain = std::fs::read(&shown.chain).map_err(|error| error.to_string());
        for at in &by.seen_at {
            let looked = match (&served, &chain) {
                (Err(why), _) | (_, Err(why)) => Err(why.clone()),
                (Ok(()), Ok(chain)) => self.look_at(*at, names, chain).await,
            };
            match looked {
                Ok(()) => drop(seen.seen.insert(at.address.to_string())),
                Err(why) => drop(seen.unseen.insert(at.address.to_string(), why)),
            }
        }
        seen
    }

    async fn look_at(&self, at: Way, names: &Names, chain: &[u8]) -> Result<(), String> {
        for host in names.iter() {
            seen::is_seen(at, host, chain).await?;
        }
        Ok(())
    }

    /// Says, once for each, which certificates are about to end.
    fn warn(&mut self, wanted: &Wanted) {
        let now = SystemClock.now().wall;
        for (stack, shown) in self.shared.certificates.shown(wanted) {
            let certificate = &shown.certificate;
            let Some(warning) = Warning::of(certificate, now) else {
                continue;
            };
            let said = (certificate.serial.clone(), warning);
            if self.told.get(&certificate.names) == Some(&said) {
                continue;
            }
            let issued = self.shared.certificates.issued(&certificate.names);
            let mut data = said_of(&shown);
            data["error"] = json!(issued.and_then(|issued| issued.record.history.last_error));
            let kind = match warning {
                Warning::Expiring => Kind::CertificateExpiring,
                Warning::Expired => Kind::CertificateExpired,
            };
            record(&self.shared, Some(&stack), kind, None, data);
            self.told.insert(certificate.names.clone(), said);
        }
    }
}

/// Where clients were shown a certificate, and why not elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    seen: BTreeSet<String>,
    unseen: BTreeMap<String, String>,
}

/// Why there is no new certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failed {
    why: String,
    hint: String,
}

/// Returns the directory of the authority.
fn directory(acme: &Acme) -> &str {
    acme.directory.as_deref().unwrap_or(LETS_ENCRYPT)
}

/// Returns the authority, and what is wanted of it.
fn wish(names: &Names, acme: &Acme) -> Result<(Authority, Wish), AcmeError> {
    let root = acme.root.as_deref();
    let authority = Authority::new(directory(acme), root)?;
    let rehearse_at = match acme.staging_first {
        true => Some(stage(acme)?),
        false => None,
    };
    let wish = Wish {
        names: names.clone(),
        challenge: match acme.challenge {
            tend_core::model::Challenge::Http01 => Challenge::Http01,
            tend_core::model::Challenge::TlsAlpn01 => Challenge::TlsAlpn01,
        },
        email: acme.email.clone(),
        patience: Patience::default(),
        rehearse_at,
    };
    Ok((authority, wish))
}

/// Returns where it is tried out whether a certificate would be issued, and how far that goes.
fn stage(acme: &Acme) -> Result<(Authority, Rehearsal), AcmeError> {
    let root = acme.root.as_deref();
    match staging_of(directory(acme)) {
        Some(staging) => Ok((Authority::new(staging, root)?, Rehearsal::Issue)),
        // At the authority itself, but nothing is issued.
        None => Ok((Authority::new(directory(acme), root)?, Rehearsal::Proof)),
    }
}

fn in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::First => "there was none",
        Reason::Names => "the one before was not for all names",
        Reason::Old => "two thirds of the life of the one before were over",
        Reason::Person => "somebody asked for it",
        Reason::UnderWay => "an order was under way",
    }
}

fn said_of(shown: &Shown) -> Value {
    let certificate = &shown.certificate;
    json!({
        "names": certificate.names,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "not_after": certificate.not_after,
    })
}

fn later(at: Wall, by: Duration) -> Wall {
    Wall(at.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
}

fn record(shared: &Shared, stack: Option<&StackName>, kind: Kind, by: Option<&Principal>, data: Value) {
    let daemon = || Principal::Daemon {
        pid: std::process::id(),
        build: shared.build.clone(),
    };
    let mut entry = Entry::new(by.cloned().unwrap_or_else(daemon), kind).with(data);
    if let Some(stack) = stack {
        entry = entry.on(Subject::from(stack.clone()));
    }
    shared.store.record(vec![entry]);
}
