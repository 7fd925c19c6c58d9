//! What looking for secrets costs: the filter by itself beside the `aho-corasick` crate and `sed`, a shim under 50 MB/s of log, and an audit
//! of a file. With the word `audit` only the last.
//!
//! Prints figures and ratios. A secret on disk is the exit status; no time is an error. Every process it started is ended by pid.

mod audit;
mod corpus;
mod shim;

use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use tend_redact::{Patterns, Redactor, Rules, forms};

/// Numbers of secrets that are compared.
const COUNTS: [usize; 4] = [0, 10, 100, 1000];

/// Text that is filtered for each figure.
const TEXT_BYTES: usize = 64 << 20;

/// `sed` is stopped after this long and its rate taken from what it read: with thousands of patterns it does not end.
const SED_MAX: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next().unwrap_or_default();
    if word == "shim" {
        return ExitCode::from(u8::try_from(tend_linux::shim_main(arguments)).unwrap_or(u8::MAX));
    }
    let mut out = std::io::stdout();
    let done = if word == "audit" {
        audits(&mut out)
    } else {
        run(&mut out)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(out, "could not be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(out: &mut impl std::io::Write) -> std::io::Result<bool> {
    let line = "secrets  forms    tend MB/s  known only  aho-corasick MB/s (memory)   sed MB/s   tend/sed   tables";
    writeln!(out, "{line}")?;
    for count in COUNTS {
        let values = corpus::values(count);
        let text = corpus::text(&values, TEXT_BYTES);
        let all: Vec<Vec<u8>> = values.iter().flat_map(|value| forms(value.expose())).collect();
        let patterns = Arc::new(Patterns::new(&values, Rules::All));
        let own = rate(text.len(), || filter(&patterns, &text));
        let known = Arc::new(Patterns::new(&values, Rules::None));
        let own_known = rate(text.len(), || filter(&known, &text));
        let peer = if all.is_empty() {
            None
        } else {
            Some(automaton(&all, &text)?)
        };
        let sed = if all.is_empty() { None } else { Some(sed(&all, &text)?) };
        let (peer_rate, peer_bytes) = peer.unwrap_or((f64::NAN, 0));
        let sed = sed.unwrap_or(f64::NAN);
        writeln!(
            out,
            "{count:>7}  {:>5}  {own:>11.0}  {own_known:>10.0}  {peer_rate:>12.0} ({:>6} kB)  {sed:>16.1}  {:>9.0}  {:>5} kB",
            all.len(),
            peer_bytes >> 10,
            own / sed,
            patterns.size() >> 10,
        )?;
    }
    writeln!(
        out,
        "\na shim under 50 MB/s of log, processor time in percent of one core"
    )?;
    let mut clean = true;
    let plain = shim::flood(None)?;
    writeln!(
        out,
        "not looking       {:>5.1} %   ({:.0} MB/s, {} kB of its own)",
        plain.cpu, plain.rate, plain.memory
    )?;
    for count in COUNTS {
        let flood = shim::flood(Some(count))?;
        clean &= flood.found == 0;
        writeln!(
            out,
            "{count:>5} secrets     {:>5.1} %   ({:.0} MB/s, {} kB of its own)   {:.1} times; {} planted, {} found on disk",
            flood.cpu,
            flood.rate,
            flood.memory,
            flood.cpu / plain.cpu,
            flood.planted,
            flood.found,
        )?;
    }
    clean &= audits(out)?;
    Ok(clean)
}

/// Prints what an audit costs; tells whether every planted place was told.
fn audits(out: &mut impl std::io::Write) -> std::io::Result<bool> {
    writeln!(
        out,
        "\nan audit of 256 MiB of log\nsecrets  forms    MB/s with rules  known only   lines planted and told"
    )?;
    let mut all = true;
    for count in COUNTS {
        let audit = audit::audit(count)?;
        let lines = match audit.lines {
            Some((planted, told)) => {
                all &= planted == told;
                format!("{planted} and {told}")
            }
            None => "not compared".to_owned(),
        };
        writeln!(
            out,
            "{count:>7}  {:>5}  {:>17.0}  {:>10.0}   {lines}",
            audit.forms, audit.rate, audit.known_rate
        )?;
    }
    Ok(all)
}

/// Returns megabytes a second, the best of three.
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    let best = (0..3)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    bytes as f64 / 1e6 / best
}

fn filter(patterns: &Arc<Patterns>, text: &[u8]) {
    let mut redactor = Redactor::new(Arc::clone(patterns));
    let mut out = Vec::with_capacity(128 << 10);
    for piece in text.chunks(32 << 10) {
        redactor.push(piece, &mut out);
        out.clear();
    }
    redactor.flush(&mut out);
}

/// The known values alone, in one piece, by the automaton that takes least memory.
fn automaton(forms: &[Vec<u8>], text: &[u8]) -> std::io::Result<(f64, usize)> {
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(forms)
        .map_err(std::io::Error::other)?;
    let mut found = 0usize;
    let rate = rate(text.len(), || found += automaton.find_iter(text).count());
    assert!(found > 0, "nothing was found");
    Ok((rate, automaton.memory_usage()))
}

/// `sed` with an expression for each form.
fn sed(forms: &[Vec<u8>], text: &[u8]) -> std::io::Result<f64> {
    let mut script = Vec::new();
    for form in forms {
        script.extend(b"s/");
        for &byte in form {
            if b"/\\.*[]^$".contains(&byte) {
                script.push(b'\\');
            }
            script.push(byte);
        }
        script.extend(b"/[secret]/g\n");
    }
    let path = std::env::temp_dir().join(format!("bench-redact-{}.sed", std::process::id()));
    std::fs::write(&path, script)?;
    let mut child = Command::new("sed")
        .env("LC_ALL", "C")
        .arg("-f")
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let begun = Instant::now();
    let mut written = 0;
    if let Some(mut stdin) = child.stdin.take() {
        // In small pieces: a pipe takes what was read.
        for piece in text.chunks(4096) {
            if begun.elapsed() > SED_MAX || stdin.write_all(piece).is_err() {
                break;
            }
            written += piece.len();
        }
    }
    if begun.elapsed() > SED_MAX {
        child.kill()?;
    }
    child.wait()?;
    let took = begun.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(written as f64 / 1e6 / took)
}
