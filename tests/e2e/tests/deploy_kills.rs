//! The daemon is killed at every step of a deploy: what it left is finished or taken back, and the journal says which.
//!
//! Owns how the steps of a deploy are enumerated, and the walk over them. A good deploy says by its journal which steps there are; then
//! deploys are killed at each of them. The journal is read beside the daemon, from its file, so that reading ends with nobody.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use tend_core::journal::{Event, Filter};
use tend_store::{Files, Reader, Tail};

use crate::deploy_rig::{Client, Shop, database, quietly};
use crate::rig::{DEADLINE, get, is_alive, kill, wait_until};

/// Kills in one deploy. More would be quicker, but then no deploy would ever come far without one.
const KILLS_EACH: usize = 3;

/// Deploys in a row that came to none of the steps that are left; then it is looked which these are.
const IN_VAIN_MAX: usize = 2;

/// Requests after each deploy, at least.
const ASKED_AFTER: usize = 60;

/// A step, and where in the deploy it stands: its phase, and the stage of its service.
type Point = String;

/// Follows the journal of one deployment.
struct Follower {
    tail: Tail,
    phase: String,
    stage: String,
    /// Steps that began and did not end, in the order in which they began.
    under_way: Vec<(String, Point)>,
    end: Option<Value>,
}

impl Follower {
    /// Follows from now on.
    fn of(shop: &Shop) -> Self {
        let files = Files::of(&shop.machine.folder.join("state"));
        let mut tail = Reader::open(&files.database).unwrap().tail(Filter::default());
        tail.next_events().unwrap();
        Self {
            tail,
            phase: String::new(),
            stage: String::new(),
            under_way: Vec::new(),
            end: None,
        }
    }

    /// Takes in what came since the last time, and returns the steps that began.
    fn steps(&mut self) -> Vec<Point> {
        let events = self.tail.next_events().unwrap();
        events.iter().filter_map(|event| self.take(event)).collect()
    }

    fn take(&mut self, event: &Event) -> Option<Point> {
        let data = &event.data;
        match event.kind.as_str() {
            "deploy.started" => self.phase = "preparing".to_owned(),
            "deploy.phase" => self.phase = plain(&data["phase"]),
            "deploy.stage" => {
                self.stage = format!("{} to {}", plain(&data["stage"]), plain(&data["exposure"]));
            }
            "deploy.finished" => self.end = Some(data.clone()),
            // What a daemon that was killed had under way, it will not end.
            "daemon.started" => self.under_way.clear(),
            "step.finished" => {
                let what = data["what"].as_str().unwrap_or_default();
                self.under_way.retain(|(own, _)| own != what);
            }
            "step.started" if !self.phase.is_empty() => {
                let what = data["what"].as_str().unwrap_or_default().to_owned();
                let point = format!("{} ({}): {}", self.phase, self.stage, act(&what));
                self.under_way.push((what, point.clone()));
                return Some(point);
            }
            _ => {}
        }
        None
    }
}

/// Returns a word of the journal, or the words of one that has particulars, without the quotes of JSON.
fn plain(value: &Value) -> String {
    value.to_string().replace(['"', '{', '}'], "").replace(':', " ")
}

/// Returns what a step does without what differs each time: a port, how many replicas were just there.
fn act(what: &str) -> &str {
    if what.starts_with("route ") {
        return "route";
    }
    [" on port ", " with SIG"]
        .iter()
        .fold(what, |what, end| what.split(end).next().unwrap_or(what))
}

/// A walk over the steps of deploys of one stack.
struct Walk {
    shop: Shop,
    marks: PathBuf,
    version: u32,
    /// The version of the release that runs.
    running: String,
    walked: BTreeSet<Point>,
    ends: Vec<String>,
    kills: usize,
}

impl Walk {
    fn begin() -> Self {
        let database = database("walk");
        let marks = database.with_file_name("marks");
        std::fs::create_dir_all(&marks).unwrap();
        // The commands of a stack do not run as root, whoever runs this test.
        std::fs::set_permissions(&marks, std::fs::Permissions::from_mode(0o777)).unwrap();
        let sqlite = rusqlite::Connection::open(&database).unwrap();
        sqlite
            .execute_batch("CREATE TABLE IF NOT EXISTS members (id INTEGER PRIMARY KEY); INSERT INTO members VALUES (1), (2), (3);")
            .unwrap();
        drop(sqlite);
        let shop = Shop::up(
            "walk",
            "",
            &format!(
                "deploy:\n  keep: {{ count: 0 }}\n  migrate: {{ service: web, command: ./migrate, timeout: 30s }}\n\
                 \x20 databases:\n    - {{ sqlite: {} }}\n  notify: ./notify\n",
                database.display()
            ),
        );
        // A folder can be made once: a second migration beside the first says so. It lasts long enough to be met under way.
        shop.program(
            "migrate",
            &format!(
                "#!/bin/sh\ncd {}\nmkdir alone || echo twice >> twice\nsleep 0.3\necho run >> runs\nrmdir alone\n",
                marks.display()
            ),
        );
        shop.program(
            "notify",
            &format!(
                "#!/bin/sh\necho \"$TEND_DEPLOY_NUMBER $TEND_DEPLOY_RESULT\" >> {}/told\n",
                marks.display()
            ),
        );
        Self {
            shop,
            marks,
            version: 1,
            running: "0.1".to_owned(),
            walked: BTreeSet::new(),
            ends: Vec::new(),
            kills: 0,
        }
    }

    /// Deploys once to see which steps there are, and then with kills until each of them was walked.
    fn walk(&mut self, more: &[&str]) -> Vec<Point> {
        let steps = self.deploy(&BTreeSet::new(), more);
        let todo: BTreeSet<Point> = steps.iter().cloned().collect();
        tell(format_args!("{} steps, {} of them different:", steps.len(), todo.len()));
        for step in &steps {
            tell(format_args!("  {step}"));
        }
        let before = self.ends.len();
        let mut in_vain = 0;
        while !todo.is_subset(&self.walked) && in_vain < IN_VAIN_MAX {
            let kills = self.kills;
            self.deploy(&todo, more);
            in_vain = if self.kills == kills { in_vain + 1 } else { 0 };
        }
        let left: Vec<&Point> = todo.difference(&self.walked).collect();
        tell(format_args!("not met again: {left:?}"));
        // How often the edge is told, and so how often it is looked whether a service answers by it, depends on how quickly replicas
        // come and go; all else is the same each time.
        let by_chance = |point: &Point| point.ends_with(": route") || point.contains(": see shop/web answer at ");
        assert!(
            left.iter().all(|point| by_chance(point)),
            "never came up again: {left:#?}"
        );
        tell(format_args!(
            "each of them walked in {} deploys",
            self.ends.len() - before
        ));
        steps
    }

    /// Deploys the next version, killing the daemon at steps of `todo` that were not walked yet; returns all steps that were seen.
    fn deploy(&mut self, todo: &BTreeSet<Point>, more: &[&str]) -> Vec<Point> {
        self.version += 1;
        let version = format!("0.{}", self.version);
        self.shop.serve(&version, "");
        self.shop.commit(&version);
        let mut follower = Follower::of(&self.shop);
        let stack = self.shop.stack();
        let mut arguments = vec!["deploy", stack.as_str()];
        arguments.extend(more);
        let mut asking = quietly(&self.shop, &arguments);
        let (mut seen, mut kills) = (Vec::new(), 0);
        let mut begun = Instant::now();
        while follower.end.is_none() {
            assert!(
                begun.elapsed() < DEADLINE,
                "the deploy of {version} did not end; {} ({}) was the last that was seen of it, after {seen:?}",
                follower.phase,
                follower.stage,
            );
            let began = follower.steps();
            let point = began
                .iter()
                .find(|point| todo.contains(*point) && !self.walked.contains(*point));
            if let Some(point) = point.filter(|_| kills < KILLS_EACH) {
                self.kill(point, &mut follower);
                kills += 1;
                begun = Instant::now();
            }
            seen.extend(began);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        // It was told the end, or that the daemon is gone.
        asking.wait().unwrap();
        self.look(&version, follower.end.unwrap_or_default());
        seen
    }

    /// Kills the daemon at a step that has just begun, and starts it again.
    fn kill(&mut self, point: &Point, follower: &mut Follower) {
        let daemon = self.shop.machine.daemon();
        kill(daemon);
        wait_until("it is gone, and its lock with it", || !is_alive(daemon));
        follower.steps();
        // Whatever else had begun and not ended was met by the same kill.
        let met: Vec<Point> = follower.under_way.iter().map(|(_, point)| point.clone()).collect();
        let state = if met.contains(point) { "under way" } else { "just ended" };
        tell(format_args!("killed at {point} [{state}]"));
        self.walked.insert(point.clone());
        self.walked.extend(met);
        self.kills += 1;
        self.shop.machine.start_daemon();
    }

    /// What the journal says of the end is so: of what serves, of every replica, and of what was told.
    fn look(&mut self, version: &str, end: Value) {
        let result = end["result"].as_str().unwrap_or_default().to_owned();
        match result.as_str() {
            "committed" => self.running = version.to_owned(),
            "undone" => assert!(!end["why"].is_null(), "{end}"),
            other => panic!("{other} is no end of a deploy that begins well: {end}"),
        }
        tell(format_args!(
            "{version}: {result} {}",
            end["why"].as_str().unwrap_or_default()
        ));
        self.shop.assert_only(&self.running, &result);
        let releases = self.shop.releases();
        assert_eq!(releases["deployment"], Value::Null, "the lock is free");
        let running = (releases["releases"].as_array().unwrap().iter())
            .find(|release| release["role"] == "running")
            .expect("one release runs");
        let expected = if result == "committed" {
            &end["release"]
        } else {
            &end["from"]
        };
        assert_eq!(&running["number"], expected, "{releases}");
        let mut replicas = BTreeSet::new();
        let mut asked = 0;
        // The client beside may keep one of them busy for a while, and the edge prefers the other.
        wait_until("both replicas answered, and many requests", || {
            let answer = get(self.shop.port, "/version").unwrap();
            assert_eq!(answer.body.trim(), self.running, "{answer:?}");
            replicas.extend(answer.replica);
            asked += 1;
            asked >= ASKED_AFTER && replicas.len() >= 2
        });
        assert_eq!(replicas.len(), 2, "and no third: {replicas:?}");
        let told = read(&self.marks.join("told"));
        assert_eq!(
            told.lines().next_back(),
            Some(format!("{} {result}", end["deployment"]).as_str()),
            "who wants to know was told the truth"
        );
        self.ends.push(result);
    }
}

#[expect(
    clippy::print_stdout,
    reason = "which steps were walked is what a reader of this test wants to see"
)]
fn tell(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Asserts that each of these is part of one of the steps.
#[track_caller]
fn assert_has(steps: &[Point], parts: &[&str]) {
    for part in parts {
        assert!(
            steps.iter().any(|step| step.contains(part)),
            "no step is `{part}` in {steps:#?}"
        );
    }
}

#[test]
fn a_deploy_whose_daemon_is_killed_at_any_step_is_finished_or_undone_and_says_which() {
    let mut walk = Walk::begin();
    // The first deploy has nothing to prune; the third has every step.
    for _ in 0..2 {
        walk.deploy(&BTreeSet::new(), &[]);
    }
    let client = Client::of(&walk.shop);
    let forth = walk.walk(&[]);
    assert_has(
        &forth,
        &[
            "look whether it can be done",
            "take a restore point",
            "migrate",
            "start shop/web/",
            "route",
            "smoke test of the new web",
            "see what really runs",
            "stop shop/web/",
            "smoke test of web as a client",
            "notify",
            "remove releases that are not kept",
        ],
    );
    // One that nobody confirms goes all the way, and all the way back. Whether a step begins after its end is chance: the edge is told
    // of the last replica that left before it or after it.
    let back = walk.walk(&["--confirm", "1s"]);
    assert_has(
        &back,
        &[
            "undoing (candidate to before): start shop/web/",
            "undoing (candidate to before): stop shop/web/",
            "finishing undone (done to before): notify",
            "finishing undone (done to before): stop shop/web/",
        ],
    );
    let versions = client.versions();
    let met: BTreeSet<String> = versions.into_iter().collect();
    tell(format_args!(
        "{} kills in {} deploys; clients met {met:?}",
        walk.kills,
        walk.ends.len()
    ));
    for result in ["committed", "undone"] {
        assert!(walk.ends.iter().any(|end| end == result), "no deploy ended {result}");
    }
    assert_eq!(read(&walk.marks.join("twice")), "", "a migration ran beside another");
    walk.shop.machine.tend(&["events", "verify"]).ok();
    std::fs::remove_dir_all(walk.marks.parent().unwrap()).unwrap();
}
