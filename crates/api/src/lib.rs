//! The daemon's versioned API: its messages, its client and its server.
//!
//! Map: [`Call`] everything the daemon can be asked, [`Reply`] what it answers, [`messages`] the shape of each answer, [`serve`] and
//! [`Client`] the two ends of the socket, [`Class`] what an error means to a program, [`Paths`] where both ends find each other.
//!
//! The protocol is HTTP/1.1 with JSON; answers that grow over time are lines of JSON. Version [`PROTOCOL_VERSION`] only ever gains
//! calls and fields: a reader ignores what it does not know. Nothing here decides anything or knows how the daemon works.

mod access;
mod bans;
mod call;
mod certificates;
mod class;
mod client;
mod configuration;
mod deploys;
mod doors;
mod endpoint;
mod error;
mod lines;
pub mod messages;
mod paths;
mod query;
mod reading;
mod reply;
mod secrets;
mod server;

pub use access::{Access, Caller};
pub use bans::{BanAsk, UnbanAsk};
pub use call::{
    Apply, Call, EncodedCall, EnvironmentQuery, PlanBody, Purpose, RunEnding, RunReport, Scale, Target, Upgrade,
};
pub use certificates::RenewCertificates;
pub use class::{Class, Colour, EXIT_FAILED, EXIT_FOUND, EXIT_HELD, EXIT_OK, EXIT_REFUSED, EXIT_UNDONE};
pub use client::{Client, LineReader};
pub use configuration::{ChangeConfig, ConfigChange, ConfigDiffQuery, ConfigHistoryQuery, ConfigQuery, ConfirmConfig};
pub use deploys::{Decide, DecideWord, Deploy, Promote, ReleaseQuery, Rollback, RollbackQuery, confirm_ms};
pub use doors::{Door, DropCallback, Happened, MoneyQuery, Resolve};
pub use endpoint::{Answer, CallName, ENDPOINTS, Endpoint};
pub use error::{Error, Result};
pub use lines::{ClientGone, LineSender, Lines, lines};
pub use paths::Paths;
pub use reading::{EventsQuery, LogStreams, LogsQuery};
pub use reply::{ApiError, Reply};
pub use secrets::{AddRecoveryKey, ChangeSecrets, RevealSecret, RotateSecret, SecretChange, SecretFormat, SecretNotes};
pub use server::{BODY_BYTES_MAX, Handler, PROTOCOL_HEADER, PROTOCOL_VERSION, serve};
