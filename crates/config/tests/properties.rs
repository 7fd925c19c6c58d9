//! What holds for every set, tried with made-up layers.

use std::collections::BTreeMap;

use tend_base::{Mono, Now, Wall};
use tend_config::{Candidate, Diff, Held, Origin, Revision, Row, Set, SetEntry, SetLayer, Standing, Taken, take};

use crate::case::{common, layers};
use crate::mutation::Dice;

const ROUNDS: usize = 600;

/// Keys with values they take, and one they do not.
const KEYS: [(&str, [&str; 4], &str); 9] = [
    ("app.port", ["1", "80", "8080", "65535"], "65536"),
    ("app.debug", ["true", "false", "true", "false"], "7"),
    ("cache.ttl", ["5", "60", "\"2m\"", "3600"], "3601"),
    ("cache.size", ["1", "64", "\"1g\"", "128"], "\"1x\""),
    ("price.slippage", ["0.05", "0.5", "1.25", "5"], "0.07"),
    ("price.wei", ["0", "1", "150000000000000000000", "7"], "1.5"),
    ("app.name", ["\"a\"", "\"b c\"", "\"é\"", "\"$$x\""], "\"\""),
    (
        "peers",
        ["[]", "[\"https://a\"]", "[\"https://a\", \"wss://b\"]", "[\"wss://c\"]"],
        "[\"https://a\", \"https://a\"]",
    ),
    (
        "labels",
        ["{}", "{\"a\": \"b\"}", "{\"a\": \"c\", \"d\": \"e\"}", "{\"x\": \"\"}"],
        "{\"a\": 1}",
    ),
];

/// What the layers say about a key, lowest first; nothing unsets.
type Model = BTreeMap<&'static str, Vec<Option<String>>>;

/// Makes layers up: files, rows and commands, each with some of the keys. Returns what they say besides.
fn made_up(dice: &mut Dice) -> (Vec<Origin>, Model) {
    let mut model = Model::new();
    let mut origins = Vec::new();
    let mut say = |dice: &mut Dice, most: usize| {
        let mut said = Vec::new();
        for (key, values, _) in KEYS {
            if dice.below(10) < most {
                let value = if dice.below(8) == 0 {
                    None
                } else {
                    Some((*dice.pick(&values)).to_owned())
                };
                model.entry(key).or_default().push(value.clone());
                said.push((key, value));
            }
        }
        said
    };
    for number in 0..2 {
        let said = say(dice, 5);
        let mut text: String = said
            .iter()
            .map(|(key, value)| format!("{key}: {}\n", value.as_deref().unwrap_or("null")))
            .collect();
        if text.is_empty() {
            text.push_str("{}\n");
        }
        origins.push(Origin::File {
            path: format!("file-{number}.yml"),
            text,
        });
    }
    let rows = say(dice, 4).into_iter().map(|(key, value)| Row {
        key: key.to_owned(),
        value: value.unwrap_or_else(|| "null".to_owned()).replace("$$", "$"),
        is_active: true,
        updated_at: None,
        updated_by: None,
    });
    origins.push(Origin::Table {
        name: "system_config".to_owned(),
        rows: rows.collect(),
    });
    let set = say(dice, 3).into_iter().map(|(key, value)| {
        // A command is given text, not JSON.
        let text = value.map(|value| value.trim_matches('"').replace("$$", "$"));
        let entry = SetEntry {
            text,
            who: "ana".to_owned(),
            when: Wall(0),
        };
        (key.to_owned(), entry)
    });
    origins.push(Origin::Set(SetLayer(set.collect())));
    // In any order: the layers know theirs, and of two files the later stays the later.
    if dice.below(2) == 0 {
        origins.rotate_left(2);
    }
    (origins, model)
}

fn environment() -> &'static str {
    "development"
}

fn held(set: &Set) -> BTreeMap<String, Held> {
    set.entries
        .iter()
        .map(|(key, entry)| (key.clone(), entry.held.clone()))
        .collect()
}

#[test]
fn the_highest_layer_wins_and_why_says_so() {
    let schema = common();
    let mut dice = Dice(0x7E4D_0301);
    for round in 0..ROUNDS {
        let (origins, model) = made_up(&mut dice);
        let set = Set::build(&schema, &layers(environment(), origins))
            .unwrap_or_else(|report| panic!("round {round}: {report}"));
        for (key, said) in &model {
            let why = set.why(key);
            // Said once alone, it is what is wanted.
            let wanted = said.last().cloned().flatten().map(|value| {
                let text = format!("{key}: {value}\n");
                let alone = vec![Origin::File {
                    path: "alone.yml".to_owned(),
                    text,
                }];
                held(&Set::build(&schema, &layers(environment(), alone)).unwrap())[*key].clone()
            });
            let default = schema.keys[*key].default.clone().map(Held::Value);
            assert_eq!(
                why.map(|why| why.entry.held.clone()),
                wanted.or(default.clone()),
                "round {round}: {key} {said:?}"
            );
            if let Some(why) = why {
                let layers = said.len() + usize::from(default.is_some());
                assert_eq!(why.entry.beneath.len() + 1, layers, "round {round}: {key}");
            }
        }
    }
}

#[test]
fn a_set_with_one_violation_is_never_taken() {
    let schema = common();
    let mut dice = Dice(0x7E4D_0302);
    let good = Set::build(&schema, &layers(environment(), Vec::new())).unwrap();
    let current = Revision::of(&good, 1, Wall(0), "ana");
    for round in 0..ROUNDS {
        let (mut origins, _) = made_up(&mut dice);
        let (key, _, bad) = dice.pick(&KEYS);
        // In the lowest layer, where anything may lie above it.
        origins.insert(
            0,
            Origin::File {
                path: "bad.yml".to_owned(),
                text: format!("{key}: {bad}\n"),
            },
        );
        let built = Set::build(&schema, &layers(environment(), origins));
        let report = built
            .as_ref()
            .err()
            .unwrap_or_else(|| panic!("round {round}: {key}: {bad} was accepted"));
        assert_eq!(report.errors(), 1, "round {round}: {report}");
        let standing = Standing {
            current: Some(&current),
            waiting: None,
            schema: &schema,
            running: &[],
            boot: "boot",
        };
        let candidate = Candidate {
            outcome: built.as_ref(),
            who: "ana",
            confirm: None,
        };
        let now = Now {
            mono: Mono(1),
            wall: Wall(1),
        };
        assert!(
            matches!(take(&standing, &candidate, now), Taken::Refused(_)),
            "round {round}"
        );
    }
}

#[test]
fn a_difference_applied_gives_the_other() {
    let schema = common();
    let mut dice = Dice(0x7E4D_0303);
    for round in 0..ROUNDS {
        let mut build = || {
            let (origins, _) = made_up(&mut dice);
            Set::build(&schema, &layers(environment(), origins)).unwrap()
        };
        let (before, after) = (build(), build());
        let diff = Diff::between(&before.entries, &after.entries);
        let stored: Diff = serde_json::from_str(&serde_json::to_string(&diff).unwrap()).unwrap();
        assert_eq!(stored, diff);
        let mut entries = before.entries.clone();
        stored.apply(&mut entries);
        let applied: BTreeMap<String, Held> = entries
            .iter()
            .map(|(key, entry)| (key.clone(), entry.held.clone()))
            .collect();
        assert_eq!(applied, held(&after), "round {round}");
        assert_eq!(diff.is_empty(), held(&before) == held(&after));
        assert!(Diff::between(&entries, &after.entries).is_empty());
    }
}
