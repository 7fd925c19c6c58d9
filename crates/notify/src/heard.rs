//! How a notification ended: for the pipeline, and in words for the journal. Knows no connection.

use tend_alert::{Answer, NotifyError};
use tend_base::Secret;

use crate::NotifierError;

/// Characters of the other side's words that are passed on.
const SAID_MAX: usize = 300;

/// How a notification ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// For the pipeline.
    pub answer: Answer,
    /// Who was asked, `host:port`; empty where nobody was.
    pub at: String,
    /// What was heard, on one line, for a person; no secret of the settings is in it.
    pub said: String,
}

impl Heard {
    pub(crate) fn confirmed(at: &str, said: &str, hidden: &[Secret]) -> Self {
        Self {
            answer: Answer::Confirmed,
            at: at.to_owned(),
            said: told(said, hidden),
        }
    }

    pub(crate) fn failed(at: &str, said: &str, after: Option<i64>, hidden: &[Secret]) -> Self {
        let said = told(said, hidden);
        Self {
            answer: Answer::Failed {
                said: said.clone(),
                after,
            },
            at: at.to_owned(),
            said,
        }
    }

    pub(crate) fn refused(at: &str, said: &str, hidden: &[Secret]) -> Self {
        let said = told(said, hidden);
        Self {
            answer: Answer::Refused { said: said.clone() },
            at: at.to_owned(),
            said,
        }
    }

    pub(crate) fn of(at: &str, error: &NotifierError, hidden: &[Secret]) -> Self {
        let said = format!("{} ({})", error.with_causes(), error.hint());
        match error.is_transient() {
            true => Self::failed(at, &said, None, hidden),
            false => Self::refused(at, &said, hidden),
        }
    }

    /// What it comes to that a secret could not be read.
    #[must_use]
    pub fn unread(error: &NotifierError) -> Self {
        Self::of("", error, &[])
    }

    /// What it comes to that a notification could not be written.
    #[must_use]
    pub fn unwritten(error: &NotifyError) -> Self {
        Self::refused("", &error.to_string(), &[])
    }
}

/// One line of bounded length, with secrets replaced.
fn told(said: &str, hidden: &[Secret]) -> String {
    let mut text = said.to_owned();
    for secret in hidden {
        for form in tend_redact::forms(secret.expose().trim().as_bytes()) {
            if let Ok(form) = String::from_utf8(form)
                && form.len() >= 4
            {
                text = text.replace(&form, "***");
            }
        }
    }
    let words: Vec<&str> = text
        .split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(SAID_MAX) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::told;
    use tend_base::Secret;

    #[test]
    fn what_is_told_is_one_short_line_without_secrets() {
        let hidden = [Secret::new("hunter2-hunter2".to_owned()), Secret::new("abc".to_owned())];
        let said = "no\r\n  hunter2-hunter2 \u{7} here, aHVudGVyMi1odW50ZXIy, abc";
        assert_eq!(told(said, &hidden), "no *** here, ***, abc");
        let long = told(&"é".repeat(5000), &hidden);
        assert_eq!((long.chars().count(), long.ends_with('…')), (301, true));
    }
}
