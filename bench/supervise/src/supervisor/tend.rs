//! tend, by its own command line, with state and run folder in the run's folder.
//!
//! In two forms: `plain`, in which each service listens at a port of its own choosing as it does under the peers, and `fronted`, the
//! way tend is meant to be used: replicas of one service behind the edge, asked for their readiness.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Job, Keep, RUN_VARIABLE, Supervisor, files, run};
use crate::error::{Error, Result};
use crate::process;
use crate::service::ROLE;

/// The name of the stack.
const STACK: &str = "bench";

/// How the services are looked after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// A service for each process, at the port it is told.
    Plain,
    /// One service with replicas behind the edge, which listens at this port.
    Fronted { edge: u16 },
}

pub(crate) struct Tend {
    job: Job,
    program: PathBuf,
    form: Form,
    ports: Vec<u16>,
}

impl Tend {
    pub(crate) fn new(job: Job, program: PathBuf, form: Form) -> Self {
        Self {
            job,
            program,
            form,
            ports: Vec::new(),
        }
    }

    fn state(&self) -> PathBuf {
        self.job.folder.join("state")
    }

    fn tend(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("TEND_STATE", self.state())
            .env("TEND_RUN", self.job.folder.join("run"))
            .current_dir(&self.job.folder);
        command
    }

    fn stack_file(&self) -> String {
        let run = format!("{RUN_VARIABLE}: \"{}\"", self.job.folder.display());
        let service = self.job.service.display();
        let keep = match self.job.keep {
            Keep::Default => "",
            Keep::All => "    logging: { options: { max-file: \"300\" } }\n",
        };
        let mut text = format!("name: {STACK}\nservices:\n");
        match self.form {
            Form::Plain => {
                for (at, port) in self.job.ports.iter().enumerate() {
                    text += &format!(
                        "  w{at}:\n    command: {service} {ROLE} {port}\n    port: {port}\n    environment: {{ {run} }}\n    restart: always\n{keep}"
                    );
                }
            }
            Form::Fronted { edge } => {
                let replicas = self.job.ports.len();
                text += &format!(
                    "  w:\n    command: {service} {ROLE}\n    port: PORT\n    environment: {{ {run} }}\n    restart: always\n{keep}    \
                     readiness: {{ http: /health }}\n    deploy: {{ replicas: {replicas} }}\n\
                     edge:\n  listen: [\"127.0.0.1:{edge}\"]\n  routes: [{{ path: /, service: w }}]\n"
                );
            }
        }
        text
    }

    /// Asks where each replica listens: it is tend that chooses.
    fn ask_ports(&self) -> Result<Vec<u16>> {
        let text = run(&mut self.tend(&["status", "--json", STACK]))?;
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let replicas = list(&status["services"])
            .iter()
            .flat_map(|service| list(&service["replicas"]))
            .collect::<Vec<_>>();
        let ports = replicas
            .iter()
            .filter_map(|replica| u16::try_from(replica["port"].as_u64()?).ok());
        Ok(ports.collect())
    }

    fn processes(&self, roles: &[&str]) -> Vec<i32> {
        process::find(|arguments, environment| {
            let role = arguments.split(|byte| *byte == 0).nth(1).unwrap_or_default();
            roles.iter().any(|wanted| wanted.as_bytes() == role)
                && (process::holds(arguments, &self.job.folder) || process::holds(environment, &self.job.folder))
        })
    }
}

impl Supervisor for Tend {
    fn name(&self) -> String {
        match self.form {
            Form::Plain => "tend".to_owned(),
            Form::Fronted { .. } => "tend, fronted".to_owned(),
        }
    }

    fn job(&self) -> &Job {
        &self.job
    }

    fn start(&mut self) -> Result<()> {
        self.job.write("stack.yaml", &self.stack_file())?;
        let file = self.job.folder.join("stack.yaml");
        run(&mut self.tend(&["up", &file.to_string_lossy()]))?;
        self.ports = match self.form {
            Form::Plain => self.job.ports.clone(),
            Form::Fronted { .. } => self.ask_ports()?,
        };
        Ok(())
    }

    /// Does what `tend install`'s unit does: runs the daemon.
    fn start_again(&mut self) -> Result<()> {
        let path = self.job.folder.join("daemon-again.log");
        let log = fs::File::create(&path).map_err(|source| Error::Write { path, source })?;
        let mut command = self.tend(&["daemon"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = command.spawn().map_err(|source| Error::Run {
            command: format!("{command:?}"),
            source,
        })?;
        // It is found and ended like the one before it; only its zombie is ours.
        std::thread::spawn(move || {
            let mut daemon = daemon;
            let _ = daemon.wait();
        });
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if self.deciding().is_empty() {
            return Ok(());
        }
        run(&mut self.tend(&["down", STACK])).map(drop)
    }

    fn own(&self) -> Vec<i32> {
        self.processes(&["daemon", "edge", "shim"])
    }

    fn deciding(&self) -> Vec<i32> {
        self.processes(&["daemon"])
    }

    fn logs(&self, at: usize) -> Vec<PathBuf> {
        let replica = match self.form {
            Form::Plain => format!("w{at}/1"),
            Form::Fronted { .. } => format!("w/{}", at + 1),
        };
        files(&self.state().join("logs").join(STACK).join(replica), "stdout.log")
    }

    fn ports(&self) -> Vec<u16> {
        self.ports.clone()
    }
}
