//! The shell of the rendered workflows, run for real: with `ssh` and `curl` that stand for the network, and `tend` and `git` that
//! tell what they were asked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use saphyr_parser::{Event, Parser};
use tend_render::{github_actions, jenkins};

use crate::golden::rendered;
use crate::samples::{full, odd};

/// The steps of a workflow that run a script, by name, in order.
fn runs(workflow: &str) -> Vec<(String, String)> {
    let mut runs = Vec::new();
    let (mut name, mut before) = (String::new(), String::new());
    for event in Parser::new_from_str(workflow) {
        let (event, _) = event.expect("the workflow is YAML");
        if let Event::Scalar(text, ..) = event {
            match before.as_str() {
                "name" => name = text.to_string(),
                "run" => runs.push((name.clone(), text.to_string())),
                _ => {}
            }
            before = text.to_string();
        } else {
            before.clear();
        }
    }
    runs
}

/// What stands between `'''` in a Jenkinsfile.
fn sh_steps(jenkinsfile: &str) -> Vec<String> {
    let unescaped = |text: &str| text.replace("\\'", "'").replace("\\\\", "\\");
    let parts: Vec<&str> = jenkinsfile.split("'''").collect();
    let inside = parts.iter().skip(1).step_by(2);
    inside
        .map(|part| unescaped(part.strip_prefix("\\\n").expect("a script begins on its own line")))
        .collect()
}

#[test]
fn every_script_is_one_to_the_shell() {
    let folder = Folder::new("syntax");
    let mut checked = 0;
    for (name, text) in rendered() {
        let scripts = match name.ends_with(".yml") {
            true => runs(&text).into_iter().map(|(_, script)| script).collect(),
            false => sh_steps(&text),
        };
        assert!(scripts.len() >= 2, "{name} has scripts");
        for script in scripts {
            let path = folder.0.join("script");
            fs::write(&path, &script).expect("own folder");
            for shell in ["bash", "dash"] {
                let output = Command::new(shell).arg("-n").arg(&path).output().expect("a shell");
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                // `sh -n` says nothing, not even of a here-document without end, unless something is wrong.
                assert!(output.status.success() && said.is_empty(), "{name}: {said}\n{script}");
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} scripts");
}

/// A folder of one test, with programs that stand for others.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tend-render-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("a fresh folder can be made");
        Folder(path)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("own folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("own file");
    }

    /// Runs a script as GitHub does, with these programs before all others.
    fn run(&self, script: &str, variables: &[(&str, &str)]) -> Output {
        let path = self.0.join("step.sh");
        fs::write(&path, script).expect("own folder");
        let search = format!("{}:/usr/bin:/bin", self.0.display());
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail"])
            .arg(&path)
            .env_clear()
            .env("PATH", search)
            .env("SSH_KEY_FILE", "/key")
            .env("KNOWN_HOSTS_FILE", "/hosts")
            .env("LOG", self.0.join("log"))
            .envs(variables)
            .current_dir(&self.0)
            .output()
            .expect("bash runs")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// `ssh` as OpenSSH does it: what follows the host is joined by spaces and read by a shell once more.
const SSH: &str = r#"while [ "$1" != -- ]; do echo "ssh option $1" >> "$LOG"; shift; done
shift
echo "host $1" >> "$LOG"
shift
exec sh -c "$*""#;

/// A program that tells its name, folder and arguments, each argument in brackets.
fn tells(name: &str, code: &str) -> String {
    format!(
        "{{ printf '{name}'; for argument in \"$@\"; do printf ' [%s]' \"$argument\"; done; echo; }} >> \"$LOG\"\n\
         cat > /dev/null\n{code}"
    )
}

fn step(workflow: &str, name: &str) -> String {
    let found = runs(workflow).into_iter().find(|(step, _)| step == name);
    found.unwrap_or_else(|| panic!("no step {name}")).1
}

#[test]
fn a_deploy_reaches_tend_with_every_word_whole_and_ends_as_tend_ends() {
    let (stack, mut options) = odd();
    let folder = Folder::new("deploy");
    let machine = folder.0.join("it's a \"$HOME\"");
    fs::create_dir(&machine).expect("own folder");
    options.targets[0].directory = machine.display().to_string();
    let deploy = step(&github_actions(&stack, &options), "Deploy");
    let from_jenkins = sh_steps(&jenkins(&stack, &options))
        .into_iter()
        .find(|script| script.contains("tend deploy --reason"))
        .expect("a deploy");
    let run = [("COMMIT", "abc123"), ("RUN_URL", "https://ci.example.com/runs/7")];
    folder.program("ssh", SSH);
    for (code, ended) in [
        (0, "every proof was seen"),
        (10, "nothing was changed"),
        (11, "failed and undone"),
        (12, "somebody has to decide"),
        (255, "exit code 255"),
    ] {
        folder.program("git", &tells("git", "[ \"$1\" != rev-parse ] || echo abc123"));
        folder.program("tend", &tells("tend", &format!("[ \"$1\" != deploy ] || exit {code}")));
        for script in [&deploy, &from_jenkins] {
            let _ = fs::remove_file(folder.0.join("log"));
            let output = folder.run(
                script,
                &[&run[..], &[("BUILD_URL", "https://ci.example.com/runs/7")]].concat(),
            );
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(code), "{output:?}");
            assert!(said.contains(ended), "{said}");
            let log = folder.log();
            for line in [
                "host deploy@a",
                "ssh option StrictHostKeyChecking=yes",
                "ssh option UserKnownHostsFile=/hosts",
                "git [fetch] [--quiet] [--tags] [origin]",
                "git [checkout] [--quiet] [--detach] [abc123]",
                "tend [check] [the stack]",
                "tend [plan] [--deploy] [the stack]",
                "tend [deploy] [--reason] [https://ci.example.com/runs/7] [the stack]",
            ] {
                assert!(log.lines().any(|logged| logged == line), "{line} is missing:\n{log}");
            }
        }
    }
}

#[test]
fn nothing_is_deployed_from_a_stack_file_that_is_wrong() {
    let (stack, mut options) = full();
    let folder = Folder::new("wrong");
    options.targets[0].directory = folder.0.display().to_string();
    folder.program("ssh", SSH);
    folder.program("git", &tells("git", ""));
    folder.program("tend", &tells("tend", "[ \"$1\" != check ] || exit 3"));
    let script = step(&github_actions(&stack, &options), "Deploy");
    let output = folder.run(&script, &[("COMMIT", "abc"), ("RUN_URL", "x")]);
    assert_eq!(output.status.code(), Some(3));
    assert!(!folder.log().contains("tend [deploy]"), "{}", folder.log());
}

#[test]
fn going_back_looks_first_and_takes_nothing_but_a_number() {
    let (stack, mut options) = full();
    let folder = Folder::new("back");
    options.targets[0].directory = folder.0.display().to_string();
    folder.program("ssh", SSH);
    let script = step(&github_actions(&stack, &options), "Go back");
    for (release, checks, code, wanted) in [
        (
            "",
            0,
            0,
            "tend [rollback] [--check] [deploy]\ntend [rollback] [--reason] [pipeline] [deploy]\n",
        ),
        (
            "7",
            0,
            0,
            "tend [rollback] [--check] [--to] [7] [deploy]\ntend [rollback] [--to] [7] [--reason] [pipeline] [deploy]\n",
        ),
        ("7", 10, 10, "tend [rollback] [--check] [--to] [7] [deploy]\n"),
        ("7; id", 0, 2, ""),
    ] {
        let _ = fs::remove_file(folder.0.join("log"));
        let only_check = format!("case \"$*\" in *--check*) exit {checks} ;; esac");
        folder.program("tend", &tells("tend", &only_check));
        // A URL that a shell would read as more than a word is not passed on.
        let output = folder.run(&script, &[("RELEASE", release), ("RUN_URL", "https://x/$(id)")]);
        assert_eq!(output.status.code(), Some(code), "{release}: {output:?}");
        let log = folder.log();
        let of_tend: String = log
            .lines()
            .filter(|line| line.starts_with("tend"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(of_tend, wanted, "{release}");
    }
}

#[test]
fn the_smoke_questions_fail_on_another_status_and_on_a_text_that_is_not_there() {
    let (stack, options) = odd();
    let folder = Folder::new("smoke");
    let script = step(&github_actions(&stack, &options), "Ask as a client does");
    for (status, body, fine) in [
        ("204", "well: it's \"$HOME\" \\ `id`", true),
        ("204", "it's \"/root\"", false),
        ("200", "well: it's \"$HOME\" \\ `id`", false),
    ] {
        let curl = format!(
            "for argument in \"$@\"; do last=$argument; done\necho \"$last\" >> \"$LOG\"\n\
             cat > answer <<'END'\n{body}\nEND\nprintf {status}"
        );
        folder.program("curl", &curl);
        let output = folder.run(&script, &[]);
        assert_eq!(output.status.success(), fine, "{status} {body}: {output:?}");
    }
    assert!(
        folder.log().starts_with("https://a.example.com/it's?a=$HOME&b=`id`\n"),
        "{}",
        folder.log()
    );
}

#[test]
fn a_notice_is_json_and_a_webhook_that_is_away_fails_nothing() {
    let (stack, options) = full();
    let folder = Folder::new("notice");
    let script = step(&github_actions(&stack, &options), "Tell");
    folder.program("curl", "printf '%s\\n' \"$@\" >> \"$LOG\"\nexit 7");
    let run = [("COMMIT", "abc"), ("RUN_URL", "https://ci/7"), ("RESULT", "failed")];
    assert!(folder.run(&script, &run).status.success());
    assert_eq!(folder.log(), "", "nobody to tell");
    let webhook = [&run[..], &[("NOTICE_WEBHOOK", "https://hook")]].concat();
    assert!(folder.run(&script, &webhook).status.success());
    let log = folder.log();
    let data = log.lines().skip_while(|line| *line != "--data").nth(1).expect("data");
    let json: serde_json::Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(json["text"]["content"], "mps: failed (abc) https://ci/7");
    assert!(Path::new(&folder.0).exists());
}
