//! PM2, by its own command line, with everything of it in the run's folder.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::{Job, RUN_VARIABLE, Supervisor, files, pid_in, run};
use crate::error::Result;
use crate::service::ROLE;

pub(crate) struct Pm2 {
    job: Job,
    program: PathBuf,
}

impl Pm2 {
    /// `program` is the command `pm2`.
    pub(crate) fn new(job: Job, program: PathBuf) -> Self {
        Self { job, program }
    }

    fn home(&self) -> PathBuf {
        self.job.folder.join("home")
    }

    fn pm2(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("PM2_HOME", self.home())
            .env(RUN_VARIABLE, &self.job.folder)
            .current_dir(&self.job.folder);
        run(&mut command)
    }
}

impl Supervisor for Pm2 {
    fn name(&self) -> String {
        "PM2".to_owned()
    }

    fn job(&self) -> &Job {
        &self.job
    }

    fn start(&mut self) -> Result<()> {
        let apps: Vec<_> = (self.job.ports.iter().enumerate())
            .map(|(at, port)| {
                json!({
                    "name": format!("w{at}"),
                    "script": self.job.service,
                    "args": format!("{ROLE} {port}"),
                    "interpreter": "none",
                })
            })
            .collect();
        // It keeps all output in one file without end, so there is nothing to set for `Keep::All`.
        let file = self.job.write("ecosystem.json", &json!({ "apps": apps }).to_string())?;
        self.pm2(&["start", &file.to_string_lossy()])?;
        self.pm2(&["save", "--force"]).map(drop)
    }

    fn start_again(&mut self) -> Result<()> {
        self.pm2(&["resurrect"]).map(drop)
    }

    fn stop(&mut self) -> Result<()> {
        // Asked when it is dead it would start itself first.
        if self.own().is_empty() {
            return Ok(());
        }
        self.pm2(&["kill"]).map(drop)
    }

    fn own(&self) -> Vec<i32> {
        pid_in(&self.home().join("pm2.pid"), &self.home())
    }

    fn logs(&self, at: usize) -> Vec<PathBuf> {
        files(&self.home().join("logs"), &format!("w{at}-out"))
    }
}
