//! Certificates: where they come from and what is asked of those of clients.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How listeners of a stack speak TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// The oldest version spoken.
    pub version_min: TlsVersion,
    /// Certificates that somebody else renews.
    pub certificates: Vec<CertificateFiles>,
    /// Certificates that tend gets and renews.
    pub acme: Option<Acme>,
    /// Certificates of clients.
    pub clients: Option<ClientCertificates>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// 1.2, RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// 1.3, RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

/// A certificate in files; looked at again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// The certificate and those that lead to a root, in PEM.
    pub chain: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

/// Certificates by ACME (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acme {
    /// Whom the authority writes to.
    pub email: Option<String>,
    /// The authority's directory; Let's Encrypt when absent.
    pub directory: Option<String>,
    /// Get it from the authority's staging server first, and the real one only when that worked.
    pub staging_first: bool,
    /// How control of a name is shown.
    pub challenge: Challenge,
    /// For these names; the hosts of the stack's routes at listeners with TLS when empty.
    pub names: Vec<String>,
    /// The authority's terms were read and agreed to; nothing is asked of it otherwise.
    pub terms_agreed: bool,
    /// Certificates of a private authority's server, in PEM, beside those the system trusts.
    pub root: Option<PathBuf>,
}

/// How control of a name is shown to an authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// A file at port 80 (RFC 8555, 8.3).
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate at port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// What is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificates {
    /// Certificates of the authorities whose clients are let in, in PEM.
    pub roots: PathBuf,
    /// Clients without a certificate are let in too; routes may then refuse them.
    pub optional: bool,
}
