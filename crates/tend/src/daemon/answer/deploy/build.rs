//! What is made before a deployment begins, and the lock on it: there is never a second one for the same stack.
//!
//! Lives in this process only: a build that a daemon took with it into its end was nothing but a build.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tend_api::messages::{Finished, Progress};
use tend_api::{ApiError, Class};
use tend_base::{Mono, format_duration};
use tend_core::journal::Principal;
use tend_core::model::StackName;
use tokio::sync::watch;

/// The builds under way, by stack.
#[derive(Default)]
pub(crate) struct Builds {
    under_way: Mutex<BTreeMap<StackName, Arc<Build>>>,
}

/// One build.
pub(crate) struct Build {
    pub(super) stack: StackName,
    by: Principal,
    reason: Option<String>,
    begun: Mono,
    aborted: Mutex<Option<String>>,
    told: watch::Sender<Told>,
}

/// What there is to say of a build.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Steps that began or ended, in order.
    pub(super) steps: Vec<Progress>,
    /// What the step under way said last.
    pub(super) latest: Option<Progress>,
    /// How it ended.
    pub(super) end: Option<End>,
}

/// How a build ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// There will be no deployment.
    Finished(Finished),
    /// It became this deployment.
    Deployment(u64),
}

impl Builds {
    /// Begins a build; refused while another is under way.
    pub(super) fn begin(
        &self,
        stack: &StackName,
        by: Principal,
        reason: Option<String>,
    ) -> Result<Arc<Build>, ApiError> {
        if self.is_under_way(stack) {
            return Err(self.busy(stack));
        }
        let build = Arc::new(Build {
            stack: stack.clone(),
            by,
            reason,
            begun: crate::daemon::now().mono,
            aborted: Mutex::default(),
            told: watch::Sender::new(Told::default()),
        });
        lock(&self.under_way).insert(stack.clone(), Arc::clone(&build));
        Ok(build)
    }

    /// Ends a build.
    pub(super) fn end(&self, stack: &StackName, build: &Build, end: End) {
        lock(&self.under_way).remove(stack);
        build.told.send_modify(|told| told.end = Some(end));
    }

    pub(super) fn is_under_way(&self, stack: &StackName) -> bool {
        lock(&self.under_way).contains_key(stack)
    }

    pub(super) fn of(&self, stack: &StackName) -> Option<Arc<Build>> {
        lock(&self.under_way).get(stack).cloned()
    }

    /// Has the build of a stack end; returns whether there was one.
    pub(super) fn abort(&self, stack: &StackName, by: &Principal) -> bool {
        let build = self.of(stack);
        if let Some(build) = &build {
            lock(&build.aborted).get_or_insert_with(|| format!("aborted by {by} while it was built"));
        }
        build.is_some()
    }

    /// Says who builds, why, and since when.
    pub(super) fn busy(&self, stack: &StackName) -> ApiError {
        let under_way = lock(&self.under_way);
        let said = under_way.get(stack).map(|build| {
            let age = Duration::from_secs(crate::daemon::now().mono.since(build.begun).as_secs());
            let reason = build.reason.as_ref().map(|reason| format!(" ({reason})"));
            format!(
                "begun {} ago by {}{}, ",
                format_duration(age),
                build.by,
                reason.unwrap_or_default()
            )
        });
        ApiError::new(
            Class::Conflict,
            format!(
                "a deploy of {stack} is under way: {}now building",
                said.unwrap_or_default()
            ),
        )
        .hint(format!(
            "`tend deploy {stack} --follow` shows how it goes on, `tend deploy {stack} --abort` ends it"
        ))
    }
}

impl Build {
    /// Returns why it is to end, when somebody said so.
    pub(super) fn aborted(&self) -> Option<String> {
        lock(&self.aborted).clone()
    }

    /// Returns who asked for it.
    pub(super) fn by(&self) -> Principal {
        self.by.clone()
    }

    /// Tells that a step began or ended.
    pub(super) fn step(&self, progress: Progress) {
        self.told.send_modify(|told| {
            told.latest = None;
            told.steps.push(progress);
        });
    }

    /// Tells what the step under way said last.
    pub(super) fn latest(&self, progress: Progress) {
        self.told.send_modify(|told| told.latest = Some(progress));
    }

    pub(super) fn follow(&self) -> watch::Receiver<Told> {
        self.told.subscribe()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana() -> Principal {
        Principal::Person {
            uid: Some(1000),
            name: "ana".to_owned(),
            via: tend_core::journal::Via::Socket,
        }
    }

    #[test]
    fn a_second_build_of_a_stack_is_refused_until_the_first_ended() {
        let builds = Builds::default();
        let stack: StackName = "mps".parse().unwrap();
        let first = builds.begin(&stack, ana(), Some("less latency".to_owned())).unwrap();
        let refused = builds.begin(&stack, ana(), None).err().unwrap();
        for part in ["ana", "less latency", "ago", "building"] {
            assert!(refused.message.contains(part), "{part}: {}", refused.message);
        }
        assert!(builds.begin(&"shop".parse().unwrap(), ana(), None).is_ok());
        builds.end(&stack, &first, End::Deployment(1));
        assert!(builds.begin(&stack, ana(), None).is_ok());
    }

    #[test]
    fn a_build_that_is_aborted_knows_by_whom() {
        let builds = Builds::default();
        let stack: StackName = "mps".parse().unwrap();
        assert!(!builds.abort(&stack, &ana()));
        let build = builds.begin(&stack, ana(), None).unwrap();
        assert_eq!(build.aborted(), None);
        assert!(builds.abort(&stack, &ana()));
        assert!(build.aborted().unwrap().contains("ana"));
    }
}
