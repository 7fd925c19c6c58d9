//! Which label sets there are and which of them matchers select. Knows no sample, no time and no file.
//!
//! A series is a *shape* at a *target*. The target has the labels that all of its series share (`job`, `instance`); the shape has the rest,
//! and where a series says something else than its target, the shape says it: an empty value takes the target's label away. So the
//! thousand series of one exporter are a thousand shapes however many instances of it there are.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};
use tend_promql::{Labels, MatchOp, Matcher, Values};

/// Numbers of the name and of the value, in the order of the names' texts.
pub(crate) type Pairs = Arc<[(u32, u32)]>;

/// Matchers beyond so many are judged on whole label sets.
const MASKED_MAX: usize = 64;

/// The symbols and shapes of a head or of a block.
#[derive(Debug, Default)]
pub(crate) struct Index {
    symbols: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    shapes: Vec<Pairs>,
    shape_numbers: HashMap<Pairs, u32, FxBuildHasher>,
    postings: FxHashMap<(u32, u32), Vec<u32>>,
}

impl Index {
    pub(crate) fn symbols(&self) -> &[Arc<str>] {
        &self.symbols
    }

    pub(crate) fn shapes(&self) -> &[Pairs] {
        &self.shapes
    }

    /// Returns the number of a text, giving it one if it has none.
    pub(crate) fn symbol(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.symbols.len() as u32;
        let text: Arc<str> = text.into();
        self.symbols.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }

    /// Returns the number of the shape with these pairs of texts, sorted by name, giving it one if it has none.
    pub(crate) fn shape<'t>(&mut self, pairs: impl IntoIterator<Item = (&'t str, &'t str)>) -> u32 {
        let pairs: Vec<(u32, u32)> = pairs
            .into_iter()
            .map(|(name, value)| (self.symbol(name), self.symbol(value)))
            .collect();
        self.shape_of_numbers(&pairs)
    }

    /// Returns the number of the shape with these pairs, if it has one.
    pub(crate) fn find<'t>(&self, pairs: impl IntoIterator<Item = (&'t str, &'t str)>) -> Option<u32> {
        let number = |text: &str| self.numbers.get(text).copied();
        let pairs: Vec<(u32, u32)> = pairs
            .into_iter()
            .map(|(name, value)| Some((number(name)?, number(value)?)))
            .collect::<Option<_>>()?;
        self.shape_numbers.get(pairs.as_slice()).copied()
    }

    /// The same by numbers of symbols, which must be known.
    pub(crate) fn shape_of_numbers(&mut self, pairs: &[(u32, u32)]) -> u32 {
        if let Some(number) = self.shape_numbers.get(pairs) {
            return *number;
        }
        let number = self.shapes.len() as u32;
        let pairs: Pairs = pairs.into();
        for pair in pairs.iter() {
            self.postings.entry(*pair).or_default().push(number);
        }
        self.shapes.push(Arc::clone(&pairs));
        self.shape_numbers.insert(pairs, number);
        number
    }

    /// Returns the texts of a shape's pairs.
    pub(crate) fn pairs(&self, shape: u32) -> impl Iterator<Item = (&str, &str)> {
        self.shapes[shape as usize]
            .iter()
            .map(|(name, value)| (&*self.symbols[*name as usize], &*self.symbols[*value as usize]))
    }

    /// Returns the whole label set of a series.
    pub(crate) fn labels(&self, target: &Labels, shape: u32) -> Labels {
        let mut theirs = target.iter().peekable();
        let mut all: Vec<(&str, &str)> = Vec::with_capacity(16);
        for (name, value) in self.pairs(shape) {
            while let Some((other, _)) = theirs.peek() {
                if *other > name {
                    break;
                }
                if let Some(pair) = theirs.next()
                    && pair.0 < name
                {
                    all.push(pair);
                }
            }
            all.push((name, value));
        }
        all.extend(theirs);
        Labels::from_sorted(all)
    }

    /// Returns whether the shape says something else than the target about a label of the target's.
    pub(crate) fn overrides(&self, target: &Labels, shape: u32) -> bool {
        self.pairs(shape).any(|(name, _)| target.has(name))
    }

    /// Finds the shapes that may satisfy all matchers; `target_names` are the names of all targets' labels.
    pub(crate) fn candidates(&self, matchers: &[Matcher], target_names: &dyn Fn(&str) -> bool) -> Candidates {
        let masked = &matchers[..matchers.len().min(MASKED_MAX)];
        let mut judges: Vec<Judge<'_>> = masked
            .iter()
            .map(|matcher| Judge {
                matcher,
                name: self.numbers.get(matcher.name()).copied(),
                known: FxHashMap::default(),
            })
            .collect();
        let mut found = Vec::new();
        let mut judge = |shape: u32| {
            let mut lacks = 0u64;
            for (at, judge) in judges.iter_mut().enumerate() {
                match judge.judge(self, shape) {
                    Some(true) => {}
                    Some(false) => return,
                    None => lacks |= 1 << at,
                }
            }
            found.push((shape, lacks));
        };
        match self.narrowest(masked, target_names) {
            Some(mut few) => {
                few.sort_unstable();
                few.dedup();
                few.into_iter().for_each(&mut judge);
            }
            None => (0..self.shapes.len() as u32).for_each(&mut judge),
        }
        Candidates {
            found,
            rest: matchers.len() > MASKED_MAX,
        }
    }

    /// Returns the shortest list of shapes that holds all which can satisfy one of the matchers.
    fn narrowest(&self, matchers: &[Matcher], target_names: &dyn Fn(&str) -> bool) -> Option<Vec<u32>> {
        let mut best: Option<(usize, Vec<(u32, u32)>)> = None;
        for matcher in matchers {
            // A shape without the label may get it from its target, or be selected for having none.
            if matcher.matches_empty()
                || target_names(matcher.name())
                || !matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex)
            {
                continue;
            }
            let Values::OneOf(values) = matcher.values() else {
                continue;
            };
            let name = self.numbers.get(matcher.name());
            let keys: Vec<(u32, u32)> = values
                .iter()
                .filter_map(|value| Some((*name?, *self.numbers.get(*value)?)))
                .collect();
            let size = keys.iter().filter_map(|key| self.postings.get(key)).map(Vec::len).sum();
            if best.as_ref().is_none_or(|(least, _)| size < *least) {
                best = Some((size, keys));
            }
        }
        let (_, keys) = best?;
        Some(
            keys.iter()
                .filter_map(|key| self.postings.get(key))
                .flatten()
                .copied()
                .collect(),
        )
    }

    /// Returns roughly what it takes of memory.
    pub(crate) fn heap_bytes(&self) -> usize {
        let texts: usize = self.symbols.iter().map(|text| text.len() + 16).sum();
        let pairs: usize = self.shapes.iter().map(|pairs| pairs.len() * 8 + 16).sum();
        let postings: usize = self.postings.values().map(|list| list.capacity() * 4).sum();
        texts
            + pairs
            + postings
            + self.symbols.capacity() * 16
            + self.numbers.capacity() * 25
            + self.shapes.capacity() * 16
            + self.shape_numbers.capacity() * 25
            + self.postings.capacity() * 33
    }
}

/// One matcher with what is known of the values it was asked about.
struct Judge<'m> {
    matcher: &'m Matcher,
    name: Option<u32>,
    known: FxHashMap<u32, bool>,
}

impl Judge<'_> {
    /// Returns whether the shape satisfies it; `None` where that is the target's to say.
    fn judge(&mut self, index: &Index, shape: u32) -> Option<bool> {
        let name = self.name?;
        let (_, value) = index.shapes[shape as usize].iter().find(|pair| pair.0 == name)?;
        let matcher = self.matcher;
        Some(
            *self
                .known
                .entry(*value)
                .or_insert_with(|| matcher.matches(&index.symbols[*value as usize])),
        )
    }
}

/// Shapes that may satisfy all matchers, each with the matchers that its target decides.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// Rising by shape.
    found: Vec<(u32, u64)>,
    /// There are matchers that were not asked.
    pub(crate) rest: bool,
}

impl Candidates {
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns the matchers that `target` satisfies, as bits.
    pub(crate) fn satisfied(target: &Labels, matchers: &[Matcher]) -> u64 {
        let mut bits = 0;
        for (at, matcher) in matchers.iter().take(MASKED_MAX).enumerate() {
            if matcher.matches(target.get(matcher.name())) {
                bits |= 1 << at;
            }
        }
        bits
    }

    /// Returns the slots of a target whose series are selected, rising. `by_shape` are the slots in the order of their shapes.
    pub(crate) fn slots(&self, satisfied: u64, by_shape: &[u32], shape_of: impl Fn(u32) -> u32) -> Vec<u32> {
        let mut wanted = Vec::new();
        let mut take = |slot: u32, lacks: u64| {
            if lacks & !satisfied == 0 {
                wanted.push(slot);
            }
        };
        // Few shapes are looked up among many slots; else both sorted lists are gone through side by side.
        if self.found.len() * 16 < by_shape.len() {
            for (shape, lacks) in &self.found {
                if let Ok(at) = by_shape.binary_search_by_key(shape, |slot| shape_of(*slot)) {
                    take(by_shape[at], *lacks);
                }
            }
        } else {
            let mut found = self.found.as_slice();
            for slot in by_shape {
                let shape = shape_of(*slot);
                let skip = if found.first().is_some_and(|first| first.0 >= shape) {
                    0
                } else {
                    found.partition_point(|one| one.0 < shape)
                };
                found = &found[skip..];
                match found.first() {
                    Some((other, lacks)) if *other == shape => take(*slot, *lacks),
                    Some(_) => {}
                    None => break,
                }
            }
        }
        wanted.sort_unstable();
        wanted
    }
}

/// Returns what a series' shape must say, so that with its target's labels it has `labels`; sorted by name.
pub(crate) fn difference<'l>(target: &'l Labels, labels: &'l Labels) -> Vec<(&'l str, &'l str)> {
    let mut pairs: Vec<(&str, &str)> = labels
        .iter()
        .filter(|(name, value)| target.get(name) != *value)
        .collect();
    let removed: Vec<&str> = target
        .iter()
        .map(|pair| pair.0)
        .filter(|name| !labels.has(name))
        .collect();
    if !removed.is_empty() {
        pairs.extend(removed.into_iter().map(|name| (name, "")));
        pairs.sort_unstable();
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    /// Every series of every target, by what each says itself.
    #[test]
    fn what_is_selected_is_what_the_matchers_say_of_whole_label_sets() {
        let targets = [
            labels(&[("job", "a"), ("instance", "1")]),
            labels(&[("job", "b"), ("instance", "2"), ("zone", "z")]),
            labels(&[]),
        ];
        let sets = [
            labels(&[("__name__", "up"), ("job", "a"), ("instance", "1")]),
            labels(&[("__name__", "up"), ("job", "b"), ("instance", "2"), ("zone", "z")]),
            labels(&[("__name__", "up"), ("job", "other")]),
            labels(&[("__name__", "x"), ("le", "1"), ("zone", "y")]),
            labels(&[("__name__", "x"), ("le", "2"), ("job", "a"), ("a", "b")]),
            labels(&[("job", "a")]),
        ];
        let mut index = Index::default();
        let mut series: Vec<Vec<(u32, Labels)>> = vec![Vec::new(); targets.len()];
        for (target, of) in targets.iter().zip(&mut series) {
            for set in &sets {
                let shape = index.shape(difference(target, set));
                assert_eq!(index.labels(target, shape), *set);
                of.push((shape, set.clone()));
            }
        }
        let matcher = |name: &str, op, value: &str| Matcher::new(name, op, value).expect("a matcher");
        let asked = [
            vec![],
            vec![matcher("__name__", MatchOp::Equal, "up")],
            vec![
                matcher("__name__", MatchOp::Equal, "x"),
                matcher("le", MatchOp::Regex, "1|3"),
            ],
            vec![matcher("job", MatchOp::Equal, "a")],
            vec![
                matcher("job", MatchOp::NotEqual, "a"),
                matcher("zone", MatchOp::Equal, ""),
            ],
            vec![matcher("zone", MatchOp::Regex, ".+")],
            vec![
                matcher("zone", MatchOp::NotRegex, "z.*"),
                matcher("__name__", MatchOp::Regex, "u.*|x"),
            ],
            vec![matcher("nowhere", MatchOp::Equal, "")],
            vec![matcher("nowhere", MatchOp::Equal, "x")],
            vec![matcher("a", MatchOp::Equal, "b"); 70],
        ];
        for matchers in asked {
            let candidates = index.candidates(&matchers, &|name| targets.iter().any(|target| target.has(name)));
            for (target, of) in targets.iter().zip(&series) {
                let mut by_shape: Vec<u32> = (0..of.len() as u32).collect();
                by_shape.sort_by_key(|slot| of[*slot as usize].0);
                let satisfied = Candidates::satisfied(target, &matchers);
                let slots = candidates.slots(satisfied, &by_shape, |slot| of[slot as usize].0);
                let wanted: Vec<u32> = (0..of.len() as u32)
                    .filter(|slot| of[*slot as usize].1.matches(&matchers))
                    .collect();
                assert_eq!(slots, wanted, "{matchers:?} at {target}");
            }
        }
    }
}
