//! Fills the templates of a rule for one element of its result.
//!
//! As in Prometheus, a template that fails is no reason to lose the alert: its place says so.

use std::collections::BTreeMap;

use tend_promql::Labels;
use tend_template::{Dialect, Escape, Limits, TemplateError, Templates, Value, World};

/// The variables that rules have.
const VARIABLES: [&str; 4] = ["labels", "externalLabels", "externalURL", "value"];

/// Reads a template of a rule, to see whether it can be.
pub(crate) fn check_template(text: &str) -> Result<(), TemplateError> {
    Templates::new(Dialect::Prometheus)
        .with_variables(&VARIABLES)
        .add("rule", text)
}

/// What templates of rules are filled with beside an element.
pub struct Surroundings<'a> {
    /// The labels that are added to everything that leaves.
    pub external_labels: &'a BTreeMap<String, String>,
    /// Queries, time, address.
    pub world: &'a mut dyn World,
}

/// The templates of one element.
pub(crate) struct Element<'a, 'b> {
    labels: Value,
    value: f64,
    around: &'a mut Surroundings<'b>,
}

impl<'a, 'b> Element<'a, 'b> {
    pub(crate) fn new(labels: &Labels, value: f64, around: &'a mut Surroundings<'b>) -> Self {
        Self {
            labels: Value::texts_by_name(labels.iter()),
            value,
            around,
        }
    }

    /// Fills a template; where it fails, its text says so and why.
    pub(crate) fn fill(&mut self, name: &str, text: &str) -> String {
        // Most labels and many annotations are plain texts.
        if !text.contains("{{") {
            return text.to_owned();
        }
        self.try_fill(name, text)
            .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }

    fn try_fill(&mut self, name: &str, text: &str) -> Result<String, TemplateError> {
        let mut templates = Templates::new(Dialect::Prometheus).with_variables(&VARIABLES);
        templates.add(name, text)?;
        let external = Value::texts_by_name(
            self.around
                .external_labels
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str())),
        );
        let url = Value::from(self.around.world.external_url());
        let data = Value::structure(
            "struct",
            vec![
                ("Labels", "labels", self.labels.clone()),
                ("ExternalLabels", "externalLabels", external.clone()),
                ("ExternalURL", "externalURL", url.clone()),
                ("Value", "value", Value::Float(self.value)),
            ],
        );
        let variables = [
            ("labels", self.labels.clone()),
            ("externalLabels", external),
            ("externalURL", url),
            ("value", Value::Float(self.value)),
        ];
        templates.render(
            name,
            &data,
            &variables,
            &mut *self.around.world,
            Escape::Text,
            Limits::default(),
        )
    }
}
