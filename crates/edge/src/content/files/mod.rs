//! Files that the edge serves by itself: which, in what state, and which part of it.
//!
//! Map: `path` reads what is asked for, `open` finds it on the disk, `condition` says what of it is answered. Opening and reading
//! block the thread, as nginx does it: what is served often is in the page cache.
//!
//! Invariant: nothing outside of the folder is ever served (tests of `path` and `open`, and
//! `nothing_outside_of_the_folder_is_served` through an edge).

mod condition;
mod open;
mod path;

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tend_core::model::Files;
use tend_routing::Fields;

use super::media::media_type;
use super::negotiate::Accept;
use super::place::{printable, rest, rooted};
use crate::answer::{ErrorCode, OwnAnswer, OwnBody};
use crate::encode::Coding;
use condition::{Outcome, Version};

/// Files that were compressed beforehand: the strongest first, since it costs nothing now.
const BESIDE: [(Coding, &[u8]); 3] = [
    (Coding::Brotli, b".br"),
    (Coding::Zstd, b".zst"),
    (Coding::Gzip, b".gz"),
];

/// For names that change with their content: a year, which is as good as for ever.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// A route's folder.
#[derive(Debug)]
pub(super) struct FileRules {
    root: PathBuf,
    index: Vec<u8>,
    fallback: Option<Vec<u8>>,
    or_service: bool,
    cache_control: Option<String>,
    immutable: bool,
    precompressed: bool,
}

/// What a request says, as far as files depend on it.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Without the query.
    pub(super) path: &'a str,
    /// With it.
    pub(super) target: &'a str,
    pub(super) fields: &'a Fields<'a>,
}

/// A file that was found and opened.
struct Found {
    file: File,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    coding: Option<Coding>,
}

/// What a path turned out to be.
enum Thing {
    File(Found),
    Folder,
    Nothing,
}

impl FileRules {
    pub(super) fn new(files: &Files) -> Self {
        let inside = |name: &str| name.trim_start_matches('/').as_bytes().to_vec();
        Self {
            root: files.root.clone(),
            index: inside(&files.index),
            fallback: files.fallback.as_deref().map(inside),
            or_service: files.or_service,
            cache_control: files.max_age.map(|age| format!("max-age={}", age.as_secs())),
            immutable: files.immutable,
            precompressed: files.precompressed,
        }
    }

    /// Returns the answer; none where the service is to be asked instead.
    ///
    /// `elsewhere` says whether a path, decoded and without empty segments, leads to another route: that route's rules may be stricter, so
    /// its files are not served from here because somebody wrote its path in another way.
    pub(super) fn answer(
        &self,
        prefix: &str,
        request: &Request<'_>,
        elsewhere: impl Fn(&str) -> bool,
    ) -> Option<OwnAnswer> {
        if !matches!(request.method, "GET" | "HEAD") {
            return (!self.or_service).then(not_allowed);
        }
        match self.find(prefix, request, elsewhere) {
            Ok(Some(answer)) => Some(answer),
            Ok(None) if self.or_service => None,
            Ok(None) => Some(self.fall_back(request).unwrap_or_else(OwnAnswer::refusal)),
            Err(code) => Some(OwnAnswer::refusal(code)),
        }
    }

    fn find(
        &self,
        prefix: &str,
        request: &Request<'_>,
        elsewhere: impl Fn(&str) -> bool,
    ) -> Result<Option<OwnAnswer>, ErrorCode> {
        let Some(wanted) = rest(prefix, request.path).and_then(path::wanted) else {
            return Ok(None);
        };
        let slash = if wanted.folder && !wanted.path.is_empty() {
            "/"
        } else {
            ""
        };
        let plain = format!(
            "{}/{}{slash}",
            prefix.trim_end_matches('/'),
            String::from_utf8_lossy(&wanted.path)
        );
        if plain != request.path && elsewhere(&plain) {
            return Ok(None);
        }
        let mut path = wanted.path;
        if wanted.folder {
            self.enter(&mut path);
        }
        match self.look(&path, request)? {
            Thing::File(found) => Ok(Some(self.serve(&path, found, request, true))),
            Thing::Nothing => Ok(None),
            Thing::Folder if wanted.folder => Ok(None),
            Thing::Folder => {
                // Links inside of a page are relative to the folder only behind its slash.
                self.enter(&mut path);
                let page = matches!(self.look(&path, request)?, Thing::File(_));
                Ok(page.then(|| with_slash(request)))
            }
        }
    }

    fn enter(&self, path: &mut Vec<u8>) {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&self.index);
    }

    fn fall_back(&self, request: &Request<'_>) -> Result<OwnAnswer, ErrorCode> {
        let fallback = self.fallback.as_deref().ok_or(ErrorCode::NoFile)?;
        match self.look(fallback, request)? {
            Thing::File(found) => Ok(self.serve(fallback, found, request, false)),
            _ => Err(ErrorCode::NoFile),
        }
    }

    /// Opens a file, or what was compressed of it beforehand where the client takes that.
    fn look(&self, path: &[u8], request: &Request<'_>) -> Result<Thing, ErrorCode> {
        let thing = self.open(path)?;
        if !self.precompressed || !matches!(thing, Thing::File(_)) {
            return Ok(thing);
        }
        let mut accept = Accept::NOTHING_SAID;
        (request.fields)("accept-encoding", &mut |line| {
            accept = accept.and(line);
            false
        });
        let mut left = BESIDE.map(|(coding, _)| coding).to_vec();
        while let Some(coding) = accept.best(&left) {
            left.retain(|other| *other != coding);
            let ending = BESIDE.iter().find(|(known, _)| *known == coding);
            let beside = [path, ending.map_or(b"", |(_, ending)| ending)].concat();
            if let Thing::File(found) = self.open(&beside)? {
                return Ok(Thing::File(Found {
                    coding: Some(coding),
                    ..found
                }));
            }
        }
        Ok(thing)
    }

    fn open(&self, path: &[u8]) -> Result<Thing, ErrorCode> {
        let opened = open::open(&self.root, path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, _)) if metadata.is_dir() => Ok(Thing::Folder),
            Ok((metadata, file)) if metadata.is_file() => Ok(Thing::File(Found {
                file,
                size: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                coding: None,
            })),
            // A pipe, a device or a socket.
            Ok(_) => Ok(Thing::Nothing),
            Err(error) => nothing(&error),
        }
    }

    /// Returns the answer of a file that was found, as its version and the client's conditions want it.
    fn serve(&self, path: &[u8], found: Found, request: &Request<'_>, by_its_name: bool) -> OwnAnswer {
        let tag = tag_of(&found);
        let seconds = Duration::from_secs(u64::try_from(found.modified.0).unwrap_or(0));
        let modified = SystemTime::UNIX_EPOCH + seconds;
        let version = Version {
            tag: &tag,
            modified,
            size: found.size,
        };
        let outcome = condition::outcome(request.fields, request.method == "GET", &version);
        let (status, offset, bytes) = match outcome {
            Outcome::Whole => (200, 0, found.size),
            Outcome::Part { offset, bytes } => (206, offset, bytes),
            Outcome::NotModified => (304, 0, 0),
            Outcome::PreconditionFailed => (412, 0, 0),
            Outcome::RangeNotSatisfiable => (416, 0, 0),
        };
        let mut fields = Vec::with_capacity(8);
        let mut field = |name: &str, value: String| fields.push((name.to_owned(), value));
        let is_file = matches!(status, 200 | 206 | 304);
        if is_file {
            field("etag", tag);
            field("last-modified", httpdate::fmt_http_date(modified));
            if let Some(value) = self.cache_control(path, by_its_name) {
                field("cache-control", value.to_owned());
            }
        }
        if self.precompressed {
            field("vary", "Accept-Encoding".to_owned());
        }
        if matches!(status, 200 | 206) {
            let name = String::from_utf8_lossy(path);
            field("content-type", media_type(&name).to_owned());
            field("accept-ranges", "bytes".to_owned());
            if let Some(coding) = found.coding {
                field("content-encoding", coding.as_str().to_owned());
            }
        }
        match outcome {
            Outcome::Part { offset, bytes } => {
                let last = offset + bytes - 1;
                field("content-range", format!("bytes {offset}-{last}/{}", found.size));
            }
            Outcome::RangeNotSatisfiable => field("content-range", format!("bytes */{}", found.size)),
            _ => {}
        }
        OwnAnswer {
            status,
            code: None,
            fields,
            body: if bytes > 0 {
                OwnBody::File {
                    file: found.file,
                    offset,
                    bytes,
                }
            } else {
                OwnBody::Bytes(Bytes::new())
            },
            close: false,
        }
    }

    fn cache_control(&self, path: &[u8], by_its_name: bool) -> Option<&str> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if !by_its_name {
            // It stands for names that may come to be.
            Some("no-cache")
        } else if self.immutable && path::has_hash(name) {
            Some(IMMUTABLE)
        } else {
            self.cache_control.as_deref()
        }
    }
}

/// Says whether the machine could not look, or there is nothing to be seen.
fn nothing(error: &io::Error) -> Result<Thing, ErrorCode> {
    if open::is_absence(error) {
        Ok(Thing::Nothing)
    } else {
        Err(ErrorCode::FileUnreadable)
    }
}

/// Returns a tag that another content, or another coding of the same, does not have.
fn tag_of(found: &Found) -> String {
    let (seconds, nanos) = found.modified;
    let coding = found.coding.map_or("", Coding::as_str);
    format!("\"{seconds:x}.{nanos:x}-{:x}{coding}\"", found.size)
}

fn not_allowed() -> OwnAnswer {
    let mut answer = OwnAnswer::refusal(ErrorCode::MethodNotAllowed);
    answer.fields.push(("allow".to_owned(), "GET, HEAD".to_owned()));
    answer
}

fn with_slash(request: &Request<'_>) -> OwnAnswer {
    let query = request.target.strip_prefix(request.path).unwrap_or_default();
    let location = format!("{}/{query}", rooted(request.path));
    super::sent_to(301, printable(&location))
}
