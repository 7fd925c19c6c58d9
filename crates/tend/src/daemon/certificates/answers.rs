//! Answers to an authority's challenges, through the edge: into the snapshot and out again.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tend_acme::{Answer, Answers};
use tend_base::write_atomically;
use tend_core::controller::Input;
use tend_routing::{Certificate, Challenges, Http01};

use super::wanted::wanted;
use crate::daemon::hub::Hub;
use crate::daemon::shared::Shared;

/// Until the edge serves what it was told. Above what an edge takes that was just killed and comes back.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

/// The way of answers to the edge.
pub(crate) struct ThroughEdge {
    pub(crate) shared: Arc<Shared>,
    pub(crate) hub: Hub,
}

impl Answers for ThroughEdge {
    async fn show(&self, answers: Vec<Answer>) -> Result<(), String> {
        let shelf = &self.shared.certificates;
        let none = answers.is_empty();
        let challenges = challenges(&shelf.challenges_folder(), answers)
            .map_err(|error| format!("they could not be written to `{}`: {error}", shelf.folder().display()))?;
        shelf.set_challenges(challenges.clone());
        self.hub.input(Input::EdgeRulesChanged).await;
        if none {
            // Nobody waits for answers to be gone; files of theirs go when the next are served.
            return Ok(());
        }
        served(&self.hub).await?;
        sweep(&shelf.challenges_folder(), &challenges);
        Ok(())
    }
}

/// Waits until the edge serves all it was told.
pub(crate) async fn served(hub: &Hub) -> Result<(), String> {
    let mut changes = hub.changes();
    let serves = async {
        loop {
            changes.mark_unchanged();
            if hub.ask(|controller, _| wanted(controller.world()).edge_serves).await {
                return;
            }
            if changes.changed().await.is_err() {
                // Only the end of the daemon ends the hub.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::time::timeout(SERVED_WITHIN, serves).await.map_err(|_| {
        format!(
            "the edge does not serve what it was told within {}",
            tend_base::format_duration(SERVED_WITHIN)
        )
    })
}

/// Removes the files of answers that are not shown any more.
fn sweep(folder: &Path, shown: &Challenges) {
    let entries = fs::read_dir(folder);
    for path in entries.into_iter().flatten().flatten().map(|entry| entry.path()) {
        let named = |certificate: &Certificate| certificate.chain == path || certificate.key == path;
        if !shown.tls_alpn01.iter().any(named) {
            // It opens nothing: a key for an answer that nobody asks for.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Returns answers as the snapshot names them; certificates among them go into files of the folder.
fn challenges(folder: &Path, answers: Vec<Answer>) -> std::io::Result<Challenges> {
    let mut challenges = Challenges::default();
    for answer in answers {
        match answer {
            Answer::Http01 { token, answer, .. } => challenges.http01.push(Http01 { token, answer }),
            Answer::TlsAlpn01 { name, chain, key } => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                let hash = digest(&SHA256, chain.as_bytes());
                let hash = tend_base::to_hex(&hash.as_ref()[..8]);
                let path = |what: &str| folder.join(format!("{hash}.{what}.pem"));
                let certificate = Certificate {
                    names: vec![name],
                    chain: path("chain"),
                    key: path("key"),
                };
                write_atomically(&certificate.chain, chain.as_bytes(), 0o600)?;
                write_atomically(&certificate.key, key.expose().as_bytes(), 0o600)?;
                challenges.tls_alpn01.push(certificate);
            }
        }
    }
    Ok(challenges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tend_base::Secret;

    #[test]
    fn answers_stand_in_the_snapshot_and_their_keys_in_files_of_this_user_alone() {
        let folder = std::env::temp_dir().join(format!("tend-challenges-{}", std::process::id()));
        let answers = vec![
            Answer::Http01 {
                host: "pay.example.com".to_owned(),
                token: "t".to_owned(),
                answer: "t.thumb".to_owned(),
            },
            Answer::TlsAlpn01 {
                name: "pay.example.com".to_owned(),
                chain: "chain".to_owned(),
                key: Secret::new("key".to_owned()),
            },
        ];
        let shown = challenges(&folder, answers).unwrap();
        let http = Http01 {
            token: "t".to_owned(),
            answer: "t.thumb".to_owned(),
        };
        assert_eq!(shown.http01, [http]);
        let certificate = &shown.tls_alpn01[0];
        assert_eq!(certificate.names, ["pay.example.com"]);
        assert_eq!(fs::read_to_string(&certificate.chain).unwrap(), "chain");
        assert_eq!(
            fs::metadata(&certificate.key).unwrap().permissions().mode() & 0o777,
            0o600
        );
        sweep(&folder, &shown);
        assert!(certificate.chain.exists() && certificate.key.exists());
        let none = challenges(&folder, Vec::new()).unwrap();
        assert_eq!(none, Challenges::default());
        sweep(&folder, &none);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
    }
}
