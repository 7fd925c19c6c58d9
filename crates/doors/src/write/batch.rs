//! Remote write out: samples one after the other become bodies of a bounded size. Sends nothing.

use std::collections::HashMap;

use tend_promql::{Labels, Sample};

use super::{WrittenSeries, encode_write};

/// Gathers samples until there are enough for a body.
#[derive(Debug)]
pub struct Batch {
    samples_max: usize,
    samples: usize,
    series: Vec<WrittenSeries>,
    /// Where in `series` each is.
    known: HashMap<Labels, usize>,
}

impl Batch {
    /// Gathers up to so many samples for a body; at least one. Prometheus sends 2,000.
    #[must_use]
    pub fn new(samples_max: usize) -> Batch {
        Batch {
            samples_max: samples_max.max(1),
            samples: 0,
            series: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// Adds a sample, and returns a body when there are enough. Samples of a series are to come in the order of time.
    pub fn add(&mut self, labels: &Labels, sample: Sample) -> Option<Vec<u8>> {
        let at = self.known.get(labels).copied().unwrap_or_else(|| {
            self.known.insert(labels.clone(), self.series.len());
            self.series.push(WrittenSeries {
                labels: labels.clone(),
                samples: Vec::new(),
            });
            self.series.len() - 1
        });
        self.series[at].samples.push(sample);
        self.samples += 1;
        if self.samples >= self.samples_max {
            self.take()
        } else {
            None
        }
    }

    /// Returns a body of what was gathered; nothing when nothing was.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        if self.samples == 0 {
            return None;
        }
        self.samples = 0;
        self.known.clear();
        Some(encode_write(&std::mem::take(&mut self.series), &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::decode_write;

    #[test]
    fn samples_come_in_bodies_of_a_size() {
        let (one, two) = (
            Labels::from_pairs([("__name__", "a")]),
            Labels::from_pairs([("__name__", "b")]),
        );
        let mut batch = Batch::new(3);
        let mut bodies = Vec::new();
        for time in 0..4 {
            let sample = Sample { time, value: 0.5 };
            bodies.extend(batch.add(&one, sample));
            bodies.extend(batch.add(&two, sample));
        }
        bodies.extend(batch.take());
        assert_eq!(batch.take(), None);
        let counts: Vec<Vec<(String, usize)>> = bodies
            .iter()
            .map(|body| {
                let read = decode_write(body).expect("what was written");
                let counts = read.series.iter();
                counts
                    .map(|series| (series.labels.to_string(), series.samples.len()))
                    .collect()
            })
            .collect();
        let of = |pairs: &[(&str, usize)]| -> Vec<(String, usize)> {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        assert_eq!(
            counts,
            [
                of(&[("a", 2), ("b", 1)]),
                of(&[("b", 2), ("a", 1)]),
                of(&[("a", 1), ("b", 1)])
            ]
        );
    }
}
