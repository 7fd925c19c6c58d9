//! What the edge does to what passes through it, and what it answers by itself: compression, cross-origin rules, error pages, files.
//!
//! Map: [`ContentRules`] is a route's part, made ready once a snapshot; [`Wish`] what a request says that its answer depends on;
//! [`Shape`] what is done to an answer. `compress` and `negotiate` choose a coding, `cors`, `pages` and `files` are what the names say, `place` is where
//! requests and clients are sent instead. Knows
//! no engine: the bytes pass through [`crate::encode`].

mod compress;
mod cors;
mod files;
mod media;
mod negotiate;
mod pages;
mod place;

pub use pages::ERROR_PAGE_BYTES_MAX;

use std::borrow::Cow;

use bytes::Bytes;
use tend_core::model::{Redirect, Rewrite, RoutePolicy};
use tend_routing::Fields;

use crate::answer::{ErrorCode, OwnAnswer, OwnBody};
use crate::encode::{Encoder, Seats};
use crate::exchange::Asked;
use compress::{CompressRules, Wanted};
use cors::{CorsRules, Origin};
use files::FileRules;
use pages::Pages;

/// Fields of a replica's answer that still hold when its body is replaced by an error page.
const KEPT_BESIDE_A_PAGE: [&str; 3] = ["www-authenticate", "retry-after", "allow"];

/// A route's rules for content.
#[derive(Debug)]
pub(crate) struct ContentRules {
    compress: Option<CompressRules>,
    /// Replicas are not told what the client takes, so that they do not compress either.
    pub(crate) hides_codings: bool,
    cors: Option<CorsRules>,
    pages: Pages,
    files: Option<FileRules>,
    redirect: Option<Redirect>,
    rewrite: Option<Rewrite>,
    /// The path of the route, which rewriting, redirects and files take away.
    prefix: Box<str>,
}

/// What a request says that the shape of its answer depends on; remembered only where the route's rules ask.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    wanted: Wanted,
    origin: Origin,
}

/// The head of a replica's answer, as far as rules look at it.
pub(crate) struct ResponseView<'a> {
    pub(crate) status: u16,
    /// No body follows, whatever the head says: an answer to HEAD.
    pub(crate) head_only: bool,
    /// Of the body, in bytes; absent where it is not known beforehand.
    pub(crate) length: Option<u64>,
    /// Names in lower case are asked for.
    pub(crate) fields: &'a Fields<'a>,
}

/// What is done to a replica's answer before the client gets it: `remove` first, then `set`. Nothing of it allocates where there is
/// nothing to do.
#[derive(Default)]
pub(crate) struct Shape {
    pub(crate) remove: Vec<&'static str>,
    /// Written once, whatever was there.
    pub(crate) set: Vec<(&'static str, String)>,
    /// The body passes through it; its length is not known any more.
    pub(crate) encoder: Option<Box<Encoder>>,
    /// Answered in place of the replica's answer, of which nothing is passed on. The rest of the shape is empty then.
    pub(crate) replace: Option<Box<OwnAnswer>>,
}

impl ContentRules {
    /// Makes a route's rules ready. Reads the error pages from the disk.
    pub(crate) fn new(path_prefix: &str, policy: &RoutePolicy) -> Self {
        Self {
            compress: CompressRules::new(&policy.compress),
            hides_codings: policy.compress.secret_bearing,
            cors: policy.cors.as_ref().map(CorsRules::new),
            pages: Pages::read(&policy.error_pages),
            files: policy.files.as_ref().map(FileRules::new),
            redirect: policy.redirect.clone(),
            rewrite: policy.rewrite.clone(),
            prefix: path_prefix.into(),
        }
    }

    /// Returns what of a request its answer will depend on.
    pub(crate) fn wish(&self, fields: &Fields<'_>) -> Wish {
        Wish {
            wanted: self
                .compress
                .as_ref()
                .map_or_else(Wanted::default, |_| Wanted::of(fields)),
            origin: self.cors.as_ref().map_or(Origin::None, |cors| cors.origin(fields)),
        }
    }

    /// Returns the answer to a preflight, where that is what the request is and the route has rules for it.
    pub(crate) fn preflight(&self, wish: &Wish, asked: &Asked<'_>) -> Option<OwnAnswer> {
        let cors = self.cors.as_ref()?;
        cors::is_preflight(asked.method, asked.fields).then(|| OwnAnswer {
            status: 204,
            code: None,
            fields: cors.preflight(&wish.origin),
            body: OwnBody::Bytes(Bytes::new()),
            close: false,
        })
    }

    /// Returns where the client is sent, where the route sends it away.
    pub(crate) fn redirect(&self, asked: &Asked<'_>) -> Option<OwnAnswer> {
        let redirect = self.redirect.as_ref()?;
        let location = place::location(redirect, &self.prefix, asked.host, asked.target);
        Some(location.map_or_else(
            || OwnAnswer::refusal(ErrorCode::BadRequest),
            |location| sent_to(redirect.status, location),
        ))
    }

    /// Returns the file that is asked for, or that there is none; nothing where the service is to be asked. `elsewhere` says whether a
    /// path leads to another route.
    pub(crate) fn file(&self, asked: &Asked<'_>, elsewhere: impl Fn(&str) -> bool) -> Option<OwnAnswer> {
        let request = files::Request {
            method: asked.method,
            path: asked.path,
            target: asked.target,
            fields: asked.fields,
        };
        self.files.as_ref()?.answer(&self.prefix, &request, elsewhere)
    }

    /// Returns the target that the service is asked for in place of the client's.
    pub(crate) fn target<'a>(&self, target: &'a str) -> Cow<'a, str> {
        match &self.rewrite {
            None => Cow::Borrowed(target),
            Some(rewrite) => place::rewritten(rewrite, &self.prefix, target),
        }
    }

    /// Says what is done to a replica's answer.
    pub(crate) fn shape(&self, wish: &Wish, view: &ResponseView<'_>, seats: &Seats) -> Shape {
        let mut shape = Shape::default();
        if let Some(page) = self.pages.intercepting(view.status) {
            shape.replace = Some(Box::new(page.answer(view.status, kept(view.fields))));
            return shape;
        }
        let mut vary = Vec::new();
        if let Some(cors) = &self.cors {
            shape.remove.extend(cors::OURS);
            cors.describe(&wish.origin, |name, value| shape.set.push((name, value)));
            vary.extend(cors.varies());
        }
        if let Some(compress) = &self.compress {
            compress.shape(wish.wanted, view, seats, &mut shape, &mut vary);
        }
        if let Some(value) = with_vary(view.fields, &vary) {
            shape.set.push(("vary", value));
        }
        shape
    }

    /// Dresses an answer of the edge itself: the error page of its status, and what scripts of other origins are told.
    pub(crate) fn dress(&self, wish: &Wish, answer: &mut OwnAnswer) {
        // One without a code is not a refusal of ours: a file, a redirect, or what a service said before.
        if let Some(page) = answer.code.and_then(|_| self.pages.of(answer.status)) {
            answer.fields.retain(|(name, _)| name != "content-type");
            answer
                .fields
                .push(("content-type".to_owned(), page.media_type.to_owned()));
            answer.body = OwnBody::Bytes(page.body.clone());
        }
        let Some(cors) = &self.cors else { return };
        answer
            .fields
            .retain(|(name, _)| !cors::OF_EVERY_ANSWER.contains(&name.as_str()));
        cors.describe(&wish.origin, |name, value| answer.fields.push((name.to_owned(), value)));
        let fields = &answer.fields;
        let vary = with_vary(
            &|name, see| {
                fields
                    .iter()
                    .any(|(known, value)| known == name && see(value.as_bytes()))
            },
            cors.varies(),
        );
        if let Some(value) = vary {
            answer.fields.retain(|(name, _)| name != "vary");
            answer.fields.push(("vary".to_owned(), value));
        }
    }
}

/// Returns an answer that sends the client to another place.
fn sent_to(status: u16, location: String) -> OwnAnswer {
    OwnAnswer {
        status,
        code: None,
        fields: vec![("location".to_owned(), location)],
        body: OwnBody::Bytes(Bytes::new()),
        close: false,
    }
}

/// Returns what `Vary` becomes when an answer depends on these headers too; none when it says so already.
fn with_vary(fields: &Fields<'_>, names: &[&str]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let mut value = String::new();
    let mut add = |name: &str| {
        if !value.is_empty() {
            value.push_str(", ");
        }
        value.push_str(name);
    };
    fields("vary", &mut |line| std::str::from_utf8(line).map(&mut add).is_err());
    let mut missing = false;
    for name in names {
        if !has_member(fields, "vary", name) && !has_member(fields, "vary", "*") {
            add(name);
            missing = true;
        }
    }
    missing.then_some(value)
}

/// Says whether a header that is a list has this member, in whatever case and with whatever parameters.
fn has_member(fields: &Fields<'_>, name: &str, member: &str) -> bool {
    fields(name, &mut |line| {
        line.split(|byte| *byte == b',').any(|part| {
            let part = part.split(|byte| *byte == b';').next().unwrap_or_default();
            part.trim_ascii().eq_ignore_ascii_case(member.as_bytes())
        })
    })
}

/// Says whether a header is there.
fn has(fields: &Fields<'_>, name: &str) -> bool {
    fields(name, &mut |_| true)
}

/// Returns a header's first line.
fn first(fields: &Fields<'_>, name: &str) -> Option<Vec<u8>> {
    let mut found = None;
    fields(name, &mut |line| {
        found = Some(line.to_vec());
        true
    });
    found
}

fn kept(fields: &Fields<'_>) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for name in KEPT_BESIDE_A_PAGE {
        fields(name, &mut |line| {
            kept.extend(std::str::from_utf8(line).map(|value| (name.to_owned(), value.to_owned())));
            false
        });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_keeps_what_it_says_and_names_nothing_twice() {
        for (lines, names, wanted) in [
            (&[][..], &["Origin"][..], Some("Origin")),
            (&[][..], &[][..], None),
            (
                &["Cookie"],
                &["Origin", "Accept-Encoding"],
                Some("Cookie, Origin, Accept-Encoding"),
            ),
            (&["Cookie", "x-a"], &["Origin"], Some("Cookie, x-a, Origin")),
            (&["accept-encoding , origin"], &["Origin", "Accept-Encoding"], None),
            (&["*"], &["Origin"], None),
        ] {
            let fields = |name: &str, see: &mut dyn FnMut(&[u8]) -> bool| {
                assert_eq!(name, "vary");
                lines.iter().any(|line: &&str| see(line.as_bytes()))
            };
            assert_eq!(with_vary(&fields, names).as_deref(), wanted, "{lines:?}");
        }
    }
}
