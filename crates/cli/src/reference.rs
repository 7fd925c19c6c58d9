//! The reference page of the command line, made from what `--help` says.

use clap::CommandFactory;

use crate::arguments::Arguments;

/// Returns the definition of all commands, without a version.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Returns the reference page, as it stands in `docs/reference/cli.md`.
#[must_use]
pub fn reference_page() -> String {
    let mut tend = command().term_width(100);
    tend.build();
    let mut page = String::from(
        "# The command line\n\nThis page is generated from `crates/cli`: run the tests of `tend-cli` with `UPDATE=1` after a change there.\n\n",
    );
    section(&mut page, "tend", &mut tend.clone());
    for command in tend.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        let name = format!("tend {}", command.get_name());
        section(&mut page, &name, command);
    }
    page
}

fn section(page: &mut String, name: &str, command: &mut clap::Command) {
    page.push_str(&format!("## {name}\n\n```text\n"));
    for line in command.render_long_help().to_string().lines() {
        page.push_str(line.trim_end());
        page.push('\n');
    }
    page.push_str("```\n\n");
}
