//! A build that is killed by kill -9 at any moment leaves no half artifact, and the next one does its work.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tend_core::model::Artifact;
use tend_release::{Request, build, verify};
use tend_testkit::wait_until;

use crate::fixture::{Place, run_prepare};

const CHILD: &str = "TEND_RELEASE_TEST_BUILD_IN";
const TEST: &str = "killed::a_build_killed_at_any_moment_leaves_no_half_artifact";
const DEADLINE: Duration = Duration::from_secs(60);

/// Files that `prepare` makes: so many that a build can be caught while it copies them.
const FILES: usize = 500;

/// Whether a build is so far, by what lies below its state folder.
type Seen = fn(&Path) -> bool;

/// How far a build can be seen to be.
const MOMENTS: &[(&str, Seen)] = &[
    ("the lock is there", |state| state.join("builds/shop.lock").exists()),
    ("the copy is begun", |state| in_work(state, "copy") > 0),
    ("the source is copied", |state| in_work(state, "copy/stacks/shop") > 0),
    ("prepare has begun", |state| in_work(state, "copy/stacks/shop/made") > 0),
    ("prepare is half done", |state| {
        in_work(state, "copy/stacks/shop/made") > FILES / 2
    }),
    ("keeping has begun", |state| in_work(state, "kept") > 0),
    ("a few are kept", |state| in_work(state, "kept/stacks/shop/made") > 10),
    ("half of them are kept", |state| {
        in_work(state, "kept/stacks/shop/made") > FILES / 2
    }),
    ("all are kept", |state| in_work(state, "kept/stacks/shop/made") == FILES),
    ("the artifact is there", |state| count(&state.join("artifacts")) > 1),
    ("its key is there", |state| count(&state.join("artifacts/keys")) > 0),
];

fn in_work(state: &Path, folder: &str) -> usize {
    let Ok(works) = fs::read_dir(state.join("builds/shop")) else {
        return 0;
    };
    works.flatten().map(|work| count(&work.path().join(folder))).sum()
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

fn script() -> String {
    format!("mkdir made && i=0 && while [ $i -lt {FILES} ]; do echo $i > made/$i; i=$((i+1)); done")
}

fn place() -> Place {
    let mut place = Place::repository();
    place.prepare(&script());
    place.keep = vec!["made".into()];
    place
}

/// Builds the place at `root`, as a daemon of its own.
fn build_in(root: &Path) {
    let request = Request {
        state: &root.join("state"),
        stack: &"shop".parse().unwrap(),
        directory: &root.join("source/stacks/shop"),
        prepare: Some(&["sh", "-c", &script()].map(str::to_owned)),
        keep: &["made".into()],
        environment: &BTreeMap::new(),
        revision: None,
        allow_dirty: false,
        timeout: DEADLINE,
        owner: None,
    };
    build(&request, &mut |prepare| run_prepare(prepare, None)).unwrap();
}

#[test]
fn a_build_killed_at_any_moment_leaves_no_half_artifact() {
    if let Some(root) = std::env::var_os(CHILD) {
        return build_in(Path::new(&root));
    }
    let mut whole = place();
    let expected = whole.build().unwrap().artifact.digest;
    for (moment, is_so) in MOMENTS {
        let mut place = place();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST])
            .env(CHILD, place.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // A build that was quicker than our looking is killed after its end.
        wait_until(DEADLINE, moment, || {
            is_so(&place.state()) || child.try_wait().unwrap().is_some()
        });
        child.kill().unwrap();
        child.wait().unwrap();
        for digest in place.artifacts() {
            let path = place.state().join("artifacts").join(&digest);
            let artifact = Artifact {
                digest,
                path,
                revision: None,
                source: String::new(),
            };
            verify(&artifact).unwrap_or_else(|error| panic!("{moment}: {error}"));
        }
        let built = place.build().unwrap_or_else(|error| panic!("{moment}: {error}"));
        assert_eq!(built.artifact.digest, expected, "{moment}");
        // The command of the build that was killed lives on for a moment; what it still writes goes with the next build.
        wait_until(DEADLINE, "everything of the killed build is cleared", || {
            place.build().unwrap();
            place.names("builds/shop").is_empty()
        });
    }
}
