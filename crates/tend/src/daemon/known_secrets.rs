//! The secret values this daemon knows, by stack: what shims, failures and audits look for.
//!
//! They come from two places: the store of secrets, with every version that has a value, retired ones too; and the environment of services,
//! variables whose name says secret and passwords in URLs, of the definitions that are wanted and of
//! those of kept releases. What of the latter is replaced stays known for the life of the daemon. Nothing here is ever
//! written down. Knows neither the store nor shims: who changes something here tells them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tend_redact::{Patterns, Rules, Value};

/// Values remembered of each stack's environments; beyond it the oldest are forgotten.
const LEARNED_MAX: usize = 2000;

/// What is known, by stack.
#[derive(Default)]
pub(crate) struct KnownSecrets {
    stacks: Mutex<BTreeMap<String, Known>>,
}

#[derive(Default)]
struct Known {
    /// From the store.
    stored: Vec<Value>,
    /// The store could not be read: an earlier daemon may have known more.
    unread: bool,
    /// From environments, oldest first.
    learned: Vec<Value>,
    /// Built when first asked for after a change.
    patterns: Option<Arc<Patterns>>,
}

impl Known {
    fn values(&self) -> Vec<Value> {
        let learned = self.learned.iter().filter(|value| !self.stored.contains(value));
        self.stored.iter().chain(learned).cloned().collect()
    }
}

impl KnownSecrets {
    /// Takes what the store has of a stack, in the place of what it had before. Returns whether shims are to be told.
    pub(crate) fn keep(&self, stack: &str, values: Vec<Value>) -> bool {
        let mut stacks = self.lock();
        let known = stacks.entry(stack.to_owned()).or_default();
        if known.stored == values && !known.unread {
            return false;
        }
        known.stored = values;
        known.unread = false;
        known.patterns = None;
        true
    }

    /// Notes that the store could not be read.
    pub(crate) fn unread(&self, stack: &str) {
        self.lock().entry(stack.to_owned()).or_default().unread = true;
    }

    /// Returns what a running shim of a stack is to be told in the place of what it was told before; nothing when that may have been
    /// more.
    pub(crate) fn to_tell(&self, stack: &str) -> Option<Vec<Value>> {
        match self.lock().get(stack) {
            Some(known) if known.unread => None,
            Some(known) => Some(known.values()),
            None => Some(Vec::new()),
        }
    }

    /// Takes in what an environment says is secret. Returns whether any of it is new.
    pub(crate) fn learn(&self, stack: &str, environment: &BTreeMap<String, String>) -> bool {
        self.learn_values(stack, secrets_in(environment))
    }

    /// Takes in values that are secret. Returns whether any of them is new.
    pub(crate) fn learn_values(&self, stack: &str, found: Vec<Value>) -> bool {
        if found.is_empty() {
            return false;
        }
        let mut stacks = self.lock();
        let known = stacks.entry(stack.to_owned()).or_default();
        let before = known.learned.len();
        for value in found {
            if !known.learned.contains(&value) {
                known.learned.push(value);
            }
        }
        if known.learned.len() == before {
            return false;
        }
        let surplus = known.learned.len().saturating_sub(LEARNED_MAX);
        known.learned.drain(..surplus);
        known.patterns = None;
        true
    }

    /// Returns the values of a stack: what a shim of it is told when it starts.
    pub(crate) fn values(&self, stack: &str) -> Vec<Value> {
        self.lock().get(stack).map(Known::values).unwrap_or_default()
    }

    /// Returns what to look for in texts of a stack.
    pub(crate) fn patterns(&self, stack: &str) -> Arc<Patterns> {
        let mut stacks = self.lock();
        let known = stacks.entry(stack.to_owned()).or_default();
        if let Some(patterns) = &known.patterns {
            return Arc::clone(patterns);
        }
        let made = Arc::new(Patterns::new(&known.values(), Rules::All));
        known.patterns = Some(Arc::clone(&made));
        made
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        // Lists of values, valid after any prefix of a change.
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a variable is to be kept out of files: its name says secret, or its value is a URL with a password.
pub(crate) fn is_secret(name: &str, value: &str) -> bool {
    says_secret(name) || password_in(value).is_some()
}

/// Returns what of an environment is secret by its name, and the passwords of URLs in it.
fn secrets_in(environment: &BTreeMap<String, String>) -> Vec<Value> {
    let mut found = Vec::new();
    for (name, value) in environment {
        if says_secret(name) {
            found.push(Value::new(name, value.as_str()));
        }
        if let Some(password) = password_in(value) {
            found.push(Value::new(name, password));
            let plain = percent_decoded(password);
            if plain != password.as_bytes() {
                found.push(Value::new(name, plain));
            }
        }
    }
    found.retain(|value| !value.expose().is_empty());
    found
}

/// Whether the name of a variable says that its value is secret.
fn says_secret(name: &str) -> bool {
    const WORDS: [&str; 13] = [
        "PASSWORD",
        "PASSWD",
        "PASS",
        "PASSPHRASE",
        "SECRET",
        "SECRETS",
        "TOKEN",
        "KEY",
        "APIKEY",
        "CREDENTIAL",
        "CREDENTIALS",
        "SALT",
        "PEPPER",
    ];
    // What a last word like these names is not the secret itself.
    const ABOUT: [&str; 18] = [
        "FILE",
        "PATH",
        "DIR",
        "NAME",
        "ID",
        "TTL",
        "TIMEOUT",
        "EXPIRY",
        "LENGTH",
        "HEADER",
        "ALGORITHM",
        "TYPE",
        "URL",
        "COUNT",
        "MIN",
        "MAX",
        "SECONDS",
        "PREFIX",
    ];
    let name = name.to_ascii_uppercase();
    let words: Vec<&str> = name.split('_').filter(|word| !word.is_empty()).collect();
    let Some(last) = words.last() else { return false };
    let public = words.contains(&"PUBLIC") || words.contains(&"PUB");
    let secret = words
        .iter()
        .any(|word| WORDS.contains(word) || word.ends_with("PASSWORD") || word.ends_with("SECRET"));
    secret && !public && !ABOUT.contains(last)
}

/// Returns the password of `scheme://user:password@host`, as it stands there.
fn password_in(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    Some(password).filter(|password| !password.is_empty())
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_secret_by_its_name_and_a_url_by_its_password() {
        for (name, secret) in [
            ("DB_PASSWORD", true),
            ("POSTGRESPASSWORD", true),
            ("API_KEY", true),
            ("JWT_SECRET", true),
            ("token", true),
            ("SESSION_TOKEN_TTL", false),
            ("API_KEY_FILE", false),
            ("JWT_PUBLIC_KEY", false),
            ("KEYBOARD", false),
            ("TEND_RELEASE", false),
            ("", false),
        ] {
            assert_eq!(says_secret(name), secret, "{name}");
        }
        assert_eq!(password_in("postgres://u:p%40ss@h/db?x=a:b@c"), Some("p%40ss"));
        assert_eq!(password_in("http://127.0.0.1:80/x@y"), None);
        assert_eq!(percent_decoded("p%40s%2"), b"p@s%2");
    }

    #[test]
    fn what_was_learned_stays_and_belongs_to_its_stack() {
        let known = KnownSecrets::default();
        let of = |value: &str| BTreeMap::from([("DB_PASSWORD".to_owned(), value.to_owned())]);
        assert!(known.learn("a", &of("the first value")));
        assert!(!known.learn("a", &of("the first value")));
        assert!(known.learn("a", &of("the second value")));
        let text = "the first value, the second value";
        assert_eq!(
            known.patterns("a").redact(text),
            "[secret DB_PASSWORD], [secret DB_PASSWORD]"
        );
        assert_eq!(known.patterns("b").redact(text), text);
        assert_eq!(known.values("a").len(), 2);
    }

    #[test]
    fn the_store_comes_beside_what_was_learned() {
        let known = KnownSecrets::default();
        let learned = BTreeMap::from([("DB_PASSWORD".to_owned(), "hunter2hunter2".to_owned())]);
        known.learn("a", &learned);
        let stored = |values: &[&str]| values.iter().map(|value| Value::new("db", *value)).collect::<Vec<_>>();
        assert!(known.keep("a", stored(&["the retired one", "the current one"])));
        assert!(!known.keep("a", stored(&["the retired one", "the current one"])));
        let text = "hunter2hunter2, the retired one, the current one";
        let shown = "[secret DB_PASSWORD], [secret db], [secret db]";
        assert_eq!(known.patterns("a").redact(text), shown);
        // What was destroyed is nobody's any more.
        assert!(known.keep("a", stored(&["the current one"])));
        assert_eq!(known.values("a").len(), 2);
        assert_eq!(known.values("b"), []);
    }

    #[test]
    fn a_shim_is_not_told_less_because_the_store_cannot_be_read() {
        let known = KnownSecrets::default();
        assert_eq!(known.to_tell("a"), Some(Vec::new()));
        known.unread("a");
        assert_eq!(known.to_tell("a"), None);
        assert!(known.keep("a", Vec::new()));
        assert_eq!(known.to_tell("a"), Some(Vec::new()));
    }
}
