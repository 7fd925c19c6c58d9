//! The whole way: alerts in, mails and requests out over real sockets, what is kept on a disk, the process gone in between, answers lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tend_alert::{Config, Kept, Pace, Pipeline, Posted, read_config};
use tend_notify::Notifier;
use tend_testkit::{Act, Folder, Scripted};

use crate::told::{AT, block_on, told, word};

const MINUTE: i64 = 60_000;

/// The monitor in small: it writes before it sends and after each answer.
struct Monitor {
    pipeline: Pipeline,
    notifier: Notifier,
    disk: PathBuf,
    now: i64,
    ended: Vec<&'static str>,
}

impl Monitor {
    fn start(config: Config, disk: &Path, now: i64) -> Self {
        let kept = match std::fs::read(disk) {
            Ok(text) => serde_json::from_slice(&text).expect("what was written reads back"),
            Err(_) => Kept::default(),
        };
        Self {
            pipeline: Pipeline::new(config, kept, Pace::default(), now),
            notifier: Notifier::default(),
            disk: disk.to_owned(),
            now,
            ended: Vec::new(),
        }
    }

    /// A process that was killed and is started again.
    fn restarted(self) -> Self {
        Self::start(self.pipeline.config().clone(), &self.disk, self.now)
    }

    fn write(&self) {
        let text = serde_json::to_vec(&self.pipeline.kept()).expect("it is data");
        tend_base::write_atomically(&self.disk, &text, 0o600).expect("own folder");
    }

    fn post(&mut self, name: &str, ends_at: Option<i64>) {
        let labels: BTreeMap<String, String> = [("alertname".to_owned(), name.to_owned())].into();
        let refused = self.pipeline.receive(
            vec![Posted {
                labels,
                ends_at,
                ..Posted::default()
            }],
            self.now,
        );
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// Lets time pass until a moment; `dies` is told before an answer is taken in.
    fn until(&mut self, moment: i64, dies: &mut dyn FnMut() -> bool) -> bool {
        while let Some(next) = self.pipeline.next(self.now).filter(|next| *next <= moment) {
            self.now = self.now.max(next);
            let due = self.pipeline.tick(self.now, &|_, _| None);
            self.write();
            for delivery in due.deliveries {
                let heard = block_on(told(&self.notifier, self.pipeline.config(), &delivery));
                if dies() {
                    return false;
                }
                self.ended.push(word(&heard));
                self.pipeline.answered(delivery.id, heard.answer, self.now);
                self.write();
            }
        }
        self.now = moment;
        true
    }
}

fn never() -> bool {
    false
}

fn good_mail() -> Vec<Act> {
    let mut acts = vec![Act::Say("220 mail\r\n".to_owned()), Act::Line("250 mail\r\n")];
    acts.extend([
        Act::Line("250 ok\r\n"),
        Act::Line("250 ok\r\n"),
        Act::Line("354 go\r\n"),
    ]);
    acts.push(Act::Lines("250 taken\r\n"));
    acts
}

/// A mail that is taken whole, with an answer that never comes.
fn lost_mail() -> Vec<Act> {
    let mut acts = good_mail();
    acts.pop();
    acts.push(Act::Lines(""));
    acts
}

/// Names and subjects of the mails that a server was given.
fn mails(server: &Scripted) -> Vec<(String, String)> {
    let header = |mail: &str, name: &str| {
        let found = mail.split("\r\n").find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().to_owned()
    };
    let asked = server.asked();
    let whole = asked.iter().filter(|text| text.contains("Message-Id: "));
    whole
        .map(|mail| (header(mail, "Message-Id: "), header(mail, "Subject: ")))
        .collect()
}

fn config(mail: &Scripted, hook: &Scripted) -> Config {
    let text = format!(
        "route: {{receiver: r, group_by: [alertname], group_wait: 10s, group_interval: 1m, repeat_interval: 4h}}
receivers:
- name: r
  email_configs: [{{to: ann@example.com, from: tend@example.com, smarthost: '{}', require_tls: false, send_resolved: true}}]
  webhook_configs: [{{url: '{}'}}]
",
        mail.address(),
        hook.url("/")
    );
    read_config(Path::new("am.yml"), &text).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn nothing_is_lost_and_repetitions_carry_the_same_name() {
    let folder = Folder::new();
    let disk = folder.path().join("alerts.json");
    let mail = Scripted::start(vec![
        // Away, busy, an answer that is lost, an answer that comes when nobody is there to hear it, and at last a good day.
        vec![],
        vec![Act::Say("421 busy\r\n".to_owned())],
        lost_mail(),
        good_mail(),
        good_mail(),
        good_mail(),
    ]);
    let hook = Scripted::start(vec![
        vec![Act::status(500, "oh")],
        vec![Act::answer(
            "HTTP/1.1 429 Slowly\nRetry-After: 30\nContent-Length: 0\n\n",
        )],
        vec![Act::Read],
        vec![Act::ok("")],
        vec![Act::ok("")],
    ]);
    let mut monitor = Monitor::start(config(&mail, &hook), &disk, AT);
    // For as long as the world says, whatever the machine's clock does.
    monitor.post("Slow", Some(AT + 30 * MINUTE));
    // The fourth mail is taken, and the process dies before it hears of it.
    let dies = || mails(&mail).len() == 2;
    assert!(!monitor.until(AT + 20 * MINUTE, &mut || dies()), "it died");
    assert!(!monitor.ended.contains(&"refused"), "{:?}", monitor.ended);
    let mut monitor = monitor.restarted();
    assert!(monitor.until(AT + 29 * MINUTE, &mut never));
    let told = mails(&mail);
    let names: BTreeSet<&String> = told.iter().map(|(name, _)| name).collect();
    assert_eq!((told.len(), names.len()), (3, 1), "three times the same: {told:?}");
    assert_eq!(
        monitor
            .pipeline
            .dead_letters()
            .filter(|letter| letter.tries == 0)
            .count(),
        0
    );
    assert_eq!(hook.asked().len(), 4, "tried until it was taken, and not again");
    let mut monitor = monitor.restarted();
    assert!(monitor.until(AT + 32 * MINUTE, &mut never), "it resolved");
    let told = mails(&mail);
    let names: BTreeSet<&String> = told.iter().map(|(name, _)| name).collect();
    assert_eq!((told.len(), names.len()), (4, 2), "{told:?}");
    assert!(told[3].1.to_lowercase().contains("resolved"), "{told:?}");
    assert!(
        hook.asked()[4].contains("\"status\":\"resolved\""),
        "{:?}",
        hook.asked()
    );
    assert!(monitor.until(AT + 8 * 60 * MINUTE, &mut never));
    assert_eq!(
        (mails(&mail).len(), hook.asked().len()),
        (4, 5),
        "and then there is silence"
    );
}
