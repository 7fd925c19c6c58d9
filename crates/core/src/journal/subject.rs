//! What an event is about. Knows nothing of what is done to it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{ReplicaId, ServiceId, ServiceName, StackName};

/// What an event is about: the machine's own tend when everything is empty, else a stack, a service, a replica, a release.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Subject {
    /// The stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackName>,
    /// The service in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The replica of the service, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Which life of the replica: a number higher than that of any replica started before on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// The release the replica runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

impl Subject {
    /// Adds which life of the replica is meant.
    #[must_use]
    pub fn incarnation(mut self, incarnation: u64) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// Adds the release.
    #[must_use]
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.release = Some(release.into());
        self
    }
}

impl From<StackName> for Subject {
    fn from(stack: StackName) -> Self {
        Self {
            stack: Some(stack),
            ..Self::default()
        }
    }
}

impl From<ServiceId> for Subject {
    fn from(id: ServiceId) -> Self {
        Self {
            stack: Some(id.stack),
            service: Some(id.service),
            ..Self::default()
        }
    }
}

impl From<ReplicaId> for Subject {
    fn from(id: ReplicaId) -> Self {
        Self {
            stack: Some(id.stack),
            service: Some(id.service),
            slot: Some(id.slot),
            ..Self::default()
        }
    }
}

impl fmt::Display for Subject {
    /// Writes `mps/api/1`, as far as it is known; nothing when the subject is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(stack) = &self.stack {
            write!(f, "{stack}")?;
            separator = "/";
        }
        if let Some(service) = &self.service {
            write!(f, "{separator}{service}")?;
            separator = "/";
        }
        if let Some(slot) = self.slot {
            write!(f, "{separator}{slot}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_written_as_far_as_it_is_known() {
        let replica: ReplicaId = "mps/api/2".parse().unwrap();
        assert_eq!(Subject::from(replica.clone()).to_string(), "mps/api/2");
        assert_eq!(Subject::from(replica.service_id()).to_string(), "mps/api");
        assert_eq!(Subject::from(replica.stack).to_string(), "mps");
        assert_eq!(Subject::default().to_string(), "");
    }
}
