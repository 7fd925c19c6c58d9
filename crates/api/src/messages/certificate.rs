//! Certificates: which there are, and until when.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tend_base::Wall;
use tend_core::model::StackName;

/// All certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateList {
    /// Those in files first, then by their hosts.
    pub certificates: Vec<CertificateStatus>,
}

/// One certificate, or the lack of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The hosts it is for; `*.example.com` for one label.
    pub names: Vec<String>,
    /// The stack that wants it; none when no stack does at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackName>,
    /// Where it comes from.
    pub source: CertificateSource,
    /// Whether clients take it.
    pub state: CertificateState,
    /// Directory of the authority it is got from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The files it is given in: chain and key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// Who issued it, as people call them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Its number among those of its issuer, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// It is not valid before, in milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Wall>,
    /// It is not valid after, in milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Wall>,
    /// Whole days until then; negative once it has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_left: Option<i64>,
    /// Another is asked for from then on, in milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<Wall>,
    /// Tries in a row that brought none.
    #[serde(default)]
    pub failures: u32,
    /// Why the last try brought none, or why the files cannot be served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateSource {
    /// Tend gets and renews it.
    Acme,
    /// Somebody else puts it into files.
    Files,
}

impl CertificateSource {
    /// Returns the word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CertificateSource::Acme => "acme",
            CertificateSource::Files => "files",
        }
    }
}

/// Whether clients take a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    /// They do.
    Valid,
    /// They do, but soon not any more, and it should have been replaced by now.
    Expiring,
    /// They do not.
    Expired,
    /// There is none.
    Missing,
}

impl CertificateState {
    /// Returns the word itself.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CertificateState::Valid => "valid",
            CertificateState::Expiring => "expiring",
            CertificateState::Expired => "expired",
            CertificateState::Missing => "missing",
        }
    }
}
