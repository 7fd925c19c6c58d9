//! Performs notifications and says how each ended.
//!
//! Map: [`read_secrets`] reads what stands in files, at the time of sending; `tend_alert::notification` writes what is sent; a [`Notifier`] sends it
//! by HTTP or SMTP and returns [`Heard`]: the answer for the pipeline, and what the other side said, for the journal. [`Beat`] is the sign of life
//! that is sent out.
//!
//! It keeps nothing: what was told to whom, and when to try again, is the pipeline's.
//!
//! Invariant: a receiver that hangs delays nobody else (test `a_receiver_that_hangs_costs_nobody_else`).
//! Invariant: what is told of an answer is bounded, one line, and has no secret of the settings in it (test `an_answer_that_tells_the_secret`).
//! Invariant: no password goes over a network in the clear (test `a_password_is_not_shown_to_who_listens`).

mod beat;
mod error;
mod heard;
mod http;
mod notifier;
mod reply;
mod secrets;
mod smtp;

pub use beat::Beat;
pub use error::NotifierError;
pub use heard::Heard;
pub use notifier::{Limits, Notifier};
pub use secrets::{SecretPlaces, read_secrets};
