//! Finds what looks like a secret by what stands before it: `password=…`, `Bearer …`, `://user:password@`, a private key in PEM.
//!
//! Each rule judges forward from the place of its word, so that a stream may be cut anywhere: it says that there is nothing, that
//! more must be seen, or what to replace.

/// Longest value of a key that is taken in; what follows stays.
const VALUE_BYTES_MAX: usize = 4096;
/// Longest authority of a URL in which a password is looked for.
const AUTHORITY_BYTES_MAX: usize = 1024;
/// Longest private key: RSA of 16384 bits has 12.7 kB in PEM.
const KEY_BYTES_MAX: usize = 16 << 10;
/// Blanks around `=` and `:` that are passed over.
const BLANKS_MAX: usize = 8;
/// Shortest token after `Bearer` that is taken for one: `bearer of news` is none.
const BEARER_BYTES_MIN: usize = 16;

/// What a rule says of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Nothing,
    /// It depends on what follows the window.
    Open,
    Found {
        /// What makes it a secret begins here, and is kept.
        context: usize,
        start: usize,
        end: usize,
    },
}

/// What a word announces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Announces {
    /// A value after `=`, and after `:` when the key is in quotes: `token: expired` is prose.
    Value,
    /// A value after `=` or `:`.
    ValueAlways,
    Authorization,
    Bearer,
    PrivateKey,
}

/// In lower case. Whatever stands before a word does not matter: `DB_PASSWORD` is one too.
const WORDS: [(&[u8], Announces); 18] = [
    (b"password", Announces::ValueAlways),
    (b"passwd", Announces::ValueAlways),
    (b"passphrase", Announces::ValueAlways),
    (b"api_key", Announces::ValueAlways),
    (b"api-key", Announces::ValueAlways),
    (b"apikey", Announces::ValueAlways),
    (b"secret", Announces::Value),
    (b"secret_key", Announces::ValueAlways),
    (b"secretkey", Announces::ValueAlways),
    (b"secret_access_key", Announces::ValueAlways),
    (b"private_key", Announces::Value),
    (b"privatekey", Announces::Value),
    (b"access_key", Announces::Value),
    (b"token", Announces::Value),
    (b"credential", Announces::Value),
    (b"authorization", Announces::Authorization),
    (b"bearer", Announces::Bearer),
    (b"-----begin", Announces::PrivateKey),
];

const WORD_BYTES_MIN: usize = 5;
const WORD_BYTES_MAX: usize = 17;
const SHIFT_BITS: u32 = 11;

/// Finds the words, as `exact` does it with two bytes in place of three, whatever their case.
#[derive(Clone)]
pub(crate) struct Words {
    shift: Vec<u8>,
    /// Places of two bytes with which a word begins: most candidates end there.
    begins: Vec<bool>,
}

impl Words {
    pub(crate) fn new() -> Self {
        let mut shift = vec![WORD_BYTES_MIN as u8 - 1; 1 << SHIFT_BITS];
        let mut begins = vec![false; 1 << SHIFT_BITS];
        for (word, _) in WORDS {
            begins[place_of(word[0], word[1])] = true;
            for at in 0..WORD_BYTES_MIN - 1 {
                let place = &mut shift[place_of(word[at], word[at + 1])];
                *place = (*place).min((WORD_BYTES_MIN - 2 - at) as u8);
            }
        }
        Self { shift, begins }
    }

    pub(crate) fn size(&self) -> usize {
        self.shift.len() + self.begins.len()
    }

    /// Hands on what was found. Returns the first place that depends on what follows the window; its end when none does.
    pub(crate) fn find(&self, window: &[u8], last: bool, mut found: impl FnMut(usize, usize, usize, bool)) -> usize {
        let mut open = window.len();
        let mut at = 0;
        while at + WORD_BYTES_MIN <= window.len() {
            let shift = self.shift[place_of(window[at + WORD_BYTES_MIN - 2], window[at + WORD_BYTES_MIN - 1])];
            if shift > 0 {
                at += usize::from(shift);
                continue;
            }
            if !self.begins[place_of(window[at], window[at + 1])] {
                at += 1;
                continue;
            }
            for (word, announces) in WORDS {
                if !window
                    .get(at..at + word.len())
                    .is_some_and(|here| here.eq_ignore_ascii_case(word))
                {
                    continue;
                }
                match judge(window, at, at + word.len(), announces, last) {
                    Outcome::Nothing => {}
                    Outcome::Open => open = open.min(at),
                    Outcome::Found { context, start, end } => {
                        found(context, start, end, announces == Announces::PrivateKey);
                    }
                }
            }
            at += 1;
        }
        if !last {
            let from = window.len().saturating_sub(WORD_BYTES_MAX - 1);
            let begun = (from..window.len()).find(|&at| {
                let here = &window[at..];
                WORDS
                    .iter()
                    .any(|(word, _)| word.len() > here.len() && word[..here.len()].eq_ignore_ascii_case(here))
            });
            open = open.min(begun.unwrap_or(open));
        }
        open
    }
}

/// Letters of both cases have one place.
#[inline]
fn place_of(one: u8, other: u8) -> usize {
    (usize::from(one & 0x3f | 0x20) << 5 ^ usize::from(other | 0x20)) & ((1 << SHIFT_BITS) - 1)
}

fn judge(window: &[u8], at: usize, end: usize, announces: Announces, last: bool) -> Outcome {
    let reader = Reader { window, last };
    let judged = match announces {
        Announces::Bearer => reader.bearer(end),
        Announces::PrivateKey => reader.private_key(end),
        _ => reader.value(end, announces),
    };
    match judged {
        Ok((start, end)) if start < end => Outcome::Found {
            context: at,
            start,
            end,
        },
        Ok(_) | Err(Stop::Nothing) => Outcome::Nothing,
        Err(Stop::Open) => Outcome::Open,
    }
}

/// Why a rule does not find anything.
enum Stop {
    Nothing,
    Open,
}

struct Reader<'a> {
    window: &'a [u8],
    last: bool,
}

impl Reader<'_> {
    /// Returns the byte at a place; the end of a stream reads as a line's end.
    fn byte(&self, at: usize) -> Result<u8, Stop> {
        match self.window.get(at) {
            Some(byte) => Ok(*byte),
            None if self.last => Ok(b'\n'),
            None => Err(Stop::Open),
        }
    }

    fn blanks(&self, mut at: usize) -> Result<usize, Stop> {
        let most = at + BLANKS_MAX;
        while at < most && matches!(self.byte(at)?, b' ' | b'\t') {
            at += 1;
        }
        Ok(at)
    }

    /// Passes over a quote, also one that is escaped in JSON. Returns the place after it, the quote and whether it is escaped.
    fn quote(&self, at: usize) -> Result<(usize, Option<(u8, bool)>), Stop> {
        match self.byte(at)? {
            quote @ (b'"' | b'\'') => Ok((at + 1, Some((quote, false)))),
            b'\\' => match self.byte(at + 1)? {
                quote @ (b'"' | b'\'') => Ok((at + 2, Some((quote, true)))),
                _ => Ok((at, None)),
            },
            _ => Ok((at, None)),
        }
    }

    /// The value of a key that ends at `at`.
    fn value(&self, at: usize, announces: Announces) -> Result<(usize, usize), Stop> {
        let (at, key_quote) = self.quote(at)?;
        let at = self.blanks(at)?;
        let at = match self.byte(at)? {
            b'=' if self.byte(at + 1)? == b'>' => at + 2,
            b'=' => at + 1,
            b':' if announces != Announces::Value || key_quote.is_some() => at + 1,
            _ => return Err(Stop::Nothing),
        };
        let at = self.blanks(at)?;
        let (at, quote) = self.quote(at)?;
        if announces == Announces::Authorization {
            return self.credentials(at);
        }
        let end = match quote {
            Some((quote, escaped)) => self.until_quote(at, quote, escaped)?,
            None => self.until(at, |byte| {
                byte.is_ascii_whitespace()
                    || matches!(
                        byte,
                        b'&' | b'"' | b'\'' | b',' | b';' | b')' | b']' | b'}' | b'<' | b'>'
                    )
            })?,
        };
        let value = &self.window[at..end];
        let says_nothing = [&b"null"[..], b"none", b"nil", b"true", b"false", b"undefined"]
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word));
        // Our own, or somebody else's, marker.
        let masked = value.starts_with(b"[secret")
            || value.starts_with(b"[redacted")
            || value.iter().all(|byte| matches!(byte, b'*' | b'\\'));
        if says_nothing || masked {
            return Err(Stop::Nothing);
        }
        Ok((at, end))
    }

    /// What follows `authorization:`: a scheme, which is kept, and credentials.
    fn credentials(&self, at: usize) -> Result<(usize, usize), Stop> {
        const SCHEMES: [&[u8]; 7] = [
            b"bearer",
            b"basic",
            b"digest",
            b"token",
            b"negotiate",
            b"apikey",
            b"aws4-hmac-sha256",
        ];
        let stops = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b',' | b'\\');
        let word_end = self.until(at, stops)?;
        let word = &self.window[at..word_end];
        if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
            let start = self.blanks(word_end)?;
            return Ok((start, self.until(start, stops)?));
        }
        if word.len() < BEARER_BYTES_MIN {
            return Err(Stop::Nothing);
        }
        Ok((at, word_end))
    }

    fn bearer(&self, at: usize) -> Result<(usize, usize), Stop> {
        let start = self.blanks(at)?;
        if start == at {
            return Err(Stop::Nothing);
        }
        let end = self.until(start, |byte| {
            !(byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
        })?;
        if end - start < BEARER_BYTES_MIN {
            return Err(Stop::Nothing);
        }
        Ok((start, end))
    }

    /// The body of a private key whose first line has begun.
    fn private_key(&self, at: usize) -> Result<(usize, usize), Stop> {
        const KIND_BYTES_MAX: usize = 40;
        let mut kind_end = at;
        while matches!(self.byte(kind_end)?, b'A'..=b'Z' | b'0'..=b'9' | b' ') {
            kind_end += 1;
            if kind_end - at > KIND_BYTES_MAX {
                return Err(Stop::Nothing);
            }
        }
        let kind = &self.window[at..kind_end];
        let is_key = kind.ends_with(b" PRIVATE KEY") || kind.ends_with(b" PRIVATE KEY BLOCK");
        if !is_key {
            return Err(Stop::Nothing);
        }
        for dash in kind_end..kind_end + 5 {
            if self.byte(dash)? != b'-' {
                return Err(Stop::Nothing);
            }
        }
        let start = kind_end + 5;
        let mut end = start;
        while end - start < KEY_BYTES_MAX {
            match self.window.get(end) {
                None if self.last => break,
                None => return Err(Stop::Open),
                Some(b'-') => {
                    let rest = &self.window[end..];
                    if rest.starts_with(b"-----END") {
                        break;
                    }
                    if b"-----END".starts_with(rest) && !self.last {
                        return Err(Stop::Open);
                    }
                }
                // Base64, line ends also as JSON has them, and the fields that old formats begin with.
                Some(byte) if byte.is_ascii_alphanumeric() || b"+/=\\\r\n\t :,\"'".contains(byte) => {}
                Some(_) => break,
            }
            end += 1;
        }
        if self.window[start..end].iter().all(u8::is_ascii_whitespace) {
            return Err(Stop::Nothing);
        }
        Ok((start, end))
    }

    /// Returns the first place at which `stops` holds, but not beyond the longest value.
    fn until(&self, from: usize, stops: impl Fn(u8) -> bool) -> Result<usize, Stop> {
        let most = from + VALUE_BYTES_MAX;
        let mut at = from;
        while at < most && !stops(self.byte(at)?) {
            at += 1;
        }
        Ok(at.min(self.window.len()))
    }

    fn until_quote(&self, from: usize, quote: u8, escaped: bool) -> Result<usize, Stop> {
        let most = from + VALUE_BYTES_MAX;
        let mut at = from;
        while at < most {
            match self.byte(at)? {
                b'\n' => break,
                b'\\' if escaped && self.byte(at + 1)? == quote => break,
                b'\\' => at += 1,
                byte if byte == quote => break,
                _ => {}
            }
            at += 1;
        }
        Ok(at.min(self.window.len()))
    }
}

/// Finds passwords in URLs. Returns the first place that depends on what follows the window; its end when none does.
pub(crate) fn passwords_in_urls(window: &[u8], last: bool, mut found: impl FnMut(usize, usize, usize)) -> usize {
    let mut open = window.len();
    for context in memchr::memmem::find_iter(window, b"://") {
        let from = context + 3;
        let ends = |byte: &u8| {
            byte.is_ascii_whitespace() || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`')
        };
        let authority = &window[from..(from + AUTHORITY_BYTES_MAX).min(window.len())];
        let end = match authority.iter().position(ends) {
            Some(end) => end,
            None if from + AUTHORITY_BYTES_MAX > window.len() && !last => {
                open = open.min(context);
                continue;
            }
            None => authority.len(),
        };
        let authority = &authority[..end];
        let Some(at) = memchr::memrchr(b'@', authority) else {
            continue;
        };
        let Some(colon) = memchr::memchr(b':', &authority[..at]) else {
            continue;
        };
        let password = &authority[colon + 1..at];
        if !password.is_empty() && !password.starts_with(b"[secret") && !password.starts_with(b"[redacted") {
            found(context, from + colon + 1, from + at);
        }
    }
    if !last {
        for tail in [&b":/"[..], b":"] {
            if window.ends_with(tail) {
                return open.min(window.len() - tail.len());
            }
        }
    }
    open
}
