//! A command written as one text, split into words as a POSIX shell does: quotes, backslashes and blanks, nothing expanded.
//!
//! Compose splits commands this way. No shell is run, so operators such as `&&` are words like any other; [`operator`] finds
//! them, so that the author can be told.

/// Splits a command; returns nothing when a quote is not closed.
pub(crate) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            '\n' => {}
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => match chars.next()? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// Returns the first word that only a shell would act upon, standing free and not in quotes.
pub(crate) fn operator(text: &str) -> Option<&str> {
    if text.contains(['\'', '"', '\\']) {
        // Quoted operators are meant as text; whoever quotes knows the difference.
        return None;
    }
    text.split_whitespace()
        .find(|word| matches!(*word, "&&" | "||" | "|" | ";" | ">" | ">>" | "<" | "2>&1" | "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (text, words) in [
            ("a b  c", vec!["a", "b", "c"]),
            ("a 'b c' \"d e\"", vec!["a", "b c", "d e"]),
            ("a'b'\"c\"d", vec!["abcd"]),
            (r#"a\ b "c\"d" "e\f" 'g\h'"#, vec!["a b", "c\"d", "e\\f", "g\\h"]),
            ("a \\\n b", vec!["a", "b"]),
            ("'' \"\"", vec!["", ""]),
            ("", vec![]),
            ("a\nb", vec!["a", "b"]),
            ("echo $HOME", vec!["echo", "$HOME"]),
        ] {
            assert_eq!(
                split(text).as_deref(),
                Some(words.into_iter().map(String::from).collect::<Vec<_>>()).as_deref(),
                "{text}"
            );
        }
        for text in ["'a", "\"a", "a\\"] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn operators_are_found_only_where_a_shell_would_see_them() {
        assert_eq!(operator("make && ./run"), Some("&&"));
        assert_eq!(operator("./run > log"), Some(">"));
        assert_eq!(operator("./run --a=b&c"), None);
        assert_eq!(operator("sh -c 'a && b'"), None);
    }
}
