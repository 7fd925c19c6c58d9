//! What a stack's part of a snapshot comes to once its texts are read: jobs, rules, routing. Asks nobody and keeps nothing.
//!
//! A text that cannot be read as a whole is refused with all that is wrong, and what stood before goes on.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;

use tend_alert::{Config, read_config, read_rules};
use tend_core::model::{Figure, FigureLimits};
use tend_promql::Labels;
use tend_relabel::{Rule, RuleText};
use tend_rules::Source;
use tend_scorecard::Scorer;
use tend_scrape::{BuiltIn, Gather, Gathered, Global, Group, Job, Settings};

use crate::snapshot::{FileText, ReplicaTarget, StackPart};
use crate::view::STACK;

/// The labels of a replica's series.
const SERVICE: &str = "service";
const REPLICA: &str = "replica";

/// Bytes of a file of templates.
const TEMPLATE_BYTES_MAX: u64 = 1 << 20;

/// What a `prometheus.yml` says, or what stands in its place.
#[derive(Debug, Default)]
pub(crate) struct Scraping {
    pub(crate) global: Global,
    pub(crate) jobs: Vec<Job>,
}

/// Reads a stack's `prometheus.yml`; adds what the stack file says.
///
/// # Errors
/// All that is wrong with it, a text each. What it says and is not done comes along as a warning.
pub(crate) fn scraping(stack: &str, part: &StackPart) -> Result<(Scraping, Vec<String>), Vec<String>> {
    let mut warnings = Vec::new();
    let mut scraping = match &part.scrape {
        None => Scraping {
            global: Global {
                scrape_interval_ms: part.pace.interval_ms,
                scrape_timeout_ms: part.pace.timeout_ms,
                evaluation_interval_ms: part.pace.interval_ms,
                ..Global::default()
            },
            jobs: Vec::new(),
        },
        Some(file) => {
            let (config, said) =
                tend_scrape::read_config(&file.path, file.text.expose()).map_err(|report| vec![report.to_string()])?;
            if !said.0.is_empty() {
                warnings.push(said.to_string());
            }
            let shown = file.path.display();
            if !config.rule_files.is_empty() {
                warnings.push(format!(
                    "`rule_files` of `{shown}` are not read: `alerts: rules:` of the stack file names them"
                ));
            }
            if !config.alertmanagers.is_empty() {
                warnings.push(format!(
                    "`alerting` of `{shown}` has no effect: `alerts: alertmanager:` of the stack file says who is told"
                ));
            }
            Scraping {
                global: config.global,
                jobs: config.jobs,
            }
        }
    };
    replicas(&mut scraping, &part.replicas);
    for job in &mut scraping.jobs {
        mark(&mut job.settings, stack);
        job.settings.http.tls.owner = part.owner;
    }
    Ok((scraping, warnings))
}

/// Adds the replicas of services, a job for each name, path and pace.
fn replicas(scraping: &mut Scraping, targets: &[ReplicaTarget]) {
    let mut jobs: BTreeMap<String, Job> = BTreeMap::new();
    for target in targets {
        // A job of the file may have the same name: a pool is known by its name, so ours has one that no file's has.
        let name = format!("{}/{}", target.service, target.job);
        let job = jobs.entry(name.clone()).or_insert_with(|| {
            let mut settings = Settings::of(&scraping.global);
            settings.interval_ms = target.pace.interval_ms;
            settings.timeout_ms = target.pace.timeout_ms.min(target.pace.interval_ms);
            let (path, query) = target.path.split_once('?').unwrap_or((&target.path, ""));
            path.clone_into(&mut settings.metrics_path);
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                settings
                    .params
                    .entry(name.to_owned())
                    .or_default()
                    .push(value.to_owned());
            }
            Job {
                name,
                settings,
                groups: Vec::new(),
                files: Vec::new(),
                built_in: Vec::new(),
                undone: Vec::new(),
            }
        });
        let mut labels = target.labels.clone();
        labels.insert("job".to_owned(), target.job.clone());
        labels.insert(SERVICE.to_owned(), target.service.clone());
        labels.insert(REPLICA.to_owned(), target.replica.to_string());
        match target.address {
            Some(address) => job.groups.push(Group {
                targets: vec![address.to_string()],
                labels,
            }),
            None => job.built_in.push(BuiltIn {
                identity: format!("{}/{}", target.service, target.replica),
                labels,
                gather: Box::new(Stopped),
            }),
        }
    }
    scraping.jobs.extend(jobs.into_values());
}

/// A replica that a person stopped: there is nobody to ask.
struct Stopped;

impl Gather for Stopped {
    fn gather(&mut self) -> Pin<Box<dyn Future<Output = Gathered> + Send + '_>> {
        Box::pin(async { Err("its service was stopped: `tend start` starts it".to_owned()) })
    }
}

/// Has every series of a job carry its stack, whatever the job's own rules or its exporters say: who sees a series depends on it.
pub(crate) fn mark(settings: &mut Settings, stack: &str) {
    let rule = Rule::new(RuleText {
        target_label: STACK.to_owned(),
        replacement: stack.to_owned(),
        ..RuleText::default()
    })
    .expect("invariant: a rule that sets a label to a name is one");
    settings.relabel.push(rule.clone());
    settings.metric_relabel.push(rule);
}

/// Reads files of rules. Those that can be read count, beside those that cannot.
///
/// # Errors
/// Never as a whole: what is wrong comes second, a text for each file.
pub(crate) fn rules(files: &[FileText], stood: &[Source]) -> (Vec<Source>, Vec<String>) {
    let (mut sources, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        let name = file.path.display().to_string();
        match read_rules(&file.path, file.text.expose()) {
            Ok(read) => sources.push(Source {
                file: name,
                groups: read.groups,
            }),
            Err(report) => {
                wrong.push(report.to_string());
                // A slip of the pen must not leave a machine unwatched: what stood before stands.
                sources.extend(stood.iter().filter(|source| source.file == name).cloned());
            }
        }
    }
    (sources, wrong)
}

/// Reads a routing; without one nobody is told, and alerts are there to be looked at.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn routing(file: Option<&FileText>) -> Result<(Config, Vec<String>), Vec<String>> {
    let nobody = FileText {
        path: Path::new("alerts").to_owned(),
        text: tend_base::Secret::new("route: { receiver: nobody }\nreceivers: [ { name: nobody } ]\n".to_owned())
            .into(),
    };
    let file = file.unwrap_or(&nobody);
    let config = read_config(&file.path, file.text.expose()).map_err(|report| vec![report.to_string()])?;
    let said = match config.warnings.0.is_empty() {
        true => Vec::new(),
        false => vec![config.warnings.to_string()],
    };
    Ok((config, said))
}

/// Reads the templates of a routing, and says which cannot be. What is relative is below the folder of the file that names it.
pub(crate) fn templates(config: &Config, part: &StackPart) -> (Vec<(String, String)>, Vec<String>) {
    let (mut templates, mut wrong) = (Vec::new(), Vec::new());
    let folder = part
        .routing
        .as_ref()
        .and_then(|file| file.path.parent())
        .unwrap_or(Path::new("/"));
    for pattern in &config.templates {
        let told = |error: &std::io::Error| {
            let why = tend_base::without_os_numbers(&error.to_string());
            format!("the templates `{pattern}` could not be read: {why}")
        };
        let paths = match tend_scrape::expand(&folder.join(pattern)) {
            Ok(paths) => paths,
            Err(error) => {
                wrong.push(told(&error));
                continue;
            }
        };
        for path in paths {
            match tend_base::read_owned(&path, part.owner, TEMPLATE_BYTES_MAX) {
                Ok(bytes) => templates.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned())),
                Err(error) => wrong.push(told(&error)),
            }
        }
    }
    (templates, wrong)
}

/// Reads what a stack says of its scorecard; the guide's figures where it says nothing.
///
/// # Errors
/// Each query that cannot be used.
pub(crate) fn scorer(score: &serde_json::Value) -> Result<Scorer, Vec<String>> {
    let limits: BTreeMap<Figure, FigureLimits> = match score {
        serde_json::Value::Null => BTreeMap::new(),
        score => serde_json::from_value(score.clone()).map_err(|error| vec![error.to_string()])?,
    };
    Scorer::new(&limits).map_err(|wrong| wrong.iter().map(|error| tend_base::with_causes(error)).collect())
}

/// The labels that are added to everything that leaves, sorted.
pub(crate) fn by_name(labels: &Labels) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
