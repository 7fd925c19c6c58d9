//! The steps of one order with the authority, from wherever it is to a certificate.
//!
//! ```text
//! pending ──answers shown, proven──► ready ──our request──► processing ──► valid ──► the certificate
//!    └──────────────► invalid ◄─────────┘ (why: in the challenges)
//! ```
//! Each state is asked of the authority, never assumed: going on with an order is the same as having begun it.

use std::error::Error as StdError;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, Error, Identifier, NewOrder, Order, OrderStatus, Problem,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tend_base::{Secret, Wall};
use tend_certificate::Names;

use crate::folder::KeptOrder;
use crate::{AcmeError, Answer, Answers, Authority, Challenge, Folder};

/// What the types of ACME's problems begin with.
const PROBLEM_PREFIX: &str = "urn:ietf:params:acme:error:";

/// How long the authority is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until the first look whether it is done; later ones come ever more slowly.
    pub first_look: Duration,
    /// Until it has looked at all hosts. Let's Encrypt looks from several places, with time-outs of ten seconds each.
    pub proof: Duration,
    /// From our request to the certificate.
    pub issue: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_look: Duration::from_millis(500),
            proof: Duration::from_secs(120),
            issue: Duration::from_secs(60),
        }
    }
}

/// How far a rehearsal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// Until all hosts are proven: nothing is issued, so nothing counts against a limit on certificates.
    Proof,
    /// To the end; the certificate is looked at and thrown away. For authorities whose certificates nobody trusts.
    Issue,
}

/// What an order is for, and how it is made.
pub(crate) struct Ordering<'a, A> {
    pub(crate) authority: &'a Authority,
    pub(crate) account: &'a Account,
    pub(crate) names: &'a Names,
    pub(crate) challenge: Challenge,
    pub(crate) patience: Patience,
    pub(crate) answers: &'a A,
}

/// A certificate as the authority issued it, with the key it is for.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: Secret,
}

impl<A: Answers> Ordering<'_, A> {
    /// Returns an order that can be gone on with: the kept one, where the authority still has it, else a new one that is kept first.
    pub(crate) async fn begin(
        &self,
        folder: &Folder,
        id: &str,
        kept: Option<KeptOrder>,
        made_at: Wall,
    ) -> Result<(Order, KeptOrder), AcmeError> {
        if let Some(kept) = kept.filter(|kept| kept.account == self.account.id()) {
            match self.account.order(kept.url.clone()).await {
                Ok(mut order) => {
                    if order.state().status != OrderStatus::Invalid {
                        return Ok((order, kept));
                    }
                }
                Err(error) => {
                    let error = self.meant(error, "the order");
                    // Whatever else the authority says of an old order is no reason against a new one.
                    if error.is_transient() {
                        return Err(error);
                    }
                }
            }
        }
        let key = KeyPair::generate().map_err(made("key"))?;
        let identifiers: Vec<Identifier> = self.names.iter().map(|name| Identifier::Dns(name.to_owned())).collect();
        let order = self.account.new_order(&NewOrder::new(&identifiers)).await;
        let order = order.map_err(|error| self.meant(error, "an order"))?;
        let kept = KeptOrder::new(
            self.names.clone(),
            self.authority.directory(),
            self.account.id(),
            order.url(),
            Secret::new(key.serialize_pem()),
            made_at,
        );
        folder.write_order(id, &kept)?;
        Ok((order, kept))
    }

    /// Shows the authority that all hosts are ours, until the order is past that.
    pub(crate) async fn prove(&self, order: &mut Order) -> Result<(), AcmeError> {
        if order.state().status != OrderStatus::Pending {
            return Ok(());
        }
        let shown = self.answers_for(order).await?;
        if !shown.is_empty() {
            self.answers
                .show(shown)
                .await
                .map_err(|why| AcmeError::Answers { why })?;
        }
        self.look_now(order).await?;
        let within = self.patience.proof;
        let polled = order.poll_ready(&policy(self.patience.first_look, within)).await;
        match polled {
            Ok(OrderStatus::Ready) => Ok(()),
            other => {
                // Why stands in the challenges; what the order itself says is less exact.
                if let Some(unproven) = self.unproven(order).await {
                    return Err(unproven);
                }
                Err(match other {
                    Ok(_) => AcmeError::Ended,
                    Err(Error::Timeout(_)) => AcmeError::Unfinished {
                        what: "looking at the hosts",
                        within,
                    },
                    Err(error) => self.meant(error, "the order"),
                })
            }
        }
    }

    /// Returns the answers to all challenges that are open.
    async fn answers_for(&self, order: &mut Order) -> Result<Vec<Answer>, AcmeError> {
        let mut answers = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.meant(error, "an authorization"))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(challenge) = authorization.challenge(self.challenge.protocol_type()) else {
                return Err(AcmeError::NotOffered {
                    name,
                    challenge: self.challenge,
                });
            };
            let authorization = challenge.key_authorization();
            answers.push(match self.challenge {
                Challenge::Http01 => Answer::Http01 {
                    host: name,
                    token: challenge.token.clone(),
                    answer: authorization.as_str().to_owned(),
                },
                Challenge::TlsAlpn01 => Answer::tls_alpn01(&name, authorization.digest().as_ref())?,
            });
        }
        Ok(answers)
    }

    /// Asks the authority to look at all open challenges.
    async fn look_now(&self, order: &mut Order) -> Result<(), AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.meant(error, "an authorization"))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let challenge = authorization.challenge(self.challenge.protocol_type());
            if let Some(mut challenge) = challenge.filter(|challenge| challenge.status == ChallengeStatus::Pending) {
                let asked = challenge.set_ready().await;
                asked.map_err(|error| self.meant(error, "a challenge"))?;
            }
        }
        Ok(())
    }

    /// Returns which host the authority could not see here, where it says so.
    async fn unproven(&self, order: &mut Order) -> Option<AcmeError> {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_err() {
                continue;
            }
            let failed = authorization
                .challenges
                .iter()
                .find_map(|challenge| challenge.error.as_ref());
            if let Some(problem) = failed {
                let (kind, detail) = words(problem);
                return Some(AcmeError::Unproven {
                    name: authorization.identifier().to_string(),
                    challenge: self.challenge,
                    detail,
                    kind,
                });
            }
        }
        None
    }

    /// Asks for the certificate of a proven order, and fetches it.
    pub(crate) async fn issue(&self, order: &mut Order, key: &Secret) -> Result<Issued, AcmeError> {
        let refused = |error| self.meant(error, "the certificate");
        if order.state().status == OrderStatus::Ready {
            let request = request(self.names, key)?;
            order.finalize_csr(&request).await.map_err(refused)?;
        }
        let within = self.patience.issue;
        let chain = match order.poll_certificate(&policy(self.patience.first_look, within)).await {
            Ok(chain) => chain,
            Err(Error::Timeout(_)) => {
                return Err(AcmeError::Unfinished {
                    what: "the certificate",
                    within,
                });
            }
            Err(error) => return Err(refused(error)),
        };
        Ok(Issued {
            chain,
            key: key.clone(),
        })
    }

    fn meant(&self, error: Error, what: &'static str) -> AcmeError {
        meant(error, what, self.authority)
    }
}

/// Returns the request for a certificate of these names, DER.
fn request(names: &Names, key: &Secret) -> Result<Vec<u8>, AcmeError> {
    let failed = made("request for a certificate");
    let key = KeyPair::from_pem(key.expose()).map_err(&failed)?;
    let names: Vec<String> = names.iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names).map_err(&failed)?;
    // Names alone: authorities ignore or refuse everything else.
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key).map_err(&failed)?.der().to_vec())
}

fn policy(first_look: Duration, within: Duration) -> RetryPolicy {
    RetryPolicy::new()
        .initial_delay(first_look)
        .backoff(1.5)
        .timeout(within)
}

pub(crate) fn made(what: &'static str) -> impl Fn(rcgen::Error) -> AcmeError {
    move |source| AcmeError::Make { what, source }
}

/// Returns an error of the library in our words.
pub(crate) fn meant(error: Error, what: &'static str, authority: &Authority) -> AcmeError {
    let not_before = authority.connection.take_put_off();
    match error {
        Error::Api(problem) => {
            let (kind, detail) = words(&problem);
            AcmeError::Refused {
                what,
                detail,
                kind,
                not_before,
            }
        }
        Error::Other(other) => match other.downcast::<AcmeError>() {
            Ok(ours) => *ours,
            Err(source) => AcmeError::Protocol { what, source },
        },
        other => AcmeError::Protocol {
            what,
            source: Box::<dyn StdError + Send + Sync>::from(other),
        },
    }
}

/// Returns the type of a problem without its prefix, and what it says.
fn words(problem: &Problem) -> (String, String) {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix(PROBLEM_PREFIX).unwrap_or(kind).to_owned();
    let mut parts: Vec<String> = problem.detail.clone().into_iter().collect();
    parts.extend(problem.subproblems.iter().filter_map(|sub| sub.detail.clone()));
    if parts.is_empty() {
        parts.push(if kind.is_empty() {
            "it did not say why".to_owned()
        } else {
            kind.clone()
        });
    }
    // It is printed and kept: on one line, and no longer than a person reads.
    let text: String = parts
        .join("; ")
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(600)
        .collect();
    (kind, text)
}
