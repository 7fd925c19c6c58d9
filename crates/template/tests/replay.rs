//! Whatever the bytes, a template is read or refused, and rendering it ends.

use std::fs;
use std::path::Path;

use tend_template::{Dialect, Escape, Limits, ListKind, Still, Templates, Value};

/// What the fuzz target does with an input: the first byte chooses dialect and escaping, the rest is the template.
fn judge(bytes: &[u8]) -> bool {
    let (how, text) = bytes.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
    let text = String::from_utf8_lossy(text);
    let dialect = if how & 1 == 0 {
        Dialect::Prometheus
    } else {
        Dialect::Alertmanager
    };
    let escape = if how & 2 == 0 { Escape::Text } else { Escape::Html };
    let mut templates = Templates::new(dialect).with_variables(&["value", "labels"]);
    let lines = text.matches('\n').count() + 1;
    if let Err(error) = templates.add("t", &text) {
        let place = error.place().expect("a fault has a place");
        assert!(
            place.column >= 1 && (1..=lines).contains(&(place.line as usize)),
            "no such place: {error}"
        );
        return false;
    }
    let labels = Value::labels([("alertname", "A"), ("job", "b")]);
    let alert = Value::structure(
        "Alert",
        vec![
            ("Status", "status", "firing".into()),
            ("Labels", "labels", labels.clone()),
        ],
    );
    let data = Value::structure(
        "Data",
        vec![("Alerts", "alerts", Value::list(vec![alert], ListKind::Alerts))],
    );
    let limits = Limits {
        bytes: 5000,
        steps: 2000,
        depth: 8,
    };
    let variables = [("value", Value::Float(1.5)), ("labels", labels)];
    match templates.render("t", &data, &variables, &mut Still::default(), escape, limits) {
        Ok(text) => assert!(text.len() <= limits.bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    true
}

#[test]
fn fuzz_corpus_template() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/template");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).expect("fuzz/corpus/template") {
        judge(&fs::read(entry.expect("an entry").path()).expect("an input"));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}

const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{- ",
    " -}}",
    "{{/*",
    "*/}}",
    "if ",
    "else",
    "end",
    "range ",
    "with ",
    "define ",
    "block ",
    "template ",
    "break",
    "$x",
    "$value",
    ":=",
    "=",
    "|",
    "(",
    ")",
    ".",
    ".Alerts",
    ".Labels",
    "\"a\"",
    "`b`",
    "'c'",
    "1",
    "1.5",
    "-2",
    " ",
    ",",
    "printf ",
    "\"%v %5.2f\"",
    "index ",
    "len ",
    "print ",
    "true",
    "nil",
    "中",
    "<a href=",
    "<script>",
    "\"",
    "\n",
    "humanize ",
    "tmpl ",
    "slice ",
    "eq ",
    "{{ end }}",
    "{{ if .Alerts }}",
    "{{ range .Alerts }}",
    "{{ $value }}",
    "{{ $x := 1 }}",
    "html ",
    "date ",
    "dict ",
    "list ",
];

#[test]
fn no_bytes_make_it_panic() {
    // Pieces of the grammar in any order reach further than bytes alone.
    let mut state = 0x5eed_u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    let mut rendered = 0;
    for _ in 0..20_000 {
        let mut bytes = vec![u8::try_from(next(4)).unwrap_or(0)];
        for _ in 0..next(12) {
            bytes.extend_from_slice(PIECES[next(PIECES.len())].as_bytes());
        }
        rendered += usize::from(judge(&bytes));
    }
    assert!(rendered > 500, "only {rendered} of 20 000 were templates");
}
