//! The tree of an expression, each node with the place it was read from.
//!
//! Owns the shape only. How it is read is `parser`'s, how it is written `printer`'s, what it means `eval`'s.

use std::collections::BTreeSet;

use crate::functions::Function;
use crate::labels::{METRIC_NAME, MatchOp, Matcher};
use crate::sample::Timestamp;

/// A place in the text of a query, in bytes; `end` is behind the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

impl Span {
    /// Puts two ends together.
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    /// From the start of this to the end of another.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span::new(self.start, other.end)
    }
}

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A number at each step.
    Scalar,
    /// For each series a number at a step.
    Vector,
    /// For each series a window of samples.
    Matrix,
    /// A text.
    Text,
}

impl ValueType {
    /// The name people and error texts use.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::Text => "string",
        }
    }
}

/// An expression.
#[derive(Clone, Debug)]
pub enum Expr {
    /// `1.5`, `5m`.
    Number(Number),
    /// `"text"`.
    Text(Text),
    /// `up{job="a"}`.
    Selector(Box<Selector>),
    /// `up[5m]`.
    Range(Box<RangeSelector>),
    /// `up[1h:5m]`.
    Subquery(Box<Subquery>),
    /// `rate(up[5m])`.
    Call(Box<Call>),
    /// `sum by (job) (up)`.
    Aggregate(Box<Aggregate>),
    /// `a + b`.
    Binary(Box<Binary>),
    /// `-a`.
    Unary(Box<Unary>),
    /// `(a)`.
    Paren(Box<Paren>),
}

/// A number.
#[derive(Clone, Debug)]
pub struct Number {
    /// Its value; a duration's in seconds.
    pub value: f64,
    /// Whether it was written as a duration.
    pub is_duration: bool,
    /// Where.
    pub span: Span,
}

/// A text in quotes.
#[derive(Clone, Debug)]
pub struct Text {
    /// Without quotes and escapes.
    pub value: String,
    /// Where.
    pub span: Span,
}

/// What a selector's time is fixed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// `@ 1609746000`, in milliseconds.
    Time(Timestamp),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// A length of time, known or to be computed from the query's step and range.
#[derive(Clone, Debug)]
pub enum Period {
    /// In milliseconds.
    Fixed(i64),
    /// `1h / 2`, `step()`.
    Computed(DurationExpr),
}

/// Arithmetic over durations; values are seconds.
#[derive(Clone, Debug)]
pub enum DurationExpr {
    /// A number or a duration.
    Number(Number),
    /// `step()`
    Step(Span),
    /// `range()`
    Range(Span),
    /// `-x`
    Negative(Box<DurationExpr>, Span),
    /// `x + y`
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `min_of(x, y)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>, Span),
    /// `max_of(x, y)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>, Span),
    /// `(x)`
    Paren(Box<DurationExpr>, Span),
}

impl DurationExpr {
    /// Where it was read.
    pub fn span(&self) -> Span {
        match self {
            DurationExpr::Number(number) => number.span,
            DurationExpr::Step(span)
            | DurationExpr::Range(span)
            | DurationExpr::Negative(_, span)
            | DurationExpr::MinOf(_, _, span)
            | DurationExpr::MaxOf(_, _, span)
            | DurationExpr::Paren(_, span) => *span,
            DurationExpr::Binary(_, left, right) => left.span().to(right.span()),
        }
    }
}

/// Selects series and the latest sample of each.
#[derive(Clone, Debug)]
pub struct Selector {
    /// The name in front of the braces; empty when there is none.
    pub name: String,
    /// All matchers; the one of the name in front is the last.
    pub matchers: Vec<Matcher>,
    /// `offset 5m`.
    pub offset: Option<Period>,
    /// `@ …`.
    pub at: Option<At>,
    /// Where, with its modifiers.
    pub span: Span,
}

/// Selects series and a window of samples of each.
#[derive(Clone, Debug)]
pub struct RangeSelector {
    /// The series; its `offset` and `at` are those of the whole.
    pub selector: Selector,
    /// The width of the window.
    pub range: Period,
    /// Where, with its modifiers.
    pub span: Span,
}

/// Evaluates an expression at steps of its own within a window.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// The width of the window.
    pub range: Period,
    /// The distance of the steps; the engine's own when there is none.
    pub step: Option<Period>,
    /// `offset 5m`.
    pub offset: Option<Period>,
    /// `@ …`.
    pub at: Option<At>,
    /// Where, with its modifiers.
    pub span: Span,
}

/// Calls a function.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which.
    pub function: &'static Function,
    /// With what.
    pub arguments: Vec<Expr>,
    /// Where, to the closing parenthesis.
    pub span: Span,
}

/// How series are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as they are written")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [AggregateOp; 14] = [
        AggregateOp::Sum,
        AggregateOp::Avg,
        AggregateOp::Count,
        AggregateOp::Min,
        AggregateOp::Max,
        AggregateOp::Group,
        AggregateOp::Stddev,
        AggregateOp::Stdvar,
        AggregateOp::Topk,
        AggregateOp::Bottomk,
        AggregateOp::Quantile,
        AggregateOp::CountValues,
        AggregateOp::Limitk,
        AggregateOp::LimitRatio,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Count => "count",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Topk => "topk",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::Quantile => "quantile",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it has a parameter in front of the expression.
    pub fn has_parameter(self) -> bool {
        self == AggregateOp::Quantile || self == AggregateOp::CountValues || self.keeps_series()
    }

    /// Whether it chooses among the series instead of making new ones.
    pub fn keeps_series(self) -> bool {
        use AggregateOp::{Bottomk, LimitRatio, Limitk, Topk};
        matches!(self, Topk | Bottomk | Limitk | LimitRatio)
    }

    /// Whether Prometheus calls it experimental.
    pub fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
}

/// Puts series together.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// How.
    pub op: AggregateOp,
    /// What.
    pub expr: Expr,
    /// `5` in `topk(5, x)`.
    pub parameter: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// Whether the labels are those left out.
    pub without: bool,
    /// Where.
    pub span: Span,
}

/// An operator between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as they are written")]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Atan2,
    Power,
}

impl BinaryOp {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Or => "or",
            BinaryOp::And => "and",
            BinaryOp::Unless => "unless",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Less => "<",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::Greater => ">",
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Modulo => "%",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Power => "^",
        }
    }

    /// How tightly it binds; `^` most, and to the right.
    pub fn precedence(self) -> u8 {
        match self {
            BinaryOp::Or => 1,
            BinaryOp::And | BinaryOp::Unless => 2,
            BinaryOp::Add | BinaryOp::Subtract => 4,
            BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo | BinaryOp::Atan2 => 5,
            BinaryOp::Power => 6,
            _ => 3,
        }
    }

    /// Whether it is `and`, `or` or `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }

    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        self.precedence() == 3
    }
}

/// How many series of each side belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cardinality {
    /// One of each side.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// Which series of two vectors belong together.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// How many of each side.
    pub cardinality: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether the labels are those that count.
    pub on: bool,
    /// The labels taken over from the side of the one.
    pub include: Vec<String>,
    /// The value of a series that the left side lacks; experimental.
    pub fill_left: Option<f64>,
    /// The value of a series that the right side lacks; experimental.
    pub fill_right: Option<f64>,
}

/// Two expressions with an operator between.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// What is left of it.
    pub left: Expr,
    /// What is right of it.
    pub right: Expr,
    /// Whether a comparison gives 0 or 1 instead of choosing.
    pub returns_bool: bool,
    /// Which series belong together.
    pub matching: Matching,
    /// Where the operator and its modifiers stand.
    pub op_span: Span,
}

/// A sign before an expression.
#[derive(Clone, Debug)]
pub struct Unary {
    /// Whether it is `-`.
    pub negative: bool,
    /// What it stands before.
    pub expr: Expr,
    /// Where, with the sign.
    pub span: Span,
}

/// An expression in parentheses.
#[derive(Clone, Debug)]
pub struct Paren {
    /// What is within.
    pub expr: Expr,
    /// Where, with the parentheses.
    pub span: Span,
}

impl Expr {
    /// Where it was read.
    pub fn span(&self) -> Span {
        match self {
            Expr::Number(node) => node.span,
            Expr::Text(node) => node.span,
            Expr::Selector(node) => node.span,
            Expr::Range(node) => node.span,
            Expr::Subquery(node) => node.span,
            Expr::Call(node) => node.span,
            Expr::Aggregate(node) => node.span,
            Expr::Binary(node) => node.left.span().to(node.right.span()),
            Expr::Unary(node) => node.span,
            Expr::Paren(node) => node.span,
        }
    }

    /// What it gives.
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) => ValueType::Scalar,
            Expr::Text(_) => ValueType::Text,
            Expr::Selector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Range(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Call(node) => node.function.returns,
            Expr::Binary(node) => match (node.left.value_type(), node.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Expr::Unary(node) => node.expr.value_type(),
            Expr::Paren(node) => node.expr.value_type(),
        }
    }

    /// The expressions directly below.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Number(_) | Expr::Text(_) | Expr::Selector(_) | Expr::Range(_) => Vec::new(),
            Expr::Subquery(node) => vec![&node.expr],
            Expr::Call(node) => node.arguments.iter().collect(),
            Expr::Aggregate(node) => node.parameter.iter().chain([&node.expr]).collect(),
            Expr::Binary(node) => vec![&node.left, &node.right],
            Expr::Unary(node) => vec![&node.expr],
            Expr::Paren(node) => vec![&node.expr],
        }
    }

    /// The expressions directly below, to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Number(_) | Expr::Text(_) | Expr::Selector(_) | Expr::Range(_) => Vec::new(),
            Expr::Subquery(node) => vec![&mut node.expr],
            Expr::Call(node) => node.arguments.iter_mut().collect(),
            Expr::Aggregate(node) => node.parameter.iter_mut().chain([&mut node.expr]).collect(),
            Expr::Binary(node) => vec![&mut node.left, &mut node.right],
            Expr::Unary(node) => vec![&mut node.expr],
            Expr::Paren(node) => vec![&mut node.expr],
        }
    }

    /// Visits this expression and all below, from the top.
    pub fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Expr)) {
        see(self);
        for child in self.children() {
            child.visit(see);
        }
    }

    /// The names of all metrics it reads; nothing where it reads some by anything but their name.
    pub fn metric_names(&self) -> Option<BTreeSet<&str>> {
        let mut names = Some(BTreeSet::new());
        self.visit(&mut |part| {
            let selector = match part {
                Expr::Selector(selector) => &**selector,
                Expr::Range(range) => &range.selector,
                _ => return,
            };
            let is_name = |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
            match (selector.matchers.iter().find(is_name), &mut names) {
                (Some(name), Some(names)) => drop(names.insert(name.value())),
                _ => names = None,
            }
        });
        names
    }

    /// What stands in the parentheses, when it stands in some.
    pub fn unwrapped(&self) -> &Expr {
        match self {
            Expr::Paren(node) => node.expr.unwrapped(),
            other => other,
        }
    }
}
