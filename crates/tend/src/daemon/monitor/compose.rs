//! What the monitor is to measure and to tell, put together from what is known. Reads the files that stacks name, for their owners; decides
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tend_base::{Exposed, Secret, Wall, read_owned, without_os_numbers};
use tend_core::model::{
    Alerts, CollectFrom, Language, Metrics, RemoteWrite, Routing, SecretText, ServiceId, ServiceMetrics, ServiceName,
    Stack, StackName,
};
use tend_core::world::World;
use tend_monitor::{
    Deploying, FileText, Pace, ProcessTarget, ReplicaTarget, SNAPSHOT_VERSION, ServerKind, ServerTarget, Snapshot,
    StackPart,
};

/// The largest file of rules or configuration. The largest collection of rules in common use has about a tenth.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Files that one stack's patterns may give.
const FILES_MAX: usize = 500;

/// What one stack wants of the monitor, taken out of the daemon's world.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) name: StackName,
    metrics: Option<Metrics>,
    alerts: Option<Alerts>,
    /// On whose behalf its files are read; nobody's where the daemon reads for itself.
    owner: Option<u32>,
    replicas: Vec<ReplicaTarget>,
    processes: Vec<ProcessTarget>,
    secrets: BTreeSet<String>,
    /// The deployment that runs, and the last one that ended, of which the services are not known here.
    pub(super) deploys: Vec<Deploying>,
}

/// Returns what each stack wants; nothing of those that want nothing measured and nothing told.
pub(crate) fn wanted(world: &World) -> Vec<Wanted> {
    let stacks = world.stacks.iter().filter(|(_, wanted)| !wanted.removing);
    let stacks = stacks.filter_map(|(name, _)| world.stack_wanted(name));
    stacks
        .filter(|stack| is_wanted(stack))
        .map(|stack| {
            let (replicas, processes) = targets(world, stack);
            Wanted {
                name: stack.name.clone(),
                metrics: stack.metrics.clone(),
                alerts: stack.alerts.clone(),
                owner: crate::daemon::configuration::read_for(stack),
                replicas,
                processes,
                secrets: stack.monitor_secrets().into_iter().map(str::to_owned).collect(),
                deploys: deploys(world, &stack.name),
            }
        })
        .collect()
}

fn is_wanted(stack: &Stack) -> bool {
    let asked = stack.services.values().any(|service| service.metrics.is_some());
    stack.metrics.is_some() || stack.alerts.is_some() || asked
}

/// Returns the deployments of a stack that concern its alerts.
fn deploys(world: &World, stack: &StackName) -> Vec<Deploying> {
    let moment = |at: Wall| i64::try_from(at.0).unwrap_or(i64::MAX);
    let name = |number: u64| format!("deployment {number}");
    let mut deploys = Vec::new();
    if let Some(ended) = world.releases.get(stack).and_then(|releases| releases.history.last()) {
        deploys.push(Deploying {
            name: name(ended.number),
            since: moment(ended.begun),
            ended: Some(moment(ended.ended)),
            services: BTreeSet::new(),
        });
    }
    if let Some(running) = world.deployment(stack) {
        deploys.push(Deploying {
            name: name(running.number),
            since: moment(running.begun),
            ended: None,
            services: running.lanes.keys().map(ToString::to_string).collect(),
        });
    }
    deploys
}

/// Returns whom a stack has asked, and which processes it has measured.
fn targets(world: &World, stack: &Stack) -> (Vec<ReplicaTarget>, Vec<ProcessTarget>) {
    let chapter = pace(stack.metrics.as_ref());
    let of_processes = stack.metrics.as_ref().is_none_or(|metrics| metrics.collect.processes);
    let (mut replicas, mut processes) = (Vec::new(), Vec::new());
    let target = |service: &ServiceName, asked: &ServiceMetrics, slot: u32, port: Option<u16>| ReplicaTarget {
        service: service.to_string(),
        replica: slot,
        job: asked.job.clone(),
        address: port.map(|port| ([127, 0, 0, 1], port).into()),
        path: asked.path.clone(),
        pace: Pace {
            interval_ms: asked.interval.map_or(chapter.interval_ms, milliseconds),
            timeout_ms: asked.timeout.map_or(chapter.timeout_ms, milliseconds),
        },
        labels: asked.labels.clone(),
    };
    for (id, replica) in &world.replicas {
        let Some(service) = stack.services.get(&id.service).filter(|_| id.stack == stack.name) else {
            continue;
        };
        let pid = replica.pid();
        if let Some(pid) = pid.filter(|_| of_processes) {
            processes.push(ProcessTarget {
                service: id.service.to_string(),
                replica: id.slot,
                pid,
            });
        }
        // One that fell and is waited for is asked all the same: that it is down is what rules have to see.
        let is_due = pid.is_some() || (world.is_wanted(id) && !replica.completed);
        if let Some(asked) = service.metrics.as_ref().filter(|_| is_due)
            && let Some(port) = asked.port.or(replica.port)
        {
            replicas.push(target(&id.service, asked, id.slot, Some(port)));
        }
    }
    // What a person stopped is down, too. Its port is others' by now.
    for service in stack.services.values() {
        let Some(asked) = &service.metrics else { continue };
        let id = ServiceId {
            stack: stack.name.clone(),
            service: service.name.clone(),
        };
        let is_gone =
            |slot: &u32| (world.replicas.get(&id.replica(*slot))).is_none_or(|replica| replica.pid().is_none());
        let stopped = (1..=world.replicas_stopped(&id)).filter(is_gone);
        replicas.extend(stopped.map(|slot| target(&service.name, asked, slot, None)));
    }
    (replicas, processes)
}

fn pace(metrics: Option<&Metrics>) -> Pace {
    metrics.map_or(Pace::default(), |metrics| Pace {
        interval_ms: milliseconds(metrics.interval),
        timeout_ms: milliseconds(metrics.timeout),
    })
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the snapshot, and what of it is missing: by stack, in words for a person. Blocks on the disk.
///
/// `secret` gives the value of a secret of a stack's store.
pub(crate) fn compose(
    wanted: &[Wanted],
    secret: &dyn Fn(&str, &str) -> Result<Secret, String>,
) -> (Snapshot, BTreeMap<String, Vec<String>>) {
    let mut snapshot = Snapshot {
        version: SNAPSHOT_VERSION,
        retention_ms: 0,
        ..Snapshot::default()
    };
    let mut missing = BTreeMap::new();
    for wanted in wanted {
        let mut reading = Reading {
            stack: wanted.name.to_string(),
            owner: wanted.owner,
            secret,
            missing: Vec::new(),
        };
        let part = reading.part(wanted);
        if let Some(metrics) = &wanted.metrics {
            let own = part.pace;
            let soonest =
                |known: Option<Pace>| known.filter(|known| known.interval_ms <= own.interval_ms).or(Some(own));
            if metrics.collect.node {
                snapshot.node = soonest(snapshot.node);
            }
            if metrics.collect.edge {
                snapshot.edge = soonest(snapshot.edge);
            }
            snapshot.retention_ms = snapshot.retention_ms.max(milliseconds(metrics.retention.time));
            snapshot.retention_bytes = match (snapshot.retention_bytes, metrics.retention.bytes_max) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        snapshot.stacks.insert(reading.stack.clone(), part);
        if !reading.missing.is_empty() {
            missing.insert(reading.stack, reading.missing);
        }
    }
    (snapshot, missing)
}

/// Reads what one stack names.
struct Reading<'a> {
    stack: String,
    owner: Option<u32>,
    secret: &'a dyn Fn(&str, &str) -> Result<Secret, String>,
    missing: Vec<String>,
}

impl Reading<'_> {
    fn part(&mut self, wanted: &Wanted) -> StackPart {
        let metrics = wanted.metrics.as_ref();
        let alerts = wanted.alerts.as_ref();
        let mut secrets = BTreeMap::new();
        for name in &wanted.secrets {
            if let Some(value) = self.secret_named(name) {
                secrets.insert(name.clone(), value.into());
            }
        }
        let collect = metrics.map(|metrics| &metrics.collect);
        let mut servers = Vec::new();
        for (kind, of_kind) in [
            (ServerKind::Postgres, collect.map(|collect| &collect.postgres)),
            (ServerKind::Mysql, collect.map(|collect| &collect.mysql)),
            (ServerKind::Redis, collect.map(|collect| &collect.redis)),
        ] {
            servers.extend(
                of_kind
                    .into_iter()
                    .flatten()
                    .filter_map(|server| self.server(kind, server)),
            );
        }
        StackPart {
            owner: self.owner,
            listen: metrics.and_then(|metrics| metrics.listen),
            prometheus: (metrics.and_then(|metrics| metrics.prometheus.as_ref()))
                .and_then(|url| self.text(url))
                .map(Exposed),
            remote_write: (metrics.map_or(&[][..], |metrics| &metrics.remote_write).iter())
                .filter_map(|to| self.remote_write(to))
                .collect(),
            pace: pace(metrics),
            scrape: metrics
                .and_then(|metrics| metrics.config.as_ref())
                .and_then(|path| self.file(path)),
            rules: alerts.map_or_else(Vec::new, |alerts| self.rules(&alerts.rules)),
            routing: alerts.and_then(|alerts| self.routing(&alerts.routing)),
            secrets,
            chinese: alerts.is_some_and(|alerts| alerts.language == Language::Chinese),
            external_url: alerts
                .and_then(|alerts| alerts.external_url.clone())
                .unwrap_or_default(),
            absent: alerts.is_some_and(|alerts| alerts.absent),
            quiet_deploys_ms: alerts.and_then(|alerts| alerts.quiet_deploys).map(milliseconds),
            heartbeat: (alerts.and_then(|alerts| alerts.heartbeat.as_ref())).and_then(|heartbeat| {
                Some(tend_monitor::Heartbeat {
                    url: Exposed(self.text(&heartbeat.url)?),
                    every_ms: milliseconds(heartbeat.every),
                    proven_within_ms: milliseconds(heartbeat.proven_within),
                    watchdog: heartbeat.watchdog.clone(),
                })
            }),
            daemon: metrics.is_some(),
            replicas: wanted.replicas.clone(),
            processes: wanted.processes.clone(),
            servers,
            score: metrics
                .and_then(|metrics| serde_json::to_value(&metrics.score).ok())
                .unwrap_or_default(),
        }
    }

    fn remote_write(&mut self, to: &RemoteWrite) -> Option<tend_monitor::RemoteWrite> {
        let bearer = match &to.bearer {
            None => None,
            // Without its key it is not sent to: who takes it for somebody else must not be told more.
            Some(bearer) => Some(Exposed(self.text(bearer)?)),
        };
        Some(tend_monitor::RemoteWrite {
            url: Exposed(self.text(&to.url)?),
            bearer,
        })
    }

    fn server(&mut self, kind: ServerKind, server: &CollectFrom) -> Option<ServerTarget> {
        Some(ServerTarget {
            kind,
            name: server.name.clone(),
            url: Exposed(self.text(&server.url)?),
        })
    }

    fn routing(&mut self, routing: &Routing) -> Option<FileText> {
        match routing {
            Routing::Nobody => None,
            Routing::File(path) => self.file(path),
            Routing::Text { text, .. } => Some(FileText {
                path: PathBuf::from("alerts"),
                text: Exposed(Secret::new(text.clone())),
            }),
        }
    }

    /// Returns the files that patterns give, each once, in the order of their paths.
    fn rules(&mut self, patterns: &[PathBuf]) -> Vec<FileText> {
        let mut paths = BTreeSet::new();
        for pattern in patterns {
            let found = matching(pattern);
            if found.is_empty() {
                self.missing
                    .push(format!("no file of rules is at `{}`", pattern.display()));
            }
            paths.extend(found);
        }
        if paths.len() > FILES_MAX {
            self.missing.push(format!(
                "the patterns of `alerts.rules` give {} files, of which the first {FILES_MAX} are read",
                paths.len()
            ));
        }
        paths
            .iter()
            .take(FILES_MAX)
            .filter_map(|path| self.file(path))
            .collect()
    }

    fn file(&mut self, path: &Path) -> Option<FileText> {
        let read = read_owned(path, self.owner, FILE_BYTES_MAX).map_err(|error| without_os_numbers(&error.to_string()));
        // Prometheus takes rules whose comments are not in UTF-8, and so do we: a guide's are so.
        match read {
            Ok(bytes) => Some(FileText {
                path: path.to_owned(),
                text: Exposed(Secret::new(String::from_utf8_lossy(&bytes).into_owned())),
            }),
            Err(why) => {
                self.missing
                    .push(format!("`{}` could not be read: {why}", path.display()));
                None
            }
        }
    }

    fn text(&mut self, text: &SecretText) -> Option<Secret> {
        match text {
            SecretText::Written(text) => Some(Secret::new(text.clone())),
            SecretText::Secret(name) => self.secret_named(name),
            SecretText::File(path) => {
                let file = self.file(path)?;
                Some(Secret::new(file.text.expose().trim().to_owned()))
            }
        }
    }

    fn secret_named(&mut self, name: &str) -> Option<Secret> {
        match (self.secret)(&self.stack, name) {
            Ok(value) => Some(value),
            Err(why) => {
                self.missing.push(why);
                None
            }
        }
    }
}

/// Returns the paths that a pattern gives: `*` and `?` stand for what they stand for in a shell, in the last part only.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    if !name.contains(['*', '?']) {
        return pattern.exists().then(|| pattern.to_owned()).into_iter().collect();
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let hidden = name.starts_with('.');
    names
        .filter(|found| (hidden || !found.starts_with('.')) && is_like(name.as_bytes(), found.as_bytes()))
        .map(|found| folder.join(found))
        .collect()
}

/// Whether a name is as a pattern says. Goes back to the last `*` only, so it takes no more steps than their lengths multiplied.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut found, mut star) = (0, 0, None);
    while found < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, found));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == name[found] => {
                at += 1;
                found += 1;
            }
            _ => match star.as_mut() {
                Some((from, taken)) => {
                    *taken += 1;
                    (at, found) = (*from + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_pattern_is_read_as_a_shell_reads_it() {
        for (pattern, name, like) in [
            ("*.yml", "a.yml", true),
            ("*.yml", ".yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("rule?.yml", "rule1.yml", true),
            ("rule?.yml", "rule.yml", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(is_like(pattern.as_bytes(), name.as_bytes()), like, "{pattern} {name}");
        }
    }
}
