//! Users and groups of the machine: `user[:group]` by name or number, the owner of a file, and whether we may switch.
#![allow(unsafe_code)] // The user database (with NSS behind it) is reached through the C library only.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::ptr;

use crate::error::Error;
use crate::spec::Credentials;

/// A user with all that is needed to run something as them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Numbers.
    pub credentials: Credentials,
    /// Login name, where the number has one.
    pub name: Option<String>,
    /// Home folder, where the number has one.
    pub home: Option<String>,
}

/// Reads `user[:group]`, each by name or by number, as Compose's `user:` and `chown` do.
///
/// A number needs no entry in the user database. Without a group it is the user's own, with their supplementary groups; a
/// number without an entry then has the group of the same number. With a group named, it is the only one.
///
/// # Errors
/// [`Error::UnknownUser`], [`Error::UnknownGroup`], or [`Error::LookUp`] when the database itself fails.
pub fn resolve_user(text: &str) -> Result<User, Error> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let mut found = match user.parse::<u32>() {
        Ok(uid) => user_of_uid(uid)?,
        Err(_) => entry_by_name(user)?.ok_or_else(|| Error::UnknownUser { name: user.to_owned() })?,
    };
    if let Some(group) = group {
        let gid = match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => group_by_name(group)?,
        };
        found.credentials.gid = gid;
        found.credentials.groups = vec![gid];
    }
    Ok(found)
}

/// Returns the user of a number, also of one that has no entry.
///
/// # Errors
/// [`Error::LookUp`] when the user database fails.
pub fn user_of_uid(uid: u32) -> Result<User, Error> {
    let entry = look_up(&uid.to_string(), |entry, buffer, found| {
        // SAFETY: the pointers are to values of `look_up` that outlive the call; the buffer has the length given.
        unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr().cast(), buffer.len(), found) }
    })?;
    Ok(entry.unwrap_or(User {
        credentials: Credentials {
            uid,
            gid: uid,
            groups: vec![uid],
        },
        name: None,
        home: None,
    }))
}

/// Returns the user who owns a file.
///
/// # Errors
/// When there is no such file, or the user database fails.
pub fn owner_of(path: &Path) -> Result<User, Error> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    user_of_uid(metadata.uid())
}

/// Whether this process may run others as any user: it has `CAP_SETUID` and `CAP_SETGID` in force.
#[must_use]
pub fn may_switch_user() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETUID | CapabilitySet::SETGID))
}

fn entry_by_name(name: &str) -> Result<Option<User>, Error> {
    let Ok(c_name) = CString::new(name) else {
        return Ok(None);
    };
    look_up(name, |entry, buffer, found| {
        // SAFETY: as in `user_of_uid`; the name is a C string that outlives the call.
        unsafe { libc::getpwnam_r(c_name.as_ptr(), entry, buffer.as_mut_ptr().cast(), buffer.len(), found) }
    })
}

fn look_up(
    name: &str,
    ask: impl Fn(*mut libc::passwd, &mut [u8], *mut *mut libc::passwd) -> libc::c_int,
) -> Result<Option<User>, Error> {
    with_buffer(name, |buffer| {
        // SAFETY: `passwd` is a plain structure of numbers and pointers, for which all zeroes is a value.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = ptr::null_mut();
        let code = ask(&raw mut entry, buffer, &raw mut found);
        if found.is_null() {
            return (code, None);
        }
        // SAFETY: the call succeeded, so both point to C strings inside `buffer`, which is alive.
        let (login, home) = unsafe { (CStr::from_ptr(entry.pw_name), CStr::from_ptr(entry.pw_dir)) };
        let user = User {
            credentials: Credentials {
                uid: entry.pw_uid,
                gid: entry.pw_gid,
                groups: groups_of(login, entry.pw_gid),
            },
            name: Some(login.to_string_lossy().into_owned()),
            home: Some(home.to_string_lossy().into_owned()),
        };
        (0, Some(user))
    })
}

fn group_by_name(name: &str) -> Result<u32, Error> {
    let unknown = || Error::UnknownGroup { name: name.to_owned() };
    let c_name = CString::new(name).map_err(|_| unknown())?;
    with_buffer(name, |buffer| {
        // SAFETY: `group` is a plain structure of numbers and pointers, for which all zeroes is a value.
        let mut entry: libc::group = unsafe { std::mem::zeroed() };
        let mut found = ptr::null_mut();
        // SAFETY: all pointers are to values that outlive the call; the buffer has the length given.
        let code = unsafe {
            libc::getgrnam_r(
                c_name.as_ptr(),
                &raw mut entry,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut found,
            )
        };
        (code, (!found.is_null()).then_some(entry.gr_gid))
    })?
    .ok_or_else(unknown)
}

/// Calls `ask` with a buffer that grows until it suffices. `ask` returns the call's code and what it found.
fn with_buffer<T>(name: &str, mut ask: impl FnMut(&mut [u8]) -> (libc::c_int, Option<T>)) -> Result<Option<T>, Error> {
    let mut buffer = vec![0u8; 1024];
    loop {
        match ask(&mut buffer) {
            (_, Some(found)) => return Ok(Some(found)),
            (libc::ERANGE, None) if buffer.len() < 1 << 20 => {
                let twice = buffer.len() * 2;
                buffer.resize(twice, 0);
            }
            // What getpwnam(3) lists for «not found».
            (0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, None) => return Ok(None),
            (code, None) => {
                return Err(Error::LookUp {
                    name: name.to_owned(),
                    source: io::Error::from_raw_os_error(code),
                });
            }
        }
    }
}

fn groups_of(login: &CStr, gid: u32) -> Vec<u32> {
    let mut groups = vec![0u32; 64];
    loop {
        let mut count = libc::c_int::try_from(groups.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: the name is a C string, the array has the length given, and `count` is a local value.
        let code = unsafe { libc::getgrouplist(login.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let wanted = usize::try_from(count).unwrap_or(0);
        if code >= 0 {
            groups.truncate(wanted);
            return groups;
        }
        // 65 536 is the kernel's own limit (NGROUPS_MAX).
        if groups.len() >= 65_536 {
            return vec![gid];
        }
        groups.resize(wanted.max(groups.len() * 2), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_by_name_and_by_number() {
        let root = resolve_user("root").unwrap();
        assert_eq!((root.credentials.uid, root.credentials.gid), (0, 0));
        assert!(root.credentials.groups.contains(&0));
        assert_eq!(root.home.as_deref(), Some("/root"));
        assert_eq!(resolve_user("0").unwrap(), root);
    }

    #[test]
    fn a_number_without_an_entry_is_a_user_too() {
        let user = resolve_user("987654").unwrap();
        assert_eq!(user.name, None);
        assert_eq!(user.credentials.gid, 987_654);
        let user = resolve_user("987654:4321").unwrap();
        assert_eq!((user.credentials.gid, user.credentials.groups), (4321, vec![4321]));
    }

    #[test]
    fn who_is_not_there_is_named() {
        let error = resolve_user("no-such-user-here").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no user `no-such-user-here` on this machine"
        );
        let error = resolve_user("root:no-such-group").unwrap_err();
        assert_eq!(error.to_string(), "there is no group `no-such-group` on this machine");
        assert!(error.hint().is_some());
    }

    #[test]
    fn the_owner_of_a_file_is_found() {
        assert_eq!(owner_of(Path::new("/proc/1")).unwrap().credentials.uid, 0);
        assert!(owner_of(Path::new("/nonexistent")).is_err());
    }
}
