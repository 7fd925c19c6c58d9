//! A writer that is killed at any instant has kept what it acknowledged, and the next one goes on after it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::json;
use tend_core::journal::{EventId, Kind};
use tend_store::{Batch, DocumentKind, Files, Reader, Store};

use crate::files::{Folder, entry, options};

const CHILD: &str = "TEND_STORE_TEST_APPEND_IN";
const ROUNDS: u64 = 30;
const THREADS: u64 = 4;

/// Appends at full speed from several threads and says each acknowledgement, until it is killed.
fn append_until_killed(state: &Path, round: u64) {
    let store = Store::open(&Files::of(state), options()).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                for count in 0.. {
                    let number = round * 1_000_000 + count;
                    let slot = u32::try_from(thread).unwrap() + 1;
                    let batch = Batch::new()
                        .entry(entry(Kind::ReplicaStarted, slot, number))
                        .entry(entry(Kind::ReplicaReady, slot, number))
                        .put(DocumentKind::Replica, thread.to_string(), &json!(number))
                        .unwrap();
                    store.record(vec![entry(Kind::ReplicaUnready, slot, number)]);
                    let committed = store.commit(batch).wait().unwrap();
                    let line = format!("ack {} {slot} {number}\n", committed.first);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

struct Ack {
    first: EventId,
    slot: u32,
    number: u64,
}

fn parse(line: &str) -> Option<Ack> {
    let mut words = line.strip_prefix("ack ")?.split(' ');
    let mut next = || words.next()?.parse::<u64>().ok();
    Some(Ack {
        first: EventId(next()?),
        slot: u32::try_from(next()?).ok()?,
        number: next()?,
    })
}

/// Lines of the child, until its end.
fn lines(stdout: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1024);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        // A last line without its end was cut by the kill.
        while reader.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
            if sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    if let Some(task) = std::env::var_os(CHILD) {
        let task = task.into_string().unwrap();
        let (round, state) = task.split_once(':').unwrap();
        return append_until_killed(Path::new(state), round.parse().unwrap());
    }
    let folder = Folder::new();
    let state = folder.files().database.parent().unwrap().to_owned();
    let mut acks = Vec::new();
    let mut newest = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::nothing_acknowledged_is_lost_by_kill_9", "--nocapture"])
            .env(CHILD, format!("{round}:{}", state.display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines(child.stdout.take().unwrap());
        // Killed after a different number of acknowledgements each round, so that it is hit at different places.
        let wanted = 1 + round * 37 % 101;
        let mut seen = 0;
        while seen < wanted {
            let line = lines.recv_timeout(Duration::from_secs(60)).unwrap();
            if let Some(ack) = parse(&line) {
                seen += 1;
                acks.push(ack);
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acks.extend(lines.iter().filter_map(|line| parse(&line)));
        for ack in &acks {
            newest.insert(ack.slot - 1, ack.number);
        }

        let report = folder.verify();
        assert!(report.is_intact(), "round {round}: {report}");
        let reader = Reader::open(&folder.files().database).unwrap();
        for (thread, number) in &newest {
            let kept: u64 = reader
                .document(DocumentKind::Replica, &thread.to_string())
                .unwrap()
                .unwrap();
            assert!(
                kept >= *number,
                "round {round}: document {thread} is {kept}, {number} was acknowledged"
            );
        }
    }
    let reader = Reader::open(&folder.files().database).unwrap();
    for ack in &acks {
        for (id, kind) in [
            (ack.first, Kind::ReplicaStarted),
            (EventId(ack.first.0 + 1), Kind::ReplicaReady),
        ] {
            let event = reader.event(id).unwrap().unwrap();
            assert_eq!(event.kind, kind);
            assert_eq!(event.subject.slot, Some(ack.slot));
            assert_eq!(event.data, json!({"number": ack.number}));
        }
    }
    assert!(acks.len() as u64 >= ROUNDS);
}
