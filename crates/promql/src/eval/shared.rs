//! Results that several queries of one moment have in common: what one worked out, the next takes.
//!
//! Owns which expressions are worth keeping and for how long. Does not know what the queries are for: who asks them says which can be shared.
//!
//! Invariant: a query gives the same with and without (test `sharing_changes_no_result`).

use std::collections::{HashMap, HashSet};

use super::grid::Grid;
use crate::ast::{At, Expr, ValueType};
use crate::labels::{METRIC_NAME, MatchOp};
use crate::sample::Timestamp;

/// Results of expressions that stand in several queries, by their canonical text and the time they are of.
#[derive(Debug, Default)]
pub struct Shared {
    wanted: HashSet<String>,
    results: HashMap<(String, Timestamp), Grid>,
    taken: u64,
}

impl Shared {
    /// Finds the expressions that stand in `queries` more than once.
    ///
    /// `changes` says of a name whether its series may change between two queries of one moment, as results of rules do: what reads one of those,
    /// or reads series by anything but their name, is worked out each time.
    pub fn of<'a>(queries: impl IntoIterator<Item = &'a Expr>, changes: &dyn Fn(&str) -> bool) -> Shared {
        let mut seen: HashMap<String, u32> = HashMap::new();
        for query in queries {
            query.visit(&mut |expr| {
                if is_worth_it(expr) && is_settled(expr, changes) {
                    *seen.entry(expr.to_string()).or_default() += 1;
                }
            });
        }
        Shared {
            wanted: seen
                .into_iter()
                .filter(|(_, count)| *count > 1)
                .map(|(text, _)| text)
                .collect(),
            ..Shared::default()
        }
    }

    /// Forgets all results, not what is wanted.
    pub fn clear(&mut self) {
        self.results.clear();
    }

    /// How many expressions are shared.
    pub fn wanted(&self) -> usize {
        self.wanted.len()
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
        self.wanted.contains(&text).then_some((text, time))
    }

    pub(super) fn get(&mut self, key: &(String, Timestamp)) -> Option<Grid> {
        let found = self.results.get(key).cloned();
        self.taken += u64::from(found.is_some());
        found
    }

    pub(super) fn keep(&mut self, key: (String, Timestamp), grid: &Grid) {
        self.results.insert(key, grid.clone());
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
