//! What goes into the journal, without secrets: commands of a stack file and words of programs may hold some, and the journal is for good.

use std::sync::Arc;

use serde_json::Value;
use tend_core::journal::Entry;
use tend_redact::{Label, Patterns, Redactor};

use super::known_secrets::KnownSecrets;

/// Replaces secrets in the particulars of an entry that is about a stack.
pub(crate) fn screen(known: &KnownSecrets, entry: &mut Entry) {
    if let Some(stack) = &entry.subject.stack {
        let patterns = known.patterns(stack.as_str());
        clean(&patterns, &mut entry.data);
    }
}

fn clean(patterns: &Arc<Patterns>, value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(cleaned) = cleaned(patterns, text) {
                *text = cleaned;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clean(patterns, item)),
        Value::Object(fields) => fields.values_mut().for_each(|field| clean(patterns, field)),
        _ => {}
    }
}

/// Returns a text without its secrets; none where it has none.
fn cleaned(patterns: &Arc<Patterns>, text: &str) -> Option<String> {
    // The digits of a number or digest may be those of a card by chance; only in a text is one.
    let is_word = !text.contains(char::is_whitespace);
    let mut out = Vec::with_capacity(text.len());
    let mut changed = false;
    let mut tell = |patterns: &Patterns, clean: &[u8], hit: Option<tend_redact::Hit<'_>>| {
        out.extend_from_slice(clean);
        match hit {
            Some(hit) if is_word && hit.label == Label::Card => out.extend_from_slice(hit.bytes),
            Some(hit) => {
                patterns.write_marker(hit.label, &mut out);
                changed = true;
            }
            None => {}
        }
    };
    let mut redactor = Redactor::new(Arc::clone(patterns));
    redactor.take_in(text.as_bytes(), &mut tell);
    redactor.end(&mut tell);
    changed.then(|| String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use tend_core::journal::{Kind, Principal};
    use tend_core::model::StackName;

    use super::*;

    #[test]
    fn an_entry_about_a_stack_holds_none_of_its_secrets_and_keeps_its_facts() {
        let known = KnownSecrets::default();
        let environment = BTreeMap::from([("API_KEY".to_owned(), "pl4nted-value".to_owned())]);
        known.learn("mps", &environment);
        let by = Principal::Rule {
            name: "test".to_owned(),
        };
        let data = json!({
            "what": "prepare mps/web: npm ci --registry https://ana:hunter2@npm.example --key pl4nted-value --token=abc",
            "command": ["build", "pl4nted-value", "4111111111111111"],
            "paid by": "card 4111 1111 1111 1111",
            "port": 20_001,
        });
        let of = |stack: &str| {
            let stack: StackName = stack.parse().unwrap();
            let mut entry = Entry::new(by.clone(), Kind::StepStarted).on(stack).with(data.clone());
            screen(&known, &mut entry);
            entry.data
        };
        assert_eq!(
            of("mps"),
            json!({
                "what": "prepare mps/web: npm ci --registry https://ana:[redacted]@npm.example --key [secret API_KEY] \
                         --token=[redacted]",
                "command": ["build", "[secret API_KEY]", "4111111111111111"],
                "paid by": "card [redacted card]",
                "port": 20_001,
            })
        );
        // Values belong to their stack; what looks like a secret does so everywhere.
        assert_eq!(of("other")["command"], data["command"]);
        assert_ne!(of("other")["what"], data["what"]);
        let mut entry = Entry::new(by.clone(), Kind::DaemonStarted).with(data.clone());
        screen(&known, &mut entry);
        assert_eq!(entry.data, data);
    }
}
