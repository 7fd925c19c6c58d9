//! Deployments as data: what happens to a stack and its daemon, and what the journal then says of the deployment.

mod ended_lives;
mod machine;
mod schedules;
