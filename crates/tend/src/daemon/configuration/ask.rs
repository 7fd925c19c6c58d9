//! What people ask of configurations, and `tend up` before it brings a stack up.

use std::collections::BTreeMap;
use std::time::Duration;

use tend_api::{ApiError, Class};
use tend_base::Wall;
use tend_config::{Holding, Liveness, Report, Stand, Taker};
use tend_core::configuration::Beside;
use tend_core::controller::DeployWish;
use tend_core::journal::Principal;
use tend_core::model::{Stack, StackName};
use tokio::sync::{mpsc, oneshot};

use super::Keeper;
use super::kept::report_error;

/// A number where something was taken.
type Taken = Result<Option<u64>, ApiError>;

/// What is asked, with where the answer goes.
pub(crate) enum Ask {
    /// A stack is about to come up.
    Before {
        stack: Box<Stack>,
        by: Principal,
        answer: oneshot::Sender<Taken>,
    },
    /// A release is about to be made of a definition.
    Check {
        stack: Box<Stack>,
        answer: oneshot::Sender<Result<(), ApiError>>,
    },
    /// A stack is deployed.
    Deploy {
        /// As the release to be run has it.
        stack: Box<Stack>,
        wish: Box<DeployWish>,
        answer: oneshot::Sender<Result<(), ApiError>>,
    },
    /// A person changes something.
    Change {
        stack: StackName,
        change: Change,
        confirm: Option<Duration>,
        by: Principal,
        answer: oneshot::Sender<Taken>,
    },
    /// A person wants to know.
    Look {
        stack: StackName,
        answer: oneshot::Sender<Result<Box<View>, ApiError>>,
    },
}

/// How a stack's configuration stands.
pub(crate) struct View {
    /// What it is made from, what was set by command, and what was taken.
    pub(crate) stand: Stand,
    /// What is wrong with what lies in the files and the table now, if it is not taken.
    pub(crate) refused: Option<String>,
    /// Since when the table cannot be read, and why.
    pub(crate) away: Option<(Wall, String)>,
    /// Whether every replica holds what is in force.
    pub(crate) liveness: Liveness,
    /// What each replica that takes configuration holds, by its name.
    pub(crate) holders: BTreeMap<String, Holding>,
    /// Who takes what, and how.
    pub(crate) takers: Vec<Taker>,
    /// Something was read that waits for the end of a deployment.
    pub(crate) waits: bool,
}

/// What a person changes.
pub(crate) enum Change {
    /// Keys are set as they were typed; none unsets what lies beneath.
    Set(Vec<(String, Option<String>)>),
    /// What was set of keys is taken back.
    Clear(Vec<String>),
    /// The values of a preset are set.
    Preset(String),
    /// An earlier revision is to be in force again.
    Back(u64),
    /// What waits to be confirmed stays: this revision, or whichever it is.
    Confirm(Option<u64>),
}

/// Has the configuration of a stack that is about to come up read, checked and taken. The definition goes into force together with another
/// revision: one change, so that a service that is given its configuration in another way is started once. Returns
/// whether there was another revision.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) async fn before(asks: &mpsc::Sender<Ask>, stack: &Stack, by: &Principal) -> Result<bool, ApiError> {
    if stack.config.is_none() {
        return Ok(false);
    }
    let (answer, answered) = oneshot::channel();
    let ask = Ask::Before {
        stack: Box::new(stack.clone()),
        by: by.clone(),
        answer,
    };
    put(asks, ask)?;
    let taken = answered.await.unwrap_or_else(|_| Err(gone()))?;
    Ok(taken.is_some())
}

/// Has the configuration of a definition that is about to be deployed read and checked.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) async fn check(asks: &mpsc::Sender<Ask>, stack: &Stack) -> Result<(), ApiError> {
    let (answer, answered) = oneshot::channel();
    let stack = Box::new(stack.clone());
    put(asks, Ask::Check { stack, answer })?;
    answered.await.unwrap_or_else(|_| Err(gone()))
}

/// Hands a deployment of a definition to the controller, and with it the revision that the definition comes with: both are durable together, and
/// refused together. Whether the controller took them is seen by asking it.
///
/// # Errors
/// Everything that is wrong with the configuration, or why it could not be written down.
pub(crate) async fn deploy(asks: &mpsc::Sender<Ask>, stack: &Stack, wish: DeployWish) -> Result<(), ApiError> {
    let (answer, answered) = oneshot::channel();
    let (stack, wish) = (Box::new(stack.clone()), Box::new(wish));
    put(asks, Ask::Deploy { stack, wish, answer })?;
    answered.await.unwrap_or_else(|_| Err(gone()))
}

/// Returns how a stack's configuration stands.
///
/// # Errors
/// When it has none, or is not up.
pub(crate) async fn look(asks: &mpsc::Sender<Ask>, stack: &StackName) -> Result<Box<View>, ApiError> {
    let (answer, answered) = oneshot::channel();
    let stack = stack.clone();
    put(asks, Ask::Look { stack, answer })?;
    answered.await.unwrap_or_else(|_| Err(gone()))
}

/// Changes the configuration of a stack; returns the number of the revision that was taken, none when everything is so already.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) async fn change(
    asks: &mpsc::Sender<Ask>,
    stack: &StackName,
    change: Change,
    confirm: Option<Duration>,
    by: &Principal,
) -> Taken {
    let (answer, answered) = oneshot::channel();
    let ask = Ask::Change {
        stack: stack.clone(),
        change,
        confirm,
        by: by.clone(),
        answer,
    };
    put(asks, ask)?;
    answered.await.unwrap_or_else(|_| Err(gone()))
}

fn put(asks: &mpsc::Sender<Ask>, ask: Ask) -> Result<(), ApiError> {
    asks.try_send(ask).map_err(|_| {
        ApiError::new(Class::Unavailable, "too much was asked of configurations at once").hint("try again in a moment")
    })
}

fn gone() -> ApiError {
    ApiError::new(Class::Bug, "the one who looks after configurations is gone")
        .hint("`tend shutdown` and `tend daemon` start it again; replicas go on meanwhile")
}

impl Keeper {
    pub(super) async fn answer(&mut self, ask: Ask) {
        // Who asked may have left.
        match ask {
            Ask::Before { stack, by, answer } => {
                let taken = self.before(&stack, &by).await;
                let _ = answer.send(taken);
            }
            Ask::Check { stack, answer } => {
                let _ = answer.send(self.check(&stack).await);
            }
            Ask::Deploy { stack, wish, answer } => {
                let _ = answer.send(self.deploy(&stack, *wish).await);
            }
            Ask::Change {
                stack,
                change,
                confirm,
                by,
                answer,
            } => {
                let taken = self.change(&stack, change, confirm, &by).await;
                let _ = answer.send(taken);
            }
            Ask::Look { stack, answer } => {
                let view = self.view(&stack).await.map(Box::new);
                let _ = answer.send(view.ok_or_else(|| no_configuration(&stack)));
            }
        }
    }

    async fn before(&mut self, stack: &Stack, by: &Principal) -> Taken {
        self.prepare_anew(stack).await?;
        let Some(kept) = self.stacks.get_mut(&stack.name) else {
            return Err(no_configuration(&stack.name));
        };
        let set = kept.stand().set_layer().clone();
        let who = by.to_string();
        kept.expect();
        kept.beside = Beside::Definition(Box::new(stack.clone()));
        let taken = kept.offer(&self.shared, &self.hub, &who, by, Some((set, None))).await;
        // Whatever is taken later is not of this `up`.
        kept.beside = Beside::Nothing;
        taken
    }

    async fn change(&mut self, stack: &StackName, change: Change, confirm: Option<Duration>, by: &Principal) -> Taken {
        let Some(kept) = self.stacks.get_mut(stack) else {
            return Err(no_configuration(stack));
        };
        let who = by.to_string();
        let now = crate::daemon::now().wall;
        let refused = |report: &tend_config::Report| report_error(stack, report);
        let mut set = kept.stand().set_layer().clone();
        let schema = kept.stand().schema().map_err(|report| refused(&report))?;
        match change {
            Change::Back(number) => return kept.go_back(&self.shared, &self.hub, number, confirm, by).await,
            Change::Confirm(number) => return kept.confirm(&self.hub, number, by).await.map(Some),
            Change::Clear(keys) => {
                for name in keys {
                    // A key that the schema does not have any more may still be cleared.
                    let key = schema.find(&name).map_or(name, |key| key.name.clone());
                    if !set.clear(&key) {
                        return Err(ApiError::new(Class::NotFound, format!("nothing was set of `{key}`"))
                            .hint(format!("`tend config why {key}` says where its value comes from")));
                    }
                }
            }
            Change::Preset(name) => set
                .preset(&schema, &name, &who, now)
                .map_err(|report| refused(&report))?,
            Change::Set(keys) => {
                let mut wrong = Vec::new();
                for (key, text) in keys {
                    let done = match text {
                        Some(text) => set.set(&schema, &key, &text, &who, now),
                        None => set.unset(&schema, &key, &who, now),
                    };
                    wrong.extend(done.err().into_iter().flat_map(|Report(violations)| violations));
                }
                if !wrong.is_empty() {
                    return Err(refused(&Report(wrong)));
                }
            }
        }
        kept.offer(&self.shared, &self.hub, &who, by, Some((set, confirm)))
            .await
    }
}

fn no_configuration(stack: &StackName) -> ApiError {
    ApiError::new(Class::NotFound, format!("{stack} has no configuration, or is not up"))
        .hint("a chapter `config` in the stack file says where it comes from")
}
