//! Samples gathered in any order, written as an exposition with each metric's samples together. Knows no metric.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tend_exposition::{Format, MetricType, Writer};

type Text = Cow<'static, str>;

/// What one round of a collector found.
#[derive(Debug, Default)]
pub(crate) struct Families(BTreeMap<Text, Family>);

#[derive(Debug)]
struct Family {
    metric_type: MetricType,
    help: Text,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    /// `_sum`, `_count` or `_bucket` of a summary or a histogram; empty otherwise.
    suffix: &'static str,
    labels: Vec<(Text, String)>,
    value: f64,
}

impl Families {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn gauge(&mut self, name: impl Into<Text>, help: impl Into<Text>, labels: &[(&str, &str)], value: f64) {
        self.add(MetricType::Gauge, name.into(), help.into(), "", labels, value);
    }

    pub(crate) fn counter(
        &mut self,
        name: impl Into<Text>,
        help: impl Into<Text>,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        self.add(MetricType::Counter, name.into(), help.into(), "", labels, value);
    }

    pub(crate) fn untyped(
        &mut self,
        name: impl Into<Text>,
        help: impl Into<Text>,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        self.add(MetricType::Unknown, name.into(), help.into(), "", labels, value);
    }

    /// Adds a sample. Type and help of a metric are those it was given first.
    pub(crate) fn add(
        &mut self,
        metric_type: MetricType,
        name: Text,
        help: Text,
        suffix: &'static str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let family = self.0.entry(name).or_insert_with(|| Family {
            metric_type,
            help,
            samples: Vec::new(),
        });
        let labels = labels
            .iter()
            .map(|(name, value)| (Cow::Owned((*name).to_owned()), (*value).to_owned()))
            .collect();
        family.samples.push(Sample { suffix, labels, value });
    }

    /// Adds a label to every sample so far.
    pub(crate) fn label_all(&mut self, name: &'static str, value: &str) {
        for sample in self.0.values_mut().flat_map(|family| &mut family.samples) {
            sample.labels.push((Cow::Borrowed(name), value.to_owned()));
        }
    }

    /// Adds all of another.
    pub(crate) fn append(&mut self, other: Self) {
        for (name, mut family) in other.0 {
            match self.0.get_mut(&name) {
                Some(known) => known.samples.append(&mut family.samples),
                None => {
                    self.0.insert(name, family);
                }
            }
        }
    }

    /// Writes all, metrics in the order of their names.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let mut writer = Writer::new(&mut out, Format::Text);
        for (name, family) in &self.0 {
            writer.help(name, &family.help);
            writer.metric_type(name, family.metric_type);
            for sample in &family.samples {
                let labels = sample.labels.iter().map(|(name, value)| (&**name, value.as_str()));
                if sample.suffix.is_empty() {
                    writer.sample(name, labels, sample.value, None);
                } else {
                    writer.sample(&format!("{name}{}", sample.suffix), labels, sample.value, None);
                }
            }
        }
        writer.end();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_stand_together_under_its_help_and_type() {
        let mut families = Families::new();
        families.gauge("b", "Bee", &[("x", "1")], 1.0);
        families.counter("a_total", "A", &[], 2.0);
        families.gauge("b", "ignored", &[("x", "a\"b")], 1e7);
        families.label_all("server", "db:5432");
        let mut more = Families::new();
        more.gauge("b", "Bee", &[], f64::NAN);
        more.untyped("c", "See", &[], 0.5);
        families.append(more);
        assert_eq!(
            families.text(),
            "# HELP a_total A\n# TYPE a_total counter\na_total{server=\"db:5432\"} 2\n\
             # HELP b Bee\n# TYPE b gauge\nb{x=\"1\",server=\"db:5432\"} 1\nb{x=\"a\\\"b\",server=\"db:5432\"} 1e+07\nb NaN\n\
             # HELP c See\n# TYPE c untyped\nc 0.5\n"
        );
    }
}
