//! The doors beside Debian's Alertmanager: alerts and silences told to both, and what each answers compared.
//!
//! Not compared: names that each side makes up, moments, the order of receivers, and the words of a refusal. That something is refused, with
//! which status and which code of the framework, is.

use std::time::{Duration, Instant};

use serde_json::Value;
use tend_base::Wall;

use crate::peer::Peer;
use crate::world::{Clock, World, wall};

/// Many times what the other side takes to do what it does later.
const SETTLES_WITHIN: Duration = Duration::from_secs(20);

/// Asks: method, target and body give status and body.
type Ask<'a> = dyn Fn(&str, &str, &[u8]) -> (u16, Vec<u8>) + 'a;

/// One side: how it is asked, and the silences it made.
struct Side<'a> {
    ask: &'a Ask<'a>,
    silences: Vec<String>,
}

impl Side<'_> {
    fn tell(&mut self, line: &str) -> (u16, Value, String) {
        let mut line = line.to_owned();
        for (at, id) in self.silences.iter().enumerate().rev() {
            line = line.replace(&format!("${}", at + 1), id);
        }
        let mut parts = line.splitn(3, ' ');
        let (method, target) = (parts.next().expect("a method"), parts.next().expect("a target"));
        let body = parts.next().unwrap_or_default();
        let (status, said) = (self.ask)(method, target, body.as_bytes());
        let text = String::from_utf8_lossy(&said).into_owned();
        let mut value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if let Some(id) = value.get("silenceID").and_then(Value::as_str)
            && !self.silences.iter().any(|known| known == id)
        {
            self.silences.push(id.to_owned());
        }
        self.normalise(&mut value);
        if status >= 400 {
            // What cannot be read, and which method would do, is said in other words; a text alone is always in our own.
            if let Some(message) = value.get_mut("message").and_then(|message| match message {
                Value::String(text) => Some(text),
                _ => None,
            }) {
                let end = [", because", ", but ["]
                    .iter()
                    .filter_map(|words| message.find(words))
                    .min();
                message.truncate(end.unwrap_or(message.len()));
            }
            if value.is_string() {
                value = Value::String("refused".to_owned());
            }
        }
        if let Some(list) = value.as_array_mut() {
            match target {
                "/api/v2/receivers" => list.sort_by_key(Value::to_string),
                // Two that ended within a millisecond are in no order.
                _ => list.sort_by_key(|one| match &one["status"]["state"] {
                    state if state == "expired" => (true, one["id"].to_string()),
                    _ => (false, String::new()),
                }),
            }
        }
        (status, value, text)
    }

    /// Names that each side makes up become those of their order; times that are of the moment are left out.
    fn normalise(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("updatedAt");
                // 0.25 does not know it.
                map.remove("mutedBy");
                // A silence that was to begin in the past begins now, one that was ended ends now.
                if map.contains_key("createdBy") {
                    let state = map["status"]["state"].as_str().unwrap_or_default().to_owned();
                    if state != "pending" {
                        map.remove("startsAt");
                    }
                    if state == "expired" {
                        map.remove("endsAt");
                    }
                }
                map.values_mut().for_each(|value| self.normalise(value));
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.normalise(value)),
            Value::String(text) => {
                for (at, id) in self.silences.iter().enumerate() {
                    *text = text.replace(id, &format!("silence {}", at + 1));
                }
            }
            _ => {}
        }
    }
}

/// Puts times in.
fn times(line: &str, now: i64) -> String {
    let mut out = line.to_owned();
    let offsets = [
        "-400", "-200", "-60", "-50", "-40", "-30", "-10", "-5", "-4", "-1", "5", "60", "600", "900", "3600", "4000",
        "7200",
    ];
    for offset in offsets {
        let seconds = now / 1000 + offset.parse::<i64>().expect("seconds");
        let text = Wall(seconds.unsigned_abs() * 1000).to_rfc3339();
        out = out.replace(&format!("{{{offset}}}"), &text);
    }
    out
}

#[test]
fn what_alertmanager_answers_is_answered() {
    let world = World::new(Clock::Goes);
    let peer = Peer::alertmanager();
    let json = [("Content-Type", "application/json")];
    let ask_us = |method: &str, target: &str, body: &[u8]| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let response = world.ask(method, path, query, &json, body);
        (response.status, response.body)
    };
    let ask_them = |method: &str, target: &str, body: &[u8]| {
        let answer = peer.ask(method, target, &json, body);
        answer.unwrap_or_else(|| panic!("no answer to {method} {target}"))
    };
    let mut ours = Side {
        ask: &ask_us,
        silences: Vec::new(),
    };
    let mut theirs = Side {
        ask: &ask_them,
        silences: Vec::new(),
    };
    let now = wall();
    let mut faults = Vec::new();
    let lines = include_str!("requests/alertmanager.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    for line in lines {
        let line = times(line, now);
        let (mut us, mut them) = (ours.tell(&line), theirs.tell(&line));
        // Theirs groups and inhibits some time after an alert was taken.
        let begun = Instant::now();
        while line.starts_with("GET ") && (us.0, &us.1) != (them.0, &them.1) && begun.elapsed() < SETTLES_WITHIN {
            std::thread::sleep(Duration::from_millis(20));
            (us, them) = (ours.tell(&line), theirs.tell(&line));
        }
        if (us.0, &us.1) != (them.0, &them.1) {
            faults.push(format!(
                "{line}\n  ours   {} {:.900}\n  theirs {} {:.900}",
                us.0, us.2, them.0, them.2
            ));
        }
    }
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
}
