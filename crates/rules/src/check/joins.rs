//! Looks at series of two kinds that are to meet and cannot, judged by the labels there are.
//!
//! Owns what keeps two sides apart, and what they could meet on. Without a catalogue nothing is said.

use tend_promql::{Binary, BinaryOp, Cardinality, Expr, ValueType};

use super::shape::{Known, Shape, shape};
use super::{About, Looking, Severity};

pub(crate) fn look(looking: &mut Looking<'_>) {
    let Some(catalogue) = looking.ground.catalogue.filter(|catalogue| !catalogue.is_empty()) else {
        return;
    };
    let tree = &looking.rule.tree;
    tree.visit(&mut |part| {
        let Expr::Binary(binary) = part else { return };
        let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
        if !is_vector(&binary.left) || !is_vector(&binary.right) {
            return;
        }
        // `or` and `unless` work on what does not meet.
        if matches!(binary.op, BinaryOp::Or | BinaryOp::Unless) {
            return;
        }
        let (Some(left), Some(right)) = (shape(&binary.left, catalogue), shape(&binary.right, catalogue)) else {
            return;
        };
        if let Some(why) = apart(looking, binary, &left, &right) {
            let what = format!("the two sides of `{}` never meet: {why}", binary.op.as_str());
            let meant = together(looking, binary, &left, &right);
            looking.say(Severity::Error, About::Join, what, meant);
        }
    });
}

/// Why no series of one side has a partner on the other.
fn apart(looking: &Looking<'_>, binary: &Binary, left: &Shape, right: &Shape) -> Option<String> {
    let names = &binary.matching.labels;
    let counts = |label: &str| {
        let named = names.iter().any(|name| name == label);
        if binary.matching.on { named } else { !named }
    };
    let sides = [
        (left, right, &binary.left, &binary.right),
        (right, left, &binary.right, &binary.left),
    ];
    let none = Known::default();
    for (one, other, of_one, of_other) in sides {
        for (label, known) in one.0.iter().filter(|(label, known)| counts(label) && known.always) {
            let there = other.0.get(label).unwrap_or(&none);
            let written = |expr: &Expr| looking.written(expr.span()).to_owned();
            if !other.has(label) {
                return Some(format!(
                    "every series of `{}` has the label `{label}`, and none of `{}` has it",
                    written(of_one),
                    written(of_other)
                ));
            }
            if there.always && are_disjoint(known, there) {
                return Some(format!(
                    "`{label}` of `{}` never has a value that it has in `{}`",
                    written(of_one),
                    written(of_other)
                ));
            }
        }
    }
    None
}

fn are_disjoint(one: &Known, two: &Known) -> bool {
    match (&one.values, &two.values) {
        (Some(one), Some(two)) => !one.is_empty() && !two.is_empty() && one.is_disjoint(two),
        _ => false,
    }
}

/// The same with both sides summed up to the labels that they have in common.
fn together(looking: &Looking<'_>, binary: &Binary, left: &Shape, right: &Shape) -> Option<String> {
    if binary.op == BinaryOp::And || binary.matching.cardinality != Cardinality::OneToOne {
        return None;
    }
    let common: Vec<&str> = left
        .0
        .iter()
        .filter(|(label, known)| {
            let other = right.0.get(*label);
            known.always && other.is_some_and(|other| other.always && !are_disjoint(known, other))
        })
        .map(|(label, _)| label.as_str())
        .collect();
    if common.is_empty() {
        return Some("sides that have a label in common, with `on (…)`, or `scalar(…)` of the one series".to_owned());
    }
    let by = common.join(", ");
    let text = format!(
        "sum by ({by}) ({}) {} sum by ({by}) ({})",
        looking.written(binary.left.span()),
        binary.op.as_str(),
        looking.written(binary.right.span())
    );
    Some(looking.with(binary.left.span().to(binary.right.span()), &text))
}
