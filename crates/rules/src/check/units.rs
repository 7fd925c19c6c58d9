//! Looks at numbers of different kinds that are compared: events a second with a share, seconds with milliseconds, bytes with megabytes.
//!
//! Owns the kind of number that each node gives, from names, types and functions. Where the kind is not known, nothing is said.

use std::collections::BTreeSet;

use tend_promql::{AggregateOp, Binary, BinaryOp, Expr, MatchOp, METRIC_NAME, Selector, ValueType, number};

use super::bounds::{comparison, constant};
use super::never::summing;
use super::wording::Wording;
use super::{About, Catalogue, Looking, MetricKind, Severity};

/// A kind of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Unknown,
    /// It only grows; of events, seconds or bytes.
    CounterOf(Base),
    /// Each second.
    PerSecond(Base),
    /// So much came to be.
    Amount(Base),
    /// Of a whole that is 1.
    Ratio,
    /// One unknown thing by another.
    Quotient,
    /// Of a whole that is 100.
    Percent,
    Milliseconds,
    /// Seconds since 1970.
    Moment,
    /// 0 or 1.
    Flag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Events,
    Seconds,
    Bytes,
}

pub(crate) fn look(looking: &mut Looking<'_>) {
    let wording = Wording::of(looking.rule);
    let tree = &looking.rule.tree;
    let catalogue = looking.ground.catalogue;
    visit_conditions(tree, &mut |binary| {
        if let Some((what, op, than)) = comparison(binary) {
            compared(looking, &wording, (binary, what, op, than), unit(what, catalogue));
        }
    });
}

/// Visits the comparisons that decide whether the rule is true.
fn visit_conditions(expr: &Expr, see: &mut dyn FnMut(&Binary)) {
    if let Expr::Binary(binary) = expr.unwrapped() {
        match binary.op {
            BinaryOp::And | BinaryOp::Or => {
                visit_conditions(&binary.left, see);
                visit_conditions(&binary.right, see);
            }
            BinaryOp::Unless => visit_conditions(&binary.left, see),
            _ if !binary.returns_bool => see(binary),
            _ => {}
        }
    }
}

fn compared(
    looking: &mut Looking<'_>,
    wording: &Wording,
    (binary, what, op, than): (&Binary, &Expr, BinaryOp, f64),
    unit: Unit,
) {
    let asks_more = matches!(op, BinaryOp::Greater | BinaryOp::GreaterOrEqual);
    let printed_percent = wording.humanizes_percentage || wording.value_percent || wording.named_percent;
    let with_threshold = |looking: &Looking<'_>, text: String| {
        let side = match constant(&binary.left) {
            Some(_) => &binary.left,
            None => &binary.right,
        };
        looking.with(side.span(), &text)
    };
    match unit {
        Unit::PerSecond(Base::Events) if than > 0.0 && than < 1.0 => {
            if printed_percent || wording.says_percent_of_one(than) {
                let what_is = format!(
                    "the rule counts events a second and asks for more than {} of them, and its texts speak of {}%",
                    number(than),
                    number(rounded(than * 100.0))
                );
                let meant = share_of_all(looking, what);
                looking.say(Severity::Error, About::Unit, what_is, meant);
            } else if wording.rate && !wording.per_second {
                let what_is = format!(
                    "{} events a second are one in {} seconds; were they meant, or a share?",
                    number(than),
                    number(rounded(1.0 / than))
                );
                let meant = share_of_all(looking, what);
                looking.say(Severity::Note, About::Unit, what_is, meant);
            }
        }
        Unit::PerSecond(_) | Unit::Amount(_) | Unit::Milliseconds | Unit::Moment | Unit::CounterOf(_)
            if printed_percent =>
        {
            let what_is = format!("the rule's texts speak of percent, and its value is {}", noun(unit));
            looking.say(
                Severity::Error,
                About::Unit,
                what_is,
                Some("divide it by what it is a share of".to_owned()),
            );
        }
        Unit::CounterOf(_) if asks_more && than > 0.0 => {
            let what_is = format!(
                "`{}` only grows, so that this is true for ever once it was",
                looking.written(what.span())
            );
            let meant = looking.with(what.span(), &format!("increase({}[5m])", looking.written(what.span())));
            looking.say(Severity::Warning, About::Unit, what_is, Some(meant));
        }
        Unit::Ratio if than > 1.0 && (wording.says_percent(than) || wording.value_percent) => {
            let what_is = format!(
                "a share is 1 at most, and {} is asked for; the texts speak of percent",
                number(than)
            );
            let meant = with_threshold(looking, number(rounded(than / 100.0)));
            looking.say(Severity::Error, About::Unit, what_is, Some(meant));
        }
        Unit::Ratio if wording.value_percent && than <= 1.0 => {
            let what_is = "the value is a share of 1, and the text prints it with a percent sign".to_owned();
            let meant = "{{ $value | humanizePercentage }}".to_owned();
            looking.say(Severity::Warning, About::Unit, what_is, Some(meant));
        }
        Unit::Percent if than > 0.0 && than < 1.0 && wording.says_percent_of_one(than) => {
            let what_is = format!("the value is in percent, and {} is {} in ten thousand", number(than), {
                number(rounded(than * 100.0))
            });
            let meant = with_threshold(looking, number(rounded(than * 100.0)));
            looking.say(Severity::Error, About::Unit, what_is, Some(meant));
        }
        Unit::Percent if wording.humanizes_percentage => {
            let what_is = "the value is in percent already, and `humanizePercentage` multiplies it by 100".to_owned();
            looking.say(
                Severity::Warning,
                About::Unit,
                what_is,
                Some("{{ $value }}%".to_owned()),
            );
        }
        Unit::Amount(Base::Seconds) if wording.milliseconds && !wording.seconds && than >= 10.0 => {
            let what_is = format!("the value is in seconds, and {} milliseconds are asked for", number(than));
            let meant = with_threshold(looking, number(rounded(than / 1000.0)));
            looking.say(Severity::Error, About::Unit, what_is, Some(meant));
        }
        Unit::Milliseconds if wording.seconds && !wording.milliseconds && than < 100.0 => {
            let what_is = format!("the value is in milliseconds, and {} seconds are asked for", number(than));
            let meant = with_threshold(looking, number(rounded(than * 1000.0)));
            looking.say(Severity::Error, About::Unit, what_is, Some(meant));
        }
        Unit::Amount(Base::Bytes) if than > 0.0 && than < 1_000_000.0 => {
            if let Some(bytes) = wording.large_bytes {
                let what_is = format!("the value is in bytes, and {} of them are asked for", number(than));
                let meant = with_threshold(looking, format!("{} * {}", number(than), number(bytes)));
                looking.say(Severity::Error, About::Unit, what_is, Some(meant));
            }
        }
        _ => {}
    }
}

fn noun(unit: Unit) -> &'static str {
    match unit {
        Unit::PerSecond(Base::Events) => "events a second",
        Unit::PerSecond(Base::Bytes) => "bytes a second",
        Unit::PerSecond(Base::Seconds) | Unit::Amount(Base::Seconds) | Unit::CounterOf(Base::Seconds) => "seconds",
        Unit::Amount(Base::Events) | Unit::CounterOf(Base::Events) => "a count",
        Unit::Amount(Base::Bytes) | Unit::CounterOf(Base::Bytes) => "bytes",
        Unit::Milliseconds => "milliseconds",
        Unit::Moment => "a moment",
        Unit::Ratio | Unit::Quotient | Unit::Percent | Unit::Flag | Unit::Unknown => "a number",
    }
}

/// A number without the last bits that arithmetic leaves.
fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

/// The share that was probably meant where events a second are compared: those that the selector chooses, of all.
fn share_of_all(looking: &Looking<'_>, what: &Expr) -> Option<String> {
    let mut only: Vec<&Selector> = Vec::new();
    what.visit(&mut |part| match part {
        Expr::Range(range) => only.push(&range.selector),
        Expr::Selector(selector) => only.push(selector),
        _ => {}
    });
    let [selector] = only[..] else { return None };
    // `job` and its like say of what, not which of them.
    let chooses =
        |matcher: &&tend_promql::Matcher| !matches!(matcher.name(), METRIC_NAME | "job" | "instance" | "service" | "stack");
    let labels: BTreeSet<String> = selector
        .matchers
        .iter()
        .filter(chooses)
        .map(|matcher| matcher.name().to_owned())
        .collect();
    if labels.is_empty() || matches!(what.unwrapped(), Expr::Aggregate(_)) {
        return (!labels.is_empty()).then(|| "divide it by the same sum over all of them".to_owned());
    }
    let all = without(what, &labels)?;
    let grouping = summing(looking, &labels);
    let share = format!("{grouping} ({}) / {grouping} ({all})", looking.written(what.span()));
    Some(looking.with(what.span(), &share))
}

/// An expression without its matchers on some labels.
fn without(expr: &Expr, labels: &BTreeSet<String>) -> Option<Expr> {
    fn walk(expr: &mut Expr, labels: &BTreeSet<String>) {
        match expr {
            Expr::Selector(selector) => selector.matchers.retain(|matcher| !labels.contains(matcher.name())),
            Expr::Range(range) => range
                .selector
                .matchers
                .retain(|matcher| !labels.contains(matcher.name())),
            other => other.children_mut().into_iter().for_each(|child| walk(child, labels)),
        }
    }
    let mut whole = expr.clone();
    walk(&mut whole, labels);
    Some(whole)
}

/// The kind of number that an expression gives.
fn unit(expr: &Expr, catalogue: Option<&Catalogue>) -> Unit {
    match expr.unwrapped() {
        Expr::Selector(selector) => of_selector(selector, catalogue),
        Expr::Range(range) => of_selector(&range.selector, catalogue),
        Expr::Subquery(subquery) => unit(&subquery.expr, catalogue),
        Expr::Unary(unary) => unit(&unary.expr, catalogue),
        Expr::Call(call) => {
            let argument = |at: usize| call.arguments.get(at).map_or(Unit::Unknown, |argument| unit(argument, catalogue));
            match call.function.name {
                "rate" | "irate" => match argument(0) {
                    // A second of something in each second.
                    Unit::CounterOf(Base::Seconds) => Unit::Ratio,
                    Unit::CounterOf(base) => Unit::PerSecond(base),
                    _ => Unit::PerSecond(Base::Events),
                },
                "increase" => match argument(0) {
                    Unit::CounterOf(base) => Unit::Amount(base),
                    _ => Unit::Amount(Base::Events),
                },
                "changes" | "resets" | "count_over_time" => Unit::Amount(Base::Events),
                "histogram_quantile" => call.arguments.get(1).map_or(Unit::Unknown, of_buckets),
                "time" | "timestamp" => Unit::Moment,
                "absent" | "absent_over_time" => Unit::Flag,
                "abs" | "ceil" | "floor" | "round" | "clamp" | "clamp_min" | "clamp_max" | "sort" | "sort_desc"
                | "avg_over_time" | "min_over_time" | "max_over_time" | "last_over_time" | "scalar" | "vector"
                | "label_replace" | "label_join" => argument(0),
                "quantile_over_time" => argument(1),
                _ => Unit::Unknown,
            }
        }
        Expr::Aggregate(aggregate) => {
            let inner = unit(&aggregate.expr, catalogue);
            match (aggregate.op, inner) {
                (AggregateOp::Count | AggregateOp::CountValues | AggregateOp::Group, _)
                | (AggregateOp::Sum, Unit::Flag) => Unit::Amount(Base::Events),
                (AggregateOp::Avg, Unit::Flag) => Unit::Ratio,
                (AggregateOp::Sum, Unit::Ratio | Unit::Percent) => Unit::Unknown,
                _ => inner,
            }
        }
        Expr::Binary(binary) => of_binary(binary, catalogue),
        _ => Unit::Unknown,
    }
}

fn of_binary(binary: &Binary, catalogue: Option<&Catalogue>) -> Unit {
    let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
    let (left, right) = (unit(&binary.left, catalogue), unit(&binary.right, catalogue));
    if is_vector(&binary.left) && is_vector(&binary.right) {
        return match binary.op {
            BinaryOp::Divide if left == right && left != Unit::Unknown => Unit::Ratio,
            // What happened in a time, by how often it happened in it.
            BinaryOp::Divide if left == Unit::Ratio && right == Unit::PerSecond(Base::Events) => {
                Unit::Amount(Base::Seconds)
            }
            BinaryOp::Divide => Unit::Quotient,
            BinaryOp::Subtract if left == Unit::Moment && right == Unit::Moment => Unit::Amount(Base::Seconds),
            BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Or if left == right => left,
            BinaryOp::And | BinaryOp::Unless => left,
            op if super::bounds::is_comparison(op) && !binary.returns_bool => left,
            _ => Unit::Unknown,
        };
    }
    let (number, unit, number_first) = match (constant(&binary.left), constant(&binary.right)) {
        (None, Some(number)) => (number, left, false),
        (Some(number), None) => (number, right, true),
        // `time() - x`
        _ if binary.op == BinaryOp::Subtract && left == Unit::Moment && right == Unit::Moment => {
            return Unit::Amount(Base::Seconds);
        }
        _ => return Unit::Unknown,
    };
    match (binary.op, unit) {
        (BinaryOp::Multiply, Unit::Ratio | Unit::Quotient) if number == 100.0 => Unit::Percent,
        (BinaryOp::Multiply, Unit::Amount(Base::Seconds)) if number == 1000.0 => Unit::Milliseconds,
        (BinaryOp::Multiply | BinaryOp::Divide, unit) if number == 1.0 && !number_first => unit,
        (BinaryOp::Divide, Unit::Percent) if number == 100.0 && !number_first => Unit::Ratio,
        (BinaryOp::Divide, Unit::Milliseconds) if number == 1000.0 && !number_first => Unit::Amount(Base::Seconds),
        (BinaryOp::Subtract, Unit::Ratio) if number == 1.0 && number_first => Unit::Ratio,
        (BinaryOp::Subtract, Unit::Percent) if number == 100.0 && number_first => Unit::Percent,
        (op, unit) if super::bounds::is_comparison(op) && !binary.returns_bool => unit,
        _ => Unit::Unknown,
    }
}

/// The unit that a quantile of buckets is in: that of the histogram's name.
fn of_buckets(expr: &Expr) -> Unit {
    let mut name = None;
    expr.visit(&mut |part| {
        let selector = match part {
            Expr::Range(range) => &range.selector,
            Expr::Selector(selector) => selector,
            _ => return,
        };
        name.get_or_insert_with(|| selector.name.clone());
    });
    let name = name.unwrap_or_default();
    match base(name.strip_suffix("_bucket").unwrap_or(&name)) {
        Some(Named::Base(base)) => Unit::Amount(base),
        Some(Named::Unit(unit)) => unit,
        None => Unit::Unknown,
    }
}

enum Named {
    Base(Base),
    Unit(Unit),
}

/// The unit that a name ends with.
fn base(name: &str) -> Option<Named> {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    Some(if name == "up" || ends(&["_up"]) {
        Named::Unit(Unit::Flag)
    } else if ends(&["_timestamp_seconds", "_time_seconds"]) && !ends(&["_response_time_seconds", "_lag_time_seconds"]) {
        Named::Unit(Unit::Moment)
    } else if ends(&["_milliseconds", "_millis", "_ms"]) {
        Named::Unit(Unit::Milliseconds)
    } else if ends(&["_seconds"]) {
        Named::Base(Base::Seconds)
    } else if ends(&["_bytes"]) {
        Named::Base(Base::Bytes)
    } else if ends(&["_ratio"]) {
        Named::Unit(Unit::Ratio)
    } else if ends(&["_percent", "_percentage"]) {
        Named::Unit(Unit::Percent)
    } else {
        return None;
    })
}

fn of_selector(selector: &Selector, catalogue: Option<&Catalogue>) -> Unit {
    let is_name = |matcher: &&tend_promql::Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
    let Some(name) = selector.matchers.iter().find(is_name).map(tend_promql::Matcher::value) else {
        return Unit::Unknown;
    };
    let kind = catalogue.and_then(|catalogue| catalogue.kind(name));
    let counts = |name: &str| match base(name) {
        Some(Named::Base(base)) => Unit::CounterOf(base),
        _ => Unit::CounterOf(Base::Events),
    };
    if kind != Some(MetricKind::Gauge) {
        if let Some(rest) = name.strip_suffix("_total") {
            return counts(rest);
        }
        if name.ends_with("_bucket") {
            return Unit::CounterOf(Base::Events);
        }
        let of_family = catalogue.is_some_and(|catalogue| catalogue.has_family(name));
        if kind == Some(MetricKind::Counter) || of_family {
            return match name.strip_suffix("_sum") {
                Some(rest) => counts(rest),
                None if name.ends_with("_count") => Unit::CounterOf(Base::Events),
                None => counts(name),
            };
        }
    }
    match base(name) {
        Some(Named::Base(base)) => Unit::Amount(base),
        Some(Named::Unit(unit)) => unit,
        None => Unit::Unknown,
    }
}
