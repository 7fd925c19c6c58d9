//! supervisord, with everything of it in the run's folder.

use std::path::PathBuf;
use std::process::Command;

use super::{Job, Keep, RUN_VARIABLE, Supervisor, files, pid_in, run};
use crate::error::Result;
use crate::service::ROLE;

/// Debian's package.
pub(crate) const PROGRAM: &str = "/usr/bin/supervisord";
const CONTROL: &str = "/usr/bin/supervisorctl";

pub(crate) struct Supervisord {
    job: Job,
}

impl Supervisord {
    pub(crate) fn new(job: Job) -> Self {
        Self { job }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(self.job.folder.join("s.conf"))
            .args(arguments)
            .env(RUN_VARIABLE, &self.job.folder)
            .current_dir(&self.job.folder);
        run(&mut command).map(drop)
    }
}

impl Supervisor for Supervisord {
    fn name(&self) -> String {
        "supervisord".to_owned()
    }

    fn job(&self) -> &Job {
        &self.job
    }

    fn start(&mut self) -> Result<()> {
        let folder = self.job.folder.display();
        let mut text = format!(
            "[unix_http_server]\nfile={folder}/s.sock\n\
             [supervisord]\nlogfile={folder}/sd.log\npidfile={folder}/sd.pid\nchildlogdir={folder}\n\
             [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://{folder}/s.sock\n"
        );
        // Its own limit of 50 MB for a file, and as many files as the flood can fill.
        let keep = match self.job.keep {
            Keep::Default => "",
            Keep::All => "stdout_logfile_backups=40\n",
        };
        for (at, port) in self.job.ports.iter().enumerate() {
            let service = self.job.service.display();
            text += &format!(
                "[program:w{at}]\ncommand={service} {ROLE} {port}\nstdout_logfile={folder}/w{at}.log\nautorestart=true\n{keep}"
            );
        }
        self.job.write("s.conf", &text)?;
        self.run(PROGRAM, &[])
    }

    fn start_again(&mut self) -> Result<()> {
        self.run(PROGRAM, &[])
    }

    fn stop(&mut self) -> Result<()> {
        self.run(CONTROL, &["shutdown"])
    }

    fn own(&self) -> Vec<i32> {
        pid_in(&self.job.folder.join("sd.pid"), &self.job.folder)
    }

    fn logs(&self, at: usize) -> Vec<PathBuf> {
        files(&self.job.folder, &format!("w{at}.log"))
    }
}
