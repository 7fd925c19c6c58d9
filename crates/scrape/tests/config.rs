//! Configurations as data: `config/NAME.yml` and, in `config/NAME.txt`, what is read of it, who is asked, and what is said.
//! `UPDATE=1` writes the latter anew; read the diff.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tend_scrape::{Config, Scraper, read_config};
use tend_testkit::Folder;

use crate::open;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .expect("tests/config")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yml"))
        .collect();
    cases.sort();
    cases
}

/// What was read, and who is asked because of it.
fn told(config: Config) -> String {
    let mut out = String::new();
    writeln!(out, "{:?}", config.global).expect("written");
    for path in &config.rule_files {
        writeln!(out, "rules {}", path.display()).expect("written");
    }
    for alertmanager in &config.alertmanagers {
        writeln!(out, "{alertmanager:?}").expect("written");
    }
    for job in &config.jobs {
        writeln!(out, "job {}", job.name).expect("written");
        let http = &job.settings.http;
        writeln!(out, "  {http:?}").expect("written");
        if job.settings.limits != config.global.limits {
            writeln!(out, "  {:?}", job.settings.limits).expect("written");
        }
        for path in &job.files {
            writeln!(out, "  file {}", path.display()).expect("written");
        }
    }
    let folder = Folder::new();
    let scraper = Scraper::new(Arc::new(open(folder.path())));
    scraper.set(config.jobs);
    let targets = scraper.targets();
    for target in targets.active {
        let (interval, timeout) = (target.interval_ms, target.timeout_ms);
        let (job, url, labels) = (target.job, target.url, target.labels);
        writeln!(out, "target {job} {url} {labels} every {interval} within {timeout}").expect("written");
    }
    for dropped in targets.dropped {
        writeln!(out, "dropped {} {}", dropped.job, dropped.discovered).expect("written");
    }
    for job in targets.jobs {
        for fault in job.faults {
            writeln!(out, "fault {} {fault}", job.name).expect("written");
        }
    }
    out
}

#[test]
fn configurations_are_read_as_prometheus_reads_them() {
    let mut wrong = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for case in cases() {
        let text = fs::read_to_string(&case).expect("a case");
        let name = PathBuf::from("/etc/prometheus").join(case.file_name().expect("a name"));
        let found = match read_config(&name, &text) {
            Ok((config, report)) => {
                accepted += 1;
                let warnings = if report.0.is_empty() {
                    String::new()
                } else {
                    format!("{report}\n")
                };
                format!("{warnings}{}", told(config))
            }
            Err(report) => {
                refused += 1;
                format!("{report}\n")
            }
        };
        let expected = case.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &found).expect("written");
        }
        if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(accepted >= 5 && refused >= 4, "{accepted} accepted, {refused} refused");
}

#[test]
fn no_secret_is_shown() {
    let text = include_str!("config/secrets.yml");
    let (config, report) = read_config(Path::new("prometheus.yml"), text).unwrap_or_else(|report| panic!("{report}"));
    let debugged = format!("{config:?}");
    let shown = format!("{debugged}\n{report}\n{}", told(config));
    assert!(!shown.contains("SECRET"), "{shown}");
    // Whatever is wrong with a line, what stands on it may be a secret.
    let mut refused = 0;
    for (from, to) in [
        ("password:", "pasword:"),
        ("credentials:", "credential:"),
        ("bearer_token:", "bearer_tokens:"),
        ("password: ", "password: !"),
        ("password: ", "password: ["),
        ("secrets: ", "secret: "),
        ("values: ", "values: {a: "),
        ("url: ", "uri: *"),
        ("remote_write:", "remote_writes:"),
        ("api_key: ", "api_key: [[["),
    ] {
        let broken = text.replace(from, to);
        assert_ne!(broken, text, "{from}");
        if let Err(report) = read_config(Path::new("prometheus.yml"), &broken) {
            refused += 1;
            assert!(!report.to_string().contains("SECRET"), "{from}: {report}");
            assert!(!format!("{report:?}").contains("SECRET"), "{from}: {report:?}");
        }
    }
    assert!(refused >= 8, "only {refused} were refused");
}

#[test]
fn an_empty_file_has_no_jobs_and_the_defaults() {
    let (config, report) = read_config(Path::new("prometheus.yml"), "# nothing\n").unwrap_or_else(|r| panic!("{r}"));
    assert!(config.jobs.is_empty() && report.0.is_empty());
    assert_eq!(
        (config.global.scrape_interval_ms, config.global.scrape_timeout_ms),
        (60_000, 10_000)
    );
}
