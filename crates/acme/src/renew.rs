//! One try to get a certificate, from what is kept to what is kept. When to try is not decided here.

use instant_acme::Account;
use tend_base::{Clock, Wall};
use tend_certificate::{Certificate, Names, Outcome};

use crate::account::{account, is_gone};
use crate::folder::{KeptOrder, is_of};
use crate::order::{Issued, Ordering};
use crate::{AcmeError, Answers, Authority, Challenge, Folder, Patience, Record, Rehearsal};

/// What is wanted of an authority.
#[derive(Clone, Debug)]
pub struct Wish {
    /// A certificate for these hosts.
    pub names: Names,
    /// Proven in this way.
    pub challenge: Challenge,
    /// With an account that has this address.
    pub email: Option<String>,
    /// Waiting no longer than this.
    pub patience: Patience,
    /// Only when it would be issued here, tried out first and so far.
    pub rehearse_at: Option<(Authority, Rehearsal)>,
}

/// What the file of a rehearsal's order is called beside the real one.
const REHEARSAL_SUFFIX: &str = ".rehearsal";

/// How often an order is gone on with in one try after the authority refused a request for its number alone.
const NONCE_TRIES: u32 = 6;

/// Tries to get a certificate, and keeps it. A try that was killed is gone on with.
///
/// Not to be called twice at a time for one folder. May be dropped at any moment: what that leaves is what a kill leaves.
///
/// # Errors
/// When there is no new certificate; what was kept before stands, and the record says why.
pub async fn renew<A: Answers>(
    authority: &Authority,
    folder: &Folder,
    wish: &Wish,
    answers: &A,
    clock: &(impl Clock + Sync),
) -> Result<(Record, Certificate), AcmeError> {
    let id = wish.names.id();
    let mut record = folder.record(&wish.names)?;
    let kept = folder.order(&id)?;
    let usable = kept.filter(|kept| is_of(kept, &record, authority.directory()));
    let begun = record
        .history
        .tries
        .last()
        .filter(|last| last.outcome == Outcome::Begun);
    if usable.is_none() || begun.is_none() {
        // Before anybody is asked: a daemon that is killed over and over must not pass the bounds.
        record.history.begin(clock.now().wall);
        folder.write_record(&record)?;
    }
    let made_at = record.history.tries.last().map_or(clock.now().wall, |last| last.at);
    let errand = Errand {
        authority,
        folder,
        wish,
        answers,
        id: &id,
        made_at,
        rehearsal: None,
    };
    let rehearsed = match &wish.rehearse_at {
        // An order that is gone on with was rehearsed before it was made.
        Some((stage, rehearsal)) if usable.is_none() => {
            let tried = rehearse(stage, folder, wish, answers, *rehearsal, clock).await;
            tried.map(drop).map_err(|source| AcmeError::Rehearsal {
                authority: stage.directory().to_owned(),
                source: Box::new(source),
            })
        }
        _ => Ok(()),
    };
    let tried = match rehearsed {
        Ok(()) => errand.obtain_in_tries(usable).await,
        Err(error) => Err(Unfinished::Failed(error)),
    };
    let tried = match tried {
        Ok((issued, certificate)) => keep(folder, &record, authority, &issued).map(|renewed| (renewed, certificate)),
        Err(Unfinished::Rehearsed) => unreachable!("only a rehearsal ends without a certificate"),
        Err(Unfinished::Failed(error)) => Err(error),
    };
    // The edge takes answers away with the next snapshot in any case; that it could not be told now changes nothing.
    let _ = answers.show(Vec::new()).await;
    match tried {
        Ok(renewed) => {
            // It is kept. What cannot be removed now is not gone on with, and removed when the folder is opened again.
            let _ = folder.remove_order(&id);
            let _ = folder.sweep();
            Ok(renewed)
        }
        Err(error) => {
            record.history.failed(error.with_causes(), error.not_before());
            folder.write_record(&record)?;
            if !error.is_transient() {
                folder.remove_order(&id)?;
            }
            Err(error)
        }
    }
}

/// Goes the same way without keeping anything: whether a renewal would succeed. What was tried before does not change.
///
/// # Errors
/// Why a renewal would fail.
pub async fn rehearse<A: Answers>(
    authority: &Authority,
    folder: &Folder,
    wish: &Wish,
    answers: &A,
    rehearsal: Rehearsal,
    clock: &(impl Clock + Sync),
) -> Result<Option<Certificate>, AcmeError> {
    let id = format!("{}{REHEARSAL_SUFFIX}", wish.names.id());
    let made_at = clock.now().wall;
    let errand = Errand {
        authority,
        folder,
        wish,
        answers,
        id: &id,
        made_at,
        rehearsal: Some(rehearsal),
    };
    let tried = errand.obtain_in_tries(None).await;
    let _ = answers.show(Vec::new()).await;
    folder.remove_order(&id)?;
    match tried {
        Ok((_, certificate)) => Ok(Some(certificate)),
        Err(Unfinished::Rehearsed) => Ok(None),
        Err(Unfinished::Failed(error)) => Err(error),
    }
}

/// Writes down what was issued, and with that keeps it.
fn keep(folder: &Folder, record: &Record, authority: &Authority, issued: &Issued) -> Result<Record, AcmeError> {
    let files = folder.write_certificate(&record.names, &issued.chain, &issued.key)?;
    let mut renewed = record.clone();
    if renewed.current.as_ref() != Some(&files) {
        renewed.previous = renewed.current.replace(files);
    }
    renewed.authority = Some(authority.directory().to_owned());
    renewed.history.issued();
    folder.write_record(&renewed)?;
    Ok(renewed)
}

/// Why there is no certificate.
enum Unfinished {
    /// It was a rehearsal, and it went as far as it should.
    Rehearsed,
    /// It failed.
    Failed(AcmeError),
}

impl From<AcmeError> for Unfinished {
    fn from(error: AcmeError) -> Self {
        Self::Failed(error)
    }
}

/// A certificate to be obtained.
struct Errand<'a, A> {
    authority: &'a Authority,
    folder: &'a Folder,
    wish: &'a Wish,
    answers: &'a A,
    /// What the file of its order is called.
    id: &'a str,
    /// When the try began.
    made_at: Wall,
    rehearsal: Option<Rehearsal>,
}

impl<A: Answers> Errand<'_, A> {
    /// Obtains a certificate, going on where the authority did not take the numbers it gave out itself.
    ///
    /// The library sends such a request three times; an authority of many machines may refuse more in a row.
    async fn obtain_in_tries(&self, mut kept: Option<KeptOrder>) -> Result<(Issued, Certificate), Unfinished> {
        for _ in 1..NONCE_TRIES {
            match self.obtain(kept.take()).await {
                Err(Unfinished::Failed(AcmeError::Refused { kind, .. })) if kind == "badNonce" => {
                    kept = self.folder.order(self.id)?;
                }
                other => return other,
            }
        }
        self.obtain(kept).await
    }

    /// Goes from wherever it stands to a certificate that can be served.
    async fn obtain(&self, kept: Option<KeptOrder>) -> Result<(Issued, Certificate), Unfinished> {
        let wish = self.wish;
        if let Some(name) = wish.names.iter().find(|name| name.starts_with("*.")) {
            return Err(Unfinished::Failed(AcmeError::Wildcard {
                name: name.to_owned(),
                challenge: wish.challenge,
            }));
        }
        let mut me = self.account().await;
        if me.as_ref().err().is_some_and(is_gone) {
            self.folder.remove_account(self.authority.directory())?;
            me = self.account().await;
        }
        let mut me = me?;
        let mut begun = self.ordering(&me).begin(self.folder, self.id, kept, self.made_at).await;
        if begun.as_ref().err().is_some_and(is_gone) {
            self.folder.remove_account(self.authority.directory())?;
            me = self.account().await?;
            begun = self.ordering(&me).begin(self.folder, self.id, None, self.made_at).await;
        }
        let (mut order, kept) = begun?;
        let ordering = self.ordering(&me);
        ordering.prove(&mut order).await?;
        if self.rehearsal == Some(Rehearsal::Proof) {
            return Err(Unfinished::Rehearsed);
        }
        let issued = ordering.issue(&mut order, &kept.key).await?;
        let certificate = Certificate::read(issued.chain.as_bytes(), issued.key.expose().as_bytes())
            .map_err(|source| AcmeError::Unusable { source })?;
        if !certificate.names.cover(&wish.names) {
            return Err(Unfinished::Failed(AcmeError::OtherNames {
                issued: certificate.names.to_string(),
                wanted: wish.names.to_string(),
            }));
        }
        Ok((issued, certificate))
    }

    async fn account(&self) -> Result<Account, AcmeError> {
        account(self.authority, self.folder, self.wish.email.as_deref()).await
    }

    fn ordering<'b>(&'b self, account: &'b Account) -> Ordering<'b, A> {
        Ordering {
            authority: self.authority,
            account,
            names: &self.wish.names,
            challenge: self.wish.challenge,
            patience: self.wish.patience,
            answers: self.answers,
        }
    }
}
