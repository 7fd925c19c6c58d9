//! A real shim with a replica that writes 50 MB/s, and what it cost.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tend_linux::{
    Command, LogSettings, Report, Secrets, Spec, StreamKind, WhenBehind, cpu_time, log_files, spawn_shim,
};
use tend_redact::{Patterns, Redactor, Rules, forms};

use crate::corpus;

const RATE: usize = 50_000_000;
const SECONDS: u64 = 6;
/// What is written at once, twenty times a second.
const PART: usize = RATE / 20;
/// Every so many bytes a secret lies across: pages, and what pipes and buffers are made of.
const BORDER: usize = 4096;
/// For the shim to end its work.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Flood {
    pub(crate) cpu: f64,
    pub(crate) rate: f64,
    pub(crate) memory: u64,
    pub(crate) planted: usize,
    pub(crate) found: usize,
}

/// Lets a replica write log with so many secrets known, or without looking for any.
pub(crate) fn flood(secrets: Option<usize>) -> io::Result<Flood> {
    let home = std::env::temp_dir().join(format!("bench-redact-{}", std::process::id()));
    fs::create_dir_all(&home)?;
    let flooded = in_folder(&home, secrets);
    fs::remove_dir_all(&home)?;
    flooded
}

fn in_folder(home: &Path, secrets: Option<usize>) -> io::Result<Flood> {
    let values = corpus::values(secrets.unwrap_or(0));
    let mut part = corpus::text(&values, PART);
    corpus::plant_across(&values, BORDER, &mut part);
    fs::write(home.join("part"), &part)?;
    let rounds = SECONDS * 20;
    let line = format!("i=0; while [ $i -lt {rounds} ]; do cat part; sleep 0.045; i=$((i+1)); done");
    let spec = Spec {
        incarnation: "bench/redact/1".to_owned(),
        release: None,
        quiesce: None,
        argv: vec!["/bin/sh".into(), "-c".into(), line.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        directory: home.to_owned(),
        user: None,
        cgroup: None,
        open_files_max: None,
        listen_descriptor: None,
        secrets: 0,
        logs: LogSettings {
            directory: home.join("logs"),
            file_bytes_max: 64 << 20,
            files_max: 100,
            when_behind: WhenBehind::Block,
            redact: secrets.is_some(),
        },
    };
    let begun = Instant::now();
    let (program, folder) = (std::env::current_exe()?, home.join("replica"));
    let shim = spawn_shim(&program, &folder, &spec, &Secrets::default(), None, &values).map_err(io::Error::other)?;
    let deadline = begun + PATIENCE;
    let mut exited = false;
    while !exited {
        if Instant::now() > deadline {
            return Err(io::Error::other("the replica did not end"));
        }
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        poll(
            &mut [PollFd::from_borrowed_fd(shim.connection.as_fd(), PollFlags::IN)],
            Some(&second),
        )?;
        while let Some(report) = shim.connection.try_receive().map_err(io::Error::other)? {
            exited |= matches!(report, Report::Exited(_));
        }
    }
    let took = begun.elapsed();
    let cpu = cpu_time(&[shim.pid]);
    let memory = tend_linux::memory_pss(&[shim.pid]) >> 10;
    shim.connection.send(Command::Release).map_err(io::Error::other)?;
    let planted_in = part.len() * usize::try_from(rounds).unwrap_or(0);
    let mut found = 0;
    let files = log_files(&home.join("logs"), StreamKind::Stdout).map_err(io::Error::other)?;
    // Looked for in another way than the shim did.
    let all: Vec<Vec<u8>> = values.iter().flat_map(|value| forms(value.expose())).collect();
    if !all.is_empty() {
        let automaton = aho_corasick::AhoCorasick::new(&all).map_err(io::Error::other)?;
        for file in files {
            found += automaton.find_iter(&fs::read(file.path)?).count();
        }
    }
    let mut planted = 0;
    let patterns = std::sync::Arc::new(Patterns::new(&values, Rules::None));
    let mut counting = Redactor::new(patterns);
    counting.take_in(&part, &mut |_, _, label| planted += usize::from(label.is_some()));
    counting.end(&mut |_, _, label| planted += usize::from(label.is_some()));
    Ok(Flood {
        cpu: cpu.as_secs_f64() / took.as_secs_f64() * 100.0,
        rate: planted_in as f64 / 1e6 / took.as_secs_f64(),
        memory,
        planted: planted * usize::try_from(rounds).unwrap_or(0),
        found,
    })
}
