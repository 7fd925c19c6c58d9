//! Escapes values for the place in a piece of HTML where they stand.
//!
//! Follows the text that was written so far, as a browser would read it: between elements, in an attribute, in an address, in a script. Simpler
//! than Go's html/template, which works this out before anything is rendered: comments stay in the output, a value in a style must be a plain word or
//! number, and a template whose branches end in different places is not refused.

use crate::functions::escape_html;
use crate::value::{Safe, Value};

/// What Go writes in the place of a value that could do harm where it stands.
const REFUSED: &str = "ZgotmplZ";

/// Where in the HTML the output has come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Html {
    at: At,
    /// The end tag that ends a script or style.
    raw: Option<&'static str>,
    /// The last characters that were written in a comment or script.
    tail: String,
    /// The name of the attribute or the element that is being read.
    name: String,
    element: String,
    /// Whether anything of the attribute's value was written.
    started: bool,
    /// Whether the address has come to its query.
    query: bool,
    /// The quote of the text of JavaScript that is open.
    quote: Option<char>,
    escaped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum At {
    #[default]
    Text,
    /// After `<`.
    ElementName,
    /// Inside a tag, before a name.
    Tag,
    AttributeName,
    /// After the `=`.
    BeforeValue,
    /// In a value; with the quote that ends it.
    Value(Option<char>),
    Comment,
    /// In a script, a style, a title or a text field.
    Raw,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Url,
    Script,
    Style,
}

impl Html {
    /// Takes note of text of the template.
    pub(crate) fn literal(&mut self, text: &str) {
        text.chars().for_each(|character| self.take(character));
    }

    fn take(&mut self, character: char) {
        match self.at {
            At::Text if character == '<' => {
                self.at = At::ElementName;
                self.name.clear();
            }
            At::Text => {}
            At::ElementName => match character {
                '!' if self.name.is_empty() => {
                    self.at = At::Comment;
                    self.tail = "<!".to_owned();
                }
                '>' => self.end_tag_head(),
                _ if !self.name.is_empty() && (character.is_whitespace() || character == '/') => {
                    self.element = self.name.clone();
                    self.at = At::Tag;
                }
                '/' => self.name.push(character),
                _ if character.is_alphanumeric() || character == '-' => self.name.extend(character.to_lowercase()),
                // `a < b` is no tag.
                _ => self.at = At::Text,
            },
            At::Tag | At::AttributeName => match character {
                '>' => {
                    self.name = self.element.clone();
                    self.end_tag_head();
                }
                '=' => self.at = At::BeforeValue,
                _ if character.is_whitespace() || character == '/' => self.at = At::Tag,
                _ => {
                    if self.at == At::Tag {
                        self.name.clear();
                    }
                    self.name.extend(character.to_lowercase());
                    self.at = At::AttributeName;
                }
            },
            At::BeforeValue => match character {
                '"' | '\'' => self.open_value(Some(character)),
                '>' => {
                    self.name = self.element.clone();
                    self.end_tag_head();
                }
                _ if character.is_whitespace() => {}
                _ => {
                    self.open_value(None);
                    self.in_value(character);
                }
            },
            At::Value(Some(quote)) if character == quote => self.at = At::Tag,
            At::Value(None) if character == '>' => {
                self.name = self.element.clone();
                self.end_tag_head();
            }
            At::Value(None) if character.is_whitespace() => self.at = At::Tag,
            At::Value(_) => self.in_value(character),
            At::Comment => {
                self.tail.push(character);
                let long = self.tail.starts_with("<!--");
                if self.tail.ends_with("-->") && self.tail.len() > 6
                    || (!long && self.tail.len() > 3 && character == '>')
                {
                    self.at = At::Text;
                }
                self.shorten(8);
            }
            At::Raw => {
                self.tail.extend(character.to_lowercase());
                self.script(character);
                if let Some(end) = self.raw
                    && self.tail.ends_with(end)
                {
                    self.at = At::Tag;
                    self.element = String::new();
                    self.raw = None;
                }
                self.shorten(24);
            }
        }
    }

    /// Keeps the start and the end of the tail: enough to see how a comment began and whether it ends.
    fn shorten(&mut self, keep: usize) {
        if self.tail.chars().count() > keep * 4 {
            let skip = self.tail.chars().count() - keep;
            let end: String = self.tail.chars().skip(skip).collect();
            let start: String = self.tail.chars().take(4).collect();
            self.tail = start + &end;
        }
    }

    fn end_tag_head(&mut self) {
        self.at = At::Text;
        self.raw = match self.name.as_str() {
            "script" => Some("</script"),
            "style" => Some("</style"),
            "title" => Some("</title"),
            "textarea" => Some("</textarea"),
            _ => None,
        };
        if self.raw.is_some() {
            self.at = At::Raw;
            self.tail.clear();
            self.quote = None;
            self.escaped = false;
        }
    }

    fn open_value(&mut self, quote: Option<char>) {
        self.at = At::Value(quote);
        self.started = false;
        self.query = false;
        self.quote = None;
        self.escaped = false;
    }

    fn in_value(&mut self, character: char) {
        self.started = true;
        self.query |= matches!(character, '?' | '#');
        self.script(character);
    }

    /// Follows texts of JavaScript.
    fn script(&mut self, character: char) {
        match (self.quote, character) {
            (Some(_), _) if self.escaped => self.escaped = false,
            (Some(_), '\\') => self.escaped = true,
            (Some(quote), _) if quote == character => self.quote = None,
            (None, '"' | '\'' | '`') => self.quote = Some(character),
            _ => {}
        }
    }

    fn attribute(&self) -> Kind {
        // A name space says nothing about what an attribute is; `data-` does neither.
        let name = self.name.rsplit(':').next().unwrap_or_default();
        let name = name.strip_prefix("data-").unwrap_or(name);
        match name {
            "style" => Kind::Style,
            "href" | "src" | "action" | "formaction" | "cite" | "data" | "poster" | "background" | "icon"
            | "longdesc" | "manifest" | "profile" | "usemap" | "classid" | "codebase" | "archive" | "srcset" => {
                Kind::Url
            }
            _ if name.starts_with("on") => Kind::Script,
            _ if name.contains("src") || name.contains("uri") || name.contains("url") => Kind::Url,
            _ => Kind::Plain,
        }
    }

    /// Returns a value as it may be written here. `text` is how it is printed.
    pub(crate) fn escape(&mut self, value: &Value, text: &str) -> String {
        if self.at == At::BeforeValue {
            self.open_value(None);
        }
        match self.at {
            At::Text => match value {
                Value::Safe(Safe::Html, _) => {
                    self.literal(text);
                    text.to_owned()
                }
                _ => escape_plus(text),
            },
            At::Comment => String::new(),
            At::ElementName | At::Tag | At::AttributeName => name_only(text),
            At::BeforeValue | At::Value(_) => {
                let quote = if let At::Value(quote) = self.at { quote } else { None };
                let escaped = match self.attribute() {
                    Kind::Plain if matches!(value, Value::Safe(Safe::Html, _)) => text
                        .replace('<', "&lt;")
                        .replace('>', "&gt;")
                        .replace('"', "&#34;")
                        .replace('\'', "&#39;"),
                    Kind::Plain => escape_plus(text),
                    Kind::Url => escape_plus(&self.url(value, text)),
                    Kind::Script => escape_plus(&self.in_script(value, text)),
                    Kind::Style => escape_plus(&style(text)),
                };
                self.started = true;
                if quote.is_some() { escaped } else { unquoted(&escaped) }
            }
            At::Raw => match self.raw {
                Some("</script") => self.in_script(value, text),
                Some("</style") => style(text),
                _ => escape_plus(text),
            },
        }
    }

    fn url(&mut self, value: &Value, text: &str) -> String {
        if self.query {
            return percent(text, "");
        }
        let trusted = matches!(value, Value::Safe(Safe::Url, _)) || self.started;
        if !trusted && !is_harmless(text) {
            return format!("#{REFUSED}");
        }
        self.query |= text.contains(['?', '#']);
        percent(text, "!#$&*+,/:;=?@[]%'()")
    }

    fn in_script(&self, value: &Value, text: &str) -> String {
        if self.quote.is_some() {
            return in_quotes(text);
        }
        match value {
            Value::Nil => " null ".to_owned(),
            Value::Int(_) | Value::Bool(_) => format!(" {text} "),
            Value::Float(number) if number.is_finite() => format!(" {text} "),
            Value::Float(_) => " null ".to_owned(),
            _ => format!("\"{}\"", in_quotes(text)),
        }
    }
}

/// A text between quotes in a script, whichever quotes they are.
fn in_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\'' | '`' | '&' | '+' | '<' | '>' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ if character < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out
}

/// As Go does, with `+` escaped too, which some old browsers took for the start of another encoding.
fn escape_plus(text: &str) -> String {
    escape_html(text).replace('+', "&#43;")
}

fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' ' | '\t' | '\n' | '\r' | '\u{c}' | '\u{b}' | '=' | '`' => {
                out.push_str(&format!("&#{};", u32::from(character)))
            }
            _ => out.push(character),
        }
    }
    out
}

fn name_only(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let plain = !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric());
    // A name that takes a script, a style or an address is the template's to write.
    if plain
        && !lower.starts_with("on")
        && !matches!(lower.as_str(), "style" | "src" | "href" | "action" | "srcset" | "data")
    {
        lower
    } else {
        REFUSED.to_owned()
    }
}

fn style(text: &str) -> String {
    let harmless = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, ' ' | '#' | '%' | '.' | ',' | '-' | '+' | '!' | '_')
    };
    let lower = text.to_ascii_lowercase();
    if text.chars().all(harmless) && !lower.contains("expression") && !lower.contains("mozbinding") {
        text.to_owned()
    } else {
        REFUSED.to_owned()
    }
}

/// Whether an address goes where addresses may: it has no scheme, or one of three.
fn is_harmless(text: &str) -> bool {
    match text.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => ["http", "https", "mailto"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known)),
        _ => true,
    }
}

fn percent(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        if byte.is_ascii_alphanumeric()
            || "-._~".contains(character)
            || (byte.is_ascii() && kept.contains(character) && !"'()".contains(character))
        {
            out.push(character);
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}
