//! Debian's `amtool`, as it is, against the doors.

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use tend_alert::Pipeline;
use tend_doors::Backend;

use crate::server::Server;
use crate::world::{ALERTMANAGER, Clock, World};

struct Tool {
    server: Server,
    home: tend_testkit::Folder,
}

impl Tool {
    /// Runs it and returns whether it succeeded, what it printed, and of what it complained.
    fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let out = Command::new("amtool")
            .arg(format!("--alertmanager.url={}", self.server.url()))
            .args(arguments)
            .env("HOME", self.home.path())
            .output()
            .expect("amtool of the Debian package prometheus-alertmanager");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.success(), text(&out.stdout), text(&out.stderr))
    }

    fn does(&self, arguments: &[&str]) -> String {
        let (done, printed, complaint) = self.run(arguments);
        assert!(done, "{arguments:?}: {printed}{complaint}");
        printed
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let all: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
        let printed = self.does(&all);
        match serde_json::from_str(&printed) {
            Ok(Value::Array(list)) => list,
            _ => panic!("{arguments:?}: {printed}"),
        }
    }
}

#[test]
fn amtool_works_as_it_is() {
    let world = Arc::new(World::new(Clock::Goes));
    let tool = Tool {
        server: Server::new(Arc::clone(&world)),
        home: tend_testkit::Folder::new(),
    };
    assert_eq!(tool.json(&["alert", "query"]).len(), 0);
    tool.does(&[
        "alert",
        "add",
        "alertname=Down",
        "job=api",
        "severity=critical",
        "--annotation=summary=it is down",
    ]);
    tool.does(&["alert", "add", "Slow", "job=api", "severity=warning"]);
    tool.does(&["alert", "add", "Slow", "job=web", "team=a"]);

    // One is kept quiet by another, and `alert query` leaves it out unless it is asked for.
    let shown = |list: &[Value]| -> Vec<String> {
        let mut names: Vec<String> = list
            .iter()
            .map(|alert| {
                format!(
                    "{} {}",
                    alert["labels"]["alertname"].as_str().unwrap_or_default(),
                    alert["labels"]["job"].as_str().unwrap_or_default()
                )
            })
            .collect();
        names.sort();
        names
    };
    assert_eq!(shown(&tool.json(&["alert", "query"])), ["Down api", "Slow web"]);
    assert_eq!(shown(&tool.json(&["alert", "query", "--inhibited"])), ["Slow api"]);
    assert_eq!(shown(&tool.json(&["alert", "query", "severity=~crit.*"])), ["Down api"]);
    assert_eq!(shown(&tool.json(&["alert", "query", "-r", "night"])), ["Slow web"]);
    let printed = tool.does(&["alert", "query", "-o", "extended", "Down"]);
    assert!(
        printed.contains("it is down") && printed.contains("active"),
        "{printed}"
    );

    // The comment is the reason.
    let id = tool.does(&[
        "silence",
        "add",
        "--author=me",
        "--comment=a deploy",
        "--duration=2h",
        "job=web",
    ]);
    let id = id.trim().to_owned();
    let silences = tool.json(&["silence", "query"]);
    assert_eq!(
        (silences.len(), &silences[0]["comment"], &silences[0]["createdBy"]),
        (1, &"a deploy".into(), &"me".into())
    );
    world.alerts(&mut |pipeline: &Pipeline| {
        let silence = pipeline.silences().next().expect("one");
        assert_eq!(
            (silence.id.as_str(), silence.reason.as_str()),
            (id.as_str(), "a deploy")
        );
        let length = silence.ends_at - silence.starts_at;
        // It begins when it came, which is somewhat after amtool reckoned its end.
        assert!((1..=2 * 3600 * 1000).contains(&length), "{length}");
    });
    assert_eq!(shown(&tool.json(&["alert", "query"])), ["Down api"]);
    assert_eq!(shown(&tool.json(&["alert", "query", "--silenced"])), ["Slow web"]);
    let (done, _, printed) = tool.run(&["silence", "add", "--author=me", "job=x"]);
    assert!(!done, "one without a reason: {printed}");
    let (done, _, printed) = tool.run(&[
        "silence",
        "add",
        "--author=me",
        "--comment=x",
        "--duration=1h",
        "job=~.*",
    ]);
    assert!(!done && printed.contains("true of every alert"), "{printed}");

    let updated = tool.does(&["silence", "update", "--duration=5h", "--comment=a longer deploy", &id]);
    assert!(
        updated.contains(&id) && updated.contains("a longer deploy"),
        "{updated}"
    );
    assert_eq!(tool.does(&["silence", "query", "-q", "job=web"]).trim(), id);
    assert_eq!(tool.does(&["silence", "query", "-q", "job=other"]).trim(), "");
    tool.does(&["silence", "expire", &id]);
    assert_eq!(tool.json(&["silence", "query"]).len(), 0);
    assert_eq!(
        tool.json(&["silence", "query", "--expired"])[0]["id"],
        Value::from(id.clone())
    );
    let (done, _, printed) = tool.run(&["silence", "expire", "00000000-0000-4000-8000-999999999999"]);
    assert!(!done, "{printed}");
    assert_eq!(shown(&tool.json(&["alert", "query"])), ["Down api", "Slow web"]);

    // The configuration comes from us.
    assert!(tool.does(&["config", "show"]).contains("resolve_timeout: 5m"));
    assert_eq!(
        tool.does(&["config", "routes", "test", "severity=critical"]).trim(),
        "pager"
    );
    assert_eq!(tool.does(&["config", "routes", "test", "team=b"]).trim(), "night");
    assert!(tool.does(&["config", "routes", "show"]).contains("receiver: night"));
    let file = tool.home.write("alertmanager.yml", ALERTMANAGER);
    tool.does(&["check-config", &file.display().to_string()]);
    let imported = tool
        .home
        .write("silences.json", serde_json::to_vec(&silences).expect("JSON"));
    tool.does(&["silence", "import", "--force", &imported.display().to_string()]);
}
