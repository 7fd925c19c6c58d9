//! Which labels the result of an expression has, as far as it can be said from what there is.
//!
//! Owns what becomes of labels in each node. Says nothing rather than something that may be wrong.

use std::collections::{BTreeMap, BTreeSet};

use tend_promql::{Binary, BinaryOp, Cardinality, Expr, METRIC_NAME, MatchOp, Selector, ValueType};

use super::catalogue::Catalogue;

/// What is known of one label of a result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Whether every series has it.
    pub(crate) always: bool,
    /// All values it may have; nothing when there may be others.
    pub(crate) values: Option<BTreeSet<String>>,
}

/// The labels of a result, without the name; there are no others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape(pub(crate) BTreeMap<String, Known>);

impl Shape {
    pub(crate) fn has(&self, label: &str) -> bool {
        self.0.contains_key(label)
    }
}

/// The shape of a result; nothing when it cannot be said.
pub(crate) fn shape(expr: &Expr, catalogue: &Catalogue) -> Option<Shape> {
    match expr {
        Expr::Selector(selector) => of_selector(selector, catalogue),
        Expr::Range(range) => of_selector(&range.selector, catalogue),
        Expr::Subquery(subquery) => shape(&subquery.expr, catalogue),
        Expr::Paren(paren) => shape(&paren.expr, catalogue),
        Expr::Unary(unary) => shape(&unary.expr, catalogue),
        Expr::Number(_) | Expr::Text(_) => None,
        Expr::Call(call) => match call.function.name {
            "label_replace" | "label_join" | "absent" | "absent_over_time" | "vector" | "scalar" | "time" | "info" => {
                None
            }
            "histogram_quantile" | "histogram_fraction" => {
                let mut shape = shape(call.arguments.last()?, catalogue)?;
                shape.0.remove("le");
                Some(shape)
            }
            _ => {
                let is_vector = |argument: &&Expr| matches!(argument.value_type(), ValueType::Vector | ValueType::Matrix);
                shape(call.arguments.iter().find(is_vector)?, catalogue)
            }
        },
        Expr::Aggregate(aggregate) => {
            let inner = shape(&aggregate.expr, catalogue);
            if aggregate.op.keeps_series() {
                return inner;
            }
            if aggregate.op == tend_promql::AggregateOp::CountValues {
                return None;
            }
            if !aggregate.without && aggregate.grouping.is_empty() {
                return Some(Shape::default());
            }
            let mut inner = inner?;
            inner
                .0
                .retain(|label, _| aggregate.grouping.contains(label) != aggregate.without);
            Some(inner)
        }
        Expr::Binary(binary) => of_binary(binary, catalogue),
    }
}

fn of_selector(selector: &Selector, catalogue: &Catalogue) -> Option<Shape> {
    let is_name = |matcher: &&tend_promql::Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
    let name = selector.matchers.iter().find(is_name)?.value();
    let metric = catalogue.metrics.get(name)?;
    let mut shape = Shape::default();
    for (label, column) in &metric.labels {
        let matchers = || selector.matchers.iter().filter(|matcher| matcher.name() == label);
        let known = Known {
            always: column.series == metric.series || matchers().any(|matcher| !matcher.matches_empty()),
            values: (!column.more).then(|| {
                let fits = |value: &&String| matchers().all(|matcher| matcher.matches(value));
                column.values.iter().filter(fits).cloned().collect()
            }),
        };
        // `{label=""}` leaves only series without it.
        if matchers().any(|matcher| matcher.op() == MatchOp::Equal && matcher.value().is_empty()) {
            continue;
        }
        shape.0.insert(label.clone(), known);
    }
    Some(shape)
}

fn of_binary(binary: &Binary, catalogue: &Catalogue) -> Option<Shape> {
    let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
    match (is_vector(&binary.left), is_vector(&binary.right)) {
        (true, false) => return shape(&binary.left, catalogue),
        (false, true) => return shape(&binary.right, catalogue),
        (false, false) => return None,
        (true, true) => {}
    }
    if matches!(binary.op, BinaryOp::And | BinaryOp::Unless) {
        return shape(&binary.left, catalogue);
    }
    if binary.op == BinaryOp::Or || binary.matching.cardinality != Cardinality::OneToOne {
        return None;
    }
    let mut left = shape(&binary.left, catalogue)?;
    let names = &binary.matching.labels;
    if binary.matching.on || !names.is_empty() {
        left.0.retain(|label, _| names.contains(label) == binary.matching.on);
    }
    Some(left)
}
