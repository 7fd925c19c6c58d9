//! Answers that grow: a bounded channel of JSON lines between the one who knows them and the connection.
//!
//! Invariant: a slow reader makes the writer wait, it never makes memory grow (test `a_slow_reader_makes_the_writer_wait`).

use std::marker::PhantomData;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::ApiError;

/// The connection's end of an answer in lines; dropped when the client is gone.
#[derive(Debug)]
pub struct Lines {
    pub(crate) receiver: mpsc::Receiver<Bytes>,
}

/// The writer's end of an answer in lines of `T`; the answer ends when it is dropped.
#[derive(Debug)]
pub struct LineSender<T> {
    sender: mpsc::Sender<Bytes>,
    of: PhantomData<fn(T)>,
}

impl<T> Clone for LineSender<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            of: PhantomData,
        }
    }
}

/// The client has left: no line can reach it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct ClientGone;

/// How the line that ends an answer early begins; no other message has a first field of this name.
pub(crate) const REFUSED_LINE_START: &[u8] = br#"{"refused":"#;

/// A line that ends an answer early.
#[derive(Serialize, serde::Deserialize)]
pub(crate) struct RefusedLine {
    pub(crate) refused: ApiError,
}

/// Makes both ends of an answer in lines, of which `capacity` may be under way.
#[must_use]
pub fn lines<T: Serialize>(capacity: usize) -> (LineSender<T>, Lines) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (
        LineSender {
            sender,
            of: PhantomData,
        },
        Lines { receiver },
    )
}

impl<T: Serialize> LineSender<T> {
    /// Sends a line, waiting while the client is behind. Cancel-safe: a dropped call has sent the line whole or not at all.
    ///
    /// # Errors
    /// When the client is gone; there is no point in going on.
    pub async fn send(&self, line: &T) -> Result<(), ClientGone> {
        self.sender.send(json_line(line)).await.map_err(|_| ClientGone)
    }

    /// Sends a line if there is room, and returns whether it was sent. For a writer that must not wait.
    ///
    /// # Errors
    /// When the client is gone.
    pub fn try_send(&self, line: &T) -> Result<bool, ClientGone> {
        match self.sender.try_send(json_line(line)) {
            Ok(()) => Ok(true),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(false),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ClientGone),
        }
    }

    /// Ends the answer with an error; the client reports it as if the call had been refused.
    pub async fn refuse(self, error: ApiError) {
        // A client that is gone does not need to be told.
        let _ = self.sender.send(json_line(&RefusedLine { refused: error })).await;
    }

    /// Returns once the client is gone, for a writer that waits for something else to happen.
    pub async fn gone(&self) {
        self.sender.closed().await;
    }

    /// Returns whether the client is gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }
}

fn json_line<T: Serialize>(line: &T) -> Bytes {
    let mut buffer = BytesMut::with_capacity(256).writer();
    serde_json::to_writer(&mut buffer, line)
        .expect("invariant: a message is made of named fields and texts, which JSON can hold");
    let mut buffer = buffer.into_inner();
    buffer.put_u8(b'\n');
    buffer.freeze()
}
