//! Reads lengths of time: numbers, durations and arithmetic over them.
//!
//! Owns where arithmetic needs no parentheses (in brackets) and where it does (behind `offset`). Computes only what needs
//! neither step nor range of the query.

use super::{Parsed, Parser};
use crate::ast::{BinaryOp, DurationExpr, Number, Period, Span};
use crate::duration::SECONDS_MAX;
use crate::error::ParseError;
use crate::lexer::{Keyword, Kind};

/// Reads a number as Prometheus does: decimal, hexadecimal, octal with a leading zero, `inf`, `nan`.
pub(super) fn number(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "inf" => return Some(f64::INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let is_octal = lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|byte| b"01234567_".contains(&byte));
    let digits = lower.replace('_', "");
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return i64::from_str_radix(hexadecimal, 16).ok().map(|value| value as f64);
    }
    if is_octal {
        return i64::from_str_radix(&digits, 8).ok().map(|value| value as f64);
    }
    digits.parse().ok().filter(|value: &f64| value.is_finite())
}

impl Parser<'_> {
    /// A length in brackets.
    pub(super) fn positive_period(&mut self, context: &str, expected: &str) -> Parsed<Period> {
        let (expr, _) = self.duration_expr(0, context, expected)?;
        match &expr {
            DurationExpr::Number(number) if number.value <= 0.0 => {
                Err(ParseError::new(number.span, "duration must be greater than 0"))
            }
            _ => period(expr),
        }
    }

    /// What stands behind `offset`: arithmetic only in parentheses, so that `a offset 5m + b` adds `b`.
    pub(super) fn offset(&mut self) -> Parsed<Period> {
        let (expr, _) = self.duration_operand(true, "offset", "number, duration, step(), or range()")?;
        period(expr)
    }

    fn duration_expr(&mut self, precedence_min: u8, context: &str, expected: &str) -> Parsed<(DurationExpr, usize)> {
        self.level = self.deeper(self.level, self.peek().span)?;
        let (mut left, mut depth) = self.duration_operand(false, context, expected)?;
        while let Kind::Op(op) = self.peek().kind {
            let precedence = op.precedence();
            if precedence < precedence_min || precedence < BinaryOp::Add.precedence() || op == BinaryOp::Atan2 {
                break;
            }
            let span = self.next().span;
            let next = if op == BinaryOp::Power {
                precedence
            } else {
                precedence + 1
            };
            let (right, right_depth) = self.duration_expr(next, context, expected)?;
            if let DurationExpr::Number(Number { value: 0.0, .. }) = right {
                match op {
                    BinaryOp::Divide => return Err(ParseError::new(span, "division by zero")),
                    BinaryOp::Modulo => return Err(ParseError::new(span, "modulo by zero")),
                    _ => {}
                }
            }
            depth = self.deeper(depth.max(right_depth), span)?;
            left = DurationExpr::Binary(op, Box::new(left), Box::new(right));
        }
        self.level -= 1;
        Ok((left, depth))
    }

    /// Reads one operand; a tight one ends before any operator, so that its sign stands before it alone.
    fn duration_operand(&mut self, tight: bool, context: &str, expected: &str) -> Parsed<(DurationExpr, usize)> {
        if let Some((negative, sign)) = self.sign() {
            return self.signed(tight, (negative, sign), context, expected);
        }
        let token = self.peek().clone();
        match token.kind {
            Kind::Number | Kind::Duration => {
                let number = self.number(context, expected)?;
                in_bounds(number.value, number.span)?;
                Ok((DurationExpr::Number(number), 1))
            }
            Kind::LeftParen => {
                self.next();
                let (inner, depth) = self.duration_expr(0, context, expected)?;
                let end = self.expect(&Kind::RightParen, context, "\")\"")?;
                let depth = self.deeper(depth, token.span)?;
                Ok((DurationExpr::Paren(Box::new(inner), token.span.to(end)), depth))
            }
            Kind::Keyword(keyword @ (Keyword::Step | Keyword::Range)) => {
                self.next();
                self.expect(&Kind::LeftParen, context, "\"(\"")?;
                let end = self.expect(&Kind::RightParen, context, "\")\"")?;
                let span = token.span.to(end);
                let expr = match keyword {
                    Keyword::Step => DurationExpr::Step(span),
                    _ => DurationExpr::Range(span),
                };
                Ok((expr, 1))
            }
            Kind::Keyword(keyword @ (Keyword::MinOf | Keyword::MaxOf)) => {
                self.next();
                self.expect(&Kind::LeftParen, context, "\"(\"")?;
                let (one, one_depth) = self.duration_expr(0, context, expected)?;
                self.expect(&Kind::Comma, context, "\",\"")?;
                let (two, two_depth) = self.duration_expr(0, context, expected)?;
                let end = self.expect(&Kind::RightParen, context, "\")\"")?;
                let (one, two, span) = (Box::new(one), Box::new(two), token.span.to(end));
                let depth = self.deeper(one_depth.max(two_depth), token.span)?;
                let expr = match keyword {
                    Keyword::MinOf => DurationExpr::MinOf(one, two, span),
                    _ => DurationExpr::MaxOf(one, two, span),
                };
                Ok((expr, depth))
            }
            _ => Err(self.unexpected(context, expected)),
        }
    }

    fn signed(
        &mut self,
        tight: bool,
        (negative, sign): (bool, Span),
        context: &str,
        expected: &str,
    ) -> Parsed<(DurationExpr, usize)> {
        self.level = self.deeper(self.level, sign)?;
        // Elsewhere a sign binds less tightly than `^`.
        let (inner, depth) = match tight {
            true => self.duration_operand(true, context, expected)?,
            false => self.duration_expr(BinaryOp::Power.precedence(), context, expected)?,
        };
        self.level -= 1;
        if let DurationExpr::Number(mut number) = inner {
            if negative {
                number.value = -number.value;
            }
            number.span.start = sign.start;
            return Ok((DurationExpr::Number(number), depth));
        }
        if !negative {
            return Ok((inner, depth));
        }
        let span = sign.to(inner.span());
        Ok((DurationExpr::Negative(Box::new(inner), span), self.deeper(depth, sign)?))
    }
}

fn in_bounds(seconds: f64, span: Span) -> Parsed<()> {
    match seconds.abs() <= SECONDS_MAX {
        true => Ok(()),
        false => Err(ParseError::new(span, "duration out of range")),
    }
}

/// A number is known at once; the rest waits for the query's step and range.
fn period(expr: DurationExpr) -> Parsed<Period> {
    match expr {
        DurationExpr::Number(number) => {
            in_bounds(number.value, number.span)?;
            Ok(Period::Fixed((number.value * 1000.0).round() as i64))
        }
        other => Ok(Period::Computed(other)),
    }
}
