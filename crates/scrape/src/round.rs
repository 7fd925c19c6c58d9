//! What becomes of one answer: its series in the store, and the five series that tell of the scrape itself. Knows no socket and no schedule.
//!
//! Source of what a label of a target does to one of a series, and of which limit fails a scrape: Prometheus' `scrape` package.

use std::cell::RefCell;
use std::sync::PoisonError;

use tend_exposition::{BadLine, Format, LabelPair};
use tend_metrics::{Committed, Feed, MetricStore, Refusal};
use tend_promql::{Labels, LabelsBuilder, METRIC_NAME};
use tend_relabel::relabel;

use crate::config::{Limits, Settings};
use crate::error::ScrapeError;
use crate::metadata::learn;
use crate::pool::Asking;

/// Before the name of a label that the exporter and the target both have.
const EXPORTED: &str = "exported_";

/// Characters of a series' name that an error shows.
const SHOWN: usize = 50;

/// A body and how to read it.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) format: Format,
}

/// What became of an answer.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Why nothing was taken.
    pub(crate) error: Option<ScrapeError>,
    pub(crate) samples: usize,
    pub(crate) kept: usize,
    pub(crate) added: usize,
    pub(crate) bad: usize,
    pub(crate) first_bad: Option<BadLine>,
    pub(crate) refused: usize,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) committed: Committed,
}

impl Taken {
    /// What a person should know of a scrape that did not fail, or did for another reason; nothing where all is well.
    pub(crate) fn note(&self) -> Option<String> {
        let mut notes = Vec::new();
        if let (Some(first), None | Some(ScrapeError::Cut)) = (self.first_bad, &self.error) {
            let (bad, number, reason) = (self.bad, first.number, first.reason);
            notes.push(format!("lines that were not taken: {bad}; line {number}: {reason}"));
        }
        if let Some(refusal) = &self.refusal {
            notes.push(format!(
                "samples for which there was no room: {}; {refusal}",
                self.refused
            ));
        }
        if self.committed.duplicates > 0 {
            let duplicates = self.committed.duplicates;
            notes.push(format!(
                "samples of a series that has one in this scrape already: {duplicates}"
            ));
        }
        if self.committed.out_of_bounds > 0 {
            let out = self.committed.out_of_bounds;
            notes.push(format!("samples whose own time is too far from the present: {out}"));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

/// Takes what a target answered, or that it did not, as the round of `at_ms`. A scrape that fails leaves no sample of the target, so each of
/// its series ends with a marker.
pub(crate) fn take(
    store: &MetricStore,
    feed: &mut Feed,
    asking: &Asking,
    answer: Result<Body, ScrapeError>,
    at_ms: i64,
    seconds: f64,
) -> Taken {
    let mut taken = Taken::default();
    taken.error = match answer {
        Ok(body) => {
            let error = read(store, feed, &asking.settings, &body, &mut taken).err();
            // What metrics are is said each time, and looked at where there may be new ones.
            if taken.added > 0 {
                let mut known = asking.metadata.lock().unwrap_or_else(PoisonError::into_inner);
                learn(&mut known, &body.bytes, body.format);
            }
            error
        }
        Err(error) => Some(error),
    };
    let up = if taken.error.is_none() { 1.0 } else { 0.0 };
    for (name, value) in [
        ("up", up),
        ("scrape_duration_seconds", seconds),
        ("scrape_samples_scraped", taken.samples as f64),
        ("scrape_samples_post_metric_relabeling", taken.kept as f64),
        ("scrape_series_added", taken.added as f64),
    ] {
        if let Err(refusal) = store.add_named(feed, name, value) {
            taken.refused += 1;
            taken.refusal = Some(refusal);
        }
    }
    taken.committed = store.commit(feed, at_ms);
    taken
}

fn read(
    store: &MetricStore,
    feed: &mut Feed,
    settings: &Settings,
    body: &Body,
    taken: &mut Taken,
) -> Result<(), ScrapeError> {
    let limit = settings.limits.samples;
    feed.limit_samples(limit.unwrap_or(usize::MAX));
    let target = feed.labels().clone();
    let fault: RefCell<Option<ScrapeError>> = RefCell::default();
    let scraped = store.scrape(feed, &body.bytes, body.format, &|pairs| {
        if fault.borrow().is_some() {
            return None;
        }
        match labels(&target, settings, pairs) {
            Ok(labels) => labels,
            Err(error) => {
                *fault.borrow_mut() = Some(error);
                None
            }
        }
    });
    taken.samples = scraped.samples;
    taken.kept = scraped.kept;
    taken.added = scraped.added;
    taken.bad = scraped.bad;
    taken.first_bad = scraped.bad_lines.first().copied();
    taken.refused = scraped.refused;
    taken.refusal = scraped.refusal;
    if let Some(error) = fault.into_inner() {
        // The lines after the fault were not judged, and the next body may be well.
        feed.forget();
        return Err(error);
    }
    if let (true, Some(limit)) = (scraped.too_many, limit) {
        let samples = scraped.kept;
        return Err(ScrapeError::TooManySamples { samples, limit });
    }
    if scraped.cut {
        return Err(ScrapeError::Cut);
    }
    match taken.first_bad {
        Some(first) if scraped.samples == 0 => Err(ScrapeError::NotMetrics { first }),
        _ => Ok(()),
    }
}

/// The labels that a series is kept under; nothing where relabelling drops it.
fn labels(target: &Labels, settings: &Settings, pairs: &[LabelPair<'_>]) -> Result<Option<Labels>, ScrapeError> {
    let mut builder = LabelsBuilder::default();
    for (name, value) in pairs {
        builder.set(name, value);
    }
    if settings.honor_labels {
        // An empty label of the exporter's own takes that of the target away.
        for (name, value) in target
            .iter()
            .filter(|(name, _)| !pairs.iter().any(|pair| pair.0 == *name))
        {
            builder.set(name, value);
        }
    } else {
        let own = builder.finish();
        let mut conflicts: Vec<(&str, &str)> = Vec::new();
        for (name, value) in target.iter() {
            builder.set(name, value);
            if own.has(name) {
                conflicts.push((name, own.get(name)));
            }
        }
        // Short names first, so that what becomes of them does not depend on the order of the labels.
        conflicts.sort_by_key(|(name, _)| name.len());
        for (name, value) in conflicts {
            let mut exported = format!("{EXPORTED}{name}");
            while builder.finish().has(&exported) {
                exported.insert_str(0, EXPORTED);
            }
            builder.set(&exported, value);
        }
    }
    let Some(labels) = relabel(&builder.finish(), &settings.metric_relabel).filter(|labels| !labels.is_empty()) else {
        return Ok(None);
    };
    if !labels.has(METRIC_NAME) {
        let series = labels.to_string();
        return Err(ScrapeError::NoName { series });
    }
    within(&labels, &settings.limits)?;
    Ok(Some(labels))
}

/// Holds a series to the limits on labels.
fn within(labels: &Labels, limits: &Limits) -> Result<(), ScrapeError> {
    let over = |found: usize, what, limit: Option<usize>, key| match limit {
        Some(limit) if found > limit => Err(ScrapeError::Labels {
            series: labels.metric_name().chars().take(SHOWN).collect(),
            found,
            what,
            limit,
            key,
        }),
        _ => Ok(()),
    };
    over(labels.len(), "labels", limits.labels, "label_limit")?;
    for (name, value) in labels.iter() {
        over(
            name.len(),
            "bytes in the name of a label",
            limits.label_name_bytes,
            "label_name_length_limit",
        )?;
        over(
            value.len(),
            "bytes in the value of a label",
            limits.label_value_bytes,
            "label_value_length_limit",
        )?;
    }
    Ok(())
}
