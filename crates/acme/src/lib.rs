//! Obtains certificates from an authority by ACME (RFC 8555) and keeps them in a folder, whatever is killed in between.
//!
//! Map: [`renew`] is one try, from the account to the files; `order` goes through the steps with the authority, `account` is who we are
//! to it, [`Answer`] is how it is shown that a host is ours; [`Folder`] is what is kept, [`Authority`] whom is asked, and over what
//! connection (`connection`, `roots`).
//!
//! The messages and signatures of the protocol are those of `instant-acme`; what is ours is the order of the steps, what is written down
//! between them, and the words for a person. When to ask is decided in `tend-certificate`; here is only asked.
//!
//! Invariants: after a kill between any two steps the next try goes on and ends as if nothing had been (test
//! `killed_at_every_request_it_goes_on`); what is kept is replaced only by a certificate that can be served (test
//! `a_try_that_fails_leaves_the_last_good_one`).

mod account;
mod answer;
mod authority;
mod connection;
mod error;
mod folder;
mod order;
mod renew;
mod roots;

pub use answer::{Answer, Answers, Challenge};
pub use authority::{Authority, LETS_ENCRYPT, LETS_ENCRYPT_STAGING, staging_of};
pub use error::AcmeError;
pub use folder::{Folder, KeptFiles, Record};
pub use order::{Patience, Rehearsal};
pub use renew::{Wish, rehearse, renew};
