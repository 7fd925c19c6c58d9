//! `tend logs audit`: looks through what tend stored for every secret value it knows, and tells where one stands. Never a value.
//!
//! Map: `values` is what is looked for, and who may ask; `places` what is looked through; `file` how one file is.
//!
//! Works on a thread of its own that gives way to everything else on the machine. Memory: the tables of the values, a window of one
//! file, and the names of one folder.

mod file;
mod places;
mod values;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tend_api::messages::{AuditClass, AuditFinding, AuditLine, AuditProgress, AuditReport};
use tend_api::{ApiError, Caller, Class, LineSender, Reply};
use tend_base::Mono;
use tend_core::journal::{Entry, Kind, Principal};
use tend_core::model::StackName;
use tend_redact::{Finder, Found, Label};
use tend_store::{Reader, RowName};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Shared;
use super::hub::Hub;
use super::now;
use file::{Listener, Shape};
use places::{File, Look, Places};
use values::Patterns;

/// One at a time: it reads everything there is.
static TURN: Semaphore = Semaphore::const_new(1);

/// Of one file so many findings are listed; the others are counted.
const LISTED_MAX: u64 = 20;

/// Between two lines that tell how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// So long somebody may let a line wait: others wait for their turn.
const READ_WAIT: Duration = Duration::from_secs(60);

/// Between two looks whether he reads.
const READ_AGAIN: Duration = Duration::from_millis(5);

/// How far the thread gives way: as far as there is.
const NICE: i32 = 19;

/// Answers with what is found, as it is found, and a report at the end.
pub(crate) async fn audit(
    shared: &Arc<Shared>,
    hub: &Hub,
    stack: Option<StackName>,
    caller: Caller,
    by: Principal,
) -> Result<Reply, ApiError> {
    let turn = TURN.try_acquire().map_err(|_| {
        ApiError::new(Class::Conflict, "an audit is under way already").hint("try again when it has ended")
    })?;
    let wanted = values::wanted(shared, hub, stack, caller).await?;
    let (secret_files, in_memory) = shared.secrets.files();
    let whole = caller.is_user_or_root(shared.uid);
    let places = match whole {
        true => Places::all(&shared.paths, secret_files, in_memory).map_err(|error| {
            ApiError::new(
                Class::Unavailable,
                format!("the folder `{}` cannot be read: {error}", shared.paths.state.display()),
            )
        })?,
        false => Places::output_of(&shared.paths, &wanted.stacks),
    };
    let (sender, lines) = tend_api::lines(64);
    let shared = Arc::clone(shared);
    let work = move || {
        // Where it cannot, it is merely not as polite.
        let _ = rustix::process::setpriority_process(None, NICE);
        let audit = Audit::new(Patterns::new(wanted.values), sender);
        audit.run(
            &shared,
            &places,
            whole.then(|| shared.files.database.as_path()),
            by,
            turn,
        );
    };
    std::thread::Builder::new()
        .name("audit".to_owned())
        .spawn(work)
        .map_err(|error| {
            ApiError::new(
                Class::Unavailable,
                format!("a thread for it could not be started: {error}"),
            )
        })?;
    Ok(Reply::Lines(lines))
}

/// One audit under way.
struct Audit {
    patterns: Patterns,
    sender: LineSender<AuditLine>,
    report: AuditReport,
    progress: AuditProgress,
    begun: Mono,
    told: Mono,
}

impl Audit {
    fn new(patterns: Patterns, sender: LineSender<AuditLine>) -> Self {
        let begun = now().mono;
        let (values, forms) = patterns.counts();
        let report = AuditReport {
            values,
            forms,
            too_short: patterns.short().to_vec(),
            ..AuditReport::default()
        };
        let progress = AuditProgress {
            files: 0,
            files_all: 0,
            bytes: 0,
            bytes_all: 0,
        };
        Self {
            patterns,
            sender,
            report,
            progress,
            begun,
            told: begun,
        }
    }

    fn run(
        mut self,
        shared: &Shared,
        places: &Places,
        database: Option<&Path>,
        by: Principal,
        turn: SemaphorePermit<'static>,
    ) {
        (self.progress.files_all, self.progress.bytes_all) = places.size();
        self.report.left_out.clone_from(&places.left_out);
        if self.everything(places, database).is_break() {
            return;
        }
        let report = &mut self.report;
        report.files = self.progress.files;
        report.bytes = self.progress.bytes;
        report.clean = report.known == 0 && report.unread.is_empty();
        report.took_ms = u64::try_from(now().mono.since(self.begun).as_millis()).unwrap_or(u64::MAX);
        let data = json!({
            "clean": report.clean,
            "files": report.files,
            "bytes": report.bytes,
            "rows": report.rows,
            "values": report.values,
            "forms": report.forms,
            "known": report.known,
            "looks_like": report.looks_like,
            "unread": report.unread.len(),
        });
        shared.store.record(vec![Entry::new(by, Kind::LogsAudited).with(data)]);
        // Whoever reads the last line may ask for the next audit.
        drop(turn);
        let last = AuditLine::Finished(std::mem::take(&mut self.report));
        // Who is gone does not need to be told.
        let _ = self.send(&last);
    }

    fn everything(&mut self, places: &Places, database: Option<&Path>) -> ControlFlow<()> {
        let mut unread = Vec::new();
        let gone = places.visit(&mut |why| unread.push(why), &mut |file| self.file(file, database));
        self.report.unread.append(&mut unread);
        gone?;
        match database {
            Some(database) => self.rows(database),
            None => ControlFlow::Continue(()),
        }
    }

    fn file(&mut self, file: &File, database: Option<&Path>) -> ControlFlow<()> {
        // What is in its rows is looked at as rows, closely; its pages are for what was removed.
        let is_database = database.is_some_and(|database| file.path == database || is_log_of(&file.path, database));
        let look = if is_database { Look::ForValues } else { file.look };
        let patterns = Arc::clone(self.patterns.of(look));
        let mut passage = Passage::of(self, &file.path, None);
        let read = file::look_through(&file.path, &patterns, &mut passage);
        let gone = passage.gone;
        if let Err(error) = read {
            self.unread(&file.path, &error);
        }
        if gone {
            return ControlFlow::Break(());
        }
        self.progress.files += 1;
        self.progress.files_all = self.progress.files_all.max(self.progress.files);
        ControlFlow::Continue(())
    }

    /// Looks through the rows of journal and state, which pages may hold in pieces.
    fn rows(&mut self, database: &Path) -> ControlFlow<()> {
        let reader = match Reader::open(database) {
            Ok(reader) => reader,
            Err(error) => {
                self.unread(database, &error);
                return ControlFlow::Continue(());
            }
        };
        let mut gone = false;
        let read = reader.rows(&mut |row, text| {
            // A definition names its secrets, and so looks as if it had them.
            let look = match row {
                RowName::Document { .. } => Look::ForValues,
                RowName::Event(_) => Look::Closely,
            };
            let mut finder = Finder::new(Arc::clone(self.patterns.of(look)));
            let row = row.to_string();
            let mut passage = Passage::of(self, database, Some(&row));
            finder.push(text.as_bytes(), &mut |found| passage.found(Shape::Bytes, &found));
            finder.end(&mut |found| passage.found(Shape::Bytes, &found));
            gone |= passage.gone;
            self.report.rows += 1;
            gone |= self.tell_progress().is_break();
            if gone {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if let Err(error) = read {
            self.unread(database, &error);
        }
        if gone {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn unread(&mut self, path: &Path, why: &dyn std::error::Error) {
        self.report.unread.push(format!("{}: {why}", path.display()));
    }

    fn tell_progress(&mut self) -> ControlFlow<()> {
        let at = now().mono;
        if at.since(self.told) < TOLD_EVERY {
            return ControlFlow::Continue(());
        }
        self.told = at;
        let line = AuditLine::Progress(self.progress.clone());
        match self.sender.try_send(&line) {
            Ok(_) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Sends a line that must not be lost, waiting for whoever reads; who does not read for long has left.
    fn send(&self, line: &AuditLine) -> ControlFlow<()> {
        let begun = now().mono;
        loop {
            match self.sender.try_send(line) {
                Ok(true) => return ControlFlow::Continue(()),
                Ok(false) if now().mono.since(begun) < READ_WAIT => std::thread::sleep(READ_AGAIN),
                _ => return ControlFlow::Break(()),
            }
        }
    }
}

/// The way through one file or row.
struct Passage<'a> {
    audit: &'a mut Audit,
    path: &'a Path,
    row: Option<&'a str>,
    listed: u64,
    /// Nobody listens any more.
    gone: bool,
}

impl<'a> Passage<'a> {
    fn of(audit: &'a mut Audit, path: &'a Path, row: Option<&'a str>) -> Self {
        Self {
            audit,
            path,
            row,
            listed: 0,
            gone: false,
        }
    }
}

impl Listener for Passage<'_> {
    fn found(&mut self, shape: Shape, found: &Found<'_>) {
        let report = &mut self.audit.report;
        let class = match found.label {
            Label::Value(_) => {
                report.known += 1;
                AuditClass::Known
            }
            _ => {
                report.looks_like += 1;
                AuditClass::LooksLike
            }
        };
        if self.listed == LISTED_MAX {
            report.not_listed += 1;
            return;
        }
        self.listed += 1;
        let (what, form) = self.audit.patterns.name(found.label, found.bytes);
        let line = AuditLine::Finding(AuditFinding {
            file: self.path.display().to_string(),
            row: self.row.map(str::to_owned),
            line: (shape == Shape::Text).then_some(found.line),
            offset: found.offset,
            class,
            what,
            form,
        });
        self.gone |= self.audit.send(&line).is_break();
    }

    fn passed(&mut self, bytes: u64) -> ControlFlow<()> {
        self.audit.progress.bytes += bytes;
        self.audit.progress.bytes_all = self.audit.progress.bytes_all.max(self.audit.progress.bytes);
        if self.gone {
            return ControlFlow::Break(());
        }
        let told = self.audit.tell_progress();
        self.gone |= told.is_break();
        told
    }
}

/// Whether a file belongs to a database: its write-ahead log and the index of that.
fn is_log_of(path: &Path, database: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    path.parent() == database.parent()
        && match (name(path), name(database)) {
            (Some(path), Some(database)) => path == format!("{database}-wal") || path == format!("{database}-shm"),
            _ => false,
        }
}
