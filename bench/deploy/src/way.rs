//! A way to deploy, whichever it is: brings the system up behind one address, and exchanges its release.

mod nginx;
mod pm2;
mod tend;

use crate::error::Result;
use crate::folder::Ended;
use crate::release::Release;

pub(crate) use nginx::PROGRAM as NGINX;
pub(crate) use pm2::{Pm2, install as install_pm2};
pub(crate) use tend::Tend;

/// Replicas of the service.
pub(crate) const REPLICAS: usize = 3;

/// One way.
pub(crate) trait Way {
    /// What it is called in the figures.
    fn name(&self) -> &'static str;

    /// Returns the port that clients use.
    fn port(&self) -> u16;

    /// Brings the system up with a release.
    fn up(&mut self, release: &Release) -> Result<()>;

    /// Exchanges the release, and returns when the way's own command says that it is done, or that it failed.
    fn deploy(&mut self, release: &Release) -> Result<Ended>;

    /// Takes the system down as a person would; what is left is killed with the run's folder.
    fn down(&mut self) -> Result<()>;
}
