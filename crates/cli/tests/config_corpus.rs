//! The malformed schemas, files and `.env` of `tend-config`, as `tend config check` shows them; and that nothing secret is ever shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::folder::Folder;
use crate::typed::Typist;

/// Returns the parts of a case: what, name, text.
fn parts(text: &str) -> Vec<(String, String, String)> {
    let mut parts: Vec<(String, String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("#--- ") {
            Some(head) => {
                let (what, name) = head.trim().split_once(' ').unwrap_or((head.trim(), ""));
                parts.push((what.to_owned(), name.to_owned(), String::new()));
            }
            None => {
                if let Some((.., part)) = parts.last_mut() {
                    part.push_str(line);
                }
            }
        }
    }
    parts
}

/// Lays a case out in a folder and returns its environment and variables; none when it is about what a folder does not have.
fn laid_out(folder: &Path, text: &str, common: &str) -> Option<(String, BTreeMap<String, String>)> {
    let parts = parts(text);
    let named = parts.iter().find(|(what, ..)| what == "environment");
    let environment = named.map_or("production", |(_, name, _)| name);
    let file = format!("config/environments/{environment}.yml");
    let dotenv = [".env".to_owned(), format!("config/secrets/{environment}.env")];
    let mut all = vec![("config/schema.yaml", common)];
    let mut variables = BTreeMap::new();
    for (what, name, text) in &parts {
        match what.as_str() {
            "schema" => all[0].1 = text,
            "environment" => {}
            "file" if *name == file => all.push((name, text)),
            "dotenv" if dotenv.contains(name) => all.push((name, text)),
            "process" => {
                let pairs = text.lines().filter_map(|line| line.split_once('='));
                variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            // Whatever the store has: it is taken for granted here.
            "secrets" => {}
            // A table and commands are the daemon's.
            _ => return None,
        }
    }
    for (path, text) in all {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Some((environment.to_owned(), variables))
}

#[test]
fn each_malformed_text_is_shown_with_place_and_remedy() {
    let corpus = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/tests"));
    let common = std::fs::read_to_string(corpus.join("common.schema.yaml")).unwrap();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(corpus.join("malformed"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
        .collect();
    cases.sort();
    let mut shown = 0;
    for path in cases {
        let folder = Folder::new();
        let text = std::fs::read_to_string(&path).unwrap();
        let Some((environment, variables)) = laid_out(folder.path(), &text, &common) else {
            continue;
        };
        let mut typist = Typist::at(folder.path(), folder.path());
        typist.environment = variables;
        let outcome = typist.types(&["config", "check", ".", "-e", &environment]);
        let expected = std::fs::read_to_string(path.with_extension("expected")).unwrap();
        let place = path.display();
        // Of a secret that is not in the folder it is taken for granted that the store has it.
        let of_the_store =
            |block: &str| block.contains("--> the secret ") || block.contains("which is not in the store");
        let missing = |block: &str| block.contains(" has no value") && block.contains("tend secret set");
        let taken_for_granted = |block: &str| of_the_store(block) || missing(block);
        let blocks = expected.trim_end().split("\n\n");
        let blocks: Vec<&str> = blocks.filter(|block| block.starts_with("error:")).collect();
        for block in blocks.iter().filter(|block| !taken_for_granted(block)) {
            assert!(
                outcome.stderr.contains(block),
                "{place}\n{block}\n---\n{}",
                outcome.stderr
            );
        }
        if blocks.iter().any(|block| !taken_for_granted(block)) {
            assert_eq!(outcome.code, 3, "{place}\n{}", outcome.stderr);
            shown += 1;
        }
    }
    assert!(shown > 75, "only {shown} cases of the corpus were shown");
}

#[test]
fn nothing_secret_is_shown_of_a_folder() {
    let stacks = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stacks"));
    let typist = Typist::at(stacks, &stacks.join("pay"));
    for words in [
        &["config", "check"][..],
        &["config", "check", "../wrong"],
        &["config", "check", "../wrong", "--json"],
        &["config", "check", "-e", "production", "--json"],
        &["config", "docs"],
        &["config", "docs", "--json-schema"],
        &["config", "diff", "staging", "production", "--all"],
        &["config", "diff", "staging", "production", "--all", "--json"],
        &["config", "render"],
        &["config", "render", "api", "--format", "yaml"],
        &["config", "set", "jwt.secret"],
    ] {
        let outcome = typist.types(words);
        let all = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!all.is_empty() && !all.contains("pl4nted"), "{words:?}: {all}");
    }
}

#[test]
fn the_schema_is_given_out_as_json_schema() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../stacks/mps"));
    let outcome = Typist::at(folder, folder).types(&["config", "docs", "--json-schema"]);
    let schema: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["app"]["properties"]["port"]["maximum"], 65535);
}

/// The configuration of the reference system holds in all its environments.
#[test]
fn the_reference_system_is_fine() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../stacks/mps"));
    for environment in ["development", "staging", "production"] {
        let mut typist = Typist::at(folder, folder);
        typist.environment = [("APP_VERSION".to_owned(), "1.2.3".to_owned())].into();
        let outcome = typist.types(&["config", "check", "-e", environment]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{environment}");
        assert!(outcome.stdout.contains("is fine"), "{}", outcome.stdout);
    }
}
