//! PM2 with nginx in front, everything of it in the run's folder.
//!
//! The usual arrangement for a program that is not JavaScript: an app for each replica at a port of its own (fork mode; cluster mode is for
//! Node.js only), `current` a symbolic link to the release, and `pm2 reload` of the ecosystem file. Where PM2 leaves a choice, the better one for
//! it is taken: one replica after the other instead of two at once, and fifteen seconds to end instead of 1.6.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::nginx::Nginx;
use super::{REPLICAS, Way};
use crate::error::Result;
use crate::folder::{Ended, Folder, file, free_ports, insist, run};
use crate::release::{Release, there};

/// The version compared with.
const VERSION: &str = "pm2@7.0.4";

/// How long anything but a deploy may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Pm2 {
    // Dropped before the folder, in this order.
    nginx: Option<Nginx>,
    folder: Folder,
    program: PathBuf,
    port: u16,
    replicas: [u16; REPLICAS],
    within: Duration,
}

impl Pm2 {
    /// `program` is the command `pm2`; `within` the longest that one deploy may take.
    pub(crate) fn new(folder: Folder, program: PathBuf, within: Duration) -> Result<Self> {
        let [port, replicas @ ..] = free_ports::<{ REPLICAS + 1 }>()?;
        Ok(Self {
            nginx: None,
            folder,
            program,
            port,
            replicas,
            within,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PM2_HOME", self.folder.join("pm2"))
            .env("PM2_CONCURRENT_ACTIONS", "1")
            .env("NO_COLOR", "1");
        command
    }

    /// Makes a release the current one.
    fn check_out(&self, release: &Release) -> Result<()> {
        let (link, current) = (self.folder.join("next"), self.folder.join("current"));
        let folder = release.program.parent().unwrap_or(Path::new("/"));
        // A link is replaced by renaming, so that there is one at any moment.
        let linked = std::os::unix::fs::symlink(folder, &link).and_then(|()| std::fs::rename(&link, &current));
        linked.map_err(|source| file("link", &current, source))?;
        let apps: Vec<_> = (self.replicas.iter().enumerate())
            .map(|(at, port)| {
                json!({
                    "name": format!("mps-{}", at + 1),
                    "script": self.folder.join("current/mps-api"),
                    "interpreter": "none",
                    "exec_mode": "fork",
                    "kill_timeout": 15_000,
                    "env": {
                        "PORT": port.to_string(),
                        "MPS_DATA_DIR": self.folder.join("data"),
                        "MPS_SEED": "demo",
                        "LOG_LEVEL": "warn",
                        "APP_VERSION": release.version,
                    },
                })
            })
            .collect();
        let text = json!({ "apps": apps }).to_string();
        self.folder.write("ecosystem.json", &text).map(drop)
    }
}

impl Way for Pm2 {
    fn name(&self) -> &'static str {
        "PM2 and nginx"
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn up(&mut self, release: &Release) -> Result<()> {
        self.check_out(release)?;
        insist(
            &mut self.command(&["start", "ecosystem.json"]),
            &self.folder.join("up.log"),
            PATIENCE,
        )?;
        self.nginx = Some(Nginx::start(&self.folder, self.port, &self.replicas)?);
        Ok(())
    }

    fn deploy(&mut self, release: &Release) -> Result<Ended> {
        self.check_out(release)?;
        let log = self.folder.join("reload.log");
        run(
            &mut self.command(&["reload", "ecosystem.json", "--update-env"]),
            &log,
            self.within,
        )
    }

    fn down(&mut self) -> Result<()> {
        self.nginx = None;
        insist(&mut self.command(&["kill"]), &self.folder.join("down.log"), PATIENCE).map(drop)
    }
}

/// Returns the command `pm2`, installed into a folder by npm when it is not there.
pub(crate) fn install(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("node_modules/.bin/pm2");
    if !program.exists() {
        std::fs::create_dir_all(folder).map_err(|source| file("make the folder", folder, source))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder)
            .arg(VERSION);
        insist(&mut npm, &folder.join("install.log"), PATIENCE)?;
    }
    there(&program, "install it with `npm install pm2`")?;
    Ok(program)
}
