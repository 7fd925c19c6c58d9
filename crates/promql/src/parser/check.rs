//! Asks whether the types in a tree fit.
//!
//! Owns which type may stand where, and the texts that say that one may not. Does not change the tree.

use super::Parsed;
use crate::ast::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, Selector, Span, ValueType};
use crate::error::ParseError;
use crate::labels::METRIC_NAME;
use crate::text::quoted;

fn fail<T>(span: Span, text: impl Into<String>) -> Parsed<T> {
    Err(ParseError::new(span, text))
}

fn expect(expr: &Expr, wanted: ValueType, context: &str) -> Parsed<()> {
    let got = expr.value_type();
    if got == wanted {
        return Ok(());
    }
    let (wanted, got) = (wanted.documented(), got.documented());
    fail(expr.span(), format!("expected type {wanted} in {context}, got {got}"))
}

/// Returns the first misfit, from the left.
pub(super) fn check(expr: &Expr) -> Parsed<()> {
    for child in expr.children() {
        check(child)?;
    }
    match expr {
        Expr::Number(_) | Expr::Text(_) | Expr::Paren(_) => Ok(()),
        Expr::Selector(selector) => check_selector(selector),
        Expr::Range(range) => check_selector(&range.selector),
        Expr::Subquery(subquery) => match subquery.expr.value_type() {
            ValueType::Vector => Ok(()),
            got => fail(
                subquery.span,
                format!("subquery is only allowed on instant vector, got {} instead", short(got)),
            ),
        },
        Expr::Call(call) => check_call(call),
        Expr::Aggregate(aggregate) => check_aggregate(aggregate),
        Expr::Binary(binary) => check_binary(binary, expr.span()),
        Expr::Unary(unary) => match unary.expr.value_type() {
            ValueType::Scalar | ValueType::Vector => Ok(()),
            got => fail(
                unary.span,
                format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                    quoted(got.documented())
                ),
            ),
        },
    }
}

/// The names of types as Prometheus' own code has them.
fn short(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        ValueType::Text => "string",
    }
}

fn check_selector(selector: &Selector) -> Parsed<()> {
    if !selector.name.is_empty() {
        // The name's own matcher is the last.
        let others = &selector.matchers[..selector.matchers.len() - 1];
        if let Some(twice) = others.iter().find(|matcher| matcher.name() == METRIC_NAME) {
            let (name, other) = (quoted(&selector.name), quoted(twice.value()));
            return fail(
                selector.span,
                format!("metric name must not be set twice: {name} or {other}"),
            );
        }
        return Ok(());
    }
    if selector.matchers.iter().all(|matcher| matcher.matches_empty()) {
        return fail(
            selector.span,
            "vector selector must contain at least one non-empty matcher",
        );
    }
    Ok(())
}

fn check_call(call: &Call) -> Parsed<()> {
    let (function, got) = (call.function, call.arguments.len());
    let name = quoted(function.name);
    let (least, most) = (function.arguments_min, function.arguments_max);
    if least == most && got != least {
        return fail(
            call.span,
            format!("expected {least} argument(s) in call to {name}, got {got}"),
        );
    }
    if got < least {
        let text = format!("expected at least {least} argument(s) in call to {name}, got {got}");
        return fail(call.span, text);
    }
    if got > most {
        return fail(
            call.span,
            format!("expected at most {most} argument(s) in call to {name}, got {got}"),
        );
    }
    for (at, argument) in call.arguments.iter().enumerate() {
        if let Some(wanted) = function.argument(at) {
            expect(argument, wanted, &format!("call to function {name}"))?;
        }
    }
    Ok(())
}

fn check_aggregate(aggregate: &Aggregate) -> Parsed<()> {
    expect(&aggregate.expr, ValueType::Vector, "aggregation expression")?;
    let wanted = match aggregate.op {
        AggregateOp::CountValues => ValueType::Text,
        _ => ValueType::Scalar,
    };
    match &aggregate.parameter {
        Some(parameter) => expect(parameter, wanted, "aggregation parameter"),
        None => Ok(()),
    }
}

fn check_binary(binary: &Binary, span: Span) -> Parsed<()> {
    let (left, right) = (binary.left.value_type(), binary.right.value_type());
    let (op, matching) = (binary.op, &binary.matching);
    if binary.returns_bool && !op.is_comparison() {
        return fail(binary.op_span, "bool modifier can only be used on comparison operators");
    }
    let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
    if op.is_comparison() && !binary.returns_bool && scalars {
        return fail(binary.op_span, "comparisons between scalars must use BOOL modifier");
    }
    let twice = matching.labels.iter().find(|label| matching.include.contains(label));
    if let Some(label) = twice.filter(|_| matching.on) {
        let label = quoted(label);
        let text = format!("label {label} must not occur in ON and GROUP clause at once");
        return fail(binary.op_span, text);
    }
    for side in [&binary.left, &binary.right] {
        if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
            let text = "binary expression must contain only scalar and instant vector types";
            return fail(side.span(), text);
        }
    }
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let name = quoted(op.as_str());
    if left == ValueType::Scalar || right == ValueType::Scalar {
        if !matching.labels.is_empty() {
            return fail(span, "vector matching only allowed between instant vectors");
        }
        if fills {
            return fail(span, "filling in missing series only allowed between instant vectors");
        }
        if op.is_set() {
            return fail(
                span,
                format!("set operator {name} not allowed in binary scalar expression"),
            );
        }
    } else if op.is_set() {
        if matching.cardinality != Cardinality::ManyToMany {
            return fail(span, format!("no grouping allowed for {name} operation"));
        }
        if fills {
            return fail(span, "filling in missing series not allowed for set operators");
        }
    }
    Ok(())
}
