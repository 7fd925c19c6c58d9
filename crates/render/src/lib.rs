//! Pipelines of other people's build servers, rendered from a stack.
//!
//! Map: [`Options`] what the stack does not say, [`github_actions`] a workflow, [`jenkins`] a Jenkinsfile. Inside, `script` holds what
//! both have the shell do, `text` how a text stands in YAML, Groovy and the shell.
//!
//! The pipelines decide nothing about a deploy: on the machine they call `tend check`, `tend plan`, `tend deploy` and
//! `tend rollback`, and end as those end.
//!
//! Invariant: the same stack and options give the same bytes, and no secret is among them: secrets are named, never held (tests
//! `the_same_input_gives_the_same_bytes`, `no_value_of_the_environment_is_in_a_pipeline`).

mod github;
mod jenkins;
mod options;
mod script;
mod text;

pub use github::github_actions;
pub use jenkins::jenkins;
pub use options::{Command, Engine, Image, Options, Program, Scratch, Stage, Target, Toolchain};
