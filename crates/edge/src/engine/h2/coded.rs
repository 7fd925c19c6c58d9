//! A body on its way through an encoder. Knows neither when to compress nor with what.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::body::Source;
use super::pour::{Broken, Piece, Pieces};
use crate::encode::Encoder;

/// See the head of the file.
pub(super) struct Encoded<'s> {
    source: &'s mut Source,
    /// None once it was finished.
    encoder: Option<Box<Encoder>>,
    /// The replica had nothing more for one turn of the event loop; at the second, what is held back goes out.
    is_paused: bool,
    /// What comes after the last of the body.
    trailers: Option<Piece>,
}

impl<'s> Encoded<'s> {
    pub(super) fn new(source: &'s mut Source, encoder: Box<Encoder>) -> Self {
        Self {
            source,
            encoder: Some(encoder),
            is_paused: false,
            trailers: None,
        }
    }
}

impl Pieces for Encoded<'_> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Broken>>> {
        let Some(encoder) = &mut self.encoder else {
            return Poll::Ready(self.trailers.take().map(Ok));
        };
        let mut out = Vec::new();
        while out.is_empty() {
            match self.source.poll_piece(cx) {
                Poll::Ready(Some(Ok(Piece::Data(data)))) => {
                    self.is_paused = false;
                    encoder.push(&data, &mut out);
                }
                Poll::Ready(Some(Err(broken))) => return Poll::Ready(Some(Err(broken))),
                Poll::Ready(last) => {
                    encoder.finish(&mut out);
                    self.encoder = None;
                    self.trailers = last.and_then(Result::ok);
                    break;
                }
                Poll::Pending if !encoder.is_dirty() => return Poll::Pending,
                Poll::Pending if !std::mem::replace(&mut self.is_paused, true) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => encoder.flush(&mut out),
            }
        }
        Poll::Ready(Some(Ok(Piece::Data(Bytes::from(out)))))
    }

    fn poll_aside(&mut self, cx: &mut Context<'_>) {
        self.source.poll_aside(cx);
    }

    fn is_end(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}
