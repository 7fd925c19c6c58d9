//! The first fill of a path: writes what is not there, and never touches what is.

use std::collections::{BTreeMap, BTreeSet};

use tend_base::Secret;

use crate::{Client, KvPath, Reading, Trouble, VaultError, Version};

/// What a path had of the fields that it was to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// These were there already, whatever their values are.
    pub there: BTreeSet<String>,
    /// These were not.
    pub missing: BTreeSet<String>,
    /// Its newest version was deleted or destroyed: somebody meant that, so nothing is written there.
    pub deleted: bool,
    /// What was written; none when nothing had to be, or nothing was to be.
    pub written: Option<Version>,
}

impl Client {
    /// Looks which of these fields a path has; where it is to `write`, writes those that it has not, and reads them back. A field that is
    /// there is never another one afterwards: every write is upon the version that was read.
    ///
    /// # Errors
    /// [`VaultError::Conflict`] when somebody else wrote there meanwhile; when the token may not, among others.
    pub async fn fill(
        &self,
        token: &Secret,
        path: &KvPath,
        fields: &BTreeMap<String, Secret>,
        write: bool,
    ) -> Result<Filled, VaultError> {
        let mut filled = Filled {
            there: BTreeSet::new(),
            missing: fields.keys().cloned().collect(),
            deleted: false,
            written: None,
        };
        let upon = match self.read(token, path, None).await {
            Ok(Reading::Found { version, fields: known }) => {
                let known: BTreeSet<&str> = known.iter().map(|(name, _)| name).collect();
                (filled.there, filled.missing) = fields.keys().cloned().partition(|name| known.contains(name.as_str()));
                Some(version.number)
            }
            Ok(Reading::Deleted { .. }) => {
                filled.deleted = true;
                return Ok(filled);
            }
            Err(error) if error.trouble() == Trouble::NotThere => None,
            Err(error) => return Err(error),
        };
        if !write || filled.missing.is_empty() {
            return Ok(filled);
        }
        let missing = fields.iter().filter(|(name, _)| filled.missing.contains(*name));
        let missing: BTreeMap<String, Secret> = missing.map(|(name, value)| (name.clone(), value.clone())).collect();
        let written = match upon {
            Some(version) => self.patch(token, path, &missing, version).await?,
            None => self.write(token, path, &missing, 0).await?,
        };
        let same = match self.read(token, path, Some(written.number)).await? {
            Reading::Found { fields: read, .. } => {
                let mut each = missing.iter();
                each.all(|(name, value)| read.text(path, name).is_ok_and(|read| read == value))
            }
            Reading::Deleted { .. } => false,
        };
        if !same {
            return Err(VaultError::Conflict {
                path: path.clone(),
                expected: written.number,
            });
        }
        filled.written = Some(written);
        Ok(filled)
    }
}
