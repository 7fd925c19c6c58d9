//! Files of targets: read when they change, and kept as they were when they are wrong.

use std::fs;

use tend_scrape::Health;
use tend_testkit::Folder;

use crate::rounds::{named, says};
use crate::{Running, set_of, until};

fn addresses(running: &Running) -> std::collections::BTreeSet<String> {
    let targets = running.scraper.targets();
    targets.active.iter().map(|target| target.labels.to_string()).collect()
}

fn faults(running: &Running) -> String {
    let targets = running.scraper.targets();
    targets
        .jobs
        .iter()
        .flat_map(|job| job.faults.clone())
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn targets_follow_their_files() {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.json"), r#"[{"targets": ["a:1"], "labels": {"rack": "1"}}]"#).expect("written");
    fs::write(path("b.yml"), "- targets: ['b:1']\n").expect("written");
    fs::write(path("other.txt"), "no targets").expect("written");
    let running = Running::new();
    running.set(&format!(
        "scrape_configs:\n  - job_name: f\n    file_sd_configs: [{{files: ['{0}/*.json', '{0}/*.yml']}}]\n    \
         relabel_configs: [{{source_labels: [__meta_filepath], regex: '.*/(.*)', target_label: file}}]\n",
        folder.path().display()
    ));
    let a = "{file=\"a.json\", instance=\"a:1\", job=\"f\", rack=\"1\"}";
    let b = "{file=\"b.yml\", instance=\"b:1\", job=\"f\"}";
    assert_eq!(addresses(&running), set_of(&[a, b]), "at once");

    fs::write(
        path("a.json"),
        r#"[{"targets": ["a:1", "a:2"], "labels": {"rack": "1"}}]"#,
    )
    .expect("written");
    let second = "{file=\"a.json\", instance=\"a:2\", job=\"f\", rack=\"1\"}";
    until("a new target is there", || {
        addresses(&running) == set_of(&[a, second, b])
    })
    .await;

    fs::write(path("a.json"), r#"[{"targets": ["a:1"}]"#).expect("written");
    until("the fault is told", || faults(&running).contains("a.json:1:")).await;
    assert_eq!(
        addresses(&running),
        set_of(&[a, second, b]),
        "what it said before stays"
    );

    fs::write(path("a.json"), "").expect("written");
    until("that it is empty is told", || faults(&running).contains("is empty")).await;
    assert_eq!(
        addresses(&running),
        set_of(&[a, second, b]),
        "whoever writes a file begins with an empty one"
    );

    fs::remove_file(path("b.yml")).expect("removed");
    fs::write(path("c.json"), "[{\"targets\": [\"c:1\"]}]").expect("written");
    let c = "{file=\"c.json\", instance=\"c:1\", job=\"f\"}";
    until("one goes and one comes", || {
        addresses(&running) == set_of(&[a, second, c])
    })
    .await;

    fs::write(path("a.json"), "[]").expect("written");
    until("the fault is gone, too", || {
        addresses(&running) == set_of(&[c]) && faults(&running).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_waits_for_its_first_round_is_kept_when_files_change() {
    let folder = Folder::new();
    let path = folder.path().join("a.json");
    fs::write(&path, "[]").expect("written");
    let mut job = named("j", "c", "scrape_timeout: 100ms", &says("a 1\n"));
    job.settings.interval_ms = 6000;
    job.files.push(path.clone());
    let running = Running::new();
    running.scraper.set(vec![job]);
    fs::write(&path, "[{\"targets\": [\"127.0.0.1:1\"]}]").expect("written");
    until("the file's target is there", || addresses(&running).len() == 2).await;
    // Seen mostly before the collector was asked for the first time, and never after it was lost.
    until("the collector is up", || running.last("j", "c").health == Health::Up).await;
}

#[tokio::test]
async fn for_an_owner_nothing_is_read_that_is_somebody_elses() {
    use std::os::unix::fs::MetadataExt;

    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.json"), r#"[{"targets": ["a:1"]}]"#).expect("written");
    fs::write(path("token"), "not-his-to-send").expect("written");
    let owner = fs::metadata(path("token")).expect("there").uid();
    let text = format!(
        "scrape_configs:\n  - {{job_name: f, file_sd_configs: [{{files: ['{0}/a.json']}}]}}\n  \
         - {{job_name: t, scrape_interval: 1s, bearer_token_file: '{0}/token', static_configs: [{{targets: ['127.0.0.1:9']}}]}}\n",
        folder.path().display()
    );
    let running = Running::new();
    let set = |owner| {
        let mut jobs = crate::read(&text).jobs;
        for job in &mut jobs {
            job.settings.http.tls.owner = Some(owner);
        }
        running.scraper.set(jobs);
    };
    set(owner + 1);
    assert!(
        faults(&running).contains("has to belong to user"),
        "{}",
        faults(&running)
    );
    let last = running.until("t", "refused", |last| !last.error.is_empty()).await;
    assert!(
        last.error.contains("could not read") && last.error.contains("token"),
        "{}",
        last.error
    );

    set(owner);
    until("his own is read", || faults(&running).is_empty()).await;
    running
        .until("t", "sent", |last| {
            last.health == Health::Down && !last.error.contains("token")
        })
        .await;
}
