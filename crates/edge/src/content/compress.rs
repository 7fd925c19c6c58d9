//! Decides which answers are compressed, and with what.
//!
//! Invariant: a route whose answers bear secrets is never compressed (test `what_is_not_to_be_compressed_is_not`): the length of a
//! compressed body tells what in it repeats what a client chose (BREACH).

use tend_core::model::Compress;
use tend_routing::Fields;

use super::negotiate::Accept;
use super::{ResponseView, Shape, first, has, has_member};
use crate::encode::{Coding, Encoder, Seats};

/// The fastest for its strength first.
const OURS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

/// A sum over the body, which would not hold for another (RFC 9530 and those before it).
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

const VARIES: &str = "Accept-Encoding";

/// A route's rules for compression.
#[derive(Debug)]
pub(super) struct CompressRules {
    bytes_min: u64,
    /// Whole types, in lower case.
    types: Vec<Box<str>>,
    /// `text/` for `text/*`.
    kinds: Vec<Box<str>>,
}

/// What a request wants of compression.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    coding: Option<Coding>,
    /// It refuses the body as it is.
    whatever_the_size: bool,
}

impl Wanted {
    pub(super) fn of(fields: &Fields<'_>) -> Self {
        let mut accept = Accept::NOTHING_SAID;
        fields("accept-encoding", &mut |line| {
            accept = accept.and(line);
            false
        });
        if has_member(fields, "cache-control", "no-transform") {
            return Self::default();
        }
        Self {
            coding: accept.best(&OURS),
            whatever_the_size: accept.refuses_identity(),
        }
    }
}

impl CompressRules {
    /// Returns the rules; none for a route that is not compressed.
    pub(super) fn new(compress: &Compress) -> Option<Self> {
        if !compress.enabled || compress.secret_bearing {
            return None;
        }
        let (kinds, types): (Vec<&String>, Vec<&String>) = compress.types.iter().partition(|name| name.ends_with("/*"));
        let lower = |name: &str| name.to_ascii_lowercase().into_boxed_str();
        Some(Self {
            bytes_min: compress.bytes_min,
            types: types.into_iter().map(|name| lower(name)).collect(),
            kinds: kinds
                .into_iter()
                .map(|name| lower(name.trim_end_matches('*')))
                .collect(),
        })
    }

    /// Adds to `shape` what compression does, and to `vary` what it looked at.
    pub(super) fn shape(
        &self,
        wanted: Wanted,
        view: &ResponseView<'_>,
        seats: &Seats,
        shape: &mut Shape,
        vary: &mut Vec<&'static str>,
    ) {
        if view.status == 304 {
            // Which body it stands for is not said here; if ours, its tag was weakened.
            vary.push(VARIES);
            if wanted.coding.is_some() {
                weaken(view.fields, shape);
            }
            return;
        }
        let Some(events) = self.fits(view) else { return };
        let least = if wanted.whatever_the_size { 1 } else { self.bytes_min };
        if view.length.is_some_and(|length| length < least || length == 0) {
            return;
        }
        vary.push(VARIES);
        if view.head_only {
            return;
        }
        let Some(encoder) = wanted.coding.and_then(|coding| Encoder::new(coding, events, seats)) else {
            return;
        };
        shape.set.push(("content-encoding", encoder.coding().to_owned()));
        // Parts of a body that is made as it goes cannot be asked for.
        shape.remove.push("accept-ranges");
        weaken(view.fields, shape);
        shape.encoder = Some(encoder);
    }

    /// Says whether an answer may be compressed for somebody, leaving its size aside; and whether it consists of events.
    fn fits(&self, view: &ResponseView<'_>) -> Option<bool> {
        if view.status < 200 || matches!(view.status, 204..=206) {
            return None;
        }
        let fields = view.fields;
        if has(fields, "content-encoding")
            || has(fields, "content-range")
            || has_member(fields, "cache-control", "no-transform")
            || DIGESTS.iter().any(|digest| has(fields, digest))
        {
            return None;
        }
        let mut media_type = first(fields, "content-type")?;
        media_type.make_ascii_lowercase();
        let name = media_type.split(|byte| *byte == b';').next()?.trim_ascii();
        let events = name == b"text/event-stream";
        let named = self.types.iter().any(|known| known.as_bytes() == name);
        // A stream of events keeps its encoder for as long as it lasts, so it has to be named by itself.
        let of_kind = !events && self.kinds.iter().any(|kind| name.starts_with(kind.as_bytes()));
        (named || of_kind).then_some(events)
    }
}

/// Makes a strong tag weak: what the client gets is not the same bytes any more (RFC 9110, 8.8.1).
fn weaken(fields: &Fields<'_>, shape: &mut Shape) {
    let Some(tag) = first(fields, "etag") else { return };
    if let Ok(tag) = String::from_utf8(tag)
        && tag.starts_with('"')
    {
        shape.set.push(("etag", format!("W/{tag}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Head = &'static [(&'static str, &'static str)];

    const JSON: (&str, &str) = ("content-type", "application/json");

    /// Gives `read` a head.
    fn with<T>(head: &[(&str, &str)], read: impl FnOnce(&Fields<'_>) -> T) -> T {
        read(&|name, see| {
            head.iter()
                .any(|(known, value)| *known == name && see(value.as_bytes()))
        })
    }

    /// Returns the coding and the shape of an answer to a client that takes gzip.
    fn shape(
        rules: &Compress,
        request: &str,
        status: u16,
        length: Option<u64>,
        head: Head,
    ) -> (Shape, Vec<&'static str>) {
        let (mut shape, mut vary) = (Shape::default(), Vec::new());
        if let Some(rules) = CompressRules::new(rules) {
            let wanted = with(&[("accept-encoding", request)], Wanted::of);
            with(head, |fields| {
                let view = ResponseView {
                    status,
                    head_only: false,
                    length,
                    fields,
                };
                rules.shape(wanted, &view, &Seats::default(), &mut shape, &mut vary);
            });
        }
        (shape, vary)
    }

    fn on() -> Compress {
        Compress {
            enabled: true,
            ..Compress::default()
        }
    }

    #[test]
    fn what_is_to_be_compressed_is() {
        for (length, head) in [
            (Some(1024), &[JSON][..]),
            (None, &[JSON]),
            (Some(5000), &[("content-type", "Application/JSON; charset=utf-8")]),
            (Some(5000), &[("content-type", "text/html;charset=utf-8")]),
            (Some(5000), &[JSON, ("cache-control", "no-cache, max-age=0")]),
        ] {
            let (shape, vary) = shape(&on(), "gzip", 200, length, head);
            assert_eq!(shape.encoder.unwrap().coding(), "gzip", "{head:?}");
            assert_eq!(shape.set[0], ("content-encoding", "gzip".to_owned()));
            assert_eq!(vary, ["Accept-Encoding"]);
        }
    }

    #[test]
    fn what_is_not_to_be_compressed_is_not() {
        let secret = Compress {
            secret_bearing: true,
            ..on()
        };
        let off = Compress::default();
        let (big, on) = (Some(5000), &on());
        let cases: [(&str, &Compress, u16, Option<u64>, Head); 15] = [
            ("a secret", &secret, 200, big, &[JSON]),
            ("a route without", &off, 200, big, &[JSON]),
            ("too short", on, 200, Some(1023), &[JSON]),
            ("empty", on, 200, Some(0), &[JSON]),
            ("of no type", on, 200, big, &[]),
            ("an image", on, 200, big, &[("content-type", "image/png")]),
            (
                "nearly the type",
                on,
                200,
                big,
                &[("content-type", "application/jsonp")],
            ),
            ("encoded", on, 200, big, &[JSON, ("content-encoding", "br")]),
            (
                "not to be changed",
                on,
                200,
                big,
                &[JSON, ("cache-control", "public, No-Transform")],
            ),
            ("summed", on, 200, big, &[JSON, ("repr-digest", "sha-256=:AA==:")]),
            ("a part", on, 206, big, &[JSON]),
            (
                "a part by its range",
                on,
                200,
                big,
                &[JSON, ("content-range", "bytes 0-1/9")],
            ),
            ("no content", on, 204, None, &[JSON]),
            ("a switch", on, 101, None, &[JSON]),
            ("events", on, 200, None, &[("content-type", "text/event-stream")]),
        ];
        for (what, rules, status, length, head) in cases {
            let (shape, vary) = shape(rules, "gzip", status, length, head);
            assert!(shape.encoder.is_none() && shape.set.is_empty(), "{what}");
            assert!(vary.is_empty(), "{what}");
        }
    }

    #[test]
    fn a_client_that_takes_nothing_of_ours_learns_that_it_depends_on_it() {
        for request in ["", "deflate", "gzip;q=0", "identity;q=1, gzip;q=0.5"] {
            let (shape, vary) = shape(&on(), request, 200, Some(5000), &[JSON]);
            assert!(shape.encoder.is_none() && shape.set.is_empty(), "{request}");
            assert_eq!(vary, ["Accept-Encoding"]);
        }
    }

    #[test]
    fn a_client_that_refuses_the_plain_body_gets_a_short_one_compressed_too() {
        let (short, _) = shape(&on(), "gzip, identity;q=0", 200, Some(10), &[JSON]);
        assert!(short.encoder.is_some());
        let (empty, _) = shape(&on(), "gzip, identity;q=0", 200, Some(0), &[JSON]);
        assert!(empty.encoder.is_none());
    }

    #[test]
    fn a_tag_is_weakened_where_the_bytes_are_others() {
        let tagged: Head = &[JSON, ("etag", "\"v1\""), ("accept-ranges", "bytes")];
        let (full, _) = shape(&on(), "gzip", 200, Some(5000), tagged);
        assert_eq!(full.set[1], ("etag", "W/\"v1\"".to_owned()));
        assert_eq!(full.remove, ["accept-ranges"]);
        let (unchanged, vary) = shape(&on(), "gzip", 304, None, tagged);
        assert_eq!(unchanged.set, [("etag", "W/\"v1\"".to_owned())]);
        assert_eq!(vary, ["Accept-Encoding"]);
        assert!(unchanged.encoder.is_none());
        let (weak, _) = shape(&on(), "gzip", 200, Some(5000), &[JSON, ("etag", "W/\"v1\"")]);
        assert_eq!(weak.set.len(), 1);
        let (plain, _) = shape(&on(), "deflate", 200, Some(5000), tagged);
        assert!(plain.set.is_empty() && plain.remove.is_empty());
    }

    #[test]
    fn events_are_compressed_where_they_are_named() {
        let mut rules = on();
        rules.types.push("text/event-stream".to_owned());
        let (shape, _) = shape(&rules, "gzip", 200, None, &[("content-type", "text/event-stream")]);
        let mut out = Vec::new();
        let mut encoder = shape.encoder.unwrap();
        encoder.push(b"data: 1\n\n", &mut out);
        assert!(!encoder.is_dirty() && !out.is_empty());
    }
}
