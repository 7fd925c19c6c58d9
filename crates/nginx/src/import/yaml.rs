//! YAML to be written: mappings, lists and texts, in the order they were put. Knows nothing of what they mean.

use std::fmt;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Yaml {
    /// As it stands: a number, a switch, or a text that was quoted where it needs to be.
    Scalar(String),
    /// One value a line.
    List(Vec<Yaml>),
    /// One key a line.
    Map(Vec<(String, Yaml)>),
    /// A mapping or list on one line.
    Flow(Box<Yaml>),
}

impl Yaml {
    pub(super) fn map() -> Self {
        Self::Map(Vec::new())
    }

    pub(super) fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(items.into_iter().collect())
    }

    /// Returns a text, quoted where YAML would read something else.
    pub(super) fn text(text: &str) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
        let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && text.chars().all(plain);
        let means_something = matches!(
            text,
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        );
        if is_word && !means_something {
            return Self::Scalar(text.to_owned());
        }
        let mut quoted = String::from("\"");
        for c in text.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                '\n' => quoted.push_str("\\n"),
                '\t' => quoted.push_str("\\t"),
                '\r' => quoted.push_str("\\r"),
                // A stack file replaces variables; the second dollar says that none is meant.
                '$' => quoted.push_str("$$"),
                c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => quoted.push(c),
            }
        }
        quoted.push('"');
        Self::Scalar(quoted)
    }

    pub(super) fn number(number: impl fmt::Display) -> Self {
        Self::Scalar(number.to_string())
    }

    pub(super) fn flag(flag: bool) -> Self {
        Self::Scalar(flag.to_string())
    }

    /// Returns a list of texts on one line.
    pub(super) fn texts(texts: &[String]) -> Self {
        Self::Flow(Box::new(Self::list(texts.iter().map(|text| Self::text(text)))))
    }

    /// Returns a mapping on one line.
    pub(super) fn flow<'a>(entries: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
        Self::Flow(Box::new(Self::Map(entries.collect())))
    }

    /// Adds a key to a mapping.
    pub(super) fn put(&mut self, key: &str, value: Self) {
        match self {
            Self::Map(entries) => entries.push((key.to_owned(), value)),
            Self::Flow(inner) => inner.put(key, value),
            Self::Scalar(_) | Self::List(_) => {}
        }
    }

    /// Says whether a mapping has a key.
    pub(super) fn has(&self, key: &str) -> bool {
        match self {
            Self::Map(entries) => entries.iter().any(|(known, _)| known == key),
            Self::Flow(inner) => inner.has(key),
            Self::Scalar(_) | Self::List(_) => false,
        }
    }

    fn write(&self, indent: usize, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Scalar(text) => writeln!(out, " {text}"),
            Self::Flow(inner) => {
                out.write_char(' ')?;
                inner.write_flow(out)?;
                out.write_char('\n')
            }
            Self::List(items) => {
                out.write_char('\n')?;
                for item in items {
                    write!(out, "{:indent$}-", "")?;
                    match item {
                        // The first key stands beside the dash.
                        Self::Map(entries) if !entries.is_empty() => {
                            for (number, (key, value)) in entries.iter().enumerate() {
                                match number {
                                    0 => write!(out, " {key}:")?,
                                    _ => write!(out, "{:1$}{key}:", "", indent + 2)?,
                                }
                                value.write(indent + 4, out)?;
                            }
                        }
                        other => other.write(indent + 2, out)?,
                    }
                }
                Ok(())
            }
            Self::Map(entries) => {
                if indent > 0 {
                    out.write_char('\n')?;
                }
                for (key, value) in entries {
                    write!(out, "{:indent$}{key}:", "")?;
                    value.write(indent + 2, out)?;
                }
                Ok(())
            }
        }
    }

    fn write_flow(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Scalar(text) => out.write_str(text),
            Self::Flow(inner) => inner.write_flow(out),
            Self::List(items) => {
                out.write_char('[')?;
                for (number, item) in items.iter().enumerate() {
                    out.write_str(if number == 0 { "" } else { ", " })?;
                    item.write_flow(out)?;
                }
                out.write_char(']')
            }
            Self::Map(entries) => {
                out.write_str("{ ")?;
                for (number, (key, value)) in entries.iter().enumerate() {
                    write!(out, "{}{key}: ", if number == 0 { "" } else { ", " })?;
                    value.write_flow(out)?;
                }
                out.write_str(" }")
            }
        }
    }
}

impl fmt::Display for Yaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(0, f)
    }
}
