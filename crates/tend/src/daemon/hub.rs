//! The one task that owns the controller: inputs go in, steps come out, questions are answered in between.
//!
//! Everything that changes what is known passes here, one at a time, so nothing in the daemon needs a lock. Knows neither how a
//! step is performed nor how an input comes about.

use std::sync::Arc;

use tend_base::{Clock, Now, SystemClock};
use tend_core::controller::{Chapter, Controller, Input};
use tend_core::plan::Step;
use tokio::sync::{mpsc, oneshot, watch};

use super::record::{Durable, Recorder};

/// The chapters of this version.
pub(crate) type Chapters = Arc<[Box<dyn Chapter>]>;

/// Inputs and questions waiting at once. More means the hub is slower than what happens, and then those who report should wait.
const WAITING_MAX: usize = 1024;

type Question = Box<dyn FnOnce(&Controller<Chapters>, Now) + Send>;

enum Message {
    Input(Box<Input>, Option<oneshot::Sender<Durable>>),
    Question(Question),
}

/// The way to the hub; cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    sender: mpsc::Sender<Message>,
    changed: watch::Receiver<u64>,
}

/// Ends the daemon when the hub is gone: without it nothing can be decided.
const HUB_GONE: &str = "invariant: the hub lives as long as the daemon";

impl Hub {
    /// Starts the hub; `perform` is called for each step in the order decided, and must not block.
    pub(crate) fn start(
        controller: Controller<Chapters>,
        recorder: Recorder,
        perform: impl Fn(Step) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let (version, changed) = watch::channel(0);
        tokio::spawn(run(controller, recorder, perform, receiver, version));
        Self { sender, changed }
    }

    /// Reports what happened.
    pub(crate) async fn input(&self, input: Input) {
        // The hub ends only with the daemon; then nothing is left to be told.
        let _ = self.sender.send(Message::Input(Box::new(input), None)).await;
    }

    /// Reports what happened and returns once what follows from it would survive a loss of power.
    pub(crate) async fn input_durable(&self, input: Input) -> Durable {
        let (answer, answered) = oneshot::channel();
        let _ = self.sender.send(Message::Input(Box::new(input), Some(answer))).await;
        answered.await.expect(HUB_GONE)
    }

    /// Asks about what is known.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Controller<Chapters>, Now) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |controller, now| {
            // Who asked may have left.
            let _ = answer.send(question(controller, now));
        });
        let _ = self.sender.send(Message::Question(question)).await;
        answered.await.expect(HUB_GONE)
    }

    /// Returns a receiver that is woken whenever something changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }
}

async fn run(
    mut controller: Controller<Chapters>,
    mut recorder: Recorder,
    perform: impl Fn(Step),
    mut receiver: mpsc::Receiver<Message>,
    version: watch::Sender<u64>,
) {
    let mut wake_at = None;
    loop {
        let sleep = async {
            match wake_at {
                Some(at) => tokio::time::sleep(tend_base::Mono::since(at, SystemClock.now().mono)).await,
                None => std::future::pending().await,
            }
        };
        let (input, durable) = tokio::select! {
            message = receiver.recv() => match message {
                Some(Message::Input(input, durable)) => (*input, durable),
                Some(Message::Question(question)) => {
                    question(&controller, SystemClock.now());
                    continue;
                }
                None => return,
            },
            () = sleep => (Input::Tick, None),
        };
        let reaction = match durable {
            None => {
                let mut reaction = controller.handle(input, SystemClock.now());
                recorder.record(
                    std::mem::take(&mut reaction.entries),
                    std::mem::take(&mut reaction.documents),
                );
                reaction
            }
            Some(answer) => {
                // A wish is carried out once it is written down, and not at all when it cannot be: otherwise it would be refused,
                // done, and forgotten by the next daemon. Wishes are rare, so all else may wait for the disk meanwhile.
                let mut tried = controller.clone();
                let mut reaction = tried.handle(input, SystemClock.now());
                let entries = std::mem::take(&mut reaction.entries);
                let written = recorder.write(entries, std::mem::take(&mut reaction.documents)).await;
                let refused = written.is_err();
                // Who asked may have left.
                let _ = answer.send(written);
                if refused {
                    continue;
                }
                controller = tried;
                reaction
            }
        };
        wake_at = reaction.wake_at;
        for step in reaction.steps {
            perform(step);
        }
        version.send_modify(|version| *version += 1);
    }
}
