//! The pages made from the table of keys are the ones committed (`UPDATE=1` rewrites them), and the schema agrees with the loader.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use tend_stackfile::{Input, Loaded, load};

use crate::disk::{Disk, Memory, compare, repository};

#[test]
fn the_json_schema_is_current() {
    let text = serde_json::to_string_pretty(&tend_stackfile::schema()).unwrap() + "\n";
    let path = repository().join("docs/reference/stack-file.schema.json");
    if let Err(difference) = compare(&path, &text) {
        panic!("{difference}");
    }
}

#[test]
fn the_manual_pages_are_current() {
    for (name, text) in tend_stackfile::pages() {
        let path = repository().join("docs/reference").join(name);
        if let Err(difference) = compare(&path, &text) {
            panic!("{difference}");
        }
    }
}

/// An editor that follows the schema must find every `$ref`.
#[test]
fn every_reference_of_the_schema_leads_somewhere() {
    let schema = tend_stackfile::schema();
    let definitions = schema["definitions"].as_object().unwrap();
    let mut found = 0;
    let mut open = vec![&schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let name = reference.strip_prefix("#/definitions/").unwrap();
                    assert!(definitions[name].is_object(), "{reference}");
                    found += 1;
                }
                open.extend(map.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(found > 30, "{found}");
    let services = &schema["properties"]["services"]["additionalProperties"]["$ref"];
    let name = services.as_str().unwrap().strip_prefix("#/definitions/").unwrap();
    let service = definitions[name]["properties"].as_object().unwrap();
    for key in ["image", "command", "readiness", "restart_every", "deploy"] {
        assert!(service.contains_key(key), "{key}");
    }
    assert_eq!(definitions[name]["additionalProperties"], Value::Bool(false));
}

const DEPLOY_PAGE: &str = "# How a stack file says how it is deployed

<!-- Generated from crates/stackfile/tests/cases/deploy_in_full; `UPDATE=1 cargo test -p tend-stackfile generated` rewrites it. -->

`deploy` of a service says how its replicas are replaced. Where `update_config` or `rollback_config` is written, what it leaves out is
as in Compose; where neither is, one replica after the other is replaced without a gap, and a failed update goes back by itself. The
chapter `deploy` says what is wanted of deploys of the stack as a whole. All keys are in [stack-file.md](stack-file.md).

Said as a warning by `tend check`: a migration without a database to take a restore point of, a canary or smoke tests without a
route, and stop-first where it leaves nobody to answer. A service with a fixed port is always stop-first. `tend check --print` prints a
database's URL with `***` for its password.

A service with `quiesce` is emptied before each stop on purpose: scaled down, stopped, restarted, changed or replaced; not when a fault ends
it. Once the edge sends the replica nothing new it is told by POST, at its own port, and then asked by GET every half second. Both have to
answer 2xx; until they do it is told again. Samples of `metric` are added up whatever their labels. `deadline` counts from when it is first
told. It is stopped at 0 or then, and the journal says which: `replica.quiesced`, or `replica.quiesce_gave_up` with what was in flight.
";

fn example_of_deploys() -> String {
    let path = repository().join("crates/stackfile/tests/cases/deploy_in_full/stack.yml");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_page_of_deploys_is_current() {
    let text = format!("{DEPLOY_PAGE}\n```yaml\n{}```\n", example_of_deploys());
    let path = repository().join("docs/reference/stack-file-deploy.md");
    if let Err(difference) = compare(&path, &text) {
        panic!("{difference}");
    }
}

/// The example of deploys is template, test case and manual page at once, so it has every key.
#[test]
fn the_example_of_deploys_has_every_key() {
    /// Definitions of the schema whose keys are those of deploys.
    const RECORDS: [&str; 11] = [
        "deploy-keep",
        "update_config-parallelism",
        "rollback_config-parallelism",
        "canary-share",
        "allow-header",
        "smoke test-http",
        "quiesce-post",
        "keep-count",
        "migrate-service",
        "database-sqlite",
        "service-image",
    ];
    const OF_A_SERVICE: [&str; 4] = ["artifact", "smoke", "quiesce", "drain_timeout"];
    let example = example_of_deploys();
    let schema = tend_stackfile::schema();
    let has = |key: &str| {
        let key = format!("{key}:");
        let starts = |(at, _): (usize, &str)| example[..at].ends_with([' ', '\n']);
        example.match_indices(&key).any(starts)
    };
    let mut found = 0;
    for record in RECORDS {
        let keys = schema["definitions"][record]["properties"].as_object();
        for key in keys.unwrap_or_else(|| panic!("no `{record}`")).keys() {
            if record != "service-image" || OF_A_SERVICE.contains(&key.as_str()) {
                assert!(has(key), "the example says nothing of `{key}` ({record})");
                found += 1;
            }
        }
    }
    assert!(found > 40, "{found}");
    assert!(!has("replicas_of_nothing"));
}

/// An editor must not mark what the loader takes. Debian's docker-compose brings a validator of JSON Schema along.
#[test]
fn the_schema_takes_what_the_loader_takes() {
    /// Read otherwise by YAML 1.1, which Python's reader speaks: a switch and a date.
    const YAML_1_1: [&str; 2] = ["restart-bare-no.yml", "environment-date.yml"];
    const SCRIPT: &str = "
import json, sys, yaml, jsonschema
class Loader(yaml.SafeLoader):
    pass
def tagged(loader, suffix, node):
    if isinstance(node, yaml.SequenceNode): return loader.construct_sequence(node)
    if isinstance(node, yaml.MappingNode): return loader.construct_mapping(node, deep=True)
    return None
Loader.add_multi_constructor('!', tagged)
schema = jsonschema.Draft7Validator(json.load(sys.stdin))
for path in sys.argv[1:]:
    with open(path, encoding='utf-8') as file:
        for error in schema.iter_errors(yaml.load(file, Loader)):
            print(path, '.'.join(map(str, error.path)), error.message[:200])
";
    let tests = repository().join("crates/stackfile/tests");
    let mut folders = vec![tests.join("corpus"), tests.join("cases"), repository().join("stacks")];
    let mut accepted = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            if !name.ends_with(".yml") || YAML_1_1.contains(&name) {
                continue;
            }
            let input = Input {
                files: &Disk,
                paths: vec![path.clone()],
                environment: BTreeMap::new(),
                profiles: vec!["*".to_owned()],
                name: Some("any".to_owned()),
            };
            // A key with nothing after it is taken with a warning; an editor may mark it.
            let is_clean = |loaded: Loaded| loaded.notes.iter().all(|note| !note.message.contains("has no value"));
            if load(&input).is_ok_and(is_clean) {
                accepted.push(path);
            }
        }
    }
    assert!(accepted.len() > 60, "{}", accepted.len());
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", SCRIPT])
        .args(&accepted)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is there, since docker-compose needs it");
    let schema = tend_stackfile::schema().to_string();
    python.stdin.take().unwrap().write_all(schema.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "install Debian's package `docker-compose`");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.is_empty(), "{said}");
}

/// What the page of the edge shows first is a chapter that loads.
#[test]
fn the_example_of_the_edge_loads() {
    let page = page("stack-file-edge.md");
    assert_eq!(load_example(&page).stack.edge.routes.len(), 3);
}

/// What the page of the configuration shows first is a chapter that loads.
#[test]
fn the_example_of_the_configuration_loads() {
    let page = page("stack-file-config.md");
    let sources = load_example(&page).stack.config.unwrap();
    assert_eq!((sources.files.len(), sources.dotenv.len()), (2, 1));
    assert_eq!(sources.table.unwrap().active, None);
}

/// So is that of the Vault.
#[test]
fn the_example_of_the_vault_loads() {
    let page = page("stack-file-vault.md");
    let vault = load_example(&page).stack.vault.unwrap();
    assert_eq!(vault.namespace.as_deref(), Some("team"));
    assert_eq!(vault.secrets.len(), 1);
}

/// So is what the page of secrets in a Vault shows, with its service.
#[test]
fn the_example_of_secrets_in_a_vault_loads() {
    let page = std::fs::read_to_string(repository().join("docs/reference/vault.md")).unwrap();
    let stack = load_text(&format!("name: shop\n{}", first_example(&page))).stack;
    let vault = stack.vault.unwrap();
    assert_eq!(vault.secrets["db_password"].path, "kv/data/mps");
    let service = stack.services.values().next().unwrap();
    assert_eq!(service.secrets[0].secret, "db_password");
}

/// Loads the chapter that a page shows first, in a stack with one service.
fn load_example(page: &str) -> Loaded {
    let example = first_example(page);
    load_text(&format!("name: shop\nservices:\n  api:\n    command: ./api\n{example}"))
}

fn page(name: &str) -> String {
    let found = tend_stackfile::pages().into_iter().find(|(of, _)| *of == name);
    found.unwrap().1
}

fn first_example(page: &str) -> &str {
    page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap()
}

fn load_text(text: &str) -> Loaded {
    let files = Memory::one("/s/stack.yml", text.as_bytes().to_vec());
    let loaded = load(&Input {
        files: &files,
        paths: vec!["/s/stack.yml".into()],
        environment: BTreeMap::new(),
        profiles: Vec::new(),
        name: None,
    });
    loaded.unwrap_or_else(|report| panic!("{report}"))
}
