//! The data that templates of notifications see, and rendering them.

use std::collections::BTreeMap;

use tend_template::{Dialect, Escape, Limits, ListKind, TemplateError, Templates, Time, Value, World};

use crate::alert::Alert;
use crate::notify::NotifyError;
use crate::notify::texts::defaults;
use crate::pipeline::Delivery;

/// In which language default texts are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// 中文
    Chinese,
}

/// Renders templates over one delivery.
pub(super) struct Renderer<'a> {
    templates: Templates,
    pub(super) data: Value,
    world: &'a mut dyn World,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(
        delivery: &Delivery,
        files: &[(String, String)],
        world: &'a mut dyn World,
        language: Language,
    ) -> Result<Self, NotifyError> {
        let mut templates = Templates::new(Dialect::Alertmanager);
        let own = defaults(language).map(|text| ("defaults", text));
        let files = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        for (name, text) in own.into_iter().chain(files) {
            templates.add(name, text).map_err(|error| NotifyError::Template {
                receiver: delivery.receiver.clone(),
                setting: "templates".to_owned(),
                cause: error.to_string(),
            })?;
        }
        let data = data(delivery, world.external_url());
        Ok(Self { templates, data, world })
    }

    pub(super) fn text(&mut self, template: &str) -> Result<String, TemplateError> {
        self.render(template, Escape::Text)
    }

    pub(super) fn html(&mut self, template: &str) -> Result<String, TemplateError> {
        self.render(template, Escape::Html)
    }

    fn render(&mut self, template: &str, escape: Escape) -> Result<String, TemplateError> {
        if !template.contains("{{") {
            return Ok(template.to_owned());
        }
        let mut templates = self.templates.clone();
        templates.add("", template)?;
        templates.render("", &self.data, &[], &mut *self.world, escape, Limits::default())
    }

    pub(super) fn external_url(&self) -> &str {
        self.world.external_url()
    }
}

/// Whether anything of a delivery fires.
pub(super) fn status(delivery: &Delivery) -> &'static str {
    if delivery.alerts.iter().any(|alert| !alert.resolved(delivery.at)) {
        "firing"
    } else {
        "resolved"
    }
}

/// Labels or annotations that all alerts have the same.
pub(super) fn common(alerts: &[Alert], of: fn(&Alert) -> &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let Some((first, others)) = alerts.split_first() else {
        return BTreeMap::new();
    };
    let shared = of(first)
        .iter()
        .filter(|(name, value)| others.iter().all(|other| of(other).get(*name) == Some(value)));
    shared.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// When an alert ended; the moment that stands for none while it fires, as Alertmanager has it.
pub(super) fn ended(alert: &Alert, now: i64) -> Time {
    if alert.resolved(now) {
        Time::from_millis(alert.ends_at)
    } else {
        Time::none()
    }
}

/// A receiver's name as a pattern that matches it and nothing else: so Alertmanager gives it, for links with a filter.
pub(super) fn quoted_pattern(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        if "\\.+*?()|[]{}^$".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

fn texts(map: &BTreeMap<String, String>) -> Value {
    Value::labels(map.iter().map(|(name, value)| (name.clone(), value.as_str())))
}

fn data(delivery: &Delivery, external_url: &str) -> Value {
    let alert = |alert: &Alert| {
        let status = if alert.resolved(delivery.at) {
            "resolved"
        } else {
            "firing"
        };
        Value::structure(
            "template.Alert",
            vec![
                ("Status", "status", status.into()),
                ("Labels", "labels", texts(&alert.labels)),
                ("Annotations", "annotations", texts(&alert.annotations)),
                ("StartsAt", "startsAt", Time::from_millis(alert.starts_at).into()),
                ("EndsAt", "endsAt", ended(alert, delivery.at).into()),
                ("GeneratorURL", "generatorURL", alert.generator_url.as_str().into()),
                (
                    "Fingerprint",
                    "fingerprint",
                    format!("{:016x}", alert.fingerprint()).into(),
                ),
            ],
        )
    };
    Value::structure(
        "*template.Data",
        vec![
            ("Receiver", "receiver", quoted_pattern(&delivery.receiver).into()),
            ("Status", "status", status(delivery).into()),
            (
                "Alerts",
                "alerts",
                Value::list(delivery.alerts.iter().map(alert).collect(), ListKind::Alerts),
            ),
            ("GroupLabels", "groupLabels", texts(&delivery.group_labels)),
            (
                "CommonLabels",
                "commonLabels",
                texts(&common(&delivery.alerts, |alert| &alert.labels)),
            ),
            (
                "CommonAnnotations",
                "commonAnnotations",
                texts(&common(&delivery.alerts, |alert| &alert.annotations)),
            ),
            ("ExternalURL", "externalURL", external_url.into()),
        ],
    )
}
