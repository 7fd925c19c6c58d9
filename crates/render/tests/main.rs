//! Tests of the rendered pipelines: golden files, their form, and their scripts run for real.

mod golden;
mod samples;
mod scripts;
