//! What the texts of a rule say about its number: percent, per second, milliseconds.
//!
//! Owns the words that are looked for, in English and Chinese. Knows no expression.

use tend_alert::{Rule, RuleKind};

/// What the texts say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wording {
    /// The value is printed as a percentage of one.
    pub(crate) humanizes_percentage: bool,
    /// A percent sign stands behind the printed value.
    pub(crate) value_percent: bool,
    /// The name of the alert speaks of percent.
    pub(crate) named_percent: bool,
    /// Numbers with a percent sign behind them.
    pub(crate) percentages: Vec<f64>,
    /// Something each second is spoken of.
    pub(crate) per_second: bool,
    /// A rate, a share or a ratio is spoken of.
    pub(crate) rate: bool,
    /// Milliseconds are spoken of.
    pub(crate) milliseconds: bool,
    /// Seconds as a length of time are spoken of.
    pub(crate) seconds: bool,
    /// Mega- or gigabytes are spoken of; how many bytes one is.
    pub(crate) large_bytes: Option<f64>,
}

impl Wording {
    pub(crate) fn of(rule: &Rule) -> Self {
        let mut wording = Self::default();
        let RuleKind::Alert { name, annotations, .. } = &rule.kind else {
            return wording;
        };
        let lower_name = name.to_lowercase();
        wording.named_percent = lower_name.contains("percent") && !lower_name.contains("percentile");
        wording.rate = has(&lower_name, &["rate", "ratio", "share"]);
        for text in annotations.values() {
            wording.read(&text.to_lowercase());
        }
        wording
    }

    fn read(&mut self, text: &str) {
        self.humanizes_percentage |= text.contains("humanizepercentage");
        let printed = actions(text).any(|(action, behind)| {
            action.contains("value") && !action.contains("labels") && behind.trim_start().starts_with(['%', '％'])
        });
        self.value_percent |= printed;
        self.per_second |= has(
            text,
            &["per second", "a second", "each second", "/s", "/秒", "每秒", "qps", "rps"],
        );
        self.rate |= has(text, &["rate", "ratio", "率", "比例"]);
        let millis_behind = |text: &str| {
            let behind = text.trim_start();
            behind.starts_with("ms") && !behind[2..].starts_with(|next: char| next.is_ascii_alphanumeric())
        };
        self.milliseconds |= has(text, &["millisecond", "毫秒"])
            || actions(text).any(|(action, behind)| action.contains("value") && millis_behind(behind))
            || numbers(text).any(|(_, behind)| millis_behind(behind));
        let without = text
            .replace("milliseconds", "")
            .replace("millisecond", "")
            .replace("毫秒", "")
            .replace("per second", "")
            .replace("每秒", "")
            .replace("/秒", "");
        self.seconds |= has(&without, &["second", "秒"]);
        for (unit, bytes) in [
            ("gib", 1_073_741_824.0),
            ("gb", 1e9),
            ("mib", 1_048_576.0),
            ("mb", 1e6),
        ] {
            let is_unit = |behind: &str| {
                let behind = behind.trim_start();
                behind.starts_with(unit) && !behind[unit.len()..].starts_with(|next: char| next.is_ascii_alphanumeric())
            };
            let spoken = numbers(text).any(|(_, behind)| is_unit(behind))
                || actions(text).any(|(action, behind)| action.contains("value") && is_unit(behind));
            if spoken && self.large_bytes.is_none() {
                self.large_bytes = Some(bytes);
            }
        }
        let percent_behind = |behind: &str| {
            let behind = behind.trim_start();
            behind.starts_with(['%', '％'])
                || behind.starts_with("per cent")
                || (behind.starts_with("percent") && !behind.starts_with("percentile"))
        };
        self.percentages.extend(
            numbers(text)
                .filter(|(_, behind)| percent_behind(behind))
                .map(|(number, _)| number),
        );
    }

    /// Whether the texts call a threshold of `than` a share of so many percent.
    pub(crate) fn says_percent_of_one(&self, than: f64) -> bool {
        self.percentages
            .iter()
            .any(|percent| (percent - than * 100.0).abs() < 1e-9 * percent.abs().max(1.0))
    }

    /// Whether the texts call a threshold of `than` so many percent.
    pub(crate) fn says_percent(&self, than: f64) -> bool {
        self.percentages
            .iter()
            .any(|percent| (percent - than).abs() < 1e-9 * percent.abs().max(1.0))
    }
}

fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// The actions of a template, each with the text behind it.
fn actions(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.match_indices("{{").filter_map(|(at, _)| {
        let inside = &text[at + 2..];
        let end = inside.find("}}")?;
        Some((&inside[..end], &inside[end + 2..]))
    })
}

/// The numbers of a text, each with the text behind it.
fn numbers(text: &str) -> impl Iterator<Item = (f64, &str)> {
    let is_part = |letter: char| letter.is_ascii_digit() || letter == '.';
    let starts = text.char_indices().filter(move |(at, letter)| {
        letter.is_ascii_digit()
            && !text[..*at].ends_with(|before: char| is_part(before) || before.is_ascii_alphabetic() || before == '_')
    });
    starts.filter_map(move |(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|letter: char| !is_part(letter)).unwrap_or(rest.len());
        let digits = rest[..end].trim_end_matches('.');
        Some((digits.parse().ok()?, &rest[digits.len()..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Wording {
        let mut wording = Wording::default();
        wording.read(&text.to_lowercase());
        wording
    }

    #[test]
    fn percent_is_told_from_percentile() {
        assert_eq!(read("95th percentile is {{ $value }} seconds").percentages, []);
        assert_eq!(read("95 percentile").percentages, []);
        let wording = read("应用错误率超过10%，当前值: {{ $value }}");
        assert_eq!(wording.percentages, [10.0]);
        assert!(wording.rate && !wording.value_percent && wording.says_percent_of_one(0.1));
        assert!(read("CPU usage is {{ $value }}%").value_percent);
        assert!(read("is {{ $value | humanizePercentage }}.").humanizes_percentage);
        assert!(read("above 0.5 percent").says_percent(0.5));
    }

    #[test]
    fn lengths_of_time_are_told_apart() {
        let wording = read("慢查询频率: {{ $value }}/秒");
        assert!(wording.per_second && !wording.seconds && !wording.milliseconds);
        let wording = read("took {{ $value }}ms, more than 500 ms");
        assert!(wording.milliseconds && !wording.seconds);
        assert!(read("slower than 2 seconds").seconds);
        assert!(!read("3 requests per second").seconds);
        assert!(!read("500 msgs").milliseconds);
        assert_eq!(read("more than 512 MB").large_bytes, Some(1e6));
        assert_eq!(read("more than 2GiB").large_bytes, Some(1_073_741_824.0));
        assert_eq!(read("2 gbps").large_bytes, None);
    }
}
