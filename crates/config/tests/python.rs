//! Readers that are not ours: what we render is read by them as what it is, and the JSON Schema judges as we do.
//!
//! Debian's Python has them as packages: PyYAML (YAML 1.1, the strictest about texts that look like something else), tomllib,
//! python-dotenv and jsonschema. In Rust they would be some sixty crates more in the lock file, for tests alone.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use tend_config::{Given, Origin, Row, Schema, Set, Value, json_schema, render};
use tend_core::model::FileFormat;

use crate::case::{common, layers, read};
use crate::mutation::Dice;

/// Runs a program of Python with a text as its input and returns what it prints.
fn python(program: &str, input: &str) -> String {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("/usr/bin/python3 is installed (./check names the packages)");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(
        output.status.success(),
        "python failed (./check names the packages it needs): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

const JUDGE: &str = r#"
import json, sys
import jsonschema
documents = json.loads(sys.stdin.readline())
for document in documents:
    jsonschema.Draft202012Validator.check_schema(document)
validator = jsonschema.Draft202012Validator(documents[0])
for line in sys.stdin:
    print("yes" if validator.is_valid(json.loads(line)) else "no")
"#;

/// Pieces that values are made of.
const VALUES: [&str; 48] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "5",
    "30",
    "3600",
    "3601",
    "64",
    "65535",
    "65536",
    "1.0",
    "1.5",
    "0.25",
    "0.3",
    "1e3",
    "1e20",
    "\"\"",
    "\"a\"",
    "\"demo\"",
    "\"fast\"",
    "\"12345678901234567890\"",
    "\"123456789012345678901\"",
    "\"é\"",
    "\"ab-12\"",
    "\"5s\"",
    "\"1m30s\"",
    "\"5\"",
    "\"1x\"",
    "\"10m\"",
    "\"1.5gb\"",
    "\"https://a.b\"",
    "\"https://\"",
    "\"ftp://a\"",
    "\"wss://a/b?c\"",
    "\"https://u:p@a\"",
    "\"https://u@a\"",
    "\"a@b.c\"",
    "\"a@b\"",
    "\"10.0.0.1\"",
    "\"10.0.0.256\"",
    "\"2026-11-22\"",
    "\"2026-13-22\"",
    "\"sqlite:x\"",
    "{}",
    "[]",
];

/// One key for each keyword.
const KEYWORDS: &str = r"
keys:
  a.text: { type: string }
  a.length: { type: string, minLength: 1, maxLength: 20 }
  a.pattern: { type: string, pattern: '^[a-z]+-\d+$' }
  a.part: { type: string, pattern: '[0-9]s' }
  a.email: { type: string, format: email }
  a.both: { type: string, format: hostname, pattern: '\.' }
  a.ipv4: { type: string, format: ipv4 }
  a.date: { type: string, format: date }
  a.enum: { type: string, enum: [demo, fast] }
  b.whole: { type: integer }
  b.range: { type: integer, minimum: 1, maximum: 65535 }
  b.step: { type: integer, multipleOf: 5 }
  b.enum: { type: integer, enum: [1, 30] }
  c.number: { type: number }
  c.between: { type: number, exclusiveMinimum: 0, exclusiveMaximum: 64 }
  c.step: { type: number, multipleOf: 0.25 }
  d.switch: { type: boolean }
  e.seconds: { type: duration, unit: s }
  e.text: { type: duration }
  e.size: { type: size, unit: b }
  e.sized: { type: size }
  f.any: { type: url }
  f.web: { type: url, schemes: [https, wss] }
  f.mixed: { type: url, schemes: [sqlite, https] }
  g.texts: { type: list, items: { type: string, maxLength: 2 }, minItems: 1, maxItems: 2 }
  g.numbers: { type: list, items: { type: number, minimum: 1 }, uniqueItems: true }
  g.urls: { type: list, items: { type: url, schemes: [https] } }
  g.objects: { type: list, items: { type: object } }
  h.any: { type: object }
  h.numbers: { type: object, additionalProperties: { type: integer, maximum: 30 } }
";

#[test]
fn json_schema_and_we_judge_the_same_values_alike() {
    let schema = Schema::parse("config/schema.yaml", KEYWORDS).unwrap_or_else(|report| panic!("{report}"));
    let mut dice = Dice(0x7E4D_0304);
    let mut input = Vec::new();
    let mut ours = Vec::new();
    for key in schema.keys.keys() {
        let mut values: Vec<String> = VALUES.iter().map(|value| (*value).to_owned()).collect();
        for _ in 0..40 {
            let (a, b) = (*dice.pick(&VALUES), *dice.pick(&VALUES));
            values.push(format!("[{a}, {b}]"));
            values.push(format!("[{a}]"));
            values.push(format!("{{\"a\": {a}, \"b\": {b}}}"));
            values.push(format!("[{{\"a\": {a}}}]"));
        }
        for value in values {
            let row = Row {
                key: key.clone(),
                value: value.clone(),
                is_active: true,
                updated_at: None,
                updated_by: None,
            };
            let table = Origin::Table {
                name: "t".to_owned(),
                rows: vec![row],
            };
            ours.push((
                key.clone(),
                value.clone(),
                Set::build(&schema, &layers("production", vec![table])).is_ok(),
            ));
            // Nested, as files mostly are, and with dots.
            let (group, word) = key.split_once('.').unwrap();
            input.push(if dice.below(2) == 0 {
                format!("{{\"{group}\": {{\"{word}\": {value}}}}}")
            } else {
                format!("{{\"{key}\": {value}}}")
            });
        }
    }
    let mut documents = vec![json_schema(&schema), json_schema(&common())];
    for path in [
        "stacks/mps/config/schema.yaml",
        "docs/examples/config/tron-bot.schema.yaml",
    ] {
        documents.push(json_schema(&Schema::parse(path, &read(path)).unwrap()));
    }
    let head = serde_json::to_string(&documents).unwrap();
    let printed = python(JUDGE, &format!("{head}\n{}\n", input.join("\n")));
    let theirs: Vec<bool> = printed.lines().map(|line| line == "yes").collect();
    assert_eq!(theirs.len(), ours.len());
    let differ: Vec<String> = ours
        .iter()
        .zip(&theirs)
        .filter(|((_, _, ours), theirs)| ours != *theirs)
        .map(|((key, value, ours), theirs)| format!("{key}: {value}: we {ours}, JSON Schema {theirs}"))
        .collect();
    assert!(
        differ.is_empty(),
        "{} of {}:\n{}",
        differ.len(),
        ours.len(),
        differ.join("\n")
    );
    let taken = theirs.iter().filter(|yes| **yes).count();
    assert!(
        taken > ours.len() / 20 && taken < ours.len() * 19 / 20,
        "{taken} of {}",
        ours.len()
    );
}

/// Prints one line of JSON for each file read, numbers as texts in a form of their own.
const READ: &str = r#"
import io, json, sys, tomllib
from decimal import Decimal
import dotenv, yaml

class Loader(yaml.SafeLoader):
    pass
Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: Decimal(loader.construct_scalar(node)))

def plain(value):
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, bool) or isinstance(value, str):
        return value
    return {"number": format(Decimal(value).normalize(), "f")}

for line in sys.stdin:
    form, text = json.loads(line)
    if form == "json":
        value = json.loads(text, parse_float=Decimal)
    elif form == "yaml":
        value = yaml.load(text, Loader)
    elif form == "toml":
        value = tomllib.loads(text, parse_float=Decimal)
    else:
        value = dotenv.dotenv_values(stream=io.StringIO(text), interpolate=False)
    print(json.dumps(plain(value)))
"#;

/// Texts that readers are known to stumble over.
const TEXTS: [&str; 34] = [
    "",
    " ",
    "a",
    "no",
    "yes",
    "on",
    "y",
    "null",
    "~",
    "true",
    "1",
    "1.5",
    "1_000",
    "0x1f",
    "22:22",
    "2026-11-22",
    "#x",
    "a # b",
    "a: b",
    "- a",
    "[a",
    "{a",
    "\"",
    "a\"b'c",
    "'",
    "\\",
    "a\\nb",
    "a\nb",
    "a\tb",
    "é 支 😀",
    "$HOME ${HOME} $$",
    "\u{2028}\u{feff}",
    "=a=b",
    "`",
];

fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(switch) => (*switch).into(),
        Value::Number(number) => serde_json::json!({"number": number.to_string()}),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
    }
}

fn nested(values: &BTreeMap<String, Given>) -> serde_json::Value {
    let mut root = serde_json::json!({});
    for (key, given) in values {
        let Given::Plain(value) = given else { panic!("{key}") };
        let mut at = &mut root;
        for word in key.split('.') {
            at = at
                .as_object_mut()
                .unwrap()
                .entry(word)
                .or_insert_with(|| serde_json::json!({}));
        }
        *at = plain(value);
    }
    root
}

#[test]
fn what_is_rendered_is_read_as_what_it_is_by_others() {
    let schema = common();
    let mut dice = Dice(0x7E4D_0305);
    let numbers = [
        "0",
        "-1",
        "3000",
        "0.5",
        "-0.00001",
        "1000000000000.000000001",
        "9007199254740993",
    ];
    let mut input = String::new();
    let mut wanted = Vec::new();
    for round in 0..300 {
        let scalar = |dice: &mut Dice| match dice.below(4) {
            0 => Value::Bool(dice.below(2) == 0),
            1 => Value::Number(tend_config::Decimal::parse(dice.pick::<&str>(&numbers)).unwrap()),
            _ => Value::Text(format!(
                "{}{}",
                dice.pick(&TEXTS),
                if dice.below(3) == 0 { *dice.pick(&TEXTS) } else { "" }
            )),
        };
        let mut values = BTreeMap::new();
        for key in [
            "zeta",
            "app.name",
            "app.on",
            "app.deep.er",
            "cache.ttl",
            "no.yes",
            "labels",
            "peers",
        ] {
            let value = match key {
                "labels" => Value::Map(
                    (0..dice.below(3))
                        .map(|_| (dice.pick(&TEXTS).to_string(), scalar(&mut dice)))
                        .collect(),
                ),
                "peers" => Value::List((0..dice.below(3)).map(|_| scalar(&mut dice)).collect()),
                _ => scalar(&mut dice),
            };
            values.insert(key.to_owned(), Given::Plain(value));
        }
        for (format, name) in [
            (FileFormat::Json, "json"),
            (FileFormat::Yaml, "yaml"),
            (FileFormat::Toml, "toml"),
            (FileFormat::Dotenv, "dotenv"),
        ] {
            let text = render(&schema, &values, format).unwrap().expose().to_owned();
            assert_eq!(
                text,
                render(&schema, &values, format).unwrap().expose(),
                "the same bytes"
            );
            input.push_str(&serde_json::to_string(&(name, &text)).unwrap());
            input.push('\n');
            let is = if format == FileFormat::Dotenv {
                let variables = tend_config::environment(&schema, &values).unwrap();
                variables
                    .into_iter()
                    .map(|(name, value)| (name, serde_json::Value::from(value.expose())))
                    .collect()
            } else {
                nested(&values)
            };
            wanted.push((round, name, text, is));
        }
    }
    let printed = python(READ, &input);
    let read: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read.len(), wanted.len());
    let mut left_out = 0;
    for ((round, name, text, wanted), read) in wanted.iter().zip(&read) {
        // What no two readers of dotenv agree on; the test below reads it as Compose does.
        if *name == "dotenv" && text.contains("\\\\") {
            left_out += 1;
            continue;
        }
        assert_eq!(read, wanted, "round {round}, {name}:\n{text}");
    }
    assert!(left_out < 100, "{left_out}");
}

#[test]
fn our_own_reader_reads_the_dotenv_we_write() {
    let schema = Schema::parse("s", "keys:\n  a.text: { type: string }\n").unwrap();
    for text in TEXTS.into_iter().filter(|text| !text.is_empty()) {
        let values = [("a.text".to_owned(), Given::Plain(Value::Text(text.to_owned())))].into();
        let written = render(&schema, &values, FileFormat::Dotenv)
            .unwrap()
            .expose()
            .to_owned();
        let dotenv = Origin::Dotenv {
            path: ".env".to_owned(),
            text: written.clone(),
        };
        let set = Set::build(&schema, &layers("production", vec![dotenv])).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(set.entries["a.text"].held.to_string(), text, "{written}");
    }
}
