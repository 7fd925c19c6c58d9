//! What a stack is called: `-p`, `COMPOSE_PROJECT_NAME`, `name:`, else its folder.

use tend_core::model::StackName;

use crate::error::Findings;
use crate::input::Input;
use crate::load::Setting;
use crate::yaml::{Entry, Node, Value};

/// Chooses the name, and takes `version` out of the tree with a word about it.
pub(crate) fn choose(
    tree: &mut Node,
    setting: &Setting,
    input: &Input<'_>,
    findings: &mut Findings,
) -> Option<StackName> {
    let whole = tree.place.source.whole();
    let Value::Map(top) = &mut tree.value else {
        return None;
    };
    if let Some(version) = top.remove("version") {
        findings
            .warning(version.place, "`version` is obsolete and ignored")
            .help("delete the line; tend and Compose both read every version alike");
    }
    let given = input.name.clone().or_else(|| {
        setting
            .variables
            .get("COMPOSE_PROJECT_NAME")
            .filter(|name| !name.is_empty())
            .cloned()
    });
    let (name, place) = match (given, top.get("name").filter(|node| !node.is_null())) {
        (Some(name), _) => (name, whole),
        (None, Some(node)) => (node.as_text()?.to_owned(), node.place),
        (None, None) => {
            let folder = setting
                .directory
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            (normalise(&folder), whole)
        }
    };
    match name.parse::<StackName>() {
        Ok(parsed) => {
            let at = top.position("name");
            let entry = Entry {
                key: "name".to_owned(),
                place,
                value: Node::text(place, parsed.as_str()),
            };
            match at {
                Some(at) => top.0[at] = entry,
                None => top.0.insert(0, entry),
            }
            Some(parsed)
        }
        Err(error) => {
            findings.error(place, error.to_string()).help(match normalise(&name) {
                near if near.is_empty() => "give the stack a name: `name: …` at the top of the file".to_owned(),
                near => format!("write `name: {near}`"),
            });
            None
        }
    }
}

/// Makes a name of a folder's as Compose does: lower case, nothing but letters, digits, `-` and `_`, not starting with those two.
fn normalise(text: &str) -> String {
    let kept: String = text
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c))
        .collect();
    kept.trim_start_matches(['-', '_']).chars().take(63).collect()
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn folders_become_names_as_in_compose() {
        for (folder, name) in [("mps", "mps"), ("My Shop.v2", "myshopv2"), ("_-x_", "x_"), ("支付", "")] {
            assert_eq!(normalise(folder), name, "{folder}");
        }
    }
}
