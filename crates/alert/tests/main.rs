//! Tests of alerts: their rules, their routes, and what is sent.

mod by_seeds;
mod changes;
mod config;
mod dead_man;
mod notify;
mod pipeline;
mod reload;
mod rules;
mod trial;
