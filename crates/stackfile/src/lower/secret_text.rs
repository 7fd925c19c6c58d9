//! A text that may be secret: as it was written, in a file, or a secret of the stack.

use std::path::PathBuf;

use tend_core::model::SecretText;

use super::grants;
use crate::load::{Session, Setting};
use crate::schema::did_you_mean;
use crate::yaml::Node;

/// Reads the text at a key; nothing when it is not there or was noted.
pub(super) fn at(
    session: &mut Session<'_>,
    tree: &Node,
    node: &Node,
    key: &str,
    setting: &Setting,
) -> Option<SecretText> {
    let node = node.get(key).filter(|node| !node.is_null())?;
    if let Some(text) = node.as_text() {
        return Some(SecretText::Written(text.to_owned()));
    }
    node.as_map()?;
    let text = |key: &str| node.get(key).and_then(Node::as_text);
    match (text("file"), text("secret")) {
        (Some(path), None) => Some(SecretText::File(PathBuf::from(path))),
        (None, Some(name)) => match tree.at(&["secrets", name]) {
            Some(defined) => grants::find(session, name, defined, setting).map(SecretText::Secret),
            None => {
                let known = tree.get("secrets").map_or(&[][..], Node::entries);
                let near = session
                    .findings
                    .nearest(name, known.iter().map(|entry| entry.key.as_str()));
                session
                    .findings
                    .error(node.place, format!("the secret `{name}` is not defined"))
                    .help(match near {
                        Some(near) => did_you_mean(near),
                        None => format!("write it below `secrets:`, as `{name}: {{external: true}}`"),
                    });
                None
            }
        },
        _ => {
            session
                .findings
                .error(node.place, format!("`{key}` is to be found in one place"))
                .help("write `{file: PATH}`, or `{secret: NAME}` with a name of `secrets`");
            None
        }
    }
}
