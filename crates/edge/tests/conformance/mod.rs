//! What the edge makes of requests and responses that can be read in more than one way, beside what nginx and HAProxy make of them.
//!
//! Map: `corpus` the cases as data, `strict` the reading they are judged by, `recorder` the upstream that keeps every byte, `peers` nginx and
//! HAProxy, `known` what the
//! edge is known to get wrong, `requests` and `responses` the claims. Everything goes through sockets; nothing here knows how the edge is built.

mod corpus;
mod exchange;
pub(crate) mod known;
mod peers;
mod recorder;
mod requests;
mod responses;
mod strict;
