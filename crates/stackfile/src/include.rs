//! Other stack files whose services join this stack.
//!
//! Source: the Compose specification, `include`: each is a stack of its own, with its own folder and `.env`, whose variables count
//! where this stack's do not say otherwise. A thing named in both is laid over the included one, as Compose does, with a warning.

use std::path::{Path, PathBuf};

use crate::dotenv;
use crate::load::{Session, Setting};
use crate::merge::merge;
use crate::source::absolute;
use crate::yaml::{Node, Value};

/// What an included stack hands over.
const JOINED: [&str; 10] = [
    "services", "networks", "volumes", "secrets", "configs", "models", "edge", "deploy", "config", "vault",
];

/// Takes in everything `tree` includes; `including` are the files on the way here, to find circles.
pub(crate) fn resolve(
    session: &mut Session<'_>,
    mut tree: Node,
    setting: &Setting,
    including: &mut Vec<PathBuf>,
) -> Node {
    let Value::Map(top) = &mut tree.value else {
        return tree;
    };
    let Some(list) = top.remove("include") else {
        return tree;
    };
    for item in list.value.items() {
        let Some(mut included) = load_one(session, item, setting, including) else {
            continue;
        };
        if let Value::Map(map) = &mut included.value {
            map.0.retain(|entry| JOINED.contains(&entry.key.as_str()));
        }
        warn_of_doubles(session, &included, &tree);
        tree = merge(included, tree, &mut session.findings);
    }
    tree
}

fn load_one(session: &mut Session<'_>, item: &Node, setting: &Setting, including: &mut Vec<PathBuf>) -> Option<Node> {
    let named = item.get("path").unwrap_or(item);
    let base = session.findings.sources.get(item.place.source).directory.clone();
    let path_of = |node: &Node| node.as_text().map(|text| absolute(&base, Path::new(text)));
    let paths: Vec<PathBuf> = path_of(named)
        .into_iter()
        .chain(named.items().iter().filter_map(path_of))
        .collect();
    let Some(first) = paths.first() else {
        session
            .findings
            .error(item.place, "this `include` names no file")
            .help("write the path of a stack file, or `path:` with it");
        return None;
    };
    if let Some(again) = paths.iter().find(|path| including.contains(path)) {
        session
            .findings
            .error(named.place, format!("`{}` includes itself", again.display()))
            .help("put what both files need into a third one that includes neither");
        return None;
    }
    let directory = item
        .get("project_directory")
        .and_then(path_of)
        .unwrap_or_else(|| first.parent().unwrap_or(Path::new("/")).to_path_buf());
    let mut inner = Setting {
        directory: directory.clone(),
        variables: setting.variables.clone(),
    };
    match item.get("env_file") {
        None => {
            let dot_env = directory.join(".env");
            if session.input.files.is_file(&dot_env) {
                dotenv::read_defaults(session, &dot_env, &directory, Some(named.place), &mut inner.variables);
            }
        }
        Some(files) => {
            // Of several files the later one counts, so it is the first to set what is not set yet.
            let list: Vec<&Node> = files
                .items()
                .iter()
                .rev()
                .chain(files.as_text().map(|_| files))
                .collect();
            for file in list {
                if let Some(path) = path_of(file) {
                    dotenv::read_defaults(session, &path, &directory, Some(file.place), &mut inner.variables);
                }
            }
        }
    }
    let before = session.findings.errors();
    let included = session.project(&paths, &inner, including, Some(named.place));
    if included.is_none() && session.findings.errors() == before {
        session
            .findings
            .error(named.place, "nothing could be included from here");
    }
    included
}

fn warn_of_doubles(session: &mut Session<'_>, included: &Node, tree: &Node) {
    for section in &JOINED[..6] {
        let (Some(theirs), Some(mine)) = (included.get(section), tree.get(section)) else {
            continue;
        };
        for entry in mine.entries() {
            if let Some(other) = theirs.as_map().and_then(|map| map.entry(&entry.key))
                && other.place != entry.place
            {
                session
                    .findings
                    .warning(
                        entry.place,
                        format!(
                            "`{section}.{}` is also in an included file; what is here is laid over it",
                            entry.key
                        ),
                    )
                    .also(other.place, "included from here")
                    .help("give one of the two another name if they are different things");
            }
        }
    }
}
