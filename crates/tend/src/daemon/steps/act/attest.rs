//! Compares what a replica's shim says really runs with what was deployed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tend_core::deployment::Outcome;
use tend_core::model::{Artifact, Process, ReplicaId, Workload};
use tend_linux::Attestation;
use tend_release::ExecutableKind;

use super::{Scene, blocking, program};
use crate::daemon::steps::Performer;

/// How long a shim may take to answer: it reads the whole program.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// What the kernel puts behind the name of a file that is not there any more.
const DELETED: &str = " (deleted)";

pub(super) async fn attest(performer: &Arc<Performer>, scene: Scene, replica: &ReplicaId, incarnation: u64) -> Outcome {
    let folder = performer.shared.replicas.folder(replica, incarnation);
    let folder = folder.ok_or_else(|| format!("{replica} has ended"))?;
    let service = scene.target.stack.services.get(&replica.service);
    let process = match service.map(|service| &service.workload) {
        Some(Workload::Process(process)) => process.clone(),
        _ => {
            return Err(format!(
                "release {} has no process {}",
                scene.target.number, replica.service
            ));
        }
    };
    let launch = scene.launch(performer, &replica.service).await;
    let path = launch.and_then(|launch| launch.environment.get("PATH").cloned());
    let path = path.or_else(|| std::env::var("PATH").ok()).unwrap_or_default();
    let (number, artifact) = (
        scene.target.number,
        scene.target.artifacts.get(&replica.service).cloned(),
    );
    blocking(move || {
        let seen = tend_linux::attest(&folder, ANSWER_MAX).map_err(|error| super::sentence(&error))?;
        judge(&seen, number, incarnation, &process, artifact.as_ref(), &path)
    })
    .await
}

/// Says whether what was seen is what was deployed, and gives it as evidence.
fn judge(
    seen: &Attestation,
    release: u64,
    incarnation: u64,
    process: &Process,
    artifact: Option<&Artifact>,
    path: &str,
) -> Result<Value, String> {
    let own = seen.release.as_deref();
    if own != Some(release.to_string().as_str()) {
        let own = own.map_or_else(|| "none".to_owned(), |own| format!("release {own}"));
        return Err(format!(
            "it was started as {own}, and release {release} is being deployed"
        ));
    }
    let folder = real(&process.directory);
    if real(&seen.directory) != folder && !inside(&seen.directory, &folder) {
        return Err(format!(
            "it works in `{}`, and the release is in `{}`",
            seen.directory.display(),
            folder.display()
        ));
    }
    let how = match artifact {
        None => "in place: what is in the folder is not kept by tend".to_owned(),
        Some(artifact) => program_of(seen, process, artifact, path)?,
    };
    Ok(json!({
        "said": format!("release {release}, {how}"),
        "attested_by": seen.attested_by.text(),
        "release": release,
        "incarnation": incarnation,
        "pid": seen.process.pid,
        "executable": seen.executable,
        "executable_sha256": seen.executable_sha256,
        "directory": seen.directory,
        "artifact": artifact.map(|artifact| artifact.digest.as_str()),
    }))
}

/// Says which program runs, when that is one that the artifact holds or its interpreter.
fn program_of(seen: &Attestation, process: &Process, artifact: &Artifact, path: &str) -> Result<String, String> {
    let runs = seen.executable.display().to_string();
    if runs.ends_with(DELETED) && inside(Path::new(runs.trim_end_matches(DELETED)), &artifact.path) {
        return Err(format!("its program `{runs}` was taken out of the artifact"));
    }
    if inside(&seen.executable, &artifact.path) {
        let kept = tend_release::executable(&seen.executable, None).map_err(|error| super::sentence(&error))?;
        return match kept.sha256 == seen.executable_sha256 {
            true => Ok(format!("program {}", &kept.sha256[..12])),
            false => Err(format!("its program `{runs}` is not the one that the artifact holds")),
        };
    }
    let wanted = process.command.first().map(String::as_str).unwrap_or_default();
    let found = program::check(wanted, &process.directory, path)?;
    match found.kind {
        // A program of the artifact has to be what runs; that it runs another one instead is not what was deployed.
        ExecutableKind::Elf { .. } if inside(&found.path, &artifact.path) => Err(format!(
            "it runs `{runs}`, and the release says `{}`",
            found.path.display()
        )),
        _ => Ok(format!("run by {runs}")),
    }
}

/// Returns whether a path lies in a folder, links followed.
fn inside(path: &Path, folder: &Path) -> bool {
    real(path).starts_with(real(folder))
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tend_linux::{AttestedBy, Evidence};

    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tend-attest-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn artifact(&self) -> Artifact {
            Artifact {
                digest: "d".repeat(64),
                path: self.0.clone(),
                revision: None,
                source: "files:x".to_owned(),
            }
        }

        /// Puts a copy of a program into the artifact; returns where it is and its hash.
        fn program(&self, name: &str) -> (PathBuf, String) {
            let path = self.0.join(name);
            std::fs::copy("/bin/sh", &path).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            let sha256 = tend_release::executable(&path, None).unwrap().sha256;
            (path, sha256)
        }

        fn process(&self, command: &str) -> Process {
            Process {
                command: vec![command.to_owned()],
                directory: self.0.clone(),
                environment: Default::default(),
                user: None,
                prepare: None,
                open_files_max: None,
                artifact: Vec::new(),
                artifact_digest: Some("d".repeat(64)),
            }
        }

        fn seen(&self, executable: &Path, sha256: &str) -> Attestation {
            Attestation {
                attested_by: AttestedBy::Shim,
                incarnation: "mps/api/1.3".to_owned(),
                release: Some("13".to_owned()),
                process: Evidence::of(i32::try_from(std::process::id()).unwrap()).unwrap(),
                executable: executable.to_owned(),
                executable_sha256: sha256.to_owned(),
                executable_bytes: 1,
                directory: self.0.clone(),
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_program_of_the_artifact_is_believed_by_its_hash_alone() {
        let place = Place::new("hash");
        let (path, sha256) = place.program("api");
        let judged = |seen: &Attestation| judge(seen, 13, 3, &place.process("./api"), Some(&place.artifact()), "/bin");
        let evidence = judged(&place.seen(&path, &sha256)).unwrap();
        assert_eq!(evidence["executable_sha256"], sha256.as_str());
        assert!(judged(&place.seen(&path, &"0".repeat(64))).is_err());
        let old = Attestation {
            release: Some("12".to_owned()),
            ..place.seen(&path, &sha256)
        };
        assert!(judged(&old).unwrap_err().contains("release 12"));
        let elsewhere = Attestation {
            directory: "/".into(),
            ..place.seen(&path, &sha256)
        };
        assert!(judged(&elsewhere).unwrap_err().contains("works in"));
        let other = judged(&place.seen(Path::new("/bin/sleep"), &sha256)).unwrap_err();
        assert!(other.contains("/bin/sleep"), "{other}");
    }

    #[test]
    fn an_interpreter_and_a_folder_in_place_are_said_to_be_that() {
        let place = Place::new("script");
        let seen = place.seen(Path::new("/bin/sh"), &"0".repeat(64));
        let process = place.process("sh");
        let said = |artifact: Option<&Artifact>| {
            let evidence = judge(&seen, 13, 3, &process, artifact, "/bin").unwrap();
            evidence["said"].as_str().unwrap().to_owned()
        };
        assert!(said(Some(&place.artifact())).contains("run by"));
        assert!(said(None).contains("in place"));
    }
}
