//! What the daemon knows of a stack as figures that Prometheus reads: configuration, secrets, certificates, replicas. The monitor asks for them as
//! its job `tend`.
//!
//! `gather` looks, [`Figures::text`] writes. Names and meanings stand in `docs/reference/daemon-metrics.md` too.
//!
//! No value of a secret or of a key is among them: labels are names that the stack's files have.

use std::collections::BTreeMap;
use std::sync::Arc;

use tend_api::messages::CertificateStatus;
use tend_base::Wall;
use tend_config::Holding;
use tend_core::model::{Stack, StackName};
use tend_exposition::{Format, MetricType, Writer};
use tokio::sync::mpsc;

use super::configuration::{self, Ask, View};
use super::hub::Hub;
use super::shared::Shared;
use super::{certificates, now};

/// How the configuration of a stack stands.
#[derive(Clone, Debug, Default)]
struct ConfigFigures {
    /// The revision in force.
    revision: u64,
    /// What each replica holds, by its service.
    services: BTreeMap<String, Vec<Holding>>,
    /// Since when the table cannot be read; nothing for a stack without one.
    table: Option<Option<Wall>>,
    /// What lies in the files is not taken.
    refused: bool,
}

/// A secret of a stack.
#[derive(Clone, Debug)]
struct SecretFigures {
    name: String,
    made_at: Wall,
    due_at: Option<Wall>,
}

/// A replica of a stack.
#[derive(Clone, Debug)]
struct ReplicaFigures {
    service: String,
    replica: u32,
    up: bool,
    ready: bool,
    restarts: u64,
}

/// All that is told of one stack.
#[derive(Clone, Debug, Default)]
struct Figures {
    config: Option<ConfigFigures>,
    /// Since when the Vault cannot be asked; nothing for a stack without one.
    vault: Option<Option<Wall>>,
    secrets: Vec<SecretFigures>,
    rotations: usize,
    /// Until when each certificate is valid, by its name, or its file where it has none.
    certificates: Vec<(String, Wall)>,
    replicas: Vec<ReplicaFigures>,
}

/// Returns what is known of a stack, in Prometheus's text form, 0.0.4.
pub(crate) async fn of_stack(shared: &Arc<Shared>, hub: &Hub, asks: &mpsc::Sender<Ask>, stack: &StackName) -> String {
    gather(shared, hub, asks, stack).await.text(now().wall)
}

async fn gather(shared: &Arc<Shared>, hub: &Hub, asks: &mpsc::Sender<Ask>, stack: &StackName) -> Figures {
    let name = stack.clone();
    let known = hub.ask(move |controller, _| {
        let world = controller.world();
        let definition = world.stack_wanted(&name).cloned();
        let own = world
            .replicas
            .iter()
            .filter(|(id, _)| id.stack == name && world.is_wanted(id));
        let replicas = own.map(|(id, replica)| ReplicaFigures {
            service: id.service.to_string(),
            replica: id.slot,
            up: replica.is_up(),
            ready: replica.is_ready(),
            restarts: replica.restarts,
        });
        (definition, replicas.collect::<Vec<_>>())
    });
    let (definition, replicas) = known.await;
    let has_table = |stack: &Stack| stack.config.as_ref().is_some_and(|config| config.table.is_some());
    let (has_config, has_table, has_vault) = definition.as_ref().map_or((false, false, false), |stack| {
        (stack.config.is_some(), has_table(stack), stack.vault.is_some())
    });
    let config = match has_config {
        // One that was never taken has no figures.
        true => configuration::look(asks, stack).await.ok(),
        false => None,
    };
    let (of, own) = (stack.clone(), Arc::clone(shared));
    // The store is on a disk. Where it cannot be read, who needs a secret says so.
    let secrets = tokio::task::spawn_blocking(move || secrets_of(&own, &of)).await;
    let certificates = certificates::of_stack(hub, &shared.certificates, stack).await;
    Figures {
        config: config.map(|view| config_of(&view, has_table)),
        vault: has_vault.then(|| shared.vaults.away_since(stack.as_str())),
        secrets: secrets.unwrap_or_default(),
        rotations: shared.rotations.standings(stack).len(),
        certificates: certificates.iter().flat_map(expiries).collect(),
        replicas,
    }
}

fn config_of(view: &View, has_table: bool) -> ConfigFigures {
    let services = view.takers.iter().map(|taker| {
        let part = format!("/{}/", taker.service);
        let own = view.holders.iter().filter(|(replica, _)| replica.contains(&part));
        (taker.service.clone(), own.map(|(_, holding)| holding.clone()).collect())
    });
    ConfigFigures {
        revision: view.stand.history().current().map_or(0, |current| current.number),
        services: services.collect(),
        table: has_table.then(|| view.away.as_ref().map(|(since, _)| *since)),
        refused: view.refused.is_some(),
    }
}

fn secrets_of(shared: &Shared, stack: &StackName) -> Vec<SecretFigures> {
    let Ok(Some(book)) = shared.secrets.book(stack.as_str()) else {
        return Vec::new();
    };
    let secrets = book.secrets.iter().filter_map(|(name, kept)| {
        let current = kept.versions.get(&kept.current()?)?;
        Some(SecretFigures {
            name: name.clone(),
            made_at: current.made_at,
            due_at: kept.due_at(),
        })
    });
    secrets.collect()
}

fn expiries(certificate: &CertificateStatus) -> Vec<(String, Wall)> {
    let Some(until) = certificate.not_after else {
        return Vec::new();
    };
    let files = certificate.files.first().map(|file| file.display().to_string());
    let names = match certificate.names.is_empty() {
        true => files.into_iter().collect(),
        false => certificate.names.clone(),
    };
    names.into_iter().map(|name| (name, until)).collect()
}

/// Seconds from one moment to another; negative where that lies before it.
fn seconds(from: Wall, to: Wall) -> f64 {
    (to.0 as f64 - from.0 as f64) / 1000.0
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

impl Figures {
    /// Writes them as they are at a moment.
    fn text(&self, now: Wall) -> String {
        let mut text = String::new();
        let mut page = Page::new(&mut text);
        if let Some(config) = &self.config {
            config.write(&mut page, now);
        }
        if let Some(away) = self.vault {
            let is_away = "1 while the stack's Vault cannot be asked, and what was read before is used.";
            let age = "Seconds since the stack's Vault could last be asked; 0 while it can.";
            page.away(("tend_vault_away", is_away), ("tend_vault_age_seconds", age), away, now);
        }
        page.gauge(
            "tend_secret_age_seconds",
            "Seconds since the version of a secret that is in use was made.",
        );
        for secret in &self.secrets {
            page.one(&[("secret", &secret.name)], seconds(secret.made_at, now));
        }
        page.gauge(
            "tend_secret_due_seconds",
            "Seconds until a secret is to be rotated; negative once it is overdue.",
        );
        for secret in &self.secrets {
            if let Some(due) = secret.due_at {
                page.one(&[("secret", &secret.name)], seconds(now, due));
            }
        }
        page.gauge("tend_secret_rotations", "Secrets that are being rotated now.");
        page.alone(self.rotations as f64);
        page.gauge(
            "tend_certificate_expiry_timestamp_seconds",
            "Until when a certificate that clients are shown is valid, in seconds since 1970.",
        );
        for (name, until) in &self.certificates {
            page.one(&[("name", name)], seconds(Wall(0), *until));
        }
        self.write_replicas(&mut page);
        page.writer.end();
        text
    }

    fn write_replicas(&self, page: &mut Page<'_>) {
        type Of = fn(&ReplicaFigures) -> f64;
        let gauges: [(&'static str, &str, Of); 2] = [
            (
                "tend_replica_up",
                "1 while a replica that is wanted has a process.",
                |replica| flag(replica.up),
            ),
            (
                "tend_replica_ready",
                "1 while a replica that is wanted can be given requests.",
                |replica| flag(replica.ready),
            ),
        ];
        for (name, help, of) in gauges {
            page.gauge(name, help);
            for replica in &self.replicas {
                page.one(&replica.labels(), of(replica));
            }
        }
        page.of(
            MetricType::Counter,
            "tend_replica_restarts_total",
            "How often a replica was started after its first start.",
        );
        for replica in &self.replicas {
            page.one(&replica.labels(), replica.restarts as f64);
        }
    }
}

impl ReplicaFigures {
    fn labels(&self) -> [(&'static str, String); 2] {
        [("service", self.service.clone()), ("replica", self.replica.to_string())]
    }
}

impl ConfigFigures {
    fn write(&self, page: &mut Page<'_>, now: Wall) {
        page.gauge(
            "tend_config_revision",
            "The revision of the configuration that a service is to hold.",
        );
        for service in self.services.keys() {
            page.one(&[("service", service)], self.revision as f64);
        }
        page.gauge(
            "tend_config_revision_live",
            "The newest revision of the configuration that every replica of a service holds; 0 where one did not say.",
        );
        for (service, holders) in &self.services {
            let held = holders.iter().map(|holding| holding.revision.unwrap_or(0)).min();
            page.one(
                &[("service", service)],
                held.unwrap_or(self.revision).min(self.revision) as f64,
            );
        }
        page.gauge(
            "tend_config_replicas_behind",
            "Replicas of a service that do not hold the revision of the configuration that they are to hold.",
        );
        for (service, holders) in &self.services {
            let behind = holders.iter().filter(|holding| !holding.is_of(self.revision)).count();
            page.one(&[("service", service)], behind as f64);
        }
        page.gauge(
            "tend_config_refused",
            "1 while what lies in the files and the table of the configuration is not taken.",
        );
        page.alone(flag(self.refused));
        if let Some(away) = self.table {
            let is_away =
                "1 while the table of the configuration cannot be read, and what was last known of it is in force.";
            let age = "Seconds since the table of the configuration could last be read; 0 while it can.";
            page.away(
                ("tend_config_table_away", is_away),
                ("tend_config_table_age_seconds", age),
                away,
                now,
            );
        }
    }
}

/// Writes one metric after the other.
struct Page<'a> {
    writer: Writer<'a>,
    name: &'static str,
}

impl<'a> Page<'a> {
    fn new(out: &'a mut String) -> Self {
        Self {
            writer: Writer::new(out, Format::Text),
            name: "",
        }
    }

    fn gauge(&mut self, name: &'static str, help: &str) {
        self.of(MetricType::Gauge, name, help);
    }

    /// Begins a metric.
    fn of(&mut self, metric_type: MetricType, name: &'static str, help: &str) {
        self.name = name;
        self.writer.help(name, help);
        self.writer.metric_type(name, metric_type);
    }

    /// Writes the one sample of it.
    fn alone(&mut self, value: f64) {
        self.writer.sample(self.name, [], value, None);
    }

    /// Writes whether something is away, and since when: two metrics, each with what it tells.
    fn away(
        &mut self,
        (is_away, of_it): (&'static str, &str),
        (age, of_age): (&'static str, &str),
        since: Option<Wall>,
        now: Wall,
    ) {
        self.gauge(is_away, of_it);
        self.alone(flag(since.is_some()));
        self.gauge(age, of_age);
        self.alone(since.map_or(0.0, |since| seconds(since, now)));
    }

    /// Writes a sample of it.
    fn one<L: AsRef<str>>(&mut self, labels: &[(&'static str, L)], value: f64) {
        let labels = labels.iter().map(|(label, text)| (*label, text.as_ref()));
        self.writer.sample(self.name, labels, value, None);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    const NOW: Wall = Wall(1_000_000_000);

    fn holding(revision: Option<u64>) -> Holding {
        Holding {
            revision,
            ..Holding::default()
        }
    }

    fn figures() -> Figures {
        let services = BTreeMap::from([
            (
                "api".to_owned(),
                vec![holding(Some(7)), holding(Some(6)), holding(None)],
            ),
            ("web".to_owned(), vec![holding(Some(7))]),
        ]);
        Figures {
            config: Some(ConfigFigures {
                revision: 7,
                services,
                table: Some(Some(Wall(NOW.0 - 90_500))),
                refused: true,
            }),
            vault: Some(None),
            secrets: vec![SecretFigures {
                name: "db_password".to_owned(),
                made_at: Wall(NOW.0 - 60_000),
                due_at: Some(Wall(NOW.0 - 1_500)),
            }],
            rotations: 1,
            certificates: vec![("pay.example.com".to_owned(), Wall(2_000_000_000))],
            replicas: vec![ReplicaFigures {
                service: "api".to_owned(),
                replica: 2,
                up: true,
                ready: false,
                restarts: 3,
            }],
        }
    }

    /// The lines that are samples.
    fn samples(figures: &Figures) -> Vec<String> {
        let text = figures.text(NOW);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn each_figure_is_told_by_its_name() {
        assert_eq!(
            samples(&figures()),
            [
                "tend_config_revision{service=\"api\"} 7",
                "tend_config_revision{service=\"web\"} 7",
                "tend_config_revision_live{service=\"api\"} 0",
                "tend_config_revision_live{service=\"web\"} 7",
                "tend_config_replicas_behind{service=\"api\"} 2",
                "tend_config_replicas_behind{service=\"web\"} 0",
                "tend_config_refused 1",
                "tend_config_table_away 1",
                "tend_config_table_age_seconds 90.5",
                "tend_vault_away 0",
                "tend_vault_age_seconds 0",
                "tend_secret_age_seconds{secret=\"db_password\"} 60",
                "tend_secret_due_seconds{secret=\"db_password\"} -1.5",
                "tend_secret_rotations 1",
                "tend_certificate_expiry_timestamp_seconds{name=\"pay.example.com\"} 2e+06",
                "tend_replica_up{service=\"api\",replica=\"2\"} 1",
                "tend_replica_ready{service=\"api\",replica=\"2\"} 0",
                "tend_replica_restarts_total{service=\"api\",replica=\"2\"} 3",
            ]
        );
    }

    #[test]
    fn what_a_stack_does_not_have_is_not_told() {
        let text = Figures::default().text(NOW);
        assert!(!text.contains("tend_config") && !text.contains("tend_vault"), "{text}");
        assert_eq!(samples(&Figures::default()), ["tend_secret_rotations 0"]);
    }

    #[test]
    fn what_is_told_is_valid_for_prometheus() {
        let mut check = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool of the Debian package prometheus");
        let text = figures().text(NOW);
        check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let said = check.wait_with_output().unwrap();
        let words = format!(
            "{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
        assert!(said.status.success() && words.trim().is_empty(), "{words}\n{text}");
    }

    #[test]
    fn every_metric_is_on_its_page() {
        let page = include_str!("../../../../docs/reference/daemon-metrics.md");
        for line in figures().text(NOW).lines() {
            if let Some(name) = line.strip_prefix("# TYPE ").and_then(|line| line.split(' ').next()) {
                assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
            }
        }
    }
}
