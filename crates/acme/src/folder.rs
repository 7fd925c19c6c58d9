//! What is kept between tries: accounts, orders under way, certificates with their keys, and what was tried when.
//!
//! ```text
//! FOLDER/                     0700
//!   pay.example.com-0123456789abcdef.89ab….chain.pem    a certificate, named by hosts and content: a swap is a new path
//!   pay.example.com-0123456789abcdef.89ab….key.pem      its key, 0600
//!   records/ID.json           which of them is in use, and the tries
//!   orders/ID.json            the order under way, with the key it is for
//!   accounts/ID.json          the account with an authority, with its key
//! ```
//! A certificate is kept when its record names it: files that no record names are left over from a kill, and removed.
//!
//! Knows nothing of the protocol.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tend_base::{Exposed, Secret, Wall, fnv64, to_hex, write_atomically};
use tend_certificate::{Certificate, CertificateError, History, Names};

use crate::AcmeError;

/// The format of all files here. Raised only when an older program would misread them.
const FORMAT: u32 = 1;

const RECORDS: &str = "records";
const ORDERS: &str = "orders";
const ACCOUNTS: &str = "accounts";

/// A folder of certificates. One program writes to it at a time.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// The two files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFiles {
    /// Name of the file with the chain.
    pub chain: String,
    /// Name of the file with the key.
    pub key: String,
}

/// What is known of the certificates for one set of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// The hosts.
    pub names: Names,
    /// The directory of the authority that issued what is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// What is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<KeptFiles>,
    /// What was in use before: an edge that is a moment behind still reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<KeptFiles>,
    /// The tries.
    #[serde(default)]
    pub history: History,
}

impl Record {
    /// Returns the record of hosts for which nothing was tried yet.
    #[must_use]
    pub fn new(names: Names) -> Self {
        Self {
            format: FORMAT,
            names,
            authority: None,
            current: None,
            previous: None,
            history: History::default(),
        }
    }
}

/// An order under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptOrder {
    format: u32,
    pub(crate) names: Names,
    /// The directory of the authority.
    pub(crate) authority: String,
    /// The account it was made with.
    pub(crate) account: String,
    /// Where the authority has it.
    pub(crate) url: String,
    /// The key the certificate will be for, PEM.
    pub(crate) key: Exposed,
    /// When the try began that made it.
    pub(crate) made_at: Wall,
}

impl KeptOrder {
    pub(crate) fn new(names: Names, authority: &str, account: &str, url: &str, key: Secret, made_at: Wall) -> Self {
        Self {
            format: FORMAT,
            names,
            authority: authority.to_owned(),
            account: account.to_owned(),
            url: url.to_owned(),
            key: Exposed(key),
            made_at,
        }
    }
}

/// An account with an authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptAccount {
    format: u32,
    /// The directory of the authority.
    pub(crate) authority: String,
    /// Its key, PEM. It is written before the authority hears of it.
    pub(crate) key: Exposed,
    /// What the authority calls it; none until it said so.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// The address that was given with it.
    #[serde(default)]
    pub(crate) email: Option<String>,
}

impl KeptAccount {
    pub(crate) fn new(authority: &str, key: Secret) -> Self {
        Self {
            format: FORMAT,
            authority: authority.to_owned(),
            key: Exposed(key),
            id: None,
            email: None,
        }
    }
}

impl Folder {
    /// Opens the folder, making it where it is not there, and removes what a kill left over.
    ///
    /// # Errors
    /// When it cannot be made, read or written.
    pub fn open(path: &Path) -> Result<Self, AcmeError> {
        let folder = Self(path.to_owned());
        for name in ["", RECORDS, ORDERS, ACCOUNTS] {
            let path = folder.0.join(name);
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o700)))
                .map_err(|source| AcmeError::Write { path, source })?;
        }
        folder.sweep()?;
        Ok(folder)
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns where the two files of a certificate are: chain and key.
    #[must_use]
    pub fn paths(&self, files: &KeptFiles) -> (PathBuf, PathBuf) {
        (self.0.join(&files.chain), self.0.join(&files.key))
    }

    /// Returns what is known of the certificates for these hosts.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn record(&self, names: &Names) -> Result<Record, AcmeError> {
        let kept = read(&self.in_folder(RECORDS, &names.id()))?;
        Ok(kept.unwrap_or_else(|| Record::new(names.clone())))
    }

    /// Returns all records, by their hosts.
    ///
    /// # Errors
    /// When the folder or a record cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, AcmeError> {
        let mut records = Vec::new();
        for path in self.list(RECORDS)? {
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(read::<Record>(&path)?);
            }
        }
        records.sort_by(|one, other| one.names.cmp(&other.names));
        Ok(records)
    }

    /// Writes down what is known of the certificates for some hosts.
    ///
    /// # Errors
    /// When it cannot be written; the old record stands then.
    pub fn write_record(&self, record: &Record) -> Result<(), AcmeError> {
        write(&self.in_folder(RECORDS, &record.names.id()), record)
    }

    /// Forgets hosts that nobody wants a certificate for any more, with their certificates and keys.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn forget(&self, names: &Names) -> Result<(), AcmeError> {
        remove(&self.in_folder(RECORDS, &names.id()))?;
        remove(&self.in_folder(ORDERS, &names.id()))?;
        self.sweep()
    }

    /// Reads the certificate in use, checked as it would be served; none when there is none.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn certificate(&self, record: &Record) -> Result<Option<Result<Certificate, CertificateError>>, AcmeError> {
        let Some(files) = &record.current else {
            return Ok(None);
        };
        let (chain, key) = self.paths(files);
        let bytes = |path: &Path| {
            fs::read(path).map_err(|source| AcmeError::Read {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Some(Certificate::read(&bytes(&chain)?, &bytes(&key)?)))
    }

    /// Writes the two files of a certificate; it is kept once a record names them.
    pub(crate) fn write_certificate(&self, names: &Names, chain: &str, key: &Secret) -> Result<KeptFiles, AcmeError> {
        let hash = digest(&SHA256, chain.as_bytes());
        let hash = to_hex(&hash.as_ref()[..8]);
        let files = KeptFiles {
            chain: format!("{}.{hash}.chain.pem", names.id()),
            key: format!("{}.{hash}.key.pem", names.id()),
        };
        for (name, content) in [(&files.chain, chain), (&files.key, key.expose())] {
            let path = self.0.join(name);
            write_atomically(&path, content.as_bytes(), 0o600).map_err(|source| AcmeError::Write { path, source })?;
        }
        Ok(files)
    }

    /// Returns whether there is an order for these hosts with this authority that can be gone on with.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn is_under_way(&self, record: &Record, authority: &str) -> Result<bool, AcmeError> {
        let order = self.order(&record.names.id())?;
        Ok(order.is_some_and(|order| is_of(&order, record, authority)))
    }

    pub(crate) fn order(&self, id: &str) -> Result<Option<KeptOrder>, AcmeError> {
        read(&self.in_folder(ORDERS, id))
    }

    pub(crate) fn write_order(&self, id: &str, order: &KeptOrder) -> Result<(), AcmeError> {
        write(&self.in_folder(ORDERS, id), order)
    }

    pub(crate) fn remove_order(&self, id: &str) -> Result<(), AcmeError> {
        remove(&self.in_folder(ORDERS, id))
    }

    pub(crate) fn account(&self, authority: &str) -> Result<Option<KeptAccount>, AcmeError> {
        let kept: Option<KeptAccount> = read(&self.account_file(authority))?;
        Ok(kept.filter(|kept| kept.authority == authority))
    }

    pub(crate) fn write_account(&self, account: &KeptAccount) -> Result<(), AcmeError> {
        write(&self.account_file(&account.authority), account)
    }

    pub(crate) fn remove_account(&self, authority: &str) -> Result<(), AcmeError> {
        remove(&self.account_file(authority))
    }

    fn account_file(&self, authority: &str) -> PathBuf {
        self.in_folder(ACCOUNTS, &format!("{:016x}", fnv64(authority.as_bytes())))
    }

    fn in_folder(&self, folder: &str, id: &str) -> PathBuf {
        self.0.join(folder).join(format!("{id}.json"))
    }

    fn list(&self, folder: &str) -> Result<Vec<PathBuf>, AcmeError> {
        let path = self.0.join(folder);
        let entries = fs::read_dir(&path).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect());
        entries.map_err(|source| AcmeError::Read { path, source })
    }

    /// Removes the files that no record names.
    pub(crate) fn sweep(&self) -> Result<(), AcmeError> {
        let records = self.records()?;
        let named: Vec<&str> = records
            .iter()
            .flat_map(|record| [&record.current, &record.previous])
            .flatten()
            .flat_map(|files| [files.chain.as_str(), files.key.as_str()])
            .collect();
        for path in self.list("")? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(".pem") && !named.contains(&name) {
                remove(&path)?;
            }
        }
        // What was being written when it was killed; nobody else writes here.
        for folder in ["", RECORDS, ORDERS, ACCOUNTS] {
            for path in self.list(folder)? {
                if path.extension().is_some_and(|extension| extension == "tmp") {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// Returns whether an order is for what a record wants, and no certificate came after it.
pub(crate) fn is_of(order: &KeptOrder, record: &Record, authority: &str) -> bool {
    let issued = |t: &tend_certificate::Try| t.outcome == tend_certificate::Outcome::Issued && t.at >= order.made_at;
    order.names == record.names && order.authority == authority && !record.history.tries.iter().any(issued)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, AcmeError> {
    let path_of = || path.to_owned();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(AcmeError::Read {
                path: path_of(),
                source,
            });
        }
    };
    let value = serde_json::from_slice(&bytes).map_err(|source| AcmeError::Format {
        path: path_of(),
        source,
    })?;
    Ok(Some(value))
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), AcmeError> {
    let failed = |source| AcmeError::Write {
        path: path.to_owned(),
        source,
    };
    let json = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
    write_atomically(path, &json, 0o600).map_err(failed)
}

fn remove(path: &Path) -> Result<(), AcmeError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(AcmeError::Write {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
