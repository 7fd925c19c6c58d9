//! Tests of rules: the engine, looking back, checks, unit tests, twins.

mod cases;
mod check;
mod engine;
mod replay;
mod timelines;

use std::path::Path;

use tend_metrics::{MetricStore, Options};

fn open_store(folder: &Path) -> MetricStore {
    MetricStore::open(folder, Options::default())
        .expect("the store opens")
        .0
}
