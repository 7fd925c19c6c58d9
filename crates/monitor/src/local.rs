//! What is measured within this process: the machine, the edge, processes, servers. Makes jobs of them; asks nobody.

use std::collections::BTreeMap;
use std::pin::Pin;

use tend_collect::{Collector, Node, Postgres};
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
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
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

/// The jobs of one stack.
pub(crate) fn jobs(stack: &str, part: &StackPart) -> Vec<Job> {
    let mut jobs = Vec::new();
    for kind in [ServerKind::Postgres, ServerKind::Mysql, ServerKind::Redis] {
        let name = match kind {
            ServerKind::Postgres => "postgres",
            ServerKind::Mysql => "mysql",
            ServerKind::Redis => "redis",
        };
        let of_kind = part.servers.iter().filter(|server| server.kind == kind);
        let built_in: Vec<BuiltIn> = of_kind.filter_map(|server| server_of(name, server)).collect();
        if !built_in.is_empty() {
            let mut job = job(name, part.pace, built_in);
            crate::plan::mark(&mut job.settings, stack);
            jobs.push(job);
        }
    }
    jobs
}

fn server_of(job: &str, server: &ServerTarget) -> Option<BuiltIn> {
    let gather: Box<dyn Gather> = match server.kind {
        ServerKind::Postgres => Box::new(Collected(Postgres::new(&server.url).ok()?)),
        ServerKind::Mysql | ServerKind::Redis => return None,
    };
    Some(BuiltIn {
        identity: server.name.clone(),
        labels: labels(&[("job", job), ("instance", &server.name)]),
        gather,
    })
}
