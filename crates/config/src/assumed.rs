//! The secrets that texts name, where the store of secrets is not at hand: a folder is checked without a daemon.

use std::collections::BTreeSet;

use crate::interpolate::{SECRET, secret_name};
use crate::layers::StoredSecret;

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
    names.into_iter().map(assumed_secret).collect()
}

/// Returns a secret as if the store had it. Its version is 0, which no secret has, and nothing is checked of its value.
#[must_use]
pub fn assumed_secret(name: String) -> StoredSecret {
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
    }
}
