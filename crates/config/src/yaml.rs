//! What files of a configuration and schemas take of YAML.
//!
//! Owns the limits of such a file, the words in which others are refused, and what YAML's own types are to a key, which tells a number
//! from a text. The reading and the tree are `tend_text`'s.

use tend_text::{Dialect, Findings, Kind, Node, SourceId};

use crate::decimal::Decimal;

const CONFIGURATION: Dialect = Dialect {
    // The deepest key known to us has five words.
    depth_max: 32,
    entries_max: 4000,
    plain,
    // A schema says what type a key has.
    kinds: &[("str", Kind::Text)],
    merge_tags: false,
    file: "a file of configuration",
    inside: "a configuration",
    help_document: "delete the `---`, or put the document into a file of its own",
    help_depth: "write long keys with dots: `a.b.c: value`",
    help_entries: "no configuration has that many; is this the right file?",
    help_tag: "leave it out: the schema says what type a key has; put a text that starts with `!` in quotes",
    help_empty: None,
};

/// Reads the one document of a text; nothing when it is not YAML, which is noted, or when it is empty, which is not.
pub(crate) fn read(source: SourceId, findings: &mut Findings) -> Option<Node> {
    tend_text::read(source, &CONFIGURATION, findings)
}

/// Returns what an unquoted text is. Numbers are those that can be held exactly; those in base 8 and 16 stay text, nobody configures in
/// them.
pub(crate) fn plain(text: &str) -> Kind {
    match Kind::of_plain(text) {
        kind if kind.is_number() && Decimal::parse(text).is_none() => Kind::Text,
        kind => kind,
    }
}

/// Returns the text of a node that YAML says is one.
pub(crate) fn text(node: &Node) -> Option<&str> {
    let scalar = node.as_scalar().filter(|scalar| scalar.kind == Kind::Text);
    scalar.map(|scalar| scalar.text.as_str())
}

/// Returns the switch of a node that YAML says is one.
pub(crate) fn switch(node: &Node) -> Option<bool> {
    let scalar = node.as_scalar().filter(|scalar| scalar.kind == Kind::Bool);
    scalar.map(|scalar| scalar.text.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_can_be_held() {
        for (text, kind) in [
            ("12", Kind::Integer),
            ("-0.5", Kind::Float),
            ("+1e-5", Kind::Float),
            (".5", Kind::Float),
            ("0x1f", Kind::Text),
            ("0o17", Kind::Text),
            (".inf", Kind::Text),
            ("1e400", Kind::Text),
            ("+-1", Kind::Text),
            ("true", Kind::Bool),
            ("yes", Kind::Text),
            ("~", Kind::Null),
        ] {
            assert_eq!(plain(text), kind, "{text}");
        }
    }
}
