//! One service: everything a process and a container have in common.

use std::collections::BTreeSet;
use std::time::Duration;

use tend_base::parse_bytes;
use tend_core::model::{
    Condition, Dependency, DependencyCondition, Logs, Port, Replicas, Resources, RestartPolicy, Schedule, Service,
    ServiceName, Stop, WhenBehind, Workload,
};

use super::probe::{self, count, duration};
use super::{Role, config, is_process, metrics, process, update};
use crate::error::Findings;
use crate::load::{Session, Setting};
use crate::schema::{Reach, SERVICE, parse_signal};
use crate::yaml::{Entry, Node};

/// Without a readiness probe a replica is ready once it stayed up for this long.
const START_PERIOD: Duration = Duration::from_secs(1);
/// Compose's own.
const GRACE_PERIOD: Duration = Duration::from_secs(10);
/// SIGTERM.
const STOP_SIGNAL: i32 = 15;
const LOG_BYTES: u64 = 10 << 20;
const LOG_FILES: u32 = 5;
/// A stable replica is started again at once; the second time in a row after this.
const DELAY: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(30);
const ATTEMPTS_MAX: u32 = 10;
/// Below this the machine would do little else than start replicas.
const DELAY_MAX_MIN: Duration = Duration::from_millis(100);
const EVERY_MIN: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(1);

/// Makes the model of one service.
pub(super) fn lower(
    session: &mut Session<'_>,
    entry: &Entry,
    name: ServiceName,
    role: Role,
    setting: &Setting,
) -> Option<Service> {
    let node = &entry.value;
    let is_process = is_process(node);
    warn_of_reach(entry, is_process, &mut session.findings);
    if let Some(check) = node.get("healthcheck") {
        probe::check_test(check, &mut session.findings);
    }
    // For a container too the files of variables are read: Compose refuses one whose file is missing.
    let environment = process::environment(session, node, &entry.key, setting);
    session.environments.insert(name.clone(), environment.clone());
    let workload = if is_process {
        process::lower(session, entry, environment).map(Workload::Process)
    } else {
        Some(Workload::Container { image: image(node) })
    };
    let findings = &mut session.findings;
    let replicas = process::replicas(node, &entry.key, findings);
    let readiness_node = node.get("readiness");
    let readiness = match (readiness_node, node.get("healthcheck")) {
        (Some(readiness), _) => probe::probe(readiness, "readiness", findings),
        (None, Some(check)) if is_process => probe::healthcheck(check, &entry.key, findings),
        _ => None,
    };
    let liveness_node = node.get("liveness");
    let liveness = liveness_node.and_then(|liveness| probe::probe(liveness, "liveness", findings));
    let asked = [readiness_node, liveness_node]
        .into_iter()
        .flatten()
        .any(probe::asks_own_port)
        || ["smoke", "quiesce"].into_iter().any(|key| node.get(key).is_some())
        || node
            .get("metrics")
            .is_some_and(|metrics| metrics.as_map().is_some() && metrics.get("port").is_none());
    let published = node.get("ports").is_some_and(|ports| !ports.items().is_empty());
    let port = if is_process {
        port(node, role.routed || asked || published)
    } else {
        Port::None
    };
    if is_process {
        for (what, probe) in [("readiness", readiness_node), ("liveness", liveness_node)] {
            if let Some(probe) = probe {
                probe::check_port(probe, what, &port, findings);
            }
        }
        check_fixed_port(entry, &port, replicas, findings);
        update::check_port(entry, &port, findings);
    }
    if let Some(every) = node.get("restart_every")
        && duration(node, "restart_every").is_some_and(|time| time < EVERY_MIN)
    {
        findings
            .error(every.place, "`restart_every` must be 1s or more")
            .help("such as `restart_every: 12h`");
    }
    let restart = restart(entry, is_process, role.job, findings);
    let resources = resources(node, &entry.key, findings);
    let logs = logs(node, findings);
    let (update, rollback) = update::update(entry, &port, findings);
    let strategy = update::strategy(entry, &port, findings);
    let smoke = update::smoke(node, findings);
    let quiesce = update::quiesce(node, findings);
    let drain = update::drain(node, findings);
    let config = config::delivery(entry, role.configured, findings);
    let metrics = metrics::service(entry, &port, replicas, role.measured, findings);
    Some(Service {
        name,
        workload: workload?,
        replicas,
        depends_on: dependencies(node),
        restart,
        restart_schedule: duration(node, "restart_every").map(Schedule::Every),
        liveness,
        readiness,
        start_period: duration(node, "start_period").unwrap_or(START_PERIOD),
        resources,
        stop: Stop {
            signal: node
                .get("stop_signal")
                .and_then(|signal| parse_signal(signal.as_text()?))
                .unwrap_or(STOP_SIGNAL),
            grace_period: duration(node, "stop_grace_period").unwrap_or(GRACE_PERIOD),
            drain,
        },
        logs,
        port,
        update,
        rollback,
        strategy,
        smoke,
        quiesce,
        secrets: Vec::new(),
        config,
        metrics,
    })
}

/// Says which keys of a process only a container could follow, and which of a container only a process.
fn warn_of_reach(entry: &Entry, is_process: bool, findings: &mut Findings) {
    let name = &entry.key;
    for inner in entry.value.entries() {
        let Some(key) = SERVICE.key(&inner.key) else {
            continue;
        };
        match key.reach {
            Reach::Container if is_process && !inner.value.is_null() => {
                findings
                    .warning(
                        inner.place,
                        format!("`{}` has no effect on `{name}`, which is a process", inner.key),
                    )
                    .help(match inner.key.as_str() {
                        "volumes" | "tmpfs" => {
                            "a process sees the files of the machine; name them by their paths".to_owned()
                        }
                        "networks" | "network_mode" | "hostname" | "extra_hosts" | "dns" | "links" => {
                            "a process uses the network of the machine; others are reached as ${service.NAME.url}"
                                .to_owned()
                        }
                        "configs" => "a process gets such values by `environment` or `env_file`".to_owned(),
                        _ => "delete it, or run the service as a container with `image:`".to_owned(),
                    });
            }
            Reach::Ours if !is_process && !matches!(inner.key.as_str(), "replicas" | "restart_policy") => {
                findings
                    .warning(
                        inner.place,
                        format!("`{}` has no effect on `{name}`, which is a container", inner.key),
                    )
                    .help("it is for services that run as processes");
            }
            _ => {}
        }
    }
    if is_process {
        for limit in entry.value.get("ulimits").map_or(&[][..], Node::entries) {
            if limit.key != "nofile" {
                findings
                    .warning(
                        limit.place,
                        format!("`ulimits.{}` has no effect on `{name}`, which is a process", limit.key),
                    )
                    .help("of the limits of the kernel only `nofile` is set in this version of tend");
            }
        }
    }
}

fn image(node: &Node) -> String {
    let text = |path: &[&str]| node.at(path).and_then(Node::as_text).map(str::to_owned);
    text(&["image"])
        .or_else(|| text(&["build", "context"]))
        .or_else(|| text(&["provider", "type"]))
        .unwrap_or_else(|| ".".to_owned())
}

fn port(node: &Node, wanted: bool) -> Port {
    let default = if wanted {
        Port::Variable("PORT".to_owned())
    } else {
        Port::None
    };
    let Some(port) = node.get("port") else {
        return default;
    };
    if let Some(text) = port.as_text() {
        return match text.parse() {
            Ok(number) => Port::Fixed(number),
            Err(_) if text == "none" => Port::None,
            Err(_) => Port::Variable(text.to_owned()),
        };
    }
    if let Some(variable) = port.get("variable").and_then(Node::as_text) {
        return Port::Variable(variable.to_owned());
    }
    port.get("fd")
        .and_then(|fd| fd.as_text()?.parse().ok())
        .map_or(default, Port::Descriptor)
}

/// One fixed port cannot be listened at by two replicas.
fn check_fixed_port(entry: &Entry, port: &Port, replicas: Replicas, findings: &mut Findings) {
    let node = &entry.value;
    if let Some(written) = node.get("port")
        && written.as_map().is_some()
        && written
            .entries()
            .iter()
            .filter(|one| !one.key.starts_with("x-"))
            .count()
            != 1
    {
        findings
            .error(written.place, "`port` takes one of `variable` and `fd`")
            .help("write `port: {fd: 3}`, `port: PORT` or `port: 3000`");
    }
    let several = match replicas {
        Replicas::Count(count) => count > 1,
        Replicas::Max => true,
    };
    if let (Port::Fixed(number), true, Some(written)) = (port, several, node.get("port")) {
        findings
            .error(
                written.place,
                format!("several replicas of `{}` cannot all listen at port {number}", entry.key),
            )
            .help("write `port: PORT`: each replica gets a port of its own in that variable");
    }
}

fn dependencies(node: &Node) -> Vec<Dependency> {
    node.get("depends_on")
        .map_or(&[][..], Node::entries)
        .iter()
        .filter_map(|entry| {
            let flag = |key: &str| entry.value.get(key).and_then(Node::as_bool);
            Some(Dependency {
                service: entry.key.parse().ok()?,
                condition: match entry.value.get("condition").and_then(Node::as_text) {
                    Some("service_healthy") => DependencyCondition::Healthy,
                    Some("service_completed_successfully") => DependencyCondition::CompletedSuccessfully,
                    _ => DependencyCondition::Started,
                },
                restart: flag("restart").unwrap_or(false),
                required: flag("required").unwrap_or(true),
            })
        })
        .collect()
}

/// Reads `restart` and `restart_policy`; the policy wins, as in Compose.
///
/// A process whose end another service waits for is a job: unless said otherwise it runs until it succeeded once.
fn restart(entry: &Entry, is_process: bool, job: bool, findings: &mut Findings) -> RestartPolicy {
    let node = &entry.value;
    let mut policy = RestartPolicy {
        condition: match (is_process, job) {
            (false, _) => Condition::Never,
            (true, true) => Condition::OnFailure,
            (true, false) => Condition::Always,
        },
        delay: DELAY,
        delay_max: DELAY_MAX,
        max_attempts: ATTEMPTS_MAX,
        window: WINDOW,
    };
    if let Some(text) = node.get("restart").and_then(Node::as_text) {
        let (word, attempts) = text.split_once(':').unwrap_or((text, ""));
        policy.condition = match word {
            "always" | "unless-stopped" => Condition::Always,
            "on-failure" => Condition::OnFailure,
            _ => Condition::Never,
        };
        // To the engine 0 is no limit; here it is the default, since no replica is given up.
        policy.max_attempts = attempts
            .parse()
            .ok()
            .filter(|attempts| *attempts > 0)
            .unwrap_or(ATTEMPTS_MAX);
    }
    for written in [node.at(&["deploy", "restart_policy"]), node.get("restart_policy")]
        .into_iter()
        .flatten()
    {
        match written.get("condition").and_then(Node::as_text) {
            Some("none") => policy.condition = Condition::Never,
            Some("on-failure") => policy.condition = Condition::OnFailure,
            _ => policy.condition = Condition::Always,
        }
        policy.delay = duration(written, "delay").unwrap_or(policy.delay);
        policy.delay_max = duration(written, "delay_max").unwrap_or(policy.delay_max.max(policy.delay));
        policy.max_attempts = count(written, "max_attempts")
            .filter(|attempts| *attempts > 0)
            .unwrap_or(policy.max_attempts);
        policy.window = duration(written, "window").unwrap_or(policy.window);
        if let Some(written) = written.get("delay_max")
            && policy.delay_max < DELAY_MAX_MIN
        {
            findings
                .error(written.place, "`delay_max` must be 100ms or more")
                .help("a replica that keeps failing is tried this often, for ever");
        }
        if policy.delay > policy.delay_max {
            let place = written.get("delay_max").unwrap_or(written).place;
            findings
                .error(place, "`delay_max` is below `delay`")
                .help("the delay grows from `delay` to `delay_max`");
        }
    }
    if job && is_process && policy.condition == Condition::Always {
        let written = ["restart", "restart_policy"]
            .into_iter()
            .find_map(|key| node.get(key))
            .or_else(|| node.at(&["deploy", "restart_policy"]))
            .map_or(entry.place, |written| written.place);
        findings
            .warning(
                written,
                format!(
                    "another service waits for `{}` to end, and it is always started again",
                    entry.key
                ),
            )
            .help("write `restart: on-failure`, or leave it out: that is the default of such a service");
    }
    policy
}

/// Returns the services whose successful end another one waits for.
pub(super) fn jobs(services: &[Entry]) -> BTreeSet<String> {
    services
        .iter()
        .flat_map(|service| service.value.get("depends_on").map_or(&[][..], Node::entries))
        .filter(|on| on.value.get("condition").and_then(Node::as_text) == Some("service_completed_successfully"))
        .map(|on| on.key.clone())
        .collect()
}

fn bytes(node: &Node) -> Option<u64> {
    node.as_text().and_then(|text| parse_bytes(text).ok())
}

fn resources(node: &Node, service: &str, findings: &mut Findings) -> Resources {
    let mut both = |legacy: &str, path: &[&str]| {
        let one = node.get(legacy);
        let other = node.at(path);
        if let (Some(one), Some(other)) = (one, other)
            && one.as_text() != other.as_text()
            && (bytes(one).is_none() || bytes(one) != bytes(other))
        {
            let path = path.join(".");
            findings
                .error(one.place, format!("`{legacy}` and `{path}` of `{service}` differ"))
                .also(other.place, "the other")
                .help(format!("keep `{path}`"));
        }
        other.or(one)
    };
    let limit = |key| ["deploy", "resources", "limits", key];
    let reserved = |key| ["deploy", "resources", "reservations", key];
    let memory_max = both("mem_limit", &limit("memory"));
    let cpus_max = both("cpus", &limit("cpus"));
    let pids_max = both("pids_limit", &limit("pids"));
    let memory_reserved = both("mem_reservation", &reserved("memory"));
    let cpus_reserved = node.at(&reserved("cpus"));
    let number = |node: &Node| node.as_text()?.parse::<f64>().ok().filter(|number| *number > 0.0);
    Resources {
        // Compose: 0 is no limit.
        memory_max: memory_max.and_then(bytes).filter(|bytes| *bytes > 0),
        cpus_max: cpus_max.and_then(number),
        pids_max: pids_max
            .and_then(|pids| pids.as_text()?.parse::<i64>().ok())
            .and_then(|pids| u64::try_from(pids).ok())
            .filter(|pids| *pids > 0),
        memory_reserved: memory_reserved.and_then(bytes).filter(|bytes| *bytes > 0),
        cpus_reserved: cpus_reserved.and_then(number),
    }
}

fn logs(node: &Node, findings: &mut Findings) -> Logs {
    let options = node.at(&["logging", "options"]);
    let option = |key: &str| options.and_then(|options| options.get(key));
    let mut logs = Logs {
        file_bytes_max: LOG_BYTES,
        files_max: LOG_FILES,
        when_behind: match node.at(&["logs", "when_behind"]).and_then(Node::as_text) {
            Some("block") => WhenBehind::Block,
            _ => WhenBehind::Drop,
        },
    };
    if !is_process(node) {
        return logs;
    }
    if let Some(size) = option("max-size") {
        match bytes(size).filter(|bytes| *bytes >= 4096) {
            Some(bytes) => logs.file_bytes_max = bytes,
            None => {
                findings
                    .error(size.place, "`max-size` takes a size from 4k")
                    .help("such as `max-size: 10m`");
            }
        }
    }
    if let Some(files) = option("max-file") {
        match files
            .as_text()
            .and_then(|text| text.parse().ok())
            .filter(|count| *count > 0)
        {
            Some(count) => logs.files_max = count,
            None => {
                findings
                    .error(files.place, "`max-file` takes a whole number from 1")
                    .help("such as `max-file: \"5\"`");
            }
        }
    }
    if let Some(driver) = node.at(&["logging", "driver"])
        && !matches!(driver.as_text(), Some("json-file" | "local"))
    {
        findings
            .warning(
                driver.place,
                format!(
                    "the log driver `{}` is for containers",
                    driver.as_text().unwrap_or_default()
                ),
            )
            .help("the output of a process goes into tend's own files; see `tend logs`");
    }
    logs
}
