//! The collectors beside the real exporters, on the same host and servers at the same moment; and servers that are away.

mod away;
mod comparison;
mod exporter;
mod mysql;
mod node;
mod postgres;
mod process;
mod redis;
