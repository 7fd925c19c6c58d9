//! The certificates that can be shown and the answers that are asked for, as the snapshot needs them. Opens files at the start only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tend_acme::{AcmeError, Folder, Record};
use tend_certificate::{Certificate, Names};
use tend_core::model::{CertificateFiles, StackName};
use tend_core::world::World;
use tend_routing::{Challenges, Snapshot};

use super::given::{self, Mark, NotTaken};
use super::wanted::{Wanted, wanted};

/// A certificate in two files that never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) certificate: Certificate,
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

/// What is known of certificates that are issued to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) record: Record,
    /// None before the first.
    pub(crate) shown: Option<Shown>,
}

/// What is known of two files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// What was taken last.
    pub(crate) shown: Option<Shown>,
    /// Of the files when they were last looked at; none before.
    pub(crate) mark: Option<Option<Mark>>,
    /// Why they were not taken then.
    pub(crate) not_taken: Option<NotTaken>,
}

#[derive(Default)]
struct State {
    issued: BTreeMap<Names, Issued>,
    given: BTreeMap<(PathBuf, PathBuf), Given>,
    challenges: Challenges,
}

/// Everything the edge could be told of certificates.
pub(crate) struct Shelf {
    folder: PathBuf,
    state: Mutex<State>,
}

impl Shelf {
    /// Names the folder; reads nothing.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            state: Mutex::default(),
        }
    }

    /// Reads what is kept, before the edge is told of anything: a daemon that comes back must not take a certificate from it.
    pub(crate) fn load(&self, world: &World) -> Result<(), AcmeError> {
        for given in wanted(world).given {
            self.state().given.entry(key(&given.files)).or_default().shown =
                given::last_good(&self.given_folder(), &given.files);
        }
        if !self.folder.exists() {
            return Ok(());
        }
        let folder = Folder::open(&self.folder)?;
        for record in folder.records()? {
            let shown = shown(&folder, &record);
            self.put(record, shown);
        }
        Ok(())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn given_folder(&self) -> PathBuf {
        self.folder.join("given")
    }

    pub(crate) fn challenges_folder(&self) -> PathBuf {
        self.folder.join("challenges")
    }

    pub(crate) fn put(&self, record: Record, shown: Option<Shown>) {
        self.state()
            .issued
            .insert(record.names.clone(), Issued { record, shown });
    }

    pub(crate) fn issued(&self, names: &Names) -> Option<Issued> {
        self.state().issued.get(names).cloned()
    }

    pub(crate) fn forget(&self, names: &Names) {
        self.state().issued.remove(names);
    }

    /// Returns everything that was issued.
    pub(crate) fn all_issued(&self) -> Vec<Issued> {
        self.state().issued.values().cloned().collect()
    }

    pub(crate) fn given(&self, files: &CertificateFiles) -> Given {
        self.state().given.get(&key(files)).cloned().unwrap_or_default()
    }

    pub(crate) fn put_given(&self, files: &CertificateFiles, given: Given) {
        self.state().given.insert(key(files), given);
    }

    pub(crate) fn set_challenges(&self, challenges: Challenges) {
        self.state().challenges = challenges;
    }

    /// Writes into a snapshot what the stacks of this world want shown: what is given in files first.
    pub(crate) fn fill(&self, world: &World, snapshot: &mut Snapshot) {
        let wanted = wanted(world);
        let state = self.state();
        snapshot.certificates = to_be_shown(&wanted, &state)
            .into_iter()
            .map(|(_, shown)| tend_routing::Certificate {
                names: shown.certificate.names.iter().map(str::to_owned).collect(),
                chain: shown.chain,
                key: shown.key,
            })
            .collect();
        snapshot.challenges = state.challenges.clone();
    }

    /// Returns what is shown at this moment, with the stack that wants it.
    pub(crate) fn shown(&self, wanted: &Wanted) -> Vec<(StackName, Shown)> {
        to_be_shown(wanted, &self.state())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_be_shown(wanted: &Wanted, state: &State) -> Vec<(StackName, Shown)> {
    let given = wanted.given.iter().filter_map(|given| {
        let shown = state.given.get(&key(&given.files))?.shown.clone()?;
        Some((given.stack.clone(), shown))
    });
    let issued = wanted.by_acme.iter().filter_map(|(names, by)| {
        let shown = state.issued.get(names)?.shown.clone()?;
        Some((by.stack.clone(), shown))
    });
    given.chain(issued).collect()
}

fn key(files: &CertificateFiles) -> (PathBuf, PathBuf) {
    (files.chain.clone(), files.key.clone())
}

/// Reads what a record says is in use. What cannot be served any more is as good as none: another is asked for.
pub(crate) fn shown(folder: &Folder, record: &Record) -> Option<Shown> {
    let Ok(Some(Ok(certificate))) = folder.certificate(record) else {
        return None;
    };
    let (chain, key) = folder.paths(record.current.as_ref()?);
    Some(Shown {
        certificate,
        chain,
        key,
    })
}
