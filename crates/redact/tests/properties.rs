//! What holds of every text and every way to cut it: made up from a seed, which a failure prints.

use std::sync::Arc;

use tend_redact::{Patterns, Rules, Value, forms};

use crate::in_pieces;
use crate::values::contains;

/// Cases of each property; a seed is a case.
const CASES: u64 = 400;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 8) as usize % bound
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Few letters, so that values overlap, repeat and begin one another.
    fn value(&mut self) -> Vec<u8> {
        let alphabet = self.pick(&[&b"ab"[..], b"abcdefghijklmnop0123456789", "a/+\"\\ü\n &".as_bytes()]);
        let text = String::from_utf8_lossy(alphabet).into_owned();
        let letters: Vec<char> = text.chars().collect();
        let count = 8 + self.below(20);
        let value: String = (0..count).map(|_| letters[self.below(letters.len())]).collect();
        value.into_bytes()
    }

    fn text(&mut self, values: &[Value]) -> Vec<u8> {
        const PIECES: [&str; 24] = [
            "a",
            "b",
            "ab",
            " ",
            "\n",
            "password=",
            "token",
            "\"secret\":\"",
            "://u:",
            "@h",
            "authorization: bearer ",
            "4111 1111 ",
            "1111 1111",
            "4111111111111111",
            ".",
            "1",
            "-----BEGIN RSA PRIVATE KEY-----\n",
            "-----END",
            "MIIEabc=",
            "\\\"",
            "=",
            ":",
            "api_",
            "key=",
        ];
        let mut text = Vec::new();
        for _ in 0..self.below(60) {
            if values.is_empty() || self.below(3) > 0 {
                text.extend(self.pick(&PIECES).bytes());
            } else {
                let forms = forms(values[self.below(values.len())].expose());
                if forms.is_empty() {
                    continue;
                }
                let form = &forms[self.below(forms.len())];
                // Often whole, sometimes a part of it.
                let end = if self.below(3) > 0 {
                    form.len()
                } else {
                    self.below(form.len())
                };
                text.extend(&form[..end]);
            }
        }
        text
    }

    fn lengths(&mut self) -> Vec<usize> {
        (0..1 + self.below(5)).map(|_| 1 + self.below(30)).collect()
    }
}

fn case(seed: u64, rules: Rules) -> (Random, Vec<Value>, Arc<Patterns>) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let values: Vec<Value> = (0..random.below(6))
        .map(|n| Value::new(&format!("N{n}"), random.value()))
        .collect();
    let patterns = Arc::new(Patterns::new(&values, rules));
    (random, values, patterns)
}

#[test]
fn any_split_gives_the_same_output() {
    for seed in 1..=CASES {
        let (mut random, values, patterns) = case(seed, Rules::All);
        let text = random.text(&values);
        let whole = in_pieces(&patterns, &text, &[usize::MAX]);
        for lengths in [vec![1], random.lengths(), random.lengths()] {
            let pieces = in_pieces(&patterns, &text, &lengths);
            assert_eq!(
                String::from_utf8_lossy(&pieces),
                String::from_utf8_lossy(&whole),
                "seed {seed}, pieces {lengths:?}, of {:?}",
                String::from_utf8_lossy(&text)
            );
        }
    }
}

#[test]
fn no_form_of_any_secret_is_left() {
    let mut replaced = 0;
    for seed in 1..=CASES {
        for rules in [Rules::All, Rules::None] {
            let (mut random, values, patterns) = case(seed, rules);
            let text = random.text(&values);
            let out = in_pieces(&patterns, &text, &random.lengths());
            replaced += usize::from(out != text);
            for value in &values {
                for form in forms(value.expose()) {
                    assert!(
                        !contains(&out, &form),
                        "seed {seed}: {:?}",
                        String::from_utf8_lossy(&out)
                    );
                }
            }
        }
    }
    assert!(replaced > 300, "only {replaced} texts held a secret");
}

#[test]
fn text_without_secrets_is_unchanged() {
    for seed in 1..=CASES {
        let (mut random, _, _) = case(seed, Rules::None);
        let values = [Value::new("V", format!("no such value {seed}"))];
        let patterns = Arc::new(Patterns::new(&values, Rules::All));
        let mut text = Vec::new();
        for _ in 0..random.below(3000) {
            // All bytes but digits and what announces a secret.
            let byte = random.next() as u8;
            if !byte.is_ascii_digit() && !b"=:@-".contains(&byte) {
                text.push(byte);
            }
        }
        assert!(in_pieces(&patterns, &text, &random.lengths()) == text, "seed {seed}");
    }
}

#[test]
fn what_overlaps_without_end_is_replaced_and_memory_is_bounded() {
    let patterns = crate::patterns(&[("A", b"aaaaaaaa")], Rules::All);
    let text = vec![b'a'; 200_000];
    let out = in_pieces(&patterns, &text, &[1000]);
    assert!(out.len() < 1000, "{} bytes", out.len());
    assert!(!contains(&out, b"aaaaaaaa"));
}
