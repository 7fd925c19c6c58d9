//! Error pages: what stands in place of our own texts, and of a service's where the route says so.

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use tend_core::model::ErrorPage;

use super::media::media_type;
use crate::answer::{OwnAnswer, OwnBody};

/// A page is held in memory by each snapshot; a longer one, in bytes, is not a page.
pub const ERROR_PAGE_BYTES_MAX: u64 = 1 << 20;

/// A route's pages, in the order of the stack file.
#[derive(Debug, Default)]
pub(super) struct Pages(Vec<Page>);

/// A page that was read.
#[derive(Debug)]
pub(super) struct Page {
    statuses: Vec<u16>,
    intercept: bool,
    pub(super) media_type: &'static str,
    pub(super) body: Bytes,
}

impl Pages {
    /// Reads the files. One that cannot be read leaves our own text in its place: a route without its page is better than none.
    pub(super) fn read(pages: &[ErrorPage]) -> Self {
        let read = |page: &ErrorPage| {
            Some(Page {
                statuses: page.statuses.clone(),
                intercept: page.intercept,
                media_type: media_type(page.file.to_str().unwrap_or_default()),
                body: body_of(&page.file)?,
            })
        };
        Self(pages.iter().filter_map(read).collect())
    }

    /// Returns the page for an answer of our own.
    pub(super) fn of(&self, status: u16) -> Option<&Page> {
        self.0.iter().find(|page| page.statuses.contains(&status))
    }

    /// Returns the page for an answer of the service.
    pub(super) fn intercepting(&self, status: u16) -> Option<&Page> {
        self.0
            .iter()
            .find(|page| page.intercept && page.statuses.contains(&status))
    }
}

impl Page {
    /// Returns it as an answer in place of a service's, with what of that is kept.
    pub(super) fn answer(&self, status: u16, kept: Vec<(String, String)>) -> OwnAnswer {
        let mut fields = kept;
        fields.push(("content-type".to_owned(), self.media_type.to_owned()));
        OwnAnswer {
            status,
            code: None,
            fields,
            body: OwnBody::Bytes(self.body.clone()),
            close: false,
        }
    }
}

fn body_of(path: &Path) -> Option<Bytes> {
    let file = std::fs::File::open(path).ok()?;
    // Waiting for a pipe or a device would hold up the snapshot.
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut body = Vec::new();
    let read = file.take(ERROR_PAGE_BYTES_MAX + 1).read_to_end(&mut body).ok()?;
    (read as u64 <= ERROR_PAGE_BYTES_MAX).then(|| Bytes::from(body))
}
