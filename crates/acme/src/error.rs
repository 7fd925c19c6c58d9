//! What can go wrong with an authority and with what is kept, for a person. Knows no journal and no exit codes.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tend_base::{Wall, format_duration};
use tend_certificate::CertificateError;

use crate::Challenge;

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// A file of ours could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of ours could not be written.
    #[error("could not write `{path}`")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of ours holds something else than it should.
    #[error("`{path}` does not hold what tend wrote there")]
    Format {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// No authority that signs the connection's certificates is known.
    #[error("no root certificates were found on this machine")]
    NoRoots,
    /// The file of root certificates cannot be used.
    #[error("the root certificates in `{path}` cannot be used")]
    Roots {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A name for which this challenge cannot be had.
    #[error("{name} cannot be proven by {challenge}: the authority proves wildcards by DNS alone")]
    Wildcard {
        /// The name.
        name: String,
        /// The challenge.
        challenge: Challenge,
    },
    /// The address of the authority cannot be used.
    #[error("`{url}` is no address of an authority: https://HOST/PATH is wanted")]
    Address {
        /// What was given.
        url: String,
    },
    /// The authority was not reached.
    #[error("the authority at {host} was not reached")]
    Unreachable {
        /// Its host and port.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The authority did not answer in time.
    #[error("the authority at {host} did not answer within {}", format_duration(*within))]
    Silent {
        /// Its host and port.
        host: String,
        /// So long was waited.
        within: Duration,
    },
    /// The connection broke.
    #[error("the connection to the authority at {host} broke")]
    Broken {
        /// Its host and port.
        host: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something that does not speak ACME answered.
    #[error("{host} answered {status} with something that is not ACME")]
    NotAcme {
        /// Its host and port.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// The authority refused.
    #[error("the authority refused {what}: {detail}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// In its own words.
        detail: String,
        /// The type of the problem without its prefix, such as `rateLimited`; empty when it gave none.
        kind: String,
        /// It said not to come back before this.
        not_before: Option<Wall>,
    },
    /// The authority could not see that a host is ours.
    #[error("the authority could not see by {challenge} that {name} is served here: {detail}")]
    Unproven {
        /// The host.
        name: String,
        /// How it looked.
        challenge: Challenge,
        /// In its own words.
        detail: String,
        /// The type of the problem without its prefix, such as `dns` or `connection`.
        kind: String,
    },
    /// The authority does not offer this way to prove a host.
    #[error("the authority does not offer {challenge} for {name}")]
    NotOffered {
        /// The host.
        name: String,
        /// What was wanted.
        challenge: Challenge,
    },
    /// The answers to challenges could not be made reachable.
    #[error("the answers for the authority are not reachable: {why}")]
    Answers {
        /// Why, for a person.
        why: String,
    },
    /// The authority was still at work when the time was over.
    #[error("the authority had not finished {what} within {}", format_duration(*within))]
    Unfinished {
        /// What was waited for.
        what: &'static str,
        /// So long.
        within: Duration,
    },
    /// What was tried first, where it costs nothing, failed.
    #[error("the rehearsal at {authority} failed")]
    Rehearsal {
        /// The directory where it was tried.
        authority: String,
        /// Why.
        source: Box<AcmeError>,
    },
    /// The authority ended the order without saying why.
    #[error("the authority ended the order without a reason")]
    Ended,
    /// Something about the protocol that is nobody's fault here.
    #[error("the authority's answer to {what} could not be used")]
    Protocol {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A key or a request for a certificate could not be made.
    #[error("a {what} could not be made")]
    Make {
        /// What.
        what: &'static str,
        /// Why.
        source: rcgen::Error,
    },
    /// The authority issued something that cannot be served.
    #[error("the certificate that was issued cannot be served")]
    Unusable {
        /// Why.
        source: CertificateError,
    },
    /// The authority issued a certificate for other hosts.
    #[error("the certificate that was issued is for {issued}, and not for {wanted}")]
    OtherNames {
        /// For these.
        issued: String,
        /// For these it was wanted.
        wanted: String,
    },
}

impl AcmeError {
    /// Returns whether the same order may succeed later, with nothing changed by anybody here.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Broken { .. }
            | Self::NotAcme { .. }
            | Self::Answers { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Unfinished { .. } => true,
            Self::Refused { kind, .. } => {
                matches!(
                    kind.as_str(),
                    "rateLimited" | "serverInternal" | "badNonce" | "orderNotReady"
                )
            }
            Self::Rehearsal { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Returns the moment before which the authority does not want to be asked again.
    #[must_use]
    pub fn not_before(&self) -> Option<Wall> {
        match self {
            Self::Refused { not_before, .. } => *not_before,
            Self::Rehearsal { source, .. } => source.not_before(),
            _ => None,
        }
    }

    /// Returns the error and all its causes as one sentence.
    #[must_use]
    pub fn with_causes(&self) -> String {
        tend_base::without_os_numbers(&tend_base::with_causes(self))
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Write { .. } => "look at the owner, the mode and the free space of that folder",
            Self::Format { .. } => "move the file away: what was in it is made anew, the certificate with it",
            Self::NoRoots => "install the package `ca-certificates`, or name a file under `acme: root:`",
            Self::Roots { .. } => "the file must be readable and hold certificates as PEM",
            Self::Wildcard { .. } => {
                "name each host, or have the certificate made elsewhere and name its files under `certificates:`"
            }
            Self::Address { .. } => "give the directory of the authority under `acme: directory:`",
            Self::Unreachable { .. } | Self::Silent { .. } => {
                "can this machine reach it? `curl -v` the directory shows what is in the way"
            }
            Self::Broken { .. } => {
                "a proxy in between, or an authority whose root is not known here? name it under `acme: root:`"
            }
            Self::NotAcme { .. } => "is the directory right? a proxy in between may answer in its place",
            Self::Refused { kind, .. } => match kind.as_str() {
                "rateLimited" => "nothing to do: it is asked again when it allows it, and what is kept is served on",
                "rejectedIdentifier" | "malformed" => {
                    "the authority does not issue for this name; is it written right, and public?"
                }
                "caa" => "a CAA record in DNS forbids this authority; change it, or ask the authority it names",
                "invalidContact" | "unsupportedContact" => "correct `acme: email:`",
                "userActionRequired" | "externalAccountRequired" => {
                    "the authority wants something from the owner of the account; see its web site"
                }
                _ => "the authority's own words say what it wants; `tend cert renew` tries again",
            },
            Self::Unproven { kind, challenge, .. } => match (kind.as_str(), challenge) {
                ("dns", _) => "does the name have an A or AAAA record, and does it lead here?",
                ("caa", _) => "a CAA record in DNS forbids this authority; change it, or ask the authority it names",
                ("connection" | "timeout", Challenge::Http01) => {
                    "port 80 of the address in DNS must reach a listener of this edge from everywhere"
                }
                ("connection" | "timeout", Challenge::TlsAlpn01) => {
                    "port 443 of the address in DNS must reach a listener of this edge from everywhere"
                }
                _ => "something else than this edge answers at that address; do all A and AAAA records lead here?",
            },
            Self::NotOffered { .. } => "choose the other under `acme: challenge:`",
            Self::Answers { .. } => "is the edge running? `tend info` says",
            Self::Unfinished { .. } => "nothing to do: it goes on with the same order later",
            Self::Rehearsal { source, .. } => source.hint(),
            Self::Ended | Self::Protocol { .. } => "it is tried again later; if it stays so, ask the authority",
            Self::Make { .. } => "are the names host names? write names in other scripts as xn--",
            Self::Unusable { source } => source.hint(),
            Self::OtherNames { .. } => "ask the authority why; what is kept is served on",
        }
    }
}
