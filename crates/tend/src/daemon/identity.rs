//! Who a replica runs as, in which environment and within which limits, on this machine.
//!
//! Started by root, a replica runs as `user:`, else as the stack file's owner; where that is root too, as a user of the stack's own
//! that exists by its number alone. Never silently as root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use tend_api::Caller;
use tend_api::messages::{Enforcement, LimitsReport};
use tend_core::model::{ReplicaId, Resources, Stack, Workload};
use tend_core::observed::StartFailure;
use tend_core::plan::Launch;
use tend_linux::{Credentials, GroupLimits, Hierarchy, Means};

use super::shared::Shared;

/// Numbers for users that exist by number alone: systemd's range for `DynamicUser=` (systemd.exec(5)), which no package and no
/// person is given.
const OWN_USERS: std::ops::Range<u32> = 61_184..65_520;

/// Variables a replica has from the daemon's own environment unless the stack file sets them.
const INHERITED: [&str; 4] = ["PATH", "LANG", "TZ", "LC_ALL"];

/// `PATH` where the daemon has none.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns who a service runs as; nothing when it is the daemon's own user.
pub(crate) fn who(shared: &Shared, launch: &Launch, stack: &str) -> Result<Option<Credentials>, StartFailure> {
    let unknown = |error: tend_linux::Error| StartFailure {
        hint: error.hint(),
        why: error.to_string(),
        permanent: true,
        port_taken: false,
    };
    let wanted = match &launch.user {
        Some(user) => tend_linux::resolve_user(user).map_err(unknown)?.credentials,
        None if shared.uid != 0 => return Ok(None),
        None if launch.owner.0 != 0 => tend_linux::user_of_uid(launch.owner.0).map_err(unknown)?.credentials,
        None => own_user(stack),
    };
    if shared.uid != 0 {
        if wanted.uid == shared.uid {
            return Ok(None);
        }
        return Err(StartFailure {
            why: format!(
                "it is to run as user {}, and tend runs as user {}",
                wanted.uid, shared.uid
            ),
            hint: Some(
                "only root can run a service as another user: start tend as root or leave `user:` out".to_owned(),
            ),
            permanent: true,
            port_taken: false,
        });
    }
    Ok(Some(wanted))
}

/// Returns what is wrong with a stack that asks to run as somebody whom its caller is not; root may be anybody.
///
/// A daemon of root would otherwise make every user of the machine whoever they like.
pub(crate) fn runs_as_another(stack: &Stack, caller: Caller) -> Option<String> {
    if caller.uid == 0 {
        return None;
    }
    let own = tend_linux::user_of_uid(caller.uid).ok().map(|user| user.credentials);
    stack.services.values().find_map(|service| {
        let Workload::Process(process) = &service.workload else {
            return None;
        };
        let asked = process.user.as_ref()?;
        // A name that nobody has is refused when the replica is started, with its reason.
        let wanted = tend_linux::resolve_user(asked).ok()?.credentials;
        let same = own
            .as_ref()
            .is_some_and(|own| wanted.uid == own.uid && (wanted.gid == own.gid || own.groups.contains(&wanted.gid)));
        (!same).then(|| format!("{} is to run as `{asked}`", service.name))
    })
}

/// Returns the user that stands for a stack whose file belongs to root.
///
/// Derived from the name, so that it is the same after the state was lost and restored files still belong to it.
fn own_user(stack: &str) -> Credentials {
    let uid = OWN_USERS.start + tend_base::fnv32(stack.as_bytes()) % (OWN_USERS.end - OWN_USERS.start);
    Credentials {
        uid,
        gid: uid,
        groups: Vec::new(),
    }
}

/// Returns the whole environment of a process of a service, having made the folder for its data.
pub(crate) fn environment(
    shared: &Shared,
    launch: &Launch,
    stack: &str,
    who: &Option<Credentials>,
) -> BTreeMap<String, String> {
    let data = data_folder(shared, stack, who.as_ref());
    let mut environment = BTreeMap::new();
    for name in INHERITED {
        if let Ok(value) = std::env::var(name) {
            environment.insert(name.to_owned(), value);
        }
    }
    environment
        .entry("PATH".to_owned())
        .or_insert_with(|| PATH_DEFAULT.to_owned());
    let home = match who {
        Some(who) => tend_linux::user_of_uid(who.uid).ok().and_then(|user| user.home),
        None => std::env::var("HOME").ok(),
    };
    environment.insert("HOME".to_owned(), home.unwrap_or_else(|| data.display().to_string()));
    environment.insert("TEND_DATA_DIR".to_owned(), data.display().to_string());
    if let tend_core::model::Port::Descriptor(_) = launch.port_form {
        environment.insert("LISTEN_FDS".to_owned(), "1".to_owned());
    }
    environment.extend(launch.environment.clone());
    environment
}

fn data_folder(shared: &Shared, stack: &str, who: Option<&Credentials>) -> PathBuf {
    let folder = shared.paths.state.join("data").join(stack);
    // A service that needs the folder says what it misses; one that does not is not kept from starting.
    if std::fs::create_dir_all(&folder).is_ok()
        && let Some(who) = who
    {
        let _ = std::os::unix::fs::chown(&folder, Some(who.uid), Some(who.gid));
    }
    folder
}

/// Returns a command to be run in a service's environment.
pub(crate) fn program(
    command: &[String],
    directory: &Path,
    environment: &BTreeMap<String, String>,
    who: Option<&Credentials>,
) -> Program {
    use std::os::unix::process::CommandExt;
    let (name, arguments) = command
        .split_first()
        .map_or(("", &[][..]), |(name, arguments)| (name.as_str(), arguments));
    // As the shim does it: a name with a slash is relative to the service's folder.
    let name = if name.contains('/') {
        directory.join(name)
    } else {
        PathBuf::from(name)
    };
    let mut program = Program::new(name);
    program
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment)
        .process_group(0);
    if let Some(who) = who {
        program.uid(who.uid).gid(who.gid);
    }
    program
}

/// Prepares the control groups of this machine, and returns what of a service's limits can be enforced.
pub(crate) fn limits() -> (Option<Hierarchy>, LimitsReport) {
    let (hierarchy, limits) = Hierarchy::prepare();
    let by = |means: Means| match means {
        Means::Cgroup => Enforcement::Cgroup,
        Means::Polling => Enforcement::Measured,
        Means::None => Enforcement::None,
    };
    let report = LimitsReport {
        memory: by(limits.memory),
        cpus: by(limits.cpu),
        pids: by(limits.pids),
        why: limits.reason.unwrap_or_default(),
    };
    (hierarchy, report)
}

/// Processors that `cpu.weight` 100, everybody's, stands for when a service reserves some.
const CPU_WEIGHT_PER_PROCESSOR: f64 = 100.0;

/// Returns the name of the control group of one life of a replica.
pub(crate) fn group_name(shared: &Shared, replica: &ReplicaId, incarnation: u64) -> String {
    format!("{}.{replica}.{incarnation}", shared.name)
}

/// Returns the control group for one life of a replica, made with its limits; none where the machine has none to give.
///
/// The name carries the daemon's state folder: two daemons of one machine must never put replicas into one group, because
/// a group is killed as a whole.
///
/// # Errors
/// When there are groups and this one cannot be made: a limit that was asked for and is not there would be a lie.
pub(crate) fn cgroup(
    shared: &Shared,
    replica: &ReplicaId,
    incarnation: u64,
    resources: &Resources,
) -> Result<Option<PathBuf>, StartFailure> {
    let Some(hierarchy) = &shared.cgroups else {
        return Ok(None);
    };
    let limits = GroupLimits {
        memory_max: resources.memory_max,
        memory_low: resources.memory_reserved,
        cpus_max: resources.cpus_max,
        cpu_weight: resources
            .cpus_reserved
            .map(|processors| (processors * CPU_WEIGHT_PER_PROCESSOR).clamp(1.0, 10_000.0) as u64),
        pids_max: resources.pids_max,
    };
    hierarchy
        .make_group(&group_name(shared, replica, incarnation), &limits)
        .map(Some)
        .map_err(|error| StartFailure {
            hint: error.hint(),
            why: error.to_string(),
            permanent: false,
            port_taken: false,
        })
}
