//! Reading a file on somebody's behalf. Knows neither why nor for whom beyond his number.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Reads a whole file of at most `bytes_max` bytes.
///
/// Where an owner is named, what belongs to anybody else is not read: a program of root that reads what a file of some user names would
/// otherwise read for him what he may not.
///
/// # Errors
/// When it is not there, is no regular file, is larger, or belongs to somebody else.
pub fn read_owned(path: &Path, owner: Option<u32>, bytes_max: u64) -> io::Result<Vec<u8>> {
    // A FIFO without a writer would hold up whoever opens it.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let mut file: File = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if let Some(owner) = owner.filter(|owner| *owner != about.uid()) {
        let whose = about.uid();
        return Err(io::Error::other(format!(
            "it belongs to user {whose}, and has to belong to user {owner}"
        )));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::read_owned;

    #[test]
    fn what_is_not_his_and_what_is_too_much_is_not_read() {
        let folder = std::env::temp_dir().join(format!("tend-owned-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        std::fs::write(&path, "four").unwrap();
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(read_owned(&path, Some(uid), 4).unwrap(), b"four");
        assert_eq!(read_owned(&path, None, 4).unwrap(), b"four");
        assert!(
            read_owned(&path, None, 3)
                .unwrap_err()
                .to_string()
                .contains("more than 3")
        );
        let refused = read_owned(&path, Some(uid + 1), 4).unwrap_err();
        assert!(refused.to_string().contains("has to belong to"), "{refused}");
        assert!(read_owned(&folder, None, 4).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
