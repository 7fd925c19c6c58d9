//! Transcripts: what is typed, what the daemon is asked (`asked|`), what is shown, and the exit code. `UPDATE=1` writes them anew.
//!
//! In `tests/transcripts/*.txt` a line `$ tend …` is typed; `# scene NAME`, `# in FOLDER` and `# terminal` say in what surroundings.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::fake::{Fake, Scene};
use crate::folder::Folder;
use crate::typed::Typist;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// Plays the transcript and returns it as it is now.
fn played(script: &str) -> String {
    let stacks = PathBuf::from(TESTS).join("stacks");
    let nowhere = Folder::new();
    let mut fake: Option<Fake> = None;
    let mut directory = stacks.clone();
    let mut terminal = false;
    let mut played = String::new();
    for line in script.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            match words.split_once(' ').unwrap_or((words, "")) {
                ("scene", "none") => fake = None,
                ("scene", "empty") => fake = Some(Fake::start(Scene::Empty, &stacks)),
                ("scene", "one") => fake = Some(Fake::start(Scene::One, &stacks)),
                ("scene", "two") => fake = Some(Fake::start(Scene::Two, &stacks)),
                ("in", folder) => directory = stacks.join(folder),
                ("terminal", _) => terminal = true,
                _ => {}
            }
            writeln!(played, "{line}").unwrap();
        }
        let Some(command) = line.strip_prefix("$ tend") else {
            continue;
        };
        let run = fake.as_ref().map_or(nowhere.path(), Fake::run);
        let mut typist = Typist::at(run, &directory);
        typist.terminal = terminal;
        let words = words(command);
        let outcome = typist.types(&words.iter().map(String::as_str).collect::<Vec<_>>());
        writeln!(played, "\n{line}").unwrap();
        let asked = fake.as_ref().map(Fake::asked).unwrap_or_default();
        let places = |text: &str| {
            shown(text)
                .replace(&stacks.display().to_string(), "[stacks]")
                .replace(&run.display().to_string(), "[run]")
        };
        for line in asked {
            writeln!(played, "asked| {}", places(&line)).unwrap();
        }
        for line in places(&outcome.stdout).lines() {
            writeln!(played, "| {line}").unwrap();
        }
        for line in places(&outcome.stderr).lines() {
            writeln!(played, "stderr| {line}").unwrap();
        }
        if outcome.code != 0 {
            writeln!(played, "exit {}", outcome.code).unwrap();
        }
    }
    played
}

/// Makes visible what moves the cursor or paints.
fn shown(text: &str) -> String {
    text.replace('\u{1b}', "\\e").replace('\r', "\\r")
}

/// Splits as a shell does, as far as the transcripts need: blanks, and quotes that keep them.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn transcripts() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(Path::new(TESTS).join("transcripts"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_transcript_is_as_it_was() {
    let mut different = Vec::new();
    for path in transcripts() {
        let script = std::fs::read_to_string(&path).unwrap();
        let now = played(&script);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &now).unwrap();
        } else if now != script {
            different.push(format!("{}\n{now}", path.display()));
        }
    }
    assert!(
        different.is_empty(),
        "run with UPDATE=1 if this is meant:\n{}",
        different.join("\n")
    );
}

#[test]
fn every_command_stands_in_a_transcript() {
    let all: String = transcripts()
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    // Attached to a real terminal and a real process, see `attached`.
    let elsewhere = ["run", "exec", "completions", "man", "schema"];
    for command in tend_cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(
            elsewhere.contains(&name) || all.contains(&format!("$ tend {name}")),
            "{name} has no transcript"
        );
    }
}
