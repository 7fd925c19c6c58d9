//! What one stack shows at the doors: its series and those of the machine, its targets, rules and alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use tend_alert::{AlertError, Pipeline};
use tend_base::Wall;
use tend_doors::{
    About, Backend, Build, Command, DroppedTarget, Head, Health, MetricMetadata, RuleGroup, RuleStatus, Runtime,
    Target, TargetHealth, Targets, WriteError, WriteRequest,
};
use tend_exposition::Format;
use tend_promql::{Labels, Matcher, Store, StoreError, Timestamp, format_duration};
use tend_scrape::{Health as Scraped, Targets as Found};

use crate::machine::Machine;
use crate::stack::Watched;
use crate::view::STACK;

/// The version of Prometheus whose API is spoken: Grafana offers by it what can be asked.
const PROMETHEUS: &str = "3.1.0";

/// The version of Alertmanager whose API is spoken.
const ALERTMANAGER: &str = "0.28.0";

/// A stack behind its doors.
pub(crate) struct Shown {
    pub(crate) machine: Arc<Machine>,
    pub(crate) stack: Arc<Watched>,
}

impl Backend for Shown {
    fn now(&self) -> Timestamp {
        crate::now_ms()
    }

    fn store(&self) -> &dyn Store {
        &self.stack.view
    }

    fn series(
        &self,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
        each: &mut dyn FnMut(&Labels),
    ) -> Result<(), StoreError> {
        self.stack.view.series(matchers, range, each)
    }

    fn label_names(&self, matchers: &[Matcher], range: (Timestamp, Timestamp)) -> Result<BTreeSet<String>, StoreError> {
        self.stack.view.label_names(matchers, range)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
    ) -> Result<BTreeSet<String>, StoreError> {
        self.stack.view.label_values(name, matchers, range)
    }

    fn metadata(&self) -> Vec<MetricMetadata> {
        let mut told = Vec::new();
        for scraper in [&self.stack.scraper, &self.machine.scraper] {
            let known = scraper.metadata();
            for target in scraper.targets().active {
                let Some(metrics) = known.get(&target.job) else {
                    continue;
                };
                told.extend(metrics.iter().map(|(name, about)| MetricMetadata {
                    metric: name.clone(),
                    target: target.labels.clone(),
                    kind: about.metric_type.word(Format::OpenMetrics).to_owned(),
                    help: about.help.clone(),
                    unit: about.unit.clone(),
                }));
            }
        }
        told
    }

    fn targets(&self) -> Targets {
        let mut targets = Targets::default();
        for found in [self.stack.scraper.targets(), self.machine.scraper.targets()] {
            tell(found, &mut targets);
        }
        targets
            .active
            .sort_by(|one, other| one.scrape_pool.cmp(&other.scrape_pool));
        targets
    }

    fn rule_groups(&self) -> Vec<RuleGroup> {
        let rules = self.stack.rules();
        let mut groups: Vec<RuleGroup> = (rules.engine.groups().iter())
            .map(|group| RuleGroup {
                name: group.name().to_owned(),
                file: group.file().to_owned(),
                interval: group.interval(),
                limit: group.limit(),
                rules: (group.rules().iter())
                    .map(|rule| RuleStatus {
                        rule: rule.rule().clone(),
                        health: match (rule.health(), rule.last_error()) {
                            (tend_rules::Health::Unknown, _) => Health::Unknown,
                            (tend_rules::Health::Good, _) => Health::Ok,
                            (tend_rules::Health::Bad, why) => Health::Failed(why.unwrap_or_default().to_owned()),
                        },
                        evaluation_time: rule.took().as_secs_f64(),
                        last_evaluation: rule.last_at(),
                        active: rule.alerting().active.values().cloned().collect(),
                    })
                    .collect(),
                evaluation_time: group.took().as_secs_f64(),
                last_evaluation: group.last_at(),
            })
            .collect();
        groups.sort_by(|one, other| (&one.file, &one.name).cmp(&(&other.file, &other.name)));
        groups
    }

    fn alerts(&self, see: &mut dyn FnMut(&Pipeline)) {
        see(&self.stack.state().pipeline);
    }

    fn command(&self, command: Command, caller: &str) -> Result<(), Vec<AlertError>> {
        let now = crate::now_ms();
        let told = match &command {
            Command::Post(_) => None,
            Command::Silence(silence) => Some(json!({
                "word": "silenced",
                "what": silence.id,
                "reason": silence.reason,
                "ends_at": Wall(silence.ends_at.unsigned_abs()).to_rfc3339(),
            })),
            Command::EndSilence { id } => Some(json!({ "word": "silence ended", "what": id })),
            Command::Acknowledge { fingerprint, note, .. } => {
                Some(json!({ "word": "acknowledged", "what": format!("{fingerprint:016x}"), "note": note }))
            }
            Command::Assign { fingerprint, to, .. } => {
                Some(json!({ "word": "assigned", "what": format!("{fingerprint:016x}"), "to": to }))
            }
        };
        let mut state = self.stack.state();
        let done = command.perform(&mut state.pipeline, now);
        self.stack.note_changes(&mut state, now);
        // What is answered is on disk.
        self.stack.keep_alerts(&mut state);
        drop(state);
        if let Some(mut told) = told.filter(|_| done.is_ok()) {
            told["by"] = caller.into();
            self.stack.outbox.put(now, &self.stack.name, "alert.care", told);
        }
        self.stack.look();
        done
    }

    fn fresh_id(&self) -> String {
        crate::random::uuid()
    }

    fn about(&self) -> About {
        About {
            build: Build {
                version: PROMETHEUS.to_owned(),
                revision: self.machine.build.clone(),
                branch: String::new(),
                build_user: String::new(),
                build_date: String::new(),
                go_version: "tend".to_owned(),
            },
            alert_build: Build {
                version: ALERTMANAGER.to_owned(),
                revision: self.machine.build.clone(),
                go_version: "tend".to_owned(),
                ..Build::default()
            },
            runtime: Runtime {
                start_time: self.machine.started,
                folder: self.machine.folder.display().to_string(),
                hostname: crate::local::host(),
                reload_success: self.stack.state().refused.is_empty(),
                last_config_time: self.machine.told_at(),
                retention: self.machine.retention(),
            },
            flags: BTreeMap::new(),
        }
    }

    fn head(&self) -> Head {
        Head::default()
    }

    fn config(&self) -> String {
        String::new()
    }

    fn alert_config(&self) -> String {
        String::new()
    }

    fn external_labels(&self) -> Labels {
        self.stack.state().external_labels.clone()
    }

    fn write(&self, request: WriteRequest) -> Result<(), WriteError> {
        let store = self.stack.view.store();
        let mut feed = store.feed(&Labels::from_pairs([(STACK, self.stack.name.as_str())]), true);
        let mut refused = None;
        for series in request.series {
            let labels = series.labels.with(STACK, &self.stack.name);
            for sample in series.samples {
                if let Err(refusal) = store.add_at(&mut feed, &labels, sample.time, sample.value) {
                    refused = Some(refusal.to_string());
                }
            }
        }
        let committed = store.commit(&mut feed, crate::now_ms());
        match refused {
            Some(why) => Err(WriteError::Refused(why)),
            None if committed.out_of_bounds > 0 => Err(WriteError::Refused(format!(
                "{} samples are out of bounds: too old, or too far ahead",
                committed.out_of_bounds
            ))),
            None => Ok(()),
        }
    }
}

fn tell(found: Found, targets: &mut Targets) {
    targets.active.extend(found.active.into_iter().map(|target| Target {
        discovered_labels: target.discovered,
        labels: target.labels,
        scrape_pool: target.job,
        global_url: target.url.clone(),
        scrape_url: target.url,
        last_error: target.last.error,
        last_scrape: target.last.at_ms,
        last_scrape_duration: target.last.seconds,
        health: match target.last.health {
            Scraped::Unknown => TargetHealth::Unknown,
            Scraped::Up => TargetHealth::Up,
            Scraped::Down => TargetHealth::Down,
        },
        scrape_interval: format_duration(target.interval_ms),
        scrape_timeout: format_duration(target.timeout_ms),
    }));
    targets
        .dropped
        .extend(found.dropped.into_iter().map(|dropped| DroppedTarget {
            discovered_labels: dropped.discovered,
            scrape_pool: dropped.job,
        }));
    for job in found.jobs {
        targets
            .dropped_counts
            .insert(job.name, u64::try_from(job.dropped).unwrap_or(u64::MAX));
    }
}
