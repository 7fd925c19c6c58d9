//! The tests of the doors: alone, beside the real Prometheus and Alertmanager, and with their own clients.

mod amtool;
mod answers;
mod beside_alertmanager;
mod beside_prometheus;
mod corpus;
mod federation;
mod grafana;
mod peer;
mod promtool;
mod requests;
mod samples;
mod server;
mod world;
