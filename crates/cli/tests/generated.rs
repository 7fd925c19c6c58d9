//! What is made from the definition of the commands: manual pages, completions, the reference page; and the schema.

use std::path::Path;

use crate::folder::Folder;
use crate::typed::Typist;

fn typist(folder: &Folder) -> Typist {
    Typist::at(folder.path(), folder.path())
}

#[test]
fn the_reference_pages_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for (name, page) in tend_cli::reference_pages() {
        let path = folder.join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            page, written,
            "run the tests with UPDATE=1 and commit docs/reference/{name}"
        );
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = Folder::new();
    let outcome = typist(&folder).types(&["man", "."]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    for command in tend_cli::command().get_subcommands().filter(|it| !it.is_hide_set()) {
        let name = format!("tend-{}.1", command.get_name());
        let page = std::fs::read_to_string(folder.path().join(&name)).expect(&name);
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH OPTIONS"), "{name}");
        assert!(outcome.stdout.contains(&name), "{name}");
    }
    let page = std::fs::read_to_string(folder.path().join("tend.1")).unwrap();
    assert_eq!(typist(&folder).types(&["man"]).stdout, page);
    assert!(!page.contains("tend\\-daemon"), "roles are no commands");
}

#[test]
fn only_whom_the_daemon_starts_becomes_the_edge() {
    let folder = Folder::new();
    let mut typist = typist(&folder);
    assert_eq!(typist.types(&["edge"]).code, 2);
    let variable = "TEND_EDGE_HANDOVER".to_owned();
    typist.environment.insert(variable, "1".to_owned());
    assert_eq!(typist.types(&["edge"]).code, 9, "the role of these tests");
}

#[test]
fn each_shell_completes_every_command() {
    let folder = Folder::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let outcome = typist(&folder).types(&["completions", shell]);
        assert_eq!(outcome.code, 0, "{shell}");
        for command in ["status", "restart", "upgrade"] {
            assert!(outcome.stdout.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn the_schema_is_one_json_value() {
    let folder = Folder::new();
    let outcome = typist(&folder).types(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(schema["properties"]["services"].is_object());
}

#[test]
fn a_unit_for_one_user_is_written_into_his_folder() {
    let folder = Folder::new();
    let mut typist = typist(&folder);
    let home = folder.path().to_str().unwrap().to_owned();
    typist.environment.insert("HOME".to_owned(), home);
    let outcome = typist.types(&["install", "--user", "--program", "/usr/local/bin/tend"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let path = folder.path().join(".config/systemd/user/tend.service");
    let unit = std::fs::read_to_string(&path).unwrap();
    assert!(outcome.stdout.contains(path.to_str().unwrap()));
    for line in [
        "ExecStart=/usr/local/bin/tend daemon",
        "KillMode=process",
        "Delegate=yes",
        "Restart=always",
        "WantedBy=default.target",
    ] {
        assert!(unit.lines().any(|it| it == line), "{line}");
    }
}

#[test]
fn a_pipeline_is_printed_or_written_and_says_where_it_deploys_to() {
    let folder = Folder::new();
    let stacks = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stacks"));
    let typist = Typist::at(folder.path(), stacks);
    let to = ["--staging", "deploy@staging", "--production", "deploy@live"];
    for (server, words) in [
        ("github-actions", ["jobs:", "tend deploy --reason", "deploy@live"]),
        ("jenkins", ["pipeline {", "tend deploy --reason", "deploy@live"]),
    ] {
        let options = [
            "--command",
            "unit=npm test",
            "--toolchain",
            "node=22",
            "--scratch",
            "postgres=16=DATABASE_URL",
        ];
        let typed: Vec<&str> = ["render", server, "mps"].into_iter().chain(to).chain(options).collect();
        let printed = typist.types(&typed);
        assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
        for word in words.into_iter().chain(["npm test", "DATABASE_URL"]) {
            assert!(printed.stdout.contains(word), "{server}: {word}");
        }
        let path = folder.path().join("below").join(server);
        let file = path.to_str().unwrap();
        let written = typist.types(&typed.iter().copied().chain(["-o", file]).collect::<Vec<_>>());
        assert_eq!((written.code, written.stdout.as_str()), (0, ""));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), printed.stdout);
    }
}
