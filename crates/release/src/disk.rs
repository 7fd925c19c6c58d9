//! How much room a disk has. Knows not how much is enough.

use std::path::Path;

use crate::error::Error;

/// Returns how many bytes this user may still write to the file system that holds `path`, which need not be there yet.
///
/// # Errors
/// [`Error::File`] when the file system does not say.
pub fn free_bytes(path: &Path) -> Result<u64, Error> {
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(path);
    let stat =
        rustix::fs::statvfs(there).map_err(|errno| Error::file("ask for the free space of", there)(errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_counts_as_the_one_it_will_be_in() {
        let folder = std::env::temp_dir();
        assert!(free_bytes(&folder.join("no/such/folder")).unwrap() > 0);
    }
}
