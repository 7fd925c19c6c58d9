//! `print`, `println` and `printf` over values, verbs and flags as in Go's package fmt.
//!
//! Invariant: nothing is written beyond the limit that was given, whatever width the format asks for.

use crate::format::float::{Float, float};
use crate::format::quote::{can_be_raw, is_print, quote, quote_char};
use crate::value::{ListKind, MapKind, Value};

/// Go ignores widths and precisions above this.
const NUMBER_MAX: i64 = 1_000_000;
/// Levels of lists in lists that are written; data have three.
const DEPTH_MAX: usize = 50;

/// What was asked for was longer than it may be.
#[derive(Debug)]
pub(crate) struct TooLong;

/// The value as an action prints it.
pub(crate) fn display(value: &Value) -> String {
    let mut out = Printer::new(usize::MAX);
    out.value(value, 'v', 0);
    out.out
}

/// Go's `Sprint`: a blank between two operands of which neither is a text.
pub(crate) fn sprint(args: &[Value], limit: usize) -> Result<String, TooLong> {
    let mut out = Printer::new(limit);
    let mut before_is_text = true;
    for arg in args {
        let is_text = arg.as_text().is_some();
        if !is_text && !before_is_text {
            out.push(" ");
        }
        out.arg(arg, 'v');
        before_is_text = is_text;
    }
    out.done()
}

/// Go's `Sprintln`: blanks between all, and an end of line.
pub(crate) fn sprintln(args: &[Value], limit: usize) -> Result<String, TooLong> {
    let mut out = Printer::new(limit);
    for (index, arg) in args.iter().enumerate() {
        if index > 0 {
            out.push(" ");
        }
        out.arg(arg, 'v');
    }
    out.push("\n");
    out.done()
}

/// Go's `Sprintf`.
pub(crate) fn sprintf(format: &str, args: &[Value], limit: usize) -> Result<String, TooLong> {
    let mut out = Printer::new(limit);
    let mut run = Run {
        format,
        at: 0,
        args,
        next: 0,
        reordered: false,
        good: true,
    };
    while let Some(percent) = format[run.at..].find('%') {
        out.push(&format[run.at..run.at + percent]);
        run.at += percent + 1;
        if !run.verb(&mut out) {
            return out.done();
        }
    }
    out.push(&format[run.at..]);
    if !run.reordered && run.next < args.len() {
        out.flags = Flags::default();
        out.push("%!(EXTRA ");
        for (index, arg) in args[run.next..].iter().enumerate() {
            if index > 0 {
                out.push(", ");
            }
            if *arg == Value::Nil {
                out.push("<nil>");
            } else {
                out.push(arg.type_name());
                out.push("=");
                out.arg(arg, 'v');
            }
        }
        out.push(")");
    }
    out.done()
}

#[derive(Clone, Copy, Default)]
struct Flags {
    sharp: bool,
    zero: bool,
    plus: bool,
    minus: bool,
    space: bool,
    /// `%+v`: structs with the names of their fields.
    plus_v: bool,
    /// `%#v`: as it would stand in a program.
    sharp_v: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// A format being worked through.
struct Run<'a> {
    format: &'a str,
    at: usize,
    args: &'a [Value],
    next: usize,
    /// Whether an argument was named by its number.
    reordered: bool,
    good: bool,
}

impl Run<'_> {
    fn byte(&self) -> Option<u8> {
        self.format.as_bytes().get(self.at).copied()
    }

    /// Reads what follows a `%` and prints it; whether the format goes on.
    fn verb(&mut self, out: &mut Printer) -> bool {
        self.good = true;
        let mut flags = Flags::default();
        while let Some(byte) = self.byte() {
            match byte {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = !flags.minus,
                b'+' => flags.plus = true,
                b'-' => {
                    flags.minus = true;
                    flags.zero = false;
                }
                b' ' => flags.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut after_index = self.index();
        if self.byte() == Some(b'*') {
            self.at += 1;
            match self.number_arg() {
                Some(width) => {
                    flags.width = usize::try_from(width.unsigned_abs()).ok();
                    if width < 0 {
                        flags.minus = true;
                        flags.zero = false;
                    }
                }
                None => out.push("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            flags.width = self.number();
            if after_index && flags.width.is_some() {
                self.good = false;
            }
        }
        if self.byte() == Some(b'.') && self.at + 1 < self.format.len() {
            self.at += 1;
            if after_index {
                self.good = false;
            }
            after_index = self.index();
            if self.byte() == Some(b'*') {
                self.at += 1;
                match self.number_arg() {
                    Some(precision) if precision >= 0 => flags.precision = usize::try_from(precision).ok(),
                    _ => out.push("%!(BADPREC)"),
                }
                after_index = false;
            } else {
                flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        let Some(verb) = self.format[self.at..].chars().next() else {
            out.push("%!(NOVERB)");
            return false;
        };
        self.at += verb.len_utf8();
        if verb == 'v' {
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus_v = std::mem::take(&mut flags.plus);
        }
        out.flags = flags;
        match self.args.get(self.next) {
            _ if verb == '%' => out.push("%"),
            _ if !self.good => out.push(&format!("%!{verb}(BADINDEX)")),
            None => out.push(&format!("%!{verb}(MISSING)")),
            Some(arg) => {
                out.arg(arg, verb);
                self.next += 1;
            }
        }
        true
    }

    /// `[3]`: the next argument by its number; whether there was one.
    fn index(&mut self) -> bool {
        let rest = &self.format[self.at..];
        if !rest.starts_with('[') {
            return false;
        }
        self.reordered = true;
        let Some(close) = rest.find(']') else {
            self.good = false;
            self.at += 1;
            return false;
        };
        self.at += close + 1;
        let number = rest[1..close]
            .parse::<usize>()
            .ok()
            .filter(|_| rest[1..close].bytes().all(|byte| byte.is_ascii_digit()));
        match number {
            Some(number) if (1..=self.args.len()).contains(&number) => {
                self.next = number - 1;
                true
            }
            Some(_) => {
                self.good = false;
                true
            }
            None => {
                self.good = false;
                false
            }
        }
    }

    fn number(&mut self) -> Option<usize> {
        let rest = &self.format[self.at..];
        let length = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        if length == 0 {
            return None;
        }
        self.at += length;
        rest[..length]
            .parse::<i64>()
            .ok()
            .filter(|number| *number <= NUMBER_MAX)
            .and_then(|number| usize::try_from(number).ok())
    }

    fn number_arg(&mut self) -> Option<i64> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        match arg {
            Value::Int(number) if number.abs() <= NUMBER_MAX => Some(*number),
            _ => None,
        }
    }
}

struct Printer {
    out: String,
    limit: usize,
    over: bool,
    flags: Flags,
}

impl Printer {
    fn new(limit: usize) -> Self {
        Self {
            out: String::new(),
            limit,
            over: false,
            flags: Flags::default(),
        }
    }

    fn push(&mut self, text: &str) {
        if self.out.len().saturating_add(text.len()) > self.limit {
            self.over = true;
        } else {
            self.out.push_str(text);
        }
    }

    fn done(self) -> Result<String, TooLong> {
        if self.over { Err(TooLong) } else { Ok(self.out) }
    }

    fn fill(&mut self, count: usize, with: char) {
        if self.out.len().saturating_add(count) > self.limit {
            self.over = true;
        } else {
            self.out.extend(std::iter::repeat_n(with, count));
        }
    }

    fn pad(&mut self, text: &str) {
        let missing = self.flags.width.unwrap_or(0).saturating_sub(text.chars().count());
        // Go pads on the left with zeros whatever it pads.
        let with = if self.flags.zero { '0' } else { ' ' };
        if self.flags.minus {
            self.push(text);
            self.fill(missing, with);
        } else {
            self.fill(missing, with);
            self.push(text);
        }
    }

    fn pad_blank(&mut self, text: &str) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(text);
        self.flags.zero = zero;
    }

    /// Prints an argument: `%T` and `%p` are about the value as a whole.
    fn arg(&mut self, value: &Value, verb: char) {
        match verb {
            'T' => self.text(value.type_name(), 's', value),
            'p' => self.bad(value, verb),
            _ if *value == Value::Nil && verb == 'v' => self.pad("<nil>"),
            _ => self.value(value, verb, 0),
        }
    }

    fn bad(&mut self, value: &Value, verb: char) {
        let flags = std::mem::take(&mut self.flags);
        self.push(&format!("%!{verb}("));
        if *value == Value::Nil {
            self.push("<nil>");
        } else {
            self.push(value.type_name());
            self.push("=");
            self.flags = flags;
            self.value(value, 'v', 0);
        }
        self.push(")");
        self.flags = flags;
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        if depth > DEPTH_MAX {
            self.push("…");
            return;
        }
        // What has a text of its own is that text, for the verbs that take one.
        if matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
            && !self.flags.sharp_v
            && let Some(text) = own_text(value)
        {
            self.text(&text, verb, value);
            return;
        }
        match value {
            Value::Nil if depth > 0 || verb == 'v' => self.pad("<nil>"),
            Value::Nil => self.bad(value, verb),
            Value::Bool(truth) if matches!(verb, 't' | 'v') => self.pad(if *truth { "true" } else { "false" }),
            Value::Bool(_) => self.bad(value, verb),
            Value::Int(number) | Value::Word { number, .. } => self.int(*number, verb, value),
            Value::Duration(duration) => self.int(duration.0, verb, value),
            Value::Float(number) => self.float(*number, verb, value),
            Value::Text(text) | Value::Safe(_, text) => self.text(text, verb, value),
            Value::Time(time) => self.text(&time.text(), if verb == 'v' { 'v' } else { 's' }, value),
            Value::List(list) => {
                self.push(if self.flags.sharp_v { list.kind.type_name() } else { "" });
                self.push(if self.flags.sharp_v { "{" } else { "[" });
                for (index, item) in list.items.iter().enumerate() {
                    if index > 0 {
                        self.push(if self.flags.sharp_v { ", " } else { " " });
                    }
                    self.value(item, verb, depth + 1);
                }
                self.push(if self.flags.sharp_v { "}" } else { "]" });
            }
            Value::Map(map) => {
                let sharp = self.flags.sharp_v;
                self.push(if sharp { map.kind.type_name() } else { "map" });
                self.push(if sharp { "{" } else { "[" });
                for (index, (name, item)) in map.entries.iter().enumerate() {
                    if index > 0 {
                        self.push(if sharp { ", " } else { " " });
                    }
                    self.text(name, verb, &Value::from(name.as_str()));
                    self.push(":");
                    self.value(item, verb, depth + 1);
                }
                self.push(if sharp { "}" } else { "]" });
            }
            Value::Struct(found) => {
                let sharp = self.flags.sharp_v;
                self.push(if sharp {
                    found.type_name.trim_start_matches('*')
                } else {
                    ""
                });
                self.push("{");
                for (index, field) in found.fields.iter().enumerate() {
                    if index > 0 {
                        self.push(if sharp { ", " } else { " " });
                    }
                    if self.flags.plus_v || sharp {
                        self.push(field.name);
                        self.push(":");
                    }
                    self.value(&field.value, verb, depth + 1);
                }
                self.push("}");
            }
        }
    }

    fn text(&mut self, text: &str, verb: char, of: &Value) {
        let cut = match self.flags.precision {
            Some(count) => text.char_indices().nth(count).map_or(text, |(at, _)| &text[..at]),
            None => text,
        };
        match verb {
            'v' if self.flags.sharp_v => self.pad(&quote(text, false)),
            'v' | 's' => self.pad(cut),
            'q' if self.flags.sharp && can_be_raw(cut) => self.pad(&format!("`{cut}`")),
            'q' => self.pad(&quote(cut, self.flags.plus)),
            'x' | 'X' => self.hexadecimal(text, verb == 'X'),
            _ => self.bad(of, verb),
        }
    }

    fn hexadecimal(&mut self, text: &str, upper: bool) {
        let prefix = match (self.flags.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut out = String::new();
        for (index, byte) in text
            .bytes()
            .take(self.flags.precision.unwrap_or(usize::MAX))
            .enumerate()
        {
            if index > 0 && self.flags.space {
                out.push(' ');
            }
            if index == 0 || self.flags.space {
                out.push_str(prefix);
            }
            out.push_str(&if upper {
                format!("{byte:02X}")
            } else {
                format!("{byte:02x}")
            });
        }
        self.pad(&out);
    }

    fn int(&mut self, number: i64, verb: char, of: &Value) {
        let magnitude = number.unsigned_abs();
        let digits = match verb {
            'v' | 'd' => magnitude.to_string(),
            'b' => format!("{magnitude:b}"),
            'o' | 'O' => format!("{magnitude:o}"),
            'x' => format!("{magnitude:x}"),
            'X' => format!("{magnitude:X}"),
            'c' | 'q' | 'U' => {
                let character = u32::try_from(number).ok().and_then(char::from_u32);
                let shown = character.unwrap_or('\u{fffd}');
                return match verb {
                    'c' => self.pad(&shown.to_string()),
                    'q' => self.pad(&quote_char(shown, self.flags.plus)),
                    _ => {
                        let seen = character.filter(|shown| self.flags.sharp && is_print(*shown));
                        let tail = seen.map_or_else(String::new, |shown| format!(" '{shown}'"));
                        let width = self.flags.precision.unwrap_or(4).clamp(4, 1000);
                        self.pad_blank(&format!("U+{number:0width$X}{tail}"));
                    }
                };
            }
            _ => return self.bad(of, verb),
        };
        let sign = if number < 0 {
            "-"
        } else if self.flags.plus {
            "+"
        } else if self.flags.space {
            " "
        } else {
            ""
        };
        let wanted = match (self.flags.precision, self.flags.width) {
            (Some(0), _) if number == 0 => return self.pad_blank(""),
            (Some(precision), _) => precision,
            (None, Some(width)) if self.flags.zero => width.saturating_sub(sign.len()),
            _ => 0,
        };
        if wanted.saturating_add(self.out.len()) > self.limit {
            self.over = true;
            return;
        }
        let digits = format!("{digits:0>wanted$}");
        let prefix = match verb {
            'b' if self.flags.sharp => "0b",
            'o' if self.flags.sharp && !digits.starts_with('0') => "0",
            'O' => "0o",
            'x' if self.flags.sharp => "0x",
            'X' if self.flags.sharp => "0X",
            _ => "",
        };
        self.pad_blank(&format!("{sign}{prefix}{digits}"));
    }

    fn float(&mut self, number: f64, verb: char, of: &Value) {
        let (style, precision) = match verb {
            'v' | 'g' | 'G' => (Float::Either, self.flags.precision),
            'e' | 'E' => (Float::Exponent, Some(self.flags.precision.unwrap_or(6))),
            'f' | 'F' => (Float::Plain, Some(self.flags.precision.unwrap_or(6))),
            _ => return self.bad(of, verb),
        };
        // Rust's formatting takes a width of sixteen bits; no float has more digits than that.
        let mut text = float(number, style, precision.map(|precision| precision.min(1100)));
        if matches!(verb, 'G' | 'E') {
            text = text.replace('e', "E");
        }
        let plus = self.flags.plus;
        if self.flags.space && !plus && text.starts_with('+') {
            text.replace_range(..1, " ");
        }
        if number.is_infinite() || number.is_nan() {
            let bare = number.is_nan() && !self.flags.space && !plus;
            return self.pad_blank(if bare { &text[1..] } else { &text });
        }
        if self.flags.sharp {
            text = with_point(&text, matches!(verb, 'g' | 'G').then_some(precision.unwrap_or(6)));
        }
        if plus || !text.starts_with('+') {
            let width = self.flags.width.unwrap_or(0);
            if self.flags.zero && width > text.len() {
                self.push(&text[..1]);
                self.fill(width - text.len(), '0');
                self.push(&text[1..]);
                return;
            }
            return self.pad(&text);
        }
        self.pad(&text[1..]);
    }
}

/// `%#g`: a point always, and zeros up to the number of digits.
fn with_point(text: &str, digits: Option<usize>) -> String {
    let at = text.find(['e', 'E']).unwrap_or(text.len());
    let (body, tail) = text.split_at(at);
    let significant = body
        .trim_start_matches(['+', '-', ' ', '0', '.'])
        .chars()
        .filter(char::is_ascii_digit)
        .count();
    let significant = if significant == 0 { 1 } else { significant };
    let point = if body.contains('.') { "" } else { "." };
    format!(
        "{body}{point}{}{tail}",
        "0".repeat(digits.unwrap_or(0).saturating_sub(significant))
    )
}

/// The text of what has a method `String` in Go.
fn own_text(value: &Value) -> Option<String> {
    match value {
        Value::Time(time) => Some(time.text()),
        Value::Duration(duration) => Some(duration.to_string()),
        Value::Word { text, .. } => Some((*text).to_owned()),
        Value::Map(map) if map.kind == MapKind::Labels => Some(pairs_text(&crate::value::sorted_pairs(map))),
        Value::List(list) if list.kind == ListKind::Pairs => Some(pairs_text(&list.items)),
        _ => None,
    }
}

fn pairs_text(pairs: &[Value]) -> String {
    let part = |pair: &Value, name| pair.field(name).and_then(Value::as_text).unwrap_or_default().to_owned();
    let text = |pair: &Value| format!("{}={}", part(pair, "Name"), part(pair, "Value"));
    pairs.iter().map(text).collect::<Vec<_>>().join(", ")
}
