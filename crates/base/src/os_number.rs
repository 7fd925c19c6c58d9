//! The number that the operating system's errors carry. Knows nothing of what went wrong.

/// Returns an error's text without the numbers in it: «Connection refused (os error 111)» says no more to a person than
/// «Connection refused».
pub fn without_os_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(MARK) {
        kept.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        match after[digits..].strip_prefix(')') {
            Some(behind) if digits > 0 => rest = behind,
            _ => {
                kept.push_str(MARK);
                rest = after;
            }
        }
    }
    kept.push_str(rest);
    kept
}

/// What the standard library puts before the number.
const MARK: &str = " (os error ";

#[cfg(test)]
mod tests {
    use super::without_os_numbers;

    #[test]
    fn numbers_are_cut_and_nothing_else_is() {
        let real = std::io::Error::from_raw_os_error(111).to_string();
        assert!(
            real.ends_with("(os error 111)"),
            "the standard library words it otherwise: {real}"
        );
        for (given, expected) in [
            ("a: refused (os error 111)", "a: refused"),
            ("refused (os error 111): on a (os error 2), b", "refused: on a, b"),
            ("said (os error none)", "said (os error none)"),
            ("said (os error )", "said (os error )"),
            ("", ""),
        ] {
            assert_eq!(without_os_numbers(given), expected);
        }
    }
}
