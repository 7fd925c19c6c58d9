//! Who calls, and what kind of right a call needs. Which user has the right to what is the daemon's decision.

use serde::{Deserialize, Serialize};

/// The process at the other end of the socket, as the kernel tells (`SO_PEERCRED`); it cannot be forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Process, where the kernel tells it; it may have ended since.
    pub pid: Option<i32>,
}

impl Caller {
    /// Returns whether the caller is the user himself or root, who may do what any user may.
    #[must_use]
    pub fn is_user_or_root(self, uid: u32) -> bool {
        self.uid == 0 || self.uid == uid
    }
}

/// The kind of right a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Looks only, and shows no secret.
    Read,
    /// Changes one stack: for the stack's owner and root.
    Change,
    /// Shows values that may be secret: for the stack's owner and root.
    Secrets,
    /// Changes the daemon itself: for the daemon's own user and root.
    Daemon,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_himself_and_root_act_for_a_user() {
        let caller = |uid| Caller { uid, gid: 0, pid: None };
        assert!(caller(1000).is_user_or_root(1000));
        assert!(caller(0).is_user_or_root(1000));
        assert!(!caller(1001).is_user_or_root(1000));
        assert!(!caller(1000).is_user_or_root(0));
    }
}
