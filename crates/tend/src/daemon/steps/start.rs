//! Starting a replica: who it runs as, what it gets, and a shim that owns it.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tend_base::{Secret, without_os_numbers};
use tend_core::model::{Port, ReplicaId, WhenBehind};
use tend_core::observed::StartFailure;
use tend_core::plan::Launch;
use tend_linux::{Credentials, LogSettings, Spec};
use tokio::sync::oneshot;

use super::super::answer::logs;
use super::super::configuration;
use super::super::identity;
use super::super::known_secrets::is_secret;
use super::super::replicas::{self, Life};
use super::super::secrets::{self, Given};
use super::Performer;

/// A shim that has not said by then whether its replica runs is taken for broken.
const START_MAX: Duration = Duration::from_secs(10);

/// Starts a replica and returns its process id.
pub(super) async fn start(
    performer: &Arc<Performer>,
    replica: &ReplicaId,
    incarnation: u64,
    launch: Launch,
) -> Result<u32, StartFailure> {
    let shared = &performer.shared;
    let stack = replica.stack.as_str();
    let who = identity::who(shared, &launch, stack)?;
    let environment = identity::environment(shared, &launch, stack, &who);
    performer.learn(stack, &environment);
    let life = Life {
        replica: replica.clone(),
        incarnation,
        fingerprint: launch.fingerprint,
        port: launch.port,
    };
    let socket = match launch.port {
        Some(port) => listening(port, &launch.port_form)?,
        None => None,
    };
    let cgroup = identity::cgroup(shared, replica, incarnation, &launch.resources)?;
    let logs = logs::folder_of(&shared.logs_folder(), replica);
    std::fs::create_dir_all(&logs).map_err(|error| {
        passing(format!(
            "the folder of its logs, `{}`, could not be made: {error}",
            logs.display()
        ))
    })?;
    let folder = replicas::folder_of(shared, &life);
    let mut given = given(performer, &launch, &life, &who, &folder).await?;
    // What is secret by its name goes the way of secrets: past the disk.
    let hidden = |(name, value): &(&String, &String)| is_secret(name, value);
    for (name, value) in environment.iter().filter(hidden) {
        if given.secrets.env.iter().all(|(other, _)| other != name.as_str()) {
            given.secrets.env.push((name.into(), Secret::new(value.clone())));
        }
    }
    let spec = Spec {
        incarnation: life.text(),
        release: launch.environment.get(tend_linux::RELEASE_VARIABLE).cloned(),
        quiesce: launch.quiesce.as_ref().map(replicas::quiesce_text),
        argv: launch.command.iter().map(OsString::from).collect(),
        env: environment
            .into_iter()
            .filter(|(name, value)| !is_secret(name, value))
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        directory: launch.directory.clone(),
        user: who,
        cgroup,
        open_files_max: launch.open_files_max,
        listen_descriptor: match launch.port_form {
            Port::Descriptor(number) => Some(number),
            _ => None,
        },
        secrets: given.secrets.count(),
        logs: LogSettings {
            directory: logs,
            file_bytes_max: launch.logs.file_bytes_max,
            files_max: launch.logs.files_max,
            when_behind: match launch.logs.when_behind {
                WhenBehind::Drop => tend_linux::WhenBehind::Drop,
                WhenBehind::Block => tend_linux::WhenBehind::Block,
            },
            redact: true,
        },
    };
    let socket = socket.as_ref().map(AsFd::as_fd);
    let known = shared.known_secrets.values(stack);
    let shim = tend_linux::spawn_shim(&shared.program, &folder, &spec, &given.secrets, socket, &known);
    let shim = shim.map_err(|error| {
        secrets::forget(shared, &folder);
        StartFailure {
            hint: error.hint(),
            ..passing(error.to_string())
        }
    })?;
    drop(given);
    let (started, starting) = oneshot::channel();
    replicas::watch_new(performer, life, folder, shim, Some(started));
    match tokio::time::timeout(START_MAX, starting).await {
        Ok(Ok(result)) => result.map_err(|failure| with_user_hint(failure, &spec)),
        Ok(Err(_)) => Err(passing(
            "its shim ended before it said whether the replica runs".to_owned(),
        )),
        Err(_) => Err(passing(
            "its shim did not say in time whether the replica runs".to_owned(),
        )),
    }
}

/// Looks up the secrets and the configuration of a replica, on a thread of its own; one that has none does not wait for it.
async fn given(
    performer: &Arc<Performer>,
    launch: &Launch,
    life: &Life,
    who: &Option<Credentials>,
    folder: &Path,
) -> Result<Given, StartFailure> {
    if launch.secrets.is_empty() && !launch.is_configured {
        return Ok(Given::default());
    }
    let (performer, grants, life) = (Arc::clone(performer), launch.secrets.clone(), life.clone());
    let (who, folder, is_configured) = (who.clone(), folder.to_owned(), launch.is_configured);
    let started_for = configuration::StartedFor {
        revision: launch.configuration,
        outside: launch.outside.clone(),
    };
    let work = move || {
        let shared = &performer.shared;
        let (replica, who) = (&life.replica, who.as_ref());
        let mut given = secrets::give(shared, replica.stack.as_str(), &grants, who, &folder)?;
        if is_configured {
            let variables = configuration::give(shared, replica, life.incarnation, &started_for, &folder, who)?;
            given.secrets.env.extend(variables);
        }
        Ok(given)
    };
    let given = tokio::task::spawn_blocking(work).await;
    given.unwrap_or_else(|error| Err(passing(format!("a bug ended it early: {error}"))))
}

/// A failure that may pass by itself.
fn passing(why: String) -> StartFailure {
    StartFailure {
        why: without_os_numbers(&why),
        hint: None,
        permanent: false,
        port_taken: false,
    }
}

/// Makes sure that the port is free, and returns the socket when the replica is to inherit it.
fn listening(port: u16, form: &Port) -> Result<Option<TcpListener>, StartFailure> {
    let socket = TcpListener::bind(("127.0.0.1", port)).map_err(|error| StartFailure {
        why: without_os_numbers(&format!("port {port} cannot be used: {error}")),
        hint: Some(format!("`ss -ltnp 'sport = :{port}'` shows who has it")),
        permanent: false,
        port_taken: !matches!(form, Port::Fixed(_)),
    })?;
    Ok(matches!(form, Port::Descriptor(_)).then_some(socket))
}

/// A program its user may not reach is the commonest first failure of a daemon run by root: says so.
fn with_user_hint(mut failure: StartFailure, spec: &Spec) -> StartFailure {
    let reached = |path: &std::path::Path| {
        path.ancestors()
            .all(|part| part.as_os_str().is_empty() || part.exists())
    };
    if let Some(who) = &spec.user
        && failure.permanent
        && reached(&spec.directory)
        && failure.why.contains("ermission")
    {
        failure.hint = Some(format!(
            "it runs as user {}, who must be able to read the program and enter every folder above it; name another with `user:`",
            who.uid
        ));
    }
    failure
}
