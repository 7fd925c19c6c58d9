//! The shim's loop: output, the replica's end, and commands.
//!
//! ```text
//!            replica ends                  released, or nobody connected and no writer left
//!  running ───────────────► ended (exit on record) ───────────────────────────────────────► over
//!     not started ─────────────▲
//! ```
//! The end of the replica is written to `exit` before anybody is told, so a daemon that was dead learns it later.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions};
use rustix::time::Timespec;
use tend_base::{Clock as _, SystemClock};
use tend_redact::{Patterns, Rules};

use super::clients::{Clients, Received};
use super::stream::Stream;
use super::{child, own_pid, record};
use crate::attest::{AttestedBy, Look};
use crate::cgroup;
use crate::exit::Exit;
use crate::host::{FRAME_BYTES, PROTOCOL_VERSION, SOCKET_FILE};
use crate::process::{ProcStat, pidfd_exit, signal_exactly};
use crate::redaction;
use crate::spec::LogSettings;
use crate::state::{
    EXIT_FILE, ExitRecord, Outcome, OutputCounters, State, evidence_to_pairs, executable_of, replace_file,
};
use crate::tree::{Tree, sleep};
use crate::wire::Frame;

/// For how long a process that has ended may wait to be collected by its new parent before its status is given up.
const COLLECTED_WITHIN: Duration = Duration::from_millis(300);

pub(super) enum Replica {
    /// Started by this shim.
    Child,
    /// Started by a shim that was killed since.
    Adopted(OwnedFd),
}

pub(super) struct Watch {
    pub(super) incarnation: String,
    folder: PathBuf,
    clients: Clients,
    children: OwnedFd,
    replica: Option<(Replica, State)>,
    streams: Vec<Stream>,
    /// For what to look in the streams, once somebody has told.
    patterns: Option<Arc<Patterns>>,
    ended: Option<ExitRecord>,
    released: bool,
    /// Somebody asked what really runs, and it is being read.
    look: Option<Look>,
}

impl Watch {
    pub(super) fn new(folder: PathBuf, control: Option<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            incarnation: String::new(),
            folder,
            clients: Clients::new(control)?,
            children: child::child_signals()?,
            replica: None,
            streams: Vec::new(),
            patterns: None,
            ended: None,
            released: false,
            look: None,
        })
    }

    pub(super) fn log_to(&mut self, stdout: OwnedFd, stderr: OwnedFd, settings: &LogSettings) {
        self.streams = vec![
            Stream::new("stdout", stdout, settings.clone(), self.patterns.as_ref()),
            Stream::new("stderr", stderr, settings.clone(), self.patterns.as_ref()),
        ];
    }

    pub(super) fn watch(&mut self, replica: Replica, state: State) {
        self.replica = Some((replica, state));
        let hello = self.hello();
        self.clients.send_all(&hello);
    }

    /// A shim before this one saw the end; only telling it is left.
    pub(super) fn already_ended(&mut self, record: ExitRecord) {
        self.incarnation.clone_from(&record.incarnation);
        self.ended = Some(record);
        self.tell_all();
    }

    /// Puts the end on record and tells it.
    pub(super) fn end(&mut self, outcome: Outcome) {
        for stream in &mut self.streams {
            stream.drain(true);
            stream.give_up();
        }
        self.streams.iter_mut().for_each(Stream::end_with_writers);
        let replica = self.replica.as_ref().map(|(_, state)| &state.replica);
        let record = record(&self.incarnation, replica, outcome, self.counters());
        // With no room for it on /run, the connected daemon still learns it, and a later one finds the process gone.
        let _ = replace_file(Path::new(EXIT_FILE), &record.encode());
        self.ended = Some(record);
        self.tell_all();
    }

    fn tell_all(&mut self) {
        let hello = self.hello();
        self.clients.send_all(&hello);
        if let Some(frame) = self.exited() {
            self.clients.send_all(&frame);
        }
    }

    pub(super) fn run(mut self) {
        while !self.is_over() {
            let ready = self.wait();
            if ready.child {
                self.collect_children();
            }
            if ready.adopted {
                self.adopted_ended();
            }
            for stream in &mut self.streams {
                stream.pump();
            }
            for at in (0..self.clients.connected.len()).rev() {
                if ready.clients & (1 << at) != 0 {
                    self.serve(at);
                }
            }
            self.look_on();
            if ready.listener && self.clients.accept() {
                let newest = self.clients.connected.len().saturating_sub(1);
                let hello = self.hello();
                self.clients.send(newest, &hello);
                if let Some(exited) = self.exited() {
                    self.clients.send(newest, &exited);
                }
            }
        }
        for stream in &mut self.streams {
            stream.drain(true);
        }
        // A socket nobody answers would make a daemon wait; the folder itself is the daemon's to remove.
        let _ = fs::remove_file(SOCKET_FILE);
    }

    fn is_over(&mut self) -> bool {
        self.ended.is_some()
            && (self.released || self.clients.connected.is_empty() && self.streams.iter_mut().all(Stream::has_ended))
    }

    fn wait(&self) -> Ready {
        let now = SystemClock.now().mono.0;
        let mut wake_at: Option<u64> = None;
        let mut polled = Vec::with_capacity(13);
        polled.push(PollFd::new(&self.children, PollFlags::IN));
        polled.push(PollFd::new(&self.clients.listener, PollFlags::IN));
        for client in &self.clients.connected {
            polled.push(PollFd::new(client, PollFlags::IN));
        }
        let adopted = match (&self.replica, &self.ended) {
            (Some((Replica::Adopted(pidfd), _)), None) => {
                polled.push(PollFd::new(pidfd, PollFlags::IN));
                Some(polled.len() - 1)
            }
            _ => None,
        };
        for stream in &self.streams {
            let (fifo, moment) = stream.interest(now);
            if let Some(fifo) = fifo {
                polled.push(PollFd::new(fifo, PollFlags::IN));
            }
            wake_at = match (wake_at, moment) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        if self.look.is_some() {
            wake_at = Some(now);
        }
        let timeout = wake_at.map(|moment| {
            let left = Duration::from_nanos(moment.saturating_sub(now));
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        // An interrupted or failed poll comes back with nothing ready, and is repeated.
        let _ = poll(&mut polled, timeout.as_ref());
        let is_ready = |at: usize| !polled[at].revents().is_empty();
        let mut ready = Ready {
            child: is_ready(0),
            listener: is_ready(1),
            adopted: adopted.is_some_and(is_ready),
            clients: 0,
        };
        for at in 0..self.clients.connected.len() {
            if is_ready(2 + at) {
                ready.clients |= 1 << at;
            }
        }
        ready
    }

    /// Collects every child that ended: the replica, and orphans of its tree.
    fn collect_children(&mut self) {
        let mut signals = [0u8; 512];
        // Only to make the descriptor quiet again; how many signals came says nothing.
        while rustix::io::read(&self.children, &mut signals).is_ok_and(|read| read > 0) {}
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let replica = match &self.replica {
                Some((Replica::Child, state)) if self.ended.is_none() => state.replica.pid,
                _ => 0,
            };
            if Pid::as_raw(Some(pid)) == replica {
                self.replica_ended(Exit::from_wait_status(status.as_raw()));
            }
        }
    }

    fn adopted_ended(&mut self) {
        let Some((Replica::Adopted(pidfd), state)) = &self.replica else {
            return;
        };
        let exit = adopted_exit(pidfd, &state.replica);
        self.replica_ended(exit);
    }

    fn replica_ended(&mut self, exit: Exit) {
        let kills = self.replica.as_ref().map_or(0, |(_, state)| {
            state
                .cgroup
                .as_deref()
                .map_or(0, cgroup::oom_kills)
                .saturating_sub(state.oom_kills_before)
        });
        self.end(Outcome::Ended(exit.with_oom_kills(kills)));
    }

    fn serve(&mut self, at: usize) {
        let Received { bytes, descriptor } = match self.clients.receive(at) {
            Ok(Some(received)) => received,
            Ok(None) => return,
            Err(_) => {
                self.clients.connected.remove(at);
                return;
            }
        };
        let answer = match Frame::decode(&bytes) {
            Some(command) if command.word == "attest" => match self.begin_look() {
                Ok(()) => return,
                Err(why) => failed("attest", &why),
            },
            Some(command) if command.word == "redact" => match self.look_for(descriptor) {
                Ok(()) => done("redact"),
                Err(why) => failed("redact", &why),
            },
            Some(command) => self.obey(&command),
            None => unsupported("?"),
        };
        self.clients.send(at, &answer);
    }

    /// Takes what whoever started this shim had to say before it: for which secrets to look. That is not answered, for nobody is
    /// greeted yet.
    pub(super) fn hear_first(&mut self) {
        if self.clients.connected.is_empty() {
            return;
        }
        if let Ok(Some(received)) = self.clients.receive(0)
            && Frame::decode(&received.bytes).is_some_and(|frame| frame.word == "redact")
        {
            // Not understood, it is as if nothing was said: then nothing is written.
            let _ = self.look_for(received.descriptor);
        }
    }

    /// Looks for other secrets from now on.
    fn look_for(&mut self, memory: Option<OwnedFd>) -> Result<(), String> {
        let memory = memory.ok_or("no secrets came with it")?;
        let patterns = Arc::new(Patterns::new(&redaction::read(memory)?, Rules::All));
        for stream in &mut self.streams {
            stream.look_for(&patterns);
        }
        self.patterns = Some(patterns);
        Ok(())
    }

    /// Begins to look at what really runs, unless that is under way: who asks meanwhile gets the same answer.
    fn begin_look(&mut self) -> Result<(), String> {
        if self.look.is_some() {
            return Ok(());
        }
        if self.ended.is_some() {
            return Err("the replica has ended".to_owned());
        }
        let (_, state) = self.replica.as_ref().ok_or("there is no replica")?;
        let look = Look::begin(&state.replica, &state.incarnation, state.release.as_deref());
        self.look = Some(look.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Reads on, a little each time: nobody's output waits for it. Once done, tells everybody, for who asked may have gone.
    fn look_on(&mut self) {
        let Some(mut look) = self.look.take() else {
            return;
        };
        let attested = match look.read_on() {
            Ok(true) => {
                self.look = Some(look);
                return;
            }
            Ok(false) if self.ended.is_some() => Err("the replica ended meanwhile".to_owned()),
            Ok(false) => look.end(AttestedBy::Shim).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let frame = attested.map(|attestation| {
            let mut frame = Frame::new("attested");
            attestation.to_pairs(&mut frame.pairs);
            frame
        });
        let frame = match frame {
            Ok(frame) if frame.encode().len() <= FRAME_BYTES => frame,
            Ok(_) => failed("attest", "its paths are too long for a frame"),
            Err(why) => failed("attest", &why),
        };
        self.clients.send_all(&frame);
    }

    fn obey(&mut self, command: &Frame) -> Frame {
        let obeyed = match command.word.as_str() {
            "signal" => self.signal(command),
            "kill-tree" => self.kill_tree(),
            "flush" => {
                // Both, also when the first cannot be written.
                let [stdout, stderr] =
                    [0, 1].map(|at| self.streams.get_mut(at).is_none_or(|stream| stream.drain(false)));
                if stdout && stderr {
                    Ok(())
                } else {
                    Err("some output cannot be written now".to_owned())
                }
            }
            "reopen" => {
                self.streams.iter_mut().for_each(Stream::reopen);
                Ok(())
            }
            "clear" => self
                .streams
                .iter_mut()
                .try_for_each(Stream::clear)
                .map_err(|error| error.to_string()),
            "logs" => return self.logs(),
            "release" => {
                self.released = true;
                Ok(())
            }
            other => return unsupported(other),
        };
        if let Err(why) = obeyed {
            return failed(&command.word, &why);
        }
        done(&command.word)
    }

    fn signal(&self, command: &Frame) -> Result<(), String> {
        let number: i32 = command.pairs.number("number").ok_or("it does not say which signal")?;
        if self.ended.is_some() {
            return Err("the replica has ended".to_owned());
        }
        let (_, state) = self.replica.as_ref().ok_or("there is no replica")?;
        match command.pairs.get("scope") {
            Some(b"tree") => self.tree(state).signal(number).map_err(|error| error.to_string()),
            None | Some(b"replica") => {
                signal_exactly(state.replica.pid, state.replica.start_time, number).map_err(|error| error.to_string())
            }
            Some(_) => Err("`scope` is neither replica nor tree".to_owned()),
        }
    }

    /// Ends all processes of the replica, also those it has left behind.
    fn kill_tree(&mut self) -> Result<(), String> {
        let (_, state) = self.replica.as_ref().ok_or("there is no replica")?;
        let killed = self.tree(state).kill().map_err(|error| error.to_string());
        self.collect_children();
        killed
    }

    fn tree(&self, state: &State) -> Tree {
        Tree {
            replica: state.replica.clone(),
            shim_pid: Some(own_pid()),
            folder: self.folder.clone(),
            cgroup: state.cgroup.clone(),
        }
    }

    fn counters(&self) -> OutputCounters {
        let [stdout, stderr] = &self.streams[..] else {
            return OutputCounters::default();
        };
        OutputCounters {
            stdout_bytes: stdout.written,
            stderr_bytes: stderr.written,
            stdout_dropped: stdout.dropped,
            stderr_dropped: stderr.dropped,
        }
    }

    fn hello(&self) -> Frame {
        let mut frame = Frame::new("hello");
        frame.pairs.push_number("version", PROTOCOL_VERSION);
        frame.pairs.push_number("shim_pid", own_pid());
        frame.pairs.push("incarnation", &self.incarnation);
        frame.pairs.push(
            "state",
            match (&self.ended, &self.replica) {
                (None, Some(_)) => "running",
                (None, None) => "starting",
                (Some(_), _) => "ended",
            },
        );
        if let Some((_, state)) = &self.replica {
            let mut evidence = state.replica.clone();
            if self.ended.is_none() {
                // It may have executed another program since.
                evidence.executable = executable_of(evidence.pid).or(evidence.executable);
            }
            evidence_to_pairs(&evidence, &mut frame.pairs);
        }
        frame
    }

    fn exited(&self) -> Option<Frame> {
        let record = self.ended.as_ref()?;
        let mut frame = Frame::new(match record.outcome {
            Outcome::Ended(_) => "exited",
            Outcome::NotStarted(_) => "not-started",
        });
        record.to_pairs(&mut frame.pairs);
        Some(frame)
    }

    fn logs(&self) -> Frame {
        let mut frame = Frame::new("logs");
        self.counters().to_pairs(&mut frame.pairs);
        frame
    }
}

/// What poll found.
struct Ready {
    child: bool,
    listener: bool,
    adopted: bool,
    /// A bit for each client.
    clients: u32,
}

fn done(command: &str) -> Frame {
    let mut frame = Frame::new("done");
    frame.pairs.push("command", command);
    frame
}

fn failed(command: &str, why: &str) -> Frame {
    let mut frame = Frame::new("failed");
    frame.pairs.push("command", command);
    frame.pairs.push("why", why);
    frame
}

fn unsupported(word: &str) -> Frame {
    let mut frame = Frame::new("unsupported");
    frame.pairs.push("word", word);
    frame
}

/// Finds out how a process ended that is somebody else's child.
///
/// The kernel tells through the pidfd once the new parent has collected it, and through `/proc` while it is a zombie.
fn adopted_exit(pidfd: &OwnedFd, replica: &crate::Evidence) -> Exit {
    let pause = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        if let Some(exit) = pidfd_exit(pidfd) {
            return exit;
        }
        match ProcStat::read(replica.pid) {
            Ok(stat) if stat.start_time == replica.start_time => {
                if waited >= COLLECTED_WITHIN {
                    return Exit::from_wait_status(stat.exit_status);
                }
            }
            // Collected, so the kernel has told all it will; ask once more, for it may have been collected just now.
            _ => {
                return pidfd_exit(pidfd).unwrap_or_else(|| {
                    Exit::Unknown(
                        "its shim was killed, and this kernel does not tell how a process ended that is not one's child"
                            .to_owned(),
                    )
                });
            }
        }
        sleep(pause);
        waited += pause;
    }
}
