//! What can be typed: the list of commands, and what `tend --help` says beside it. Each command's own arguments stand in its file.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Looks after the services you run: starts them, fronts them, keeps them
#[derive(Debug, Parser)]
#[command(
    name = "tend",
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = AFTER_HELP,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Shown below the list of commands, and on the reference page.
pub(crate) const AFTER_HELP: &str = "\
Services and replicas are named SERVICE, SERVICE/SLOT, STACK/SERVICE or STACK/SERVICE/SLOT (mps/api/1).

Exit codes:
  0  done, and seen to be done        7  not allowed
  1  begun, and not as asked          10 a deployment was refused: nothing was changed
  2  wrong use of a command           11 a deployment failed and was undone
  3  wrong stack file or setting      12 a deployment failed and is held half-way
  4  not found                        13 an audit found secrets
  5  conflict with what is there      70 a defect of tend
  6  needed, and not there now        `run` and `exec` pass on their command's

Environment:
  TEND_STATE, TEND_RUN  folders of the daemon to talk to, instead of the user's own
  NO_COLOR              no colour";

/// Every command, in the order in which help lists them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(commands::up::Up),
    Down(commands::down::Down),
    #[command(visible_alias = "ps")]
    Status(commands::status::Status),
    Ls(commands::ls::Ls),
    Describe(commands::describe::Describe),
    Logs(commands::logs::Logs),
    Events(commands::events::Events),
    Top(commands::top::Top),
    Restart(commands::restart::Restart),
    Stop(commands::stop::Stop),
    Start(commands::start::Start),
    Scale(commands::scale::Scale),
    Maintenance(commands::maintenance::Maintenance),
    Pause(commands::pause::Pause),
    Resume(commands::resume::Resume),
    Ban(commands::ban::Ban),
    Unban(commands::unban::Unban),
    Bans(commands::bans::Bans),
    Edge(commands::edge::Edge),
    Money(commands::money::Money),
    Deploy(commands::deploy::Deploy),
    Rollback(commands::rollback::Rollback),
    Releases(commands::releases::Releases),
    Release(commands::release::Release),
    Approve(commands::approve::Approve),
    Reject(commands::reject::Reject),
    Confirm(commands::confirm::Confirm),
    Promote(commands::promote::Promote),
    Secret(commands::secret::Secret),
    Config(commands::config::Config),
    Cert(commands::cert::Cert),
    Render(commands::render::Render),
    Import(commands::import::Import),
    Run(commands::run::Run),
    Exec(commands::exec::Exec),
    Plan(commands::plan::Plan),
    Check(commands::check::Check),
    Schema(commands::schema::Schema),
    Info(commands::info::Info),
    Install(commands::install::Install),
    Upgrade(commands::upgrade::Upgrade),
    Shutdown(commands::shutdown::Shutdown),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
    /// Be the daemon (started by the other commands)
    #[command(hide = true, disable_help_flag = true)]
    Daemon(RoleArguments),
}

/// Arguments that the role reads itself.
#[derive(Debug, Args)]
pub(crate) struct RoleArguments {
    /// Passed on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// How a reading command shows what it read.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct JsonOption {
    /// Print JSON, as the daemon answers it
    #[arg(long)]
    pub(crate) json: bool,
}
