//! Deployments as data.
