//! Tests of alerts: their rules, their routes, and what is sent.

mod by_seeds;
mod config;
mod dead_man;
mod notify;
mod pipeline;
mod rules;
mod trial;
