//! What a mail server says: lines with a number in front, and what it can. Reads no socket.

use crate::NotifierError;

/// Bytes of a line. The standard allows 512; some servers need more for their words.
pub(crate) const LINE_MAX: usize = 4096;
/// Lines of one reply. Servers that can much have twenty.
pub(crate) const LINES_MAX: usize = 128;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) lines: Vec<String>,
}

/// A line: its number, whether it is the last, and its text.
pub(crate) fn line(bytes: &[u8]) -> Option<(u16, bool, String)> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\r', '\n']);
    let digits = text.get(..3)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let code = digits.parse().ok().filter(|code| (200..600).contains(code))?;
    match text.as_bytes().get(3) {
        None => Some((code, true, String::new())),
        Some(b' ') => Some((code, true, text[4..].to_owned())),
        Some(b'-') => Some((code, false, text[4..].to_owned())),
        Some(_) => None,
    }
}

impl Reply {
    pub(crate) fn said(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }

    /// Whether it may say otherwise later. The longer number (RFC 3463) is the more exact one where both are there.
    pub(crate) fn is_transient(&self) -> bool {
        let enhanced = self.lines.first().and_then(|line| {
            let word = line.split(' ').next()?;
            let mut parts = word.split('.');
            let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
            let numbers = [subject, detail]
                .iter()
                .all(|part| !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit()));
            (parts.next().is_none() && numbers).then_some(class)
        });
        match enhanced {
            Some("4") => true,
            Some("5") => false,
            _ => self.code < 500,
        }
    }

    /// The error that it is when something else was wanted.
    pub(crate) fn error(&self, at: &str, during: &'static str) -> NotifierError {
        NotifierError::Said {
            at: at.to_owned(),
            during,
            said: format!("`{}`", self.said()),
            transient: self.is_transient(),
        }
    }
}

/// What a server says that it can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    pub(crate) starttls: bool,
    pub(crate) eight_bit: bool,
    pub(crate) utf8: bool,
    /// Whether `SIZE` may be said, and the most that it takes where it says so.
    pub(crate) size: Option<Option<u64>>,
    /// Words behind `AUTH`, in upper case.
    pub(crate) auth: Vec<String>,
}

impl Abilities {
    /// Reads the lines of a reply to `EHLO`.
    pub(crate) fn of(reply: &Reply) -> Self {
        let mut can = Self::default();
        for line in reply.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            // Some old servers write `AUTH=PLAIN`.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            match words.next() {
                Some("STARTTLS") => can.starttls = true,
                Some("8BITMIME") => can.eight_bit = true,
                Some("SMTPUTF8") => can.utf8 = true,
                Some("SIZE") => {
                    can.size = Some(words.next().and_then(|most| most.parse().ok()).filter(|most| *most > 0))
                }
                Some("AUTH") => can.auth.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        can
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Option<Reply> {
        let mut out = Reply {
            code: 0,
            lines: Vec::new(),
        };
        for part in text.split('\n') {
            let (code, _, text) = line(part.as_bytes())?;
            out.code = code;
            out.lines.push(text);
        }
        Some(out)
    }

    #[test]
    fn lines_are_read_and_others_are_none() {
        assert_eq!(line(b"250 ok\r\n"), Some((250, true, "ok".to_owned())));
        assert_eq!(line(b"250-more\n"), Some((250, false, "more".to_owned())));
        assert_eq!(line(b"354"), Some((354, true, String::new())));
        for text in [
            "",
            "25",
            "abc hello",
            "2500 x",
            "199 x",
            "600 x",
            "HTTP/1.1 400 Bad",
            "é50 x",
        ] {
            assert_eq!(line(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn abilities_are_read_whatever_their_case() {
        let said = reply(
            "250-mail greets you\n250-size 1000\n250-AUTH PLAIN login\n250-auth=CRAM-MD5\n250-StartTLS\n250 8BITMIME",
        );
        let can = Abilities::of(&said.unwrap());
        let expected = Abilities {
            starttls: true,
            eight_bit: true,
            utf8: false,
            size: Some(Some(1000)),
            auth: vec!["PLAIN".to_owned(), "LOGIN".to_owned(), "CRAM-MD5".to_owned()],
        };
        assert_eq!(can, expected);
        assert_eq!(Abilities::of(&reply("250-m\n250 SIZE").unwrap()).size, Some(None));
    }

    #[test]
    fn the_longer_number_says_whether_to_come_again() {
        for (text, transient) in [
            ("450 later", true),
            ("550 never", false),
            ("550 4.2.1 mailbox busy", true),
            ("450 5.7.1 refused", false),
            ("421 4.7.0 slowly", true),
            ("554 5.a.b odd", false),
            ("454 4.7", true),
        ] {
            assert_eq!(reply(text).unwrap().is_transient(), transient, "{text}");
        }
    }
}
