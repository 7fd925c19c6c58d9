//! The reference pages of the command line, made from what `--help` says.

use clap::CommandFactory;

use crate::arguments::Arguments;

/// Returns the definition of all commands, without a version.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The commands about releases, which have a page of their own.
const OF_RELEASES: [&str; 9] = [
    "deploy", "rollback", "releases", "release", "approve", "reject", "confirm", "promote", "render",
];

/// The commands about what clients meet, which have a page of their own too.
const OF_THE_EDGE: [&str; 10] = [
    "cert",
    "import",
    "maintenance",
    "pause",
    "resume",
    "ban",
    "unban",
    "bans",
    "edge",
    "money",
];

/// The commands about secrets, likewise.
const OF_SECRETS: [&str; 1] = ["secret"];

/// The commands about configuration, likewise.
const OF_CONFIGURATION: [&str; 1] = ["config"];

/// The commands about metrics and alerts, likewise.
const OF_METRICS: [&str; 4] = ["alerts", "metrics", "rules", "score"];

const GENERATED: &str =
    "This page is generated from `crates/cli`: run the tests of `tend-cli` with `UPDATE=1` after a change there.\n\n";

/// Returns the reference pages with their names, as they stand in `docs/reference`.
#[must_use]
pub fn reference_pages() -> [(&'static str, String); 6] {
    let mut tend = command().term_width(100);
    tend.build();
    let mut page = format!(
        "# The command line\n\n{GENERATED}The commands about releases stand in [cli-releases.md](cli-releases.md), those about the edge \
         in [cli-edge.md](cli-edge.md), those about secrets in [cli-secrets.md](cli-secrets.md), those about \
         configuration in [cli-config.md](cli-config.md), those about metrics and alerts in \
         [cli-metrics.md](cli-metrics.md).\n\n"
    );
    let mut of_releases =
        format!("# The command line: releases\n\n{GENERATED}The others stand in [cli.md](cli.md).\n\n");
    let mut of_the_edge =
        format!("# The command line: the edge\n\n{GENERATED}The others stand in [cli.md](cli.md).\n\n");
    let mut of_secrets = format!("# The command line: secrets\n\n{GENERATED}The others stand in [cli.md](cli.md).\n\n");
    let mut of_configuration =
        format!("# The command line: configuration\n\n{GENERATED}The others stand in [cli.md](cli.md).\n\n");
    let mut of_metrics =
        format!("# The command line: metrics and alerts\n\n{GENERATED}The others stand in [cli.md](cli.md).\n\n");
    section(&mut page, "tend", &mut tend.clone());
    for command in tend.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        let to = if OF_RELEASES.contains(&command.get_name()) {
            &mut of_releases
        } else if OF_THE_EDGE.contains(&command.get_name()) {
            &mut of_the_edge
        } else if OF_SECRETS.contains(&command.get_name()) {
            &mut of_secrets
        } else if OF_CONFIGURATION.contains(&command.get_name()) {
            &mut of_configuration
        } else if OF_METRICS.contains(&command.get_name()) {
            &mut of_metrics
        } else {
            &mut page
        };
        let name = format!("tend {}", command.get_name());
        section(to, &name, command);
        for below in command.get_subcommands_mut().filter(|below| !below.is_hide_set()) {
            let name = format!("{name} {}", below.get_name());
            section(to, &name, below);
            for last in below.get_subcommands_mut().filter(|last| !last.is_hide_set()) {
                section(to, &format!("{name} {}", last.get_name()), last);
            }
        }
    }
    [
        ("cli.md", page),
        ("cli-releases.md", of_releases),
        ("cli-edge.md", of_the_edge),
        ("cli-secrets.md", of_secrets),
        ("cli-config.md", of_configuration),
        ("cli-metrics.md", of_metrics),
    ]
}

fn section(page: &mut String, name: &str, command: &mut clap::Command) {
    page.push_str(&format!("## {name}\n\n```text\n"));
    for line in command.render_long_help().to_string().lines() {
        page.push_str(line.trim_end());
        page.push('\n');
    }
    page.push_str("```\n\n");
}
