//! Writes a tree as text that reads back as the same tree.
//!
//! Owns spaces and the order of modifiers, which are Prometheus' own. Parentheses are nodes of the tree, so none is made up.
//!
//! Invariant: what is printed reads back and prints the same (test `what_is_printed_reads_back_the_same`).

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{Aggregate, At, Binary, BinaryOp, Cardinality, DurationExpr, Expr, Number, Period, Selector};
use crate::duration::format_duration;
use crate::labels::{METRIC_NAME, MatchOp};
use crate::text::{is_label_name, number, write_quoted};

impl Display for Expr {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(node) => node.fmt(to),
            Expr::Text(node) => write_quoted(to, &node.value),
            Expr::Selector(node) => {
                series(to, node)?;
                modifiers(to, node.at, node.offset.as_ref())
            }
            Expr::Range(node) => {
                series(to, &node.selector)?;
                write!(to, "[{}]", node.range)?;
                modifiers(to, node.selector.at, node.selector.offset.as_ref())
            }
            Expr::Subquery(node) => {
                write!(to, "{}[{}:", node.expr, node.range)?;
                if let Some(step) = &node.step {
                    step.fmt(to)?;
                }
                to.write_char(']')?;
                modifiers(to, node.at, node.offset.as_ref())
            }
            Expr::Call(node) => {
                write!(to, "{}(", node.function.name)?;
                list(to, &node.arguments, |to, argument| argument.fmt(to))?;
                to.write_char(')')
            }
            Expr::Aggregate(node) => aggregate(to, node),
            Expr::Binary(node) => binary(to, node),
            Expr::Unary(node) => write!(to, "{}{}", if node.negative { '-' } else { '+' }, node.expr),
            Expr::Paren(node) => write!(to, "({})", node.expr),
        }
    }
}

fn list<T>(to: &mut Formatter<'_>, items: &[T], write: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            to.write_str(", ")?;
        }
        write(to, item)?;
    }
    Ok(())
}

fn labels(to: &mut Formatter<'_>, names: &[String]) -> fmt::Result {
    to.write_char('(')?;
    list(to, names, |to, name| match is_label_name(name) {
        true => to.write_str(name),
        false => write_quoted(to, name),
    })?;
    to.write_char(')')
}

fn series(to: &mut Formatter<'_>, selector: &Selector) -> fmt::Result {
    to.write_str(&selector.name)?;
    // The name in front has a matcher of its own, the last.
    let own = usize::from(!selector.name.is_empty());
    let matchers = &selector.matchers[..selector.matchers.len() - own];
    if matchers.is_empty() && own == 1 {
        return Ok(());
    }
    to.write_char('{')?;
    list(to, matchers, |to, matcher| {
        // A name that is no plain word is written `{"a name"}`.
        match matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && !matcher.value().is_empty() {
            true => write_quoted(to, matcher.value()),
            false => matcher.fmt(to),
        }
    })?;
    to.write_char('}')
}

fn modifiers(to: &mut Formatter<'_>, at: Option<At>, offset: Option<&Period>) -> fmt::Result {
    match at {
        None => {}
        Some(At::Start) => to.write_str(" @ start()")?,
        Some(At::End) => to.write_str(" @ end()")?,
        Some(At::Time(time)) => {
            let (seconds, rest) = (time.unsigned_abs() / 1000, time.unsigned_abs() % 1000);
            write!(to, " @ {}{seconds}.{rest:03}", if time < 0 { "-" } else { "" })?;
        }
    }
    match offset {
        None => Ok(()),
        Some(offset) => write!(to, " offset {offset}"),
    }
}

fn aggregate(to: &mut Formatter<'_>, node: &Aggregate) -> fmt::Result {
    to.write_str(node.op.as_str())?;
    if node.without || !node.grouping.is_empty() {
        to.write_str(if node.without { " without " } else { " by " })?;
        labels(to, &node.grouping)?;
        to.write_char(' ')?;
    }
    to.write_char('(')?;
    if let Some(parameter) = &node.parameter {
        write!(to, "{parameter}, ")?;
    }
    write!(to, "{})", node.expr)
}

fn binary(to: &mut Formatter<'_>, node: &Binary) -> fmt::Result {
    let matching = &node.matching;
    write!(to, "{} {}", node.left, node.op.as_str())?;
    if node.returns_bool {
        to.write_str(" bool")?;
    }
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some("left"),
        Cardinality::OneToMany => Some("right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if matching.on || group.is_some() || !matching.labels.is_empty() {
        to.write_str(if matching.on { " on " } else { " ignoring " })?;
        labels(to, &matching.labels)?;
    }
    if let Some(side) = group {
        write!(to, " group_{side} ")?;
        labels(to, &matching.include)?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => write!(to, " fill ({})", number(left))?,
        (left, right) => {
            if let Some(value) = left {
                write!(to, " fill_left ({})", number(value))?;
            }
            if let Some(value) = right {
                write!(to, " fill_right ({})", number(value))?;
            }
        }
    }
    write!(to, " {}", node.right)
}

impl Display for Number {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self.is_duration {
            true => to.write_str(&format_duration((self.value * 1000.0).round() as i64)),
            false => to.write_str(&number(self.value)),
        }
    }
}

impl Display for Period {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Period::Fixed(milliseconds) => to.write_str(&format_duration(*milliseconds)),
            Period::Computed(expr) => expr.fmt(to),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Number(number) => number.fmt(to),
            DurationExpr::Step(_) => to.write_str("step()"),
            DurationExpr::Range(_) => to.write_str("range()"),
            DurationExpr::Negative(inner, _) => write!(to, "-{inner}"),
            DurationExpr::Paren(inner, _) => write!(to, "({inner})"),
            DurationExpr::MinOf(one, two, _) => write!(to, "min_of({one}, {two})"),
            DurationExpr::MaxOf(one, two, _) => write!(to, "max_of({one}, {two})"),
            DurationExpr::Binary(op, left, right) => {
                debug_assert!(*op != BinaryOp::Atan2, "no duration has an arc");
                write!(to, "{left} {} {right}", op.as_str())
            }
        }
    }
}
