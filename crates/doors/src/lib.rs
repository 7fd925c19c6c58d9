//! The doors: Prometheus' HTTP API and Alertmanager's, so that `promtool`, `amtool` and Grafana work against `tend` as they are.
//!
//! Map: [`answer`] takes a [`Request`] and gives a [`Response`]; what stands behind is a [`Backend`]. `prometheus` and `alertmanager` are the two
//! APIs, a file for each part; `params` reads what a request asks for, `json` writes what both give, `moment` is how times are written. `write`
//! is remote write in both directions: [`decode_write`], and [`encode_write`] with [`Batch`].
//!
//! Knows no socket, no clock and no disk, and does not know where series or alerts come from. Who may ask is decided before a request comes
//! here.
//!
//! Invariants: no request makes it panic (tests `fuzz_corpus_remote_write`, `no_request_makes_it_panic`); what Prometheus and Alertmanager
//! answer to the requests under `tests/requests` is answered here (tests `beside_prometheus`, `beside_alertmanager`).

mod alertmanager;
mod answer;
mod backend;
mod error;
mod facts;
mod json;
mod moment;
mod params;
mod prometheus;
mod request;
mod write;

pub use answer::answer;
pub use backend::{Backend, Command, WriteError};
pub use error::{BodyError, DoorError};
pub use facts::{
    About, Build, DroppedTarget, Head, Health, MetricMetadata, RuleGroup, RuleStatus, Runtime, Target, TargetHealth,
    Targets,
};
pub use request::{Request, Response};
pub use write::{Batch, WriteRequest, WrittenMetadata, WrittenSeries, decode_write, encode_write};
