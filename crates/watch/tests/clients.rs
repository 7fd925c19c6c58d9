//! The three clients against the real endpoint: all go through the same story and must say the same.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde_json::{Value, json};
use tend_config_client::{Change, Client};
use tend_testkit::{Folder, wait_until};
use tend_watch::Outcome;

use crate::fixture::{DEADLINE, Served};

/// Lines that may wait for the story.
const LINES: usize = 1000;

/// What a client was heard calling.
struct Heard(Receiver<Value>);

impl Heard {
    /// Returns the next lines, as many as are asked for.
    fn lines(&self, count: usize) -> Vec<Value> {
        let line = || self.0.recv_timeout(DEADLINE).expect("a line within the deadline");
        (0..count).map(|_| line()).collect()
    }
}

fn call(key: &str, new: impl Into<Value>, old: impl Into<Value>, held: u64) -> Value {
    json!({ "key": key, "new": new.into(), "old": old.into(), "held": held })
}

/// From the first set to a daemon that was killed and came back.
fn story(served: &mut Served, heard: &Heard) {
    let gone = || Value::Null;
    served.publish(1, json!({ "a": 1, "limits.x": 5, "same": "日本\n" }));
    assert_eq!(served.outcome_of(1), Outcome::Taken);
    assert_eq!(
        heard.lines(4),
        [
            call("a", 1, gone(), 1),
            call("limits.x", 5, gone(), 1),
            json!({ "limit": "limits.x" }),
            call("same", "日本\n", gone(), 1)
        ],
    );

    served.publish(2, json!({ "a": true, "limits.x": 5, "same": "日本\n" }));
    assert_eq!(served.outcome_of(2), Outcome::Taken);
    assert_eq!(heard.lines(1), [call("a", true, 1, 2)], "only what changed");

    served.publish(3, json!({ "a": true, "fails": 1, "limits.x": 6, "same": "日本\n" }));
    assert_eq!(
        served.outcome_of(3),
        Outcome::Refused("fails: cannot do that".to_owned())
    );
    assert_eq!(
        heard.lines(3),
        [
            call("fails", 1, gone(), 3),
            call("limits.x", 6, 5, 3),
            json!({ "limit": "limits.x" })
        ],
        "the others run",
    );

    served.publish(4, json!({ "a": 2, "reject": true }));
    assert_eq!(
        served.outcome_of(4),
        Outcome::Refused("rejected by the check".to_owned())
    );

    // The daemon is killed; another begins, with a newer revision, and knows nothing of the past.
    served.end();
    served.begin();
    served.publish(5, json!({ "a": 3, "limits.x": 6, "same": "日本\n" }));
    assert_eq!(served.outcome_of(5), Outcome::Taken);
    // `a` was true and not 2: what was refused was never in force.
    assert_eq!(heard.lines(2), [call("a", 3, true, 5), call("fails", gone(), 1, 5)]);

    // Killed again, and nothing new: the client says what it has, so that nobody needs to remember.
    served.end();
    served.begin();
    served.publish(5, json!({ "a": 3, "limits.x": 6, "same": "日本\n" }));
    assert_eq!(served.outcome_of(5), Outcome::Taken);

    served.publish(6, json!({ "a": 4, "limits.x": 6, "same": "日本\n" }));
    assert_eq!(served.outcome_of(6), Outcome::Taken);
    assert_eq!(heard.lines(1), [call("a", 4, 3, 6)]);
    served.publish(7, json!({ "a": 4, "limits.x": 6 }));
    assert_eq!(served.outcome_of(7), Outcome::Taken);
    assert_eq!(heard.lines(1), [call("same", gone(), "日本\n", 7)]);
}

#[test]
fn the_rust_client_goes_through_the_story() {
    let mut served = Served::new();
    let (lines, heard) = sync_channel(LINES);
    let held = std::sync::Arc::new(std::sync::OnceLock::<Client>::new());
    let tell = {
        let (lines, held) = (lines.clone(), std::sync::Arc::clone(&held));
        move |change: Change<'_>| {
            let held = held.wait().set().revision;
            let line = json!({ "key": change.key, "new": change.new, "old": change.old, "held": held });
            Ok(lines.send(line)?)
        }
    };
    let client = Client::builder(&served.socket)
        .check(|set| match set.get("reject") {
            Some(_) => Err("rejected by the check".into()),
            None => Ok(()),
        })
        .on("fails", |change| {
            change.new.map_or(Ok(()), |_| Err("cannot do that".into()))
        })
        .on("*", tell)
        .on(
            "limits.*",
            move |change| Ok(lines.send(json!({ "limit": change.key }))?),
        )
        .start()
        .expect("a thread is to be had");
    assert!(held.set(client).is_ok());
    let client = held.get().expect("just set");
    story(&mut served, &Heard(heard));
    assert!(client.is_connected() && client.wait_for_first(DEADLINE));
    assert_eq!(client.get("a"), Some(json!(4)));
    // What was last known good stays while tend is away.
    served.end();
    wait_until(DEADLINE, "the client sees that tend is away", || !client.is_connected());
    assert_eq!((client.set().revision, client.get("limits.x")), (7, Some(json!(6))));
}

/// A client in another language. Ended with the test.
struct Program {
    process: Child,
    /// Closing it ends the client.
    input: Option<ChildStdin>,
}

impl Program {
    fn start(command: &mut Command) -> (Program, Heard) {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("its interpreter is installed");
        let (lines, heard) = sync_channel(LINES);
        let output = BufReader::new(process.stdout.take().expect("piped"));
        std::thread::spawn(move || pass_on(output, &lines));
        let input = process.stdin.take();
        (Program { process, input }, Heard(heard))
    }

    /// Has the client close, which must end its process.
    fn close(mut self, heard: &Heard) {
        self.input = None;
        assert_eq!(heard.lines(1), [json!({ "closed": true })]);
        wait_until(DEADLINE, "a client that was closed ends", || {
            let ended = self.process.try_wait().expect("own child");
            ended.inspect(|status| assert!(status.success(), "{status}")).is_some()
        });
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when it has ended and was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pass_on(output: impl BufRead, lines: &SyncSender<Value>) {
    for line in output.lines().map_while(Result::ok) {
        let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
        if lines.send(line).is_err() {
            return;
        }
    }
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_python_client_goes_through_the_story() {
    let mut served = Served::new();
    let (program, heard) = Program::start(
        Command::new("/usr/bin/python3")
            .arg("-B")
            .arg(checkout().join("crates/watch/tests/clients/watch.py"))
            .arg(checkout().join("clients/python"))
            .arg(&served.socket),
    );
    story(&mut served, &heard);
    program.close(&heard);
}

#[test]
fn the_typescript_client_passes_its_types_and_goes_through_the_story() {
    let compiled = Folder::new();
    let tests = checkout().join("crates/watch/tests/clients");
    let settings = json!({
        "compilerOptions": {
            "strict": true, "noUncheckedIndexedAccess": true, "noImplicitOverride": true, "noUnusedLocals": true,
            "target": "es2022", "lib": ["es2022"], "module": "commonjs", "moduleResolution": "node",
            // What lies about on this machine is not part of the test.
            "types": [], "rootDir": checkout(), "outDir": compiled.path(),
        },
        "files": [tests.join("node.d.ts"), tests.join("watch.ts")],
    });
    let settings = compiled.write("tsconfig.json", settings.to_string());
    let output = Command::new("tsc")
        .arg("-p")
        .arg(settings)
        .output()
        .expect("tsc is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let mut served = Served::new();
    let program = compiled.path().join("crates/watch/tests/clients/watch.js");
    let (program, heard) = Program::start(Command::new("node").arg(program).arg(&served.socket));
    story(&mut served, &heard);
    program.close(&heard);
}
