//! Reads a query into its tree.
//!
//! Owns the grammar: operators by precedence, what may follow what, modifiers. `selector` reads labels,
//! `duration` lengths of time, and `check` asks
//! whether the types fit once the whole is read. The first error ends the reading; its text is Prometheus' where that has one.
//!
//! Invariant: no text makes it panic or overflow the stack (test `fuzz_corpus_promql`, `deep_texts_are_refused`).

mod check;
mod duration;
mod selector;

use crate::ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Cardinality, Expr, Matching, Number, Paren, Period,
    RangeSelector, Span, Subquery, Text, Unary,
};
use crate::error::ParseError;
use crate::functions::Function;
use crate::labels::Matcher;
use crate::lexer::{Keyword, Kind, Token, tokens};
use crate::text::{number as printed, quoted, unquote};

/// What may be read.
#[derive(Clone, Copy, Debug)]
pub struct ParseOptions {
    /// Whether what Prometheus calls experimental is read: some functions, `limitk`, `limit_ratio`, `fill`.
    pub experimental: bool,
    /// The longest text, in bytes.
    pub bytes_max: usize,
    /// The deepest tree, in nodes.
    pub depth_max: usize,
}

impl Default for ParseOptions {
    /// Stable syntax; 1 MiB of text; 200 nodes deep, for which half the 2 MiB stack of a thread is enough without optimisation.
    fn default() -> ParseOptions {
        ParseOptions {
            experimental: false,
            bytes_max: 1 << 20,
            depth_max: 200,
        }
    }
}

/// Reads an expression of stable syntax.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, ParseOptions::default())
}

/// Reads an expression.
pub fn parse_with(query: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    let wrong = |error: ParseError| error.in_query(query);
    let mut parser = Parser::new(query, options).map_err(wrong)?;
    let expr = parser.whole().map_err(wrong)?;
    check::check(&expr).map_err(wrong)?;
    Ok(expr)
}

/// Reads a selector without modifiers, `up{job="a"}`, into its matchers; as `match[]` of the HTTP API.
pub fn parse_matchers(query: &str) -> Result<Vec<Matcher>, ParseError> {
    match parse(query)? {
        Expr::Selector(selector) if selector.offset.is_none() && selector.at.is_none() => Ok(selector.matchers),
        other => Err(ParseError::new(other.span(), "expected a series selector").in_query(query)),
    }
}

pub(crate) use selector::parse_series;

struct Parser<'a> {
    query: &'a str,
    options: ParseOptions,
    tokens: Vec<Token>,
    at: usize,
    /// How many calls of `expr` and `operand` are under way.
    level: usize,
}

/// An expression and how deep its tree is.
type Deep = (Expr, usize);

/// Arguments, how deep the deepest is, and where the parenthesis behind them stands.
type Arguments = (Vec<Expr>, usize, Span);

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn new(query: &'a str, options: ParseOptions) -> Parsed<Parser<'a>> {
        if query.len() > options.bytes_max {
            let text = format!(
                "the query has {} bytes, at most {} are read",
                query.len(),
                options.bytes_max
            );
            return Err(ParseError::new(Span::default(), text));
        }
        Ok(Parser {
            query,
            options,
            tokens: tokens(query),
            at: 0,
            level: 0,
        })
    }

    fn whole(&mut self) -> Parsed<Expr> {
        if self.peek().kind == Kind::End {
            return Err(ParseError::new(Span::default(), "no expression found in input"));
        }
        let (expr, _) = self.expr(0)?;
        match self.peek().kind {
            Kind::End => Ok(expr),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn token(&self, ahead: usize) -> &Token {
        // The last token stays.
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Token {
        self.token(0)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn accept(&mut self, kind: &Kind) -> Option<Span> {
        let token = self.peek();
        let span = token.span;
        (token.kind == *kind).then(|| {
            self.at += 1;
            span
        })
    }

    fn expect(&mut self, kind: &Kind, context: &str, expected: &str) -> Parsed<Span> {
        match self.accept(kind) {
            Some(span) => Ok(span),
            None => Err(self.unexpected(context, expected)),
        }
    }

    /// Says that the next token does not belong here.
    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = self.peek();
        if let Kind::Error(text) = &token.kind {
            return ParseError::new(token.span, text.clone());
        }
        let mut text = format!("unexpected {}", token.describe(self.query));
        if !context.is_empty() {
            text.push_str(&format!(" in {context}"));
        }
        if !expected.is_empty() {
            text.push_str(&format!(", expected {expected}"));
        }
        ParseError::new(token.span, text)
    }

    fn word(&self, token: &Token) -> &'a str {
        self.query.get(token.span.start..token.span.end).unwrap_or_default()
    }

    fn deeper(&self, depth: usize, span: Span) -> Parsed<usize> {
        if depth >= self.options.depth_max {
            let text = format!("the expression is nested more than {} deep", self.options.depth_max);
            return Err(ParseError::new(span, text));
        }
        Ok(depth + 1)
    }

    // What calls itself is kept in small functions: each level of nesting costs the stack of all of them.

    /// Reads an expression whose operators bind at least so tightly.
    fn expr(&mut self, precedence_min: u8) -> Parsed<Deep> {
        self.level = self.deeper(self.level, self.peek().span)?;
        let mut left = self.operand()?;
        while let Some(op) = self.operator(precedence_min) {
            left = self.right_of(left, op)?;
        }
        self.level -= 1;
        Ok(left)
    }

    /// The next operator, if it binds at least so tightly.
    fn operator(&self, precedence_min: u8) -> Option<BinaryOp> {
        match self.peek().kind {
            Kind::Op(op) if op.precedence() >= precedence_min => Some(op),
            _ => None,
        }
    }

    /// Reads an operator with its modifiers and what stands to its right.
    fn right_of(&mut self, left: Deep, op: BinaryOp) -> Parsed<Deep> {
        let mut op_span = self.next().span;
        let (returns_bool, mut matching) = self.modifiers(&mut op_span)?;
        if op.is_set() && matching.cardinality == Cardinality::OneToOne {
            matching.cardinality = Cardinality::ManyToMany;
        }
        // `^` takes what follows to its right first.
        let right = self.expr(op.precedence() + u8::from(op != BinaryOp::Power))?;
        let depth = self.deeper(left.1.max(right.1), op_span)?;
        let binary = Box::new(Binary {
            op,
            left: left.0,
            right: right.0,
            returns_bool,
            matching,
            op_span,
        });
        Ok((Expr::Binary(binary), depth))
    }

    /// `bool`, `on`, `ignoring`, `group_left`, `group_right`, `fill` after an operator.
    fn modifiers(&mut self, op_span: &mut Span) -> Parsed<(bool, Matching)> {
        let mut matching = Matching::default();
        let begun = self.at;
        let returns_bool = self.accept(&Kind::Keyword(Keyword::Bool)).is_some();
        let on = self.accept(&Kind::Keyword(Keyword::On)).is_some();
        if on || self.accept(&Kind::Keyword(Keyword::Ignoring)).is_some() {
            matching.on = on;
            matching.labels = self.grouping()?;
            let left = self.accept(&Kind::Keyword(Keyword::GroupLeft)).is_some();
            if left || self.accept(&Kind::Keyword(Keyword::GroupRight)).is_some() {
                matching.cardinality = if left {
                    Cardinality::ManyToOne
                } else {
                    Cardinality::OneToMany
                };
                if self.peek().kind == Kind::LeftParen {
                    matching.include = self.grouping()?;
                }
            }
        }
        self.fill(&mut matching)?;
        if self.at > begun {
            op_span.end = self.tokens[self.at - 1].span.end;
        }
        Ok((returns_bool, matching))
    }

    fn fill(&mut self, matching: &mut Matching) -> Parsed<()> {
        let fills = |kind: &Kind| match kind {
            Kind::Keyword(Keyword::Fill) => Some((true, true)),
            Kind::Keyword(Keyword::FillLeft) => Some((true, false)),
            Kind::Keyword(Keyword::FillRight) => Some((false, true)),
            _ => None,
        };
        while let Some((left, right)) = fills(&self.peek().kind) {
            // A metric may be named so.
            if self.token(1).kind != Kind::LeftParen {
                return Ok(());
            }
            let span = self.next().span;
            if !self.options.experimental {
                return Err(ParseError::new(
                    span,
                    "binop fill modifiers are experimental and not enabled",
                ));
            }
            if (left && matching.fill_left.is_some()) || (right && matching.fill_right.is_some()) {
                self.at -= 1;
                return Err(self.unexpected("", ""));
            }
            self.next();
            let sign = if self.sign().is_some_and(|(negative, _)| negative) {
                -1.0
            } else {
                1.0
            };
            let value = sign * self.number("fill modifier", "number")?.value;
            self.expect(&Kind::RightParen, "fill modifier", "\")\"")?;
            if left {
                matching.fill_left = Some(value);
            }
            if right {
                matching.fill_right = Some(value);
            }
        }
        Ok(())
    }

    /// `+` or `-`: whether it is `-`, and where.
    fn sign(&mut self) -> Option<(bool, Span)> {
        let negative = match self.peek().kind {
            Kind::Op(BinaryOp::Add) => false,
            Kind::Op(BinaryOp::Subtract) => true,
            _ => return None,
        };
        Some((negative, self.next().span))
    }

    /// Labels in parentheses.
    fn grouping(&mut self) -> Parsed<Vec<String>> {
        self.expect(&Kind::LeftParen, "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        loop {
            if self.accept(&Kind::RightParen).is_some() {
                return Ok(labels);
            }
            let token = self.peek().clone();
            let label = match token.kind {
                Kind::Text => unquote(self.word(&token))
                    .filter(|label| !label.is_empty())
                    .ok_or_else(|| {
                        let text = format!("invalid label name for grouping: {}", self.word(&token));
                        ParseError::new(token.span, text)
                    })?,
                Kind::Identifier | Kind::MetricIdentifier | Kind::Keyword(_) | Kind::Aggregator(_) => {
                    self.word(&token).to_owned()
                }
                Kind::Op(op) if op.is_set() || op == BinaryOp::Atan2 => self.word(&token).to_owned(),
                _ => return Err(self.unexpected("grouping opts", "label")),
            };
            self.next();
            labels.push(label);
            if self.accept(&Kind::Comma).is_none() && self.peek().kind != Kind::RightParen {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
        }
    }

    /// Reads what stands between operators, with its sign and modifiers.
    fn operand(&mut self) -> Parsed<Deep> {
        if let Some((negative, sign)) = self.sign() {
            return self.signed_operand(negative, sign);
        }
        let primary = self.primary()?;
        match self.peek().kind {
            Kind::LeftBracket | Kind::At | Kind::Keyword(_) => self.postfix(primary),
            _ => Ok(primary),
        }
    }

    /// A sign binds less tightly than `^` and more tightly than the rest.
    fn signed_operand(&mut self, negative: bool, sign: Span) -> Parsed<Deep> {
        let inner = self.expr(BinaryOp::Power.precedence())?;
        self.put_sign(negative, sign, inner)
    }

    fn put_sign(&self, negative: bool, sign: Span, (expr, depth): Deep) -> Parsed<Deep> {
        if let Expr::Number(mut number) = expr {
            if negative {
                number.value = -number.value;
            }
            number.span.start = sign.start;
            return Ok((Expr::Number(number), depth));
        }
        let span = sign.to(expr.span());
        let depth = self.deeper(depth, sign)?;
        Ok((Expr::Unary(Box::new(Unary { negative, expr, span })), depth))
    }

    fn primary(&mut self) -> Parsed<Deep> {
        let followed_by_paren = self.token(1).kind == Kind::LeftParen;
        match self.peek().kind {
            Kind::LeftParen => self.paren(),
            Kind::Identifier if followed_by_paren => self.call(),
            Kind::Keyword(
                Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf,
            ) if followed_by_paren => self.call(),
            Kind::Aggregator(op) if followed_by_paren || self.is_grouped() => self.aggregate(op),
            _ => self.leaf(),
        }
    }

    /// Whether `by` or `without` is next but one, as in `sum by (a) (b)`.
    fn is_grouped(&self) -> bool {
        matches!(self.token(1).kind, Kind::Keyword(Keyword::By | Keyword::Without))
    }

    fn paren(&mut self) -> Parsed<Deep> {
        let open = self.next().span;
        let (expr, depth) = self.expr(0)?;
        let end = self.expect(&Kind::RightParen, "", "")?;
        let (span, depth) = (open.to(end), self.deeper(depth, open)?);
        Ok((Expr::Paren(Box::new(Paren { expr, span })), depth))
    }

    /// A number, a text or a selector.
    fn leaf(&mut self) -> Parsed<Deep> {
        let token = self.peek().clone();
        let leaf = match token.kind {
            Kind::Number | Kind::Duration => Expr::Number(self.number("", "")?),
            Kind::Text => {
                self.next();
                Expr::Text(Text {
                    value: self.unquoted(&token)?,
                    span: token.span,
                })
            }
            Kind::LeftBrace => Expr::Selector(Box::new(self.selector(None)?)),
            Kind::Keyword(
                Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight,
            ) => return Err(self.unexpected("", "")),
            // Many words with a meaning of their own are names of metrics too.
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregator(_) | Kind::Keyword(_) => {
                Expr::Selector(Box::new(self.selector(Some(token))?))
            }
            Kind::Op(op) if op.is_set() => Expr::Selector(Box::new(self.selector(Some(token))?)),
            _ => return Err(self.unexpected("", "")),
        };
        Ok((leaf, 1))
    }

    fn unquoted(&self, token: &Token) -> Parsed<String> {
        let text = self.word(token);
        unquote(text).ok_or_else(|| {
            let text = format!("error unquoting string {}: invalid syntax", quoted(text));
            ParseError::new(token.span, text)
        })
    }

    /// A number or a duration, which is one of seconds.
    fn number(&mut self, context: &str, expected: &str) -> Parsed<Number> {
        let token = self.peek().clone();
        let text = self.word(&token);
        let (value, is_duration) = match token.kind {
            Kind::Number => (duration::number(text), false),
            Kind::Duration => (
                crate::duration::parse_duration(text).map(|milliseconds| milliseconds as f64 / 1000.0),
                true,
            ),
            _ => return Err(self.unexpected(context, expected)),
        };
        self.next();
        let Some(value) = value else {
            let text = match is_duration {
                true => format!("not a valid duration string: {}", quoted(text)),
                false => format!("error parsing number: {}", quoted(text)),
            };
            return Err(ParseError::new(token.span, text));
        };
        Ok(Number {
            value,
            is_duration,
            span: token.span,
        })
    }

    fn call(&mut self) -> Parsed<Deep> {
        let token = self.next();
        let arguments = self.arguments()?;
        self.called(&token, arguments)
    }

    fn called(&self, token: &Token, (arguments, depth, end): Arguments) -> Parsed<Deep> {
        let name = self.word(token);
        // Keywords are read in any case, names of functions are not.
        let lower = name.to_ascii_lowercase();
        let name = if token.kind == Kind::Identifier { name } else { &lower };
        let fail = |text: String| Err(ParseError::new(token.span, text));
        let Some(function) = Function::find(name) else {
            return fail(format!("unknown function with name {}", quoted(name)));
        };
        if function.is_experimental && !self.options.experimental {
            return fail(format!("function {} is not enabled", quoted(name)));
        }
        let depth = self.deeper(depth, token.span)?;
        let span = token.span.to(end);
        let call = Call {
            function,
            arguments,
            span,
        };
        Ok((Expr::Call(Box::new(call)), depth))
    }

    /// Arguments in parentheses: how deep the deepest is, and where the closing one stands.
    fn arguments(&mut self) -> Parsed<Arguments> {
        self.expect(&Kind::LeftParen, "", "")?;
        let (mut arguments, mut depth) = (Vec::new(), 0);
        if let Some(end) = self.accept(&Kind::RightParen) {
            return Ok((arguments, depth, end));
        }
        loop {
            let (argument, argument_depth) = self.expr(0)?;
            arguments.push(argument);
            depth = depth.max(argument_depth);
            if let Some(end) = self.accept(&Kind::RightParen) {
                return Ok((arguments, depth, end));
            }
            self.comma()?;
        }
    }

    /// The comma between two arguments.
    fn comma(&mut self) -> Parsed<()> {
        let comma = self.expect(&Kind::Comma, "", "")?;
        match self.peek().kind {
            Kind::RightParen => {
                let text = "trailing commas not allowed in function call args";
                Err(ParseError::new(comma, text))
            }
            _ => Ok(()),
        }
    }

    fn aggregate(&mut self, op: AggregateOp) -> Parsed<Deep> {
        let start = self.next().span;
        let grouping = self.by_or_without()?;
        let arguments = self.arguments()?;
        self.aggregated(op, start, grouping, arguments)
    }

    fn aggregated(
        &mut self,
        op: AggregateOp,
        start: Span,
        before: Option<(bool, Vec<String>)>,
        (mut arguments, depth, mut end): Arguments,
    ) -> Parsed<Deep> {
        let grouping = match before {
            Some(before) => Some(before),
            None => {
                let behind = self.by_or_without()?;
                end = if behind.is_some() {
                    self.tokens[self.at - 1].span
                } else {
                    end
                };
                behind
            }
        };
        let span = start.to(end);
        let fail = |text: String| Err(ParseError::new(span, text));
        if arguments.is_empty() {
            return fail("no arguments for aggregate expression provided".to_owned());
        }
        if op.is_experimental() && !self.options.experimental {
            return fail(format!("{}() is experimental and is not enabled", op.as_str()));
        }
        let wanted = 1 + usize::from(op.has_parameter());
        if arguments.len() != wanted {
            return fail(format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                arguments.len()
            ));
        }
        let depth = self.deeper(depth, start)?;
        let expr = arguments.remove(wanted - 1);
        let (without, grouping) = grouping.unwrap_or_default();
        let aggregate = Aggregate {
            op,
            expr,
            parameter: arguments.pop(),
            grouping,
            without,
            span,
        };
        Ok((Expr::Aggregate(Box::new(aggregate)), depth))
    }

    fn by_or_without(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = match self.peek().kind {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next();
        Ok(Some((without, self.grouping()?)))
    }

    /// `[5m]`, `[1h:5m]`, `offset` and `@`, as often as they come.
    fn postfix(&mut self, (mut expr, mut depth): Deep) -> Parsed<Deep> {
        loop {
            let token = self.peek().clone();
            match token.kind {
                Kind::LeftBracket => {
                    self.next();
                    depth = self.deeper(depth, token.span)?;
                    expr = self.brackets(expr, token.span)?;
                }
                Kind::Keyword(Keyword::Offset) => {
                    self.next();
                    let offset = self.offset()?;
                    let end = self.tokens[self.at - 1].span.end;
                    modify(&mut expr, Modifier::Offset(offset), end)?;
                }
                Kind::At => {
                    self.next();
                    let at = self.at_time()?;
                    let end = self.tokens[self.at - 1].span.end;
                    modify(&mut expr, Modifier::At(at), end)?;
                }
                Kind::Keyword(Keyword::Anchored | Keyword::Smoothed) => {
                    let text = format!("{} modifier is experimental and not enabled", self.word(&token));
                    return Err(ParseError::new(expr.span(), text));
                }
                _ => return Ok((expr, depth)),
            }
        }
    }

    fn brackets(&mut self, expr: Expr, open: Span) -> Parsed<Expr> {
        let range = self.positive_period("subquery or range selector", "number, duration, step(), or range()")?;
        if self.accept(&Kind::Colon).is_some() {
            let step = match self.peek().kind {
                Kind::RightBracket => None,
                _ => Some(self.positive_period("subquery selector", "number, duration, step(), range(), or \"]\"")?),
            };
            let end = self.expect(&Kind::RightBracket, "subquery selector", "\"]\"")?;
            let span = expr.span().to(end);
            return Ok(Expr::Subquery(Box::new(Subquery {
                expr,
                range,
                step,
                offset: None,
                at: None,
                span,
            })));
        }
        let end = self.expect(&Kind::RightBracket, "subquery or range", "\":\" or \"]\"")?;
        let fail = |text| Err(ParseError::new(open.to(end), text));
        match expr {
            Expr::Selector(selector) if selector.offset.is_some() => fail("no offset modifiers allowed before range"),
            Expr::Selector(selector) if selector.at.is_some() => fail("no @ modifiers allowed before range"),
            Expr::Selector(selector) => {
                let span = selector.span.to(end);
                Ok(Expr::Range(Box::new(RangeSelector {
                    selector: *selector,
                    range,
                    span,
                })))
            }
            _ => fail("ranges only allowed for vector selectors"),
        }
    }

    /// A time in seconds, `start()` or `end()`.
    fn at_time(&mut self) -> Parsed<At> {
        let begun = self.peek().span;
        let at = match self.peek().kind {
            Kind::Keyword(Keyword::Start) => At::Start,
            Kind::Keyword(Keyword::End) => At::End,
            _ => {
                let negative = self.sign().is_some_and(|(negative, _)| negative);
                let seconds = self.number("@", "timestamp")?.value;
                let seconds = if negative { -seconds } else { seconds };
                let milliseconds = seconds * 1000.0;
                if !milliseconds.is_finite() || milliseconds.abs() >= i64::MAX as f64 {
                    let text = format!("timestamp out of bounds for @ modifier: {}", printed(seconds));
                    return Err(ParseError::new(begun, text));
                }
                return Ok(At::Time(milliseconds.round() as i64));
            }
        };
        self.next();
        self.expect(&Kind::LeftParen, "@", "timestamp")?;
        self.expect(&Kind::RightParen, "@", "timestamp")?;
        Ok(at)
    }
}

enum Modifier {
    Offset(Period),
    At(At),
}

/// Puts a modifier on what it stands behind.
fn modify(expr: &mut Expr, modifier: Modifier, end: usize) -> Parsed<()> {
    let whole = expr.span();
    let (offset, at, span) = match expr {
        Expr::Selector(selector) => (&mut selector.offset, &mut selector.at, &mut selector.span),
        Expr::Range(range) => (&mut range.selector.offset, &mut range.selector.at, &mut range.span),
        Expr::Subquery(subquery) => (&mut subquery.offset, &mut subquery.at, &mut subquery.span),
        _ => {
            let name = match modifier {
                Modifier::Offset(_) => "offset modifier",
                Modifier::At(_) => "@ modifier",
            };
            let text =
                format!("{name} must be preceded by an instant vector selector or range vector selector or a subquery");
            return Err(ParseError::new(whole, text));
        }
    };
    match modifier {
        Modifier::Offset(_) if offset.is_some() => {
            return Err(ParseError::new(whole, "offset may not be set multiple times"));
        }
        Modifier::At(_) if at.is_some() => {
            return Err(ParseError::new(whole, "@ <timestamp> may not be set multiple times"));
        }
        Modifier::Offset(period) => *offset = Some(period),
        Modifier::At(time) => *at = Some(time),
    }
    span.end = end;
    Ok(())
}
