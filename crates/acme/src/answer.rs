//! What the authority is shown so that it sees a host is ours. Makes the answers; does not know who serves them.

use std::fmt;
use std::future::Future;

use instant_acme::ChallengeType;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tend_base::Secret;

use crate::AcmeError;

/// How the authority looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// It asks port 80 for a text (RFC 8555, 8.3).
    Http01,
    /// It asks port 443 for a certificate of our making, by the protocol name `acme-tls/1` (RFC 8737).
    TlsAlpn01,
}

impl Challenge {
    pub(crate) fn protocol_type(self) -> ChallengeType {
        match self {
            Self::Http01 => ChallengeType::Http01,
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        })
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `GET http://HOST/.well-known/acme-challenge/TOKEN` is answered by 200 and this text. It is no secret.
    Http01 {
        /// The host.
        host: String,
        /// The last part of the path.
        token: String,
        /// The whole body.
        answer: String,
    },
    /// A TLS connection for this name that offers `acme-tls/1`, and nothing else, is shown this certificate.
    TlsAlpn01 {
        /// The host.
        name: String,
        /// The certificate, PEM.
        chain: String,
        /// Its key, PEM.
        key: Secret,
    },
}

impl Answer {
    /// Makes the certificate that answers for a host: self-signed, with the digest of the key authorization in a critical extension.
    pub(crate) fn tls_alpn01(name: &str, digest: &[u8]) -> Result<Self, AcmeError> {
        let make = |source| AcmeError::Make {
            what: "certificate for the challenge",
            source,
        };
        let key = KeyPair::generate().map_err(make)?;
        let mut params = CertificateParams::new([name.to_owned()]).map_err(make)?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let certificate = params.self_signed(&key).map_err(make)?;
        Ok(Self::TlsAlpn01 {
            name: name.to_owned(),
            chain: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
        })
    }
}

/// Who makes answers reachable: in the daemon the routing snapshot, in tests a small server.
pub trait Answers: Sync {
    /// Makes these answers reachable in place of those shown before, and returns once a client would get them; none takes all away.
    ///
    /// Idempotent: after a kill the same or other answers are shown again, whatever was reachable before.
    ///
    /// # Errors
    /// Why they are not reachable, for a person.
    fn show(&self, answers: Vec<Answer>) -> impl Future<Output = Result<(), String>> + Send;
}
