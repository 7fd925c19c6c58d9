//! A query taken apart, as the tree that Prometheus' own pages show.

use serde_json::{Value, json};
use tend_promql::{
    At, BinaryOp, Cardinality, DurationExpr, Expr, Matcher, Number, Period, Selector, ValueType, number,
};

/// Takes an expression apart.
pub(super) fn tree(expr: &Expr) -> Value {
    match expr {
        Expr::Number(node) => json!({ "type": "numberLiteral", "val": number(node.value) }),
        Expr::Text(node) => json!({ "type": "stringLiteral", "val": node.value }),
        Expr::Selector(node) => selector("vectorSelector", node),
        Expr::Range(node) => {
            let mut out = selector("matrixSelector", &node.selector);
            let (range, computed) = period(Some(&node.range));
            out["range"] = range;
            out["rangeExpr"] = computed;
            out
        }
        Expr::Subquery(node) => {
            let (range, range_expr) = period(Some(&node.range));
            let (offset, offset_expr) = period(node.offset.as_ref());
            let (step, step_expr) = period(node.step.as_ref());
            let (timestamp, start_or_end) = at(node.at);
            json!({
                "type": "subquery",
                "expr": tree(&node.expr),
                "range": range,
                "rangeExpr": range_expr,
                "offset": offset,
                "offsetExpr": offset_expr,
                "step": step,
                "stepExpr": step_expr,
                "timestamp": timestamp,
                "startOrEnd": start_or_end,
            })
        }
        Expr::Call(node) => {
            let function = node.function;
            let kinds: Vec<&str> = function.arguments.iter().copied().map(kind).collect();
            // How many may be left out or added; -1 for any number.
            let variadic = match function.arguments_max {
                usize::MAX => json!(-1),
                max => json!(max - function.arguments_min),
            };
            json!({
                "type": "call",
                "func": {
                    "name": function.name,
                    "argTypes": kinds,
                    "variadic": variadic,
                    "returnType": kind(function.returns),
                },
                "args": node.arguments.iter().map(tree).collect::<Vec<_>>(),
            })
        }
        Expr::Aggregate(node) => json!({
            "type": "aggregation",
            "op": node.op.as_str(),
            "expr": tree(&node.expr),
            "param": node.parameter.as_ref().map(tree),
            "grouping": node.grouping,
            "without": node.without,
        }),
        Expr::Binary(node) => {
            let vectors = [&node.left, &node.right].map(|side| side.value_type() == ValueType::Vector);
            let matching = &node.matching;
            let cardinality = match matching.cardinality {
                Cardinality::OneToOne => "one-to-one",
                Cardinality::ManyToOne => "many-to-one",
                Cardinality::OneToMany => "one-to-many",
                Cardinality::ManyToMany => "many-to-many",
            };
            let matching = json!({
                "card": cardinality,
                "labels": matching.labels,
                "on": matching.on,
                "include": matching.include,
                "fillValues": { "lhs": matching.fill_left, "rhs": matching.fill_right },
            });
            json!({
                "type": "binaryExpr",
                "op": node.op.as_str(),
                "lhs": tree(&node.left),
                "rhs": tree(&node.right),
                // Numbers are not matched.
                "matching": (vectors == [true, true]).then_some(matching),
                "bool": node.returns_bool,
            })
        }
        Expr::Unary(node) => json!({
            "type": "unaryExpr",
            "op": if node.negative { "-" } else { "+" },
            "expr": tree(&node.expr),
        }),
        Expr::Paren(node) => json!({ "type": "parenExpr", "expr": tree(&node.expr) }),
    }
}

fn selector(kind: &str, node: &Selector) -> Value {
    let (offset, offset_expr) = period(node.offset.as_ref());
    let (timestamp, start_or_end) = at(node.at);
    json!({
        "type": kind,
        "name": node.name,
        "offset": offset,
        "offsetExpr": offset_expr,
        "matchers": node.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
        "anchored": false,
        "smoothed": false,
    })
}

fn matcher(matcher: &Matcher) -> Value {
    json!({ "name": matcher.name(), "value": matcher.value(), "type": matcher.op().as_str() })
}

/// A length of time in milliseconds, and what it is computed from.
fn period(period: Option<&Period>) -> (Value, Value) {
    match period {
        None => (json!(0), Value::Null),
        Some(Period::Fixed(millis)) => (json!(millis), Value::Null),
        Some(Period::Computed(expr)) => (json!(0), duration(expr)),
    }
}

fn at(at: Option<At>) -> (Value, Value) {
    match at {
        None => (Value::Null, Value::Null),
        Some(At::Time(time)) => (json!(time), Value::Null),
        Some(At::Start) => (Value::Null, json!("start")),
        Some(At::End) => (Value::Null, json!("end")),
    }
}

fn duration(expr: &DurationExpr) -> Value {
    let node = |op: &str, left: Value, right: Value, wrapped: bool| json!({ "type": "durationExpr", "op": op, "lhs": left, "rhs": right, "wrapped": wrapped });
    let literal = |number: &Number| json!({ "type": "numberLiteral", "val": tend_promql::number(number.value), "duration": number.is_duration });
    match expr {
        DurationExpr::Number(number) => literal(number),
        DurationExpr::Step(_) => node("step", Value::Null, Value::Null, false),
        DurationExpr::Range(_) => node("range", Value::Null, Value::Null, false),
        DurationExpr::Negative(inner, _) => node(BinaryOp::Subtract.as_str(), Value::Null, duration(inner), false),
        DurationExpr::Binary(op, left, right) => node(op.as_str(), duration(left), duration(right), false),
        DurationExpr::MinOf(left, right, _) => node("min_of", duration(left), duration(right), false),
        DurationExpr::MaxOf(left, right, _) => node("max_of", duration(left), duration(right), false),
        DurationExpr::Paren(inner, _) => {
            let mut inner = duration(inner);
            if inner["type"] == "durationExpr" {
                inner["wrapped"] = json!(true);
            }
            inner
        }
    }
}

fn kind(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
        ValueType::Text => "string",
    }
}
