//! Where a stack's configuration is read from: its files and its table, told as they change.
//!
//! Decides nothing. Files are watched by a thread of their own, which ends with this value; a table by a task.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tend_core::model::{ConfigSources, ConfigTable, Stack, StackName};
use tend_database::Source;
use tend_watch::{Content, FileWatch, FileWatchSettings, Seen, Waker};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::config_table::settings_of;

/// From one look to the next where nothing can be waited for.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// What was read.
pub(super) enum Read {
    /// All files, as they are now.
    Files(BTreeMap<PathBuf, Content>),
    /// What is told of the table.
    Table(tend_database::Event),
}

/// Which reading a text is from: while a deployment is under way a stack has two, that of its definition and that of the one to come.
pub(super) type Whose = (StackName, u64);

/// Where what is read goes.
pub(super) type Told = mpsc::Sender<(Whose, Read)>;

/// The number of the last reading.
static READINGS: AtomicU64 = AtomicU64::new(0);

/// Reads for one stack until it is dropped.
pub(super) struct Reading {
    /// Its number among all.
    pub(super) number: u64,
    sources: ConfigSources,
    over: Arc<AtomicBool>,
    waker: Waker,
    table: Option<AbortHandle>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(table) = &self.table {
            table.abort();
        }
    }
}

impl Reading {
    /// Reads the files once and watches them from then on; the table is read as soon as it answers.
    ///
    /// # Errors
    /// Why files cannot be watched, or what is wrong with the table's address; a text for people.
    pub(super) async fn start(
        stack: &Stack,
        sources: &ConfigSources,
        told: &Told,
    ) -> Result<(Self, BTreeMap<PathBuf, Content>), String> {
        let paths = [&sources.schema]
            .into_iter()
            .chain(&sources.files)
            .chain(&sources.dotenv);
        let settings = FileWatchSettings {
            owner: read_for(stack),
            ..FileWatchSettings::default()
        };
        let paths: Vec<PathBuf> = paths.cloned().collect();
        // It waits for who is writing.
        let (first, all) = (paths.clone(), settings);
        let opened = tokio::task::spawn_blocking(move || FileWatch::new(first, all)).await;
        let opened = opened.map_err(|error| format!("a bug ended the reading of files: {error}"))?;
        let mut watch = opened.map_err(|error| error.to_string())?;
        let contents = watch.contents();
        let number = READINGS.fetch_add(1, Ordering::Relaxed);
        let (over, waker) = (Arc::new(AtomicBool::new(false)), watch.waker());
        let table = match &sources.table {
            None => None,
            Some(table) => Some(look_at(stack, number, table, told)?),
        };
        let (whose, told, ended) = ((stack.name.clone(), number), told.clone(), Arc::clone(&over));
        let tell = move |files| told.blocking_send((whose.clone(), Read::Files(files))).is_ok();
        let watching = move || {
            while !ended.load(Ordering::Acquire) {
                let heard = match watch.next(None) {
                    Ok(Seen::Changed(change)) => tell(change.files),
                    Ok(Seen::Nothing | Seen::Woken) => true,
                    // Nothing can be waited for, so from now on it is only looked.
                    Err(_) => {
                        std::thread::sleep(LOOK_AGAIN);
                        FileWatch::new(paths.clone(), settings).map_or(true, |again| tell(again.contents()))
                    }
                };
                if !heard {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("config-files".to_owned());
        thread
            .spawn(watching)
            .map_err(|error| format!("files of configuration cannot be watched: {error}"))?;
        let reading = Self {
            number,
            sources: sources.clone(),
            over,
            waker,
            table,
        };
        Ok((reading, contents))
    }

    /// Says whether these are what it reads.
    pub(super) fn is_of(&self, sources: &ConfigSources) -> bool {
        self.sources == *sources
    }
}

/// Returns whose files are read for a stack, where a daemon of root would read everybody's.
pub(crate) fn read_for(stack: &Stack) -> Option<u32> {
    let owner = stack.source.owner_uid;
    (owner != 0 && rustix::process::geteuid().is_root()).then_some(owner)
}

fn look_at(stack: &Stack, number: u64, table: &ConfigTable, told: &Told) -> Result<AbortHandle, String> {
    let settings = settings_of(table, &stack.source.directory)
        .map_err(|error| format!("{}; {}", error.with_causes(), error.hint()))?;
    if let (Some(owner), Some(file)) = (read_for(stack), settings.address.file()) {
        let whose = std::fs::metadata(file).map(|found| found.uid());
        if whose.as_ref().is_ok_and(|whose| *whose != owner) {
            return Err(format!(
                "the database `{}` does not belong to user {owner}, who owns the stack; give it to that user with chown",
                file.display()
            ));
        }
    }
    let (whose, told) = ((stack.name.clone(), number), told.clone());
    let task = tokio::spawn(async move {
        let mut source = Source::start(settings);
        loop {
            let event = source.next().await;
            if told.send((whose.clone(), Read::Table(event))).await.is_err() {
                return;
            }
        }
    });
    Ok(task.abort_handle())
}
