//! Restore points, and the migration command: once, under a lock that outlives this daemon, for so long and no longer.
//!
//! Invariant: two migrations of a stack never run at once, whatever was killed (test `a_second_migration_waits_for_the_first`).

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tend_base::{Mono, format_bytes, format_duration};
use tend_core::deployment::Outcome;
use tend_core::model::Migrate;
use tend_core::plan::Launch;
use tend_release::restore_point;

use super::{Identified, Scene, blocking, counted, folder, identified, preflight, sentence};
use crate::daemon::errand::{self, Errand, Mark};
use crate::daemon::steps::Performer;
use crate::daemon::{identity, migrations, now};

/// How long one restore point may take.
const RESTORE_POINT_MAX: Duration = Duration::from_secs(1800);

/// Restore points kept of each database.
const RESTORE_POINTS: usize = 5;

/// Between two looks at the lock.
const LOCK_AGAIN: Duration = Duration::from_millis(50);

/// Names the migrations that must not run yet, separated by blanks, for a command that finds its files elsewhere than in its folder.
const HELD_VARIABLE: &str = "TEND_MIGRATIONS_HELD";

/// Takes a restore point of each database, reads it back and counts it.
pub(super) async fn restore_point(performer: &Arc<Performer>, scene: Scene) -> Outcome {
    let folder = performer
        .shared
        .paths
        .state
        .join("restore-points")
        .join(scene.stack().as_str());
    let work = Arc::clone(performer);
    blocking(move || {
        let _employer = work.shared.replicas.employ();
        let mut points = Vec::new();
        for database in &scene.target.stack.deploy.databases {
            let options = restore_point::Options {
                keep: RESTORE_POINTS,
                timeout: RESTORE_POINT_MAX,
                owner: None,
            };
            points.push(restore_point::take(database, &folder, &options).map_err(|error| sentence(&error))?);
        }
        let bytes: u64 = points.iter().map(|point| point.bytes).sum();
        let rows: u64 = points.iter().flat_map(|point| point.tables.values()).sum();
        let taken = points.iter().filter(|point| point.path.is_some()).count();
        let said = match taken {
            0 => "there is no database yet".to_owned(),
            taken => format!(
                "{} read back: {}, {}",
                counted(taken, "database"),
                counted(usize::try_from(rows).unwrap_or(usize::MAX), "row"),
                format_bytes(bytes)
            ),
        };
        Ok(json!({ "said": said, "bytes": bytes, "rows": rows, "points": points }))
    })
    .await
}

/// Runs the migration command.
pub(super) async fn migrate(performer: &Arc<Performer>, scene: Scene) -> Outcome {
    let Some(migrate) = scene.target.stack.deploy.migrate.clone() else {
        return Ok(json!({ "said": "nothing is to be migrated" }));
    };
    let launch = scene.launch(performer, &migrate.service).await;
    let launch = launch.ok_or_else(|| format!("{} is no process: its migration cannot be run", migrate.service))?;
    let performer = Arc::clone(performer);
    blocking(move || in_folder(&performer, &scene, &migrate, &launch)).await
}

fn in_folder(performer: &Performer, scene: &Scene, migrate: &Migrate, launch: &Launch) -> Outcome {
    let own = folder(performer, scene.stack());
    let held = preflight::held(scene);
    let Identified { who, mut environment } = identified(performer, launch, scene.stack())?;
    performer.learn(scene.stack().as_str(), &environment);
    environment.insert(HELD_VARIABLE.to_owned(), held.join(" "));
    let begun = now().mono;
    std::fs::create_dir_all(&own).map_err(|error| unusable(&own, &error))?;
    let lock = lock(&own.join("migrate.lock"), begun, migrate.timeout)?;
    let waited = now().mono.since(begun);
    let files = migrations::files(&scene.target.stack)?;
    let view = match held.is_empty() {
        true => None,
        // The folder without what has to wait: a command that applies all it finds cannot be told in another way.
        false => Some(View::make(
            own.join("migrate"),
            &launch.directory,
            &files,
            &held,
            who.as_ref(),
        )?),
    };
    let directory = view
        .as_ref()
        .map_or(launch.directory.as_path(), |view| view.0.as_path());
    let log = own.join("migrate.log");
    let program = identity::program(&migrate.command, directory, &environment, who.as_ref());
    let done = errand::run(
        &performer.shared,
        Errand {
            program,
            timeout: migrate.timeout,
            log: &log,
            patterns: performer.shared.secrets.patterns(scene.stack().as_str()),
            lock: Some(lock),
            stop: &|| None,
            said: &|_| {},
        },
    );
    done.map_err(|failed| failed.in_lines())?;
    let mut said = match files.len() - held.len().min(files.len()) {
        0 if files.is_empty() => "the command ended well".to_owned(),
        count => format!("the command ended well, with {}", counted(count, "file")),
    };
    if !held.is_empty() {
        said = format!("{said}; held back: {}", held.join(", "));
    }
    Ok(json!({
        "said": said,
        "command": migrate.command,
        "held": held,
        "waited_ms": u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        "last_lines": errand::last_lines(&log),
    }))
}

/// Takes the lock, waiting for an earlier migration that still runs. One that outlasts the timeout is ended with all it started.
fn lock(path: &Path, begun: Mono, timeout: Duration) -> Result<File, String> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path);
    let file = file.map_err(|error| unusable(path, &error))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(unusable(path, &error)),
            Err(TryLockError::WouldBlock) => {}
        }
        if now().mono.since(begun) > timeout {
            let marks: Vec<Mark> = Mark::of(&file).into_iter().collect();
            errand::end_tree(0, &marks);
            return Err(format!(
                "an earlier migration still ran after {}, and was ended",
                format_duration(timeout)
            ));
        }
        std::thread::sleep(LOCK_AGAIN);
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> String {
    let error = tend_base::without_os_numbers(&error.to_string());
    format!("`{}` cannot be used: {error}", path.display())
}

/// A copy of a folder without some of its files, gone with the value.
struct View(PathBuf);

impl View {
    fn make(
        path: PathBuf,
        folder: &Path,
        files: &[migrations::MigrationFile],
        held: &[String],
        who: Option<&tend_linux::Credentials>,
    ) -> Result<Self, String> {
        // What an earlier one left that was killed.
        let view = Self(path);
        view.clear();
        let left_out: BTreeSet<&Path> = files
            .iter()
            .filter(|file| held.contains(&file.name))
            .map(|file| file.path.as_path())
            .collect();
        let own = |path: &Path| match who {
            Some(who) => std::os::unix::fs::lchown(path, Some(who.uid), Some(who.gid)),
            None => Ok(()),
        };
        copy(folder, &view.0, &left_out, &own).map_err(|error| unusable(&view.0, &error))?;
        Ok(view)
    }

    fn clear(&self) {
        // What is left is only room on the disk; the next one tries again.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.clear();
    }
}

fn copy(
    from: &Path,
    to: &Path,
    left_out: &BTreeSet<&Path>,
    own: &dyn Fn(&Path) -> std::io::Result<()>,
) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    own(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if left_out.contains(path.as_path()) {
            continue;
        }
        if kind.is_dir() {
            copy(&path, &target, left_out, own)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&path)?, &target)?;
            own(&target)?;
        } else if kind.is_file() {
            std::fs::copy(&path, &target)?;
            own(&target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tend-migrate-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_second_migration_waits_for_the_first() {
        let folder = place("lock");
        let path = folder.join("migrate.lock");
        let held = lock(&path, now().mono, Duration::from_secs(10)).unwrap();
        // A child that inherits it holds it on after its parent let go, as one whose daemon was killed does.
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line <&1 || true; exec sleep 600"])
            .stdin(held)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let file = File::open(&path).unwrap();
        assert!(matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        let waits = lock(&path, now().mono, Duration::ZERO).unwrap_err();
        assert!(waits.contains("an earlier migration"), "{waits}");
        // What outlasted its time was ended, so the next try gets the lock.
        child.wait().unwrap();
        assert!(lock(&path, now().mono, Duration::from_secs(10)).is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_held_back_is_not_in_the_view_and_all_else_is() {
        let folder = place("view");
        let source = folder.join("source");
        std::fs::create_dir_all(source.join("db")).unwrap();
        for file in ["run.sh", "db/1.sql", "db/2.sql"] {
            std::fs::write(source.join(file), file).unwrap();
        }
        let file = |name: &str| migrations::MigrationFile {
            name: name.to_owned(),
            path: source.join("db").join(name),
            sql: String::new(),
        };
        let files = [file("1.sql"), file("2.sql")];
        let held = ["2.sql".to_owned()];
        let view = View::make(folder.join("view"), &source, &files, &held, None).unwrap();
        assert!(view.0.join("run.sh").is_file() && view.0.join("db/1.sql").is_file());
        assert!(!view.0.join("db/2.sql").exists());
        let path = view.0.clone();
        drop(view);
        assert!(!path.exists() && source.join("db/2.sql").is_file());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
