//! What looking through stored files for secrets found. No message here has room for a value.

use serde::{Deserialize, Serialize};

/// One line of the answer: any number of the first two, and one of the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditLine {
    /// How far it is.
    Progress(AuditProgress),
    /// Something was found.
    Finding(AuditFinding),
    /// All was looked through.
    Finished(AuditReport),
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditProgress {
    /// Files looked through.
    pub files: u64,
    /// Files known so far; those that appear meanwhile are added.
    pub files_all: u64,
    /// Bytes looked through.
    pub bytes: u64,
    /// Bytes known so far.
    pub bytes_all: u64,
}

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditClass {
    /// A value that is known to be secret.
    Known,
    /// It looks like a secret by what stands around it; also what a newer daemon may tell.
    #[serde(other)]
    LooksLike,
}

/// Where something stands that should not be there. Never the thing itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFinding {
    /// The file.
    pub file: String,
    /// What of the database it is, such as `stack mps` or `event 12`; then line and offset count within that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// The line, from 1; of a file that has lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// How many bytes come before it; of a compressed file once it is unpacked.
    pub offset: u64,
    /// What kind of thing it is.
    pub class: AuditClass,
    /// Which secret, as `STACK/NAME@VERSION` or `STACK/VARIABLE`; or `credential`, `card number`, `private key`.
    pub what: String,
    /// As what it is written: `plain`, `base64`, `hexadecimal`, `url`, `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
}

/// What was looked through, and whether it is clean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// No known value was found, and everything could be read.
    pub clean: bool,
    /// Files looked through.
    pub files: u64,
    /// Bytes looked through.
    pub bytes: u64,
    /// Rows of the journal and the state looked through beside their pages.
    pub rows: u64,
    /// Values looked for.
    pub values: u64,
    /// Texts looked for: these values in all their forms.
    pub forms: u64,
    /// Places where a known value stands, also those that are not listed.
    pub known: u64,
    /// Places that look like a secret, also those that are not listed.
    pub looks_like: u64,
    /// Places that are counted and not listed: there were many in one file.
    pub not_listed: u64,
    /// What could not be read, each with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// Secrets whose value is too short to be looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub too_short: Vec<String>,
    /// What was not looked at, each with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}
