//! `cargo xtask conformance`: what is held against programs and cases of others that are not everywhere, so none of it is part of `ci`.
//!
//! `websocket`: the cases of a public test suite, at a server and at the same server behind the edge. Owns how suite, server and edge are
//! brought together, and the comparison. `tests/conformance/websocket.py` has the suite.
//!
//! `vault`: the scenarios of `crates/vault` at OpenBao itself.
//!
//! `promql`: Prometheus' acceptance cases, by the example of `crates/promql`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::error::Error;
use crate::process;

/// Framing, pings, reserved bits, opcodes, fragments, UTF-8, closing. Others, such as 9 (large messages) and 12 (compression), by name.
const USUAL: [&str; 7] = ["1", "2", "3", "4", "5", "6", "7"];

/// How long the edge may take to listen.
const UP_WITHIN: Duration = Duration::from_secs(10);

/// A process that does not outlive the comparison.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Case by case: how it went, and how it ended.
type Results = BTreeMap<String, (String, String)>;

/// Runs the cases whose numbers begin with one of `prefixes`, the usual ones when there are none.
pub(crate) fn websocket(root: &Path, prefixes: &[&str]) -> Result<(), Error> {
    let prefixes = if prefixes.is_empty() { &USUAL[..] } else { prefixes };
    process::cargo(
        root,
        &["build", "--locked", "-p", "tend-edge", "--bins"],
        process::NO_LIMIT,
    )?;
    let folder = root.join("target/conformance/websocket");
    let python = python_with(root, "requirements.txt", &folder)?;
    let script = root.join("tests/conformance/websocket.py");

    let mut echo = start(Command::new(&python).arg(&script).arg("echo").stdout(Stdio::piped()))?;
    let said = echo.0.stdout.take().map(BufReader::new);
    let mut line = String::new();
    let read = |source| Error::Read {
        path: script.clone(),
        source,
    };
    said.map_or(Ok(0), |mut said| said.read_line(&mut line)).map_err(read)?;
    let server: u16 = line.trim().parse().map_err(|_| Error::Usage {
        what: format!("the echo server did not name its port but said `{}`", line.trim()),
    })?;
    let (front, _edge) = edge(root, &folder, server)?;

    let run = |name: &str, port: u16| -> Result<Results, Error> {
        println!("{name}: cases {}", prefixes.join(" "));
        let out = folder.join(format!("{name}.json"));
        let mut command = Command::new(&python);
        command
            .arg(&script)
            .arg("run")
            .arg(format!("ws://127.0.0.1:{port}/"))
            .arg(&out)
            .args(prefixes);
        finish(&mut command)?;
        results(&out)
    };
    compare(&run("direct", server)?, &run("edge", front)?)
}

/// Runs the acceptance cases of a folder; fails when a case of plain samples and stable syntax does.
pub(crate) fn promql(root: &Path, folder: &str) -> Result<(), Error> {
    // Cargo runs it in the project's root, wherever this was called from.
    let folder = std::path::absolute(folder).map_err(|source| Error::Read {
        path: folder.into(),
        source,
    })?;
    let folder = folder.display().to_string();
    let example = [
        "run",
        "--quiet",
        "--locked",
        "-p",
        "tend-promql",
        "--example",
        "conformance",
    ];
    process::cargo(root, &[&example[..], &["--", &folder]].concat(), process::NO_LIMIT)
}

/// Runs the scenarios of `crates/vault` at OpenBao, whose program is in a package.
pub(crate) fn vault(root: &Path) -> Result<(), Error> {
    let python = python_with(root, "openbao.txt", &root.join("target/conformance/vault"))?;
    let program = python.with_file_name("bao");
    let test = [
        "test",
        "--locked",
        "-p",
        "tend-vault",
        "--features",
        "openbao",
        "--test",
        "main",
        "openbao::",
    ];
    let started = Command::new("cargo")
        .args(test)
        .current_dir(root)
        .env("TEND_OPENBAO", program)
        .status();
    let command = || format!("cargo {}", test.join(" "));
    match started {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Failed {
            command: command(),
            status: status.to_string(),
        }),
        Err(source) => Err(Error::Start {
            command: command(),
            source,
        }),
    }
}

/// Returns a Python that has what a file of `tests/conformance` names, installed when it is not there.
fn python_with(root: &Path, wanted: &str, folder: &Path) -> Result<PathBuf, Error> {
    let environment = folder.join("python");
    let (python, marker) = (environment.join("bin/python"), environment.join("requirements.txt"));
    let wanted_path = root.join("tests/conformance").join(wanted);
    let wanted = fs::read(&wanted_path).map_err(|source| Error::Read {
        path: wanted_path.clone(),
        source,
    })?;
    if fs::read(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    // Debian's own, which has the converter that the suite needs; `venv` is its package python3-venv.
    finish(
        Command::new("/usr/bin/python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment),
    )?;
    finish(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(&wanted_path),
    )?;
    fs::write(&marker, wanted).map_err(|source| Error::Write { path: marker, source })?;
    Ok(python)
}

/// Starts an edge in front of a server, from a snapshot on disk: no daemon is needed. Returns its port.
fn edge(root: &Path, folder: &Path, server: u16) -> Result<(u16, Running), Error> {
    let state = folder.join("edge");
    let write = |source| Error::Write {
        path: state.clone(),
        source,
    };
    fs::create_dir_all(&state).map_err(write)?;
    // Free a moment ago; should somebody have taken it since, the edge does not come up and this says so.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.map_err(write)?.port();
    let service = serde_json::json!({ "stack": "conformance", "service": "echo" });
    let snapshot = serde_json::json!({
        "format": 1,
        "generation": 1,
        "listeners": [{ "address": format!("127.0.0.1:{port}"), "key": "public" }],
        "routes": [{ "path_prefix": "/", "service": service }],
        "services": [{
            "id": service,
            "replicas": [{
                "id": "conformance/echo/1",
                "incarnation": 1,
                "address": format!("127.0.0.1:{server}"),
                "state": "ready",
            }],
        }],
    });
    fs::write(state.join("snapshot.json"), snapshot.to_string()).map_err(write)?;
    let mut command = Command::new(root.join("target/debug/tend-edge"));
    command.arg(folder.join("edge.sock")).arg(&state).args(["1", "0"]);
    let running = start(&mut command)?;
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begun.elapsed() > UP_WITHIN {
            return Err(Error::Usage {
                what: format!(
                    "the edge does not listen at port {port} after {} s",
                    UP_WITHIN.as_secs()
                ),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((port, running))
}

fn start(command: &mut Command) -> Result<Running, Error> {
    let shown = format!("{command:?}");
    let child = command.stdin(Stdio::null()).spawn();
    child
        .map(Running)
        .map_err(|source| Error::Start { command: shown, source })
}

/// Runs a command to its end; what it says goes to the terminal only when it fails.
fn finish(command: &mut Command) -> Result<(), Error> {
    let shown = format!("{command:?}");
    let started = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let failed = |source| Error::Start {
        command: shown.clone(),
        source,
    };
    let mut child = started.map_err(failed)?;
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    print!("{said}");
    Err(Error::Failed {
        command: shown,
        status: status.to_string(),
    })
}

fn results(path: &Path) -> Result<Results, Error> {
    let text = fs::read(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let json: BTreeMap<String, Json> = serde_json::from_slice(&text).map_err(|source| Error::Metadata {
        command: path.display().to_string(),
        source,
    })?;
    let word = |case: &Json, name: &str| case[name].as_str().unwrap_or_default().to_owned();
    let pair = |case: Json| (word(&case, "behavior"), word(&case, "at_end"));
    Ok(json.into_iter().map(|(name, case)| (name, pair(case))).collect())
}

/// Whether the suite is content; informational cases have no right and wrong.
fn is_passed((behavior, at_end): &(String, String)) -> bool {
    let fine = |word: &str| matches!(word, "OK" | "NON-STRICT" | "INFORMATIONAL" | "UNIMPLEMENTED");
    fine(behavior) && fine(at_end)
}

/// Prints both sides; fails when a case does not pass behind the edge that passes without it, or was not run.
fn compare(direct: &Results, edge: &Results) -> Result<(), Error> {
    let passed = |results: &Results| results.values().filter(|result| is_passed(result)).count();
    println!("direct: {} of {} passed", passed(direct), direct.len());
    println!("edge:   {} of {} passed", passed(edge), edge.len());
    let nothing = (String::from("NOT RUN"), String::from("NOT RUN"));
    let mut worse = Vec::new();
    for (name, plain) in direct {
        let fronted = edge.get(name).unwrap_or(&nothing);
        if plain != fronted {
            println!("{name}: direct {plain:?}, edge {fronted:?}");
        }
        if is_passed(plain) && !is_passed(fronted) {
            worse.push(name.as_str());
        }
    }
    if direct.is_empty() {
        worse.push("no case was run");
    }
    match worse.len() {
        0 => Ok(()),
        count => Err(Error::Claims {
            count,
            total: direct.len(),
            names: worse.join(", "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(behavior: &str, at_end: &str) -> Results {
        Results::from([("1.1.1".to_owned(), (behavior.to_owned(), at_end.to_owned()))])
    }

    #[test]
    fn what_is_worse_behind_the_edge_fails_and_what_the_server_gets_wrong_itself_does_not() {
        assert!(compare(&one("OK", "OK"), &one("OK", "OK")).is_ok());
        assert!(compare(&one("OK", "OK"), &one("NON-STRICT", "OK")).is_ok());
        assert!(compare(&one("FAILED", "OK"), &one("FAILED", "OK")).is_ok());
        assert!(compare(&one("OK", "OK"), &one("OK", "UNCLEAN")).is_err());
        assert!(compare(&one("OK", "OK"), &Results::new()).is_err());
        assert!(compare(&Results::new(), &Results::new()).is_err());
    }
}
