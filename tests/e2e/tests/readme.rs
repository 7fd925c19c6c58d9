//! The terminal session in README.md is true: each of its commands is run, and prints what stands there.
//!
//! `UPDATE=1` writes the session anew. What differs from run to run (process ids, ports, times, codes) is not compared.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::{Machine, free_port, wait_until};

const BEGIN: &str = "<!-- transcript:begin -->\n";
const END: &str = "<!-- transcript:end -->";

/// Where the reader's clone is said to be.
const HOME: &str = "/home/ana";

/// Where tend keeps its state there.
const STATE: &str = "/home/ana/.local/state/tend";

/// The address in the stack file, which the session shows; the test listens elsewhere.
const ADDRESS: &str = "127.0.0.1:8080";

/// What a code for a payment starts with; hexadecimal digits follow.
const CODE: &str = "mps1";

#[test]
fn the_session_in_the_readme_is_true() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(&readme).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the README has a session");
    let (session, after) = rest.split_once(END).expect("the session ends");
    let session = session.trim().trim_start_matches("```").trim_end_matches("```");

    let terminal = Terminal::open();
    let mut live = String::new();
    for (command, expected) in exchanges(session) {
        let command = terminal.with_live_values(&command, &live);
        terminal.wait_until_settled(&command);
        let printed = terminal.run(&command);
        let (command, printed) = (terminal.as_a_reader_sees(&command), terminal.as_a_reader_sees(&printed));
        let blank = if live.is_empty() { "" } else { "\n" };
        write!(live, "{blank}$ {command}\n{printed}").unwrap();
        if std::env::var_os("UPDATE").is_none() {
            let (stands, is) = (comparable(&expected), comparable(&printed));
            assert_eq!(
                stands, is,
                "`{command}` printed\n{printed}\nUPDATE=1 rewrites the README"
            );
        }
    }
    assert!(
        live.contains("tend up") && live.contains("tend down"),
        "the session is a whole one"
    );
    if std::env::var_os("UPDATE").is_some() {
        let text = format!("{before}{BEGIN}```\n{live}```\n{END}{after}");
        std::fs::write(readme, text).unwrap();
    }
}

/// A shell in a clone of the repository.
struct Terminal {
    machine: Machine,
    clone: PathBuf,
    port: u16,
}

impl Terminal {
    fn open() -> Self {
        let machine = Machine::new("readme");
        let clone = machine.folder.join("tend-clone");
        let stack = clone.join("stacks/mps");
        std::fs::create_dir_all(&stack).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stacks/mps");
        std::fs::create_dir_all(stack.join("config/environments")).unwrap();
        for name in ["stack.yml", "config/schema.yaml", "config/environments/development.yml"] {
            std::fs::copy(source.join(name), stack.join(name)).unwrap();
        }
        let port = free_port();
        Self { machine, clone, port }
    }

    /// Runs a command line and returns what it printed.
    fn run(&self, line: &str) -> String {
        let path = std::env::var("PATH").unwrap();
        let output = self
            .machine
            .in_its_environment(Command::new("sh"))
            .args(["-c", line])
            .current_dir(&self.clone)
            .env("PATH", format!("{}:{path}", self.machine.folder.display()))
            .env("MPS_API", self.machine.folder.join("mps-api"))
            .env("MPS_LISTEN", format!("127.0.0.1:{}", self.port))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "`{line}` failed: {said}");
        let printed = String::from_utf8_lossy(&output.stdout);
        // Said once where there is no terminal; on one it stands in the line that is drawn again and again.
        let mut lines: Vec<&str> = printed.lines().filter(|line| !line.starts_with("  waits ")).collect();
        // The replicas come up, or end, in any order.
        lines
            .chunk_by_mut(|a, b| is_progress(a) && is_progress(b))
            .for_each(|chunk| {
                chunk.sort_by_key(|line| {
                    let mut words = line.split_whitespace().skip(1);
                    let stage = words.next().unwrap_or_default();
                    let order = ["start", "ready", "answered"].iter().position(|known| *known == stage);
                    (order, stage, words.next().unwrap_or_default())
                });
            });
        lines
            .iter()
            .fold(String::new(), |text, line| text + line.trim_end() + "\n")
    }

    /// Returns the README's command with this run's address, code and process in place of the README's.
    fn with_live_values(&self, command: &str, printed: &str) -> String {
        let mut command = command.replace(ADDRESS, &format!("127.0.0.1:{}", self.port));
        if let (Some(stands), Some(live)) = (code(&command).map(str::to_owned), last_code(printed)) {
            command = command.replace(&stands, live);
        }
        if command.starts_with("kill -9 ") {
            command = format!("kill -9 {}", self.machine.pids("mps", "api")[1]);
        }
        command
    }

    /// Waits until what a command shows will not change by itself.
    fn wait_until_settled(&self, command: &str) {
        if !(command.starts_with("tend status") || command.starts_with("tend events")) {
            return;
        }
        wait_until("three replicas are ready and were measured", || {
            let status = self.machine.json(&["status", "mps"]);
            let replicas = status["services"][0]["replicas"].as_array().unwrap();
            replicas.len() == 3
                && replicas
                    .iter()
                    .all(|replica| replica["state"] == "ready" && replica["memory_bytes"].is_number())
        });
        // The kernel tells the daemon of a death, not the one who killed.
        wait_until("a crash that was caused is known", || {
            !command.contains("replica.exited") || !self.machine.events("replica.exited").is_empty()
        });
    }

    /// Returns a text with the README's address and folder in place of this run's.
    fn as_a_reader_sees(&self, text: &str) -> String {
        let state = self.machine.folder.join("state").display().to_string();
        text.replace(&self.clone.display().to_string(), &format!("{HOME}/tend"))
            .replace(&state, STATE)
            .replace(&format!("127.0.0.1:{}", self.port), ADDRESS)
    }
}

fn is_progress(line: &str) -> bool {
    line.starts_with("  done ")
}

/// Returns the commands of a session, each with what stands below it. A command may go on after a `\` at a line's end.
fn exchanges(session: &str) -> Vec<(String, String)> {
    let mut exchanges: Vec<(String, String)> = Vec::new();
    let mut goes_on = false;
    for line in session.trim_start_matches('\n').lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            exchanges.push((command.to_owned(), String::new()));
        } else if let Some((command, _)) = exchanges.last_mut().filter(|_| goes_on) {
            command.push('\n');
            command.push_str(line);
        } else if let Some((_, printed)) = exchanges.last_mut() {
            printed.push_str(line);
            printed.push('\n');
        }
        goes_on = (goes_on || line.starts_with("$ ")) && line.ends_with('\\');
    }
    exchanges
}

fn code(text: &str) -> Option<&str> {
    let rest = &text[text.find(CODE)?..];
    let end = rest[CODE.len()..].find(|c: char| !c.is_ascii_hexdigit());
    Some(&rest[..end.map_or(rest.len(), |end| CODE.len() + end)])
}

fn last_code(text: &str) -> Option<&str> {
    code(&text[text.rfind(CODE)?..])
}

/// Returns the lines of an output without what differs from run to run.
fn comparable(printed: &str) -> Vec<String> {
    // Which replica served which request, and so what it wrote last, differs as well.
    let lines = printed
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("| "));
    lines
        .map(|line| {
            let json = line.starts_with('{');
            let separators = |c: char| c.is_whitespace() || "\"(),;{}".contains(c);
            let mut words: Vec<&str> = Vec::new();
            for word in line.split(separators).filter(|word| !word.is_empty()) {
                let word = if json {
                    without_codes(word)
                } else {
                    without_figures(word)
                };
                let unit = matches!(word, "ms" | "s") && words.last() == Some(&"#");
                // «1m 05s» is as «3 s», and a time that was not measured is as one that was.
                let again = word == "#" && words.last() == Some(&"#");
                if !unit && !again {
                    words.push(word);
                }
            }
            words.retain(|word| json || *word != "#");
            words.join(" ")
        })
        .collect()
}

/// Hides codes, identifiers and times in JSON; amounts are the same each time.
fn without_codes(word: &str) -> &str {
    let hexadecimal = |text: &str| text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for start in [CODE, "tx_"] {
        if word.strip_prefix(start).is_some_and(hexadecimal) {
            return start;
        }
    }
    let time = word.ends_with('Z') && word.contains('T') && word.starts_with("20");
    if time { "TIME" } else { word }
}

/// Hides figures: process ids, ports, times, memory, shares.
fn without_figures(word: &str) -> &str {
    let figure = |c: char| c.is_ascii_digit() || ".:%-smhTZ".contains(c);
    if word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(figure) {
        "#"
    } else {
        word
    }
}

#[test]
fn what_is_compared_tells_a_replica_that_is_ready_from_one_that_is_not() {
    let ready = "  1       ready             18069   20001   1m 05s          0   3.8 MB   0.0%";
    assert_eq!(comparable(ready), comparable(&ready.replace("1m 05s", "3s")));
    assert_eq!(comparable(ready), comparable(&ready.replace("18069", "7")));
    assert_ne!(comparable(ready), comparable(&ready.replace("ready", "starting")));
    let paid = r#"{"paid":1250,"transaction_id":"tx_01a1fe8292ee60c8d3b2bb4a854450f9"}"#;
    assert_eq!(comparable(paid), comparable(&paid.replace("01a1", "77a1")));
    assert_ne!(comparable(paid), comparable(&paid.replace("1250", "1251")));
}
