//! Results that several queries of one moment have in common: what one worked out, the next takes.
//!
//! Owns which expressions are worth keeping and for how long. Does not know what the queries are for: who asks them says which can be shared.
//!
//! Invariant: a query gives the same with and without (test `sharing_changes_no_result`).

use std::collections::HashMap;

use super::grid::Grid;
use crate::ast::{At, Expr, ValueType};
use crate::labels::{METRIC_NAME, MatchOp};
use crate::sample::Timestamp;

/// Results of expressions that stand in several queries, by their canonical text and the time they are of.
#[derive(Debug, Default)]
pub struct Shared {
    /// How often each is asked for in a moment, more than once.
    wanted: HashMap<String, u32>,
    results: HashMap<(String, Timestamp), Kept>,
    taken: u64,
}

/// A result, and how often it will be asked for yet: rows of a hundred thousand series are not held for nobody.
#[derive(Debug)]
struct Kept {
    grid: Grid,
    left: u32,
}

impl Shared {
    /// Finds the expressions that stand in `queries` more than once.
    ///
    /// `changes` says of a name whether its series may change between two queries of one moment, as results of rules do: what reads one of those,
    /// or reads series by anything but their name, is worked out each time.
    pub fn of<'a>(queries: impl IntoIterator<Item = &'a Expr>, changes: &dyn Fn(&str) -> bool) -> Shared {
        let mut asked = HashMap::new();
        for query in queries {
            count(query, changes, &mut asked);
        }
        asked.retain(|_, count| *count > 1);
        Shared {
            wanted: asked,
            ..Shared::default()
        }
    }

    /// Forgets all results, not what is wanted.
    pub fn clear(&mut self) {
        self.results.clear();
    }

    /// How often a result was taken instead of worked out.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The key of an expression that is to be shared.
    pub(super) fn key(&self, expr: &Expr, time: Timestamp) -> Option<(String, Timestamp)> {
        if self.wanted.is_empty() || !is_worth_it(expr) {
            return None;
        }
        let text = expr.to_string();
        self.wanted.contains_key(&text).then_some((text, time))
    }

    pub(super) fn get(&mut self, key: &(String, Timestamp)) -> Option<Grid> {
        let kept = self.results.get_mut(key)?;
        self.taken += 1;
        kept.left = kept.left.saturating_sub(1);
        if kept.left > 0 {
            return Some(kept.grid.clone());
        }
        self.results.remove(key).map(|kept| kept.grid)
    }

    pub(super) fn keep(&mut self, key: (String, Timestamp), grid: &Grid) {
        let left = self.wanted.get(&key.0).map_or(0, |asked| asked - 1);
        let grid = grid.clone();
        self.results.insert(key, Kept { grid, left });
    }
}

/// Counts how often each expression is asked for: what stands below one that was met is worked out with it, and not again.
fn count(expr: &Expr, changes: &dyn Fn(&str) -> bool, asked: &mut HashMap<String, u32>) {
    if is_worth_it(expr) && is_settled(expr, changes) {
        let times = asked.entry(expr.to_string()).or_default();
        *times += 1;
        if *times > 1 {
            return;
        }
    }
    for child in expr.children() {
        count(child, changes, asked);
    }
}

/// Whether working it out costs more than remembering it.
fn is_worth_it(expr: &Expr) -> bool {
    matches!(expr, Expr::Call(_) | Expr::Aggregate(_) | Expr::Binary(_)) && expr.value_type() == ValueType::Vector
}

/// Whether it means the same in every query of a moment.
fn is_settled(expr: &Expr, changes: &dyn Fn(&str) -> bool) -> bool {
    let mut settled = true;
    expr.visit(&mut |part| {
        let selector = match part {
            Expr::Selector(selector) => &**selector,
            Expr::Range(range) => &range.selector,
            Expr::Subquery(subquery) => {
                settled &= !matches!(subquery.at, Some(At::Start | At::End));
                return;
            }
            _ => return,
        };
        let name = selector
            .matchers
            .iter()
            .find(|matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal);
        settled &= name.is_some_and(|name| !changes(name.value()));
        settled &= !matches!(selector.at, Some(At::Start | At::End));
    });
    settled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EvalOptions, Labels, MemoryStore, ParseOptions, Query};

    #[test]
    fn what_is_kept_is_gone_once_nobody_asks_for_it() {
        let texts = [
            "sum(rate(a[5m])) > 1",
            "sum(rate(a[5m])) / 2",
            "rate(b[5m])",
            "max(rate(b[5m])) + rate(b[5m])",
        ];
        let queries: Vec<Query> = texts
            .iter()
            .map(|text| Query::new(text, ParseOptions::default()).expect("a query"))
            .collect();
        let mut shared = Shared::of(queries.iter().map(Query::expr), &|_| false);
        // `rate(a[5m])` is asked for by one that is shared, and so once.
        let mut wanted: Vec<(&str, u32)> = shared
            .wanted
            .iter()
            .map(|(text, times)| (text.as_str(), *times))
            .collect();
        wanted.sort_unstable();
        assert_eq!(wanted, [("rate(b[5m])", 3), ("sum(rate(a[5m]))", 2)]);
        let mut store = MemoryStore::default();
        for name in ["a", "b"] {
            let labels = Labels::from_pairs([("__name__", name)]);
            for at in 0..10 {
                store.append(&labels, at * 30_000, at as f64);
            }
        }
        let options = EvalOptions::default();
        for query in &queries {
            let alone = query.instant(&store, 300_000, &options).expect("a value").value;
            let together = query
                .instant_shared(&store, 300_000, &options, &mut shared)
                .expect("a value")
                .value;
            assert_eq!(together, alone);
        }
        assert_eq!((shared.taken(), shared.results.len()), (3, 0));
    }
}
