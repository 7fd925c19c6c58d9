//! The rotations under way: where each stands, for people, and how one is asked to go back. Performs nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tend_api::messages::{Finished, Progress, ProgressLine, Stage, StageState};
use tend_api::{ApiError, Reply};
use tend_core::journal::Principal;
use tend_core::model::StackName;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::shared::Shared;

type Key = (StackName, String);

/// The rotations under way, by stack and secret.
#[derive(Default)]
pub(crate) struct Rotations(Mutex<BTreeMap<Key, UnderWay>>);

impl Rotations {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, UnderWay>> {
        // Each is put in and taken out whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the status of a stack says of its rotations.
    pub(crate) fn lines(&self, stack: &StackName) -> Vec<String> {
        let each = self.standings(stack).into_iter();
        each.map(|(secret, text)| format!("secret {secret} is being rotated: {text}"))
            .collect()
    }

    /// Returns where each rotation of a stack stands, by its secret.
    pub(crate) fn standings(&self, stack: &StackName) -> BTreeMap<String, String> {
        let all = self.lock();
        let own = all.iter().filter(|((of, _), _)| of == stack);
        own.map(|((_, secret), one)| (secret.clone(), one.standing.borrow().clone()))
            .collect()
    }

    /// Returns the rotation of a secret, if there is one.
    pub(super) fn of(&self, stack: &StackName, secret: &str) -> Option<UnderWay> {
        self.lock().get(&(stack.clone(), secret.to_owned())).cloned()
    }
}

/// One rotation, as others see it.
#[derive(Clone)]
pub(super) struct UnderWay {
    standing: watch::Receiver<String>,
    asks: mpsc::Sender<TakeBack>,
}

impl UnderWay {
    /// Asks it to go back; nothing when it ended meanwhile.
    pub(super) async fn take_back(&self, by: Principal) -> Option<Result<(), ApiError>> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(TakeBack { by, answer }).await.ok()?;
        answered.await.ok()
    }

    /// Returns where it stands, and will.
    pub(super) fn standing(&self) -> watch::Receiver<String> {
        self.standing.clone()
    }
}

/// Somebody wants a rotation to go back.
pub(super) struct TakeBack {
    pub(super) by: Principal,
    answer: oneshot::Sender<Result<(), ApiError>>,
}

impl TakeBack {
    /// Says whether it does.
    pub(super) fn answer(self, answer: Result<(), ApiError>) {
        // Whoever asked may have left.
        let _ = self.answer.send(answer);
    }
}

/// The place of the one rotation of a secret that there may be; free again when this goes.
pub(super) struct Place {
    shared: Arc<Shared>,
    key: Key,
    said: watch::Sender<String>,
    asks: mpsc::Receiver<TakeBack>,
}

impl Place {
    /// Takes the place of a secret; nothing when it is taken.
    pub(super) fn claim(shared: &Arc<Shared>, stack: &StackName, secret: &str) -> Option<Self> {
        let key = (stack.clone(), secret.to_owned());
        let mut all = shared.rotations.lock();
        if all.contains_key(&key) {
            return None;
        }
        let (said, standing) = watch::channel("it is about to begin".to_owned());
        let (sender, asks) = mpsc::channel(4);
        let one = UnderWay { standing, asks: sender };
        all.insert(key.clone(), one);
        drop(all);
        Some(Self {
            shared: Arc::clone(shared),
            key,
            said,
            asks,
        })
    }

    /// Returns where the rotation stands, and will.
    pub(super) fn standing(&self) -> watch::Receiver<String> {
        self.said.subscribe()
    }

    /// Says where it stands now.
    pub(super) fn say(&self, text: &str) {
        self.said.send_if_modified(|said| {
            let is_new = said != text;
            if is_new {
                text.clone_into(said);
            }
            is_new
        });
    }

    /// Returns who asked for it to go back.
    pub(super) fn asked_now(&mut self) -> Option<TakeBack> {
        self.asks.try_recv().ok()
    }

    /// Waits so long, or until somebody asks for it to go back.
    pub(super) async fn asked_within(&mut self, time: Duration) -> Option<TakeBack> {
        tokio::time::timeout(time, self.asks.recv()).await.ok().flatten()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.rotations.lock().remove(&self.key);
    }
}

/// Tells how a rotation goes on until it ends; one that is held is told of, and goes on without whoever asked. It is well that it ends
/// done, or taken back where that is `wanted_back`.
pub(super) fn tell(secret: String, mut standing: watch::Receiver<String>, wanted_back: bool) -> Reply {
    let (sender, lines) = tend_api::lines(16);
    tokio::spawn(async move {
        let line = |state: StageState, message: &str| {
            sender.try_send(&ProgressLine::Progress(Progress {
                at: super::super::now().wall,
                stage: Stage::Rotate,
                subject: secret.clone(),
                state,
                message: message.to_owned(),
                took_ms: None,
            }))
        };
        let mut last = String::new();
        // Its end drops the sender.
        while standing.changed().await.is_ok() {
            last.clone_from(&standing.borrow_and_update());
            let state = match last.starts_with("held") {
                true => StageState::Waiting,
                false => StageState::Begun,
            };
            if line(state, &last).is_err() {
                return;
            }
        }
        last.clone_from(&standing.borrow());
        let is_well = last.starts_with(if wanted_back { "taken back" } else { "done" });
        let _ = line(if is_well { StageState::Done } else { StageState::Failed }, &last);
        let _ = sender.try_send(&ProgressLine::Finished(Finished {
            ok: is_well,
            reason: if is_well { String::new() } else { last },
            ..Finished::default()
        }));
    });
    Reply::Lines(lines)
}
