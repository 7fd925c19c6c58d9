//! Looks at what is decided before it is evaluated: what can never be true, what always is, what is divided by itself.
//!
//! Owns which of these is a fault. What is known of values is that of `bounds`.

use std::collections::BTreeSet;

use tend_alert::RuleKind;
use tend_promql::{Binary, BinaryOp, Call, Expr, MatchOp, Period, Selector, ValueType, format_duration, number};

use super::bounds::{bounds, comparison, constant, same_series};
use super::names::labels_in;
use super::{About, Looking, Severity};

pub(crate) fn look(looking: &mut Looking<'_>) {
    let tree = &looking.rule.tree;
    tree.visit(&mut |part| match part {
        Expr::Selector(selector) => contradiction(looking, selector),
        Expr::Range(range) => {
            contradiction(looking, &range.selector);
            window(looking, &range.range);
        }
        Expr::Binary(binary) => {
            self_ratio(looking, binary);
            decided(looking, binary);
            if binary.op == BinaryOp::And {
                apart(looking, binary);
            }
        }
        Expr::Call(call) if matches!(call.function.name, "absent" | "absent_over_time") => absent(looking, call),
        _ => {}
    });
}

/// Matchers of one selector that no series can satisfy together.
fn contradiction(looking: &mut Looking<'_>, selector: &Selector) {
    for one in selector.matchers.iter().filter(|one| one.op() == MatchOp::Equal) {
        for other in selector.matchers.iter().filter(|other| other.name() == one.name()) {
            if !other.matches(one.value()) {
                let what = format!("no series can be {one} and {other} at once");
                let meant = (other.op() == MatchOp::Equal)
                    .then(|| format!("{}=~\"{}|{}\"", one.name(), one.value(), other.value()));
                looking.say(Severity::Error, About::Decided, what, meant);
                return;
            }
        }
    }
}

/// Windows that are too short for two samples.
fn window(looking: &mut Looking<'_>, range: &Period) {
    let (Some(scrape), Period::Fixed(range)) = (looking.ground.scrape_interval, range) else {
        return;
    };
    if *range >= 2 * scrape {
        return;
    }
    let (severity, what) = if *range <= scrape {
        (
            Severity::Error,
            "never has two samples in it, so that a rate over it gives nothing",
        )
    } else {
        (
            Severity::Warning,
            "often has only one sample in it, so that a rate over it comes and goes",
        )
    };
    let what = format!(
        "a window of {} {what}: samples are {} apart",
        format_duration(*range),
        format_duration(scrape)
    );
    let meant = format!("[{}] or longer", format_duration(4 * scrape));
    looking.say(severity, About::Time, what, Some(meant));
}

/// Series that are divided by, subtracted from or compared with themselves.
fn self_ratio(looking: &mut Looking<'_>, binary: &Binary) {
    let Some(labels) = same_series(binary) else { return };
    let value = match binary.op {
        BinaryOp::Divide => "1",
        BinaryOp::Subtract => "0",
        _ => return,
    };
    let labels: BTreeSet<String> = labels.into_iter().collect();
    let names: Vec<&str> = labels.iter().map(String::as_str).collect();
    let what = if names.is_empty() {
        format!("each series meets itself here, so that the value can only be {value}")
    } else {
        format!(
            "series match one to one, `{}` among their labels, so each meets itself and the value can only be {value}, whatever the share is",
            names.join("`, `")
        )
    };
    looking.say(
        Severity::Error,
        About::SelfRatio,
        what,
        share_of(looking, binary, &labels),
    );
}

/// The share that was probably meant: sums on both sides.
fn share_of(looking: &Looking<'_>, binary: &Binary, labels: &BTreeSet<String>) -> Option<String> {
    if labels.is_empty() {
        return None;
    }
    let is_summed = |expr: &Expr| matches!(expr.unwrapped(), Expr::Aggregate(_));
    if is_summed(&binary.left) {
        let names: Vec<&str> = labels.iter().map(String::as_str).collect();
        return Some(format!("leave `{}` out of the grouping on both sides", names.join("`, `")));
    }
    let grouping = summing(looking, labels);
    let (left, right) = (
        looking.written(binary.left.span()),
        looking.written(binary.right.span()),
    );
    let share = format!("{grouping} ({left}) {} {grouping} ({right})", binary.op.as_str());
    Some(looking.with(binary.left.span().to(binary.right.span()), &share))
}

/// How to sum so that the labels go away: by those that the rule's texts name, else by all others.
pub(crate) fn summing(looking: &Looking<'_>, labels: &BTreeSet<String>) -> String {
    let mut named: BTreeSet<String> = BTreeSet::new();
    if let RuleKind::Alert { annotations, .. } = &looking.rule.kind {
        named.extend(annotations.values().flat_map(|text| labels_in(text)));
    }
    named.retain(|label| !labels.contains(label));
    let list = |labels: &BTreeSet<String>| labels.iter().cloned().collect::<Vec<_>>().join(", ");
    match named.is_empty() {
        true => format!("sum without ({})", list(labels)),
        false => format!("sum by ({})", list(&named)),
    }
}

/// Comparisons whose outcome is known.
fn decided(looking: &mut Looking<'_>, binary: &Binary) {
    if binary.returns_bool {
        return;
    }
    let Some((what, op, than)) = comparison(binary) else {
        if let (Some(_), Some(_), true) = (
            constant(&binary.left),
            constant(&binary.right),
            super::bounds::is_comparison(binary.op),
        ) {
            let text = "two numbers are compared, so that the outcome never changes".to_owned();
            looking.say(Severity::Error, About::Decided, text, None);
        }
        return;
    };
    // What meets itself is told as that.
    if has_self_ratio(what) {
        return;
    }
    let (known, text) = (bounds(what), looking.written(what.span()).to_owned());
    let between = || match (known.least == known.most, known.least.is_finite(), known.most.is_finite()) {
        (true, ..) => format!("is always {}", number(known.least)),
        (_, true, true) => format!("is between {} and {}", number(known.least), number(known.most)),
        (_, true, false) => format!("is never less than {}", number(known.least)),
        _ => format!("is never more than {}", number(known.most)),
    };
    let asked = format!("{} {}", op.as_str(), number(than));
    if known.never(op, than) {
        let what = format!("`{text}` {}, so `{asked}` can never be true", between());
        looking.say(Severity::Error, About::Decided, what, None);
    } else if known.always(op, than) && !is_idiom(what) {
        let what = format!(
            "`{text}` {}, so `{asked}` is true whenever there are series",
            between()
        );
        looking.say(Severity::Warning, About::Decided, what, None);
    }
}

fn has_self_ratio(expr: &Expr) -> bool {
    let mut found = false;
    expr.visit(&mut |part| {
        if let Expr::Binary(binary) = part {
            found |= matches!(binary.op, BinaryOp::Divide | BinaryOp::Subtract) && same_series(binary).is_some();
        }
    });
    found
}

/// Whether asking for more than nothing is how one asks for something to be there.
fn is_idiom(expr: &Expr) -> bool {
    match expr.unwrapped() {
        Expr::Aggregate(aggregate) => matches!(
            aggregate.op,
            tend_promql::AggregateOp::Count | tend_promql::AggregateOp::Group
        ),
        Expr::Call(call) => matches!(
            call.function.name,
            "absent" | "absent_over_time" | "count_over_time" | "present_over_time"
        ),
        _ => false,
    }
}

/// Two conditions on the same thing that cannot both hold.
fn apart(looking: &mut Looking<'_>, binary: &Binary) {
    let mut all = Vec::new();
    conditions(&binary.left, &mut all);
    conditions(&binary.right, &mut all);
    for (at, (one, op, than)) in all.iter().enumerate() {
        for (other, other_op, other_than) in &all[..at] {
            let is_same = one.unwrapped().to_string() == other.unwrapped().to_string();
            let left = bounds(other).chosen(*other_op, *other_than);
            if is_same && left.never(*op, *than) && !bounds(other).never(*other_op, *other_than) {
                let what = format!(
                    "`{}` cannot be {} {} and {} {} at once",
                    one.unwrapped(),
                    other_op.as_str(),
                    number(*other_than),
                    op.as_str(),
                    number(*than)
                );
                let meant = "`or` in place of `and`".to_owned();
                looking.say(Severity::Error, About::Decided, what, Some(meant));
            }
        }
    }
}

fn conditions<'a>(expr: &'a Expr, into: &mut Vec<(&'a Expr, BinaryOp, f64)>) {
    if let Expr::Binary(binary) = expr.unwrapped() {
        if binary.op == BinaryOp::And {
            conditions(&binary.left, into);
            conditions(&binary.right, into);
        } else if let Some(comparison) = comparison(binary).filter(|_| !binary.returns_bool) {
            into.push(comparison);
        }
    }
}

/// Looking for the absence of what is always there.
fn absent(looking: &mut Looking<'_>, call: &Call) {
    let Some(argument) = call.arguments.first() else { return };
    if is_always_there(argument) {
        let what = format!(
            "`{}` is always there, so that its absence is never seen",
            looking.written(argument.span())
        );
        let meant = "absent(…) of the series alone, without what is put in their place".to_owned();
        looking.say(Severity::Error, About::Decided, what, Some(meant));
    }
}

fn is_always_there(expr: &Expr) -> bool {
    match expr.unwrapped() {
        Expr::Call(call) if call.function.name == "vector" => true,
        Expr::Binary(binary) => match binary.op {
            BinaryOp::Or => is_always_there(&binary.left) || is_always_there(&binary.right),
            BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide => {
                let there = |expr: &Expr| expr.value_type() == ValueType::Scalar || is_always_there(expr);
                there(&binary.left) && there(&binary.right)
            }
            _ => false,
        },
        Expr::Aggregate(aggregate) => is_always_there(&aggregate.expr),
        _ => false,
    }
}
