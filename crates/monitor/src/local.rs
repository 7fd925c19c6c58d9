//! What is measured within this process: the machine, the edge, processes, servers. Makes jobs of them; asks nobody.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;

use tend_collect::{Collector, Mysql, Node, Postgres, Processes, Redis, RedisAddress, ReplicaProcess};
use tend_database::Address;
use tend_scrape::{BuiltIn, Gather, Gathered, Global, Job, Settings};

use crate::snapshot::{Pace, ServerKind, ServerTarget, StackPart};

/// A collector as the scraper asks it.
struct Collected<C>(C);

impl<C: Collector> Gather for Collected<C> {
    fn gather(&mut self) -> Pin<Box<dyn Future<Output = Gathered> + Send + '_>> {
        Box::pin(async { self.0.collect().await.map_err(|error| tend_base::with_causes(&error)) })
    }
}

/// Who gives what the edge counts.
pub type EdgeGather = fn() -> Box<dyn Gather>;

/// Who gives what the daemon knows of a stack, by its name.
pub type DaemonGather = fn(&str) -> Box<dyn Gather>;

fn job(name: &str, pace: Pace, built_in: Vec<BuiltIn>) -> Job {
    let mut settings = Settings::of(&Global::default());
    settings.interval_ms = pace.interval_ms;
    settings.timeout_ms = pace.timeout_ms.min(pace.interval_ms);
    Job {
        name: name.to_owned(),
        settings,
        groups: Vec::new(),
        files: Vec::new(),
        built_in,
        undone: Vec::new(),
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The jobs of the machine, which every stack sees.
pub(crate) fn of_machine(node: Option<Pace>, edge: Option<Pace>, edge_gather: Option<EdgeGather>) -> Vec<Job> {
    let mut jobs = Vec::new();
    // Named as node_exporter's and nginx' jobs are in the guides' configurations.
    if let Some(pace) = node {
        let built_in = BuiltIn {
            identity: host(),
            labels: labels(&[("job", "node")]),
            gather: Box::new(Collected(Node::new())),
        };
        jobs.push(job("node", pace, vec![built_in]));
    }
    if let Some((pace, gather)) = edge.zip(edge_gather) {
        let built_in = BuiltIn {
            identity: host(),
            labels: labels(&[("job", "edge")]),
            gather: gather(),
        };
        jobs.push(job("edge", pace, vec![built_in]));
    }
    jobs
}

/// The name of this machine.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The jobs of one stack, and what of it cannot be measured.
pub(crate) fn jobs(stack: &str, part: &StackPart, daemon: Option<DaemonGather>) -> (Vec<Job>, Vec<String>) {
    let (mut jobs, mut wrong) = (Vec::new(), Vec::new());
    jobs.extend(processes(part));
    if let Some(gather) = daemon.filter(|_| part.daemon) {
        let built_in = BuiltIn {
            identity: host(),
            labels: labels(&[("job", "tend")]),
            gather: gather(stack),
        };
        jobs.push(job("tend", part.pace, vec![built_in]));
    }
    for kind in [ServerKind::Postgres, ServerKind::Mysql, ServerKind::Redis] {
        let name = match kind {
            ServerKind::Postgres => "postgres",
            ServerKind::Mysql => "mysql",
            ServerKind::Redis => "redis",
        };
        let of_kind = part.servers.iter().filter(|server| server.kind == kind);
        let mut built_in = Vec::new();
        for server in of_kind {
            match server_of(name, server) {
                Ok(target) => built_in.push(target),
                Err(why) => wrong.push(why),
            }
        }
        if !built_in.is_empty() {
            jobs.push(job(name, part.pace, built_in));
        }
    }
    for job in &mut jobs {
        crate::plan::mark(&mut job.settings, stack);
    }
    (jobs, wrong)
}

/// The processes of a stack's replicas: one pass over the process table for all.
fn processes(part: &StackPart) -> Option<Job> {
    let watched: Vec<ReplicaProcess> = (part.processes.iter())
        .filter_map(|process| {
            let pid = i32::try_from(process.pid).ok()?;
            // One that has ended meanwhile is not looked for.
            let start_time = tend_linux::ProcStat::read(pid).ok()?.start_time;
            Some(ReplicaProcess {
                pid,
                start_time,
                shim_pid: None,
                cgroup: None,
                labels: vec![
                    ("service".to_owned(), process.service.clone()),
                    ("replica".to_owned(), process.replica.to_string()),
                ],
            })
        })
        .collect();
    if watched.is_empty() {
        return None;
    }
    // A target keeps its collector as long as its identity stays, so that says which processes they are.
    let which: Vec<String> = watched
        .iter()
        .map(|process| format!("{}.{}", process.pid, process.start_time))
        .collect();
    let built_in = BuiltIn {
        identity: which.join(" "),
        labels: labels(&[("job", "process"), ("instance", &host())]),
        gather: Box::new(Collected(Processes::new(watched))),
    };
    Some(job("process", part.pace, vec![built_in]))
}

fn server_of(job: &str, server: &ServerTarget) -> Result<BuiltIn, String> {
    let wrong = |error: &dyn std::error::Error| {
        format!(
            "`metrics.collect.{job}` {}: {}",
            server.name,
            tend_base::with_causes(error)
        )
    };
    let address = || Address::parse(&server.url, Path::new("/")).map_err(|error| wrong(&error));
    let gather: Box<dyn Gather> = match server.kind {
        ServerKind::Postgres => Box::new(Collected(Postgres::new(address()?))),
        ServerKind::Mysql => Box::new(Collected(Mysql::new(address()?))),
        ServerKind::Redis => {
            let address = RedisAddress::parse(&server.url).map_err(|error| wrong(&error))?;
            Box::new(Collected(Redis::new(address)))
        }
    };
    Ok(BuiltIn {
        identity: server.name.clone(),
        labels: labels(&[("job", job), ("instance", &server.name)]),
        gather,
    })
}
