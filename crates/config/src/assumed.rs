//! What a configuration takes from the store of secrets, where the store is not at hand: a folder is checked without a daemon.

use std::collections::BTreeSet;

use crate::interpolate::{SECRET, secret_name};
use crate::layers::StoredSecret;
use crate::schema::Schema;

/// Returns the secrets of the keys that are secret, and those that texts name, as if the store had them. Their version is 0, which no
/// secret has, and nothing is checked of their values.
#[must_use]
pub fn assumed_secrets<'a>(schema: &Schema, texts: impl IntoIterator<Item = &'a str>) -> Vec<StoredSecret> {
    let secret = schema.keys.values().filter(|key| key.secret);
    let mut names: BTreeSet<String> = secret.map(|key| key.name.clone()).collect();
    names.extend(named_secrets(texts).into_iter().map(|secret| secret.name));
    names.into_iter().map(assumed).collect()
}

/// Returns the secrets that texts name by `${secret:NAME}`, as if the store had them.
#[must_use]
pub fn named_secrets<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<StoredSecret> {
    let mut names = BTreeSet::new();
    for text in texts {
        for (at, _) in text.match_indices(SECRET) {
            let rest = &text[at..];
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            names.extend(secret_name(&rest[..end]).map(str::to_owned));
        }
    }
    names.into_iter().map(assumed).collect()
}

fn assumed(name: String) -> StoredSecret {
    StoredSecret {
        name,
        version: 0,
        value: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_where_they_are_named() {
        let text = "a: ${secret:jwt.secret}\nb: '${secret:db/url}' # ${secret:}\nc: ${secret:open";
        let names: Vec<String> = named_secrets([text]).into_iter().map(|secret| secret.name).collect();
        assert_eq!(names, ["db/url", "jwt.secret"]);
        let schema = "keys:\n  api.key: { type: string, secret: true }\n  app.port: { type: integer }\n";
        let schema = Schema::parse("config/schema.yaml", schema).unwrap();
        let names: Vec<String> = assumed_secrets(&schema, ["x: ${secret:other}"])
            .into_iter()
            .map(|secret| secret.name)
            .collect();
        assert_eq!(names, ["api.key", "other"]);
    }
}
