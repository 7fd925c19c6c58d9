//! What stands behind the doors in tests: a real store, a real pipeline, rules and targets that are made up.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tend_alert::{Active, AlertError, Kept, Pace, Pipeline, RuleState, read_config, read_rules};
use tend_base::{Clock as _, SystemClock};
use tend_doors::{
    About, Backend, Build, Command, DroppedTarget, Head, Health, MetricMetadata, Request, Response, RuleGroup,
    RuleStatus, Runtime, Target, TargetHealth, Targets, WriteError, WriteRequest, answer,
};
use tend_metrics::{MetricStore, Options};
use tend_promql::{Labels, Matcher, Store, StoreError, Timestamp};
use tend_testkit::Folder;

pub(crate) const ALERTMANAGER: &str = include_str!("files/alertmanager.yml");
pub(crate) const RULES: &str = include_str!("files/rules.yml");

/// The clock of a test.
pub(crate) enum Clock {
    /// It stands.
    Stands(Timestamp),
    /// It goes on by a millisecond whenever it is looked at.
    Counts(AtomicI64),
    /// It is the machine's.
    Goes,
}

impl Clock {
    fn now(&self) -> Timestamp {
        match self {
            Clock::Stands(now) => *now,
            Clock::Counts(now) => now.fetch_add(1, Ordering::Relaxed),
            Clock::Goes => wall(),
        }
    }
}

pub(crate) struct World {
    clock: Clock,
    store: MetricStore,
    pipeline: Mutex<Pipeline>,
    ids: AtomicU64,
    ready: bool,
    _folder: Folder,
}

pub(crate) fn wall() -> Timestamp {
    i64::try_from(SystemClock.now().wall.0).expect("a time")
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

impl World {
    pub(crate) fn new(clock: Clock) -> World {
        let folder = Folder::new();
        let (store, _) = MetricStore::open(&folder.path().join("metrics"), Options::default()).expect("opens");
        let config = read_config(Path::new("alertmanager.yml"), ALERTMANAGER).expect("a configuration");
        let now = clock.now();
        World {
            clock,
            store,
            pipeline: Mutex::new(Pipeline::new(config, Kept::default(), Pace::default(), now)),
            ids: AtomicU64::new(0),
            ready: true,
            _folder: folder,
        }
    }

    pub(crate) fn unready(mut self) -> World {
        self.ready = false;
        self
    }

    pub(crate) fn ask(&self, method: &str, path: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let request = Request {
            method,
            path,
            query,
            headers,
            body,
            caller: "tester",
        };
        answer(&request, self)
    }

    pub(crate) fn get(&self, target: &str) -> Response {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        self.ask("GET", path, query, &[], b"")
    }
}

impl Backend for World {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn series(
        &self,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
        each: &mut dyn FnMut(&Labels),
    ) -> Result<(), StoreError> {
        self.store.series(matchers, range, each).map_err(StoreError::new)
    }

    fn metadata(&self) -> Vec<MetricMetadata> {
        let said = |metric: &str, kind: &str, help: &str| MetricMetadata {
            metric: metric.to_owned(),
            target: labels(&[("instance", "a:1"), ("job", "api")]),
            kind: kind.to_owned(),
            help: help.to_owned(),
            unit: String::new(),
        };
        vec![
            said("http_requests_total", "counter", "Requests."),
            said("up", "gauge", "Whether it \"answers\"."),
        ]
    }

    fn targets(&self) -> Targets {
        let one = |instance: &str, health, last_error: &str, last_scrape| Target {
            discovered_labels: labels(&[("__address__", instance), ("job", "api")]),
            labels: labels(&[("instance", instance), ("job", "api")]),
            scrape_pool: "api".to_owned(),
            scrape_url: format!("http://{instance}/metrics"),
            global_url: format!("http://{instance}/metrics"),
            last_error: last_error.to_owned(),
            last_scrape,
            last_scrape_duration: 0.004,
            health,
            scrape_interval: "15s".to_owned(),
            scrape_timeout: "10s".to_owned(),
        };
        Targets {
            active: vec![
                one("a:1", TargetHealth::Up, "", Some(1_700_000_000_120)),
                one("b:1", TargetHealth::Down, "connection refused", Some(1_700_000_000_000)),
                one("c:1", TargetHealth::Unknown, "", None),
            ],
            dropped: vec![DroppedTarget {
                discovered_labels: labels(&[("__address__", "d:1"), ("job", "api")]),
                scrape_pool: "api".to_owned(),
            }],
            dropped_counts: [("api".to_owned(), 1)].into(),
        }
    }

    fn rule_groups(&self) -> Vec<RuleGroup> {
        let file = read_rules(Path::new("rules.yml"), RULES).expect("rules");
        let at = 1_700_000_000_000;
        let group = |group: tend_alert::Group| RuleGroup {
            name: group.name,
            file: "rules.yml".to_owned(),
            interval: group.interval.unwrap_or(60_000),
            limit: group.limit,
            evaluation_time: 0.001,
            last_evaluation: Some(at),
            rules: group
                .rules
                .into_iter()
                .map(|rule| {
                    let fires = rule.name() == "InstanceDown";
                    let fails = rule.name() == "Broken";
                    let active = fires.then(|| Active {
                        labels: [("alertname", "InstanceDown"), ("job", "api"), ("severity", "critical")]
                            .map(|(name, value)| (name.to_owned(), value.to_owned()))
                            .into(),
                        annotations: [("summary".to_owned(), "a:1 is down".to_owned())].into(),
                        state: RuleState::Firing,
                        value: 0.95,
                        active_at: at - 60_500,
                        fired_at: Some(at),
                        keep_firing_since: None,
                        resolved_at: None,
                        sent_at: None,
                    });
                    RuleStatus {
                        rule,
                        health: match fails {
                            true => Health::Failed("many-to-many matching not allowed".to_owned()),
                            false => Health::Ok,
                        },
                        evaluation_time: 0.0005,
                        last_evaluation: Some(at),
                        active: active.into_iter().collect(),
                    }
                })
                .collect(),
        };
        file.groups.into_iter().map(group).collect()
    }

    fn alerts(&self, see: &mut dyn FnMut(&Pipeline)) {
        see(&self.pipeline.lock().expect("no test panics with it"));
    }

    fn command(&self, command: Command, _caller: &str) -> Result<(), Vec<AlertError>> {
        command.perform(&mut self.pipeline.lock().expect("no test panics with it"), self.now())
    }

    fn fresh_id(&self) -> String {
        let number = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        format!("00000000-0000-4000-8000-{number:012}")
    }

    fn about(&self) -> About {
        let build = |version: &str| Build {
            version: version.to_owned(),
            revision: "abc".to_owned(),
            branch: "main".to_owned(),
            build_user: String::new(),
            build_date: String::new(),
            go_version: "tend".to_owned(),
        };
        About {
            build: build("3.1.0"),
            // amtool says so when its own is another one.
            alert_build: build("0.28.0"),
            runtime: Runtime {
                start_time: 1_700_000_000_000,
                folder: "/".to_owned(),
                hostname: "here".to_owned(),
                reload_success: true,
                last_config_time: 1_700_000_000_000,
                retention: "15d".to_owned(),
            },
            flags: [("storage.tsdb.retention.time".to_owned(), "15d".to_owned())].into(),
        }
    }

    fn head(&self) -> Head {
        Head {
            chunks: 1,
            min_time: 0,
            max_time: i64::MAX / 8,
        }
    }

    fn config(&self) -> String {
        "global:\n  scrape_interval: 15s\n".to_owned()
    }

    fn alert_config(&self) -> String {
        ALERTMANAGER.to_owned()
    }

    fn ready(&self) -> Result<(), String> {
        if self.ready {
            Ok(())
        } else {
            Err("Service Unavailable".to_owned())
        }
    }

    fn write(&self, request: WriteRequest) -> Result<(), WriteError> {
        let mut feed = self.store.feed(&Labels::EMPTY, true);
        for series in &request.series {
            for sample in &series.samples {
                self.store
                    .add_at(&mut feed, &series.labels, sample.time, sample.value)
                    .map_err(|refusal| WriteError::Refused(refusal.to_string()))?;
            }
        }
        let committed = self.store.commit(&mut feed, self.now());
        if committed.out_of_bounds > 0 {
            return Err(WriteError::Refused("out of bounds".to_owned()));
        }
        Ok(())
    }
}
