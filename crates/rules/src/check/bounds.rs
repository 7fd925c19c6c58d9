//! Between which values the result of an expression can be.
//!
//! Owns what is known of each node; where nothing is known, everything is possible.

use tend_promql::{AggregateOp, Binary, BinaryOp, Cardinality, Expr, Matcher, Period, Selector, ValueType};

/// The least and the greatest value, both possible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) least: f64,
    pub(crate) most: f64,
}

const ANY: Bounds = Bounds {
    least: f64::NEG_INFINITY,
    most: f64::INFINITY,
};
const NOT_NEGATIVE: Bounds = Bounds {
    least: 0.0,
    most: f64::INFINITY,
};
const ZERO_OR_ONE: Bounds = Bounds { least: 0.0, most: 1.0 };

impl Bounds {
    fn only(value: f64) -> Self {
        Self {
            least: value,
            most: value,
        }
    }

    fn of(values: [f64; 4]) -> Self {
        if values.iter().any(|value| value.is_nan()) {
            return ANY;
        }
        Self {
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// Whether no value between them satisfies a comparison.
    pub(crate) fn never(self, op: BinaryOp, than: f64) -> bool {
        match op {
            BinaryOp::Greater => self.most <= than,
            BinaryOp::GreaterOrEqual => self.most < than,
            BinaryOp::Less => self.least >= than,
            BinaryOp::LessOrEqual => self.least > than,
            BinaryOp::Equal => than < self.least || than > self.most,
            BinaryOp::NotEqual => self.least == than && self.most == than,
            _ => false,
        }
    }

    /// Whether every value between them satisfies a comparison.
    pub(crate) fn always(self, op: BinaryOp, than: f64) -> bool {
        match op {
            BinaryOp::Greater => self.least > than,
            BinaryOp::GreaterOrEqual => self.least >= than,
            BinaryOp::Less => self.most < than,
            BinaryOp::LessOrEqual => self.most <= than,
            BinaryOp::Equal => self.least == than && self.most == than,
            BinaryOp::NotEqual => than < self.least || than > self.most,
            _ => false,
        }
    }

    /// What is left of them once a comparison has chosen.
    pub(crate) fn chosen(self, op: BinaryOp, than: f64) -> Self {
        match op {
            BinaryOp::Greater | BinaryOp::GreaterOrEqual => Self {
                least: self.least.max(than),
                ..self
            },
            BinaryOp::Less | BinaryOp::LessOrEqual => Self {
                most: self.most.min(than),
                ..self
            },
            BinaryOp::Equal => Self::only(than),
            _ => self,
        }
    }
}

/// The number that an expression is, whatever there is in the store.
pub(crate) fn constant(expr: &Expr) -> Option<f64> {
    if expr.value_type() != ValueType::Scalar {
        return None;
    }
    match expr.unwrapped() {
        Expr::Number(number) => Some(number.value),
        Expr::Unary(unary) => constant(&unary.expr).map(|value| if unary.negative { -value } else { value }),
        Expr::Binary(binary) => {
            let (left, right) = (constant(&binary.left)?, constant(&binary.right)?);
            match binary.op {
                BinaryOp::Add => Some(left + right),
                BinaryOp::Subtract => Some(left - right),
                BinaryOp::Multiply => Some(left * right),
                BinaryOp::Divide => Some(left / right),
                BinaryOp::Power => Some(left.powf(right)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The same comparison, read from the other side.
pub(crate) fn turned(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        other => other,
    }
}

pub(crate) fn is_comparison(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Less
            | BinaryOp::LessOrEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterOrEqual
    )
}

/// A comparison of something with a number: what, how, with what.
pub(crate) fn comparison(binary: &Binary) -> Option<(&Expr, BinaryOp, f64)> {
    if !is_comparison(binary.op) {
        return None;
    }
    match (constant(&binary.left), constant(&binary.right)) {
        (None, Some(than)) => Some((&binary.left, binary.op, than)),
        (Some(than), None) => Some((&binary.right, turned(binary.op), than)),
        _ => None,
    }
}

/// Between which values an expression can be.
pub(crate) fn bounds(expr: &Expr) -> Bounds {
    if let Some(value) = constant(expr) {
        return Bounds::only(value);
    }
    match expr.unwrapped() {
        Expr::Selector(selector) => of_selector(selector),
        Expr::Range(range) => of_selector(&range.selector),
        Expr::Subquery(subquery) => bounds(&subquery.expr),
        Expr::Unary(unary) if unary.negative => {
            let inner = bounds(&unary.expr);
            Bounds {
                least: -inner.most,
                most: -inner.least,
            }
        }
        Expr::Unary(unary) => bounds(&unary.expr),
        Expr::Call(call) => match call.function.name {
            "rate" | "irate" | "increase" | "changes" | "resets" | "stddev_over_time" | "stdvar_over_time" | "abs"
            | "sqrt" | "exp" | "time" | "timestamp" => NOT_NEGATIVE,
            "absent" | "absent_over_time" | "present_over_time" => Bounds::only(1.0),
            "count_over_time" => Bounds {
                least: 1.0,
                most: f64::INFINITY,
            },
            "avg_over_time" | "min_over_time" | "max_over_time" | "last_over_time" | "sort" | "sort_desc" => {
                call.arguments.first().map_or(ANY, bounds)
            }
            _ => ANY,
        },
        Expr::Aggregate(aggregate) => match aggregate.op {
            AggregateOp::Avg | AggregateOp::Min | AggregateOp::Max => bounds(&aggregate.expr),
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                bounds(&aggregate.expr)
            }
            AggregateOp::Sum if bounds(&aggregate.expr).least >= 0.0 => NOT_NEGATIVE,
            AggregateOp::Count => Bounds {
                least: 1.0,
                most: f64::INFINITY,
            },
            AggregateOp::Group => Bounds::only(1.0),
            AggregateOp::Stddev | AggregateOp::Stdvar => NOT_NEGATIVE,
            _ => ANY,
        },
        Expr::Binary(binary) => of_binary(binary),
        _ => ANY,
    }
}

fn of_selector(selector: &Selector) -> Bounds {
    match selector.name.as_str() {
        "up" => ZERO_OR_ONE,
        name if name.ends_with("_up") => ZERO_OR_ONE,
        name if name.ends_with("_total") || name.ends_with("_bucket") => NOT_NEGATIVE,
        _ => ANY,
    }
}

fn of_binary(binary: &Binary) -> Bounds {
    if binary.returns_bool {
        return ZERO_OR_ONE;
    }
    if let Some((what, op, than)) = comparison(binary) {
        return bounds(what).chosen(op, than);
    }
    if same_series(binary).is_some() {
        match binary.op {
            BinaryOp::Divide => return Bounds::only(1.0),
            BinaryOp::Subtract => return Bounds::only(0.0),
            _ => {}
        }
    }
    let (left, right) = (bounds(&binary.left), bounds(&binary.right));
    match binary.op {
        BinaryOp::Add => Bounds {
            least: left.least + right.least,
            most: left.most + right.most,
        },
        BinaryOp::Subtract => Bounds {
            least: left.least - right.most,
            most: left.most - right.least,
        },
        BinaryOp::Multiply => Bounds::of([
            left.least * right.least,
            left.least * right.most,
            left.most * right.least,
            left.most * right.most,
        ]),
        BinaryOp::Divide if right.least > 0.0 && right.most.is_finite() => Bounds::of([
            left.least / right.least,
            left.least / right.most,
            left.most / right.least,
            left.most / right.most,
        ]),
        BinaryOp::Divide if left.least >= 0.0 && right.least >= 0.0 => NOT_NEGATIVE,
        BinaryOp::And | BinaryOp::Unless => left,
        op if is_comparison(op) => left,
        BinaryOp::Or => Bounds {
            least: left.least.min(right.least),
            most: left.most.max(right.most),
        },
        _ => ANY,
    }
}

/// Whether one-to-one matching pairs each series with itself; the labels by which one side is narrower than the other.
pub(crate) fn same_series(binary: &Binary) -> Option<Vec<String>> {
    let matching = &binary.matching;
    if matching.cardinality != Cardinality::OneToOne || matching.on || !matching.labels.is_empty() {
        return None;
    }
    alike(&binary.left, &binary.right)
}

/// Whether two expressions are the same but for matchers that one has more of; the labels of those.
fn alike(one: &Expr, two: &Expr) -> Option<Vec<String>> {
    match (one.unwrapped(), two.unwrapped()) {
        (Expr::Selector(one), Expr::Selector(two)) => narrower(one, two),
        (Expr::Range(one), Expr::Range(two)) => {
            let same = matches!((&one.range, &two.range), (Period::Fixed(one), Period::Fixed(two)) if one == two);
            if same { narrower(&one.selector, &two.selector) } else { None }
        }
        (Expr::Call(one), Expr::Call(two)) => {
            if one.function.name != two.function.name || one.arguments.len() != two.arguments.len() {
                return None;
            }
            // These make a value of several series, or of none.
            if matches!(
                one.function.name,
                "histogram_quantile" | "absent" | "absent_over_time" | "label_replace" | "label_join" | "scalar"
            ) {
                return None;
            }
            let mut labels = Vec::new();
            for (one, two) in one.arguments.iter().zip(&two.arguments) {
                match one.value_type() {
                    ValueType::Vector | ValueType::Matrix => labels.extend(alike(one, two)?),
                    _ if one.to_string() == two.to_string() => {}
                    _ => return None,
                }
            }
            Some(labels)
        }
        (Expr::Aggregate(one), Expr::Aggregate(two)) => {
            let same = one.op == two.op
                && one.without == two.without
                && one.grouping == two.grouping
                && one.parameter.is_none()
                && two.parameter.is_none();
            let labels = alike(&one.expr, &two.expr).filter(|_| same)?;
            // A label by which one side is narrower has to be told apart by the groups, or these hold different series.
            let told_apart = labels.iter().all(|label| one.grouping.contains(label) != one.without);
            told_apart.then_some(labels)
        }
        (Expr::Unary(one), Expr::Unary(two)) if one.negative == two.negative => alike(&one.expr, &two.expr),
        _ => None,
    }
}

fn narrower(one: &Selector, two: &Selector) -> Option<Vec<String>> {
    let written = |selector: &Selector| {
        let offset = selector.offset.as_ref().map(|offset| match offset {
            Period::Fixed(millis) => Some(*millis),
            Period::Computed(_) => None,
        });
        (offset, selector.at)
    };
    if one.name != two.name || one.name.is_empty() || written(one) != written(two) || written(one).0 == Some(None) {
        return None;
    }
    let missing = |from: &[Matcher], among: &[Matcher]| -> Vec<String> {
        from.iter()
            .filter(|matcher| !among.contains(matcher))
            .map(|matcher| matcher.name().to_owned())
            .collect()
    };
    let (more, less) = (
        missing(&one.matchers, &two.matchers),
        missing(&two.matchers, &one.matchers),
    );
    match (more.is_empty(), less.is_empty()) {
        (_, true) => Some(more),
        (true, false) => Some(less),
        // Both choose in their own way: which series are left is not known.
        (false, false) => None,
    }
}
