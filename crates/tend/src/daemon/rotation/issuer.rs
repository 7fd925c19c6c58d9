//! The class `token-overlap` where a provider judges the value: commands of the stack speak with it.
//!
//! A value is in the environment of such a command, never in its arguments, and its output goes past the patterns of all secrets. A command
//! that an earlier daemon left running is ended first: it could make valid again what was made invalid since.

use std::fs::File;
use std::path::PathBuf;

use tend_api::{ApiError, Class};
use tend_core::journal::Principal;
use tend_core::model::{Issuer, ReplicaId, ServiceName};
use tend_core::plan::Launch;
use tend_rotation::{Act, Which};

use super::super::answer::environment::launch_of;
use super::super::errand::{self, Errand, Failed, Mark};
use super::super::{identity, secrets};
use super::ground::Ground;

/// Has the value that a command is about.
const VALUE: &str = "TEND_SECRET";

/// Has the other version.
const OTHER: &str = "TEND_SECRET_OTHER";

/// With which a command says that a value is refused.
const REFUSED: i32 = 1;

/// Who gave out a value, and by which commands one speaks with it.
pub(super) struct Provider<'a> {
    ground: &'a Ground,
    issuer: Issuer,
    service: ServiceName,
}

/// What a provider thinks of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    Accepted,
    Refused,
}

impl<'a> Provider<'a> {
    /// Returns the provider as the stack names it now.
    ///
    /// # Errors
    /// When it names none.
    pub(super) async fn look_up(ground: &'a Ground) -> Result<Self, String> {
        let policy = ground.policy().await;
        match (policy.issuer, policy.service) {
            (Some(issuer), Some(service)) => Ok(Self {
                ground,
                issuer,
                service,
            }),
            _ => Err(format!(
                "the stack {} does not say any more how the provider of {} is asked: `rotation: {{prove: …}}` of the secret did",
                ground.stack, ground.secret
            )),
        }
    }

    /// Sees that the version in use is accepted, so that a refusal means something later. Returns the versions in use and to come.
    pub(super) async fn begin(&self, by: &Principal) -> Result<(u64, u64), ApiError> {
        let not = |why: String| {
            ApiError::new(
                Class::Config,
                format!(
                    "{} cannot be rotated yet, and nothing was changed: {why}",
                    self.ground.secret
                ),
            )
        };
        match self.prove(Which::Old).await {
            Ok(Judged::Accepted) => self.ground.stage(None, by).await,
            Ok(Judged::Refused) => Err(not("`prove` says that the version in use is refused".to_owned())
                .hint("it has to end with 0 for a value that its provider accepts")),
            Err(why) => Err(not(why).hint("`prove` of its `rotation` has to end with 0 or 1")),
        }
    }

    /// Performs an act at the provider.
    pub(super) async fn act(&self, act: Act) -> Result<(), String> {
        match act {
            Act::Prepare => self.run("register", self.issuer.register.as_deref(), Which::New).await,
            Act::Restore => self.run("register", self.issuer.register.as_deref(), Which::Old).await,
            Act::Revoke => self.run("revoke", self.issuer.revoke.as_deref(), Which::Old).await,
            Act::Withdraw => self.run("revoke", self.issuer.revoke.as_deref(), Which::New).await,
            Act::ProveNew => self.proven(Which::New, Judged::Accepted).await,
            Act::ProveOldAccepted => self.proven(Which::Old, Judged::Accepted).await,
            Act::ProveOldRefused => self.proven(Which::Old, Judged::Refused).await,
            Act::Store | Act::Retire | Act::Discard | Act::Reencrypt(_) => {
                Err("nothing of it is done at a provider".to_owned())
            }
        }
    }

    async fn proven(&self, which: Which, wanted: Judged) -> Result<(), String> {
        match (self.prove(which).await?, wanted) {
            (judged, wanted) if judged == wanted => Ok(()),
            (Judged::Refused, _) => Err("the provider refuses it".to_owned()),
            (Judged::Accepted, _) if self.issuer.revoke.is_none() => {
                Err("the provider still accepts it: revoke it there".to_owned())
            }
            (Judged::Accepted, _) => Err("the provider still accepts it".to_owned()),
        }
    }

    async fn prove(&self, which: Which) -> Result<Judged, String> {
        match self.command(&self.issuer.prove, which).await? {
            Ok(()) => Ok(Judged::Accepted),
            Err(failed) if failed.code == Some(REFUSED) => Ok(Judged::Refused),
            Err(failed) => Err(format!(
                "whether the provider accepts it is not known: {}",
                failed.in_a_line()
            )),
        }
    }

    async fn run(&self, what: &str, command: Option<&[String]>, which: Which) -> Result<(), String> {
        let Some(command) = command else {
            return Ok(());
        };
        let done = self.command(command, which).await?;
        done.map_err(|failed| format!("`{what}` failed: {}", failed.in_a_line()))
    }

    /// Runs a command to its end, with the user, the folder and the environment of its service.
    async fn command(&self, command: &[String], which: Which) -> Result<Result<(), Failed>, String> {
        let other = match which {
            Which::Old => Which::New,
            Which::New => Which::Old,
        };
        let mut own = vec![(VALUE, self.ground.value(which)?.clone())];
        own.extend(self.ground.value(other).ok().map(|value| (OTHER, value.clone())));
        let launch = self.launch().await?;
        let (shared, command) = (self.ground.shared.clone(), command.to_vec());
        let (stack, secret, timeout) = (
            self.ground.stack.to_string(),
            self.ground.secret.clone(),
            self.issuer.timeout,
        );
        let run = move || {
            let _employer = shared.replicas.employ();
            let who = identity::who(&shared, &launch, &stack).map_err(|failure| failure.why)?;
            let environment = identity::environment(&shared, &launch, &stack, &who);
            let mut environment = secrets::environment(&shared, &launch, &stack, environment)?;
            for (name, value) in &own {
                environment.insert((*name).to_owned(), value.expose().to_owned());
            }
            let folder = errand::folder(&shared, &stack);
            let lock = alone(folder.join(format!("rotation-{secret}.lock")))?;
            Ok(errand::run(
                &shared,
                Errand {
                    program: identity::program(&command, &launch.directory, &environment, who.as_ref()),
                    timeout,
                    log: &folder.join(format!("rotation-{secret}.log")),
                    patterns: shared.known_secrets.patterns(&stack),
                    lock: Some(lock),
                    stop: &|| None,
                    said: &|_| {},
                },
            ))
        };
        let done = tokio::task::spawn_blocking(run).await;
        done.unwrap_or_else(|error| Err(format!("a bug ended it early: {error}")))
    }

    async fn launch(&self) -> Result<Launch, String> {
        let id = ReplicaId {
            stack: self.ground.stack.clone(),
            service: self.service.clone(),
            slot: 1,
        };
        let launch = self
            .ground
            .hub
            .ask(move |controller, _| launch_of(controller.world(), &id));
        let mut launch = launch.await.ok_or_else(|| {
            format!(
                "{} is no service that runs as a process, so its commands cannot be run",
                self.service
            )
        })?;
        // A command beside the replicas must not take the port of one of them for its own.
        if let tend_core::model::Port::Variable(name) = &launch.port_form {
            launch.environment.remove(name);
        }
        Ok(launch)
    }
}

/// Returns a file that a command holds while it runs, having ended one that held it before.
fn alone(path: PathBuf) -> Result<File, String> {
    let opened = || {
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true).open(&path)
    };
    let file = opened().map_err(|error| {
        let error = tend_base::without_os_numbers(&error.to_string());
        format!("`{}` cannot be used: {error}", path.display())
    })?;
    let marks: Vec<Mark> = Mark::of(&file).into_iter().collect();
    errand::end_tree(0, &marks);
    Ok(file)
}
