//! How a text stands in YAML, in Groovy and in the shell, so that it means itself whatever is in it.
//!
//! Owns quoting. Knows no pipeline.

/// A YAML scalar in double quotes: JSON's escapes, which YAML has too.
pub(crate) fn yaml(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // What YAML calls not printable, and the byte order mark.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                quoted.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A key of YAML, without quotes where it is an ordinary name.
pub(crate) fn yaml_key(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { text.to_owned() } else { yaml(text) }
}

/// A list of YAML scalars in one line.
pub(crate) fn yaml_list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| yaml(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A Groovy string in single quotes, which replaces nothing in it.
pub(crate) fn groovy(text: &str) -> String {
    format!("'{}'", groovy_escaped(text).replace('\n', "\\n"))
}

/// What stands between `'''` and `'''`.
pub(crate) fn groovy_escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'").replace('\r', "\\r")
}

/// A word of the shell.
pub(crate) fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// One line: what is put behind a `#` or into a title.
pub(crate) fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name that every build server takes as an identifier: letters, digits and `-`, beginning with a letter.
pub(crate) fn identifier(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert(0, 'x');
    }
    name
}

/// Puts `spaces` in front of every line that is not empty.
pub(crate) fn indented(text: &str, spaces: usize) -> String {
    let pad = " ".repeat(spaces);
    text.lines()
        .map(|line| match line.is_empty() {
            true => "\n".to_owned(),
            false => format!("{pad}{line}\n"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_texts_mean_themselves() {
        assert_eq!(yaml("a\"b\\c\n: #\u{7}"), r##""a\"b\\c\n: #\u0007""##);
        assert_eq!(groovy("it's ${x} \\ 5"), r"'it\'s ${x} \\ 5'");
        assert_eq!(shell("/srv/mps"), "/srv/mps");
        assert_eq!(shell("a b'c"), r"'a b'\''c'");
        assert_eq!(shell(""), "''");
        assert_eq!(identifier("Äb 1"), "x-b-1");
    }
}
