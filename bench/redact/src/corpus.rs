//! Secrets and log lines, made up: the same each time.

use tend_redact::{Value, forms};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Returns so many secrets as generators make them: 32 characters of base64.
pub(crate) fn values(count: usize) -> Vec<Value> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..count)
        .map(|number| {
            let value: Vec<u8> = (0..32).map(|_| LETTERS[(random.next() >> 20) as usize % 64]).collect();
            Value::new(&format!("SECRET_{number}"), value)
        })
        .collect()
}

/// Returns log lines of a payment service, one in a hundred with a form of a secret in it.
pub(crate) fn text(values: &[Value], bytes: usize) -> Vec<u8> {
    let mut random = Random(7);
    let planted: Vec<Vec<u8>> = values.iter().flat_map(|value| forms(value.expose())).collect();
    let mut text = Vec::with_capacity(bytes + 512);
    let mut number = 0u64;
    while text.len() < bytes {
        let id = random.next();
        let line = format!(
            "{{\"time\":\"2026-11-22T00:{:02}:{:02}.{:03}Z\",\"level\":\"info\",\"request\":\"{id:016x}\",\"message\":\"debit \
             accepted\",\"member\":\"M{:06}\",\"amount\":\"{}.{:02}\",\"currency\":\"VND\",\"took_ms\":{},\"path\":\"/v1/members/{}/debits\",\"extra\":\"",
            number / 60 % 60,
            number % 60,
            id % 1000,
            id % 1_000_000,
            id % 100_000,
            id % 100,
            id % 50,
            id % 1_000_000,
        );
        text.extend(line.bytes());
        if number.is_multiple_of(100) && !planted.is_empty() {
            text.extend(&planted[(id >> 9) as usize % planted.len()]);
        }
        text.extend(b"\"}\n");
        number += 1;
    }
    text
}

/// Puts a form of a secret across every border of so many bytes, as pipes and buffers cut a stream; each of them in turn.
pub(crate) fn plant_across(values: &[Value], every: usize, text: &mut [u8]) {
    let planted: Vec<Vec<u8>> = values.iter().flat_map(|value| forms(value.expose())).collect();
    let borders = (every..text.len()).step_by(every);
    for (border, form) in borders.zip(planted.iter().cycle()) {
        let begin = border - form.len() / 2;
        if let Some(place) = text.get_mut(begin..begin + form.len()) {
            place.copy_from_slice(form);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tend_redact::{Patterns, Redactor, Rules};

    use super::*;

    const BORDER: usize = 4096;

    #[test]
    fn what_lies_across_every_border_is_found_however_the_stream_is_cut_there() {
        let values = values(3);
        let all: Vec<Vec<u8>> = values.iter().flat_map(|value| forms(value.expose())).collect();
        let mut planted = text(&values, 64 * BORDER);
        plant_across(&values, BORDER, &mut planted);
        for border in (BORDER..60 * BORDER).step_by(BORDER) {
            let lies_across = |form: &Vec<u8>| planted[border - form.len() / 2..].starts_with(form);
            assert!(all.iter().any(lies_across), "{border}");
        }
        let mut redactor = Redactor::new(Arc::new(Patterns::new(&values, Rules::None)));
        let mut out = Vec::new();
        for piece in planted.chunks(BORDER) {
            redactor.push(piece, &mut out);
        }
        redactor.flush(&mut out);
        let left = |form: &Vec<u8>| out.windows(form.len()).any(|window| window == form);
        assert!(!all.iter().any(left));
    }
}
