//! Feeds templates whatever libFuzzer makes up: each is read or refused at a place that is there, and rendering it ends within its limits.
//!
//! `crates/template/tests/replay.rs` replays `fuzz/corpus/template` on the stable compiler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tend_template::{Dialect, Escape, Limits, ListKind, Still, Templates, Value};

fuzz_target!(|bytes: &[u8]| {
    let (how, text) = bytes.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
    let text = String::from_utf8_lossy(text);
    let dialect = if how & 1 == 0 { Dialect::Prometheus } else { Dialect::Alertmanager };
    let escape = if how & 2 == 0 { Escape::Text } else { Escape::Html };
    let mut templates = Templates::new(dialect).with_variables(&["value", "labels"]);
    let lines = text.matches('\n').count() + 1;
    if let Err(error) = templates.add("t", &text) {
        let place = error.place().expect("a fault has a place");
        assert!(place.column >= 1 && (1..=lines).contains(&(place.line as usize)), "no such place: {error}");
        return;
    }
    let labels = Value::labels([("alertname", "A"), ("job", "b")]);
    let alert = Value::structure("Alert", vec![("Status", "status", "firing".into()), ("Labels", "labels", labels.clone())]);
    let data = Value::structure("Data", vec![("Alerts", "alerts", Value::list(vec![alert], ListKind::Alerts))]);
    let limits = Limits { bytes: 5000, steps: 2000, depth: 8 };
    let variables = [("value", Value::Float(1.5)), ("labels", labels)];
    if let Ok(text) = templates.render("t", &data, &variables, &mut Still::default(), escape, limits) {
        assert!(text.len() <= limits.bytes);
    }
});
