//! The compose files of the guides: three load, and the one with an undefined network is refused as Compose refuses it.

use std::collections::BTreeMap;

use tend_core::model::{Replicas, Workload};
use tend_stackfile::{Input, Loaded, Report, load};

use crate::disk::{Memory, repository};

/// The guides, with how many compose files each has.
const GUIDES: [(&str, usize); 3] = [
    ("000_493e775e3ce3d9a0.txt", 2),
    ("002_20591e9ebc90018b.txt", 1),
    ("003_b7ace870a7a6bd72.txt", 1),
];

/// Returns the fenced YAML blocks of a text that have `services:` at the top level.
fn compose_files(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match &mut block {
            None if line == "```yaml" => block = Some(String::new()),
            None => {}
            Some(lines) if line.starts_with("```") => {
                if lines.lines().any(|line| line == "services:") {
                    found.push(std::mem::take(lines));
                }
                block = None;
            }
            Some(lines) => {
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }
    found
}

fn try_load(text: &str) -> Result<Loaded, Report> {
    let files = Memory::one("/guide/docker-compose.yml", text);
    load(&Input {
        files: &files,
        paths: vec!["/guide/docker-compose.yml".into()],
        environment: BTreeMap::new(),
        profiles: Vec::new(),
        name: None,
    })
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that did not run says so by name")]
fn three_of_the_guides_load_and_the_one_with_an_undefined_network_is_refused() {
    // The folder stands beside the checkout, or beside the checkout this work tree belongs to.
    let Some(folder) = repository()
        .ancestors()
        .skip(1)
        .map(|parent| parent.join("shared/guides"))
        .find(|folder| folder.is_dir())
    else {
        eprintln!(
            "NOT RUN: three_of_the_guides_load_and_the_one_with_an_undefined_network_is_refused: no ../shared/guides"
        );
        return;
    };
    let mut files = Vec::new();
    for (name, count) in GUIDES {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let found = compose_files(&text);
        assert_eq!(found.len(), count, "{name}");
        files.extend(found);
    }
    let [bot, scaled, exchange, payments] = &files[..] else {
        panic!("{} files", files.len());
    };

    let bot = try_load(bot).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(bot.stack.services.len(), 6);
    assert!(unset(&bot, "DB_PASSWORD") && unset(&bot, "REDIS_PASSWORD"));
    let redis = &bot.stack.services[&"redis".parse().unwrap()];
    assert_eq!(redis.resources.memory_max, Some(256 << 20));
    assert!(matches!(redis.workload, Workload::Container { .. }));

    let refused = try_load(scaled).unwrap_err().to_string();
    assert!(
        refused.contains("service `app` refers to the undefined network `app-network`"),
        "{refused}"
    );
    assert!(
        refused.contains("service `nginx` refers to the undefined network `app-network`"),
        "{refused}"
    );

    let exchange = try_load(exchange).unwrap_or_else(|report| panic!("{report}"));
    let said: Vec<&str> = exchange.notes.iter().map(|note| note.message.as_str()).collect();
    // The database is called `mongodb`, three services look for `mongo`.
    for service in ["social-service", "data-service", "notification-service"] {
        let wanted = format!("`{service}` is to reach the host `mongo`, which is no service of this stack");
        assert!(said.contains(&wanted.as_str()), "{said:#?}");
    }

    let payments = try_load(payments).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(
        payments.stack.services[&"app".parse().unwrap()].replicas,
        Replicas::Count(3)
    );
    let said: Vec<&str> = payments.notes.iter().map(|note| note.message.as_str()).collect();
    assert!(
        said.contains(&"port 3000 of the machine can go to one of the replicas of `app` only"),
        "{said:#?}"
    );
}

fn unset(loaded: &Loaded, name: &str) -> bool {
    let wanted = format!("the variable `{name}` is not set; it counts as empty");
    loaded.notes.iter().any(|note| note.message == wanted)
}

#[test]
fn blocks_are_taken_out_of_a_guide() {
    let text = "```yaml\nservices:\n  a: 1\n```\n```yaml\nscrape:\n  services:\n```\n```bash\nservices:\n```\n";
    assert_eq!(compose_files(text), ["services:\n  a: 1\n"]);
}
