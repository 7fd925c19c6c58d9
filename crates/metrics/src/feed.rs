//! What one target sends: bodies in, rows out. Owns the cache of lines that makes a scrape cheap, and the markers of staleness.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tend_exposition::{BadLine, Format, LabelPair, Line, Lines, Reason, written_labels};
use tend_promql::{Labels, NAN_BITS, STALE, is_stale};

use crate::catalog::{Target, admit, refusal, with_target};
use crate::error::Refusal;
use crate::lock::{lock, read, write};
use crate::record::{self, Late, RowHead};
use crate::store::MetricStore;

/// Bad lines beyond so many are counted only.
const BAD_NAMED_MAX: usize = 20;

/// So many known lines are looked through for the one at hand before it is read as a new one.
const AHEAD_MAX: usize = 16;

/// Samples this far ahead of their scrape are refused, in milliseconds: a clock is wrong, and the series would be shut until then.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;

/// A line that relabelling drops.
const DROPPED: u32 = u32::MAX;
/// A line that the limit of series refused.
const REFUSED: u32 = u32::MAX - 1;
/// A line of a body that had too many samples: it is not kept.
const FORGOTTEN: u32 = u32::MAX - 2;

/// A line that was seen before, and the slot of its series.
#[derive(Debug)]
struct Known {
    text: Arc<[u8]>,
    slot: u32,
}

/// What one target sends over time. Whoever scrapes has one for each target; it is made by [`MetricStore::feed`].
///
/// Each round is [`MetricStore::scrape`] and [`MetricStore::add`] in any order, then [`MetricStore::commit`].
#[derive(Debug)]
pub struct Feed {
    target: Arc<Target>,
    /// Whether samples keep the time that the exporter gave them.
    honor_timestamps: bool,
    /// A body that leaves more samples after relabelling is not taken.
    samples_max: usize,
    format: Format,
    lines: Vec<Known>,
    /// The slots of the series that have the target's labels and a name, by that name.
    named: Vec<(Box<str>, u32)>,
    row: Vec<(u32, f64)>,
    late: Vec<Late>,
    /// The turn in which each slot was seen last.
    seen: Vec<u32>,
    turn: u32,
    refusal: Option<Refusal>,
    generation: u64,
    /// A round was begun, and the target knows it.
    begun: bool,
    record: Vec<u8>,
}

/// What became of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scraped {
    /// Samples in the body, without bad lines.
    pub samples: usize,
    /// Samples left after relabelling.
    pub kept: usize,
    /// Series that were not there before.
    pub added: usize,
    /// Lines that were not taken.
    pub bad: usize,
    /// The first of them.
    pub bad_lines: Vec<BadLine>,
    /// Samples of new series for which there was no room.
    pub refused: usize,
    /// Why there was none.
    pub refusal: Option<Refusal>,
    /// The body was cut: nothing of it was taken.
    pub cut: bool,
    /// More samples were kept than a body of this feed may have: nothing of it was taken, and no series was made.
    pub too_many: bool,
}

/// What became of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Samples that were taken, without markers.
    pub samples: usize,
    /// Series that ended: markers of staleness.
    pub stale: usize,
    /// Samples of a series that had one in the round already.
    pub duplicates: usize,
    /// Samples that are too old for the window of late ones, or too far ahead.
    pub out_of_bounds: usize,
}

/// What is not yet a slot.
struct Fresh {
    line: usize,
    labels: Labels,
    value: f64,
    timestamp_ms: Option<i64>,
}

impl Feed {
    /// Returns the labels that all series of the target share.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.target.labels
    }

    /// Says whether samples keep the time that the exporter gave them, from now on.
    pub fn honor_timestamps(&mut self, honor: bool) {
        self.honor_timestamps = honor;
    }

    /// Says how many samples of a body may be left after relabelling, from now on. A body with more is not taken: [`Scraped::too_many`].
    pub fn limit_samples(&mut self, samples_max: usize) {
        self.samples_max = samples_max;
    }

    /// Forgets what was taken into the round so far, and which lines were seen: the next body is read, and relabelling asked, as if it were
    /// the first. The series are the same, and what of them was in the round before ends with a marker if the next round has it not.
    pub fn forget(&mut self) {
        self.row.clear();
        self.late.clear();
        self.lines.clear();
    }

    fn push(&mut self, slot: u32, value: f64, timestamp_ms: Option<i64>) {
        match timestamp_ms.filter(|_| self.honor_timestamps) {
            Some(time) => self.late.push(Late { slot, time, value }),
            None => self.row.push((slot, value)),
        }
    }
}

impl MetricStore {
    /// Begins to take what the target with these labels sends. `honor_timestamps`: samples keep the time that the exporter gave them.
    #[must_use]
    pub fn feed(&self, labels: &Labels, honor_timestamps: bool) -> Feed {
        let _inside = read(&self.gate);
        Feed {
            target: self.target(labels),
            honor_timestamps,
            samples_max: usize::MAX,
            format: Format::Text,
            lines: Vec::new(),
            named: Vec::new(),
            row: Vec::new(),
            late: Vec::new(),
            seen: Vec::new(),
            turn: 1,
            refusal: None,
            generation: self.generation.load(Ordering::Relaxed),
            begun: false,
            record: Vec::new(),
        }
    }

    /// Takes a body into the round. `finish` makes of the labels that a new series came with, its name first and empty values among them,
    /// the labels it is kept under (the target's, and what relabelling says), or drops it; it is asked once in a series' life.
    pub fn scrape(
        &self,
        feed: &mut Feed,
        body: &[u8],
        format: Format,
        finish: &dyn Fn(&[LabelPair<'_>]) -> Option<Labels>,
    ) -> Scraped {
        let _inside = read(&self.gate);
        self.refresh(feed);
        if feed.format != format {
            feed.format = format;
            feed.lines.clear();
        }
        let mut scraped = Scraped::default();
        let mut fresh: Vec<Fresh> = Vec::new();
        let (row_before, late_before) = (feed.row.len(), feed.late.len());
        // As long as each line is where it was, `lines` stays as it is; from the first that is not, it is made anew out of `old`.
        let mut lines = std::mem::take(&mut feed.lines);
        let mut old: Option<Vec<Known>> = None;
        let mut at = 0;
        let mut reader = Lines::new(body, format);
        loop {
            let known = old.as_deref().unwrap_or(&lines).get(at);
            let Some(line) = reader.next_like(known.map_or(b"", |known| &*known.text)) else {
                break;
            };
            let sample = match line {
                Line::Sample(sample) => sample,
                Line::Bad(bad) => {
                    scraped.cut |= bad.reason == Reason::NoEof;
                    scraped.say_bad(bad);
                    continue;
                }
                _ => continue,
            };
            let slot = match known {
                Some(known) if *known.text == *sample.series => known.slot,
                _ => {
                    if old.is_none() {
                        old = Some(lines.split_off(at));
                        at = 0;
                    }
                    let ahead = old.iter().flatten().skip(at).take(AHEAD_MAX);
                    match ahead.enumerate().find(|(_, known)| *known.text == *sample.series) {
                        Some((skipped, known)) => {
                            at += skipped;
                            known.slot
                        }
                        None => {
                            let pairs = match written_labels(sample.series, format) {
                                Ok(pairs) => pairs,
                                Err(reason) => {
                                    let number = sample.number;
                                    scraped.say_bad(BadLine { number, reason });
                                    continue;
                                }
                            };
                            scraped.samples += 1;
                            let slot = match finish(&pairs) {
                                None => DROPPED,
                                Some(labels) => {
                                    let (value, timestamp_ms) = (sample.value, sample.timestamp_ms);
                                    fresh.push(Fresh {
                                        line: lines.len(),
                                        labels,
                                        value,
                                        timestamp_ms,
                                    });
                                    REFUSED
                                }
                            };
                            lines.push(Known {
                                text: self.text(sample.series),
                                slot,
                            });
                            continue;
                        }
                    }
                }
            };
            if let Some(rest) = &old {
                lines.push(Known {
                    text: Arc::clone(&rest[at].text),
                    slot,
                });
            }
            at += 1;
            scraped.samples += 1;
            match slot {
                DROPPED => {}
                REFUSED => scraped.refused += 1,
                slot => feed.push(slot, sample.value, sample.timestamp_ms),
            }
        }
        if old.is_none() {
            lines.truncate(at);
        }
        let known = feed.row.len() - row_before + feed.late.len() - late_before;
        scraped.too_many = known + fresh.len() > feed.samples_max;
        if scraped.too_many {
            fresh.iter().for_each(|one| lines[one.line].slot = FORGOTTEN);
            lines.retain(|line| line.slot != FORGOTTEN);
            scraped.kept = known + fresh.len();
        } else {
            self.take_fresh(feed, &mut lines, &fresh, &mut scraped);
            scraped.kept = feed.row.len() - row_before + feed.late.len() - late_before;
        }
        feed.lines = lines;
        if scraped.cut || scraped.too_many {
            feed.row.truncate(row_before);
            feed.late.truncate(late_before);
        }
        if scraped.cut {
            scraped.kept = 0;
        }
        if scraped.refused > 0 {
            scraped.refusal.clone_from(&feed.refusal);
        }
        scraped
    }

    fn take_fresh(&self, feed: &mut Feed, lines: &mut [Known], fresh: &[Fresh], scraped: &mut Scraped) {
        if fresh.is_empty() {
            return;
        }
        let limits = self.limits();
        let sets: Vec<&Labels> = fresh.iter().map(|one| &one.labels).collect();
        let admitted = admit(&self.catalog, &self.log, &feed.target, &sets, limits);
        scraped.added = admitted.added;
        for (one, slot) in fresh.iter().zip(&admitted.slots) {
            match slot {
                Some(slot) => {
                    lines[one.line].slot = *slot;
                    feed.push(*slot, one.value, one.timestamp_ms);
                }
                None => scraped.refused += 1,
            }
        }
        if let Some(labels) = &admitted.refused {
            feed.refusal = Some(refusal(&self.catalog, &feed.target.job, labels, limits));
        }
    }

    /// Adds a sample to the round: what is known of the scrape itself (`up`), or the result of a rule.
    ///
    /// # Errors
    /// When it would be a new series and there is no room.
    pub fn add(&self, feed: &mut Feed, labels: &Labels, value: f64) -> Result<(), Refusal> {
        let _inside = read(&self.gate);
        self.refresh(feed);
        let slot = self.slot(feed, labels)?;
        feed.row.push((slot, value));
        Ok(())
    }

    /// Adds a sample of a series that has the target's labels and this name, one of a few that come each round.
    ///
    /// # Errors
    /// When it would be a new series and there is no room.
    pub fn add_named(&self, feed: &mut Feed, name: &str, value: f64) -> Result<(), Refusal> {
        let _inside = read(&self.gate);
        self.refresh(feed);
        let known = feed.named.iter().find(|(known, _)| **known == *name);
        let slot = match known {
            Some((_, slot)) => *slot,
            None => {
                let slot = self.slot(feed, &with_target(&feed.target.labels, name))?;
                feed.named.push((name.into(), slot));
                slot
            }
        };
        feed.row.push((slot, value));
        Ok(())
    }

    /// The slot of a series, made where there is room for it.
    fn slot(&self, feed: &Feed, labels: &Labels) -> Result<u32, Refusal> {
        let limits = self.limits();
        let admitted = admit(&self.catalog, &self.log, &feed.target, &[labels], limits);
        let slot = admitted.slots.first().copied().flatten();
        slot.ok_or_else(|| refusal(&self.catalog, &feed.target.job, labels, limits))
    }

    /// Adds a sample with a time of its own, in milliseconds since 1970-01-01 UTC: one that was written from outside.
    ///
    /// # Errors
    /// When it would be a new series and there is no room.
    pub fn add_at(&self, feed: &mut Feed, labels: &Labels, time_ms: i64, value: f64) -> Result<(), Refusal> {
        self.add(feed, labels, value)?;
        if let Some((slot, value)) = feed.row.pop() {
            feed.late.push(Late {
                slot,
                time: time_ms,
                value,
            });
        }
        Ok(())
    }

    /// Ends the round: all its samples are of `time_ms` (milliseconds since 1970-01-01 UTC), and each series that was in the round before
    /// and is not in this one ends with a marker of staleness. They are served at once, and durable from the next [`MetricStore::sync`].
    ///
    /// A round that is not after the last one is taken as late samples.
    pub fn commit(&self, feed: &mut Feed, time_ms: i64) -> Committed {
        let _inside = read(&self.gate);
        self.refresh(feed);
        let mut committed = Committed::default();
        for (_, value) in &mut feed.row {
            *value = ordinary(*value);
        }
        if !feed.row.is_sorted_by(|one, two| one.0 < two.0) {
            // Stable: of two samples of a series the first counts.
            feed.row.sort_by_key(|sample| sample.0);
            let before = feed.row.len();
            feed.row.dedup_by_key(|sample| sample.0);
            committed.duplicates = before - feed.row.len();
        }
        committed.samples = feed.row.iter().filter(|sample| !is_stale(sample.1)).count();
        let target = Arc::clone(&feed.target);
        let mut state = write(&target.state);
        feed.seen.resize(state.series.len(), 0);
        let is_after = state.last.is_none_or(|last| time_ms > last);
        if is_after {
            for (slot, value) in &feed.row {
                feed.seen[*slot as usize] = if is_stale(*value) { 0 } else { feed.turn + 1 };
            }
            let before = feed.row.len();
            let ended = feed.seen.iter().enumerate().filter(|(_, turn)| **turn == feed.turn);
            feed.row.extend(ended.map(|(slot, _)| (slot as u32, STALE)));
            committed.stale = feed.row.len() - before;
            if committed.stale > 0 {
                feed.row.sort_unstable_by_key(|sample| sample.0);
            }
            feed.turn += 1;
        } else {
            let late = feed.row.drain(..).map(|(slot, value)| Late {
                slot,
                time: time_ms,
                value,
            });
            feed.late.extend(late);
            committed.samples = 0;
        }
        let newest = state.last.map_or(time_ms, |last| last.max(time_ms));
        let bounds = newest.saturating_sub(self.options.late_ms_max)..=newest.saturating_add(AHEAD_MS_MAX);
        let brought = feed.late.len();
        feed.late.retain_mut(|late| {
            late.value = ordinary(late.value);
            bounds.contains(&late.time)
        });
        committed.out_of_bounds = brought - feed.late.len();
        committed.samples += feed.late.len();
        let mut sealed = 0;
        if is_after && !feed.row.is_empty() {
            feed.record.clear();
            let head = RowHead {
                target: target.number,
                time: time_ms,
                slots: state.series.len() as u32,
            };
            record::row(&mut feed.record, head, &feed.row, |slot| {
                state.logged_value(slot).unwrap_or(0.0)
            });
            lock(&self.log).append(|out| out.extend_from_slice(&feed.record));
            sealed += state.push_row(time_ms, &feed.row);
        }
        if !feed.late.is_empty() {
            lock(&self.log).append(|out| record::late(out, target.number, &feed.late));
            for late in &feed.late {
                sealed += state.push_late(late.slot, late.time, late.value);
            }
        }
        feed.row.clear();
        feed.late.clear();
        feed.begun = false;
        state.rounds -= 1;
        self.sealed.fetch_add(sealed, Ordering::Relaxed);
        self.samples.fetch_add(committed.samples as u64, Ordering::Relaxed);
        self.newest.fetch_max(time_ms, Ordering::Relaxed);
        committed
    }

    /// Ends all series of the target: it is not scraped any more.
    pub fn end(&self, feed: &mut Feed, time_ms: i64) -> Committed {
        feed.row.clear();
        feed.late.clear();
        self.commit(feed, time_ms)
    }

    /// Begins a round where none is: follows the target where another took its place, and lets refused lines try again where room was made.
    ///
    /// From here to the commit the target keeps its slots. So between rounds is the only time at which they move.
    fn refresh(&self, feed: &mut Feed) {
        if feed.begun {
            return;
        }
        let generation = self.generation.load(Ordering::Relaxed);
        let passed = generation - feed.generation;
        feed.generation = generation;
        if passed > 0 {
            feed.lines.retain(|known| known.slot != REFUSED);
            if read(&feed.target.state).retired {
                self.follow(feed, passed == 1);
            }
        }
        feed.begun = true;
        write(&feed.target.state).rounds += 1;
    }

    /// Goes over to the target that took the place. What was known of lines goes along only where numbers of shapes still mean the same; a
    /// feed that was still for several blocks has no series any more that could go along.
    fn follow(&self, feed: &mut Feed, is_recent: bool) {
        let old = Arc::clone(&feed.target);
        feed.target = self.target(&old.labels);
        let slots: Vec<Option<u32>> = {
            let (old, new) = (read(&old.state), read(&feed.target.state));
            let slot = |shape| if is_recent { new.slot(shape) } else { None };
            old.series.iter().map(|series| slot(series.shape)).collect()
        };
        let moved = |slot: u32| slots.get(slot as usize).copied().flatten();
        let mut seen = vec![0; read(&feed.target.state).series.len()];
        for (slot, turn) in feed.seen.iter().enumerate() {
            if let Some(slot) = moved(slot as u32) {
                seen[slot as usize] = *turn;
            }
        }
        feed.seen = seen;
        feed.named.retain_mut(|(_, slot)| match moved(*slot) {
            Some(now) => {
                *slot = now;
                true
            }
            None => false,
        });
        feed.lines.retain_mut(|known| match moved(known.slot) {
            Some(slot) => {
                known.slot = slot;
                true
            }
            None => known.slot == DROPPED,
        });
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if self.begun {
            write(&self.target.state).rounds -= 1;
        }
    }
}

impl Scraped {
    fn say_bad(&mut self, bad: BadLine) {
        self.bad += 1;
        if self.bad_lines.len() < BAD_NAMED_MAX {
            self.bad_lines.push(bad);
        }
    }
}

/// Makes every NaN but the marker of staleness the ordinary one.
fn ordinary(value: f64) -> f64 {
    if value.is_nan() && !is_stale(value) {
        f64::from_bits(NAN_BITS)
    } else {
        value
    }
}
