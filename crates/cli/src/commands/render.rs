//! `tend render`: what other programs are told, made from the stack file; each program has a file of its own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tend_api::EXIT_OK;
use tend_core::model::Stack;
use tend_render::{Command, Engine, Options, Scratch, Stage, Toolchain};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::stack_file::StackFileArguments;

mod github_actions;
mod jenkins;
mod nginx;

/// Print what another program is told: a pipeline of a build server, or an nginx.conf
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Render {
    #[command(subcommand)]
    command: RenderCommand,
}

#[derive(Debug, Subcommand)]
enum RenderCommand {
    GithubActions(github_actions::GithubActions),
    Jenkins(jenkins::Jenkins),
    Nginx(nginx::Nginx),
}

impl Render {
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<u8> {
        match self.command {
            RenderCommand::GithubActions(command) => command.run(context),
            RenderCommand::Jenkins(command) => command.run(context),
            RenderCommand::Nginx(command) => command.run(context),
        }
    }
}

/// What the stack file does not say, for every build server.
#[derive(Debug, Args)]
struct Pipeline {
    #[command(flatten)]
    file: StackFileArguments,
    /// The machine that pushes to `main` and `develop` are deployed to, as `ssh` takes it
    #[arg(long, value_name = "HOST")]
    staging: String,
    /// The machine that pushes to `master` and tags `v…` are deployed to, once somebody approved
    #[arg(long, value_name = "HOST")]
    production: String,
    /// The checkout on these machines [default: /srv/ and the stack's name]
    #[arg(long, value_name = "FOLDER")]
    checkout: Option<String>,
    /// A language the commands need: node, python, rust or go; may be given several times
    #[arg(long = "toolchain", value_name = "LANGUAGE=VERSION", value_parser = toolchain)]
    toolchains: Vec<Toolchain>,
    /// A command of a stage: install, lint, types, unit, integration, coverage, audit or build; may be given several times
    #[arg(long = "command", value_name = "STAGE=COMMAND", value_parser = stage)]
    commands: Vec<Command>,
    /// An empty database for the tests, its URL in a variable: postgres, mysql or redis; may be given several times
    #[arg(long = "scratch", value_name = "ENGINE=VERSION=VARIABLE", value_parser = scratch)]
    scratch: Vec<Scratch>,
    /// What the build leaves and the build server keeps; may be given several times
    #[arg(long = "artifact", value_name = "GLOB")]
    artifacts: Vec<String>,
    /// The folder with the report of the stage coverage, which the build server keeps
    #[arg(long, value_name = "FOLDER")]
    coverage: Option<String>,
    /// Tell nobody how it ended
    #[arg(long)]
    no_notice: bool,
    /// Write the pipeline into this file instead of printing it
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Pipeline {
    /// Renders the pipeline and prints or writes it.
    fn render(self, context: &mut Context<'_>, render: fn(&Stack, &Options) -> String) -> Result<u8> {
        let stack = self.file.load(context)?.stack;
        let mut options = Options::new(&stack, &self.staging, &self.production);
        options.stack = below_the_checkout(&stack.source.directory);
        (options.toolchains, options.commands) = (self.toolchains, self.commands);
        (options.scratch, options.artifacts) = (self.scratch, self.artifacts);
        (options.coverage, options.notice) = (self.coverage, !self.no_notice);
        for target in &mut options.targets {
            if let Some(checkout) = &self.checkout {
                target.directory.clone_from(checkout);
            }
        }
        let text = render(&stack, &options);
        match self.output {
            None => context.write(&text)?,
            Some(path) => {
                let path = context.surroundings.directory.join(path);
                let write = || {
                    if let Some(folder) = path.parent() {
                        std::fs::create_dir_all(folder)?;
                    }
                    tend_base::write_atomically(&path, text.as_bytes(), 0o644)
                };
                write().map_err(|source| Error::Write {
                    path: path.clone(),
                    source,
                })?;
                context.note(&text::written(&path))?;
            }
        }
        Ok(EXIT_OK)
    }
}

/// Returns the folder of a stack file relative to the top of its checkout; `.` where there is none.
fn below_the_checkout(folder: &Path) -> String {
    let top = folder.ancestors().find(|above| above.join(".git").exists());
    let below = top.and_then(|top| folder.strip_prefix(top).ok());
    match below.filter(|below| !below.as_os_str().is_empty()) {
        Some(below) => below.display().to_string(),
        None => ".".to_owned(),
    }
}

fn toolchain(text: &str) -> std::result::Result<Toolchain, String> {
    match text.split_once('=') {
        Some(("node", version)) => Ok(Toolchain::Node(version.to_owned())),
        Some(("python", version)) => Ok(Toolchain::Python(version.to_owned())),
        Some(("rust", version)) => Ok(Toolchain::Rust(version.to_owned())),
        Some(("go", version)) => Ok(Toolchain::Go(version.to_owned())),
        _ => Err(text::TOOLCHAIN.to_owned()),
    }
}

fn stage(text: &str) -> std::result::Result<Command, String> {
    let (stage, run) = text.split_once('=').ok_or(text::STAGE)?;
    let stage = match stage {
        "install" => Stage::Install,
        "lint" => Stage::Lint,
        "types" => Stage::Types,
        "unit" => Stage::Unit,
        "integration" => Stage::Integration,
        "coverage" => Stage::Coverage,
        "audit" => Stage::Audit,
        "build" => Stage::Build,
        _ => return Err(text::STAGE.to_owned()),
    };
    Ok(Command {
        stage,
        run: run.to_owned(),
    })
}

fn scratch(text: &str) -> std::result::Result<Scratch, String> {
    let mut parts = text.splitn(3, '=');
    let (Some(engine), Some(version), Some(variable)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(text::SCRATCH.to_owned());
    };
    let engine = match engine {
        "postgres" => Engine::Postgres,
        "mysql" => Engine::Mysql,
        "redis" => Engine::Redis,
        _ => return Err(text::SCRATCH.to_owned()),
    };
    Ok(Scratch {
        engine,
        version: version.to_owned(),
        variable: variable.to_owned(),
    })
}

mod text {
    use std::path::Path;

    pub(super) const TOOLCHAIN: &str = "write LANGUAGE=VERSION, such as node=22, python=3.12, rust=1.91 or go=1.25";
    pub(super) const STAGE: &str =
        "write STAGE=COMMAND, the stage being install, lint, types, unit, integration, coverage, audit or build";
    pub(super) const SCRATCH: &str = "write ENGINE=VERSION=VARIABLE, such as postgres=16=DATABASE_URL";

    pub(super) fn written(path: &Path) -> String {
        format!("written to {}", path.display())
    }
}
