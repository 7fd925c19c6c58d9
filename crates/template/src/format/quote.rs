//! Texts and characters in quotes as Go writes them.

use std::fmt::Write as _;

/// A text in double quotes.
pub(crate) fn quote(text: &str, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    text.chars().for_each(|character| push(&mut out, character, '"', ascii));
    out.push('"');
    out
}

/// A character in single quotes.
pub(crate) fn quote_char(character: char, ascii: bool) -> String {
    let mut out = String::from("'");
    push(&mut out, character, '\'', ascii);
    out.push('\'');
    out
}

/// Whether a text can stand between back quotes.
pub(crate) fn can_be_raw(text: &str) -> bool {
    text.chars()
        .all(|character| !matches!(character, '`' | '\u{7f}' | '\u{feff}') && (character >= ' ' || character == '\t'))
}

/// Whether a character is seen as itself: what Go calls printable, as far as the standard library of Rust knows.
pub(crate) fn is_print(character: char) -> bool {
    // `escape_debug` leaves a character alone when it is printable, or is a mark that joins the one before.
    character == ' '
        || (!character.is_whitespace() && !matches!(character, '\'' | '"' | '\\') && {
            let mut escaped = character.escape_debug();
            escaped.next() == Some(character) && escaped.next().is_none()
        })
        || matches!(character, '\'' | '"' | '\\')
}

fn push(out: &mut String, character: char, quote: char, ascii: bool) {
    if character == quote || character == '\\' {
        out.push('\\');
        out.push(character);
        return;
    }
    if is_print(character) && (!ascii || character.is_ascii()) {
        out.push(character);
        return;
    }
    let number = u32::from(character);
    // Writing to a string cannot fail.
    let _ = match character {
        '\u{7}' => write!(out, "\\a"),
        '\u{8}' => write!(out, "\\b"),
        '\u{c}' => write!(out, "\\f"),
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        '\u{b}' => write!(out, "\\v"),
        _ if number < 0x20 || number == 0x7f => write!(out, "\\x{number:02x}"),
        _ if number < 0x1_0000 => write!(out, "\\u{number:04x}"),
        _ => write!(out, "\\U{number:08x}"),
    };
}
